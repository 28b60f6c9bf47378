//! Further WebSockets on the tunnel server, at paths of their own.

use std::fmt::Debug;

use ::http::{Response, request::Parts};
use async_trait::async_trait;

use crate::{route::Body, socket::BoxSocket};

/// A WebSocket at a path of its own, mounted on the tunnel server beside the legacy ones.
///
/// Byte streams over a WebSocket, as a provider needs them, send and expect [`Message::Binary`](crate::socket::Message::Binary).
#[async_trait]
pub trait Endpoint: Debug + Send + Sync + 'static {
    /// The path, in full and exactly, like `/p2p/1`. A path that the legacy server has is never asked for.
    fn path(&self) -> &str;

    /// The largest message that is read, in bytes. A larger one closes the socket with code 1009.
    fn message_bytes_max(&self) -> usize;

    /// Says whether the socket may be opened. Nothing was checked before: not even a token.
    ///
    /// # Errors
    /// What the caller is answered instead.
    async fn authorize(&self, request: &Parts) -> Result<(), Box<Response<Body>>>;

    /// Serves an open socket to its end, in a task of its own. Dropped when the server ends.
    async fn serve(&self, request: Parts, socket: BoxSocket);
}
