//! Little is under way over a relay that acknowledges nothing.
//!
//! iroh keeps 64 sends for each relay, and while those of one that died are full it sends nothing over any other: they are
//! emptied only by an attempt to connect that lasts 3 s, and one that is refused at once never does. So a connection with
//! much to send would cut off its own way out. Here whatever runs through a relay shares a count of the sends since the
//! last acknowledgement from anybody there; beyond [`SENDS_MAX`], only the least that QUIC needs to notice the loss goes out.
//! Where acknowledgements come, which is every few packets, nothing is held back.

use std::{
    any::Any,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use iroh::endpoint::{Connection, ControllerFactory, PathId};
use noq_proto::{
    RttEstimator,
    congestion::{Controller, ControllerMetrics},
};

/// Sends over one relay that nobody there has acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU32);

impl Gate {
    fn is_shut(&self) -> bool {
        self.0.load(Relaxed) >= SENDS_MAX
    }
}

/// Half of what iroh keeps for a relay. The other half is for what no window holds back: probes, goodbyes, new handshakes.
const SENDS_MAX: u32 = 32;

/// What a path may have under way beyond that. With nothing under way it would not find out that the relay is back.
const SHUT_BYTES: u64 = 2 * 1_500;

/// Makes controllers that can be put behind a gate.
pub(crate) fn factory(inner: Arc<dyn ControllerFactory + Send + Sync>) -> Arc<dyn ControllerFactory + Send + Sync> {
    Arc::new(Factory(inner))
}

/// Puts a path of a connection behind a gate, if its controller is of this module.
pub(crate) fn guard(connection: &Connection, path: PathId, gate: &Arc<Gate>) {
    if let Some(copy) = connection.congestion_state(path) {
        guard_by_copy(copy, gate);
    }
}

/// A copy shares the place for the gate with its original.
fn guard_by_copy(copy: Box<dyn Controller>, gate: &Arc<Gate>) {
    if let Ok(controller) = copy.into_any().downcast::<Gated>() {
        controller.gate.get_or_init(|| gate.clone());
    }
}

struct Factory(Arc<dyn ControllerFactory + Send + Sync>);

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Gated { inner: self.0.clone().build(now, mtu), gate: Arc::default(), elicits: false })
    }
}

/// A controller, and the gate that it is behind once its path is known to run through a relay.
#[derive(Debug)]
struct Gated {
    inner: Box<dyn Controller>,
    gate: Arc<OnceLock<Arc<Gate>>>,
    /// What is being sent asks for an acknowledgement.
    elicits: bool,
}

impl Gated {
    fn is_shut(&self) -> bool {
        self.gate.get().is_some_and(|gate| gate.is_shut())
    }
}

