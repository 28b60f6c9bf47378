//! Crashes and restarts: what dies, what the others see of it, and what the next life finds.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use p2p::{
    CloseReason, ConnectionConfig, P2PConnection, P2PError, P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt,
};
use p2p_simulator::{LinkConfig, Network, Node, Simulation};

fn protocol() -> ProtocolId {
    "test/1".parse().unwrap()
}

fn simulation() -> Simulation {
    Simulation::new(1).with_link(LinkConfig::ideal(Duration::from_millis(50)))
}

/// Answers each message with its incarnation.
async fn echo(node: Node) {
    let listener = node.provider().listen(&protocol()).await.unwrap();
    while let Ok(connection) = listener.accept().await {
        let answer = format!("life {}", node.incarnation());
        let serve = async move {
            while connection.recv().await.is_ok() {
                connection.send(answer.clone().into()).await.unwrap();
            }
        };
        node.runtime().spawn("serve", Box::pin(serve)).detach();
    }
}

async fn ask(connection: &dyn P2PConnection) -> p2p::Result<String> {
    connection.send("who are you?".into()).await?;
    Ok(String::from_utf8_lossy(&connection.recv().await?).into_owned())
}

async fn sleep(network: &Network, time: Duration) {
    network.provider("clock").runtime().sleep(time).await;
}

fn bob() -> PeerId {
    PeerId::from_name("bob")
}

#[test]
fn the_tasks_and_timers_of_a_peer_end_with_it_and_what_they_held_is_dropped() {
    let ticks = Arc::new(Mutex::new(0));
    let counted = ticks.clone();
    let run = simulation().run(|network| async move {
        network.node("bob", move |node| {
            let ticks = ticks.clone();
            async move {
                loop {
                    node.runtime().sleep(Duration::from_secs(1)).await;
                    *ticks.lock().unwrap() += 1;
                }
            }
        });
        sleep(&network, Duration::from_millis(3500)).await;
        network.crash("bob");
        network.crash("bob");
        sleep(&network, Duration::from_secs(100)).await;
    });
    assert_eq!(*counted.lock().unwrap(), 3);
    assert_eq!(Arc::strong_count(&counted), 1, "the program and its factory are gone");
    assert_eq!(run.elapsed, Duration::from_millis(103_500));
}

#[test]
fn a_peer_that_crashed_is_silent_until_the_idle_timeout() {
    simulation().run(|network| async move {
        network.node("bob", echo);
        let alice = network.provider("alice");
        let connection = alice.connect(bob(), &protocol()).await.unwrap();
        assert_eq!(ask(&*connection).await.unwrap(), "life 1");
        let crashed = network.now();
        network.crash("bob");
        assert!(ask(&*connection).await.is_err());
        assert_eq!(connection.closed().await, CloseReason::TimedOut);
        let silent = (network.now() - crashed).as_secs();
        assert!((24..=31).contains(&silent), "{silent} s");
        let dialled = network.now();
        let error = alice.connect(bob(), &protocol()).await.unwrap_err();
        assert!(matches!(error, P2PError::Timeout { .. }), "{error}");
        assert_eq!(network.now() - dialled, ConnectionConfig::default().handshake_timeout);
    });
}

// The idle timeout is 30 s. That the connection ends within two tries of 2 s at most shows that it was told.
#[test]
fn a_new_incarnation_resets_connections_it_does_not_know_and_takes_new_ones() {
    simulation().run(|network| async move {
        network.node("bob", echo);
        let alice = network.provider("alice");
        let connection = alice.connect(bob(), &protocol()).await.unwrap();
        ask(&*connection).await.unwrap();
        network.crash("bob");
        connection.send("lost".into()).await.unwrap();
        sleep(&network, Duration::from_secs(3)).await;
        assert_eq!(connection.close_reason(), None);
        network.restart("bob");
        let restarted = network.now();
        assert!(matches!(connection.closed().await, CloseReason::Lost { .. }));
        assert!(network.now() - restarted < Duration::from_secs(4));
        let again = alice.connect(bob(), &protocol()).await.unwrap();
        assert_eq!(ask(&*again).await.unwrap(), "life 2");
    });
}

