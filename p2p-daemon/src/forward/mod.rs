//! Carries TCP connections between peers.
//!
//! [`Share`] is the side that has a service, [`Connect`] the side that wants it. Each TCP connection that
//! [`Connect`] accepts becomes one stream of the one connection it keeps to the peer; [`Share`] turns the stream into a
//! TCP connection to the service.
//!
//! # What holds
//! - An end is an end: a TCP connection that is closed for writing ends its stream in that direction and no other.
//! - A reset is a reset: what breaks on one side is a reset TCP connection on the other, never an ordinary end.
//! - A slow reader slows the writer. Between the two there are TCP's buffers, the stream's window, and 64 KiB.
//! - Open streams do not outlive the connection between the peers; [`Connect`] dials again for new ones.
//!
//! # On the wire
//! Both sides speak [`PROTOCOL`]. The connecting side opens the streams, and begins each with a header:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the header's version: 1 |
//! | 1 | bytes of the service's name: 1 to 63 |
//! | as many | the name: `a-z`, `0-9`, `-`, `_`, `.` |
//!
//! Nothing answers the header. What follows it, and all that comes back, are the TCP connection's own bytes. A side that
//! cannot go on resets its direction and stops the other with one of these codes:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | dropped, for example by the end of the program |
//! | 1 | the TCP connection broke |
//! | 2 | no header was understood |
//! | 3 | no service of that name is shared |
//! | 4 | the service did not take the connection |
//! | 5 | too many streams are open |
//!
//! Which services there are stands in the ticket ([`ServiceName::from_ticket`]).
//!
//! # Map
//! - [`share`](Share) and [`connect`](Connect): the two sides. `link`: the connection that the latter keeps.
//! - `stream_header`, `reset_code`, `service_name`: what travels. `copy`: the bytes, both ways.
//!   `tcp`: connections that are reset unless they came to their end.
//! - `failure`: why a stream did not work out. `metrics`: how often, and how much.
//! - `backoff`: the pace of dialling again.

mod backoff;
mod connect;
mod copy;
mod failure;
mod link;
mod metrics;
mod reset_code;
mod service_name;
mod share;
mod stream_header;
mod tcp;
#[cfg(test)]
mod tests;

use std::time::Duration;

use p2p::{ConnectionConfig, ProtocolId};

pub use self::{connect::Connect, link::LinkState, metrics::FAMILIES, service_name::ServiceName, share::Share};

/// What forwarding peers speak with each other.
pub const PROTOCOL: &str = "p2pd-forward/1";

/// The terms on which forwarding peers connect.
pub fn connection_config() -> ConnectionConfig {
    let protocol = ProtocolId::new(PROTOCOL).expect("the name is short, visible ASCII");
    ConnectionConfig::new(protocol).with_streams_max(STREAMS_MAX).with_liveness(KEEPALIVE, IDLE)
}

/// Makes a rule's series, at zero, for a look at what there is.
#[cfg(test)]
pub(crate) fn register(recorder: &dyn ::metrics::Recorder, rule: &str) {
    metrics::ForwardMetrics::new(recorder, rule);
}

/// Streams that are open at once on one connection. The next TCP connection waits for one to end.
pub const STREAMS_MAX: usize = 1024;

/// How often each side says that it lives: three chances before the other gives it up.
const KEEPALIVE: Duration = Duration::from_secs(3);

/// How long a side hears nothing before it gives the other up. Shorter than the default, because until then a killed
/// peer looks like a slow one to everybody who uses the service.
const IDLE: Duration = Duration::from_secs(10);
