//! One way to a peer, as the user names it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{P2PError, P2PProvider, Result};

/// One way to reach peers: a provider by a name.
#[derive(Debug, Clone)]
pub struct Route {
    pub(super) name: String,
    pub(super) provider: Arc<dyn P2PProvider>,
    pub(super) turn: Turn,
}

/// When a route joins a dial that began with a more preferred one.
///
/// Whatever it is, a route is dialled at once when all before it have failed, and the most preferred one always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// That long after the one before it. What hangs delays this route no longer.
    After(Duration),
    /// Only when all before it have failed: for a route that costs something. A dial that hangs on a better one finds it
    /// only if that one's own [deadline](crate::layer::Deadlines) is shorter than the dial's `handshake_timeout`.
    Fallback,
}

impl Default for Turn {
    /// After 250 ms, the connection attempt delay that RFC 8305 §5 recommends.
    fn default() -> Self {
        Self::After(Duration::from_millis(250))
    }
}

impl Route {
    /// A route of that name, which status and counters use.
    pub fn new(name: impl Into<String>, provider: impl P2PProvider) -> Self {
        Self { name: name.into(), provider: Arc::new(provider), turn: Turn::default() }
    }

    /// Sets when it joins a dial. Defaults to 250 ms after the route before it.
    #[must_use]
    pub const fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }
}

/// Routes of one peer at most: each costs a listener, and a dial in the worst case.
const ROUTES_MAX: usize = 8;

/// The same routes, if they can be used together.
pub(super) fn checked(routes: Vec<Route>) -> Result<Vec<Route>> {
    if !(1..=ROUTES_MAX).contains(&routes.len()) {
        return Err(P2PError::invalid_input(
            format_args!("{} routes", routes.len()),
            format_args!("1 to {ROUTES_MAX}"),
        ));
    }
    let peer = routes[0].provider.local_peer_id();
    let mut names = BTreeSet::new();
    for Route { name, provider, .. } in &routes {
        if name.is_empty() || !names.insert(name) {
            return Err(P2PError::invalid_input(format_args!("route name {name:?}"), "one that no other route has"));
        }
        let other = provider.local_peer_id();
        if other != peer {
            let what = format_args!("route {name:?} of peer {other}").to_string();
            return Err(P2PError::invalid_input(what, format_args!("one of peer {peer}, as the first is")));
        }
    }
    Ok(routes)
}
