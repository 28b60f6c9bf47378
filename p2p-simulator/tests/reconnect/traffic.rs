//! What two ends of a connection exchange so that a loss, a repetition, an exchange and damage all show.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use p2p::{BiStream, P2PConnection, RecvStream, Rng, Runtime, RuntimeExt, SendStream, StreamError};

/// How much each end sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    pub(crate) streams: u64,
    pub(crate) stream_bytes: u64,
    /// The longest pause between two messages or writes.
    pub(crate) pause: Duration,
}

/// Message `number`, whose length and content depend on the number.
fn message(number: u64) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + (number * 7919 % 3000) as usize, number as u8);
    bytes.into()
}

fn byte(stream: u64, at: u64) -> u8 {
    (stream.wrapping_mul(131) ^ at.wrapping_mul(31) ^ (at >> 8)) as u8
}

/// Sends all there is, with pauses.
pub(crate) async fn send_messages(
    connection: Arc<dyn P2PConnection>,
    runtime: Arc<dyn Runtime>,
    amount: Amount,
    mut rng: Rng,
) {
    for number in 0..amount.messages {
        connection.send(message(number)).await.unwrap_or_else(|error| panic!("sending message {number}: {error}"));
        if rng.below(4) == 0 {
            runtime.sleep(rng.duration_between(Duration::ZERO, amount.pause)).await;
        }
    }
}

/// Receives what the peer sends, and panics on anything but exactly that. Falls behind at times, so that a transport is
/// lost with messages that arrived and were not taken.
pub(crate) async fn receive_messages(
    connection: Arc<dyn P2PConnection>,
    runtime: Arc<dyn Runtime>,
    amount: Amount,
    mut rng: Rng,
) {
    for number in 0..amount.messages {
        if rng.below(10) == 0 {
            runtime.sleep(rng.duration_between(Duration::ZERO, 10 * amount.pause)).await;
        }
        let received = connection.recv().await.unwrap_or_else(|error| panic!("receiving message {number}: {error}"));
        let head = received.first_chunk().map(|head| u64::from_le_bytes(*head));
        assert!(received == message(number), "message {number} expected, and {head:?} came");
    }
}

/// How a stream of that number ends. Every reader and writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both directions are written to their end and finished.
    Whole,
    /// The opener finishes at once and reads the answer long after.
    HalfClosed,
    /// The opener resets in the middle, when the acceptor has answered.
    Reset,
    /// The acceptor stops reading in the middle, and answers.
    Stopped,
}

fn ending(number: u64) -> Ending {
    [Ending::Whole, Ending::HalfClosed, Ending::Reset, Ending::Stopped][(number % 4) as usize]
}

/// Opens streams one after the other, writes, and reads the peer's answers.
pub(crate) async fn open_streams(
    connection: Arc<dyn P2PConnection>,
    runtime: Arc<dyn Runtime>,
    amount: Amount,
    mut rng: Rng,
) {
    for number in 0..amount.streams {
        let BiStream { mut send, mut recv } = connection.open_stream().await.expect("the connection lives");
        send.write_all(&number.to_le_bytes()).await.expect("the connection lives");
        let bytes = amount.stream_bytes;
        match ending(number) {
            Ending::Whole => {
                write(&mut send, number, 0..bytes, &runtime, amount.pause, &mut rng).await.expect("a whole stream");
                send.finish().expect("it is open");
                read(&mut recv, number, 0..bytes).await.expect("a whole answer");
                end(&mut recv).await.expect("an ordinary end");
                send.delivered().await.expect("the answer came");
            }
            Ending::HalfClosed => {
                send.finish().expect("it is open");
                read(&mut recv, number, 0..bytes).await.expect("a whole answer");
                end(&mut recv).await.expect("an ordinary end");
            }
            Ending::Reset => {
                write(&mut send, number, 0..bytes / 2, &runtime, amount.pause, &mut rng).await.expect("half a stream");
                read(&mut recv, number, 0..100).await.expect("the beginning of an answer");
                send.reset(number as u32 + 1);
                read(&mut recv, number, 100..200).await.expect("the rest of an answer");
                end(&mut recv).await.expect("an ordinary end");
            }
            Ending::Stopped => {
                let written = write(&mut send, number, 0..u64::MAX, &runtime, amount.pause, &mut rng).await;
                let code = number as u32 + 1;
                assert!(matches!(written, Err(StreamError::Stopped { code: told }) if told == code), "{written:?}");
                read(&mut recv, number, 0..100).await.expect("an answer");
                end(&mut recv).await.expect("an ordinary end");
            }
        }
    }
}

