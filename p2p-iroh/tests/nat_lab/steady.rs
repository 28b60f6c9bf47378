//! Traffic that goes on whatever happens: numbered messages at a steady rate, and a long stream of bytes beside them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use p2p::P2PConnection;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::pair::Pair;

/// Bytes of a message: its number, and filling that depends on it.
const MESSAGE_BYTES: usize = 64;
/// Messages a second, in small batches.
const MESSAGES_PER_S: u64 = 2_000;
const BATCHES_PER_S: u64 = 100;
/// Bytes of the stream, and at most how many of them a second, so that it is under way when the fault comes and goes.
pub(crate) const STREAM_BYTES: usize = 100 * 1024 * 1024;
const STREAM_BYTES_PER_S: usize = 16 * 1024 * 1024;

/// Traffic under way, from the dialling end to the accepting one.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    sending: JoinHandle<Result<u64>>,
    receiving: JoinHandle<Result<Received>>,
    streaming: JoinHandle<Result<()>>,
    /// How many messages have arrived.
    arrived: watch::Receiver<u64>,
}

/// What the accepting end got.
pub(crate) struct Received {
    pub(crate) messages: u64,
    /// The longest time between two messages.
    pub(crate) gap: Duration,
}

impl Steady {
    /// Starts it. Messages go on until [`finish`](Self::finish).
    pub(crate) fn start(pair: &Pair) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (count, arrived) = watch::channel(0);
        Ok(Self {
            sending: pair.connection.spawn(|connection| send(connection, stopped))?,
            receiving: pair.accepted.spawn(|connection| receive(connection, count))?,
            streaming: {
                let connection = pair.connection.clone();
                tokio::spawn(async move {
                    // The deadline is the scenario's.
                    connection.transfer_paced(STREAM_BYTES, STREAM_BYTES_PER_S, Duration::MAX).await.map(drop)
                })
            },
            stop,
            arrived,
        })
    }

    /// Waits until a second's worth of messages has arrived, counted from now.
    pub(crate) async fn flows(&mut self, within: Duration) -> Result<()> {
        let enough = *self.arrived.borrow() + MESSAGES_PER_S;
        let flowing = timeout(within, self.arrived.wait_for(|&arrived| arrived >= enough)).await;
        match flowing {
            // The receiver has ended, and `finish` says why.
            Ok(_) => Ok(()),
            Err(_) => bail!("messages do not flow after {within:?}"),
        }
    }

    /// Ends the messages, and waits for the rest of everything.
    ///
    /// # Errors
    ///
    /// When a message or a byte is lost, doubled, out of order or damaged, or not there `within`.
    pub(crate) async fn finish(self, within: Duration) -> Result<Received> {
        self.stop.store(true, Relaxed);
        let all = async {
            let sent = self.sending.await.context("the sender panicked")??;
            let received = self.receiving.await.context("the receiver panicked")??;
            self.streaming.await.context("the stream's writer panicked")?.context("the long stream")?;
            ensure!(received.messages == sent, "{} of {sent} messages arrived", received.messages);
            Ok(received)
        };
        timeout(within, all).await.with_context(|| format!("not everything arrived within {within:?}"))?
    }
}

/// Message `number`; the one after the last is empty.
fn message(number: u64) -> Bytes {
    let mut message = [number as u8; MESSAGE_BYTES];
    message[..8].copy_from_slice(&number.to_le_bytes());
    Bytes::copy_from_slice(&message)
}

async fn send(connection: Arc<dyn P2PConnection>, stop: Arc<AtomicBool>) -> Result<u64> {
    let mut ticks = interval(Duration::from_secs(1) / BATCHES_PER_S as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while !stop.load(Relaxed) {
        ticks.tick().await;
        for _ in 0..MESSAGES_PER_S / BATCHES_PER_S {
            connection.send(message(number)).await.with_context(|| format!("sending message {number}"))?;
            number += 1;
        }
    }
    connection.send(Bytes::new()).await.context("sending the end")?;
    Ok(number)
}

async fn receive(connection: Arc<dyn P2PConnection>, count: watch::Sender<u64>) -> Result<Received> {
    let mut received = Received { messages: 0, gap: Duration::ZERO };
    let mut last = Instant::now();
    loop {
        let number = received.messages;
        let next = connection.recv().await.with_context(|| format!("receiving message {number}"))?;
        received.gap = received.gap.max(last.elapsed());
        last = Instant::now();
        if next.is_empty() {
            return Ok(received);
        }
        ensure!(next == message(number), "message {number} is due, and {:?} came", &next[..8]);
        received.messages += 1;
        count.send_replace(received.messages);
    }
}
