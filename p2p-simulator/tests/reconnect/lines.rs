//! What a user sees of `Reconnect` while transports come and go: states, bounds, ends.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2p::{
    CloseCode, CloseReason, ConnectionConfig, ConnectionState, P2PConnection, P2PConnectionExt, P2PError, P2PListener,
    P2PProvider, P2PProviderExt, ProtocolId, RefusalCode, RuntimeExt, TrySendError,
    layer::{LayerExt, Reconnect, ReconnectConfig, reconnect::Backoff},
};
use p2p_simulator::{Fault, LinkConfig, Network, Place, Simulation, SimulatorP2P};

use crate::killable::Killable;

const SECOND: Duration = Duration::from_secs(1);

fn protocol() -> ProtocolId {
    "lines/1".parse().unwrap()
}

/// Two peers with the layer, a connection between them, and what it takes to break it.
struct Scene {
    network: Network,
    alice: Reconnect<Killable<SimulatorP2P>>,
    bob: Reconnect<Killable<SimulatorP2P>>,
    alices_links: Killable<SimulatorP2P>,
    listener: Option<Box<dyn P2PListener>>,
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
}

impl Scene {
    async fn new(network: Network, config: ReconnectConfig) -> Self {
        let alices_links = Killable::new(network.provider("alice"));
        let alice = alices_links.clone().with_reconnect(config.clone()).unwrap();
        let bob = Killable::new(network.provider("bob")).with_reconnect(config).unwrap();
        let listener = bob.listen(&protocol()).await.unwrap();
        let config = ConnectionConfig::new(protocol()).with_liveness(SECOND / 2, 3 * SECOND);
        let ours = alice.connect_with(bob.local_peer_id().into(), config).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        Self { network, alice, bob, alices_links, listener: Some(listener), ours, theirs }
    }

    /// Cuts the line and lets alice notice at once.
    fn break_line(&self) {
        self.network.partition("alice", "bob");
        assert_eq!(self.alices_links.kill(), 1);
    }

    fn mend_line(&self) {
        self.network.heal("alice", "bob");
    }

    async fn sleep(&self, duration: Duration) {
        self.alice.runtime().sleep(duration).await;
    }

    async fn resumed(&self) {
        for connection in [&self.ours, &self.theirs] {
            connection.state().wait_for(ConnectionState::is_connected).await.unwrap();
        }
    }
}

fn run<F: Future<Output = ()>>(config: ReconnectConfig, test: impl FnOnce(Scene) -> F) {
    Simulation::new(1).with_link(LinkConfig::ideal(Duration::from_millis(50))).with_time_limit(600 * SECOND).run(
        |network| async move {
            test(Scene::new(network, config).await).await;
        },
    );
}

fn quick() -> ReconnectConfig {
    let backoff = Backoff { initial_delay: SECOND / 10, max_delay: SECOND, ..Backoff::default() };
    ReconnectConfig::default().with_backoff(backoff)
}

#[test]
fn the_state_tells_of_the_loss_the_attempts_and_the_return() {
    run(quick(), |scene| async move {
        let mut state = scene.ours.state();
        let lost = scene.network.now();
        scene.break_line();
        let reconnecting = state.changed().await.unwrap();
        assert_eq!(reconnecting, ConnectionState::Reconnecting { since: lost, attempt: 0 });
        assert!(!scene.ours.is_connected() && scene.ours.close_reason().is_none());
        scene.sleep(11 * SECOND).await;
        let ConnectionState::Reconnecting { since, attempt } = state.get() else { panic!("{state:?}") };
        assert_eq!((since, attempt), (lost, 2), "a dial into a partition takes its deadline");
        scene.mend_line();
        scene.resumed().await;
        assert!(state.get().path().is_some());
        assert_eq!((scene.alice.totals().resumed, scene.bob.totals().resumed), (1, 1));
    });
}

// After the grace the connection ends, on the side that dialled by then, on the other by then and its idle timeout; and
// both are told how many messages are not known to have arrived.
#[test]
fn a_peer_that_does_not_come_back_in_time_is_given_up() {
    run(quick().with_grace(20 * SECOND), |scene| async move {
        scene.ours.send("arrives".into()).await.unwrap();
        scene.theirs.recv().await.unwrap();
        scene.sleep(SECOND).await;
        scene.break_line();
        let lost = scene.network.now();
        for _ in 0..3 {
            scene.ours.send("does not".into()).await.unwrap();
        }
        let reason = scene.ours.closed().await;
        let took = scene.network.now() - lost;
        assert!(took >= 20 * SECOND && took < 21 * SECOND, "{took:?}");
        assert!(matches!(&reason, CloseReason::Lost { source } if source.to_string().contains("no transport")));
        assert!(reason.is_retryable());
        let unacknowledged = match scene.ours.state().get() {
            ConnectionState::Closed { unacknowledged, .. } => unacknowledged,
            other => panic!("{other:?}"),
        };
        assert_eq!(unacknowledged, 3);
        assert!(matches!(scene.ours.send("late".into()).await, Err(P2PError::Closed { .. })));
        let reason = scene.theirs.closed().await;
        let took = scene.network.now() - lost;
        // Noticed by silence, then kept for the grace and the idle timeout of the listener's own terms.
        assert!(took > 20 * SECOND + 30 * SECOND && took < 90 * SECOND, "{took:?}");
        assert!(matches!(reason, CloseReason::Lost { .. }), "{reason:?}");
        assert_eq!((scene.alice.totals().given_up, scene.bob.totals().given_up), (1, 1));
    });
}

