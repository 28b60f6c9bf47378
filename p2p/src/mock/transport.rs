//! A connection as a transport.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{
    BiStream, CLOSE_REASON_BYTES_MAX, CloseCode, CloseReason, P2PConnection, Path, RecvHalf, Result, SendHalf,
    SharedError, StreamError, Transport, TransportClosed, Watch, transport::TransportStats,
};

/// A connection as a transport: what a provider on top of another hands to its [`Hub`](crate::engine::Hub).
#[derive(Debug)]
pub struct OverlayTransport(Arc<dyn P2PConnection>);

impl OverlayTransport {
    /// That connection, whose own protocol both ends have agreed on.
    pub fn new(connection: Arc<dyn P2PConnection>) -> Self {
        Self(connection)
    }
}

/// Precedes the reason of a close whose code is the wire protocol's own, because codes below are 32 bits long.
const PROTOCOL_CLOSE: char = '\u{1}';

impl Transport for OverlayTransport {
    type Send = OverlaySend;
    type Recv = OverlayRecv;

    fn peer_id(&self) -> crate::PeerId {
        self.0.peer_id()
    }

    async fn open(&self) -> Result<(OverlaySend, OverlayRecv), StreamError> {
        Ok(halves(self.0.open_stream().await?))
    }

    async fn accept(&self) -> Result<(OverlaySend, OverlayRecv), StreamError> {
        Ok(halves(self.0.accept_stream().await?))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.0.limits().datagram_bytes_max
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        self.0.send_datagram(datagram)
    }

    async fn recv_datagram(&self) -> Result<Bytes, StreamError> {
        Ok(self.0.recv_datagram().await?)
    }

    fn path(&self) -> Watch<Option<Path>> {
        Watch::constant(self.0.state().read(|state| state.path().cloned()))
    }

    fn stats(&self) -> TransportStats {
        let stats = self.0.stats();
        TransportStats { rtt: stats.rtt, packets_lost: stats.packets_lost, packets_sent: stats.packets_sent }
    }

    fn close(&self, code: u64, reason: &str) {
        match u32::try_from(code) {
            Ok(code) => self.0.close(CloseCode(code), reason),
            Err(_) => {
                let room = CLOSE_REASON_BYTES_MAX - PROTOCOL_CLOSE.len_utf8();
                let end = reason.floor_char_boundary(room);
                let reason = format!("{PROTOCOL_CLOSE}{}", &reason[..end]);
                self.0.close(CloseCode(code as u32), &reason);
            }
        }
    }

    async fn closed(&self) -> TransportClosed {
        match self.0.closed().await {
            CloseReason::Local { .. } | CloseReason::ShutDown => TransportClosed::Local,
            CloseReason::Peer { code, reason } => match reason.strip_prefix(PROTOCOL_CLOSE) {
                Some(rest) => TransportClosed::Peer {
                    code: (1 << 32) + u64::from(code.0),
                    reason: Bytes::copy_from_slice(rest.as_bytes()),
                },
                None => TransportClosed::Peer { code: code.0.into(), reason: reason.into() },
            },
            CloseReason::TimedOut => TransportClosed::TimedOut,
            reason => TransportClosed::Lost(SharedError::new(reason.to_string())),
        }
    }
}

fn halves(stream: BiStream) -> (OverlaySend, OverlayRecv) {
    (OverlaySend(stream.send.into_half()), OverlayRecv(stream.recv.into_half()))
}

/// The writing half of an [`OverlayTransport`]'s stream.
#[derive(Debug)]
pub struct OverlaySend(Box<dyn SendHalf>);

impl SendHalf for OverlaySend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        self.0.poll_write(cx, chunks)
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.0.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.0.poll_delivered(cx)
    }

    fn reset(&mut self, code: u32) {
        self.0.reset(code);
    }
}

/// The reading half of an [`OverlayTransport`]'s stream.
#[derive(Debug)]
pub struct OverlayRecv(Box<dyn RecvHalf>);

impl RecvHalf for OverlayRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.0.poll_read(cx, bytes_max)
    }

    fn stop(&mut self, code: u32) {
        self.0.stop(code);
    }
}
