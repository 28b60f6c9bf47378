//! What moves a world's time: the next event, or a clock.

mod failure;
mod idle;
mod keeper;
mod real;
mod simulation;
mod watchdog;

pub use self::{
    failure::Failure,
    simulation::{Ended, Run, Simulation},
};
pub(crate) use self::{failure::Verdict, real::RealClock};
