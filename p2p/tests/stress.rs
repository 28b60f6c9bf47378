//! Races in real time on several threads: whatever is cancelled, closed, finished or dropped meanwhile, nothing is lost,
//! doubled, reordered, or left waiting.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use p2p::{
    CloseCode, ConnectionConfig, P2PConnection, P2PError, P2PListener, P2PProvider, Rng, Runtime, TokioRuntime,
    memory::MemoryNetwork,
};
use tokio::task::JoinSet;

/// Far more than any of these takes; reached only by what hangs.
const DEADLINE: Duration = Duration::from_secs(20);

async fn in_time<O>(what: &str, work: impl Future<Output = O>) -> O {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

struct Pair {
    ours: Arc<dyn P2PConnection>,
    theirs: Arc<dyn P2PConnection>,
    _listener: Box<dyn P2PListener>,
}

/// A connection with buffers so small that everybody has to wait.
async fn pair() -> Pair {
    let network = MemoryNetwork::new();
    let (alice, bob) = (network.provider("alice"), network.provider("bob"));
    let config = ConnectionConfig::default().with_buffer_bytes(2000).with_streams_max(4);
    let listener = bob.listen_with(config.clone().into()).await.unwrap();
    let dialling = alice.connect_with(bob.local_peer_id().into(), config);
    let (ours, theirs) = tokio::try_join!(dialling, listener.accept()).unwrap();
    Pair { ours, theirs, _listener: listener }
}

fn rng() -> Rng {
    TokioRuntime.rng("stress")
}

/// A message of this sender's, of some length.
fn message(sender: u64, number: u64) -> Bytes {
    let mut bytes = [sender.to_le_bytes(), number.to_le_bytes()].concat();
    bytes.resize(16 + (number * 7919 % 2500) as usize, 0);
    bytes.into()
}

fn number_of(message: &Bytes) -> (u64, u64) {
    let at = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().unwrap());
    (at(0), at(8))
}

/// Polls a future a few times and gives it up, or sees it through.
async fn perhaps<O>(rng: &mut Rng, work: impl Future<Output = O>) -> Option<O> {
    match rng.below(4) {
        0 => Some(work.await),
        1 => tokio::time::timeout(Duration::from_micros(rng.below(300)), work).await.ok(),
        turns => {
            let patience = async {
                for _ in 1..turns {
                    tokio::task::yield_now().await;
                }
            };
            p2p::select! {
                done = work => Some(done),
                () = patience => None,
            }
        }
    }
}

/// Receives until the end, giving up now and then, and returns what it was given.
async fn receive(connection: Arc<dyn P2PConnection>) -> Vec<(u64, u64)> {
    let (mut rng, mut received) = (rng(), Vec::new());
    loop {
        match perhaps(&mut rng, connection.recv()).await {
            Some(Ok(message)) => received.push(number_of(&message)),
            Some(Err(_)) => return received,
            None => match connection.try_recv() {
                Ok(message) => received.extend(message.as_ref().map(number_of)),
                Err(_) => return received,
            },
        }
    }
}

/// Sends numbered messages, giving up now and then, and returns how many were accepted.
async fn send(connection: Arc<dyn P2PConnection>, sender: u64, most: u64) -> u64 {
    let (mut rng, mut accepted) = (rng(), 0);
    while accepted < most {
        match perhaps(&mut rng, connection.send(message(sender, accepted))).await {
            Some(Ok(())) => accepted += 1,
            Some(Err(_)) => break,
            None => {}
        }
    }
    accepted
}

