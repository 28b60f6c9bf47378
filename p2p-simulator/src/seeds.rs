//! Tests over many seeds: the macro [`simulate!`](crate::simulate).

use std::future::Future;

use crate::{Network, Simulation, SimulatorConfig};

/// Makes a test that runs a program on many seeds, and fails with the first seed on which it panics, stalls or does not end.
///
/// `SIMULATOR_P2P_SEED` sets the first seed, `SIMULATOR_P2P_RUNS` how many there are, and the other settings of
/// [`SimulatorConfig`](crate::SimulatorConfig) count as well.
///
/// ```
/// # mod tests {
/// use p2p::{P2PProvider, RuntimeExt};
///
/// p2p_simulator::simulate!(time_passes, 20 seeds, |network| async move {
///     let alice = network.provider("alice");
///     alice.runtime().sleep(std::time::Duration::from_secs(3)).await;
///     assert!(network.now().as_nanos() >= 3_000_000_000);
/// });
/// # }
/// ```
#[macro_export]
macro_rules! simulate {
    ($name:ident, $seeds:literal seeds, $main:expr) => {
        #[test]
        fn $name() {
            $crate::run_seeds(stringify!($name), $seeds, $main);
        }
    };
}

/// Runs a program on the seeds of the environment; what [`simulate!`](crate::simulate) calls.
///
/// # Panics
/// With the seed, a line that repeats it, and why, if a run fails; or if the environment cannot be read.
pub fn run_seeds<F: Future<Output = ()>>(test: &str, seeds: u64, main: impl Fn(Network) -> F) {
    let config = SimulatorConfig::from_env().unwrap_or_else(|error| panic!("{error}"));
    for number in 0..config.runs.unwrap_or(seeds) {
        let seed = config.seed.wrapping_add(number);
        let config = SimulatorConfig { seed, ..config.clone() };
        if let Err(failure) = Simulation::with_config(config).try_run(&main) {
            panic!("seed {seed}: {failure}\nSIMULATOR_P2P_SEED={seed} SIMULATOR_P2P_RUNS=1 cargo test {test}");
        }
    }
}
