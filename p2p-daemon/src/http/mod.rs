//! HTTP services: each request goes where its host and path say.
//!
//! Unlike a TCP service, which passes bytes on, this reads requests, so one rule can stand before several servers, each
//! learns who asks (`Forwarded`, RFC 7239), and what is ambiguous is refused before a server sees it.
//!
//! # Map
//! - [`HttpRoutes`]: where requests go. `serve`: from a stream to a server and back. `headers`: what is changed on the way.
//! - `screen`: requests with two lengths, which are refused before they are read.

mod headers;
mod routes;
mod screen;
mod serve;

pub use self::routes::{HttpRoute, HttpRoutes};
pub(crate) use self::serve::serve;
