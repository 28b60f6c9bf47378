//! A provider that does what a test says, for testing code that uses connections.

mod connection;

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

pub use self::connection::ScriptedConnection;
use crate::{
    ConnectionConfig, ListenConfig, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, PeerId, PeerInfo,
    ProtocolId, ProviderStatus, Result, Runtime, SharedError, TokioRuntime, Watch, WatchSender,
};

/// A provider whose dials and accepts yield what a script says. Clones share the script.
///
/// Dials beyond the script find nobody, accepts beyond it wait.
///
/// ```
/// use p2p::{P2PConnection, P2PProviderExt, CloseReason, PeerId, mock::{Scripted, ScriptedConnection}};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let bob = PeerId::from_name("bob");
/// let connection = ScriptedConnection::new(bob)
///     .receives("hello")
///     .ends(CloseReason::TimedOut);
/// let provider = Scripted::new("alice").dials(Err(p2p::P2PError::Timeout {
///     during: "the first dial",
///     after: std::time::Duration::from_secs(1),
/// })).dials(Ok(connection.clone()));
///
/// // The code under test: it dials until it gets through, and answers.
/// let dialled = loop {
///     match provider.connect(bob, &"chat/1".parse()?).await {
///         Ok(connection) => break connection,
///         Err(error) => assert!(error.is_retryable()),
///     }
/// };
/// let message = dialled.recv().await?;
/// dialled.send(message).await?;
///
/// assert_eq!(provider.dialled(), [bob, bob]);
/// assert_eq!(connection.sent(), ["hello"]);
/// assert!(dialled.recv().await.unwrap_err().is_retryable());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Scripted(Arc<Script>);

#[derive(Debug)]
struct Script {
    peer: PeerId,
    runtime: Arc<dyn Runtime>,
    lines: Mutex<Lines>,
    status: WatchSender<ProviderStatus>,
    /// Changes whenever a connection comes to be accepted.
    arrivals: WatchSender<usize>,
}

#[derive(Debug, Default)]
struct Lines {
    dials: VecDeque<Result<ScriptedConnection>>,
    accepts: VecDeque<ScriptedConnection>,
    dialled: Vec<PeerId>,
}

impl Scripted {
    /// A provider with an empty script, whose identity is [`PeerId::from_name`], on tokio's time.
    pub fn new(name: &str) -> Self {
        Self::with_runtime(name, Arc::new(TokioRuntime))
    }

    /// [`new`](Self::new), on that runtime.
    pub fn with_runtime(name: &str, runtime: Arc<dyn Runtime>) -> Self {
        let peer = PeerId::from_name(name);
        let status = ProviderStatus { addr: peer.into(), checks: Vec::new(), shut_down: false };
        Self(Arc::new(Script {
            peer,
            runtime,
            lines: Mutex::default(),
            status: WatchSender::new(status),
            arrivals: WatchSender::new(0),
        }))
    }

    /// The next dial yields that, whomever it dials.
    #[must_use]
    pub fn dials(self, result: Result<ScriptedConnection>) -> Self {
        self.0.lines.lock().dials.push_back(result);
        self
    }

    /// The next accept yields that, on whichever listener. May also be called while the test runs.
    #[must_use]
    pub fn accepts(self, connection: ScriptedConnection) -> Self {
        self.0.lines.lock().accepts.push_back(connection);
        self.0.arrivals.modify(|arrivals| {
            *arrivals += 1;
            true
        });
        self
    }

    /// Whom the code under test has dialled, in order.
    pub fn dialled(&self) -> Vec<PeerId> {
        self.0.lines.lock().dialled.clone()
    }

    fn check_running(&self) -> Result<()> {
        match self.0.status.read(|status| status.shut_down) {
            true => Err(P2PError::ShutDown),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl P2PProvider for Scripted {
    fn local_peer_id(&self) -> PeerId {
        self.0.peer
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }

    fn status(&self) -> Watch<ProviderStatus> {
        self.0.status.subscribe()
    }

    fn peer_info(&self, _: PeerId) -> Option<PeerInfo> {
        None
    }

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        self.check_running()?;
        config.validate()?;
        let mut lines = self.0.lines.lock();
        lines.dialled.push(peer.peer);
        let source = SharedError::new("the script has no more dials");
        let beyond = Err(P2PError::PeerNotFound { peer: peer.peer, source });
        let connection = lines.dials.pop_front().unwrap_or(beyond)?;
        Ok(Arc::new(connection))
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        self.check_running()?;
        config.connection.validate()?;
        Ok(Box::new(ScriptedListener { protocol: config.connection.protocol, provider: self.clone() }))
    }

    /// Resolves pending accepts. Connections end by their own scripts.
    async fn shutdown(&self, _: Duration) {
        self.0.status.modify(|status| !std::mem::replace(&mut status.shut_down, true));
        self.0.arrivals.modify(|_| true);
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scripted")
    }
}

#[derive(Debug)]
struct ScriptedListener {
    protocol: ProtocolId,
    provider: Scripted,
}

#[async_trait]
impl P2PListener for ScriptedListener {
    fn protocol(&self) -> &ProtocolId {
        &self.protocol
    }

    fn local_addr(&self) -> PeerAddr {
        self.provider.0.peer.into()
    }

    async fn accept(&self) -> Result<Arc<dyn P2PConnection>> {
        let mut arrivals = self.provider.0.arrivals.subscribe();
        loop {
            self.provider.check_running()?;
            let next = self.provider.0.lines.lock().accepts.pop_front();
            if let Some(connection) = next {
                return Ok(Arc::new(connection));
            }
            // The writing end is in the provider, which this listener holds.
            let _ = arrivals.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CloseReason;

    #[tokio::test]
    async fn a_connection_ends_as_scripted_once_everything_was_received() {
        let connection = ScriptedConnection::new(PeerId::from_name("bob"))
            .receives("one")
            .receives("two")
            .ends(CloseReason::TimedOut);
        assert_eq!(connection.recv().await.unwrap(), "one");
        assert_eq!(connection.try_recv().unwrap().unwrap(), "two");
        connection.send("an answer".into()).await.unwrap();
        assert!(matches!(connection.recv().await, Err(P2PError::Closed { .. })));
        assert_eq!(connection.closed().await, CloseReason::TimedOut);
        assert!(connection.send("late".into()).await.is_err());
        assert_eq!(connection.sent(), ["an answer"]);
    }

    #[tokio::test]
    async fn what_is_scripted_later_wakes_whoever_waits() {
        let connection = ScriptedConnection::new(PeerId::from_name("bob"));
        let provider = Scripted::new("alice");
        let listener = provider.listen_with(ListenConfig::default()).await.unwrap();
        let later = async {
            tokio::task::yield_now().await;
            let _ = provider.clone().accepts(connection.clone());
            tokio::task::yield_now().await;
            let _ = connection.clone().receives("hello");
        };
        let wait = async { listener.accept().await.unwrap().recv().await.unwrap() };
        assert_eq!(tokio::join!(wait, later).0, "hello");
        let shut_down = async {
            tokio::task::yield_now().await;
            provider.shutdown(Duration::ZERO).await;
        };
        let (accepted, ()) = tokio::join!(listener.accept(), shut_down);
        assert!(matches!(accepted, Err(P2PError::ShutDown)));
    }
}
