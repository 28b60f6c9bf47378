//! Channels where the network is bad: loss, reordering, slow lines, no transport at all, and silence.

#[path = "reconnect/killable.rs"]
mod killable;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2p::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PProvider, P2PProviderExt, ProtocolId, Rng, RuntimeExt,
    channel::{
        Batching, ByteChannel, ChannelConfig,
        ChannelKind::{ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced},
        Channels,
    },
    layer::{LayerExt, ReconnectConfig, reconnect::Backoff},
};
use p2p_simulator::{Fault, LinkConfig, Network, Place, Probability, Simulation};

use self::killable::Killable;

const SEEDS: u64 = 12;

fn protocol() -> ProtocolId {
    "channels/1".parse().unwrap()
}

fn message(number: u32, len: usize) -> Bytes {
    let mut bytes = vec![7; len.max(4)];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

fn number(message: &Bytes) -> u32 {
    u32::from_le_bytes(message[..4].try_into().unwrap())
}

fn bad_link() -> LinkConfig {
    LinkConfig::default()
        .with_latency(Duration::from_millis(30))
        .with_jitter(Duration::from_millis(10))
        .with_loss(Probability::percent(5))
        .with_reorder(Probability::percent(20))
        .with_dial_failure(Probability::NEVER)
}

async fn pair(network: &Network, set: &[ChannelConfig]) -> (Channels, Channels) {
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let listener = bob.listen(&protocol()).await.unwrap();
    let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
    open(ours, listener.accept().await.unwrap(), &alice, &bob, set).await
}

async fn open(
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    alice: &impl P2PProvider,
    bob: &impl P2PProvider,
    set: &[ChannelConfig],
) -> (Channels, Channels) {
    tokio::try_join!(
        Channels::open(ours, alice.runtime().clone(), set),
        Channels::open(theirs, bob.runtime().clone(), set),
    )
    .unwrap()
}

async fn read_all(channel: ByteChannel) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Ok(message) = channel.recv().await {
        numbers.push(number(&message));
    }
    numbers
}

// Kills fall while messages are under way, so a channel that counted on one transport would lose or double some.
#[test]
fn reliable_channels_lose_and_double_nothing_across_reconnects() {
    let mut kills = 0;
    let mut suspended = 0;
    for seed in 0..SEEDS {
        let run = Simulation::new(seed).with_link(bad_link()).run(|network| async move {
            let backoff = Backoff { initial_delay: Duration::from_millis(100), ..Backoff::default() };
            let config = ReconnectConfig::default().with_backoff(backoff);
            let link = Killable::new(network.provider("alice"));
            let alice = link.clone().with_reconnect(config.clone()).unwrap();
            let bob = Killable::new(network.provider("bob")).with_reconnect(config).unwrap();
            let listener = bob.listen(&protocol()).await.unwrap();
            let ours = alice.connect(bob.local_peer_id(), &protocol()).await.unwrap();
            link.break_dials(Rng::from_seed([seed as u8; 32]));
            let set = [
                ChannelConfig::new("ordered", ReliableOrdered).with_queue_bytes_max(8192),
                ChannelConfig::new("unordered", ReliableUnordered).with_queue_bytes_max(8192),
                ChannelConfig::new("lossy", Unreliable),
            ];
            let (ours, theirs) = open(ours, listener.accept().await.unwrap(), &alice, &bob, &set).await;
            let readers = ["ordered", "unordered", "lossy"].map(|name| read_all(theirs.bytes(name).unwrap()));
            let readers = readers.map(tokio::spawn);
            let mut kills = 0;
            for n in 0..400 {
                for name in ["ordered", "unordered"] {
                    let sent = ours.bytes(name).unwrap().send(message(n, n as usize * 5)).await;
                    assert!(sent.is_ok(), "seed {seed}: {sent:?}, and there {:?}", theirs.connection().close_reason());
                }
                let sent = ours.bytes("lossy").unwrap().send(message(n, 40)).await;
                assert!(sent.is_ok(), "seed {seed}: {sent:?}, and there {:?}", theirs.connection().close_reason());
                alice.runtime().sleep(Duration::from_millis(3)).await;
                if n % 80 == 40 {
                    kills += link.kill();
                }
            }
            let lossy = ours.bytes("lossy").unwrap();
            let ended = ours.finish().await;
            assert!(ended.is_ok(), "seed {seed}: {ended:?}, and there {:?}", theirs.connection().close_reason());
            let [ordered, unordered, some] = readers;
            let (ordered, mut unordered, mut some) =
                (ordered.await.unwrap(), unordered.await.unwrap(), some.await.unwrap());
            assert_eq!(ordered, (0..400).collect::<Vec<_>>(), "seed {seed}");
            unordered.sort_unstable();
            assert_eq!(unordered, (0..400).collect::<Vec<_>>(), "seed {seed}");
            let all = some.len();
            some.sort_unstable();
            some.dedup();
            assert_eq!(some.len(), all, "seed {seed}: an unreliable message came twice");
            (kills, lossy.stats().dropped_suspended)
        });
        kills += run.output.0;
        suspended += run.output.1;
    }
    assert!(kills as u64 >= 2 * SEEDS, "only {kills} transports were killed");
    assert!(suspended > 0, "nothing was dropped for want of a transport");
}

