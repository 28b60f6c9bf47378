//! Faults of relays, NATs and lookups: what each does, and who may not be named.

use std::{sync::Arc, time::Duration};

use p2p::{CloseReason, P2PConnection, P2PError, P2PProvider, P2PProviderExt, Path, PeerId, RuntimeExt};
use p2p_simulator::{Entry, Failure, Fault, FaultGuard, Nat, Network, Place, Plan, SimulatorP2P, Topology};

use crate::pair::{DIRECT_MAX, LATENCY, Pair, homes, is_relayed, protocol, simulation};

const SECOND: Duration = Duration::from_secs(1);

fn peers(network: &Network) -> [SimulatorP2P; 3] {
    ["alice", "bob", "carol"].map(|name| network.provider(name))
}

/// What a dial from alice to bob comes to while a fault is in effect, and how long it takes.
async fn dial(network: &Network, fault: Fault, place: &str) -> (p2p::Result<Arc<dyn P2PConnection>>, Duration) {
    let [alice, bob, carol] = peers(network);
    let _listeners = (bob.listen(&protocol()).await.unwrap(), carol.listen(&protocol()).await.unwrap());
    let _guard: FaultGuard = network.inject(fault, place.parse().unwrap());
    let start = network.now();
    let dialled = alice.connect(bob.local_peer_id(), &protocol()).await;
    (dialled, network.now() - start)
}

#[test]
fn a_slow_lookup_delays_the_dial_and_nothing_after_it() {
    simulation(Topology::new()).run(|network| async move {
        let (dialled, took) = dial(&network, Fault::SlowLookup(3 * SECOND), "alice -> bob").await;
        assert_eq!(took, 3 * SECOND + 4 * LATENCY, "the lookup, then dial and handshake");
        drop(dialled.unwrap());
        let (_, took) = dial(&network, Fault::SlowLookup(3 * SECOND), "bob -> alice").await;
        assert_eq!(took, 4 * LATENCY, "whom bob looks up is none of alice's concern");
        let (dialled, _) = dial(&network, Fault::SlowLookup(3600 * SECOND), "*").await;
        assert!(matches!(dialled, Err(P2PError::Timeout { .. })));
    });
}

#[test]
fn a_stale_record_leads_to_nobody_and_a_wrong_one_to_somebody_else() {
    simulation(Topology::new()).run(|network| async move {
        let (dialled, _) = dial(&network, Fault::StaleRecord, "alice -> bob").await;
        assert!(matches!(dialled, Err(P2PError::Timeout { .. })), "{dialled:?}");
        let (dialled, took) = dial(&network, Fault::WrongRecord("carol".into()), "alice -> bob").await;
        assert!(
            matches!(dialled, Err(P2PError::AuthenticationFailed { expected, .. }) if expected == PeerId::from_name("bob")),
            "{dialled:?}"
        );
        assert_eq!(took, 2 * LATENCY);
        let (dialled, _) = dial(&network, Fault::WrongRecord("carol".into()), "bob -> alice").await;
        dialled.unwrap();
    });
}

#[test]
fn without_file_descriptors_dials_fail_at_once_and_what_comes_waits_to_be_taken() {
    simulation(Topology::new()).run(|network| async move {
        let (dialled, took) = dial(&network, Fault::NoFileDescriptors, "alice").await;
        let error = dialled.unwrap_err();
        assert!(error.is_retryable() && error.chain().contains("file descriptor"), "{}", error.chain());
        assert_eq!(took, Duration::ZERO);

        let [alice, bob, _] = peers(&network);
        let listener = bob.listen(&protocol()).await.unwrap();
        let guard = network.inject(Fault::NoFileDescriptors, Place::peer("bob"));
        let lift = async {
            alice.runtime().sleep(4 * SECOND).await;
            drop(guard);
        };
        let start = network.now();
        let protocol = protocol();
        let (dialled, ()) = tokio::join!(alice.connect(bob.local_peer_id(), &protocol), lift);
        assert!((4 * SECOND..5 * SECOND).contains(&(network.now() - start)));
        let connection = dialled.unwrap();
        let theirs = listener.accept().await.unwrap();
        let _guard = network.inject(Fault::NoFileDescriptors, Place::everywhere());
        connection.send("what is open stays so".into()).await.unwrap();
        theirs.recv().await.unwrap();
    });
}

#[test]
fn a_kill_breaks_connections_at_its_place_once_and_dials_work_at_once() {
    simulation(Topology::new()).run(|network| async move {
        let [alice, bob, carol] = peers(&network);
        let listener = bob.listen(&protocol()).await.unwrap();
        let [from_alice, from_carol] = [
            alice.connect(bob.local_peer_id(), &protocol()).await.unwrap(),
            carol.connect(bob.local_peer_id(), &protocol()).await.unwrap(),
        ];
        let theirs = listener.accept().await.unwrap();
        let _kill = network.inject(Fault::ConnectionKill, Place::between("alice", "bob"));
        for end in [&from_alice, &theirs] {
            assert!(matches!(end.closed().await, CloseReason::Lost { .. }));
        }
        assert!(from_carol.close_reason().is_none());
        alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    });
}

const RELAY_AND_NAT: &str = "
    [[fault]]
    id = 'no-relay'
    at = '1s'
    until = '10s'
    what = 'relay-down'
    where = 'relay'

    [[fault]]
    id = 'forgetful'
    at = '20s'
    until = '40s'
    what = { nat-expiry = '2s' }
    where = 'dialler'
";

#[test]
fn a_plan_takes_relays_down_and_lets_mappings_expire() {
    let simulation = simulation(homes(Nat::MODERATE, Nat::MODERATE)).with_plan(RELAY_AND_NAT.parse().unwrap());
    simulation.run(|network| async move {
        let pair = Pair::connect(network).await;
        pair.until(Path::is_direct, DIRECT_MAX).await;
        let second = |number: u32| number * SECOND;
        pair.sleep(second(12)).await;
        assert!(pair.ours.state().get().path().unwrap().is_direct());
        pair.until(is_relayed, second(40)).await;
        pair.until(Path::is_direct, second(90)).await;
        pair.echo().await;
    });
}

#[test]
fn a_plan_that_takes_a_peer_for_a_relay_or_a_relay_for_a_peer_fails_the_run_by_name() {
    for (what, place, expected) in [
        (Fault::RelayDown, "dialler", "relay-down at \"dialler\" is invalid: expected a relay"),
        (Fault::Crash, "relay", "crash at \"relay\" is invalid: expected a peer, and not a relay"),
        (Fault::RelayDown, "rely", "the nearest is \"relay\""),
        (Fault::NatExpiry(SECOND), "public", "expected a peer behind a NAT"),
        (Fault::WrongRecord("acceptr".into()), "dialler -> public", "the nearest is \"acceptor\""),
    ] {
        let plan = Plan::new().with(Entry::new("it", SECOND, what, place.parse().unwrap())).unwrap();
        let run = simulation(homes(Nat::OPEN, Nat::OPEN)).with_plan(plan).try_run(|network| async move {
            let _public = network.provider("public");
            Pair::connect(network).await.sleep(2 * SECOND).await;
        });
        match run {
            Err(Failure::Plan { reason }) => {
                assert!(reason.contains("fault \"it\"") && reason.contains(expected), "{reason} lacks {expected}");
            }
            other => panic!("{:?}", other.map(|_| "it ran")),
        }
    }
}
