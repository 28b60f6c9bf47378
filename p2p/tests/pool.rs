//! `Pool`: one dial for all, and a connection kept as long as it is of use and no longer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use p2p::{
    CloseCode, CloseReason, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider,
    PeerAddr, PeerId, PeerInfo, ProtocolId, ProviderStatus, Result, Runtime, RuntimeExt, Watch,
    layer::{Check, LayerExt, Pool, PoolConfig},
    memory::{MemoryNetwork, MemoryP2P},
};

const SECOND: Duration = Duration::from_secs(1);

fn protocol() -> ProtocolId {
    ProtocolId::default()
}

/// A provider whose dials take a second, counted from their beginning.
struct Slow {
    inner: MemoryP2P,
    dials: Arc<AtomicUsize>,
}

/// Alice's pool, dials to count, and a network of friends.
struct Scene {
    network: MemoryNetwork,
    pool: Pool,
    dials: Arc<AtomicUsize>,
}

impl Scene {
    fn new(config: PoolConfig) -> Self {
        let network = MemoryNetwork::new();
        let dials = Arc::new(AtomicUsize::new(0));
        let slow = Slow { inner: network.provider("alice"), dials: dials.clone() };
        Self { pool: slow.into_pool(config), network, dials }
    }

    async fn friend(&self, name: &str) -> Friend {
        let provider = self.network.provider(name);
        let listener = provider.listen_with(ListenConfig::default()).await.unwrap();
        Friend { provider, listener }
    }

    fn dials(&self) -> usize {
        self.dials.load(Relaxed)
    }
}

struct Friend {
    provider: MemoryP2P,
    listener: Box<dyn P2PListener>,
}

