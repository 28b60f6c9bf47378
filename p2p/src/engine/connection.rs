//! What a user calls, over any transport.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, Waker},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    core::{Core, Guard, count},
    outbound::Then,
    stream,
};
use crate::{
    BiStream, CloseCode, CloseReason, ConnectionLimits, ConnectionState, ConnectionStats, Negotiated, P2PConnection,
    P2PError, PeerId, Result, Transport, TrySendError, Watch,
};

/// A connection over a transport, as [`Hub`](super::Hub) makes it.
#[derive(Debug)]
pub(super) struct Connection<T: Transport> {
    guard: Arc<Guard<T>>,
}

impl<T: Transport> Connection<T> {
    pub(super) fn new(core: Arc<Core<T>>) -> Self {
        Self { guard: Arc::new(Guard(core)) }
    }

    fn core(&self) -> &Core<T> {
        &self.guard.0
    }

    fn check_size(&self, message: &Bytes) -> Result<()> {
        let (size, limit) = (message.len(), self.core().agreement.message_bytes_max);
        if size > limit { Err(P2PError::MessageTooLarge { size, limit }) } else { Ok(()) }
    }
}

#[async_trait]
impl<T: Transport> P2PConnection for Connection<T> {
    fn peer_id(&self) -> PeerId {
        self.core().transport.peer_id()
    }

    fn negotiated(&self) -> &Negotiated {
        &self.core().agreement.negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        let core = self.core();
        ConnectionLimits {
            message_bytes_max: core.agreement.message_bytes_max,
            datagram_bytes_max: core.transport.datagram_bytes_max(),
            streams_max: core.agreement.streams_max,
        }
    }

    fn stats(&self) -> ConnectionStats {
        self.core().stats()
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.core().state.subscribe()
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        self.check_size(&message)?;
        let core = self.core();
        let then = {
            let mut outbound = core.outbound.lock();
            if let Some(refusal) = outbound.refusal() {
                return Err(refusal.into());
            }
            if !outbound.has_room() {
                return Err(TrySendError::Full(message));
            }
            outbound.push(message, || core.runtime.now(), &core.message_waker)
        };
        if then == Then::WakeDriver {
            core.wake_driver();
        }
        Ok(())
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let mut message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Failed(error)) => return Err(error),
            Err(TrySendError::Full(message)) => message,
        };
        let mut waiting = Sending { core: self.core(), key: None };
        poll_fn(|cx| {
            // Registered first: room made between the two lines wakes this task.
            waiting.core.outbound.lock().wait(&mut waiting.key, cx.waker());
            match self.try_send(std::mem::take(&mut message)) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TrySendError::Failed(error)) => Poll::Ready(Err(error)),
                Err(TrySendError::Full(back)) => {
                    message = back;
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        let core = self.core();
        let (next, more, needs_driver, violation) = {
            let mut inbound = core.inbound.lock();
            let next = inbound.next();
            (next, !inbound.is_empty(), inbound.needs_driver(), inbound.take_violation())
        };
        if needs_driver {
            core.wake_driver();
        }
        let violated = violation.is_some();
        violation.into_iter().for_each(|violation| core.close_for(violation));
        let Some(message) = next? else {
            return match core.close_reason() {
                Some(reason) if violated => Err(reason.to_error()),
                _ => Ok(None),
            };
        };
        if more {
            core.readers.wake_receiver();
        }
        Ok(Some(message))
    }

    async fn recv(&self) -> Result<Bytes> {
        let mut waiting = Receiving { core: self.core(), key: None };
        poll_fn(|cx| {
            if let Some(message) = self.try_recv()? {
                return Poll::Ready(Ok(message));
            }
            waiting.core.readers.register(&mut waiting.key, cx.waker());
            // What arrived between the two lines went to the driver, which passes it on; this asks once more so that
            // the common case need not wait for that.
            match self.try_recv()? {
                Some(message) => Poll::Ready(Ok(message)),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn open_stream(&self) -> Result<BiStream> {
        let core = self.core();
        let Ok(permit) = core.streams.clone().acquire_owned().await else {
            return Err(core.close_reason().expect("only closing ends the semaphore").to_error());
        };
        match core.transport.open().await {
            Ok(halves) => Ok(stream::wrap(&self.guard, halves, Some(permit))),
            Err(error) => Err(core.why(error).await),
        }
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        match self.core().transport.accept().await {
            Ok(halves) => Ok(stream::wrap(&self.guard, halves, None)),
            Err(error) => Err(self.core().why(error).await),
        }
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let core = self.core();
        if let Some(reason) = core.close_reason() {
            return Err(reason.to_error());
        }
        let size = datagram.len();
        match core.transport.datagram_bytes_max() {
            None => return Err(P2PError::DatagramsUnsupported),
            Some(limit) if size > limit => return Err(P2PError::DatagramTooLarge { size, limit }),
            Some(_) => core.transport.send_datagram(datagram)?,
        }
        count(&core.counters.datagrams_sent, 1);
        count(&core.counters.bytes_sent, size);
        Ok(())
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let core = self.core();
        if core.close_reason().is_none() && core.transport.datagram_bytes_max().is_none() {
            return Err(P2PError::DatagramsUnsupported);
        }
        match core.transport.recv_datagram().await {
            Ok(datagram) => {
                count(&core.counters.datagrams_received, 1);
                count(&core.counters.bytes_received, datagram.len());
                Ok(datagram)
            }
            Err(error) => Err(core.why(error).await),
        }
    }

    async fn finish(&self) -> Result<()> {
        let core = self.core();
        if core.outbound.lock().start_finish() {
            core.wake_driver();
        }
        let reason = self.closed().await;
        if core.outbound.lock().is_finished() { Ok(()) } else { Err(reason.to_error()) }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.core().close(code, reason);
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.core().close_reason()
    }

    async fn closed(&self) -> CloseReason {
        let mut state = self.core().state.subscribe();
        let _ = state.wait_for(ConnectionState::is_closed).await;
        self.core().close_reason().expect("the state says closed only after the reason is set")
    }
}

/// A caller in `send` who found no room. One who was woken and leaves passes the room on.
struct Sending<'a, T: Transport> {
    core: &'a Core<T>,
    key: Option<u64>,
}

impl<T: Transport> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let next = self.core.outbound.lock().stop_waiting(key);
            next.into_iter().for_each(Waker::wake);
        }
    }
}

/// A caller in `recv` who found nothing. One who was woken and leaves passes the call on.
struct Receiving<'a, T: Transport> {
    core: &'a Core<T>,
    key: Option<u64>,
}

impl<T: Transport> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let Core { readers, inbound, .. } = self.core;
        if !readers.leave(key) {
            return;
        }
        if readers.is_readable() {
            readers.wake_one();
        } else if !inbound.lock().is_empty() {
            readers.wake_receiver();
        }
    }
}
