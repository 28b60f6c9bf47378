//! Follows what is under way on a route, to its end or to the drain deadline.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http_body::{Frame, SizeHint};
use p2p::BoxFuture;

use super::{Outcome, Side, counters::count, router::Shared, shadow::Primary};
use crate::{
    route::{Body, BodyError, ClientId},
    socket::{BoxSocket, Close, Message},
};

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    WebSocket,
}

/// One request or WebSocket under way; it has ended when this is dropped.
pub(super) struct Flight {
    shared: Arc<Shared>,
    side: Side,
    kind: Kind,
    client: ClientId,
    /// Whether the client counts as an existing one for it.
    is_counted: bool,
}

impl Flight {
    /// Begins. With `is_fallback` it makes no existing client of one that had another route.
    pub(super) fn begin(shared: &Arc<Shared>, side: Side, kind: Kind, client: &ClientId, is_fallback: bool) -> Self {
        let counters = shared.counters.side(side);
        count(&counters.routed);
        count(match kind {
            Kind::Request => &counters.requests_in_flight,
            Kind::WebSocket => &counters.websockets_in_flight,
        });
        let is_counted = side == Side::Tunnel && !is_fallback;
        if is_counted {
            shared.machine.lock().handle_tunnel_begin(shared.runtime.now(), client);
        }
        Self { shared: shared.clone(), side, kind, client: client.clone(), is_counted }
    }

    /// Resolves when the tunnel is refused, if this is on it.
    pub(super) fn cut(&self) -> BoxFuture<'static, ()> {
        if self.side != Side::Tunnel {
            return Box::pin(std::future::pending());
        }
        let mut closed = self.shared.tunnel_closed.subscribe();
        Box::pin(async move {
            if closed.wait_for(|closed| *closed).await.is_err() {
                std::future::pending().await
            }
        })
    }

    /// Counts that it was cut.
    pub(super) fn count_cut(&self) {
        let counters = &self.shared.counters;
        count(match self.kind {
            Kind::Request => &counters.cut_requests,
            Kind::WebSocket => &counters.cut_websockets,
        });
        tracing::warn!(client = %self.client, kind = ?self.kind, "Cut at the drain deadline of phase 4.");
    }

    /// Counts that its route failed it.
    pub(super) fn count_failure(&self) {
        count(&self.shared.counters.side(self.side).failed);
    }

    /// Its answer broke off after the head had come.
    fn handle_broken_body(&self) {
        self.count_failure();
        if self.side == Side::P2p {
            self.shared.handle_outcome(Outcome::Failed);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let counters = self.shared.counters.side(self.side);
        let in_flight = match self.kind {
            Kind::Request => &counters.requests_in_flight,
            Kind::WebSocket => &counters.websockets_in_flight,
        };
        in_flight.fetch_sub(1, Relaxed);
        if self.is_counted {
            self.shared.machine.lock().handle_tunnel_end(self.shared.runtime.now(), &self.client);
        }
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flight({:?} of {} over {})", self.kind, self.client, self.side)
    }
}

/// Why an exchange over the tunnel ends at the drain deadline, for the app.
pub(super) const CUT: &str = "the tunnel is no longer served (phase 4, drain deadline passed); connect again";

/// An answer's body, followed to its end.
pub(super) struct FollowedBody {
    inner: Body,
    flight: Option<Flight>,
    cut: BoxFuture<'static, ()>,
    shadow: Option<Primary>,
}

impl FollowedBody {
    pub(super) fn new(inner: Body, flight: Flight, shadow: Option<Primary>) -> Self {
        let cut = flight.cut();
        let mut body = Self { inner, flight: Some(flight), cut, shadow };
        if http_body::Body::is_end_stream(&body.inner) {
            body.end();
        }
        body
    }

    fn end(&mut self) {
        self.flight = None;
        if let Some(shadow) = self.shadow.take() {
            shadow.end();
        }
    }
}

impl http_body::Body for FollowedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(flight) = &this.flight else { return Poll::Ready(None) };
        // First, or a body that never waits would never be cut.
        if this.cut.as_mut().poll(cx).is_ready() {
            flight.count_cut();
            (this.flight, this.shadow, this.inner) = (None, None, crate::route::empty());
            return Poll::Ready(Some(Err(CUT.into())));
        }
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(shadow)) = (frame.data_ref(), &mut this.shadow) {
                    shadow.take(data);
                }
                if http_body::Body::is_end_stream(&this.inner) {
                    this.end();
                }
            }
            Some(Err(_)) => {
                flight.handle_broken_body();
                (this.flight, this.shadow) = (None, None);
            }
            None => this.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.flight.is_none() && http_body::Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.inner)
    }
}

/// A WebSocket, followed to its end.
pub(super) struct FollowedSocket {
    inner: BoxSocket,
    flight: Option<Flight>,
    cut: BoxFuture<'static, ()>,
}

impl FollowedSocket {
    pub(super) fn new(inner: BoxSocket, flight: Flight) -> Self {
        let cut = flight.cut();
        Self { inner, flight: Some(flight), cut }
    }
}

impl Stream for FollowedSocket {
    type Item = io::Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(flight) = &this.flight else { return Poll::Ready(None) };
        if this.cut.as_mut().poll(cx).is_ready() {
            flight.count_cut();
            this.flight = None;
            return Poll::Ready(Some(Ok(Message::Close(Close::new(SERVICE_RESTART, CUT)))));
        }
        let message = ready!(Pin::new(&mut this.inner).poll_next(cx));
        match &message {
            Some(Err(_)) => flight.count_failure(),
            Some(Ok(Message::Close(_))) | None => {}
            Some(Ok(_)) => return Poll::Ready(message),
        }
        this.flight = None;
        Poll::Ready(message)
    }
}

/// "Service Restart": the app may connect again at once (the IANA registry of WebSocket close codes).
const SERVICE_RESTART: u16 = 1012;

impl Sink<Message> for FollowedSocket {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        Pin::new(&mut self.inner).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
