//! What is counted of a connection from beginning to end: that it is open, its path, its round trip, why it ended.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    labels::{Closed, Dir, PathKind},
    meter::Meter,
    series::Series,
};
use crate::{ConnectionState, Instant, P2PConnection, Path, Runtime, RuntimeExt, Watch};

/// Time between two samples of a connection's round trip.
const RTT_PERIOD: Duration = Duration::from_secs(10);

/// Counts the connection as open now, and follows it to its end in a task that does not keep it alive.
pub(super) fn follow(
    connection: &Arc<dyn P2PConnection>,
    dir: Dir,
    series: &Arc<Series>,
    runtime: &Arc<dyn Runtime>,
) -> Arc<Meter> {
    let state = connection.state();
    let path = state.read(|state| state.path().cloned());
    let kind = PathKind::of(path.as_ref());
    let meter = Arc::new(Meter::new(series.clone(), runtime.clone(), kind));
    let open = Open::new(meter.clone(), dir, path);
    let task = watch(open, state, Arc::downgrade(connection));
    runtime.spawn("metrics of a connection", Box::pin(task)).detach();
    meter
}

async fn watch(mut open: Open, mut state: Watch<ConnectionState>, connection: Weak<dyn P2PConnection>) {
    let runtime = open.meter.runtime.clone();
    let mut samples = runtime.interval(RTT_PERIOD);
    let mut now = state.get();
    loop {
        open.observe(&now);
        if now.is_closed() {
            break;
        }
        now = crate::select! {
            changed = state.changed() => match changed {
                Ok(changed) => changed,
                Err(_) => break,
            },
            _ = samples.tick() => {
                open.sample_rtt(&connection);
                continue;
            }
        };
    }
    open.sample_rtt(&connection);
}

/// A connection that the gauge counts. Dropping this uncounts it, so it happens once, however the task ends.
struct Open {
    meter: Arc<Meter>,
    since: Instant,
    path: Option<Path>,
    was_direct: bool,
    closed: Closed,
}

impl Open {
    fn new(meter: Arc<Meter>, dir: Dir, path: Option<Path>) -> Self {
        meter.series.connections_opened[dir].increment(1);
        meter.series.connections[meter.path()].increment(1);
        let mut open = Self { since: meter.runtime.now(), meter, path, was_direct: false, closed: Closed::Unknown };
        open.note_direct();
        open
    }

    fn observe(&mut self, state: &ConnectionState) {
        if let ConnectionState::Closed { reason, .. } = state {
            self.closed = reason.into();
        } else if state.path() != self.path.as_ref() {
            self.path = state.path().cloned();
            let (from, to) = (self.meter.path(), PathKind::of(self.path.as_ref()));
            let series = &self.meter.series;
            series.path_changes[from][to].increment(1);
            series.connections[from].decrement(1);
            series.connections[to].increment(1);
            self.meter.set_path(to);
            self.note_direct();
        }
    }

    fn note_direct(&mut self) {
        if !self.was_direct && self.meter.path() == PathKind::Direct {
            self.was_direct = true;
            let took = self.meter.runtime.now() - self.since;
            self.meter.series.time_to_direct.record(took.as_secs_f64());
        }
    }

    fn sample_rtt(&self, connection: &Weak<dyn P2PConnection>) {
        if let Some(rtt) = connection.upgrade().and_then(|connection| connection.stats().rtt) {
            self.meter.series.path_rtt[self.meter.path()].record(rtt.as_secs_f64());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let series = &self.meter.series;
        series.connections[self.meter.path()].decrement(1);
        series.connections_closed[self.closed].increment(1);
    }
}
