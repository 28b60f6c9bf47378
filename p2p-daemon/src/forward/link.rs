//! The connection that is kept to a peer by dialling it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use p2p::{
    Capability, CloseCode, CloseReason, ConnectionConfig, ConnectionState, P2PError, P2PProvider, Path, ProviderStatus,
    RefusalCode, RuntimeExt, Watch, WatchSender,
};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{
    backoff::{self, Backoff},
    failure::Failure,
    session::{PATIENCE, Session},
};
use crate::{access::CAPABILITY, daemon::Inner, rule::Remote};

/// Dials a peer, and dials it again whenever the connection is lost.
///
/// Dropped, it dials no more. What is open goes on: a stream keeps its connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) remote: Remote,
    session: WatchSender<Option<Arc<Session>>>,
    state: WatchSender<LinkState>,
    _task: AbortOnDropHandle<()>,
}

/// Where a rule stands with its peer.
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
    /// Not connected, and no other dial will change that. The peer is asked again now and then all the same.
    Failed {
        /// Why.
        error: P2PError,
    },
}

impl LinkState {
    /// Why there is no connection, if there is none.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Up { connection, .. } => connection.read(|state| match state {
                ConnectionState::Reconnecting { attempt, .. } => {
                    Some(format!("the connection is interrupted; attempt {attempt} to take it up again"))
                }
                _ => None,
            }),
            Self::Dialling => Some("dialling".to_owned()),
            Self::Failed { error } => Some(error.chain()),
            Self::Down { problem, .. } => Some(problem.clone()),
        }
    }
}

impl Link {
    /// Dials `remote`, for as long as the link lives.
    pub(crate) fn start(daemon: &Arc<Inner>, remote: Remote) -> Arc<Self> {
        let (session, state) = (WatchSender::new(None), WatchSender::new(LinkState::Dialling));
        let ways = Ways { session: session.clone(), state: state.clone() };
        let keep = keep(Arc::downgrade(daemon), daemon.provider.clone(), remote.clone(), ways);
        let task = AbortOnDropHandle::new(tokio::spawn(keep));
        Arc::new(Self { remote, session, state, _task: task })
    }

    pub(crate) fn state(&self) -> Watch<LinkState> {
        self.state.subscribe()
    }

    /// The connection, as soon as there is one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = self.session.subscribe();
        let session = session.wait_for(Option::is_some);
        match timeout(PATIENCE, session).await {
            Ok(Ok(Some(session))) => Ok(session),
            _ => Err(Failure::PeerUnreachable(PATIENCE)),
        }
    }
}

/// Lets a connection end once its link is gone.
struct Retire(Arc<Session>);

impl Drop for Retire {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// Where a link tells how it stands.
struct Ways {
    session: WatchSender<Option<Arc<Session>>>,
    state: WatchSender<LinkState>,
}

/// Keeps the connection up.
async fn keep(daemon: Weak<Inner>, provider: Arc<dyn P2PProvider>, remote: Remote, ways: Ways) {
    let runtime = provider.runtime();
    let mut backoff = Backoff::new(runtime.rng("link backoff"));
    let mut was_up = false;
    loop {
        ready(&*provider).await;
        let start = runtime.now();
        let problem = match provider.connect_with(remote.addr.clone(), config(&remote)).await {
            Ok(connection) => {
                let Some(session) = daemon.upgrade().and_then(|daemon| daemon.add(connection, true)) else { return };
                let _retire = Retire(session.clone());
                was_up = true;
                let up = runtime.now();
                ways.set_up(&session, up - start);
                let reason = session.connection.closed().await;
                // A peer that takes connections and closes them at once is dialled no faster than one that is away.
                if runtime.now() - up > backoff::LONGEST {
                    backoff.reset();
                }
                ways.set_down(describe(&reason), was_up);
                None
            }
            Err(error) if is_final(&error, was_up) => Some(error),
            Err(error) => {
                ways.set_down(error.chain(), was_up);
                None
            }
        };
        match problem {
            None => runtime.sleep(backoff.wait()).await,
            Some(P2PError::ShutDown) => return,
            Some(error) => {
                ways.set(LinkState::Failed { error });
                // Nothing but a change on the other side helps, which nobody here is told of.
                runtime.sleep(FAILED_PAUSE).await;
            }
        }
    }
}

/// The terms, and the token that the peer's ticket had.
fn config(remote: &Remote) -> ConnectionConfig {
    let config = super::connection_config();
    match &remote.token {
        Some(token) => config.with_capability(Capability::new(CAPABILITY).with_data(token.as_bytes())),
        None => config,
    }
}

/// Waits for this side's own relay, for a while. What a dial sends before that is lost, and sent again only a second
/// later.
async fn ready(provider: &dyn P2PProvider) {
    let mut status = provider.status();
    let ready = status.wait_for(ProviderStatus::is_ready);
    provider.runtime().timeout(READY_TIMEOUT, ready).await.ok();
}

impl Ways {
    fn set_up(&self, session: &Arc<Session>, took: Duration) {
        let state = session.connection.state();
        let path = state.read(|state| state.path().cloned());
        self.session.modify(|now| {
            *now = Some(session.clone());
            true
        });
        self.set(LinkState::Up { connection: state, path, took });
    }

    fn set_down(&self, problem: String, was_up: bool) {
        self.session.modify(|now| now.take().is_some());
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

/// How long a peer is left alone that said something which no other dial will change.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

/// No longer than what is lost by dialling too early (the second is QUIC's first timeout, RFC 9002 §6.2.2).
const READY_TIMEOUT: Duration = Duration::from_secs(1);
