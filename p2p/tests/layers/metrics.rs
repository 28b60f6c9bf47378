//! `Metrics`: what is counted, when, and how often.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use p2p::{
    CloseCode, CloseReason, ConnectionConfig, ConnectionState, ListenConfig, P2PConnection, P2PError, P2PProvider,
    Path,
    layer::{
        Deadlines, LayerExt, Metrics,
        metrics::{FAMILIES, FamilyKind},
    },
    memory::MemoryNetwork,
};

use crate::{
    recorder::{TestRecorder, family_of},
    stub::{StubConnection, StubProvider, direct, peer, relayed},
};

const SECOND: Duration = Duration::from_secs(1);

/// The names that dashboards and alerts are written against. A change here is a change for every operator.
const GOLDEN: &str = "
counter   p2p_connect_attempts_total{outcome}
histogram p2p_connect_duration_seconds{path}
gauge     p2p_connections{path}
counter   p2p_connections_opened_total{dir}
counter   p2p_connections_closed_total{reason}
histogram p2p_time_to_direct_seconds{}
counter   p2p_path_changes_total{from,to}
histogram p2p_path_rtt_seconds{path}
counter   p2p_messages_total{dir}
counter   p2p_datagrams_total{dir}
counter   p2p_datagrams_dropped_total{reason}
counter   p2p_streams_opened_total{dir}
counter   p2p_bytes_total{dir,path}
counter   p2p_send_queue_full_total{}
gauge     p2p_sends_waiting{what}
counter   p2p_backpressure_seconds_total{what}
";

fn kind(kind: FamilyKind) -> &'static str {
    match kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram { .. } => "histogram",
    }
}

#[test]
fn the_families_are_the_golden_ones() {
    let mut list = String::from("\n");
    for family in FAMILIES {
        let (kind, labels) = (kind(family.kind), family.labels.join(","));
        list += &format!("{kind:<9} {}{{{labels}}}\n", family.name);
    }
    assert_eq!(list, GOLDEN);
}

#[test]
fn families_keep_prometheus_rules() {
    for family in FAMILIES {
        let name = family.name;
        assert_eq!(name.ends_with("_total"), matches!(family.kind, FamilyKind::Counter), "{name}");
        let stem = name.trim_end_matches("_total");
        match family.unit {
            metrics::Unit::Count => {}
            unit => assert!(stem.ends_with(unit.as_str()), "{name} ends in its unit"),
        }
        if let FamilyKind::Histogram { buckets } = family.kind {
            assert!(buckets.is_sorted() && !buckets.is_empty(), "{name}");
        }
        assert!(family.help.ends_with('.'), "{name}'s help is a sentence");
    }
}

