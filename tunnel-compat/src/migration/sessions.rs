//! The same policy for sessions between peers.

use p2p::{Result, layer::routes::RoutesHandle};

use super::Phase;

/// Drives the preferences of a [`Routes`](p2p::layer::routes::Routes) that has a direct provider and one over the tunnel.
///
/// | phase | P2P | tunnel | so that |
/// |---|---|---|---|
/// | 1 | second | first | sessions use the tunnel, and come back to it |
/// | 2 | equal | equal | new ones use P2P, existing ones stay; `Routes` takes no session from an equal |
/// | 3 | first | second | existing ones move, each when P2P has answered it |
/// | 4 | first | second, and disabled after the drain deadline | nothing uses the tunnel |
#[derive(Debug, Clone)]
pub struct SessionRoutes {
    handle: RoutesHandle,
    p2p: String,
    tunnel: String,
}

impl SessionRoutes {
    /// Drives these routes, which must have been given to `Routes` in this order: between equals the first is dialled first.
    ///
    /// # Errors
    /// [`InvalidInput`](p2p::P2PError::InvalidInput) for a name that no route has.
    pub fn new(handle: RoutesHandle, p2p: impl Into<String>, tunnel: impl Into<String>) -> Result<Self> {
        let routes = Self { handle, p2p: p2p.into(), tunnel: tunnel.into() };
        routes.handle.get(&routes.p2p)?;
        routes.handle.get(&routes.tunnel)?;
        Ok(routes)
    }

    /// Makes the routes what the phase asks for.
    pub(super) fn apply(&self, phase: Phase, tunnel_is_closed: bool) {
        let (p2p, tunnel) = match phase {
            Phase::Tunnel => (1, 0),
            Phase::NewOverP2p => (0, 0),
            Phase::MoveExisting | Phase::P2pOnly => (0, 1),
        };
        let changed = || -> Result<()> {
            if !tunnel_is_closed {
                self.handle.enable(&self.tunnel)?;
            }
            self.handle.set_preference(&self.p2p, p2p)?;
            self.handle.set_preference(&self.tunnel, tunnel)?;
            if tunnel_is_closed {
                self.handle.disable(&self.tunnel)?;
            }
            Ok(())
        };
        changed().expect("both names were found when this was made");
    }
}
