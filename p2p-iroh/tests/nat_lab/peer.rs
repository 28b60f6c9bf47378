//! A peer on a device, and its connections: the only file that knows whose connections the lab tests.
//!
//! Everything runs on the device's own thread, which is what puts its sockets into the device's network; the
//! methods here may be called from anywhere. The accepting side answers by itself for as long as a connection
//! lives, so a scenario only speaks to the dialling side.

use std::{
    collections::BTreeSet,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use p2p::{
    BiStream, ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, Path, PeerAddr, PeerId,
    ProtocolId,
    layer::{LayerExt, ReconnectConfig},
};
use p2p_iroh::{IrohConfig, IrohP2P, RelayServer, TrustRoots};
use patchbay::Device;
use tokio::task::JoinHandle;

use crate::{
    killable::Killable,
    relay::{DISCOVERY_PORT, RelayAccess},
};

const DNS_PORT: u16 = 53;

const PROTOCOL: &str = "nat-lab/1";

/// Asks for the same bytes back.
const ECHO: u8 = 0;
/// Asks for the hash of what follows.
const DIGEST: u8 = 1;

const CONNECT_MAX: Duration = Duration::from_secs(10);
const ECHO_BYTES_MAX: usize = 64;
const READ_BYTES: usize = 64 * 1024;
/// Written at once by whoever keeps to a pace.
const PACED_BYTES: usize = 256 * 1024;

/// One peer.
pub(crate) struct Peer {
    device: Device,
    provider: Arc<dyn P2PProvider>,
    listener: Arc<dyn P2PListener>,
    /// What carries its connections, where they outlive it.
    transports: Option<Transports>,
}

/// Connections that can be closed under the layers above them.
type Transports = Killable<Arc<IrohP2P>>;

impl Peer {
    /// Starts a peer on a device and waits until others can dial it through the relay.
    ///
    /// # Errors
    ///
    /// When the relay has not admitted it within `within`; says why.
    pub(crate) async fn online(device: &Device, relays: &[RelayAccess], within: Duration) -> Result<Self> {
        Self::start(device, relays, within, |iroh| Ok((Arc::new(iroh), None))).await
    }

    /// Starts a peer whose connections outlive their transports.
    ///
    /// # Errors
    ///
    /// As [`online`](Self::online).
    pub(crate) async fn resuming(device: &Device, relays: &[RelayAccess], within: Duration) -> Result<Self> {
        Self::start(device, relays, within, |iroh| {
            let transports = Killable::new(Arc::new(iroh));
            let provider = transports.clone().with_reconnect(ReconnectConfig::default())?;
            Ok((Arc::new(provider), Some(transports)))
        })
        .await
    }

    /// Closes what carries its only connection, as if the transport had failed by itself.
    ///
    /// # Errors
    ///
    /// When there is not exactly one to close.
    pub(crate) fn close_transport(&self) -> Result<()> {
        let transports = self.transports.as_ref().context("its connections are their own transports")?;
        let closed = transports.kill();
        ensure!(closed == 1, "{closed} transports were closed");
        Ok(())
    }

    async fn start(
        device: &Device,
        relays: &[RelayAccess],
        within: Duration,
        stack: impl FnOnce(IrohP2P) -> p2p::Result<(Arc<dyn P2PProvider>, Option<Transports>)> + Send + 'static,
    ) -> Result<Self> {
        let mut trust = TrustRoots::none();
        let mut servers = Vec::new();
        let mut name_servers = BTreeSet::new();
        for relay in relays {
            let reachable = |ip: &&IpAddr| if ip.is_ipv4() { device.ip().is_some() } else { device.ip6().is_some() };
            name_servers.extend(relay.name_servers.iter().filter(reachable).map(|&ip| SocketAddr::new(ip, DNS_PORT)));
            trust = trust.with_der(&relay.root)?;
            let server = RelayServer::new(relay.url.as_str())?.with_token(&relay.token);
            servers.push(server.with_quic_port(Some(DISCOVERY_PORT)));
        }
        // Without a relay, peers have to find each other by themselves.
        let config = IrohConfig::default()
            .with_lan_discovery(servers.is_empty())
            .with_relays(servers)
            .with_trust(trust)
            .with_name_servers(name_servers);
        let (provider, transports, listener) = on(device, async move {
            let (provider, transports) = stack(IrohP2P::bind(config).await?)?;
            let listen = ListenConfig { ready_timeout: within, ..ListenConfig::new(protocol()) };
            let listener = provider.listen_with(listen).await?;
            let status = provider.status().get();
            ensure!(status.is_ready(), "not ready after {within:?}: {:?}", status.checks);
            Ok((provider, transports, Arc::from(listener)))
        })
        .await
        .with_context(|| format!("peer {}", device.name()))?;
        Ok(Self { device: device.clone(), provider, listener, transports })
    }

    /// The relay at which it is reached now.
    pub(crate) fn home_relay(&self) -> Result<String> {
        self.listener.local_addr().relays.into_iter().next().context("the peer has a home relay")
    }

    /// Waits until it is reached at another relay than that. Returns how long it took.
    pub(crate) async fn moves_from(&self, relay: &str, within: Duration) -> Result<Duration> {
        let (start, relay) = (Instant::now(), relay.to_owned());
        let mut status = self.provider.status();
        on(&self.device, async move {
            let moved = status.wait_for(|status| {
                status.is_ready() && !status.addr.relays.is_empty() && !status.addr.relays.contains(&relay)
            });
            let moved = tokio::time::timeout(within, moved).await;
            moved
                .with_context(|| format!("the peer is still at {relay} after {within:?}"))?
                .context("it was shut down")?;
            Ok(start.elapsed())
        })
        .await
    }

    /// Who it is.
    pub(crate) fn peer_id(&self) -> PeerId {
        self.listener.local_addr().peer
    }

    /// Its address, of which only the relay is told.
    pub(crate) fn relayed_addr(&self) -> PeerAddr {
        PeerAddr { direct: Default::default(), ..self.listener.local_addr() }
    }

    /// Dials a peer of which only its relay is told, and returns both ends of the connection.
    pub(crate) async fn dial(&self, acceptor: &Self) -> Result<(Connection, Connection)> {
        self.dial_at(acceptor, acceptor.relayed_addr()).await
    }

    /// Dials a peer at an address.
    pub(crate) async fn dial_at(&self, acceptor: &Self, addr: PeerAddr) -> Result<(Connection, Connection)> {
        let accepted = {
            let listener = acceptor.listener.clone();
            on(&acceptor.device, async move {
                let connection = listener.accept().await?;
                tokio::spawn(answer(connection.clone()));
                Ok((connection, Instant::now()))
            })
        };
        let dialled = {
            let provider = self.provider.clone();
            on(&self.device, async move {
                let start = Instant::now();
                let connection = provider.connect_with(addr, ConnectionConfig::new(protocol())).await?;
                Ok((connection, start))
            })
        };
        let both = tokio::time::timeout(CONNECT_MAX, async { tokio::try_join!(dialled, accepted) });
        let ((dialled, start), (accepted, accepted_at)) = both.await.context("the handshake did not end")??;
        let dialled = Connection { device: self.device.clone(), connection: dialled, start };
        let accepted = Connection { device: acceptor.device.clone(), connection: accepted, start: accepted_at };
        Ok((dialled, accepted))
    }
}

/// One end of a connection.
#[derive(Clone)]
pub(crate) struct Connection {
    device: Device,
    connection: Arc<dyn P2PConnection>,
    start: Instant,
}

impl Connection {
    /// Sends a few bytes and waits for them to come back. Returns the time since dialling.
    pub(crate) async fn echo(&self, within: Duration) -> Result<Duration> {
        let connection = self.connection.clone();
        let ping = async move {
            let BiStream { mut send, mut recv } = connection.open_stream().await?;
            send.write_all(&[ECHO]).await?;
            send.write_all(b"ping").await?;
            send.finish()?;
            let echoed = recv.read_to_end(ECHO_BYTES_MAX).await?;
            ensure!(echoed == b"ping", "the echo has other bytes: {echoed:?}");
            Ok(Instant::now())
        };
        let echoed = on(&self.device, async move {
            let echoed = tokio::time::timeout(within, ping).await;
            echoed.with_context(|| format!("no echo within {within:?}"))?
        });
        Ok(echoed.await? - self.start)
    }

    /// Requires that no echo comes back for so long, while the connection stays.
    pub(crate) async fn stalls(&self, period: Duration) -> Result<()> {
        if self.echo(period).await.is_ok() {
            bail!("an echo came back, so the fault does not bite");
        }
        match self.connection.close_reason() {
            Some(reason) => Err(anyhow!("the connection closed: {reason}")),
            None => Ok(()),
        }
    }

    /// Sends so many bytes and compares hashes with the peer. Returns how long that took.
    pub(crate) async fn transfer(&self, bytes: usize, within: Duration) -> Result<Duration> {
        self.transfer_paced(bytes, usize::MAX, within).await
    }

    /// [`transfer`](Self::transfer), at most so many bytes a second.
    pub(crate) async fn transfer_paced(&self, bytes: usize, bytes_per_s: usize, within: Duration) -> Result<Duration> {
        let connection = self.connection.clone();
        let transfer = async move {
            let data = pattern(bytes);
            let expected = blake3::hash(&data);
            let start = Instant::now();
            let BiStream { mut send, mut recv } = connection.open_stream().await?;
            send.write_all(&[DIGEST]).await?;
            let mut rest = data;
            while !rest.is_empty() {
                let mut part = rest.split_to(rest.len().min(PACED_BYTES));
                let sent = bytes - rest.len();
                while !part.is_empty() {
                    send.write_chunk(&mut part).await?;
                }
                let due = Duration::from_secs_f64(sent as f64 / bytes_per_s as f64);
                tokio::time::sleep_until((start + due).into()).await;
            }
            send.finish()?;
            let digest = recv.read_to_end(blake3::OUT_LEN).await?;
            ensure!(digest == expected.as_bytes(), "the peer received other bytes");
            Ok(start.elapsed())
        };
        on(&self.device, async move {
            let took = tokio::time::timeout(within, transfer).await;
            took.with_context(|| format!("{bytes} bytes did not arrive within {within:?}"))?
        })
        .await
    }

    /// Starts a task at this end, in the peer's own network.
    pub(crate) fn spawn<T, F>(&self, act: impl FnOnce(Arc<dyn P2PConnection>) -> F) -> Result<JoinHandle<Result<T>>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let task = act(self.connection.clone());
        self.device.spawn(move |_| task)
    }

    /// The path in use, which may be none for a moment.
    pub(crate) fn path(&self) -> Option<Path> {
        self.connection.state().read(|state| state.path().cloned())
    }

    /// Waits until the path in use is as asked. Returns the time since dialling.
    pub(crate) async fn wait_for_path(
        &self,
        wanted: impl Fn(&Path) -> bool + Send + Sync + 'static,
        within: Duration,
    ) -> Result<Duration> {
        let mut state = self.connection.state();
        let wait = async move {
            state.wait_for(|state| state.path().is_some_and(&wanted)).await.context("the connection closed")?;
            Ok(Instant::now())
        };
        let found = on(&self.device, async move {
            let found = tokio::time::timeout(within, wait).await;
            found.with_context(|| format!("no such path within {within:?}"))?
        });
        let at = found.await.with_context(|| format!("the path is {:?}", self.path()))?;
        Ok(at - self.start)
    }
}

