//! Turns transports into connections, the same way for every provider.
//!
//! A provider owns one [`Hub`]. It hands the hub each [`Transport`](crate::Transport) that it dialled or accepted, and
//! gets [connections](crate::P2PConnection) back. On the way the hub shakes hands, finds the listener, and keeps the
//! bounds.
//!
//! The way data takes: `connection` is what a user calls. `try_send` frames into `outbound`, which writes to the
//! message stream at once when it has been idle, and else leaves that to the `driver`, so that a burst becomes few
//! writes. `recv` reads the message stream itself, through `inbound`; while nobody is in `recv` the driver reads, up to a
//! bound. The driver, one task per connection, also owns the control stream with its keepalives, timers and finish.
//! `core` is what they share: the close reason that is set once, the state, the counters. `readers` is how transports
//! wake whoever reads, `asked` what the driver was woken for.

mod asked;
mod connection;
mod core;
mod driver;
mod handshake;
mod handshakes;
mod hub;
mod inbound;
mod listener;
mod outbound;
mod readers;
mod stream;
mod waiters;

pub(crate) use self::waiters::Waiters;
pub use self::{
    handshakes::HANDSHAKES_MAX,
    hub::{CONNECTIONS_MAX, Hub},
};

#[cfg(test)]
mod tests;
