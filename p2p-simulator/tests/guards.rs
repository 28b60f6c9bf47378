//! Each way in which a run in virtual time could hang or deceive, and what happens instead.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use p2p::{P2PProvider, P2PProviderExt, PeerId, ProtocolId, RuntimeExt};
use p2p_simulator::{Failure, LinkConfig, Network, Simulation};

fn simulation() -> Simulation {
    Simulation::new(1).with_link(LinkConfig::ideal(Duration::from_millis(50)))
}

fn protocol() -> ProtocolId {
    "test/1".parse().unwrap()
}

#[test]
fn a_stall_names_the_tasks_and_connections_that_wait() {
    let failure = simulation()
        .try_run(|network| async move {
            network.node("server", |node| async move {
                let endpoint = node.network().endpoint("quiet");
                let _connection = endpoint.accept().await;
                pending().await
            });
            let endpoint = network.endpoint("client");
            network.partition("client", "server");
            endpoint.dial(PeerId::from_name("server")).await.unwrap();
        })
        .unwrap_err();
    let report = failure.to_string();
    assert!(matches!(failure, Failure::Stalled { .. }), "{report}");
    for part in ["server: program", "server: accept", "client → server (partitioned)", "the answer to its dial"] {
        assert!(report.contains(part), "{report} lacks {part:?}");
    }
}

#[test]
fn a_panic_in_a_task_fails_the_run_and_names_task_and_peer() {
    let run = simulation().try_run(|network| async move {
        let alice = network.provider("alice");
        let runtime = alice.runtime().clone();
        let sleeping = runtime.clone();
        let task = async move {
            sleeping.sleep(Duration::from_secs(1)).await;
            panic!("on purpose");
        };
        runtime.spawn("doomed", Box::pin(task)).detach();
        pending::<()>().await
    });
    let Err(Failure::Panicked { node, task, message }) = run else { panic!("{run:?}") };
    assert_eq!((node.as_deref(), &*task, &*message), (Some("alice"), "doomed", "on purpose"));
}

#[test]
fn a_panic_of_the_main_future_fails_the_run_too() {
    let failure = simulation().try_run(|_| async { panic!("number {}", 7) }).map(|run: p2p_simulator::Run<()>| run);
    assert!(failure.unwrap_err().to_string().contains("number 7"));
}

#[test]
#[should_panic(expected = "simulation of seed 1 failed: stalled")]
fn run_panics_with_the_seed_and_the_report() {
    simulation().run(|_| pending::<()>());
}

#[test]
fn a_run_that_never_ends_in_virtual_time_ends_at_its_limit() {
    let limit = Duration::from_secs(3600);
    let run = simulation().with_time_limit(limit).try_run(|network| async move {
        network.node("server", |node| async move {
            let listener = node.provider().listen(&protocol()).await.unwrap();
            let _connection = listener.accept().await;
            let _never = listener.accept().await;
        });
        let alice = network.provider("alice");
        let _idle = alice.connect(PeerId::from_name("server"), &protocol()).await.unwrap();
        loop {
            alice.runtime().sleep(Duration::from_secs(1)).await;
        }
    });
    let Err(failure @ Failure::TimeLimit { .. }) = run.map(|run: p2p_simulator::Run<()>| run) else { panic!() };
    let report = failure.to_string();
    for part in ["within 3600s of virtual time", "server: program", "alice → server"] {
        assert!(report.contains(part), "{report} lacks {part:?}");
    }
}

#[test]
fn a_task_that_spins_is_named_by_the_watchdog() {
    let run = simulation().with_watchdog(Some(Duration::from_millis(200))).try_run(|network| async move {
        let runtime = network.provider("alice").runtime().clone();
        let spin = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        runtime.spawn("spinner", Box::pin(spin)).detach();
        pending::<()>().await
    });
    let Err(failure @ Failure::Spinning { .. }) = run else { panic!("{run:?}") };
    assert!(failure.to_string().contains("\"spinner\" of alice"), "{failure}");
}

/// Set in the process that [`a_task_that_never_returns_ends_the_process_with_a_report`] starts.
const CHILD: &str = "P2P_SIMULATOR_TEST_CHILD";

#[test]
fn a_task_that_never_returns_ends_the_process_with_a_report() {
    if std::env::var_os(CHILD).is_some() {
        let _ = simulation().with_watchdog(Some(Duration::from_millis(200))).try_run(|network| async move {
            let runtime = network.provider("alice").runtime().clone();
            runtime
                .spawn(
                    "stuck",
                    Box::pin(async {
                        loop {
                            std::hint::spin_loop()
                        }
                    }),
                )
                .detach();
            pending::<()>().await
        });
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "a_task_that_never_returns_ends_the_process_with_a_report"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success());
    assert!(said.contains("seed 1") && said.contains("\"stuck\" of alice"), "{said}");
}

