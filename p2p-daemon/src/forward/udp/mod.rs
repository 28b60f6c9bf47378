//! UDP between peers.
//!
//! A *flow* is what one source sends to one port, and what comes back. The flows of one listener share one *channel*: a
//! stream, and those datagrams of the connection that bear its number. A UDP datagram travels as a datagram where it
//! fits, and else on the stream, so none is lost for its size. A flow's first datagram goes on the stream, because the one
//! beside it would not be known to the peer if it arrived earlier.
//!
//! # On the wire
//! On the stream, after its [header](super::header), in both directions:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | the flow's number, given by the side that opened the stream |
//! | 2 | bytes of the payload, at most 65,507; or 65,535: the flow was forgotten; or 65,534: the flow is known |
//! | as many | the payload |
//!
//! A datagram of the connection is the channel's number (4 bytes), the flow's (4), and the payload. The side that dialled
//! gives even numbers to its channels and the other odd ones. Whoever opened the flow sends datagrams once it was told
//! that it is known.
//!
//! # Bounds
//! [`FLOWS_MAX`] flows per channel: the next takes the place of the one that was silent longest, if that was at least
//! [`SILENT_MIN`], and is else refused. A flow that is silent for the rule's `udp_idle` is forgotten on the side that
//! notices first, which tells the other. What the stream cannot take at once waits in a queue of [`FRAMES_MAX`], and what
//! a reader cannot take in one of [`DATAGRAMS_MAX`]; beyond that it is dropped and counted, as routers do.

mod channel;
mod flows;
mod listener;
mod server;

use std::time::Duration;

pub(crate) use self::{
    channel::{Channel, Channels},
    listener::listen,
    server::serve,
};

/// Flows of one channel. Each is a socket on the sharing side.
pub(crate) const FLOWS_MAX: usize = 4096;

/// A flow that was heard of since then makes way for nobody.
const SILENT_MIN: Duration = Duration::from_secs(5);

/// Datagrams that wait for the stream.
const FRAMES_MAX: usize = 256;

/// Datagrams that wait for whoever reads a channel.
const DATAGRAMS_MAX: usize = 1024;

/// Bytes of the largest payload: 65,535 less the headers of IPv4 and UDP.
const PAYLOAD_BYTES_MAX: usize = 65_507;
