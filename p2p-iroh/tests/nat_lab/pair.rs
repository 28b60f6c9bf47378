//! Two peers in a lab with one connection between them: what every scenario starts from.

use std::time::Duration;

use anyhow::{Result, bail};
use p2p::Path;

use crate::{
    expectation::{NatKind, PathKind},
    figures::Figures,
    peer::{Connection, Peer},
    topology::Topology,
};

/// How long a peer may take until the relay knows it.
pub(crate) const ONLINE_MAX: Duration = Duration::from_secs(10);
/// How long a first byte may take, there and back.
pub(crate) const FIRST_BYTE_MAX: Duration = Duration::from_secs(10);
/// How long two peers that can reach each other may take to do so.
pub(crate) const DIRECT_MAX: Duration = Duration::from_secs(15);
/// How long a connection is watched that must not become direct. Where hole punching succeeds here it takes
/// milliseconds, so this is a hundred times as long.
pub(crate) const RELAYED_FOR: Duration = Duration::from_secs(3);

/// Two peers, connected through the relay and since then left to find a better path.
pub(crate) struct Pair {
    /// The dialling end; the other end answers by itself.
    pub(crate) connection: Connection,
    /// The accepting end, for what only it can see.
    pub(crate) accepted: Connection,
    /// The peers, dropped before the lab that they are in.
    pub(crate) dialler: Peer,
    pub(crate) acceptor: Peer,
    pub(crate) topology: Topology,
}

impl Pair {
    /// Builds a lab and connects its peers.
    pub(crate) async fn connect(dialler: NatKind, acceptor: NatKind) -> Result<Self> {
        Self::connect_in(Topology::new(dialler, acceptor).await?).await
    }

    /// Connects the peers of a lab that was prepared.
    pub(crate) async fn connect_in(topology: Topology) -> Result<Self> {
        let access = &topology.access();
        let (dialler, acceptor) = tokio::try_join!(
            Peer::online(&topology.dialler.device, access, ONLINE_MAX),
            Peer::online(&topology.acceptor.device, access, ONLINE_MAX),
        )?;
        Self::of(dialler, acceptor, topology).await
    }

    /// Builds a lab and connects its peers by connections that outlive their transports.
    pub(crate) async fn resuming(dialler: NatKind, acceptor: NatKind) -> Result<Self> {
        Self::resuming_in(Topology::new(dialler, acceptor).await?).await
    }

    /// [`resuming`](Self::resuming) in a lab that was prepared.
    pub(crate) async fn resuming_in(topology: Topology) -> Result<Self> {
        let access = &topology.access();
        let (dialler, acceptor) = tokio::try_join!(
            Peer::resuming(&topology.dialler.device, access, ONLINE_MAX),
            Peer::resuming(&topology.acceptor.device, access, ONLINE_MAX),
        )?;
        Self::of(dialler, acceptor, topology).await
    }

    async fn of(dialler: Peer, acceptor: Peer, topology: Topology) -> Result<Self> {
        let (connection, accepted) = dialler.dial(&acceptor).await?;
        Ok(Self { connection, accepted, topology, dialler, acceptor })
    }

    /// Builds a lab, connects its peers and waits until both ends use a direct path.
    pub(crate) async fn direct(dialler: NatKind, acceptor: NatKind) -> Result<(Self, Figures)> {
        let pair = Self::connect(dialler, acceptor).await?;
        let figures = pair.becomes_direct().await?;
        Ok((pair, figures))
    }

    /// Builds a lab, connects its peers and makes sure that they stay on the relay.
    pub(crate) async fn relayed(dialler: NatKind, acceptor: NatKind) -> Result<(Self, Figures)> {
        let pair = Self::connect(dialler, acceptor).await?;
        let figures = pair.stays_relayed().await?;
        Ok((pair, figures))
    }

    /// Waits for the first byte, and for both ends to use a direct path.
    pub(crate) async fn becomes_direct(&self) -> Result<Figures> {
        // Side by side, since a path may become direct before a byte came back.
        let (first_byte, direct, _) = tokio::try_join!(
            self.connection.echo(FIRST_BYTE_MAX),
            self.connection.wait_for_path(Path::is_direct, DIRECT_MAX),
            self.accepted.wait_for_path(Path::is_direct, DIRECT_MAX),
        )?;
        Ok(Figures::over(PathKind::Direct).with("first byte", first_byte).with("direct", direct))
    }

    /// Waits for the first byte, then makes sure that the path stays relayed, and works.
    pub(crate) async fn stays_relayed(&self) -> Result<Figures> {
        let first_byte = self.connection.echo(FIRST_BYTE_MAX).await?;
        if let Ok(after) = self.connection.wait_for_path(Path::is_direct, RELAYED_FOR).await {
            bail!("the path became direct {after:?} after dialling");
        }
        self.connection.wait_for_path(is_relayed, RELAYED_FOR).await?;
        self.connection.echo(FIRST_BYTE_MAX).await?;
        Ok(Figures::over(PathKind::Relayed).with("first byte", first_byte))
    }
}

/// Whether a relay is in between.
pub(crate) fn is_relayed(path: &Path) -> bool {
    !path.is_direct()
}
