//! `Routes`: what is refused when it is built, whom a dial tries when, and how a session changes its route.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p::{
    ConnectionConfig, P2PConnection, P2PConnectionExt, P2PError, P2PListener, P2PProvider, P2PProviderExt, ProtocolId,
    layer::{LayerExt, Reconnect, ReconnectConfig, Route, Routes, RoutesHandle, Turn},
    memory::MemoryNetwork,
    mock::Overlay,
};

const SECOND: Duration = Duration::from_secs(1);

fn protocol() -> ProtocolId {
    "routes/1".parse().unwrap()
}

fn invalid(built: Result<Routes, P2PError>) -> String {
    match built {
        Err(error @ P2PError::InvalidInput { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn routes_that_do_not_belong_together_are_refused() {
    let network = MemoryNetwork::new();
    let route = |route: &str, name| Route::new(route, network.provider(name));
    assert_eq!(invalid(Routes::new([])), "0 routes is invalid: expected 1 to 8");
    assert!(invalid(Routes::new((0..9).map(|number| route(&number.to_string(), "alice")))).starts_with("9 routes"));
    assert!(invalid(Routes::new([route("a", "alice"), route("b", "bob")])).contains("route \"b\" of peer"));
    assert!(invalid(Routes::new([route("a", "alice"), route("a", "alice")])).contains("route name \"a\""));
    assert!(invalid(Routes::new([route("", "alice")])).contains("route name \"\""));
    let routes = Routes::new([route("a", "alice"), route("b", "alice")]).unwrap();
    assert_eq!(routes.to_string(), "Routes(memory, memory)");
    let unknown = routes.handle().disable("c").unwrap_err();
    assert_eq!(unknown.to_string(), "route \"c\" is invalid: expected one of a, b");
}

/// Two networks and the peers on them: alice dials, bob listens on both.
struct Scene {
    networks: [MemoryNetwork; 2],
    bob: Routes,
    listener: Box<dyn P2PListener>,
}

impl Scene {
    async fn new() -> Self {
        let networks = [MemoryNetwork::new(), MemoryNetwork::new().without_datagrams()];
        let [one, two] = [0, 1].map(|place| Route::new(["one", "two"][place], networks[place].provider("bob")));
        let bob = Routes::new([one, two]).unwrap();
        let listener = bob.listen(&protocol()).await.unwrap();
        Self { networks, bob, listener }
    }
}

async fn connections(handle: &RoutesHandle) -> [usize; 2] {
    ["one", "two"].map(|name| handle.get(name).unwrap().connections)
}

// The better route is reached and never answers. The dial takes the head start and no longer, on a clock that only timers
// move; nothing is left of the attempt that hangs.
#[tokio::test(start_paused = true)]
async fn a_route_that_hangs_delays_the_other_by_its_head_start() {
    let scene = Scene::new().await;
    let silent = MemoryNetwork::new();
    let _bob = Overlay::silent(silent.provider("bob")).await.unwrap();
    let hanging = Overlay::new(silent.provider("alice")).await.unwrap();
    let turn = Turn::After(Duration::from_millis(70));
    let two = Route::new("two", scene.networks[1].provider("alice")).with_turn(turn);
    let alice = Routes::new([Route::new("one", hanging), two]).unwrap();
    let began = tokio::time::Instant::now();
    let ours = alice.connect(scene.bob.local_peer_id(), &protocol()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(70));
    let theirs = scene.listener.accept().await.unwrap();
    ours.send("through".into()).await.unwrap();
    assert_eq!(theirs.recv().await.unwrap(), "through");
    assert_eq!(connections(&alice.handle()).await, [0, 1]);
    assert_eq!(connections(&scene.bob.handle()).await, [0, 1]);
}

// The same, but the second may be tried only when the first has failed: its silence is waited for, and then no time is left.
#[tokio::test(start_paused = true)]
async fn a_fallback_waits_for_the_failure_of_those_before_it() {
    let scene = Scene::new().await;
    let silent = MemoryNetwork::new();
    let _bob = Overlay::silent(silent.provider("bob")).await.unwrap();
    let fallback = |network: &MemoryNetwork| Route::new("two", network.provider("alice")).with_turn(Turn::Fallback);
    let hanging = Overlay::new(silent.provider("alice")).await.unwrap();
    let alice = Routes::new([Route::new("one", hanging), fallback(&scene.networks[1])]).unwrap();
    let config = ConnectionConfig::new(protocol()).with_handshake_timeout(3 * SECOND);
    let dialled = alice.connect_with(scene.bob.local_peer_id().into(), config).await;
    assert!(matches!(dialled, Err(P2PError::Timeout { .. })), "{dialled:?}");
    assert_eq!(alice.handle().get("two").unwrap().dials, 0);

    let nowhere = Route::new("one", MemoryNetwork::new().provider("alice"));
    let alice = Routes::new([nowhere, fallback(&scene.networks[1])]).unwrap();
    let began = tokio::time::Instant::now();
    alice.connect(scene.bob.local_peer_id(), &protocol()).await.unwrap();
    assert!(began.elapsed().is_zero(), "a failure is not waited out");
    let one = alice.handle().get("one").unwrap();
    assert_eq!((one.dials, one.failures), (1, 1));
}

// Dropped after each number of polls in turn, until one is let through: what remains is a provider that works, with no
// connection that nobody holds.
#[tokio::test(start_paused = true)]
async fn a_dropped_dial_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let [one, two] = [0, 1].map(|place| {
        Route::new(["one", "two"][place], scene.networks[place].provider("alice"))
            .with_turn(Turn::After(Duration::ZERO))
    });
    let alice = Routes::new([one, two]).unwrap();
    let (speaks, mut dropped) = (protocol(), 0);
    for polls in 1.. {
        let mut dial = Box::pin(alice.connect(scene.bob.local_peer_id(), &speaks));
        let mut left = polls;
        let outcome = std::future::poll_fn(|cx| match dial.as_mut().poll(cx) {
            std::task::Poll::Ready(dialled) => std::task::Poll::Ready(Some(dialled)),
            std::task::Poll::Pending if left == 1 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        })
        .await;
        drop(dial);
        match outcome {
            Some(dialled) => {
                drop(dialled.unwrap());
                break;
            }
            None => dropped += 1,
        }
    }
    assert!(dropped > 0, "no dial was dropped in the middle");
    tokio::time::sleep(SECOND).await;
    assert_eq!(connections(&alice.handle()).await, [0, 0]);
    let info = alice.peer_info(scene.bob.local_peer_id()).unwrap();
    assert_eq!(info.connections, 0);
}

#[tokio::test(start_paused = true)]
async fn preferences_decide_and_disabled_routes_are_not_dialled() {
    let scene = Scene::new().await;
    let [one, two] = [0, 1].map(|place| Route::new(["one", "two"][place], scene.networks[place].provider("alice")));
    let alice = Routes::new([one, two]).unwrap();
    let handle = alice.handle();
    let dial = async || alice.connect(scene.bob.local_peer_id(), &protocol()).await;
    let first = dial().await.unwrap();
    assert_eq!(connections(&handle).await, [1, 0]);
    handle.set_preference("one", 7).unwrap();
    let names: Vec<_> = handle.routes().into_iter().map(|route| (route.name, route.preference)).collect();
    assert_eq!(names, [("two".into(), 1), ("one".into(), 7)]);
    let second = dial().await.unwrap();
    assert_eq!(connections(&handle).await, [1, 1]);
    handle.disable("two").unwrap();
    let third = dial().await.unwrap();
    assert_eq!(connections(&handle).await, [2, 1]);
    handle.disable("one").unwrap();
    let none = dial().await.unwrap_err();
    assert!(none.is_retryable() && none.to_string().contains("failed"), "{none}");
    assert_eq!(none.chain(), format!("connecting to peer {} failed: no route is enabled", scene.bob.local_peer_id()));
    handle.enable("one").unwrap();
    let fourth = dial().await.unwrap();
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(connections(&handle).await, [3, 1], "what no session carries stays where it is");
    drop((first, second, third, fourth));
    assert_eq!(connections(&handle).await, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_status_is_that_of_all_routes() {
    let [one, two] = [0, 1].map(|_| MemoryNetwork::new().provider("alice"));
    let routes = Routes::new([Route::new("one", one.clone()), Route::new("two", two.clone())]).unwrap();
    let mut status = routes.status();
    assert!(status.get().is_ready());
    one.shutdown(SECOND).await;
    assert!(!status.get().shut_down, "the other is there");
    two.shutdown(SECOND).await;
    status.wait_for(|status| status.shut_down).await.unwrap();
    assert!(matches!(routes.listen(&protocol()).await, Err(P2PError::ShutDown)));
}

/// A session of alice's with bob, both with both routes.
struct Session {
    handle: RoutesHandle,
    alice: Reconnect<Routes>,
    bob: Reconnect<Routes>,
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    _listener: Box<dyn P2PListener>,
}

impl Session {
    async fn new() -> Self {
        let networks = [MemoryNetwork::new(), MemoryNetwork::new().without_datagrams()];
        let routes = |name| {
            let [one, two] = [0, 1].map(|place| Route::new(["one", "two"][place], networks[place].provider(name)));
            Routes::new([one, two]).unwrap()
        };
        let alice = routes("alice");
        let handle = alice.handle();
        let alice = alice.with_reconnect(ReconnectConfig::default()).unwrap();
        let bob = routes("bob").with_reconnect(ReconnectConfig::default()).unwrap();
        let listener = bob.listen(&protocol()).await.unwrap();
        let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        Self { handle, alice, bob, ours, theirs, _listener: listener }
    }
}

// Messages and one stream each way, without a pause, while the preference goes back and forth: all arrive once and in order,
// and every change moved the session.
#[tokio::test(start_paused = true)]
async fn a_live_session_is_moved_back_and_forth_and_loses_nothing() {
    const MOVES: usize = 20;
    let session = Session::new().await;
    let moved = AtomicUsize::new(0);
    let done = || moved.load(Relaxed) == MOVES;
    let send = async |connection: &Arc<dyn P2PConnection>| {
        let mut stream = connection.open_stream().await.unwrap();
        let mut sent = 0u64;
        while !done() {
            connection.send(sent.to_be_bytes().to_vec().into()).await.unwrap();
            stream.send.write_all(&sent.to_be_bytes()).await.unwrap();
            sent += 1;
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        connection.send("end".into()).await.unwrap();
        stream.send.finish().unwrap();
        sent
    };
    let receive = async |connection: &Arc<dyn P2PConnection>| {
        let mut messages = 0u64;
        loop {
            let message = connection.recv().await.unwrap();
            if message == "end" {
                break;
            }
            assert_eq!(message, messages.to_be_bytes().to_vec(), "message {messages}");
            messages += 1;
        }
        messages
    };
    let read = async |connection: &Arc<dyn P2PConnection>| {
        let bytes = connection.accept_stream().await.unwrap().recv.read_to_end(1 << 26).await.unwrap();
        for (number, word) in bytes.chunks(8).enumerate() {
            assert_eq!(word, (number as u64).to_be_bytes(), "word {number}");
        }
        bytes.len() as u64 / 8
    };
    let flap = async {
        for step in 0..MOVES {
            let preferred = ["two", "one"][step % 2];
            let before = session.handle.get(preferred).unwrap().moves;
            session.handle.set_preference("one", (step as u32 + 1) % 2 * 9).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(session.handle.get(preferred).unwrap().moves, before + 1, "move {step}");
            assert_eq!(session.handle.get(preferred).unwrap().connections, 1, "move {step}");
            moved.fetch_add(1, Relaxed);
        }
    };
    let (ours, theirs) = (&session.ours, &session.theirs);
    let (there, back, received_there, received_back, read_there, read_back, ()) =
        tokio::join!(send(ours), send(theirs), receive(theirs), receive(ours), read(theirs), read(ours), flap);
    assert_eq!((there, back), (received_there, received_back));
    assert_eq!((there, back), (read_there, read_back));
    let totals = session.alice.totals();
    assert_eq!((totals.moved, totals.resumed, totals.losses), (MOVES as u64, MOVES as u64, MOVES as u64));
    assert_eq!(session.bob.totals().refused, 0, "a question is no attempt");
}

// Without a change of preference, too: the route it began on fails, and is asked again when it is back.
#[tokio::test(start_paused = true)]
async fn a_session_comes_back_to_a_route_that_is_better_again() {
    let session = Session::new().await;
    session.handle.disable("one").unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(connections(&session.handle).await, [0, 1]);
    assert_eq!(session.ours.limits().datagram_bytes_max, None, "the other route carries none");
    session.handle.enable("one").unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(connections(&session.handle).await, [1, 0]);
    assert!(session.ours.limits().datagram_bytes_max.is_some());
    assert!(session.ours.is_connected() && session.theirs.is_connected());
}