#[test]
fn a_sequenced_channel_never_goes_back_and_counts_what_came_late() {
    let mut late = 0;
    for seed in 0..SEEDS {
        let run = Simulation::new(seed).with_link(bad_link()).run(|network| async move {
            let (ours, theirs) = pair(&network, &[ChannelConfig::new("it", UnreliableSequenced)]).await;
            let reader = tokio::spawn(read_all(theirs.bytes("it").unwrap()));
            let runtime = network.provider("alice").runtime().clone();
            for n in 0..500 {
                ours.bytes("it").unwrap().send(message(n, 30)).await.unwrap();
                runtime.sleep(Duration::from_millis(5)).await;
            }
            runtime.sleep(Duration::from_secs(1)).await;
            ours.finish().await.unwrap();
            let numbers = reader.await.unwrap();
            assert!(numbers.is_sorted_by(|a, b| a < b), "seed {seed}: {numbers:?}");
            let dropped = theirs.bytes("it").unwrap().stats().dropped_late;
            assert!((200..500).contains(&numbers.len()), "seed {seed}: {} of 500 came", numbers.len());
            dropped
        });
        late += run.output;
    }
    assert!(late > 0, "no seed had a late one");
}

// The line takes 100 kB/s and both want all of it. Priority 4 beside 1 is four fifths, and one fifth is not nothing.
#[test]
fn bandwidth_is_shared_by_priority_and_nothing_starves() {
    for seed in 0..3 {
        let link = LinkConfig::ideal(Duration::from_millis(20)).with_bandwidth(100_000, 64 * 1024);
        Simulation::new(seed).with_link(link).run(|network| async move {
            let set = [
                ChannelConfig::new("high", ReliableOrdered).with_priority(4),
                ChannelConfig::new("low", ReliableOrdered),
            ];
            let (ours, theirs) = pair(&network, &set).await;
            for name in ["high", "low"] {
                let channel = ours.bytes(name).unwrap();
                tokio::spawn(async move { while channel.send(message(0, 1000)).await.is_ok() {} });
                tokio::spawn(read_all(theirs.bytes(name).unwrap()));
            }
            network.provider("alice").runtime().sleep(Duration::from_secs(60)).await;
            let [high, low] = ["high", "low"].map(|name| theirs.bytes(name).unwrap().stats().messages_received);
            assert!(low > 600, "seed {seed}: low sent {low}, high {high}");
            let share = high * 10 / low;
            assert!((30..=50).contains(&share), "seed {seed}: high {high}, low {low}");
        });
    }
}

// One way takes 50 ms, and the channel would wait an hour for company.
#[test]
fn a_lone_message_on_an_idle_line_arrives_after_one_latency() {
    let link = LinkConfig::ideal(Duration::from_millis(50));
    Simulation::new(1).with_link(link).run(|network| async move {
        let batching = Batching { max_wait_time: Duration::from_millis(400), ..Batching::default() };
        for kind in [ReliableOrdered, ReliableUnordered, Unreliable, UnreliableSequenced] {
            let set = [ChannelConfig::new("it", kind).with_batching(batching)];
            let (ours, theirs) = pair(&network, &set).await;
            let (sending, receiving) = (ours.bytes("it").unwrap(), theirs.bytes("it").unwrap());
            for n in 0..3 {
                network.provider("alice").runtime().sleep(Duration::from_secs(1)).await;
                let sent = network.now();
                sending.send(message(n, 100)).await.unwrap();
                receiving.recv().await.unwrap();
                let took = network.now() - sent;
                assert!(took < Duration::from_millis(60), "{kind:?} took {took:?}");
            }
            // Company is what the fourth waits for, as the third has just left.
            let before = sending.stats().frames_sent;
            for n in 0..20 {
                sending.send(message(n, 10)).await.unwrap();
                network.provider("alice").runtime().sleep(Duration::from_millis(2)).await;
            }
            for _ in 0..20 {
                receiving.recv().await.unwrap();
            }
            let frames = sending.stats().frames_sent - before;
            assert!(frames <= 3, "{kind:?}: 20 messages left in {frames} frames");
        }
    });
}

// A partition is silence: no reset, no error. Both sides must find out by the idle timeout they were given.
#[test]
fn a_half_open_peer_is_found_within_the_configured_time() {
    for seed in 0..SEEDS {
        Simulation::new(seed).with_link(bad_link()).run(|network| async move {
            let idle = Duration::from_secs(3);
            let terms = ConnectionConfig::new(protocol()).with_liveness(Duration::from_millis(500), idle);
            let (alice, bob) = (network.provider("alice"), network.provider("bob"));
            let listener = bob.listen_with(ListenConfig::from(terms.clone())).await.unwrap();
            let ours = alice.connect_with(bob.local_peer_id().into(), terms).await.unwrap();
            let theirs = listener.accept().await.unwrap();
            let (ours, theirs) = open(ours, theirs, &alice, &bob, &[ChannelConfig::new("it", Unreliable)]).await;
            // Twice the timeout without a message: keepalives keep it.
            alice.runtime().sleep(2 * idle).await;
            assert!(ours.connection().close_reason().is_none(), "seed {seed}");
            let _cut = network.inject(Fault::Partition, Place::between("alice", "bob"));
            let cut_at = network.now();
            for side in [&ours, &theirs] {
                side.bytes("it").unwrap().recv().await.unwrap_err();
                let took = network.now() - cut_at;
                assert!(took <= idle + Duration::from_millis(100), "seed {seed}: found after {took:?}");
            }
        });
    }
}