impl Controller for Gated {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        // Who only receives sends nothing but acknowledgements, which nobody acknowledges, and none to a dead relay.
        if std::mem::take(&mut self.elicits)
            && let Some(gate) = self.gate.get()
        {
            gate.0.fetch_add(1, Relaxed);
        }
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_acked: Option<u64>) {
        if let Some(gate) = self.gate.get() {
            gate.0.store(0, Relaxed);
        }
        self.inner.on_end_acks(now, in_flight, app_limited, largest_acked);
    }

    fn window(&self) -> u64 {
        let window = self.inner.window();
        if self.is_shut() { window.min(SHUT_BYTES) } else { window }
    }

    fn on_cwnd_limited(&mut self) {
        // It was the gate.
        if !self.is_shut() {
            self.inner.on_cwnd_limited();
        }
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        // Called for packets that ask for an acknowledgement, before the send that they are part of.
        self.elicits = true;
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, pn: u64, app_limited: bool, rtt: &RttEstimator) {
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.inner.on_congestion_event(now, sent, is_persistent, is_ecn, lost_bytes, largest_lost_pn);
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.inner.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.inner.on_mtu_update(mtu);
    }

    fn on_ack_frequency_update(&mut self, threshold: u64, max_ack_delay: Duration) {
        self.inner.on_ack_frequency_update(threshold, max_ack_delay);
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), gate: self.gate.clone(), elicits: self.elicits })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use noq_proto::congestion::{NewReno, NewRenoConfig};

    use super::*;

    const MTU: u16 = 1_200;

    /// A path of its own connection, behind this gate.
    fn behind(gate: &Arc<Gate>) -> Box<dyn Controller> {
        let path = factory(Arc::new(NewRenoConfig::default())).build(Instant::now(), MTU);
        guard_by_copy(path.clone_box(), gate);
        path
    }

    /// Sends so often, two packets at a time.
    fn send(path: &mut dyn Controller, sends: u32) {
        for number in 0..u64::from(sends) {
            path.on_packet_sent(Instant::now(), MTU, 2 * number);
            path.on_packet_sent(Instant::now(), MTU, 2 * number + 1);
            path.on_sent(Instant::now(), 2 * u64::from(MTU), 2 * number + 1);
        }
    }

    fn acknowledge(path: &mut dyn Controller) {
        path.on_end_acks(Instant::now(), 0, false, Some(0));
    }

    // A send of several packets takes one place in iroh's queue, so sends are counted, not packets.
    #[test]
    fn a_relay_that_acknowledges_nothing_has_32_sends_and_then_only_probes_under_way() {
        let mut path = behind(&Arc::default());
        let open = path.window();
        assert!(open > SHUT_BYTES, "{open}");
        send(&mut *path, SENDS_MAX - 1);
        assert_eq!(path.window(), open);
        send(&mut *path, 1);
        assert_eq!(path.window(), SHUT_BYTES);
    }

    // What fills a dead relay's queue is all that runs through it, and what shows that it lives is any answer.
    #[test]
    fn paths_through_one_relay_shut_together_and_open_together() {
        let gate = Arc::default();
        let (mut one, mut other) = (behind(&gate), behind(&gate));
        let open = other.window();
        send(&mut *one, SENDS_MAX / 2);
        send(&mut *other, SENDS_MAX / 2);
        assert_eq!((one.window(), other.window()), (SHUT_BYTES, SHUT_BYTES));
        acknowledge(&mut *one);
        assert_eq!((one.window(), other.window()), (open, open));
    }

    #[test]
    fn paths_elsewhere_stay_open() {
        let (mut dead, other) = (behind(&Arc::default()), behind(&Arc::default()));
        let direct = factory(Arc::new(NewRenoConfig::default())).build(Instant::now(), MTU);
        let open = direct.window();
        send(&mut *dead, 10 * SENDS_MAX);
        assert_eq!((dead.window(), other.window(), direct.window()), (SHUT_BYTES, open, open));
    }

    #[test]
    fn acknowledgements_alone_never_shut_it() {
        let mut path = behind(&Arc::default());
        let open = path.window();
        for number in 0..10 * u64::from(SENDS_MAX) {
            path.on_sent(Instant::now(), 40, number);
        }
        assert_eq!(path.window(), open);
    }

    // The controller would take a shut gate for a link that can carry no more, or for one that is used to the full.
    #[test]
    fn the_window_is_found_again_as_it_was() {
        let mut path = behind(&Arc::default());
        let open = path.window();
        send(&mut *path, SENDS_MAX);
        path.on_cwnd_limited();
        acknowledge(&mut *path);
        assert_eq!((path.window(), path.metrics().congestion_window), (open, open));
        let inner = path.into_any().downcast::<Gated>().expect("made by the factory").inner;
        assert!(inner.into_any().is::<NewReno>(), "the controller that was asked for is inside");
    }

    #[test]
    fn a_window_that_is_smaller_anyway_stays_so() {
        let mut path = behind(&Arc::default());
        // Persistent congestion leaves two packets.
        path.on_congestion_event(Instant::now(), Instant::now(), true, false, u64::from(MTU), 0);
        let small = path.window();
        assert!(small < SHUT_BYTES, "{small}");
        send(&mut *path, SENDS_MAX);
        assert_eq!(path.window(), small);
    }
}
