//! Requests that travel in the first packet, before there is a connection: QUIC's 0-RTT.
//!
//! A request has a protocol of its own within TLS, so that nothing else ever travels unproved: a stream with the request,
//! and back on it the answer. Both ends have to opt in with [`IrohConfig::zero_rtt`](crate::IrohConfig::zero_rtt).
//!
//! # Warning
//! TLS does not protect what is sent this way against being sent again: whoever records the packet can repeat it to
//! another instance of the same identity, or to this one after a restart, and nobody has proved yet to be the peer. So an
//! early request must be **idempotent** and its answer must be for anybody's eyes: ask for a version, a status, a price; do
//! not order.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use iroh::endpoint::{
    Accepting, ConnectError, Connecting, Connection, ConnectionError, RecvStream, VarInt, ZeroRttStatus,
};
use p2p::{P2PError, PeerId, Refusal, RefusalCode, Result, chain, protocol::close};
use parking_lot::RwLock;

use crate::{
    addr,
    admission::{Admission, close},
    error::{self, Error},
};

/// The protocol of early requests within TLS (ALPN).
pub(crate) const EARLY_ALPN: &[u8] = b"p2p-early/1";

/// The most bytes of an early request, 16 KiB. What a new connection may send before it hears anything is less, about
/// 12 KB, so a larger one gains little by being early.
pub const EARLY_REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of an answer, 64 KiB.
pub const EARLY_ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a handler is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EarlyRequest {
    /// What the peer sent, up to [`EARLY_REQUEST_BYTES_MAX`].
    pub body: Bytes,
    /// Who asks. `None` if it came in the first packet, when nobody has proved anything: it may then be a repetition of what
    /// somebody recorded.
    pub peer: Option<PeerId>,
}

/// What came back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EarlyAnswer {
    /// What the peer's handler answered.
    pub body: Bytes,
    /// Whether the request went in the first packet and was taken. If not it was sent, or sent again, after the handshake.
    pub was_early: bool,
}

/// Answers early requests.
type Handler = dyn Fn(EarlyRequest) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync;

/// Who answers here, if anybody does.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<RwLock<Option<Arc<Handler>>>>);

impl Answers {
    pub(crate) fn set<F>(&self, handler: impl Fn(EarlyRequest) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Bytes> + Send + 'static,
    {
        *self.0.write() = Some(Arc::new(move |request| Box::pin(handler(request))));
    }

    /// Answers one request, or says why not. The caller sets the deadline and counts it as a handshake.
    pub(crate) async fn answer(&self, accepting: Accepting, admission: &Admission) -> Result<(), String> {
        let connection = accepting.into_0rtt();
        let Some(handler) = self.0.read().clone() else {
            let connection = connection.handshake_completed().await.map_err(|error| chain(&error))?;
            close(&connection, close::REJECTED, "nobody answers early requests here");
            return Err("nobody answers early requests".into());
        };
        let (mut send, mut recv) = connection.accept_bi().await.map_err(|error| chain(&error))?;
        // Where not everybody is admitted, who asks has to prove it first, which takes a round trip.
        let is_open = admission.access().is_open();
        let mut proved = None;
        if !(is_open && recv.is_0rtt()) {
            let connection = connection.handshake_completed().await.map_err(|error| chain(&error))?;
            let peer = addr::peer_id(connection.remote_id());
            if !admission.access().admits(peer) {
                close(&connection, close::REJECTED, "this identity is not admitted here");
                return Err(format!("peer {peer} is not admitted"));
            }
            proved = Some((peer, connection));
        }
        let body = recv.read_to_end(EARLY_REQUEST_BYTES_MAX).await.map_err(|error| chain(&error))?;
        let peer = proved.as_ref().map(|(peer, _)| *peer);
        let mut answer = handler(EarlyRequest { body: body.into(), peer }).await;
        answer.truncate(EARLY_ANSWER_BYTES_MAX);
        send.write_chunk(answer).await.map_err(|error| chain(&error))?;
        send.finish().map_err(|error| chain(&error))?;
        // The peer closes once it has the answer.
        let connection = connection.handshake_completed().await.map_err(|error| chain(&error))?;
        connection.closed().await;
        Ok(())
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers").field(&self.0.read().is_some()).finish()
    }
}

/// Refuses a request that is too large.
pub(crate) fn check(body: &Bytes) -> Result<()> {
    match body.len() <= EARLY_REQUEST_BYTES_MAX {
        true => Ok(()),
        false => Err(P2PError::MessageTooLarge { size: body.len(), limit: EARLY_REQUEST_BYTES_MAX }),
    }
}

/// Asks, in the first packet if an earlier exchange left what that needs.
pub(crate) async fn ask(connecting: Connecting, peer: PeerId, body: Bytes) -> Result<EarlyAnswer> {
    let failed = |source: ConnectError| P2PError::from(Error::Dial { peer, source });
    let connection = match connecting.into_0rtt() {
        Ok(early) => {
            // Fails if the peer declines what is early, or if nothing comes about at all, which the handshake tells apart.
            let asked = async {
                let (mut send, recv) = early.open_bi().await.ok()?;
                send.write_chunk(body.clone()).await.ok()?;
                send.finish().ok()?;
                Some(recv)
            };
            let recv = asked.await;
            match (early.handshake_completed().await.map_err(|error| failed(error.into()))?, recv) {
                (ZeroRttStatus::Accepted(connection), Some(recv)) => {
                    let body = read(&connection, recv, peer).await?;
                    return Ok(EarlyAnswer { body, was_early: true });
                }
                (ZeroRttStatus::Accepted(connection) | ZeroRttStatus::Rejected(connection), _) => connection,
            }
        }
        Err(connecting) => connecting.await.map_err(|error| failed(error.into()))?,
    };
    let asked = async {
        let (mut send, recv) = connection.open_bi().await?;
        // Whether all of it arrived, the answer tells.
        send.write_chunk(body).await.ok();
        send.finish().ok();
        Ok(recv)
    };
    let recv = asked.await.map_err(|error| refused(error, peer))?;
    Ok(EarlyAnswer { body: read(&connection, recv, peer).await?, was_early: false })
}

/// The answer, whole; then the connection has served its purpose.
async fn read(connection: &Connection, mut recv: RecvStream, peer: PeerId) -> Result<Bytes> {
    let answer = recv.read_to_end(EARLY_ANSWER_BYTES_MAX).await;
    match answer {
        Ok(answer) => {
            connection.close(VarInt::from_u32(0), b"");
            Ok(answer.into())
        }
        Err(error) => Err(match connection.close_reason() {
            Some(reason) => refused(reason, peer),
            None => P2PError::Protocol { violation: format!("the answer to an early request: {}", chain(&error)) },
        }),
    }
}

fn refused(error: ConnectionError, peer: PeerId) -> P2PError {
    match &error {
        ConnectionError::ApplicationClosed(closed) if closed.error_code.into_inner() == close::REJECTED => {
            let reason = String::from_utf8_lossy(&closed.reason).into_owned();
            P2PError::Refused { peer, refusal: Refusal::new(RefusalCode::Rejected, reason) }
        }
        _ => error::closed(error),
    }
}
