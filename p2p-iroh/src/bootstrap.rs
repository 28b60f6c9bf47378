//! Keeps the way to the peers open that were configured, and says whether one of them can be reached.

use std::{sync::Arc, time::Duration};

use iroh::Endpoint;
use p2p::{Check, P2PError, PeerAddr, PeerId, Runtime, RuntimeExt, chain, engine::Hub, protocol::ALPN};
use tracing::debug;

use crate::{addr, error::Error, peers::Peers, status::Status};

/// What looks after the bootstrap peers.
pub(crate) struct Keeper {
    pub(crate) endpoint: Endpoint,
    pub(crate) hub: Arc<Hub>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) status: Status,
    pub(crate) runtime: Arc<dyn Runtime>,
}

/// The check before anything was tried; none if there are no bootstrap peers.
pub(crate) fn check_at_first(bootstrap: &[PeerAddr]) -> Option<Check> {
    let problem = Some("none of them was reached yet".into());
    (!bootstrap.is_empty()).then(|| Check { name: NAME.into(), problem })
}

impl Keeper {
    /// Meets each peer in turn, from time to time. A connection that is there anyway is as good. Ends with the endpoint.
    pub(crate) async fn keep(self, bootstrap: Vec<PeerAddr>) {
        let closed = self.endpoint.closed();
        p2p::select! {
            _ = closed => {}
            () = self.meet_all(&bootstrap) => {}
        }
    }

    async fn meet_all(&self, bootstrap: &[PeerAddr]) {
        let mut wait = RETRY_MIN;
        loop {
            let mut problems = Vec::new();
            for peer in bootstrap.iter().map(|addr| addr.peer) {
                if let Err(problem) = self.meet(peer).await {
                    debug!(%peer, %problem, "A bootstrap peer was not reached.");
                    problems.push(format!("{peer:?}: {problem}"));
                }
            }
            let is_reached = problems.len() < bootstrap.len();
            self.status.set_bootstrap(Check {
                name: NAME.into(),
                problem: (!is_reached).then(|| format!("none is reached: {}", problems.join("; "))),
            });
            wait = if is_reached { INTERVAL } else { (wait * 2).min(INTERVAL) };
            self.runtime.sleep(wait).await;
        }
    }

    /// Shakes hands as far as it takes to know that the peer is there, and has its key.
    async fn meet(&self, peer: PeerId) -> Result<(), String> {
        if self.hub.connections(peer) > 0 {
            return Ok(());
        }
        let known = self.peers.complete(PeerAddr::new(peer));
        let Some(addr) = addr::to_iroh(&known) else {
            return Err(P2PError::from(Error::NotAKey { peer }).chain());
        };
        let dialling = async {
            let connection = self.endpoint.connect(addr, ALPN).await;
            connection.map_err(|source| P2PError::from(Error::Dial { peer, source }).chain())
        };
        match self.runtime.timeout(TIMEOUT, dialling).await {
            Ok(met) => met.map(|connection| connection.close(0u32.into(), b"")),
            Err(late) => Err(chain(&late)),
        }
    }
}

/// The check's name in the status.
pub(crate) const NAME: &str = "bootstrap peers";

/// How long a peer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a peer is met that was reached. Home routers forget an idle UDP mapping after two minutes and some after half of
/// one (RFC 4787 REQ-5 asks for two).
const INTERVAL: Duration = Duration::from_secs(25);

/// The first wait after none was reached; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
