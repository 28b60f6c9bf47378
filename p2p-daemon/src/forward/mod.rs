//! Carries connections and datagrams between peers.
//!
//! A *rule* at work is `Shared` on the side that has a service and `Core` on the side that wants it. Each connection
//! that a local socket accepts becomes one stream of a `Session` with the peer; the peer's session turns the stream into
//! a connection to the service. Either side of a session opens streams, so it does not matter who dialled.
//!
//! # What holds
//! - A stream outlives its transport: below a session is [`Reconnect`](p2p::layer::Reconnect), so when a relay dies or an
//!   address changes, bytes go on where they were.
//! - An end is an end: a connection that is closed for writing ends its stream in that direction and no other.
//! - A reset is a reset: what breaks on one side is a reset TCP connection on the other, never an ordinary end.
//! - A slow reader slows the writer. Between the two there are TCP's buffers, the stream's window, and 64 KiB.
//! - A changed rule is for new connections. Those that are open end by the rule they began with.
//!
//! # On the wire
//! Both sides speak [`PROTOCOL`]. Whoever wants a service opens a stream, and begins it with a header:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the header's version: 2 |
//! | 1 | what the stream carries: 1 bytes, 2 the flows of a UDP socket, 3 bytes to a destination, 4 a measurement |
//! | 1 | bytes of the service's name: 1 to 63 |
//! | as many | the name: `a-z`, `0-9`, `-`, `_`, `.` |
//! | 2 | kinds 1 and 2: which port of the service's range, from 0 |
//! | 4 | kind 2: the channel's number, see `udp` |
//! | 2, and as many | kind 3: the destination, `HOST:PORT` |
//! | 1 | kind 4: 0 to have all sent back, 1 to be sent bytes until it stops, 2 to have them counted |
//!
//! Nothing answers the header, but for kind 3, where a byte 0 says that the destination is connected. What follows, and
//! all that comes back, are the connection's own bytes. A side that cannot go on resets its direction and stops the other
//! with one of these codes:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | dropped, for example by the end of the program |
//! | 1 | the local connection broke |
//! | 2 | no header was understood |
//! | 3 | no service of that name is shared with this peer |
//! | 4 | the service did not take the connection |
//! | 5 | too many streams are open, or the side is ending |
//!
//! Which services there are stands in the ticket ([`Offer::from_ticket`]).
//!
//! # Map
//! - `rules`: rules at work. `listen`: local sockets. `serve`: what peers ask for. `udp`: datagrams.
//! - `session`: one connection with a peer. `link`: keeps one up by dialling. `backoff`: at which pace.
//! - `header`, `reset_code`, `service_name`, `offer`: what travels. `copy`: the bytes, both ways. `local`: TCP and Unix
//!   domain sockets, which are reset unless they came to their end.
//! - `meter`: how much, and `throttle`: how fast. `failure`: why a stream did not work out.

mod backoff;
mod copy;
mod failure;
mod header;
mod link;
mod listen;
mod local;
mod meter;
mod offer;
mod reset_code;
mod rules;
mod serve;
mod service_name;
mod session;
#[cfg(test)]
mod tests;
mod throttle;
pub(crate) mod udp;

use std::time::Duration;

use p2p::{ConnectionConfig, ProtocolId};

#[cfg(unix)]
pub(crate) use self::listen::UnixFile;
pub(crate) use self::{
    copy::{COPY_BYTES, abandon, copy},
    failure::{Failure, Reason},
    header::{DESTINATION_BYTES_MAX, Header, Kind},
    link::Link,
    listen::{Bound, Sockets},
    local::{Io, Local, Plain},
    meter::Meter,
    rules::{Core, Shared, Via},
    session::Session,
};
pub use self::{
    link::LinkState,
    meter::{Counters, FAMILIES},
    offer::Offer,
    service_name::ServiceName,
};

/// What forwarding peers speak with each other.
pub const PROTOCOL: &str = "p2pd-forward/2";

/// The terms on which forwarding peers connect.
pub fn connection_config() -> ConnectionConfig {
    let protocol = ProtocolId::new(PROTOCOL).expect("the name is short, visible ASCII");
    ConnectionConfig::new(protocol).with_streams_max(STREAMS_MAX).with_liveness(KEEPALIVE, IDLE)
}

/// Streams that are open at once on one connection, in each direction. The next waits for one to end, for 10 s, and is
/// then reset. Half of what this process carries in all, so that one peer's connection cannot take it alone.
pub const STREAMS_MAX: usize = 4096;

/// How often each side says that it lives: three chances before the other gives it up.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// How long a side hears nothing before it gives the other up. Shorter than the default, because until then a killed
/// peer looks like a slow one to everybody who uses the service.
const IDLE: Duration = Duration::from_secs(10);
