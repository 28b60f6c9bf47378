//! Off the tunnel, phase by phase: which route a request takes, and what happens when that was the wrong one.
//!
//! | phase | requests | WebSockets | sessions between peers |
//! |---|---|---|---|
//! | 1 | over the tunnel | over the tunnel | over the tunnel, by preference |
//! | 2 | of clients that begin anew over P2P; of those that use the tunnel now over it | new ones of those that begin anew over P2P | new ones over P2P |
//! | 3 | of those too, one client after another | new ones of those too | existing ones move |
//! | 4 | over P2P | over P2P; the tunnel's get until the drain deadline | over P2P alone |
//!
//! A change of phase concerns what begins afterwards. What is in flight ends where it began, with one exception: at the drain
//! deadline of phase 4 the tunnel is refused, and what still uses it is cut, with a reason, and counted. An open WebSocket is
//! never moved to another route under its app: the home keeps state for it (its connection's id, what it registered), which a new
//! one would not have.
//!
//! Of the clients a phase concerns, the [`Percentage`] that the operator set takes part: those whose [`bucket`] is below it.
//!
//! # Map
//! - What the operator sets: [`Phase`], [`Percentage`], [`Policy`]; [`StateFile`] keeps it.
//! - What decides: [`Machine`], which owns no task and is told the time; in it `clients` (who uses the tunnel now), `breaker` and
//!   `health` (when P2P is not to be trusted).
//! - What does it: [`Router`], a [`Route`](crate::route::Route) over two; `flight` follows what is under way, `shadow` compares.
//! - [`Control`]: the router's commands and figures over HTTP. [`SessionRoutes`]: the same policy for `p2p::layer::Routes`.

mod breaker;
mod clients;
mod control;
mod counters;
mod flight;
mod health;
mod machine;
mod percentage;
mod phase;
mod policy;
mod router;
mod sessions;
mod shadow;
mod state_file;

pub use self::{
    control::Control,
    counters::{Figures, RouteFigures},
    machine::{Decision, Machine, MigrationConfig, Outcome, Side, Why},
    percentage::{Percentage, bucket},
    phase::Phase,
    policy::Policy,
    router::Router,
    sessions::SessionRoutes,
    state_file::StateFile,
};
