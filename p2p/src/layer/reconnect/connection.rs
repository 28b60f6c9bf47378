//! What a user calls on a session.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    session::{Guard, Place, Session, count},
    state::Finish,
    stream,
};
use crate::{
    BiStream, CloseCode, CloseReason, ConnectionLimits, ConnectionState, ConnectionStats, Negotiated, P2PConnection,
    P2PError, PeerId, Result, TrySendError, Watch,
};

/// A handle of a session.
#[derive(Debug)]
pub(super) struct ReconnectConnection {
    guard: Arc<Guard>,
}

impl ReconnectConnection {
    pub(super) fn handle(session: Arc<Session>) -> Arc<dyn P2PConnection> {
        Arc::new(Self { guard: Arc::new(Guard(session)) })
    }

    fn session(&self) -> &Session {
        &self.guard.0
    }

    fn received(&self, message: Bytes) -> Bytes {
        let counters = &self.session().counters;
        count(&counters.messages_received, 1);
        count(&counters.bytes_received, message.len());
        message
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for ReconnectConnection {
    fn peer_id(&self) -> PeerId {
        self.session().peer
    }

    fn negotiated(&self) -> &Negotiated {
        &self.session().negotiated
    }

    fn limits(&self) -> ConnectionLimits {
        let session = self.session();
        let link = session.lock().link.clone();
        let datagram_bytes_max = match link {
            Some(link) => link.connection.limits().datagram_bytes_max,
            None => *session.datagram_bytes_max.lock(),
        };
        ConnectionLimits {
            message_bytes_max: session.message_bytes_max,
            datagram_bytes_max,
            streams_max: session.streams_max,
        }
    }

    fn stats(&self) -> ConnectionStats {
        let session = self.session();
        let link = session.lock().link.clone();
        let present = link.map(|link| link.connection.stats()).unwrap_or_default();
        let counters = &session.counters;
        let [lost, sent] = &counters.earlier_packets;
        // Datagrams that found no transport are lost packets, where packets are counted at all.
        let dropped = counters.datagrams_dropped.load(Relaxed);
        let total = |packets: Option<u64>, earlier: u64| match (packets, earlier) {
            (None, 0) => None,
            (packets, earlier) => Some(packets.unwrap_or(0) + earlier + dropped),
        };
        let mut round_trips = *counters.earlier_round_trips.lock();
        round_trips.extend(&present.round_trips);
        let (bytes_sent, bytes_received) = (counters.bytes_sent.load(Relaxed), counters.bytes_received.load(Relaxed));
        let now = session.runtime().now();
        let mut meter = session.meter.lock();
        ConnectionStats {
            messages_sent: counters.messages_sent.load(Relaxed),
            messages_received: counters.messages_received.load(Relaxed),
            bytes_sent,
            bytes_received,
            datagrams_sent: counters.datagrams_sent.load(Relaxed),
            datagrams_received: counters.datagrams_received.load(Relaxed),
            rtt: present.rtt,
            round_trips,
            packets_lost: total(present.packets_lost, lost.load(Relaxed)),
            packets_sent: total(present.packets_sent, sent.load(Relaxed)),
            bandwidth: meter.note(now, bytes_sent, bytes_received),
            duration: meter.duration(now),
        }
    }

    fn state(&self) -> Watch<ConnectionState> {
        self.session().watch.subscribe()
    }

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        let session = self.session();
        let (size, limit) = (message.len(), session.message_bytes_max);
        if size > limit {
            return Err(P2PError::MessageTooLarge { size, limit }.into());
        }
        let mut state = session.lock();
        if let Some(refusal) = state.refusal() {
            return Err(refusal.into());
        }
        if !state.has_room(session.config.send_buffer_bytes) {
            return Err(TrySendError::Full(message));
        }
        state.accept(message);
        count(&session.counters.messages_sent, 1);
        count(&session.counters.bytes_sent, size);
        Ok(())
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        let mut message = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Failed(error)) => return Err(error),
            Err(TrySendError::Full(message)) => message,
        };
        let mut place = Place::new(self.session(), |state| &mut state.senders);
        poll_fn(|cx| {
            // Registered first: room made between the two lines wakes this task.
            place.wait(&mut self.session().lock(), cx);
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
        let message = self.session().lock().try_recv()?;
        Ok(message.map(|message| self.received(message)))
    }

    async fn recv(&self) -> Result<Bytes> {
        let message = self.session().recv().await?;
        Ok(self.received(message))
    }

    async fn open_stream(&self) -> Result<BiStream> {
        let session = self.session();
        let Ok(permit) = session.streams.clone().acquire_owned().await else {
            return Err(session.close_reason().expect("only the end closes the semaphore").to_error());
        };
        let mut failed = None;
        loop {
            let link = session.link(failed.as_ref()).await?;
            if let Ok(stream) = link.connection.open_stream().await {
                let mut state = session.lock();
                if state.is_on(&link) {
                    let id = state.open(stream, permit);
                    return Ok(stream::wrap(&self.guard, id));
                }
            }
            failed = Some(link);
        }
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        let session = self.session();
        let mut place = Place::new(session, |state| &mut state.acceptors);
        let id = poll_fn(|cx| {
            let mut state = session.lock();
            if let Some(error) = state.closed_error() {
                return Poll::Ready(Err(error));
            }
            match state.next_incoming() {
                Some(id) => Poll::Ready(Ok(id)),
                None => {
                    place.wait(&mut state, cx);
                    Poll::Pending
                }
            }
        });
        Ok(stream::wrap(&self.guard, id.await?))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let session = self.session();
        let size = datagram.len();
        let link = {
            let state = session.lock();
            match state.closed_error() {
                Some(error) => return Err(error),
                None => state.link.clone(),
            }
        };
        let sent = match link {
            Some(link) => link.connection.send_datagram(datagram),
            None => match *session.datagram_bytes_max.lock() {
                None => Err(P2PError::DatagramsUnsupported),
                Some(limit) if size > limit => Err(P2PError::DatagramTooLarge { size, limit }),
                Some(_) => Err(CloseReason::TimedOut.to_error()),
            },
        };
        match sent {
            Ok(()) => {}
            // There is no transport, or it has just been lost.
            Err(P2PError::Closed { .. }) => {
                session.shared.totals.datagrams_dropped.add(1);
                count(&session.counters.datagrams_dropped, 1);
            }
            Err(error) => return Err(error),
        }
        count(&session.counters.datagrams_sent, 1);
        count(&session.counters.bytes_sent, size);
        Ok(())
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let session = self.session();
        let mut failed = None;
        loop {
            let link = session.link(failed.as_ref()).await?;
            match link.connection.recv_datagram().await {
                Ok(datagram) => {
                    count(&session.counters.datagrams_received, 1);
                    count(&session.counters.bytes_received, datagram.len());
                    return Ok(datagram);
                }
                Err(P2PError::Closed { .. }) => failed = Some(link),
                Err(error) => return Err(error),
            }
        }
    }

    async fn finish(&self) -> Result<()> {
        let session = self.session();
        session.start_finish();
        let reason = session.closed().await;
        if session.lock().finish == Finish::Done { Ok(()) } else { Err(reason.to_error()) }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.session().close(code, reason);
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.session().close_reason()
    }

    async fn closed(&self) -> CloseReason {
        self.session().closed().await
    }
}
