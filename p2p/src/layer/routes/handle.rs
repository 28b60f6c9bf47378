//! What is asked of the routes, and seen of them, at run time.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::table::{Order, Table};
use crate::{P2PError, Result};

/// Changes and shows the routes of a [`Routes`](super::Routes). Clones are the same; one may be kept by whoever sets a policy.
///
/// It concerns dials made here, and sessions dialled here under [`Reconnect`](crate::layer::Reconnect), which move when a
/// route that is now better answers. What peers dial is their choice: a disabled route still listens.
#[derive(Debug, Clone)]
pub struct RoutesHandle(Arc<Table>);

/// A route as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteState {
    /// Its name.
    pub name: String,
    /// Its place in the order: the smallest is tried first. At the beginning 0, 1, 2, …
    pub preference: u32,
    /// Whether it is dialled.
    pub enabled: bool,
    /// Dials begun by it, those of sessions that resume included.
    pub dials: u64,
    /// Dials that failed. One that is neither among these nor became a connection was given up for another route.
    pub failures: u64,
    /// Sessions that were brought to it from a worse route.
    pub moves: u64,
    /// Connections over it that are open, or closed and still held, dialled and accepted.
    pub connections: usize,
}

impl RoutesHandle {
    pub(super) const fn new(table: Arc<Table>) -> Self {
        Self(table)
    }

    /// All routes, the most preferred first, disabled ones in their place.
    pub fn routes(&self) -> Vec<RouteState> {
        let mut routes: Vec<_> = (0..self.0.entries.len()).map(|route| self.state(route)).collect();
        routes.sort_by_key(|route| route.preference);
        routes
    }

    /// One of them.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that no route has.
    pub fn get(&self, name: &str) -> Result<RouteState> {
        self.find(name).map(|route| self.state(route))
    }

    /// Gives a route another place in the order; the smallest number is tried first, and among equals the one that
    /// was named first when the routes were made. Equal routes take no sessions from each other.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that no route has.
    pub fn set_preference(&self, name: &str, preference: u32) -> Result<()> {
        let route = self.find(name)?;
        self.change(|order| order.0[route].0 = preference);
        Ok(())
    }

    /// Dials it no more. Sessions on it move as soon as another route answers; until then they stay.
    ///
    /// With all routes disabled, dials fail as [`ConnectionFailed`](P2PError::ConnectionFailed), which may pass.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that no route has.
    pub fn disable(&self, name: &str) -> Result<()> {
        let route = self.find(name)?;
        self.change(|order| order.0[route].1 = false);
        Ok(())
    }

    /// Dials it again.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that no route has.
    pub fn enable(&self, name: &str) -> Result<()> {
        let route = self.find(name)?;
        self.change(|order| order.0[route].1 = true);
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Order)) {
        self.0.order.modify(|order| {
            let before = order.clone();
            change(order);
            *order != before
        });
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.0.entries.iter().position(|entry| entry.name == name).ok_or_else(|| {
            let names: Vec<_> = self.0.entries.iter().map(|entry| entry.name.as_str()).collect();
            P2PError::invalid_input(format_args!("route {name:?}"), format_args!("one of {}", names.join(", ")))
        })
    }

    fn state(&self, route: usize) -> RouteState {
        let entry = &self.0.entries[route];
        let (preference, enabled) = self.0.order.read(|order| order.0[route]);
        RouteState {
            name: entry.name.clone(),
            preference,
            enabled,
            dials: entry.dials.load(Relaxed),
            failures: entry.failures.load(Relaxed),
            moves: entry.moves.load(Relaxed),
            connections: entry.connections.load(Relaxed),
        }
    }
}
