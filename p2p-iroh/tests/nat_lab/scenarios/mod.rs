//! Everything that has to hold, in the order in which it runs.

mod air_gap;
mod carrier;
mod failover;
mod family;
mod lan;
mod matrix;
mod mobility;
mod relay;
mod resume;
mod traffic;

use crate::runner::Scenario;

/// All scenarios.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = matrix::all();
    all.extend(carrier::all());
    all.extend(family::all());
    all.extend(lan::all());
    all.extend(relay::all());
    all.extend(failover::all());
    all.extend(traffic::all());
    all.extend(mobility::all());
    all.extend(resume::all());
    all.extend(air_gap::all());
    all
}
