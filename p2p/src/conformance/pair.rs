//! Two ends of one connection, and the ways in which properties wait.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;

use super::{Harness, Outcome};
use crate::{
    BiStream, ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, ProtocolId, Runtime,
    RuntimeExt, SendStream,
};

/// Both ends of a connection, with everything it stands on.
#[derive(Debug)]
pub struct Pair {
    /// The end that dialled.
    pub ours: Arc<dyn P2PConnection>,
    /// The end that was accepted.
    pub theirs: Arc<dyn P2PConnection>,
    /// The listener that accepted it.
    pub listener: Box<dyn P2PListener>,
    /// The provider that dialled.
    pub our_provider: Arc<dyn P2PProvider>,
    /// The provider that listens.
    pub their_provider: Arc<dyn P2PProvider>,
    /// How long properties wait.
    pub patience: Patience,
}

/// Connects two fresh providers with the default settings.
///
/// # Errors
/// If dialling or listening fails.
pub async fn connected_pair(harness: &dyn Harness) -> Outcome<Pair> {
    connected_pair_with(harness, config(), config()).await
}

/// Connects two fresh providers, the dialler with `ours` and the listener with `theirs`.
///
/// # Errors
/// If dialling or listening fails.
pub async fn connected_pair_with(
    harness: &dyn Harness,
    ours: ConnectionConfig,
    theirs: impl Into<ListenConfig>,
) -> Outcome<Pair> {
    let (our_provider, their_provider) = harness.providers().await;
    let listener = their_provider.listen_with(theirs.into()).await?;
    let (ours, theirs) =
        tokio::try_join!(our_provider.connect_with(harness.addr_of(&*listener), ours), listener.accept(),)?;
    let patience = Patience::new(harness, &*our_provider);
    Ok(Pair { ours, theirs, listener, our_provider, their_provider, patience })
}

/// The protocol that the suite's connections speak.
pub(super) fn protocol() -> ProtocolId {
    "conformance/1".parse().expect("it is visible ASCII")
}

/// The suite's ordinary settings.
pub(super) fn config() -> ConnectionConfig {
    ConnectionConfig::new(protocol())
}

/// Settings under which little fits between a sender and a peer that does not read.
pub(super) fn narrow() -> ConnectionConfig {
    config().with_buffer_bytes(4 * 1024)
}

/// A message that differs from every other in content, and from most in length.
pub(super) fn message(number: usize) -> Bytes {
    let len = 8 + (number * 7919) % 3000;
    numbered(number, len)
}

/// `len` bytes that depend on `number` and on their place, so that no two parts are alike.
pub(super) fn numbered(number: usize, len: usize) -> Bytes {
    let mut bytes = (number as u64).to_le_bytes().to_vec();
    bytes.extend((8..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ number) as u8));
    bytes.truncate(len);
    bytes.into()
}

/// Bytes that a sender may get rid of while nobody reads, before the suite calls that unbounded: far more than any
/// sensible window, far less than a machine's memory.
pub(super) const UNREAD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of the messages that fill a connection.
pub(super) const FILLER_BYTES: usize = 16 * 1024;

impl Pair {
    /// Sends numbered messages until the sender has to wait, with nobody reading, and returns how many were accepted.
    ///
    /// # Errors
    /// If the connection fails.
    ///
    /// # Panics
    /// If the sender never has to wait.
    pub async fn fill(&self) -> Outcome<usize> {
        let mut accepted = 0;
        loop {
            let send = self.ours.send(filler(accepted));
            match self.patience.within_settle(send).await {
                Some(sent) => sent?,
                None => return Ok(accepted),
            }
            accepted += 1;
            assert!(
                accepted * FILLER_BYTES <= UNREAD_BYTES_MAX,
                "{accepted} messages of {FILLER_BYTES} bytes were accepted, and nobody read one"
            );
        }
    }

    /// Reads at the other end what [`fill`](Self::fill) sent.
    ///
    /// # Errors
    /// If the connection ends before.
    ///
    /// # Panics
    /// If something else arrives.
    pub async fn read_filler(&self, accepted: usize) -> Outcome {
        for number in 0..accepted {
            let read = self.theirs.recv().await?;
            assert!(read == filler(number), "message {number} is not as sent");
        }
        Ok(())
    }

    /// A stream with both its ends, which our side opened with the one byte `!`, already read.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn stream(&self) -> Outcome<(BiStream, BiStream)> {
        let mut ours = self.ours.open_stream().await?;
        ours.send.write_all(b"!").await?;
        let mut theirs = self.theirs.accept_stream().await?;
        assert_eq!(theirs.recv.read_chunk(1).await?.as_deref(), Some(&b"!"[..]));
        Ok((ours, theirs))
    }

    /// Writes to a stream until the writer has to wait, with nobody reading, and returns how many bytes went in.
    ///
    /// # Errors
    /// If the stream fails.
    ///
    /// # Panics
    /// If the writer never has to wait.
    pub async fn fill_stream(&self, stream: &mut SendStream) -> Outcome<usize> {
        let mut written = 0;
        loop {
            let mut chunk = Bytes::from_static(&[b'.'; FILLER_BYTES]);
            match self.patience.within_settle(stream.write_chunk(&mut chunk)).await {
                Some(bytes) => written += bytes?,
                None => return Ok(written),
            }
            assert!(written <= UNREAD_BYTES_MAX, "{written} bytes were written, and nobody read one");
        }
    }
}

/// Message `number` of those that fill a connection.
pub(super) fn filler(number: usize) -> Bytes {
    numbered(number, FILLER_BYTES)
}

/// How long properties wait, on the clock of their providers.
#[derive(Debug, Clone)]
pub struct Patience {
    runtime: Arc<dyn Runtime>,
    settle: Duration,
    deadline: Duration,
}

impl Patience {
    /// The harness's patience, on that provider's clock.
    pub fn new(harness: &dyn Harness, provider: &dyn P2PProvider) -> Self {
        Self { runtime: provider.runtime().clone(), settle: harness.settle(), deadline: harness.deadline() }
    }

    /// Waits until whatever is on its way has most likely arrived.
    pub async fn settle(&self) {
        self.runtime.sleep(self.settle).await;
    }

    /// What `future` yields while things settle; nothing if it is still waiting then.
    pub async fn within_settle<F: Future + Send>(&self, future: F) -> Option<F::Output> {
        self.runtime.timeout(self.settle, future).await.ok()
    }

    /// What the call yields, which has to end well before the property's deadline.
    ///
    /// # Panics
    /// If it does not, naming the call.
    pub async fn ends<F: Future + Send>(&self, call: &str, future: F) -> F::Output {
        let after = self.deadline / 2;
        match self.runtime.timeout(after, future).await {
            Ok(output) => output,
            Err(_) => panic!("{call} did not end within {after:?}"),
        }
    }

    /// What the call yields, tried with hardly any patience at first: a future that is not ready in time is dropped, and
    /// the next one waits a little longer.
    pub async fn impatiently<F: Future + Send>(&self, call: impl Fn() -> F) -> F::Output {
        let mut patience = Duration::ZERO;
        loop {
            if let Ok(output) = self.runtime.timeout(patience, call()).await {
                return output;
            }
            patience += Duration::from_millis(1);
        }
    }

    /// The provider's time and tasks.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }
}

/// What `future` yields if it is ready now.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Whether a call failed because its connection is closed.
pub(super) fn is_closed<T>(result: &Result<T, P2PError>) -> bool {
    matches!(result, Err(P2PError::Closed { .. }))
}
