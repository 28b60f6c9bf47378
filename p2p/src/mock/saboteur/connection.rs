//! A connection of a saboteur.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    A_MOMENT, Call, FOR_EVER, Fault, Shared,
    stream::{self, Streams},
};
use crate::{
    BiStream, CLOSE_REASON_BYTES_MAX, CloseCode, CloseReason, ConnectionConfig, ConnectionLimits, ConnectionState,
    ConnectionStats, Negotiated, P2PConnection, P2PError, PeerId, Result, RuntimeExt, TrySendError, Watch,
};

#[derive(Debug)]
pub(super) struct SabotagedConnection {
    inner: Arc<dyn P2PConnection>,
    shared: Arc<Shared>,
    config: ConnectionConfig,
    negotiated: Negotiated,
    streams: Arc<Streams>,
    memory: Arc<Mutex<Memory>>,
    receiving: AtomicUsize,
    finishing: AtomicBool,
}

/// What the connection's fault remembers.
#[derive(Debug, Default)]
struct Memory {
    received: usize,
    message: Option<Bytes>,
    datagrams: VecDeque<Bytes>,
    held: Option<Bytes>,
    was_full: bool,
    opened: usize,
    closed: Option<CloseReason>,
}

impl SabotagedConnection {
    pub(super) fn new(
        inner: Arc<dyn P2PConnection>,
        shared: Arc<Shared>,
        config: &ConnectionConfig,
        dialled: bool,
    ) -> Self {
        let mut negotiated = inner.negotiated().clone();
        if shared.has(Fault::MisstatesTheVersion) && dialled {
            negotiated.version += 1;
        }
        let memory = Arc::<Mutex<Memory>>::default();
        if shared.has(Fault::KeepsEveryDatagram) {
            let (inner, memory) = (inner.clone(), memory.clone());
            let task = async move {
                while let Ok(datagram) = inner.recv_datagram().await {
                    memory.lock().datagrams.push_back(datagram);
                }
            };
            shared.runtime.spawn("saboteur's datagrams", Box::pin(task)).detach();
        }
        let streams = Streams::new(shared.fault, Arc::downgrade(&inner));
        Self {
            inner,
            config: config.clone(),
            negotiated,
            streams: Arc::new(streams),
            shared,
            memory,
            receiving: AtomicUsize::new(0),
            finishing: AtomicBool::new(false),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.shared.fault == fault
    }

    async fn a_moment(&self) {
        self.shared.runtime.sleep(A_MOMENT).await;
    }

    async fn for_ever(&self) {
        self.shared.runtime.sleep(FOR_EVER).await;
    }

    /// The result, unless this is the call that does not notice the end.
    async fn unless_it_hangs<T>(&self, call: Call, result: Result<T>) -> Result<T> {
        let closed = matches!(result, Err(P2PError::Closed { .. }));
        if closed && self.has(Fault::HangsOnClose(call)) {
            self.for_ever().await;
        }
        result
    }

    fn is_large(&self, message: &Bytes) -> bool {
        message.len() > self.inner.limits().message_bytes_max
    }

    /// Why a message is not even offered to the connection below, or that it was taken and not sent.
    fn before_send(&self, message: &mut Bytes) -> Option<Result<()>> {
        let limit = self.inner.limits().message_bytes_max;
        match self.shared.fault {
            Fault::SwallowsEmptyMessages if message.is_empty() => return Some(Ok(())),
            Fault::RefusesTheLargest if message.len() == limit => {
                let size = message.len();
                return Some(Err(P2PError::MessageTooLarge { size, limit: limit - 1 }));
            }
            Fault::ClosesOnLargeMessages if self.is_large(message) => {
                self.inner.close(CloseCode(1), "a large message");
            }
            Fault::HoldsTheLastMessage => match self.memory.lock().held.replace(std::mem::take(message)) {
                Some(before) => *message = before,
                None => return Some(Ok(())),
            },
            Fault::AcceptsAfterFinish if self.finishing.load(SeqCst) => return Some(Ok(())),
            Fault::AcceptsAfterClose if self.inner.close_reason().is_some() => return Some(Ok(())),
            _ => {}
        }
        None
    }

    /// The next message, as this connection's fault returns it.
    async fn next_message(&self) -> Result<Bytes> {
        let message = self.inner.recv().await?;
        let received = {
            let mut memory = self.memory.lock();
            memory.received += 1;
            memory.received
        };
        match self.shared.fault {
            Fault::LosesMessages if received % 3 == 0 => return self.inner.recv().await,
            Fault::DuplicatesMessages => self.memory.lock().message = Some(message.clone()),
            Fault::ReordersMessages => {
                let next = self.inner.recv().await?;
                self.memory.lock().message = Some(message);
                return Ok(next);
            }
            Fault::CutsMessages => return Ok(message.slice(..message.len().saturating_sub(1))),
            Fault::TakesBeforeWaiting => self.a_moment().await,
            _ => {}
        }
        Ok(message)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for SabotagedConnection {
    fn peer_id(&self) -> PeerId {
        match self.shared.fault {
            Fault::TellsItsOwnIdentity => self.shared.local,
            _ => self.inner.peer_id(),
        }
    }

    fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        let mut limits = self.inner.limits();
        match self.shared.fault {
            Fault::TellsItsOwnLimits => limits.message_bytes_max = self.config.message_bytes_max,
            Fault::HidesMissingDatagrams => limits.datagram_bytes_max = None,
            _ => {}
        }
        limits
    }

    fn stats(&self) -> ConnectionStats {
        match self.shared.fault {
            Fault::StatsStandStill => ConnectionStats::default(),
            _ => self.inner.stats(),
        }
    }

    fn state(&self) -> Watch<ConnectionState> {
        match self.shared.fault {
            Fault::StateStandsStill => Watch::constant(self.inner.state().get()),
            Fault::HidesThePath => Watch::constant(ConnectionState::Connected { path: None }),
            _ => self.inner.state(),
        }
    }

    fn try_send(&self, mut message: Bytes) -> Result<(), TrySendError> {
        if let Some(result) = self.before_send(&mut message) {
            return Ok(result?);
        }
        match (self.inner.try_send(message), self.shared.fault) {
            (Err(TrySendError::Full(_)), Fault::AcceptsWithoutBound) => Ok(()),
            (Err(TrySendError::Full(_)), Fault::EmptiesReturnedMessages) => Err(TrySendError::Full(Bytes::new())),
            (result, _) => result,
        }
    }

    async fn send(&self, mut message: Bytes) -> Result<()> {
        if let Some(result) = self.before_send(&mut message) {
            return result;
        }
        match self.shared.fault {
            Fault::AcceptsWithoutBound => {
                return match self.inner.try_send(message) {
                    Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
                    Err(TrySendError::Failed(error)) => Err(error),
                };
            }
            Fault::NeverHasRoomAgain => {
                let tried = self.inner.try_send(message);
                let was_full = {
                    let mut memory = self.memory.lock();
                    memory.was_full |= matches!(tried, Err(TrySendError::Full(_)));
                    memory.was_full
                };
                if was_full {
                    self.for_ever().await;
                }
                return match tried {
                    Err(TrySendError::Failed(error)) => Err(error),
                    _ => Ok(()),
                };
            }
            Fault::SendsAfterDrop => {
                let inner = self.inner.clone();
                let sent = Arc::new(AtomicBool::new(false));
                let done = sent.clone();
                let task = async move {
                    let _ = inner.send(message).await;
                    done.store(true, SeqCst);
                };
                self.shared.runtime.spawn("saboteur's send", Box::pin(task)).detach();
                while !sent.load(SeqCst) {
                    self.a_moment().await;
                }
                return Ok(());
            }
            Fault::OneDirectionAtATime => {
                while self.receiving.load(SeqCst) > 0 {
                    self.a_moment().await;
                }
            }
            Fault::StallsTogether => {
                self.streams.wait_for_stalled(&self.shared).await;
                match self.inner.try_send(message) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Failed(error)) => return Err(error),
                    Err(TrySendError::Full(returned)) => {
                        self.streams.stall();
                        message = returned;
                    }
                }
            }
            _ => {}
        }
        let sent = self.inner.send(message).await;
        self.unless_it_hangs(Call::Send, sent).await
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        match self.shared.fault {
            Fault::FindsNothing => Ok(None),
            _ => self.inner.try_recv(),
        }
    }