#[test]
fn every_series_exists_described_and_at_zero_from_the_start() {
    let recorder = TestRecorder::default();
    let _layer = MemoryNetwork::new().provider("alice").with_metrics(&recorder);

    let all = recorder.all();
    let registered: BTreeSet<_> = all.iter().map(|(kind, series, _)| (*kind, family_of(series))).collect();
    let expected: BTreeSet<_> = FAMILIES.iter().map(|family| (kind(family.kind), family.name)).collect();
    assert_eq!(registered, expected);
    for (_, series, value) in &all {
        assert_eq!(*value, 0.0, "{series}");
    }
    for family in FAMILIES {
        assert_eq!(recorder.described(family.name), Some((kind(family.kind), Some(family.unit), family.help.into())));
    }
    // The bound on the number of series, for whoever pays for them.
    assert_eq!(all.len(), 65);
    assert_eq!(recorder.counter(r#"p2p_bytes_total{dir="out",path="relayed"}"#), 0);
}

#[test]
fn constant_labels_are_on_every_series() {
    let recorder = TestRecorder::default();
    let provider = MemoryNetwork::new().provider("alice");
    let _layer = Metrics::with_labels(provider, &recorder, &[("impl", "memory")]);
    for (_, series, _) in recorder.all() {
        assert!(series.contains(r#"{impl="memory""#), "{series}");
    }
}

/// A connected pair, both ends counted by a recorder of their own.
struct Pair {
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    our_numbers: TestRecorder,
    their_numbers: TestRecorder,
}

impl Pair {
    async fn new() -> Self {
        let (our_numbers, their_numbers) = (TestRecorder::default(), TestRecorder::default());
        let network = MemoryNetwork::new();
        let alice = network.provider("alice").with_metrics(&our_numbers);
        let bob = network.provider("bob").with_metrics(&their_numbers);
        let listener = bob.listen_with(ListenConfig::default()).await.unwrap();
        let (ours, theirs) = tokio::try_join!(
            alice.connect_with(bob.local_peer_id().into(), ConnectionConfig::default()),
            listener.accept()
        )
        .unwrap();
        Self { ours, theirs, our_numbers, their_numbers }
    }
}

/// Lets the tasks that follow connections see what happened.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_counts_at_both_ends() {
    let Pair { our_numbers: ours, their_numbers: theirs, .. } = &Pair::new().await;
    assert_eq!(ours.counter(r#"p2p_connect_attempts_total{outcome="connected"}"#), 1);
    assert_eq!(theirs.sum("p2p_connect_attempts_total"), 0);
    assert_eq!(ours.histogram(r#"p2p_connect_duration_seconds{path="direct"}"#).len(), 1);
    assert_eq!(ours.counter(r#"p2p_connections_opened_total{dir="out"}"#), 1);
    assert_eq!(theirs.counter(r#"p2p_connections_opened_total{dir="in"}"#), 1);
    for numbers in [ours, theirs] {
        assert_eq!(numbers.sum("p2p_connections_opened_total"), 1);
        assert_eq!(numbers.gauge(r#"p2p_connections{path="direct"}"#), 1.0);
        assert_eq!(numbers.histogram("p2p_time_to_direct_seconds"), [0.0]);
    }
}

// The engine counts on its own, so equal sums prove that the layer saw each thing exactly once.
#[tokio::test(start_paused = true)]
async fn what_is_counted_is_what_the_connection_itself_counts() {
    let pair = Pair::new().await;
    for size in [0, 1, 10_000] {
        pair.ours.send(vec![0; size].into()).await.unwrap();
        pair.theirs.recv().await.unwrap();
        pair.theirs.try_send(vec![0; size].into()).unwrap();
        settle().await;
        pair.ours.try_recv().unwrap().unwrap();
    }
    pair.ours.send_datagram("datagram".into()).unwrap();
    pair.theirs.recv_datagram().await.unwrap();
    let mut stream = pair.ours.open_stream().await.unwrap();
    stream.send.write_all(&[0; 5000]).await.unwrap();
    stream.send.finish().unwrap();
    let mut stream = pair.theirs.accept_stream().await.unwrap();
    stream.recv.read_to_end(5000).await.unwrap();

    for (connection, numbers) in [(&pair.ours, &pair.our_numbers), (&pair.theirs, &pair.their_numbers)] {
        let stats = connection.stats();
        for (series, expected) in [
            (r#"p2p_messages_total{dir="out"}"#, stats.messages_sent),
            (r#"p2p_messages_total{dir="in"}"#, stats.messages_received),
            (r#"p2p_datagrams_total{dir="out"}"#, stats.datagrams_sent),
            (r#"p2p_datagrams_total{dir="in"}"#, stats.datagrams_received),
            (r#"p2p_bytes_total{dir="out",path="direct"}"#, stats.bytes_sent),
            (r#"p2p_bytes_total{dir="in",path="direct"}"#, stats.bytes_received),
        ] {
            assert_eq!(numbers.counter(series), expected, "{series}");
        }
    }
    assert_eq!(pair.our_numbers.counter(r#"p2p_bytes_total{dir="out",path="direct"}"#), 10_001 + 8 + 5000);
    assert_eq!(pair.our_numbers.counter(r#"p2p_streams_opened_total{dir="out"}"#), 1);
    assert_eq!(pair.their_numbers.counter(r#"p2p_streams_opened_total{dir="in"}"#), 1);
}

#[tokio::test(start_paused = true)]
async fn a_streams_bytes_are_counted_while_it_is_open() {
    let pair = Pair::new().await;
    let mut ours = pair.ours.open_stream().await.unwrap();
    ours.send.write_all(b"so far").await.unwrap();
    assert_eq!(pair.our_numbers.sum("p2p_bytes_total"), 6);
    let mut theirs = pair.theirs.accept_stream().await.unwrap();
    theirs.recv.read_chunk(4).await.unwrap();
    assert_eq!(pair.their_numbers.sum("p2p_bytes_total"), 4);
    theirs.recv.read_chunk(4).await.unwrap();
    assert_eq!(pair.their_numbers.sum("p2p_bytes_total"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_connection_leaves_the_gauge_once_however_often_it_is_closed() {
    let pair = Pair::new().await;
    pair.ours.close(CloseCode(7), "enough");
    pair.ours.close(CloseCode(8), "really");
    pair.theirs.close(CloseCode(9), "me too");
    pair.theirs.closed().await;
    settle().await;
    for numbers in [&pair.our_numbers, &pair.their_numbers] {
        assert_eq!(numbers.gauge_sum("p2p_connections"), 0.0);
        assert_eq!(numbers.sum("p2p_connections_closed_total"), 1);
    }
    let closed = |numbers: &TestRecorder, reason| {
        numbers.counter(&format!("p2p_connections_closed_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!(closed(&pair.our_numbers, "local"), 1);

    drop((pair.ours, pair.theirs));
    settle().await;
    for numbers in [&pair.our_numbers, &pair.their_numbers] {
        assert_eq!(numbers.gauge_sum("p2p_connections"), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_the_connection_through_the_layer() {
    let pair = Pair::new().await;
    drop(pair.ours);
    assert_eq!(pair.theirs.closed().await.code(), Some(CloseCode::OK));
    settle().await;
    assert_eq!(pair.our_numbers.gauge_sum("p2p_connections"), 0.0);
    assert_eq!(pair.their_numbers.counter(r#"p2p_connections_closed_total{reason="peer"}"#), 1);
}

/// A stub connection behind `Metrics`, and what it counts.
async fn counted(inner: &Arc<StubConnection>) -> (Arc<dyn P2PConnection>, Metrics<StubProvider>, TestRecorder) {
    let recorder = TestRecorder::default();
    let provider = StubProvider::of(inner).with_metrics(&recorder);
    let connection = provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap();
    (connection, provider, recorder)
}

// The tasks die with the runtime and see no close. Whoever shares the recorder must not keep the connections of a
// runtime that is gone.
#[test]
fn a_connection_whose_runtime_ends_leaves_the_gauge_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let inner = StubConnection::new(direct());
    let (_connection, _provider, numbers) = runtime.block_on(counted(&inner));
    assert_eq!(numbers.gauge_sum("p2p_connections"), 1.0);
    drop(runtime);
    assert_eq!(numbers.gauge_sum("p2p_connections"), 0.0);
    assert_eq!(numbers.counter(r#"p2p_connections_closed_total{reason="unknown"}"#), 1);
}

#[tokio::test(start_paused = true)]
async fn the_layer_does_not_keep_a_connection_alive() {
    let inner = StubConnection::new(direct());
    let (connection, provider, _numbers) = counted(&inner).await;
    settle().await;
    drop((connection, provider));
    assert_eq!(Arc::strong_count(&inner), 1);
}

#[tokio::test(start_paused = true)]
async fn the_gauge_and_the_bytes_follow_the_path() {
    let inner = StubConnection::new(relayed());
    let (connection, _provider, numbers) = counted(&inner).await;
    let gauges =
        || ["direct", "relayed", "none"].map(|path| numbers.gauge(&format!("p2p_connections{{path=\"{path}\"}}")));
    let changes = |from, to| numbers.counter(&format!("p2p_path_changes_total{{from=\"{from}\",to=\"{to}\"}}"));
    assert_eq!(gauges(), [0.0, 1.0, 0.0]);
    connection.send("123".into()).await.unwrap();

    tokio::time::sleep(2 * SECOND).await;
    inner.set_path(direct());
    settle().await;
    assert_eq!(gauges(), [1.0, 0.0, 0.0]);
    assert_eq!(changes("relayed", "direct"), 1);
    connection.send("12345".into()).await.unwrap();
    let bytes = |path| numbers.counter(&format!("p2p_bytes_total{{dir=\"out\",path=\"{path}\"}}"));
    assert_eq!((bytes("relayed"), bytes("direct")), (3, 5));

    let elsewhere = Path::Direct { remote: "198.51.100.1:1".into() };
    inner.set_path(Some(elsewhere));
    settle().await;
    assert_eq!(changes("direct", "direct"), 1);
    inner.state.set(ConnectionState::Reconnecting { since: p2p::Instant::ZERO, attempt: 1 });
    settle().await;
    assert_eq!(gauges(), [0.0, 0.0, 1.0]);
    inner.set_path(direct());
    settle().await;
    assert_eq!(gauges(), [1.0, 0.0, 0.0]);
    assert_eq!(numbers.sum("p2p_path_changes_total"), 4);

    // Only the first time counts, and from the beginning.
    let time_to_direct = numbers.histogram("p2p_time_to_direct_seconds");
    assert_eq!(time_to_direct.len(), 1);
    assert!((2.0..2.1).contains(&time_to_direct[0]), "{time_to_direct:?}");
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_sampled_while_the_connection_is_idle_and_at_its_end() {
    let inner = StubConnection::new(relayed());
    *inner.rtt.lock().unwrap() = Some(Duration::from_millis(80));
    let (connection, _provider, numbers) = counted(&inner).await;
    let samples = || numbers.histogram(r#"p2p_path_rtt_seconds{path="relayed"}"#);
    tokio::time::sleep(35 * SECOND).await;
    assert_eq!(samples(), [0.08; 3]);
    connection.close(CloseCode::OK, "");
    tokio::time::sleep(35 * SECOND).await;
    assert_eq!(samples(), [0.08; 4], "and none after the end");
}

#[tokio::test(start_paused = true)]
async fn dials_count_by_outcome_and_only_successful_ones_have_a_duration() {
    let outcome = |numbers: &TestRecorder, outcome| {
        assert_eq!(numbers.sum("p2p_connect_attempts_total"), 1);
        numbers.counter(&format!("p2p_connect_attempts_total{{outcome=\"{outcome}\"}}"))
    };
    let dial = |answer: fn() -> P2PError| async move {
        let numbers = TestRecorder::default();
        let provider = StubProvider::answering(Some(SECOND), move || Err(answer())).with_metrics(&numbers);
        provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap_err();
        assert_eq!(numbers.sum("p2p_connections_opened_total"), 0);
        for path in ["direct", "relayed", "none"] {
            let series = format!("p2p_connect_duration_seconds{{path=\"{path}\"}}");
            assert!(numbers.histogram(&series).is_empty());
        }
        numbers
    };
    let not_found = dial(|| P2PError::PeerNotFound { peer: peer().peer, source: "nobody there".into() });
    assert_eq!(outcome(&not_found.await, "peer_not_found"), 1);
    assert_eq!(outcome(&dial(|| P2PError::ShutDown).await, "shut_down"), 1);
    let odd = dial(|| P2PError::DatagramsUnsupported).await;
    assert_eq!(outcome(&odd, "other"), 1, "nothing goes uncounted");

    let numbers = TestRecorder::default();
    let connection = StubConnection::new(relayed());
    let provider = StubProvider::answering(Some(3 * SECOND), move || Ok(connection.clone())).with_metrics(&numbers);
    provider.connect_with(peer(), ConnectionConfig::default()).await.unwrap();
    assert_eq!(outcome(&numbers, "connected"), 1);
    assert_eq!(numbers.histogram(r#"p2p_connect_duration_seconds{path="relayed"}"#), [3.0]);
}

// What the order of layers costs, as the documentation says it.
#[tokio::test(start_paused = true)]
async fn outside_of_timeout_a_deadline_is_a_timeout_and_inside_of_it_a_dropped_call() {
    let deadlines = Deadlines::NONE.with_connect(SECOND);
    let (right, wrong) = (TestRecorder::default(), TestRecorder::default());
    let stacks: [Box<dyn P2PProvider>; 2] = [
        Box::new(StubProvider::silent().with_timeout(deadlines).with_metrics(&right)),
        Box::new(StubProvider::silent().with_metrics(&wrong).with_timeout(deadlines)),
    ];
    for stack in &stacks {
        stack.connect_with(peer(), ConnectionConfig::default()).await.unwrap_err();
    }
    for (numbers, outcome) in [(&right, "timeout"), (&wrong, "cancelled")] {
        assert_eq!(numbers.sum("p2p_connect_attempts_total"), 1);
        assert_eq!(numbers.counter(&format!("p2p_connect_attempts_total{{outcome=\"{outcome}\"}}")), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_counted_and_the_message_comes_back() {
    let inner = StubConnection::new(direct());
    let (connection, _provider, numbers) = counted(&inner).await;
    connection.try_send("fits".into()).unwrap();
    inner.full.store(true, Relaxed);
    match connection.try_send("too much".into()) {
        Err(p2p::TrySendError::Full(message)) => assert_eq!(message, "too much"),
        other => panic!("expected Full, got {other:?}"),
    }
    assert_eq!(numbers.counter("p2p_send_queue_full_total"), 1);
    assert_eq!(numbers.sum("p2p_messages_total"), 1);
    assert_eq!(numbers.sum("p2p_bytes_total"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_shows_while_it_waits_and_its_time_when_it_is_given_up() {
    let inner = StubConnection::new(direct());
    let (connection, _provider, numbers) = counted(&inner).await;
    connection.send("no wait".into()).await.unwrap();
    inner.full.store(true, Relaxed);
    let waiting = || numbers.gauge(r#"p2p_sends_waiting{what="message"}"#);
    {
        let mut send = pin!(connection.send("waits".into()));
        assert!(tokio::time::timeout(7 * SECOND, &mut send).await.is_err());
        assert_eq!(waiting(), 1.0);
    }
    assert_eq!(waiting(), 0.0);
    let waited = numbers.counter(r#"p2p_backpressure_seconds_total{what="message"}"#);
    assert_eq!(waited, 7);
    assert_eq!(numbers.sum("p2p_messages_total"), 1);
}

// The peer reads nothing for 5 s, so the writer must have waited for that long, give or take the part of a second that
// the counter holds back.
#[tokio::test(start_paused = true)]
async fn a_write_that_waits_counts_as_backpressure_of_streams() {
    let pair = Pair::new().await;
    let mut ours = pair.ours.open_stream().await.unwrap();
    ours.send.write_all(b"hello").await.unwrap();
    let mut theirs = pair.theirs.accept_stream().await.unwrap();
    let writer = tokio::spawn(async move { ours.send.write_all(&vec![0; 16 << 20]).await });
    tokio::time::sleep(5 * SECOND).await;
    let waiting = || pair.our_numbers.gauge(r#"p2p_sends_waiting{what="stream"}"#);
    assert_eq!(waiting(), 1.0);
    while theirs.recv.read_chunk(1 << 20).await.is_ok_and(|chunk| chunk.is_some()) {}
    let _ = writer.await.unwrap();
    assert_eq!(waiting(), 0.0);
    let waited = pair.our_numbers.counter(r#"p2p_backpressure_seconds_total{what="stream"}"#);
    assert!((4..=5).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_datagram_that_is_not_taken_counts_as_dropped() {
    let inner = StubConnection::new(direct());
    let (connection, _provider, numbers) = counted(&inner).await;
    connection.send_datagram(Bytes::from_static(&[0; 100])).unwrap();
    connection.send_datagram(Bytes::from_static(&[0; 101])).unwrap_err();
    assert_eq!(numbers.counter(r#"p2p_datagrams_total{dir="out"}"#), 1);
    assert_eq!(numbers.counter(r#"p2p_datagrams_dropped_total{reason="datagram_too_large"}"#), 1);
    assert_eq!(numbers.sum("p2p_bytes_total"), 100);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_closed_before_the_layer_saw_it_is_counted_out_again() {
    let inner = StubConnection::new(None);
    inner.state.set(ConnectionState::Closed { reason: CloseReason::TimedOut, unacknowledged: 0 });
    let (_connection, _provider, numbers) = counted(&inner).await;
    settle().await;
    assert_eq!(numbers.sum("p2p_connections_opened_total"), 1);
    assert_eq!(numbers.gauge_sum("p2p_connections"), 0.0);
    assert_eq!(numbers.counter(r#"p2p_connections_closed_total{reason="timed_out"}"#), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_layer_count_together() {
    let recorder = TestRecorder::default();
    let layer = Arc::new(StubProvider::silent()).with_metrics(&recorder);
    for layer in [layer.clone(), layer] {
        let dial = layer.connect_with(peer(), ConnectionConfig::default());
        assert!(tokio::time::timeout(SECOND, dial).await.is_err());
    }
    assert_eq!(recorder.counter(r#"p2p_connect_attempts_total{outcome="cancelled"}"#), 2);
}
