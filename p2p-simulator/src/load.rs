//! Traffic to measure the simulator with: peers in a ring that throw messages back and forth.

use std::sync::Arc;

use bytes::Bytes;
use p2p::{
    P2PConnection, P2PError, P2PProvider, P2PProviderExt, ProtocolId, Result, Runtime, TrySendError, WatchSender,
};
use tokio::sync::oneshot;

use crate::{Network, SimulatorP2P};

/// Peers in a ring, each connected to the next.
#[derive(Debug)]
pub struct Ring {
    /// The dialling end of each connection, then the other, each with its peer's runtime.
    connections: Vec<[Half; 2]>,
    _peers: Vec<SimulatorP2P>,
}

type Half = (Arc<dyn Runtime>, Arc<dyn P2PConnection>);

/// What a ring exchanges.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Bytes of each message.
    pub message_bytes: usize,
    /// Messages that each dialling peer has under way, there and back.
    pub in_flight: usize,
    /// How often a message is received on each connection, on both ends together: an even multiple of `in_flight`.
    pub messages: usize,
}

impl Ring {
    /// Puts `peers` peers on the network and connects each to the next.
    ///
    /// # Errors
    /// Those of dialling, as the network may be configured to fail some.
    pub async fn connect(network: &Network, peers: usize) -> Result<Self> {
        let protocol: ProtocolId = "load/1".parse()?;
        let providers: Vec<_> = (0..peers).map(|number| network.provider(&format!("peer-{number}"))).collect();
        let mut dials = Vec::with_capacity(peers);
        for (number, ours) in providers.iter().enumerate() {
            let theirs = providers[(number + 1) % peers].clone();
            let listener = theirs.listen(&protocol).await?;
            let (ours, protocol) = (ours.clone(), protocol.clone());
            let (tell, told) = oneshot::channel();
            // Side by side, or a large ring would spend its life in handshakes.
            let runtime = ours.runtime().clone();
            let dial = async move {
                let dialled = ours.connect(theirs.local_peer_id(), &protocol).await;
                let accepted = match &dialled {
                    Ok(_) => listener.accept().await,
                    Err(error) => Err(error.clone()),
                };
                let halves = dialled
                    .and_then(|dialled| Ok([(ours.runtime().clone(), dialled), (theirs.runtime().clone(), accepted?)]));
                let _ = tell.send(halves);
            };
            runtime.spawn("dial", Box::pin(dial)).detach();
            dials.push(told);
        }
        let mut connections = Vec::with_capacity(peers);
        for told in dials {
            connections.push(told.await.expect("a dial tells what came of it")?);
        }
        Ok(Self { connections, _peers: providers })
    }

    /// Throws messages back and forth on every connection, and returns how many were delivered.
    ///
    /// Whoever waits is in `recv`; all other messages go by `try_send` and `try_recv`.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed) if a connection is lost.
    pub async fn exchange(&self, exchange: Exchange) -> Result<u64> {
        let Exchange { message_bytes, in_flight, messages } = exchange;
        let (there, back) = (messages.div_ceil(2), messages / 2);
        let progress = WatchSender::new(Progress { players: 2 * self.connections.len(), ..Progress::default() });
        let mut ended = progress.subscribe();
        for [ours, theirs] in &self.connections {
            for _ in 0..in_flight {
                throw(&*ours.1, Bytes::from(vec![7; message_bytes])).await?;
            }
            // What begins here ends here: the dialled side returns everything, the dialling side all but the last.
            for ((runtime, connection), messages, keep) in [(theirs, there, 0), (ours, back, in_flight)] {
                let (connection, progress) = (connection.clone(), progress.clone());
                let player = async move {
                    let played = play(connection, messages, keep).await;
                    progress.modify(|progress| {
                        progress.players -= 1;
                        progress.delivered += messages as u64;
                        progress.failed = progress.failed.take().or(played.err());
                        progress.players == 0
                    });
                };
                runtime.spawn("player", Box::pin(player)).detach();
            }
        }
        let progress = ended.wait_for(|progress| progress.players == 0).await;
        let progress = progress.expect("players tell of their end before they drop the sender");
        progress.failed.map_or(Ok(progress.delivered), Err)
    }
}

/// How far an exchange has come.
#[derive(Clone, Default)]
struct Progress {
    delivered: u64,
    players: usize,
    failed: Option<P2PError>,
}

/// Receives `messages`, and throws all of them back but the last `keep`.
async fn play(connection: Arc<dyn P2PConnection>, messages: usize, keep: usize) -> Result<()> {
    let mut received = 0;
    while received < messages {
        let mut next = Some(connection.recv().await?);
        while let Some(message) = next {
            received += 1;
            if received + keep <= messages {
                throw(&*connection, message).await?;
            }
            next = if received < messages { connection.try_recv()? } else { None };
        }
    }
    Ok(())
}

async fn throw(connection: &dyn P2PConnection, message: Bytes) -> Result<()> {
    match connection.try_send(message) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(message)) => connection.send(message).await,
        Err(TrySendError::Failed(error)) => Err(error),
    }
}
