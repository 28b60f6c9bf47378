//! Ways to get the migration wrong, each put in the router's place or beneath it, to see that the test notices.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use p2p::{BoxFuture, Watch};
use parking_lot::Mutex;
use tunnel_compat::{
    migration::Phase,
    route::{Body, BodyError, ClientId, Failure, Route, RouteError, full},
    socket::BoxSocket,
};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// What waits for an answer when the phase changes gets none.
    LosesAtAChange,
    /// What was sent over P2P is sent over the tunnel as well, now and then, whether it is safe to repeat or not.
    DoublesOnFallback,
    /// What streams over the tunnel is cut when the phase changes, long before the deadline.
    CutsAtAChange,
    /// An answer is cut short over P2P, now and then, and says that it is whole.
    Shortens,
    /// An answer is another request's, now and then.
    MixesAnswers,
    /// A rollback says that it was done.
    ForgetsRollback,
    /// A WebSocket over the tunnel ends when the phase changes.
    EndsWebSockets,
}

impl Sabotage {
    pub const ALL: [Self; 7] = [
        Self::LosesAtAChange,
        Self::DoublesOnFallback,
        Self::CutsAtAChange,
        Self::Shortens,
        Self::MixesAnswers,
        Self::ForgetsRollback,
        Self::EndsWebSockets,
    ];

    /// Where it is done.
    pub const fn place(self) -> Place {
        match self {
            Self::LosesAtAChange | Self::MixesAnswers | Self::ForgetsRollback => Place::Router,
            Self::DoublesOnFallback | Self::Shortens => Place::P2p,
            Self::CutsAtAChange | Self::EndsWebSockets => Place::Tunnel,
        }
    }
}

/// Whose work is done badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Router,
    P2p,
    Tunnel,
}

/// A route that is sabotaged.
pub struct Saboteur {
    inner: Arc<dyn Route>,
    what: Sabotage,
    phase: Watch<Phase>,
    count: AtomicUsize,
    last: Mutex<Bytes>,
}

/// One request in so many is concerned, where not all are.
const ONE_IN: usize = 40;

impl Saboteur {
    pub fn new(inner: Arc<dyn Route>, what: Sabotage, phase: Watch<Phase>) -> Self {
        Self { inner, what, phase, count: AtomicUsize::new(0), last: Mutex::default() }
    }

    fn is_time(&self) -> bool {
        self.count.fetch_add(1, SeqCst) % ONE_IN == ONE_IN - 1
    }

    fn change(&self) -> BoxFuture<'static, ()> {
        let mut phase = self.phase.clone();
        let now = phase.get();
        Box::pin(async move {
            if phase.wait_for(|phase| *phase != now).await.is_err() {
                std::future::pending().await
            }
        })
    }

    async fn lose_at_a_change(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        p2p::select! {
            answer = self.inner.http(client, request) => answer,
            () = self.change() => Err(RouteError::sent(Failure::Broken("lost at a change of phase".into()))),
        }
    }

    async fn send_and_deny(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("it is not the body that is wrong").to_bytes();
        let copy = || Request::from_parts(head.clone(), full(body.clone()));
        self.inner.http(client, copy()).await?;
        Err(RouteError::unsent(Failure::Broken("it was not sent, they say".into()), copy()))
    }

    async fn whole(answer: Response<Body>) -> Result<Response<Bytes>, RouteError> {
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| RouteError::sent(Failure::Broken(error.to_string())))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

impl fmt::Debug for Saboteur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saboteur({:?} of {:?})", self.what, self.inner)
    }
}

#[async_trait]
impl Route for Saboteur {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn knows(&self, client: &ClientId) -> bool {
        self.inner.knows(client)
    }

    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let is_once = request.method() == Method::POST;
        match self.what {
            Sabotage::LosesAtAChange => self.lose_at_a_change(client, request).await,
            Sabotage::DoublesOnFallback if is_once && self.is_time() => self.send_and_deny(client, request).await,
            Sabotage::CutsAtAChange => {
                let change = self.change();
                let answer = self.inner.http(client, request).await?;
                Ok(answer.map(|inner| CutBody { inner, change }.boxed_unsync()))
            }
            Sabotage::Shortens if !is_once && self.is_time() => {
                let answer = Self::whole(self.inner.http(client, request).await?).await?;
                Ok(answer.map(|body| full(body.slice(..body.len() - 1))))
            }
            Sabotage::MixesAnswers if is_once => {
                let answer = Self::whole(self.inner.http(client, request).await?).await?;
                let before = std::mem::replace(&mut *self.last.lock(), answer.body().clone());
                let is_time = self.is_time();
                Ok(answer.map(|body| full(if is_time { before } else { body })))
            }
            _ => self.inner.http(client, request).await,
        }
    }

    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        let socket = self.inner.websocket(client, request).await?;
        if self.what != Sabotage::EndsWebSockets {
            return Ok(socket);
        }
        Ok(Box::new(CutSocket { inner: socket, change: self.change() }))
    }
}

struct CutBody {
    inner: Body,
    change: BoxFuture<'static, ()>,
}

impl http_body::Body for CutBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.change.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err("cut at a change of phase".into()))),
            Poll::Pending => Pin::new(&mut self.inner).poll_frame(cx),
        }
    }
}

struct CutSocket {
    inner: BoxSocket,
    change: BoxFuture<'static, ()>,
}

impl futures_util::Stream for CutSocket {
    type Item = std::io::Result<tunnel_compat::socket::Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.change.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => Pin::new(&mut self.inner).poll_next(cx),
        }
    }
}

impl futures_util::Sink<tunnel_compat::socket::Message> for CutSocket {
    type Error = std::io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: tunnel_compat::socket::Message) -> std::io::Result<()> {
        Pin::new(&mut self.inner).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