impl Friend {
    fn id(&self) -> PeerId {
        self.provider.local_peer_id()
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_are_one_dial_and_have_one_connection() {
    let scene = Scene::new(PoolConfig::default());
    let bob = scene.friend("bob").await;
    assert_eq!(scene.dials(), 0, "nothing is dialled before somebody asks");
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (pool, bob) = (scene.pool.clone(), bob.id());
            tokio::spawn(async move { pool.get(bob, &protocol()).await })
        })
        .collect();
    let mut handles = Vec::new();
    for call in calls {
        handles.push(call.await.unwrap().unwrap());
    }
    assert_eq!(scene.dials(), 1);
    let accepted = bob.listener.accept().await.unwrap();
    for handle in &handles {
        handle.open_stream().await.unwrap().send.write_all(b"!").await.unwrap();
        accepted.accept_stream().await.unwrap();
    }
    let stats = scene.pool.stats();
    assert_eq!((stats.dials, stats.joined, stats.connections, stats.idle), (1, 99, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_have_one_error_and_the_next_dials_again() {
    let scene = Scene::new(PoolConfig::default());
    let nobody = PeerId::from_name("nobody");
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let pool = scene.pool.clone();
            tokio::spawn(async move { pool.get(nobody, &protocol()).await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert!(matches!(error, P2PError::PeerNotFound { peer, .. } if peer == nobody), "{error}");
    }
    assert_eq!(scene.dials(), 1);
    assert!(scene.pool.get(nobody, &protocol()).await.is_err());
    let stats = scene.pool.stats();
    assert_eq!((scene.dials(), stats.dial_failures, stats.connections, stats.pending), (2, 2, 0, 0));
}

// The first caller, whose call began the dial, and half of the others leave. Had the dial been theirs, it would end.
#[tokio::test(start_paused = true)]
async fn callers_who_leave_take_nothing_from_those_who_stay() {
    let scene = Scene::new(PoolConfig::default());
    let bob = scene.friend("bob").await;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let (pool, bob) = (scene.pool.clone(), bob.id());
            tokio::spawn(async move { pool.get(bob, &protocol()).await.map(drop) })
        })
        .collect();
    tokio::time::sleep(SECOND / 2).await;
    calls.iter().step_by(2).for_each(|call| call.abort());
    for (number, call) in calls.into_iter().enumerate() {
        let stays = number % 2 == 1;
        assert_eq!(call.await.is_ok_and(|got| got.is_ok()), stays, "caller {number}");
    }
    assert_eq!(scene.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_callers_leave_the_next_one_finds_what_came_of_the_dial() {
    let scene = Scene::new(PoolConfig::default());
    let bob = scene.friend("bob").await;
    assert!(tokio::time::timeout(SECOND / 2, scene.pool.get(bob.id(), &protocol())).await.is_err());
    assert_eq!(scene.pool.stats().pending, 1);
    tokio::time::sleep(SECOND).await;
    assert_eq!(scene.pool.stats().idle, 1);
    scene.pool.get(bob.id(), &protocol()).await.unwrap();
    assert_eq!((scene.dials(), scene.pool.stats().hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn protocols_and_peers_have_connections_of_their_own() {
    let scene = Scene::new(PoolConfig::default());
    let (bob, carol) = (scene.friend("bob").await, scene.friend("carol").await);
    let other: ProtocolId = "other/1".parse().unwrap();
    let _other = bob.provider.listen_with(ListenConfig::new(other.clone())).await.unwrap();
    let one = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    let two = scene.pool.get(bob.id(), &other).await.unwrap();
    let three = scene.pool.get(carol.id(), &protocol()).await.unwrap();
    assert_eq!((one.peer_id(), two.peer_id(), three.peer_id()), (bob.id(), bob.id(), carol.id()));
    assert_eq!((&one.negotiated().protocol, &two.negotiated().protocol), (&protocol(), &other));
    assert_eq!(scene.dials(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_closed_is_replaced() {
    let scene = Scene::new(PoolConfig::default());
    let bob = scene.friend("bob").await;
    let first = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    bob.listener.accept().await.unwrap().close(CloseCode(3), "enough");
    tokio::time::sleep(SECOND / 10).await;
    assert!(matches!(first.close_reason(), Some(CloseReason::Peer { code: CloseCode(3), .. })));
    let second = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    assert_eq!(second.close_reason(), None);
    assert_eq!((scene.dials(), scene.pool.stats().found_dead), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_nobody_uses_is_closed_when_its_time_has_passed_and_not_before() {
    let scene = Scene::new(PoolConfig { idle_timeout: 10 * SECOND, ..PoolConfig::default() });
    let bob = scene.friend("bob").await;
    let handle = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    let accepted = bob.listener.accept().await.unwrap();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(accepted.close_reason(), None, "it has a handle");
    drop(handle);
    tokio::time::sleep(10 * SECOND - SECOND / 100).await;
    assert_eq!(accepted.close_reason(), None);
    tokio::time::sleep(SECOND / 50).await;
    assert_eq!(accepted.close_reason().and_then(|reason| reason.code()), Some(CloseCode::OK));
    let stats = scene.pool.stats();
    assert_eq!((stats.connections, stats.evicted_idle), (0, 1));
    // Eviction had ended with the last connection; it begins again with the next.
    drop(scene.pool.get(bob.id(), &protocol()).await.unwrap());
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(scene.pool.stats().evicted_idle, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_connection_in_the_pool() {
    let scene = Scene::new(PoolConfig { idle_timeout: 10 * SECOND, ..PoolConfig::default() });
    let bob = scene.friend("bob").await;
    let mut stream = scene.pool.get(bob.id(), &protocol()).await.unwrap().open_stream().await.unwrap();
    stream.send.write_all(b"!").await.unwrap();
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(scene.pool.stats().idle, 0);
    scene.pool.get(bob.id(), &protocol()).await.unwrap();
    assert_eq!(scene.dials(), 1);
    // Half of it is enough; the end of both halves is not noticed by time but at once.
    stream.send.finish().unwrap();
    assert_eq!(scene.pool.stats().idle, 0);
    stream.recv.stop(0);
    assert_eq!(scene.pool.stats().idle, 1);
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(scene.pool.stats().evicted_idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_lets_go_of_the_longest_unused_and_is_an_error_when_all_are_used() {
    let scene = Scene::new(PoolConfig::default().with_connections_max(2));
    let [bob, carol, dave] = [scene.friend("bob").await, scene.friend("carol").await, scene.friend("dave").await];
    let get = async |friend: &Friend| scene.pool.get(friend.id(), &protocol()).await;
    let (to_bob, to_carol) = (get(&bob).await.unwrap(), get(&carol).await.unwrap());
    let error = get(&dave).await.unwrap_err();
    assert_eq!(error.to_string(), "limit reached: at most 2 connections of a pool, all in use");
    get(&bob).await.expect("a connection that is there is no new one");
    drop(to_carol);
    tokio::time::sleep(SECOND).await;
    drop(to_bob);
    let to_dave = get(&dave).await.unwrap();
    assert!(scene.pool.stats().evicted_for_room == 1 && scene.dials() == 3);
    get(&bob).await.unwrap();
    assert_eq!(scene.dials(), 3, "it was carol's that nobody had used for longest");
    // A dial under way takes its place, too.
    let to_bob = get(&bob).await.unwrap();
    drop(to_dave);
    let (carols, daves) = tokio::join!(biased; get(&carol), get(&dave));
    assert!(carols.is_ok() && matches!(daves, Err(P2PError::LimitReached { limit: 2, .. })));
    assert_eq!(scene.pool.stats().refused, 2);
    drop(to_bob);
}

/// Takes a second, and says what it is told to, or nothing for an hour.
#[derive(Debug, Default)]
struct Scripted {
    fails: AtomicBool,
    hangs: AtomicBool,
    runs: AtomicUsize,
}

#[async_trait]
impl Check for Scripted {
    async fn check(&self, _: &dyn P2PConnection) -> bool {
        self.runs.fetch_add(1, Relaxed);
        let hours = u32::from(self.hangs.load(Relaxed));
        tokio::time::sleep(SECOND + hours * 3600 * SECOND).await;
        !self.fails.load(Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_checked_once_for_all_who_want_it() {
    let check = Arc::new(Scripted::default());
    let scene = Scene::new(PoolConfig::default().with_check(check.clone()));
    let bob = scene.friend("bob").await;
    drop(scene.pool.get(bob.id(), &protocol()).await.unwrap());
    drop(scene.pool.get(bob.id(), &protocol()).await.unwrap());
    assert_eq!(check.runs.load(Relaxed), 0, "it was used a moment ago");
    let get_many = async || {
        let calls: Vec<_> = (0..10)
            .map(|_| {
                let (pool, bob) = (scene.pool.clone(), bob.id());
                tokio::spawn(async move { pool.get(bob, &protocol()).await.map(drop) })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    };
    // Sound; failing; silent.
    for (round, dials, dead) in [(1, 1, 0), (2, 2, 1), (3, 3, 2)] {
        check.fails.store(round == 2, Relaxed);
        check.hangs.store(round == 3, Relaxed);
        tokio::time::sleep(5 * SECOND).await;
        get_many().await;
        assert_eq!((check.runs.load(Relaxed), scene.dials(), scene.pool.stats().found_dead), (round, dials, dead));
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(scene.pool.stats().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_is_shared_without_a_check() {
    let check = Arc::new(Scripted::default());
    let scene = Scene::new(PoolConfig::default().with_check(check.clone()));
    let bob = scene.friend("bob").await;
    let _handle = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    tokio::time::sleep(100 * SECOND).await;
    scene.pool.get(bob.id(), &protocol()).await.unwrap();
    assert_eq!(check.runs.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lazy_peer_is_dialled_when_it_is_used_and_again_when_its_connection_is_gone() {
    let scene = Scene::new(PoolConfig::default());
    let bob = scene.friend("bob").await;
    let lazy = scene.pool.lazy(bob.id(), &protocol());
    assert_eq!(scene.dials(), 0);
    for dials in 1..=3 {
        let mut stream = lazy.open_stream().await.unwrap();
        stream.send.write_all(b"!").await.unwrap();
        let accepted = bob.listener.accept().await.unwrap();
        accepted.accept_stream().await.unwrap();
        lazy.open_stream().await.unwrap();
        assert_eq!(scene.dials(), dials);
        accepted.close(CloseCode(1), "");
        tokio::time::sleep(SECOND / 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_pool_go_its_dials_and_what_nobody_uses_and_nothing_else() {
    let scene = Scene::new(PoolConfig::default());
    let [bob, carol, dave] = [scene.friend("bob").await, scene.friend("carol").await, scene.friend("dave").await];
    let used = scene.pool.get(bob.id(), &protocol()).await.unwrap();
    drop(scene.pool.get(carol.id(), &protocol()).await.unwrap());
    assert!(tokio::time::timeout(SECOND / 2, scene.pool.get(dave.id(), &protocol())).await.is_err());
    let (bobs, carols) = (bob.listener.accept().await.unwrap(), carol.listener.accept().await.unwrap());
    drop(scene.pool);
    assert_eq!(carols.closed().await.code(), Some(CloseCode::OK));
    tokio::time::sleep(100 * SECOND).await;
    assert!(tokio::time::timeout(SECOND, dave.listener.accept()).await.is_err(), "the dial was given up");
    let mut stream = used.open_stream().await.unwrap();
    stream.send.write_all(b"!").await.unwrap();
    bobs.accept_stream().await.unwrap();
}

// A call under way holds the pool, and a shutdown below ends it.
#[tokio::test(start_paused = true)]
async fn a_shutdown_below_reaches_the_callers() {
    let network = MemoryNetwork::new();
    let alice = network.provider("alice");
    let pool = alice.clone().into_pool(PoolConfig::default());
    let bob = network.provider("bob");
    let _listener = bob.listen_with(ListenConfig::default()).await.unwrap();
    let handle = pool.get(bob.local_peer_id(), &protocol()).await.unwrap();
    alice.shutdown(SECOND).await;
    assert!(handle.open_stream().await.is_err());
    assert!(matches!(pool.get(bob.local_peer_id(), &protocol()).await, Err(P2PError::ShutDown)));
}

#[async_trait]
impl P2PProvider for Slow {
    fn local_peer_id(&self) -> PeerId {
        self.inner.local_peer_id()
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.inner.runtime()
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.inner.status()
    }

    fn peer_info(&self, peer: PeerId) -> Option<PeerInfo> {
        self.inner.peer_info(peer)
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        self.dials.fetch_add(1, Relaxed);
        self.runtime().sleep(SECOND).await;
        self.inner.connect_with(peer, config).await
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        self.inner.listen_with(config).await
    }

    async fn shutdown(&self, deadline: Duration) {
        self.inner.shutdown(deadline).await;
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slow({})", self.inner)
    }
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
