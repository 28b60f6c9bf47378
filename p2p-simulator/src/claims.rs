//! What a program claims about its runs: [`always!`](crate::always), [`sometimes!`](crate::sometimes),
//! [`eventually!`](crate::eventually).
//!
//! A run fails when something that must always hold does not, or what must come to hold does not in time. What must hold
//! sometimes is judged over many seeds: a sweep in which it never did has not tested what it was written for.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use p2p::{Runtime, RuntimeExt};
use parking_lot::Mutex;

use crate::{Network, driver::Failure, driver::Waiting, runtime::NodeRuntime};

/// What was claimed in a run, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// How often each `sometimes!` held.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often each `always!` was looked at.
    pub always: BTreeMap<&'static str, u64>,
}

/// The claims of a run that goes on.
#[derive(Default)]
pub(crate) struct Claimed(Mutex<Claims>);

impl Claimed {
    pub(crate) fn so_far(&self) -> Claims {
        self.0.lock().clone()
    }
}

/// What has a network to claim something on: the network, or a [`Node`](crate::Node).
pub trait OnNetwork {
    /// That network.
    fn network(&self) -> &Network;
}

impl OnNetwork for Network {
    fn network(&self) -> &Network {
        self
    }
}

/// Claims that something holds whenever this is reached. The run fails if it does not.
///
/// ```
/// # use p2p_simulator::{Simulation, always};
/// # Simulation::new(1).run(|network| async move {
/// # let (before, count) = (1, 2);
/// always!(network, count >= before, "counts never fall", "from {before} to {count}");
/// # });
/// ```
///
/// The name stands for the claim in reports, so it is a literal; figures follow it. Outside virtual time, where there is no
/// run to fail, it panics.
#[macro_export]
macro_rules! always {
    ($on:expr, $holds:expr, $name:literal $(,)?) => {
        $crate::always!($on, $holds, $name, "it did not hold")
    };
    ($on:expr, $holds:expr, $name:literal, $($detail:tt)+) => {{
        #[allow(unused_imports)]
        use $crate::claims::OnNetwork as _;
        $on.network().claim_always($name, $holds, || format!($($detail)+))
    }};
}

/// Claims that something holds here on some seeds. A sweep fails if it never did.
///
/// ```
/// # use p2p_simulator::{Simulation, sometimes};
/// # Simulation::new(1).run(|network| async move {
/// # let repeats = 0;
/// sometimes!(network, repeats > 0, "a push is repeated");
/// # });
/// ```
#[macro_export]
macro_rules! sometimes {
    ($on:expr, $holds:expr, $name:literal $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::claims::OnNetwork as _;
        $on.network().claim_sometimes($name, $holds)
    }};
}

/// Waits until something holds, and fails the run if it does not in time.
///
/// ```
/// # use p2p_simulator::{Simulation, eventually};
/// # use std::time::Duration;
/// # Simulation::new(1).run(|network| async move {
/// let start = network.now();
/// eventually!(network, Duration::from_secs(60), network.now() > start, "time passes").await;
/// # });
/// ```
///
/// It looks now, and then [ten times](crate::claims::LOOK_EVERY) a second of virtual time.
#[macro_export]
macro_rules! eventually {
    ($on:expr, $within:expr, $holds:expr, $name:literal $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::claims::OnNetwork as _;
        $on.network().claim_eventually($name, $within, || $holds)
    }};
}

/// How often [`eventually!`](crate::eventually) looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Whose clock it looks at. A peer of that name joins the network then.
const OBSERVER: &str = "observer";

impl Network {
    /// What [`always!`](crate::always) calls.
    pub fn claim_always(&self, name: &'static str, holds: bool, detail: impl FnOnce() -> String) {
        *self.shared().claimed.0.lock().always.entry(name).or_default() += 1;
        if !holds {
            let at = Duration::from_nanos(self.now().as_nanos());
            self.fail(Failure::Broken { claim: name, detail: detail(), at });
        }
    }

    /// What [`sometimes!`](crate::sometimes) calls.
    pub fn claim_sometimes(&self, name: &'static str, holds: bool) {
        *self.shared().claimed.0.lock().sometimes.entry(name).or_default() += u64::from(holds);
    }

    /// What [`eventually!`](crate::eventually) calls.
    pub fn claim_eventually(
        &self,
        name: &'static str,
        within: Duration,
        mut holds: impl FnMut() -> bool,
    ) -> impl Future<Output = ()> {
        let network = self.clone();
        async move {
            let shared = network.shared().clone();
            let life = shared.with(|world| {
                let node = world.node(OBSERVER);
                world.life(node)
            });
            let runtime: Arc<dyn Runtime> = Arc::new(NodeRuntime::new(shared.clone(), life));
            let deadline = runtime.now() + within;
            while !holds() {
                if runtime.now() >= deadline {
                    network.fail(Failure::NotInTime { claim: name, within, waiting: Waiting::of(&shared) });
                    // The run ends here, and with it whoever waits.
                    return std::future::pending().await;
                }
                runtime.sleep_until(deadline.min(runtime.now() + LOOK_EVERY)).await;
            }
        }
    }

    /// Fails the run; in real time, where there is none to fail, this task.
    fn fail(&self, failure: Failure) {
        match self.shared().verdict() {
            Some(verdict) => verdict.fail(failure),
            None => panic!("{failure}"),
        }
    }
}
