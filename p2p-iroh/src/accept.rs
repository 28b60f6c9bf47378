//! Taking the connections that peers open.

use std::{sync::Arc, time::Duration};

use iroh::{Endpoint, endpoint::Incoming};
use p2p::{Runtime, RuntimeExt, chain, engine::Hub};
use tokio::sync::Semaphore;
use tracing::debug;

use crate::{peers::Peers, transport::IrohConnection};

/// Takes connections until the endpoint closes.
///
/// iroh's own `Router` ends, and closes the endpoint, when a handler panics. Here each connection has a task of its own,
/// and nothing that happens in one ends the loop, which itself opens no file and allocates nothing for a peer it
/// refuses.
pub(crate) async fn accept_loop(endpoint: Endpoint, hub: Arc<Hub>, peers: Arc<Peers>, runtime: Arc<dyn Runtime>) {
    let free = Arc::new(Semaphore::new(QUIC_HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(place) = free.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let (hub, peers, clock) = (hub.clone(), peers.clone(), runtime.clone());
        let handshake = async move {
            accept(incoming, &hub, &peers, &*clock).await;
            drop(place);
        };
        runtime.spawn("iroh handshake", Box::pin(handshake)).detach();
    }
}

async fn accept(incoming: Incoming, hub: &Arc<Hub>, peers: &Peers, runtime: &dyn Runtime) {
    let handshake = async { incoming.await.map_err(|error| chain(&error)) };
    match runtime.timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => {
            let transport = IrohConnection::new(connection, runtime);
            transport.introduce(peers, runtime);
            hub.incoming(transport);
        }
        Ok(Err(why)) => debug!(%why, "A peer's QUIC handshake failed."),
        Err(late) => debug!(after = ?late.after, "A peer's QUIC handshake did not end in time."),
    }
}

/// QUIC handshakes that are answered at once; the next dialler is refused, and may try again. What follows, the engine
/// bounds.
const QUIC_HANDSHAKES_MAX: usize = 256;

/// As long as a dialler waits by default.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
