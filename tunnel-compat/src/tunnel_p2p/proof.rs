//! What peers and the tunnel server say to each other before a pipe is one, and how a peer shows the server that it is who it says.
//!
//! The proof keeps others from taking a peer's calls away. Who answers a call is proved to the dialler, end to end, in any case.

use p2p::PeerId;
use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};

use crate::route::ClientId;

/// Where the server has it.
pub(super) const PATH: &str = "/p2p/1";

/// The largest message of a pipe, in bytes. The server holds two for each direction at most.
pub(super) const PIPE_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The server's question to who would listen: bytes of which no two are alike.
pub(super) type Challenge = [u8; 32];

/// Names a call to who listens.
pub(super) type CallId = [u8; 16];

/// The server: what was asked for is so. The peer is known from now on, or the pipe is open.
pub(super) const READY: &[u8] = &[1];

/// The server, before a [`CallId`]: somebody calls.
pub(super) const CALL: u8 = 2;

/// WebSocket close code: nobody listens under that identity.
pub(super) const NOT_THERE: u16 = 4404;

/// WebSocket close code: who listens did not take the call in time.
pub(super) const NOT_TAKEN: u16 = 4408;

/// WebSocket close code: there are as many as there may be.
pub(super) const FULL: u16 = 4429;

/// WebSocket close code: what came does not belong there, or proves nothing.
pub(super) const REFUSED: u16 = 4400;

/// WebSocket close code: the same peer listens by a newer socket.
pub(super) const REPLACED: u16 = 4409;

/// What the peer signs. The client and its token are in it, so that a server to which the peer shows other ones cannot use the signature
/// here.
pub(super) fn message(challenge: &Challenge, client: &ClientId, access_token: &str) -> Vec<u8> {
    let token = digest(&SHA256, access_token.as_bytes());
    [CONTEXT, challenge, token.as_ref(), client.as_str().as_bytes()].concat()
}

/// Whether that peer signed the message.
pub(super) fn is_signed(message: &[u8], signature: &[u8], peer: PeerId) -> bool {
    UnparsedPublicKey::new(&ED25519, peer.as_bytes()).verify(message, signature).is_ok()
}

/// Before everything that is signed here, and nowhere else: TLS signs what begins with 64 spaces.
const CONTEXT: &[u8] = b"p2p-tunnel/1 listen\0";