// The waker looks at the network. If it were called while the world is locked, this would never end.
#[test]
fn wakers_may_use_the_network() {
    struct Look(Network, AtomicUsize);
    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            assert!(self.0.trace().records > 0);
            self.1.fetch_add(1, SeqCst);
        }
    }
    simulation().run(|network| async move {
        let look = Arc::new(Look(network.clone(), AtomicUsize::new(0)));
        let (alice, bob) = (network.endpoint("alice"), network.endpoint("bob"));
        let waker = Waker::from(look.clone());
        let mut accept = pin!(bob.accept());
        assert!(accept.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let _ours = alice.dial(bob.peer_id()).await.unwrap();
        assert_eq!(look.1.load(SeqCst), 1);
        assert!(accept.await.is_some());
    });
}

#[test]
fn a_cancelled_sleep_does_not_move_time() {
    let run = simulation().run(|network| async move {
        let runtime = network.provider("alice").runtime().clone();
        for _ in 0..100 {
            let _ = runtime.timeout(Duration::from_secs(3600), std::future::ready(())).await;
        }
        runtime.spawn("orphan", Box::pin(runtime.clone().sleep(Duration::from_secs(7200)))).abort();
        runtime.sleep(Duration::from_secs(1)).await;
    });
    assert_eq!(run.elapsed, Duration::from_secs(1));
}

#[test]
fn virtual_time_has_nanoseconds_and_costs_nothing() {
    let run = simulation().run(|network| async move {
        let runtime = network.provider("alice").runtime().clone();
        runtime.sleep(Duration::from_nanos(1)).await;
        let year = Duration::from_secs(365 * 24 * 3600);
        for _ in 0..10 {
            runtime.sleep(Duration::from_secs(3600)).await;
        }
        let shown = runtime.wall_time().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!(shown > 55 * year && shown < 56 * year, "clocks on the wall begin in 2025");
    });
    assert_eq!(run.elapsed, Duration::new(36_000, 1));
}

#[test]
fn ordinary_tokio_tasks_and_channels_work() {
    let sum = simulation().run(|network| async move {
        let runtime = network.provider("alice").runtime().clone();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
        for number in 0..100u64 {
            let (sender, runtime) = (sender.clone(), runtime.clone());
            tokio::spawn(async move {
                runtime.sleep(Duration::from_millis(100 - number)).await;
                sender.send(number).await.unwrap();
            });
        }
        drop(sender);
        let mut got = Vec::new();
        while let Some(number) = receiver.recv().await {
            got.push(number);
        }
        got
    });
    assert_eq!(sum.output, (0..100).rev().collect::<Vec<_>>());
}

// With tokio's own timers the run would depend on the clock on the wall; better that it stops at once.
#[test]
fn a_stray_tokio_sleep_panics_instead_of_waiting_on_the_wall() {
    let run = simulation().try_run(|_| tokio::time::sleep(Duration::from_secs(1)));
    assert!(run.unwrap_err().to_string().contains("enable_time"), "tokio says what it lacks");
}

#[test]
fn a_dropped_handle_ends_its_task() {
    simulation().run(|network| async move {
        let runtime = network.provider("alice").runtime().clone();
        let alive = Arc::new(());
        let held = alive.clone();
        let task = async move {
            let _held = held;
            pending().await
        };
        let handle = runtime.spawn("dropped", Box::pin(task));
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(handle);
        runtime.sleep(Duration::from_secs(1)).await;
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

#[test]
fn many_runs_in_one_process_do_not_touch_each_other() {
    let hash = |seed| {
        let run = Simulation::new(seed).run(|network| async move {
            let (alice, bob) = (network.provider("alice"), network.provider("bob"));
            let listener = bob.listen(&protocol()).await.unwrap();
            let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
            ours.send("hello".into()).await.unwrap();
            listener.accept().await.unwrap().recv().await.unwrap();
        });
        run.trace.hash
    };
    let alone = [hash(1), hash(2)];
    assert_ne!(alone[0], alone[1]);
    let together: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = [1, 2, 1, 2].map(|seed| scope.spawn(move || hash(seed))).into();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(together, [alone[0], alone[1], alone[0], alone[1]]);
}
