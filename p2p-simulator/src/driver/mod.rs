//! What moves a world's time: the next event, or a clock.

mod builder;
mod failure;
mod idle;
mod keeper;
mod real;
mod simulation;
mod watchdog;

pub use self::{
    builder::{RunFailure, Runs, SimulationBuilder},
    failure::{Failure, Waiting},
    simulation::{Ended, Run, Simulation},
};
pub(crate) use self::{failure::Verdict, real::RealClock};
