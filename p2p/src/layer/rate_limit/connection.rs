//! Connections whose traffic is limited.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    account::Account,
    budget::{Cost, Kind},
    gate::Gate,
    stream,
};
use crate::{BiStream, BoxFuture, ConnectionState, P2PConnection, Result, TrySendError, Watch};

#[derive(Debug)]
pub(super) struct RateLimitConnection {
    inner: Arc<dyn P2PConnection>,
    account: Arc<Account>,
    state: Watch<ConnectionState>,
}

impl RateLimitConnection {
    /// `inner` with its traffic limited; `inner` itself where it is not, which then costs nothing per call.
    pub(super) fn wrap(inner: Arc<dyn P2PConnection>, account: Arc<Account>) -> Arc<dyn P2PConnection> {
        use Kind::*;
        let traffic = [MessagesSent, BytesSent, StreamsSent, MessagesReceived, BytesReceived, StreamsReceived];
        if !account.concerns(&traffic) {
            return inner;
        }
        let state = inner.state();
        Arc::new(Self { inner, account, state })
    }

    /// Polls `act` whenever there is room for it, and takes the cost if it succeeds.
    ///
    /// While `act` waits for something else, nothing is taken: an idle `recv` keeps no other caller waiting. Whoever is
    /// dropped has paid nothing.
    async fn within<T>(&self, cost: &Cost, mut act: BoxFuture<'_, Result<T>>) -> Result<T> {
        let mut gate = Gate::new(self.account.clone(), self.state.clone());
        poll_fn(|cx| {
            let taken = ready!(gate.poll_take(cx, cost));
            let poll = act.as_mut().poll(cx);
            if taken && !matches!(poll, Poll::Ready(Ok(_))) {
                self.account.give_back(cost);
            }
            poll
        })
        .await
    }

    /// Whether the inner connection would refuse the message for good, which no waiting changes.
    fn is_futile(&self, message: &Bytes) -> bool {
        self.inner.close_reason().is_some() || message.len() > self.inner.limits().message_bytes_max
    }
}

fn outgoing(bytes: &Bytes) -> [(Kind, u64); 2] {
    [(Kind::MessagesSent, 1), (Kind::BytesSent, bytes.len() as u64)]
}

/// How many bytes it is shows when it is here.
const INCOMING: [(Kind, u64); 2] = [(Kind::MessagesReceived, 1), (Kind::BytesReceived, 0)];

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl P2PConnection for RateLimitConnection {
    forward_connection!(peer_id negotiated limits stats state finish close close_reason closed);

    fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
        let cost = outgoing(&message);
        if self.account.take(&cost).is_err() {
            return match self.is_futile(&message) {
                true => self.inner.try_send(message),
                false => Err(TrySendError::Full(message)),
            };
        }
        self.inner.try_send(message).inspect_err(|_| self.account.give_back(&cost))
    }

    async fn send(&self, message: Bytes) -> Result<()> {
        match self.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Failed(error)) => Err(error),
            Err(TrySendError::Full(message)) => {
                let cost = outgoing(&message);
                self.within(&cost, self.inner.send(message)).await
            }
        }
    }

    fn try_recv(&self) -> Result<Option<Bytes>> {
        let taken = self.account.take(&INCOMING).is_ok();
        if !taken && self.inner.close_reason().is_none() {
            return Ok(None);
        }
        let result = self.inner.try_recv();
        match &result {
            Ok(Some(message)) => self.account.take_late(Kind::BytesReceived, message.len()),
            _ if taken => self.account.give_back(&INCOMING),
            _ => {}
        }
        result
    }

    async fn recv(&self) -> Result<Bytes> {
        let message = self.within(&INCOMING, self.inner.recv()).await?;
        self.account.take_late(Kind::BytesReceived, message.len());
        Ok(message)
    }

    async fn open_stream(&self) -> Result<BiStream> {
        let stream = self.within(&[(Kind::StreamsSent, 1)], self.inner.open_stream()).await?;
        Ok(stream::wrap(stream, &self.account, &self.state))
    }

    async fn accept_stream(&self) -> Result<BiStream> {
        let stream = self.within(&[(Kind::StreamsReceived, 1)], self.inner.accept_stream()).await?;
        Ok(stream::wrap(stream, &self.account, &self.state))
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        let cost = outgoing(&datagram);
        if let Err(denied) = self.account.take(&cost) {
            let is_futile = self.inner.limits().datagram_bytes_max.is_none_or(|most| datagram.len() > most);
            return match is_futile || self.inner.close_reason().is_some() {
                true => self.inner.send_datagram(datagram),
                false => Err(denied.into()),
            };
        }
        self.inner.send_datagram(datagram).inspect_err(|_| self.account.give_back(&cost))
    }

    async fn recv_datagram(&self) -> Result<Bytes> {
        let datagram = self.within(&INCOMING, self.inner.recv_datagram()).await?;
        self.account.take_late(Kind::BytesReceived, datagram.len());
        Ok(datagram)
    }
}