#[test]
fn attempts_are_bounded_where_asked_for() {
    let backoff = Backoff { max_attempts: Some(2), ..Backoff::default() };
    run(quick().with_backoff(backoff), |scene| async move {
        scene.break_line();
        let reason = scene.ours.closed().await;
        assert!(reason.to_string().contains("no transport after 2 attempts"), "{reason}");
        assert_eq!(scene.alice.totals().attempts, 2);
    });
}

// `send` takes its buffer's worth and no more; `open_stream`, a stream's writer and `finish` wait; all go on afterwards.
#[test]
fn what_cannot_be_sent_waits_within_its_bound() {
    run(quick(), |scene| async move {
        let mut stream = scene.ours.open_stream().await.unwrap();
        stream.send.write_all(b"before").await.unwrap();
        scene.sleep(SECOND).await;
        scene.break_line();
        scene.ours.state().wait_for(|state| !state.is_connected()).await.unwrap();
        let mut accepted = 0;
        while scene.ours.try_send(Bytes::from(vec![accepted as u8; 10_000])).is_ok() {
            accepted += 1;
        }
        assert!((100..=110).contains(&accepted), "{accepted} messages of 10,000 bytes in 1 MiB");
        let full = scene.ours.try_send("full".into());
        assert!(matches!(full, Err(TrySendError::Full(message)) if message == "full"));
        let runtime = scene.alice.runtime().clone();
        assert!(runtime.timeout(SECOND, scene.ours.open_stream()).await.is_err());
        assert!(runtime.timeout(SECOND, stream.send.write_all(b"?")).await.is_err());

        scene.mend_line();
        stream.send.write_all(b" and after").await.unwrap();
        stream.send.finish().unwrap();
        let theirs = scene.theirs.clone();
        let read = async {
            for number in 0..accepted {
                assert_eq!(theirs.recv().await.unwrap(), vec![number as u8; 10_000]);
            }
            theirs.accept_stream().await.unwrap().recv.read_to_end(100).await.unwrap()
        };
        let (finished, read) = tokio::join!(scene.ours.finish(), read);
        finished.unwrap();
        assert_eq!(read, b"before and after");
    });
}

#[test]
fn datagrams_are_dropped_and_counted_while_there_is_no_transport() {
    run(quick(), |scene| async move {
        scene.break_line();
        scene.ours.state().wait_for(|state| !state.is_connected()).await.unwrap();
        let before = scene.ours.stats();
        for _ in 0..5 {
            scene.ours.send_datagram("gone".into()).unwrap();
        }
        let too_large = scene.ours.limits().datagram_bytes_max.unwrap() + 1;
        let refused = scene.ours.send_datagram(vec![0; too_large].into());
        assert!(matches!(refused, Err(P2PError::DatagramTooLarge { .. })));
        assert_eq!(scene.alice.totals().datagrams_dropped, 5);
        let lost = |stats: p2p::ConnectionStats| stats.packets_lost.unwrap_or(0);
        assert_eq!(lost(scene.ours.stats()) - lost(before), 5);
        scene.mend_line();
        scene.resumed().await;
        scene.ours.send_datagram("arrives".into()).unwrap();
        assert_eq!(scene.theirs.recv_datagram().await.unwrap(), "arrives");
    });
}

// A second after the last message both sides know that it has arrived: a loss then sends nothing again.
#[test]
fn the_tail_of_an_idle_line_is_acknowledged() {
    run(quick(), |scene| async move {
        let mut stream = scene.ours.open_stream().await.unwrap();
        stream.send.write_all(b"all there is").await.unwrap();
        stream.send.finish().unwrap();
        scene.ours.send("the last word".into()).await.unwrap();
        scene.theirs.recv().await.unwrap();
        scene.theirs.accept_stream().await.unwrap().recv.read_to_end(100).await.unwrap();
        scene.sleep(SECOND).await;
        scene.break_line();
        scene.mend_line();
        scene.sleep(SECOND).await;
        scene.resumed().await;
        let totals = scene.alice.totals();
        assert_eq!((totals.losses, totals.losses_with_unacknowledged, totals.resumed), (1, 0, 1));
        assert_eq!((totals.bytes_replayed, totals.duplicates_suppressed), (0, 0));
    });
}

