//! What moves a world's time: the next event, or a clock.

mod failure;
mod idle;
mod keeper;
mod real;
mod simulation;
mod watchdog;

pub(crate) use self::{failure::Verdict, real::RealClock};
pub use self::{
    failure::{Failure, Waiting},
    simulation::{Ended, Run, Simulation},
};