    async fn recv(&self) -> Result<Bytes> {
        let again = self.memory.lock().message.take();
        if let Some(again) = again {
            return Ok(again);
        }
        if self.has(Fault::DiscardsOnClose)
            && let Some(reason) = self.inner.close_reason()
        {
            return Err(P2PError::Closed { reason });
        }
        let receiving = Count::new(&self.receiving);
        if self.has(Fault::OneReceiverAtATime) && receiving.before > 0 {
            self.for_ever().await;
        }
        let received = self.next_message().await;
        self.unless_it_hangs(Call::Recv, received).await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        if self.has(Fault::NeverFreesStreams) {
            let opened = {
                let mut memory = self.memory.lock();
                memory.opened += 1;
                memory.opened
            };
            if opened > self.inner.limits().streams_max {
                self.for_ever().await;
            }
        }
        if self.has(Fault::StallsTogether) {
            self.streams.wait_for_stalled(&self.shared).await;
        }
        let opened = if self.has(Fault::OpensBeyondTheBound) {
            let opened = self.shared.runtime.timeout(A_MOMENT, self.inner.open_stream()).await;
            opened.unwrap_or_else(|_| Ok(stream::to_nowhere()))
        } else {
            self.inner.open_stream().await
        };
        let opened = self.unless_it_hangs(Call::OpenStream, opened).await?;
        Ok(self.streams.wrap(opened))
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        let accepted = self.inner.accept_stream().await;
        if accepted.is_ok() && self.has(Fault::TakesBeforeWaiting) {
            self.a_moment().await;
        }
        let accepted = self.unless_it_hangs(Call::AcceptStream, accepted).await?;
        Ok(self.streams.wrap(accepted))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let limit = self.inner.limits().datagram_bytes_max;
        let size = datagram.len();
        match self.shared.fault {
            Fault::LosesEveryDatagram | Fault::HidesMissingDatagrams => Ok(()),
            Fault::RefusesTheLargest if Some(size) == limit => {
                Err(P2PError::DatagramTooLarge { size, limit: size - 1 })
            }
            Fault::MisnamesTheDatagramLimit if limit.is_some_and(|limit| size > limit) => {
                Err(P2PError::DatagramTooLarge { size, limit: 0 })
            }
            _ => self.inner.send_datagram(datagram),
        }
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let again = self.memory.lock().datagrams.pop_front();
        if let Some(again) = again {
            return Ok(again);
        }
        if self.has(Fault::HidesMissingDatagrams) {
            self.for_ever().await;
        }
        let received = self.inner.recv_datagram().await;
        let datagram = self.unless_it_hangs(Call::RecvDatagram, received).await?;
        match self.shared.fault {
            Fault::DuplicatesDatagrams => self.memory.lock().datagrams.push_back(datagram.clone()),
            Fault::MergesDatagrams => {
                let next = self.inner.recv_datagram().await?;
                return Ok([datagram, next].concat().into());
            }
            Fault::CutsDatagrams => return Ok(datagram.slice(..datagram.len().saturating_sub(1))),
            Fault::CorruptsDatagrams => {
                let mut bytes = BytesMut::from(&datagram[..]);
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                return Ok(bytes.freeze());
            }
            Fault::TakesBeforeWaiting => self.a_moment().await,
            _ => {}
        }
        Ok(datagram)
    }

