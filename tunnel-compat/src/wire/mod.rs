//! The messages between the tunnel server and the home side.
//!
//! | from | frame | is |
//! |---|---|---|
//! | server | text | a [`Request`]: an HTTP request, an app's WebSocket message, or the end of a request |
//! | home | binary | a [`Packet`] of a response |
//! | home | text | a [`SenderText`]: a [`WsResponse`], or a packet in the form for text |
//!
//! A response's packets are cut by a [`PacketWriter`] and put in order by a [`Reorder`], for they arrive in any order.
//!
//! Written strictly: one frame of at most [`FRAME_BYTES_MAX`] bytes, packet numbers from 1 without gaps, headers that HTTP can
//! carry. Read tolerantly: fields nobody knows, packets twice, in any order, after the last, with the numbers that senders
//! of 32 bits write. Nothing is allocated for a length that a peer announces.

mod error;
mod head;
mod packet;
mod reorder;
mod request;
mod text;
mod writer;
mod ws;

pub use self::{
    error::{Defect, WireError},
    head::{Dropped, ResponseHead},
    packet::{Packet, broken_off},
    reorder::{Ignored, Reorder, ReorderConfig, ReorderError, Taken},
    request::{Encoding, FLOW_HEADER, HttpRequest, Method, Request, WsRequest},
    text::SenderText,
    writer::PacketWriter,
    ws::{Recipients, WsResponse},
};

/// The largest frame that the legacy tunnel server takes from a home side, in bytes: one byte more and it drops the socket.
///
/// Measured on version 0.5.0; the default limit of actix's WebSocket codec.
pub const FRAME_BYTES_MAX: usize = 65_536;

/// The largest frame that is read as a [`Request`], in bytes.
///
/// The legacy server forwards JSON bodies of up to 256 KiB, in one frame; the largest one seen had 262,313 bytes. Twice that leaves
/// room for a query and headers.
pub const REQUEST_BYTES_MAX: usize = 512 * 1024;

/// The largest JSON body that the legacy server forwards, in bytes. A larger one it drops without a word.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