// The last message of a line that then says nothing more goes into a line that swallows it, and nobody is told. The link's own
// keepalives find that out, and the resume says what is missing.
#[test]
fn the_last_message_before_a_line_falls_silent_arrives() {
    run(quick(), |scene| async move {
        scene.sleep(SECOND).await;
        scene.network.partition("alice", "bob");
        scene.ours.send("the last word".into()).await.unwrap();
        scene.sleep(10 * SECOND).await;
        assert!(!scene.ours.is_connected());
        scene.mend_line();
        assert_eq!(scene.theirs.recv().await.unwrap(), "the last word");
        scene.sleep(SECOND).await;
        scene.ours.close(CloseCode::OK, "");
        let ConnectionState::Closed { unacknowledged, .. } = scene.ours.state().get() else { panic!("it is closed") };
        assert_eq!(unacknowledged, 0);
    });
}

// Its last session keeps a dropped listener's place, for itself alone. Who listens again takes the place, and the session
// finds the new listener.
#[test]
fn a_session_resumes_after_its_listener_was_dropped() {
    run(quick(), |mut scene| async move {
        drop(scene.listener.take());
        let refused = scene.alice.connect(scene.bob.local_peer_id(), &protocol()).await;
        let Err(P2PError::Refused { refusal, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.code, RefusalCode::UnknownProtocol);
        for round in 1..=2 {
            scene.alices_links.kill();
            scene.ours.send("still here".into()).await.unwrap();
            assert_eq!(scene.theirs.recv().await.unwrap(), "still here");
            assert_eq!(scene.bob.totals().resumed, round);
            drop(scene.listener.take());
            scene.listener = Some(scene.bob.listen(&protocol()).await.unwrap());
        }
    });
}

// Clocks on the wall jump by a year while there is no transport, one ahead, one behind, and the timers of one side run fast
// by a tenth. The grace of 20 s is measured by none of that: the session is there after 15 s.
#[test]
fn clocks_that_jump_neither_end_a_session_nor_keep_it() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    run(quick().with_grace(20 * SECOND), |scene| async move {
        let walls = [&scene.alice, &scene.bob].map(|peer| peer.runtime().wall_time());
        scene.break_line();
        scene.ours.send("before the jump".into()).await.unwrap();
        let _ahead = scene.network.inject(Fault::ClockAhead(YEAR), Place::peer("alice"));
        let _behind = scene.network.inject(Fault::ClockBehind(YEAR), Place::peer("bob"));
        let _fast = scene.network.inject(Fault::ClockDriftPpm(100_000), Place::peer("bob"));
        assert!(scene.alice.runtime().wall_time() >= walls[0] + YEAR && scene.bob.runtime().wall_time() < walls[1]);
        scene.sleep(15 * SECOND).await;
        scene.mend_line();
        scene.resumed().await;
        assert_eq!(scene.theirs.recv().await.unwrap(), "before the jump");
        let lost = scene.network.now();
        scene.break_line();
        assert!(matches!(scene.ours.closed().await, CloseReason::Lost { .. }));
        let took = scene.network.now() - lost;
        assert!(took >= 20 * SECOND && took < 21 * SECOND, "{took:?}");
    });
}

// The server does not learn that its transport is dead; the client comes back all the same and takes its place.
#[test]
fn a_half_open_transport_is_replaced_at_once() {
    run(quick(), |scene| async move {
        scene.network.partition_one_way("alice", "bob");
        scene.alices_links.kill();
        scene.theirs.send("into a dead line".into()).await.unwrap();
        scene.sleep(SECOND / 10).await;
        scene.network.heal_one_way("alice", "bob");
        assert_eq!(scene.ours.recv().await.unwrap(), "into a dead line");
        assert_eq!(scene.ours.close_reason(), None);
    });
}

#[test]
fn a_close_while_there_is_no_transport_takes_effect_here_at_once() {
    run(quick().with_grace(5 * SECOND), |scene| async move {
        scene.break_line();
        scene.ours.state().wait_for(|state| !state.is_connected()).await.unwrap();
        scene.ours.send("never arrives".into()).await.unwrap();
        scene.ours.close(CloseCode(7), "enough");
        let reason = CloseReason::Local { code: CloseCode(7), reason: "enough".into() };
        assert_eq!(scene.ours.closed().await, reason);
        assert_eq!(scene.ours.state().get(), ConnectionState::Closed { reason, unacknowledged: 1 });
        scene.mend_line();
        assert!(matches!(scene.theirs.closed().await, CloseReason::Lost { .. }));
    });
}

// The shutdown begins while there is no transport, and delivers when there is one again.
#[test]
fn a_shutdown_waits_for_the_next_transport_within_its_deadline() {
    run(quick(), |scene| async move {
        scene.break_line();
        scene.ours.state().wait_for(|state| !state.is_connected()).await.unwrap();
        scene.ours.send("the last word".into()).await.unwrap();
        let mend = async {
            scene.sleep(2 * SECOND).await;
            scene.mend_line();
        };
        tokio::join!(scene.alice.shutdown(60 * SECOND), mend);
        assert_eq!(scene.ours.close_reason(), Some(CloseReason::ShutDown));
        assert_eq!(scene.theirs.recv().await.unwrap(), "the last word");
    });
}
