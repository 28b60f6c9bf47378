//! What the parts of one connection share.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    asked::{self, Asked},
    hub::Hub,
    inbound::Inbound,
    outbound::Outbound,
    readers::Readers,
    waiters::{Waiters, wake_all},
};
use crate::{
    Bandwidth, CloseCode, CloseReason, ConnectionState, ConnectionStats, P2PError, Runtime, StreamError, Transport,
    TransportClosed, WatchSender,
    protocol::{close, handshake::Agreement, session::Session},
    stats::Meter,
};

/// The state of one connection. Handles, streams and the driver hold it; [`Guard`] closes it.
#[derive(Debug)]
pub(crate) struct Core<T: Transport> {
    pub(crate) transport: T,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) agreement: Agreement,
    pub(crate) outbound: Mutex<Outbound<T::Send>>,
    pub(crate) inbound: Mutex<Inbound<T::Recv>>,
    pub(crate) readers: Arc<Readers>,
    /// Wakes the driver for messages: the waker of whoever writes them.
    pub(crate) message_waker: Waker,
    pub(crate) session: Mutex<Session>,
    pub(crate) state: WatchSender<ConnectionState>,
    pub(crate) counters: Counters,
    meter: Mutex<Meter>,
    /// Streams that this side may still open.
    pub(crate) streams: Arc<Semaphore>,
    /// Writing halves that were finished, on their way to the driver, which sees them delivered; `None` once it is gone.
    pub(crate) finished_streams: Mutex<Option<Vec<super::stream::Finished<T::Send>>>>,
    closed: Mutex<Option<CloseReason>>,
    /// Stream operations that failed with the transport and wait to learn why.
    bereaved: Mutex<Waiters>,
    hub: Weak<Hub>,
    id: u64,
}

/// What streams and datagrams count. Messages are counted under the locks that sending and receiving them take anyway.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
}

/// Adds to a counter that nothing else depends on.
pub(crate) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

/// What the handshake leaves to build a connection from.
pub(crate) struct Parts<T: Transport> {
    pub(crate) transport: T,
    pub(crate) messages: (T::Send, T::Recv),
    pub(crate) agreement: Agreement,
    pub(crate) config: crate::ConnectionConfig,
}

impl<T: Transport> Core<T> {
    pub(crate) fn new(parts: Parts<T>, runtime: Arc<dyn Runtime>, hub: Weak<Hub>, id: u64) -> Arc<Self> {
        let Parts { transport, messages: (send, recv), agreement, config } = parts;
        let now = runtime.now();
        let readers = Arc::<Readers>::default();
        Arc::new(Self {
            outbound: Mutex::new(Outbound::new(send, config.send_buffer_bytes)),
            inbound: Mutex::new(Inbound::new(
                recv,
                agreement.message_bytes_max,
                config.recv_buffer_bytes,
                readers.clone(),
            )),
            session: Mutex::new(Session::new(now, config.keepalive_interval, config.idle_timeout)),
            state: WatchSender::new(ConnectionState::Connected { path: transport.path().get() }),
            counters: Counters::default(),
            meter: Mutex::new(Meter::new(now)),
            streams: Arc::new(Semaphore::new(agreement.streams_max)),
            finished_streams: Mutex::new(Some(Vec::new())),
            closed: Mutex::new(None),
            bereaved: Mutex::default(),
            message_waker: asked::waker(&readers, Asked::MESSAGES),
            readers,
            transport,
            runtime,
            agreement,
            hub,
            id,
        })
    }

    /// Lets the driver look at the messages.
    pub(crate) fn wake_driver(&self) {
        self.readers.wake_driver();
    }

    /// What this connection has counted and measured.
    pub(crate) fn stats(&self) -> ConnectionStats {
        let transport = self.transport.stats();
        let (keepalive_rtt, round_trips) = {
            let session = self.session.lock();
            (session.rtt(), session.round_trips())
        };
        let (messages_sent, _) = self.outbound.lock().taken();
        let (messages_received, _) = self.inbound.lock().taken();
        let (bytes_sent, bytes_received) = self.bytes();
        let bandwidth = self.measure();
        ConnectionStats {
            messages_sent,
            messages_received,
            bytes_sent,
            bytes_received,
            datagrams_sent: self.counters.datagrams_sent.load(Relaxed),
            datagrams_received: self.counters.datagrams_received.load(Relaxed),
            rtt: transport.rtt.or(keepalive_rtt),
            round_trips,
            packets_lost: transport.packets_lost,
            packets_sent: transport.packets_sent,
            bandwidth,
            duration: self.meter.lock().duration(self.runtime.now()),
        }
    }

    /// Measures the bandwidth in use. The driver calls it at each keepalive, so that it is never of long ago.
    pub(crate) fn measure(&self) -> Bandwidth {
        let (sent, received) = self.bytes();
        self.meter.lock().note(self.runtime.now(), sent, received)
    }

    /// Bytes sent and received.
    fn bytes(&self) -> (u64, u64) {
        let (_, sent) = self.outbound.lock().taken();
        let (_, received) = self.inbound.lock().taken();
        let Counters { bytes_sent, bytes_received, .. } = &self.counters;
        (sent + bytes_sent.load(Relaxed), received + bytes_received.load(Relaxed))
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.closed.lock().clone()
    }

