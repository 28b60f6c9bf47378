//! Files and folders from one peer to another.
//!
//! The sender offers a [`Manifest`]: each file's name, size and BLAKE3 hash. The receiver asks for one file after the other, from
//! where it was interrupted, and keeps nothing whose hash is another.
//!
//! # On the wire
//! A service like any other ([`Target::Files`](crate::rule::Target::Files)). Each side sends frames: 4 bytes of length, at most
//! 8 KiB, and a value of [`codec`](p2p::protocol::codec). The receiver sends requests,
//! the sender answers each before the next: `List` with an `Entry` for each file and `End`; `Get` with `Content` and then so many bytes
//! as they are. `Done` says that all of it has arrived.
//!
//! # Map
//! - `manifest`: what is offered, and from where. `name`: names from a peer, checked. `wire`: frames.
//! - `serve`: the sender's side of a stream. `receive`: the receiver's.

mod manifest;
mod name;
mod receive;
mod serve;
#[cfg(test)]
mod tests;
mod wire;

pub use self::{
    manifest::{Files, Manifest},
    receive::{Progress, Received},
};
pub(crate) use self::{receive::receive, serve::serve};

/// Files of one manifest.
pub const FILES_MAX: usize = 65_536;