/// Accepts streams one after the other, reads, and answers.
pub(crate) async fn accept_streams(
    connection: Arc<dyn P2PConnection>,
    runtime: Arc<dyn Runtime>,
    amount: Amount,
    mut rng: Rng,
) {
    for number in 0..amount.streams {
        let BiStream { mut send, mut recv } = connection.accept_stream().await.expect("the connection lives");
        let mut head = [0; 8];
        tokio::io::AsyncReadExt::read_exact(&mut recv, &mut head).await.expect("a stream says its number");
        assert_eq!(u64::from_le_bytes(head), number, "streams come one after the other");
        let bytes = amount.stream_bytes;
        let no_pause = Duration::ZERO;
        match ending(number) {
            Ending::Whole => {
                read(&mut recv, number, 0..bytes).await.expect("a whole stream");
                end(&mut recv).await.expect("an ordinary end");
                write(&mut send, number, 0..bytes, &runtime, no_pause, &mut rng).await.expect("the opener reads");
                send.finish().expect("it is open");
            }
            Ending::HalfClosed => {
                end(&mut recv).await.expect("an ordinary end");
                write(&mut send, number, 0..bytes, &runtime, amount.pause, &mut rng).await.expect("the opener reads");
                send.finish().expect("it is open");
            }
            Ending::Reset => {
                write(&mut send, number, 0..100, &runtime, no_pause, &mut rng).await.expect("the opener reads");
                let ended = read(&mut recv, number, 0..bytes).await;
                let code = number as u32 + 1;
                assert!(matches!(ended, Err(StreamError::Reset { code: told }) if told == code), "{ended:?}");
                write(&mut send, number, 100..200, &runtime, no_pause, &mut rng).await.expect("the opener reads");
                send.finish().expect("it is open");
            }
            Ending::Stopped => {
                read(&mut recv, number, 0..bytes / 4).await.expect("the opener writes for ever");
                recv.stop(number as u32 + 1);
                write(&mut send, number, 0..100, &runtime, no_pause, &mut rng).await.expect("the opener reads");
                send.finish().expect("it is open");
            }
        }
        send.delivered().await.expect("the opener reads to the end");
    }
}

async fn write(
    send: &mut SendStream,
    stream: u64,
    range: std::ops::Range<u64>,
    runtime: &Arc<dyn Runtime>,
    pause: Duration,
    rng: &mut Rng,
) -> Result<(), StreamError> {
    let mut at = range.start;
    while at < range.end {
        let len = (1 + rng.below(4000)).min(range.end - at);
        let part: Vec<u8> = (at..at + len).map(|at| byte(stream, at)).collect();
        send.write_all(&part).await?;
        at += len;
        if rng.below(4) == 0 {
            runtime.sleep(rng.duration_between(Duration::ZERO, pause)).await;
        }
    }
    Ok(())
}

async fn read(recv: &mut RecvStream, stream: u64, range: std::ops::Range<u64>) -> Result<(), StreamError> {
    let mut at = range.start;
    while at < range.end {
        let most = (range.end - at).min(10_000) as usize;
        let Some(chunk) = recv.read_chunk(most).await? else {
            panic!("stream {stream} ended at {at} of {range:?}");
        };
        for &read in &chunk {
            assert!(read == byte(stream, at), "stream {stream} is wrong at byte {at} of {range:?}");
            at += 1;
        }
    }
    Ok(())
}

async fn end(recv: &mut RecvStream) -> Result<(), StreamError> {
    match recv.read_chunk(1000).await? {
        None => Ok(()),
        Some(more) => panic!("{} bytes after the end", more.len()),
    }
}