    /// Closes from this side, if nobody has yet.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        let reason = close::truncate(reason);
        let ours = CloseReason::Local { code, reason: reason.to_owned() };
        self.close_with(ours, Some((u64::from(code.0), reason)));
    }

    /// Ends the connection, if nobody has yet: sets the reason, tells the peer if `wire` says what, resolves every
    /// pending call.
    pub(crate) fn close_with(&self, reason: CloseReason, wire: Option<(u64, &str)>) {
        {
            let mut closed = self.closed.lock();
            if closed.is_some() {
                return;
            }
            *closed = Some(reason.clone());
        }
        if let Some((code, text)) = wire {
            self.transport.close(code, text);
        }
        self.meter.lock().end(self.runtime.now());
        let senders = self.outbound.lock().close(reason.clone());
        senders.into_values().for_each(Waker::wake);
        self.inbound.lock().close(reason.clone());
        self.streams.close();
        self.state.set(ConnectionState::Closed { reason, unacknowledged: 0 });
        self.readers.wake_receivers();
        wake_all(&self.bereaved);
        self.wake_driver();
        if let Some(hub) = self.hub.upgrade() {
            hub.forget(self.id);
        }
    }

    /// Why this side ends a connection that is finished: its provider goes down, or its holder is done with it.
    pub(crate) fn finish_reason(&self) -> CloseReason {
        match self.hub.upgrade() {
            Some(hub) if hub.is_shut_down() => CloseReason::ShutDown,
            _ => CloseReason::Local { code: CloseCode::OK, reason: String::new() },
        }
    }

    /// The peer broke the protocol.
    pub(crate) fn close_for(&self, violation: crate::protocol::Violation) {
        let text = close::truncate(&violation.0).to_owned();
        self.close_with(CloseReason::Protocol { violation: violation.0 }, Some((close::VIOLATION, &text)));
    }

    /// The transport ended without this side having closed it. `delivered` says that no finished stream is under way.
    pub(crate) fn transport_closed(&self, how: TransportClosed, delivered: bool) {
        let reason = match how {
            // Whoever called `close` on it set the reason first, unless the provider did as it went down.
            TransportClosed::Local => CloseReason::ShutDown,
            TransportClosed::Peer { code, reason } => {
                if code == close::FINISHED_BOTH {
                    self.outbound.lock().finished();
                } else if let Some(messages) = close::received_at_finish(code, &reason)
                    && delivered
                {
                    self.outbound.lock().peer_closed_after(messages);
                }
                close::from_peer(code, &reason)
            }
            TransportClosed::TimedOut => CloseReason::TimedOut,
            TransportClosed::Lost(source) => CloseReason::Lost { source },
        };
        self.close_with(reason, None);
    }

    /// What to tell a caller whose operation the transport failed: why the connection ended, as soon as that is known.
    pub(crate) fn poll_why(
        &self,
        cx: &mut Context<'_>,
        key: &mut Option<u64>,
        error: StreamError,
    ) -> Poll<StreamError> {
        if !matches!(error, StreamError::Connection(_)) {
            return Poll::Ready(error);
        }
        if self.close_reason().is_none() {
            self.bereaved.lock().register(key, cx.waker());
            self.wake_driver();
        }
        // Asked again, for a close between the two.
        let Some(reason) = self.close_reason() else { return Poll::Pending };
        if let Some(key) = key.take() {
            self.bereaved.lock().remove(key);
        }
        Poll::Ready(P2PError::Closed { reason }.into())
    }

    /// [`poll_why`](Self::poll_why) for calls of the connection itself.
    pub(crate) async fn why(&self, error: StreamError) -> P2PError {
        let mut key = None;
        let mut error = Some(error);
        let why = std::future::poll_fn(|cx| {
            let again = error.take().expect("polled until ready");
            error = Some(again.clone());
            self.poll_why(cx, &mut key, again)
        })
        .await;
        why.into()
    }
}

/// Held by every handle and every stream; the last to go closes the connection.
#[derive(Debug)]
pub(crate) struct Guard<T: Transport>(pub(crate) Arc<Core<T>>);

impl<T: Transport> Drop for Guard<T> {
    fn drop(&mut self) {
        self.0.close(CloseCode::OK, "");
    }
}

/// What the hub does to a connection whose transport it need not know.
pub(crate) trait Managed: Send + Sync {
    /// Starts finishing.
    fn start_finish(&self);
    /// Ends it, because the provider goes down.
    fn shut_down(&self);
    /// The state, to wait on.
    fn watch(&self) -> crate::Watch<ConnectionState>;
}

impl<T: Transport> Managed for Core<T> {
    fn start_finish(&self) {
        if self.outbound.lock().start_finish() {
            self.wake_driver();
        }
    }

    fn shut_down(&self) {
        self.close_with(CloseReason::ShutDown, Some((close::SHUT_DOWN, "")));
    }

    fn watch(&self) -> crate::Watch<ConnectionState> {
        self.state.subscribe()
    }
}
