//! What a provider's author supplies: two providers on one network, and what they can do.

use std::{any::Any, sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{P2PListener, P2PProvider, PeerAddr, PeerId};

/// Makes the providers that the properties are tried on.
///
/// Everything but [`providers`](Self::providers) has a default, fit for a provider that is fast and complete.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Two fresh providers on one network: the one that dials, and the one that listens.
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>);

    /// What these providers can do. A property about anything else is skipped, and says so.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// How to dial a listener from the other provider. Its own address, unless the harness knows better.
    fn addr_of(&self, listener: &dyn P2PListener) -> PeerAddr {
        listener.local_addr()
    }

    /// An address at which nobody is.
    ///
    /// The default is an identity made of a name: override it where an identity has to be a valid key.
    fn nobody(&self) -> PeerAddr {
        PeerAddr::new(PeerId::from_name("nobody"))
    }

    /// Two fresh providers and a peer that is silent in every handshake, on one network. Nothing if the harness cannot
    /// play such a peer; the properties about it are skipped then.
    ///
    /// Over any three providers an [`Overlay`](crate::mock::Overlay) can.
    async fn silence(&self) -> Option<Silence> {
        None
    }

    /// How long a property may take before it counts as stuck, on the clock of the providers' runtime. Defaults to 120 s.
    fn deadline(&self) -> Duration {
        Duration::from_secs(120)
    }

    /// How long to watch that something does *not* happen, on the same clock. Defaults to 500 ms.
    ///
    /// Several round trips, retransmissions included. If it is too short a property proves less; it never fails.
    fn settle(&self) -> Duration {
        Duration::from_millis(500)
    }
}

/// What a harness's providers can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Connections carry datagrams.
    pub datagrams: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { datagrams: true }
    }
}

impl Capabilities {
    /// For providers whose connections carry no datagrams.
    #[must_use]
    pub const fn without_datagrams(mut self) -> Self {
        self.datagrams = false;
        self
    }
}

/// What [`Harness::silence`] yields.
#[allow(missing_debug_implementations, reason = "a harness's own types are in it")]
pub struct Silence {
    /// The provider that dials.
    pub ours: Arc<dyn P2PProvider>,
    /// The provider that listens.
    pub theirs: Arc<dyn P2PProvider>,
    /// The peer that says nothing.
    pub silent: Box<dyn SilentPeer>,
}

/// A peer whose transport works and that never says a word of the handshake.
#[async_trait]
pub trait SilentPeer: Send + Sync {
    /// Where it can be dialled: the transport comes about, and then nothing.
    fn addr(&self) -> PeerAddr;

    /// Opens a transport to `peer` and says nothing. It stays open until the returned value is dropped.
    async fn dial(&self, peer: PeerAddr) -> Box<dyn Any + Send>;
}