// Each message that was accepted reaches at most one receiver, and exactly one where the finish succeeded; each receiver
// sees each sender's in order. Receivers wait to the end, so a lost wake-up anywhere is a hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_and_receivers_that_change_their_minds_lose_nothing() {
    const SENDERS: u64 = 4;
    const MESSAGES: u64 = 100;
    for _ in 0..6 {
        let Pair { ours, theirs, _listener } = pair().await;
        let mut sending = JoinSet::new();
        let mut receiving = Vec::new();
        for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
            (0..SENDERS).for_each(|sender| drop(sending.spawn(send(from.clone(), sender, MESSAGES))));
            let mut receivers = JoinSet::new();
            (0..3).for_each(|_| drop(receivers.spawn(receive(to.clone()))));
            receiving.push(receivers);
        }
        let accepted = in_time("sending", sending.join_all()).await;
        assert_eq!(accepted.iter().sum::<u64>(), 2 * SENDERS * MESSAGES);
        let (one, other) = in_time("finishing", async { tokio::join!(ours.finish(), theirs.finish()) }).await;
        assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        for (receivers, finished) in receiving.into_iter().zip([one.is_ok(), other.is_ok()]) {
            let mut seen = BTreeSet::new();
            for received in in_time("receiving", receivers.join_all()).await {
                for sender in 0..SENDERS {
                    let of_one = received.iter().filter(|message| message.0 == sender);
                    assert!(of_one.is_sorted(), "reordered");
                }
                assert!(received.into_iter().all(|message| seen.insert(message)), "doubled");
            }
            assert!(!finished || seen.len() as u64 == SENDERS * MESSAGES, "lost");
        }
    }
}

// With one direction only, what `finish` promises is the number accepted, however the senders were interrupted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_in_the_midst_of_sending_delivers_exactly_what_was_accepted() {
    for round in 0..30 {
        let Pair { ours, theirs, _listener } = pair().await;
        let mut sending = JoinSet::new();
        (0..3).for_each(|sender| drop(sending.spawn(send(ours.clone(), sender, u64::MAX))));
        let mut receiving = JoinSet::new();
        (0..2).for_each(|_| drop(receiving.spawn(receive(theirs.clone()))));
        tokio::time::sleep(Duration::from_micros(round * 20)).await;
        in_time("finish", ours.finish()).await.unwrap();
        let accepted: u64 = in_time("senders", sending.join_all()).await.into_iter().sum();
        let received: usize = in_time("receivers", receiving.join_all()).await.iter().map(Vec::len).sum();
        assert_eq!(received as u64, accepted);
    }
}

// A close resolves every pending call of both sides with the end, and what was received is without gaps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_at_any_moment_resolves_everything() {
    for round in 0..40u64 {
        let Pair { ours, theirs, _listener } = pair().await;
        let resolved = Arc::new(AtomicUsize::new(0));
        let mut calls = JoinSet::new();
        for connection in [&ours, &theirs] {
            let both = || (connection.clone(), resolved.clone());
            let (c, n) = both();
            calls.spawn(async move {
                send(c, 0, u64::MAX).await;
                n.fetch_add(1, SeqCst);
            });
            let (c, n) = both();
            calls.spawn(async move {
                let received = receive(c).await;
                assert!(received.iter().enumerate().all(|(at, &(_, number))| number == at as u64));
                n.fetch_add(1, SeqCst);
            });
            let (c, n) = both();
            calls.spawn(async move {
                while let Ok(mut stream) = c.open_stream().await {
                    if stream.send.write_all(&[7; 3000]).await.is_ok() && stream.send.finish().is_ok() {
                        let _ = stream.send.delivered().await;
                    }
                }
                n.fetch_add(1, SeqCst);
            });
            let (c, n) = both();
            calls.spawn(async move {
                while let Ok(mut stream) = c.accept_stream().await {
                    let _ = stream.recv.read_to_end(10_000).await;
                }
                n.fetch_add(1, SeqCst);
            });
            let (c, n) = both();
            calls.spawn(async move {
                while c.recv_datagram().await.is_ok() {}
                n.fetch_add(1, SeqCst);
            });
        }
        let _ = ours.send_datagram("there".into());
        tokio::time::sleep(Duration::from_micros(round * 25)).await;
        match round % 4 {
            0 => ours.close(CloseCode(1), "ours"),
            1 => theirs.close(CloseCode(2), "theirs"),
            2 => {
                let (ours, theirs) = (ours.clone(), theirs.clone());
                let one = tokio::spawn(async move { ours.close(CloseCode(1), "ours") });
                let two = tokio::spawn(async move { theirs.close(CloseCode(2), "theirs") });
                let _ = tokio::join!(one, two);
            }
            _ => {
                let finishing = ours.clone();
                let finish = tokio::spawn(async move { finishing.finish().await });
                theirs.close(CloseCode(3), "theirs");
                let _ = in_time("finish", finish).await.unwrap();
            }
        }
        in_time("closed", async { tokio::join!(ours.closed(), theirs.closed()) }).await;
        let mut left = JoinSet::new();
        left.spawn(async move { while calls.join_next().await.is_some_and(|call| call.is_ok()) {} });
        let all = tokio::time::timeout(DEADLINE, left.join_all()).await;
        assert!(all.is_ok() && resolved.load(SeqCst) == 10, "round {round}: {} of 10 resolved", resolved.load(SeqCst));
        assert!(matches!(ours.try_send("late".into()), Err(error) if !matches!(error, p2p::TrySendError::Full(_))));
    }
}

