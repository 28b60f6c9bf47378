//! The legacy tunnel and the way off it, as an operator runs them.
//!
//! ```text
//! app ──► gateway ──┬──────────── P2P ─────────────┬──► send ──► the home's server
//! app ──────────────┼──► serve ──┬──── P2P ────────┤
//!                   └──► serve ──┴── one socket ───┘
//! ```
//!
//! - `send`: beside the home's server: keeps the socket to a tunnel server, and answers peers.
//! - `serve`: a tunnel server at the legacy one's URL. `tokens`: what it lets in, from before and no longer.
//! - `gateway`: beside an app: the home's API, on loopback.
//! - `router`: what chooses between the tunnel and P2P, in `serve` and in `gateway`, with its state on disk. `migrate` tells it
//!   what to do, from another process and by the admin interface.
//! - `place`: where a tunnel server is. `args`: the command lines. `run`: what the three servers share.
//!
//! All of it is [`tunnel_compat`]'s; here is what it stands on.

pub mod args;
mod gateway;
pub(crate) mod migrate;
mod place;
mod router;
mod run;
mod send;
mod serve;
mod tokens;

pub(crate) use self::{
    gateway::gateway,
    migrate::migrate,
    send::send,
    serve::serve,
    tokens::{import, revoke},
};
