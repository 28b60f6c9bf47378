//! Finds out that the other end of a WebSocket is gone, and shows it that this one lives.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Sink, Stream};
use p2p::{Instant, Runtime, Timer};

use super::{BoxSocket, Message};

/// How a socket's life is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// A ping goes out this often. Defaults to 5 s, as the legacy tunnel does on both ends.
    pub ping_every: Duration,
    /// Without a frame of any kind for so long, the other end is taken for dead. Defaults to 15 s, three pings: the legacy
    /// server's 10 s are met by sending, not by being as impatient.
    pub silence_max: Duration,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { ping_every: Duration::from_secs(5), silence_max: Duration::from_secs(15) }
    }
}

/// The socket, with pings; its stream ends with an [`io::ErrorKind::TimedOut`] when the other end is dead.
///
/// Time passes for it while its stream is polled. What has arrived counts, however late it is read.
pub fn watched(socket: BoxSocket, heartbeat: Heartbeat, runtime: &Arc<dyn Runtime>) -> BoxSocket {
    let now = runtime.now();
    let timer = runtime.timer();
    let (next_ping, dead_at) = (now + heartbeat.ping_every, now + heartbeat.silence_max);
    Box::new(Watched { inner: socket, runtime: runtime.clone(), heartbeat, timer, next_ping, dead_at, flushing: false })
}

struct Watched {
    inner: BoxSocket,
    runtime: Arc<dyn Runtime>,
    heartbeat: Heartbeat,
    timer: Box<dyn Timer>,
    next_ping: Instant,
    dead_at: Instant,
    /// Whoever sends waits until all is written, which then includes a ping; flushing it here would take the wake-up from them.
    flushing: bool,
}

impl Stream for Watched {
    type Item = io::Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(message) = Pin::new(&mut self.inner).poll_next(cx) {
            self.dead_at = self.runtime.now() + self.heartbeat.silence_max;
            return Poll::Ready(message);
        }
        loop {
            let now = self.runtime.now();
            if now >= self.dead_at {
                let why = format!("the other end has been silent for {:?}", self.heartbeat.silence_max);
                return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, why))));
            }
            if now >= self.next_ping {
                self.next_ping = now + self.heartbeat.ping_every;
                self.ping(cx);
            }
            let next = self.next_ping.min(self.dead_at);
            self.timer.reset(Some(next));
            if self.timer.poll_fired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Watched {
    /// Sends a ping if there is room. If there is none the other end does not read, and its silence will tell.
    fn ping(&mut self, cx: &mut Context<'_>) {
        if self.flushing {
            return;
        }
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.inner).poll_ready(cx)
            && Pin::new(&mut self.inner).start_send(Message::Ping).is_ok()
        {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }
}

impl Sink<Message> for Watched {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = Pin::new(&mut self.inner).poll_ready(cx);
        self.flushing = ready.is_pending();
        ready
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> io::Result<()> {
        Pin::new(&mut self.inner).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushing = flushed.is_pending();
        flushed
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