/// Answers echoes and digests until the connection closes.
async fn answer(connection: Arc<dyn P2PConnection>) {
    while let Ok(stream) = connection.accept_stream().await {
        // A stream that a fault broke concerns only whoever opened it.
        tokio::spawn(answer_stream(stream));
    }
}

async fn answer_stream(BiStream { mut send, mut recv }: BiStream) -> Result<()> {
    let request = recv.read_chunk(1).await?.context("a request starts with a byte")?;
    match request[0] {
        ECHO => {
            let bytes = recv.read_to_end(ECHO_BYTES_MAX).await?;
            send.write_all(&bytes).await?;
        }
        DIGEST => {
            let mut hasher = blake3::Hasher::new();
            while let Some(chunk) = recv.read_chunk(READ_BYTES).await? {
                hasher.update(&chunk);
            }
            send.write_all(hasher.finalize().as_bytes()).await?;
        }
        other => bail!("unknown request {other}"),
    }
    send.finish()?;
    Ok(())
}

/// Runs a future on the device's thread, and so in its network.
pub(crate) async fn on<T: Send + 'static>(
    device: &Device,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = device.spawn(move |_| future)?;
    task.await.context("a peer's task panicked")?
}

/// Bytes in which a lost, doubled or moved piece changes the hash.
fn pattern(bytes: usize) -> Bytes {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    data.into()
}

fn protocol() -> ProtocolId {
    PROTOCOL.parse().expect("a constant that is a protocol's name")
}
