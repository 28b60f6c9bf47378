//! One connection with a peer, whichever side dialled: streams are opened and served on it in both directions.

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use p2p::{BiStream, ConnectionState, P2PConnection, P2PError, PeerId};
use tokio::time::timeout;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::info;

use super::{STREAMS_MAX, failure::Failure, header::Header, serve::serve, udp::Channels};
use crate::{
    access::{Audit, Token, presented},
    daemon::{Event, EventKind, Inner},
};

/// A connection with a peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) connection: Arc<dyn P2PConnection>,
    pub(crate) peer: PeerId,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    pub(crate) since: SystemTime,
    /// What the peer presented when it dialled.
    pub(crate) token: Option<Token>,
    pub(crate) audit: Audit,
    pub(crate) udp: Arc<Channels>,
    /// What goes on here, in either direction.
    pub(crate) streams: TaskTracker,
    retired: CancellationToken,
}

impl Session {
    pub(crate) fn new(id: u64, connection: Arc<dyn P2PConnection>, dialled: bool) -> Self {
        Self {
            id,
            peer: connection.peer_id(),
            dialled,
            since: SystemTime::now(),
            token: if dialled { None } else { presented(&*connection) },
            audit: Audit::default(),
            udp: Arc::new(Channels::new(dialled)),
            streams: TaskTracker::new(),
            retired: CancellationToken::new(),
            connection,
        }
    }

    /// Opens a stream that begins with `header`. The token says that it is in use, for as long as it is kept.
    pub(crate) async fn open(&self, header: &Header) -> Result<(BiStream, TaskTrackerToken), Failure> {
        let open = async {
            let mut stream = self.connection.open_stream().await?;
            header.write(&mut stream.send).await?;
            Ok((stream, self.streams.token()))
        };
        timeout(PATIENCE, open).await.unwrap_or_else(|_| {
            Err(match self.streams.len() {
                STREAMS_MAX.. => Failure::NoRoom(PATIENCE),
                _ => Failure::PeerUnreachable(PATIENCE),
            })
        })
    }

    /// Serves the peer until the connection has ended, or nobody needs it and nothing is open any more. Says why.
    pub(crate) async fn run(self: Arc<Self>, daemon: Weak<Inner>) -> String {
        let Some(ending) = daemon.upgrade().map(|daemon| daemon.shutdown.clone()) else { return String::new() };
        let reason = p2p::select! {
            error = self.streams_in(&daemon) => error.chain(),
            () = self.datagrams_in() => String::new(),
            () = self.follow(&daemon) => String::new(),
            () = async {
                p2p::select! {
                    () = ending.requested() => {}
                    () = self.retired.cancelled() => {}
                }
                self.streams.close();
                self.streams.wait().await;
            } => "no longer needed here".to_owned(),
        };
        info!(peer = ?self.peer, reason, "A peer is gone.");
        // Streams that have ended here may still be on their way.
        timeout(PATIENCE, self.connection.finish()).await.ok();
        reason
    }

    /// Nobody on this side needs it any more. It ends with what is open.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// Tells of changes of the path.
    async fn follow(&self, daemon: &Weak<Inner>) {
        let mut state = self.connection.state();
        let mut known = state.read(|state| state.path().cloned());
        while let Ok(now) = state.changed().await {
            let text = match &now {
                ConnectionState::Connected { path: Some(path) } if known.as_ref() != Some(path) => {
                    known = Some(path.clone());
                    path.to_string()
                }
                ConnectionState::Reconnecting { attempt: 0, .. } => {
                    known = None;
                    "interrupted".to_owned()
                }
                _ => continue,
            };
            let Some(daemon) = daemon.upgrade() else { break };
            let event = Event::of_peer(EventKind::PathChanged, self.peer, daemon.name_of(self.peer), text);
            daemon.events.note(event);
        }
        std::future::pending().await
    }

    async fn streams_in(self: &Arc<Self>, daemon: &Weak<Inner>) -> P2PError {
        loop {
            let stream = match self.connection.accept_stream().await {
                Ok(stream) => stream,
                Err(error) => return error,
            };
            let Some(daemon) = daemon.upgrade() else { continue };
            serve(&daemon, self, stream);
        }
    }

    /// Never ends: a connection without datagrams gets none.
    async fn datagrams_in(&self) {
        while let Ok(datagram) = self.connection.recv_datagram().await {
            self.udp.deliver(datagram);
        }
        std::future::pending().await
    }
}

/// How long whoever wants a service waits for the peer. Clients have deadlines of their own; most are longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
