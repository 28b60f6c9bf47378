//! What is open under a token, and ends when that is revoked.

use std::{
    collections::BTreeMap,
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Sink, Stream};
use p2p::{BoxFuture, WatchSender};
use parking_lot::Mutex;

use crate::{
    route::ClientId,
    socket::{BoxSocket, Close, Message},
};

/// The sockets that are open, by a number of each. Bounded by the connections that the server takes.
#[derive(Debug, Default)]
pub(super) struct Passes(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    passes: BTreeMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    client: ClientId,
    token_hash: String,
    revoked: WatchSender<bool>,
}

impl Passes {
    pub(super) fn open(self: &Arc<Self>, client: &ClientId, token_hash: String) -> Pass {
        let revoked = WatchSender::new(false);
        let mut watch = revoked.subscribe();
        let mut open = self.0.lock();
        let number = open.next;
        open.next += 1;
        open.passes.insert(number, Held { client: client.clone(), token_hash, revoked });
        let wait = Box::pin(async move {
            if watch.wait_for(|revoked| *revoked).await.is_err() {
                std::future::pending().await
            }
        });
        Pass { passes: self.clone(), number, revoked: wait }
    }

    /// Ends what is open under that token.
    pub(super) fn revoke(&self, token_hash: &str) {
        self.end(|held| held.token_hash == token_hash);
    }

    /// Ends what is open under any token of that client.
    pub(super) fn revoke_client(&self, client: &ClientId) {
        self.end(|held| held.client == *client);
    }

    fn end(&self, concerns: impl Fn(&Held) -> bool) {
        self.0.lock().passes.values().filter(|held| concerns(held)).for_each(|held| held.revoked.set(true));
    }
}

/// A token in use. Get it before the token is checked: what is revoked from then on ends what this guards.
pub(crate) struct Pass {
    passes: Arc<Passes>,
    number: u64,
    revoked: BoxFuture<'static, ()>,
}

impl Pass {
    /// The socket, which is closed with code 1008 when the token is revoked. Seen while its stream is polled.
    pub(crate) fn guard(self, socket: BoxSocket) -> BoxSocket {
        Box::new(Guarded { inner: socket, pass: Some(self) })
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({})", self.number)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let held = self.passes.0.lock().passes.remove(&self.number);
        drop(held);
    }
}

struct Guarded {
    inner: BoxSocket,
    /// Nothing once it was revoked.
    pass: Option<Pass>,
}

impl Guarded {
    /// Tells the other end, unless it does not read: then it learns of it by the end of its byte stream.
    fn tell(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.inner).poll_ready(cx)
            && Pin::new(&mut self.inner).start_send(Message::Close(revoked())).is_ok()
        {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }
}

fn revoked() -> Close {
    Close::new(POLICY_VIOLATION, "the token that opened this was revoked")
}

impl Stream for Guarded {
    type Item = io::Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(pass) = &mut this.pass else { return Poll::Ready(None) };
        if pass.revoked.as_mut().poll(cx).is_ready() {
            this.pass = None;
            this.tell(cx);
            return Poll::Ready(Some(Ok(Message::Close(revoked()))));
        }
        Pin::new(&mut this.inner).poll_next(cx)
    }
}

impl Sink<Message> for Guarded {
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

/// "Policy violation" (RFC 6455 §7.4.1).
const POLICY_VIOLATION: u16 = 1008;