    async fn finish(&self) -> Result<()> {
        let is_second = self.finishing.swap(true, SeqCst);
        match self.shared.fault {
            Fault::FinishesByClosing => {
                self.inner.close(CloseCode::OK, "");
                return Ok(());
            }
            Fault::FinishWaitsForOpenStreams => {
                while self.streams.open() > 0 {
                    self.a_moment().await;
                }
            }
            Fault::FinishWaitsForThePeer => drop(self.inner.closed().await),
            Fault::FinishesOnce if is_second => {
                let reason = CloseReason::ShutDown;
                return Err(P2PError::Closed { reason });
            }
            Fault::FinishHidesFailures => {
                let _ = self.inner.finish().await;
                return Ok(());
            }
            Fault::DropEndsSlowCalls => self.a_moment().await,
            _ => {}
        }
        let finished = self.inner.finish().await;
        self.unless_it_hangs(Call::Finish, finished).await
    }

    fn close(&self, code: CloseCode, reason: &str) {
        match self.shared.fault {
            Fault::ClosesLate => {
                let (inner, reason) = (self.inner.clone(), reason.to_owned());
                let runtime = self.shared.runtime.clone();
                let task = async move {
                    runtime.sleep(std::time::Duration::from_secs(1)).await;
                    inner.close(code, &reason);
                };
                self.shared.runtime.spawn("saboteur's close", Box::pin(task)).detach();
            }
            Fault::ClosesWithoutReason => self.inner.close(CloseCode::OK, ""),
            Fault::DropsLongReasons if reason.len() > CLOSE_REASON_BYTES_MAX => {
                self.inner.close(code, "");
            }
            Fault::LastCloseWins => {
                let reason = reason.to_owned();
                self.inner.close(code, &reason);
                self.memory.lock().closed = Some(CloseReason::Local { code, reason });
            }
            _ => self.inner.close(code, reason),
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        let closed = self.memory.lock().closed.clone();
        closed.or_else(|| self.inner.close_reason())
    }

    async fn closed(&self) -> CloseReason {
        let reason = self.inner.closed().await;
        if self.has(Fault::HangsOnClose(Call::Closed)) {
            self.for_ever().await;
        }
        self.memory.lock().closed.clone().unwrap_or(reason)
    }
}

impl Drop for SabotagedConnection {
    fn drop(&mut self) {
        if self.has(Fault::ClosesUnderStreams) {
            self.inner.close(CloseCode::OK, "");
        }
    }
}

/// Counts one more for as long as it lives.
struct Count<'a> {
    counter: &'a AtomicUsize,
    before: usize,
}

impl<'a> Count<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        let before = counter.fetch_add(1, SeqCst);
        Self { counter, before }
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, SeqCst);
    }
}