// Streams that were finished before the connection are whole at the other side when `finish` returns; those that were
// torn off never look whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_finished_or_dropped_around_a_finish_are_whole_or_torn_and_never_between() {
    for _ in 0..25 {
        let Pair { ours, theirs, _listener } = pair().await;
        let whole = Arc::new(AtomicUsize::new(0));
        let reading = {
            let (theirs, whole) = (theirs.clone(), whole.clone());
            tokio::spawn(async move {
                let mut readers = JoinSet::new();
                while let Ok(mut stream) = theirs.accept_stream().await {
                    let whole = whole.clone();
                    readers.spawn(async move {
                        if let Ok(bytes) = stream.recv.read_to_end(100_000).await {
                            assert_eq!(bytes.len(), 5000, "a torn stream looks whole");
                            whole.fetch_add(1, SeqCst);
                        }
                    });
                }
                readers.join_all().await;
            })
        };
        let finished = Arc::new(AtomicUsize::new(0));
        let mut writing = JoinSet::new();
        for _ in 0..3 {
            let (ours, finished) = (ours.clone(), finished.clone());
            writing.spawn(async move {
                let mut rng = rng();
                for _ in 0..10 {
                    let mut stream = ours.open_stream().await?;
                    let written = perhaps(&mut rng, stream.send.write_all(&[1; 5000])).await;
                    if written.is_some_and(|written| written.is_ok()) {
                        stream.send.finish().unwrap();
                        finished.fetch_add(1, SeqCst);
                    }
                    // The reading half goes too, so the place is given back when the stream is delivered.
                }
                Ok::<_, P2PError>(())
            });
        }
        for written in in_time("writing", writing.join_all()).await {
            written.unwrap();
        }
        in_time("finish", ours.finish()).await.unwrap();
        in_time("reading", reading).await.unwrap();
        assert_eq!(whole.load(SeqCst), finished.load(SeqCst));
    }
}

// The last handle closes, whichever thread drops it, while the other side does the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_dropped_on_both_sides_at_once_end_both() {
    for _ in 0..200 {
        let Pair { ours, theirs, _listener } = pair().await;
        let (mut our_state, mut their_state) = (ours.state(), theirs.state());
        let sides = [ours, theirs].map(|connection| {
            tokio::spawn(async move {
                let receiver = connection.clone();
                let waiting = tokio::spawn(async move { receiver.recv().await.is_ok() });
                let _ = connection.send(message(0, 0)).await;
                let stream = connection.open_stream().await;
                waiting.abort();
                drop(connection);
                let _ = waiting.await;
                drop(stream);
            })
        });
        for side in sides {
            in_time("a side", side).await.unwrap();
        }
        let ended = async {
            let _ = our_state.wait_for(|state| state.is_closed()).await;
            let _ = their_state.wait_for(|state| state.is_closed()).await;
        };
        in_time("the end", ended).await;
    }
}
