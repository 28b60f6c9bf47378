//! Accepting TCP connections in a way that nothing short of the program's end stops.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};
use tracing::warn;

use crate::Error;

/// A TCP listener whose `accept` has no error.
///
/// Accepting fails when the process or the system has no file descriptors or memory left. That passes, so the acceptor
/// pauses and tries again; meanwhile clients wait in the kernel's backlog.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    addr: SocketAddr,
    on_failure: OnFailure,
    /// Kept here and not in a future, so that a dropped `accept` pauses no less.
    resume_at: Option<Instant>,
    complained_at: Option<Instant>,
}

impl Acceptor {
    /// Listens on `addr`; `option` is what a person would change to listen elsewhere.
    pub(crate) async fn bind(addr: SocketAddr, option: &'static str) -> Result<Self, Error> {
        let listen = |source| Error::Listen { addr, option, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, addr, on_failure: OnFailure(Box::new(|| {})), resume_at: None, complained_at: None })
    }

    /// What to do at each failure.
    pub(crate) fn on_failure(&mut self, count: impl Fn() + Send + Sync + 'static) {
        self.on_failure = OnFailure(Box::new(count));
    }

    /// The address in use, with the port that was picked if 0 was asked for.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits for the next connection.
    ///
    /// # Cancel safety
    /// Dropping the future loses no connection.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(resume_at) = self.resume_at {
                sleep_until(resume_at).await;
                self.resume_at = None;
            }
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => self.note(&error),
            }
        }
    }

    fn note(&mut self, error: &io::Error) {
        // These concern the one connection that did not come about (accept(2)), not the listener.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        let now = Instant::now();
        (self.on_failure.0)();
        self.resume_at = Some(now + PAUSE);
        if self.complained_at.is_none_or(|before| now - before >= COMPLAINT_PERIOD) {
            self.complained_at = Some(now);
            warn!(listener = %self.addr, %error, "No connection can be accepted for now; clients wait. Raise the limit of open files (`ulimit -n`) if this stays.");
        }
    }
}

struct OnFailure(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnFailure")
    }
}

/// Between tries when nothing can be accepted: short for a client that waits, long for a processor.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// Between log lines about the same trouble.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(30);
