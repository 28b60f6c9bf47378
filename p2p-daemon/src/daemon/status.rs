//! What the daemon says of itself: plain data, made when it is asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p::{Check, ConnectionState, PeerAddr, PeerId};
use serde::{Serialize, Serializer};

use crate::forward::{Counters, Session};

/// The daemon as it is now.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Who it is.
    pub peer: PeerId,
    /// Where it can be dialled.
    pub addr: PeerAddr,
    /// The provider and its layers.
    pub stack: String,
    /// The program's version.
    pub version: &'static str,
    /// When it began, in seconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub since: SystemTime,
    /// Whether it is ending.
    pub draining: bool,
    /// What has to be well.
    pub checks: Vec<Check>,
    /// What it forwards, by kind and name.
    pub rules: Vec<RuleStatus>,
    /// Who is connected.
    pub peers: Vec<PeerStatus>,
}

/// One rule.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RuleStatus {
    /// `share` or `connect`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// From where: the service's name, or the local addresses.
    pub from: String,
    /// To where: the target, or the peer and its service.
    pub to: String,
    /// For a share, who may use it.
    pub allow: Option<String>,
    /// The most it may carry.
    pub bandwidth: Option<String>,
    /// Why it does not work now, if it does not.
    pub problem: Option<String>,
    /// How much it carried.
    pub counters: Counters,
}

/// One connection with a peer.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PeerStatus {
    /// A number of its own.
    pub connection: u64,
    /// Who.
    pub peer: PeerId,
    /// What the configuration calls it.
    pub name: Option<String>,
    /// Whether this side dialled.
    pub dialled: bool,
    /// Since when, in seconds since the Unix epoch.
    #[serde(serialize_with = "seconds")]
    pub since: SystemTime,
    /// `connected`, `reconnecting` or `closed`.
    pub state: &'static str,
    /// `direct` or `relayed`, while it is known.
    pub path: Option<&'static str>,
    /// Where to, or by which relay.
    pub via: Option<String>,
    /// Round trip, in seconds.
    pub rtt_seconds: Option<f64>,
    /// Streams open now, in either direction.
    pub streams: usize,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
}

impl PeerStatus {
    pub(super) fn of(session: &Session, name: Option<String>) -> Self {
        let (state, path) = session.connection.state().read(|state| (state_name(state), state.path().cloned()));
        let stats = session.connection.stats();
        Self {
            connection: session.id,
            peer: session.peer,
            name,
            dialled: session.dialled,
            since: session.since,
            state,
            path: path.as_ref().map(p2p::Path::kind),
            via: path.map(|path| path.to_string()),
            rtt_seconds: stats.rtt.as_ref().map(Duration::as_secs_f64),
            streams: session.streams.len(),
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
        }
    }
}

fn state_name(state: &ConnectionState) -> &'static str {
    match state {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Connected { .. } => "connected",
        ConnectionState::Reconnecting { .. } => "reconnecting",
        _ => "closed",
    }
}

pub(super) fn seconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64().serialize(serializer)
}
