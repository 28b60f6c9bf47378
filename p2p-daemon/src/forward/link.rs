//! The one connection that a connecting side keeps to its peer.

use std::{sync::Arc, time::Duration};

use p2p::{
    CloseCode, CloseReason, ConnectionConfig, ConnectionState, P2PConnection, P2PError, P2PProvider, Path, PeerAddr,
    ProviderStatus, RefusalCode, RuntimeExt, Watch, WatchSender,
};

use super::{
    backoff::{self, Backoff},
    failure::Failure,
};

/// Dials a peer, and dials it again whenever the connection is lost.
#[derive(Debug)]
pub(super) struct Link {
    provider: Arc<dyn P2PProvider>,
    peer: PeerAddr,
    config: ConnectionConfig,
    connection: WatchSender<Option<Arc<dyn P2PConnection>>>,
    state: WatchSender<LinkState>,
}

/// Where a [`Connect`](super::Connect) stands with its peer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkState {
    /// The first dial is under way.
    Dialling,
    /// Connected.
    Up {
        /// The state and the path now, and their changes.
        connection: Watch<ConnectionState>,
        /// The path that the connection began on.
        path: Option<Path>,
        /// How long the dial took.
        took: Duration,
    },
    /// Not connected; the peer is being dialled again and again.
    Down {
        /// Why.
        problem: String,
        /// Whether there was a connection, which is lost.
        was_up: bool,
    },
}

impl LinkState {
    /// Why there is no connection, if there is none.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Up { .. } => None,
            Self::Dialling => Some("dialling".to_owned()),
            Self::Down { problem, .. } => Some(problem.clone()),
        }
    }
}

impl Link {
    pub(super) fn new(provider: Arc<dyn P2PProvider>, peer: PeerAddr, config: ConnectionConfig) -> Self {
        let (connection, state) = (WatchSender::new(None), WatchSender::new(LinkState::Dialling));
        Self { provider, peer, config, connection, state }
    }

    pub(super) fn state(&self) -> Watch<LinkState> {
        self.state.subscribe()
    }

    /// The connection, as soon as there is one.
    pub(super) async fn connection(&self) -> Result<Arc<dyn P2PConnection>, Failure> {
        let mut connection = self.connection.subscribe();
        let connection = connection.wait_for(Option::is_some);
        match self.provider.runtime().timeout(PATIENCE, connection).await {
            Ok(Ok(Some(connection))) => Ok(connection),
            _ => Err(Failure::PeerUnreachable(PATIENCE)),
        }
    }

    /// Keeps the connection up. Returns only what no other dial will change.
    pub(super) async fn keep(&self) -> P2PError {
        let runtime = self.provider.runtime();
        let mut backoff = Backoff::new(runtime.rng("link backoff"));
        let mut was_up = false;
        loop {
            self.ready().await;
            let start = runtime.now();
            let problem = match self.provider.connect_with(self.peer.clone(), self.config.clone()).await {
                Ok(connection) => {
                    was_up = true;
                    let up = runtime.now();
                    self.set_up(&connection, up - start);
                    let reason = connection.closed().await;
                    // A peer that takes connections and closes them at once is dialled no faster than one that is away.
                    if runtime.now() - up > backoff::LONGEST {
                        backoff.reset();
                    }
                    describe(&reason)
                }
                Err(error) if is_final(&error, was_up) => return error,
                Err(error) => error.chain(),
            };
            self.set_down(problem, was_up);
            runtime.sleep(backoff.wait()).await;
        }
    }

    /// Waits for this side's own relay, for a while. What a dial sends before that is lost, and sent again only a second
    /// later.
    async fn ready(&self) {
        let mut status = self.provider.status();
        let ready = status.wait_for(ProviderStatus::is_ready);
        self.provider.runtime().timeout(READY_TIMEOUT, ready).await.ok();
    }

    fn set_up(&self, connection: &Arc<dyn P2PConnection>, took: Duration) {
        let state = connection.state();
        let path = state.read(|state| state.path().cloned());
        self.connection.modify(|now| {
            *now = Some(connection.clone());
            true
        });
        self.set(LinkState::Up { connection: state, path, took });
    }

    fn set_down(&self, problem: String, was_up: bool) {
        self.connection.modify(|now| now.take().is_some());
        self.set(LinkState::Down { problem, was_up });
    }

    fn set(&self, state: LinkState) {
        self.state.modify(|now| {
            *now = state;
            true
        });
    }
}

/// Why a connection ended, about the peer.
fn describe(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Peer { code: CloseCode::OK, reason } if reason.is_empty() => "it closed the connection".to_owned(),
        CloseReason::Peer { reason, .. } if !reason.is_empty() => format!("it closed the connection, saying: {reason}"),
        reason => reason.to_string(),
    }
}

/// Whether dialling again is pointless. Once the peer was reached, it is never: what it says now may be about its own
/// restart.
fn is_final(error: &P2PError, was_up: bool) -> bool {
    match error {
        P2PError::ShutDown => true,
        P2PError::InvalidInput { .. } | P2PError::AuthenticationFailed { .. } | P2PError::Protocol { .. } => !was_up,
        P2PError::Refused { refusal, .. } => !was_up && refusal.code == RefusalCode::Rejected,
        _ => false,
    }
}

/// How long a TCP connection waits for the peer. Clients have deadlines of their own; most are longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// No longer than what is lost by dialling too early (the second is QUIC's first timeout, RFC 9002 §6.2.2).
const READY_TIMEOUT: Duration = Duration::from_secs(1);
