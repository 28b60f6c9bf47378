//! Taking the connections that peers open.

use std::{sync::Arc, time::Duration};

use iroh::{Endpoint, endpoint::Incoming};
use p2p::{Runtime, RuntimeExt, chain, engine::Hub};
use tracing::debug;

use crate::{
    addr,
    admission::{Admission, Handshake, Knock, close},
    early::{Answers, EARLY_ALPN},
    endpoint::Terms,
    peers::Peers,
    transport::{IrohConnection, millis},
};

/// What the accept loop works with.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    pub(crate) hub: Arc<Hub>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) answers: Option<Answers>,
    pub(crate) runtime: Arc<dyn Runtime>,
}

impl Acceptor {
    /// Takes connections until the endpoint closes.
    ///
    /// iroh's own `Router` ends, and closes the endpoint, when a handler panics. Here each connection has a task of its
    /// own, and nothing that happens in one ends the loop, which itself opens no file and allocates nothing for a peer
    /// it refuses.
    pub(crate) async fn run(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            match self.admission.knock(&incoming, self.runtime.now()) {
                Knock::Answer(handshake) => {
                    let acceptor = self.clone();
                    let answering = async move { acceptor.accept(incoming, handshake).await };
                    self.runtime.spawn("iroh handshake", Box::pin(answering)).detach();
                }
                // Fails only for an address that was proved, which this one was not.
                Knock::Prove => drop(incoming.retry()),
                Knock::Refuse => incoming.refuse(),
            }
        }
    }

    async fn accept(self, incoming: Incoming, handshake: Handshake) {
        let start = self.runtime.now();
        let terms = self.terms.server(handshake.level());
        let shaking = async {
            let mut accepting = incoming.accept_with(terms).map_err(|error| chain(&error))?;
            if let Some(answers) = &self.answers
                && accepting.alpn().await.is_ok_and(|alpn| alpn == EARLY_ALPN)
            {
                return answers.answer(accepting, &self.admission).await.map(|()| None);
            }
            accepting.await.map(Some).map_err(|error| chain(&error))
        };
        let connection = match self.runtime.timeout(HANDSHAKE_TIMEOUT, shaking).await {
            Ok(Ok(Some(connection))) => connection,
            Ok(Ok(None)) => return debug!("Answered an early request."),
            Ok(Err(why)) => return debug!(%why, "A peer's QUIC handshake failed."),
            Err(late) => return debug!(after = ?late.after, "A peer's QUIC handshake did not end in time."),
        };
        let peer = addr::peer_id(connection.remote_id());
        match self.admission.enter(handshake, peer) {
            Ok(place) => {
                let transport = IrohConnection::new(connection, place, &self.runtime);
                let path = transport.introduce(&self.peers, &*self.runtime);
                debug!(%peer, path, latency_ms = millis(self.runtime.now() - start), "A peer connected.");
                self.hub.incoming(transport);
            }
            Err((code, why)) => {
                debug!(%peer, why, "Turned a peer away.");
                close(&connection, code, why);
            }
        }
    }
}

/// As long as a dialler waits by default.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