#[test]
fn a_dial_meets_a_peer_that_comes_back_in_time() {
    simulation().run(|network| async move {
        network.node("bob", echo);
        sleep(&network, Duration::from_secs(1)).await;
        network.crash("bob");
        let alice = network.provider("alice");
        let dial = async { alice.connect(bob(), &protocol()).await.unwrap() };
        let back = async {
            sleep(&network, Duration::from_secs(5)).await;
            network.restart("bob");
        };
        let (connection, ()) = tokio::join!(dial, back);
        assert_eq!(ask(&*connection).await.unwrap(), "life 2");
    });
}

#[test]
fn what_is_left_of_a_dead_life_reaches_nobody_and_starts_nothing() {
    simulation().run(|network| async move {
        let (alice, old) = (network.provider("alice"), network.provider("bob"));
        let listener = alice.listen(&protocol()).await.unwrap();
        let zombie = old.connect(alice.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        network.crash("bob");
        network.restart("bob");
        let _ = zombie.try_send("boo".into());
        assert!(matches!(old.connect(alice.local_peer_id(), &protocol()).await, Err(P2PError::ShutDown)));
        let started = Arc::new(());
        let held = started.clone();
        let task = async move {
            let _held = held;
            pending().await
        };
        old.runtime().spawn("zombie", Box::pin(task)).detach();
        assert_eq!(Arc::strong_count(&started), 1);
        zombie.close(p2p::CloseCode(9), "from the grave");
        sleep(&network, Duration::from_secs(1)).await;
        assert_eq!(theirs.close_reason(), None, "the dead say nothing");
        assert!(theirs.try_recv().is_ok_and(|message| message.is_none()));
    });
}

#[test]
fn what_was_on_the_wire_arrives_and_what_waited_to_leave_does_not() {
    // A megabyte a second: of 200,000 bytes half has left after 100 ms.
    let link = LinkConfig::ideal(Duration::from_millis(50)).with_bandwidth(1_000_000, 1_000_000);
    Simulation::new(1).with_link(link).run(|network| async move {
        let (alice, old) = (network.provider("alice"), network.provider("bob"));
        let listener = alice.listen(&protocol()).await.unwrap();
        let dying = old.connect(alice.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        for _ in 0..20 {
            dying.send(vec![7; 10_000].into()).await.unwrap();
        }
        sleep(&network, Duration::from_millis(100)).await;
        network.crash("bob");
        sleep(&network, Duration::from_secs(1)).await;
        let mut got = 0;
        while let Ok(Some(_)) = theirs.try_recv() {
            got += 1;
        }
        assert!((8..=10).contains(&got), "{got} of 20 arrived");
    });
}

#[test]
fn each_life_draws_other_numbers_and_the_run_still_repeats() {
    let run = || {
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let kept = drawn.clone();
        let run = simulation().run(|network| async move {
            network.node("bob", move |node| {
                drawn.lock().unwrap().push(node.runtime().rng("session").next_u64());
                pending()
            });
            sleep(&network, Duration::from_secs(1)).await;
            network.restart("bob");
            sleep(&network, Duration::from_secs(1)).await;
        });
        let drawn = kept.lock().unwrap().clone();
        (drawn, run.trace.hash)
    };
    let (drawn, hash) = run();
    assert_eq!(drawn.len(), 2);
    assert_ne!(drawn[0], drawn[1]);
    assert_eq!((drawn, hash), run());
}

#[test]
#[should_panic(expected = "peer \"bob\" is down; restart it first")]
fn a_peer_that_is_down_has_no_provider() {
    simulation().run(|network| async move {
        drop(network.provider("bob"));
        network.crash("bob");
        network.provider("bob");
    });
}

#[tokio::test(start_paused = true)]
async fn peers_crash_and_come_back_on_tokios_clock_too() {
    let network = Network::on_tokio(
        p2p_simulator::SimulatorConfig::new(1).with_link(LinkConfig::ideal(Duration::from_millis(50))),
    );
    network.node("bob", echo);
    let alice = network.provider("alice");
    let connection = alice.connect(bob(), &protocol()).await.unwrap();
    ask(&*connection).await.unwrap();
    network.restart("bob");
    assert!(ask(&*connection).await.is_err());
    let again = alice.connect(bob(), &protocol()).await.unwrap();
    assert_eq!(ask(&*again).await.unwrap(), "life 2");
}
