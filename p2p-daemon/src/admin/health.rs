//! Whether the daemon is ready, check by check.

use std::{fmt, sync::Arc};

use metrics::{Key, Label, Level, Metadata, Recorder};
use p2p::{Check, Watch};
use serde::Serialize;

use crate::{Daemon, forward::LinkState};

/// What has to be well before the daemon is ready.
#[derive(Default, Clone)]
pub struct Health(Vec<Source>);

/// Looks at one part of the daemon, now.
type Source = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// All checks as they are now.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    pub(super) checks: Vec<Check>,
}

impl Health {
    /// Whatever a daemon's provider checks of itself, its endpoint and its relays; each peer that a rule dials; and that
    /// the daemon is not about to end.
    #[must_use]
    pub fn of(daemon: &Daemon) -> Self {
        let (running, provider, links) = (daemon.shutdown().clone(), daemon.provider().status(), daemon.clone());
        Self::default()
            .with(move || {
                let problem = running.is_requested().then(|| "draining before the end".to_owned());
                vec![Check { name: "running".into(), problem }]
            })
            .with(move || provider.read(|status| status.checks.clone()))
            .with(move || {
                let check = |(rule, link): (String, Watch<LinkState>)| Check {
                    name: format!("peer of {rule}"),
                    problem: link.read(LinkState::problem),
                };
                links.links().into_iter().map(check).collect()
            })
    }

    fn with(mut self, source: impl Fn() -> Vec<Check> + Send + Sync + 'static) -> Self {
        self.0.push(Arc::new(source));
        self
    }

    pub(super) fn report(&self) -> Report {
        let checks: Vec<_> = self.0.iter().flat_map(|source| source()).collect();
        Report { ready: checks.iter().all(|check| check.problem.is_none()), checks }
    }

    /// Exports each check as it is now: 1 if all is well, else 0. What checks there are is the operator's choice, not a peer's.
    pub(super) fn record(&self, recorder: &dyn Recorder) {
        recorder.describe_gauge(
            STATUS.into(),
            None,
            "Whether a check is well: 1, or 0 for a reason that /readyz gives.".into(),
        );
        for check in self.report().checks {
            let key = Key::from_parts(STATUS, vec![Label::new("check", check.name)]);
            recorder.register_gauge(&key, &METADATA).set(if check.problem.is_none() { 1.0 } else { 0.0 });
        }
    }
}

const STATUS: &str = "p2p_health_status";

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.report()).finish()
    }
}
