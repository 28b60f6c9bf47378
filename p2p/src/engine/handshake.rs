//! The handshake over a fresh transport, for both sides.

use std::future::poll_fn;

use bytes::Bytes;

use super::core::Parts;
use crate::{
    ConnectionConfig, ListenConfig, P2PError, PeerId, ProtocolId, RecvHalf, Refusal, RefusalCode, Result, SendHalf,
    SharedError, StreamError, Transport, TransportClosed,
    protocol::{
        Violation, close,
        control::{Control, ControlReader, Preface},
        handshake::{self, MESSAGE_STREAM_PREFACE, Offer},
    },
};

/// The control stream as a handshake leaves it: both halves, and what was read beyond the handshake.
pub(super) type ControlStream<T> = ((<T as Transport>::Send, <T as Transport>::Recv), ControlReader);

/// Why a handshake led to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The peer broke the protocol or speaks none of its versions.
    Violation(Violation),
    /// The peer refused.
    Refused(Refusal),
    /// The transport failed.
    Transport(StreamError),
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::Transport(error)
    }
}

/// The dialling side.
pub(super) async fn dial<T: Transport>(
    transport: T,
    peer: PeerId,
    config: ConnectionConfig,
) -> Result<(Parts<T>, ControlStream<T>)> {
    let failure = match offer(&transport, &config).await {
        Ok((messages, control, agreement)) => {
            return Ok((Parts { transport, messages, agreement, config }, control));
        }
        Err(failure) => failure,
    };
    Err(match failure {
        Failure::Violation(violation) => {
            transport.close(close::VIOLATION, close::truncate(&violation.0));
            P2PError::Protocol { violation: violation.0 }
        }
        Failure::Refused(refusal) => {
            transport.close(0, "");
            P2PError::Refused { peer, refusal }
        }
        Failure::Transport(error) => match transport.closed().await {
            TransportClosed::Peer { code: close::BUSY, reason } => {
                let refusal = Refusal::new(RefusalCode::Busy, close::busy(&reason));
                P2PError::Refused { peer, refusal }
            }
            TransportClosed::Peer { code: close::REJECTED, .. } => {
                let refusal = Refusal::new(RefusalCode::Rejected, "the peer does not admit this identity");
                P2PError::Refused { peer, refusal }
            }
            TransportClosed::Peer { code: close::VIOLATION, reason } => P2PError::Protocol {
                violation: format!("the peer says: {}", close::truncate(&String::from_utf8_lossy(&reason))),
            },
            TransportClosed::Peer { code, reason } => P2PError::ConnectionFailed {
                peer,
                source: SharedError::new(close::from_peer(code, &reason).to_string()),
            },
            TransportClosed::Lost(source) => P2PError::ConnectionFailed { peer, source },
            TransportClosed::Local | TransportClosed::TimedOut => {
                P2PError::ConnectionFailed { peer, source: SharedError::new(error) }
            }
        },
    })
}

type Offered<T> = ((<T as Transport>::Send, <T as Transport>::Recv), ControlStream<T>, handshake::Agreement);

async fn offer<T: Transport>(transport: &T, config: &ConnectionConfig) -> Result<Offered<T>, Failure> {
    let (mut send, mut recv) = transport.open().await?;
    write(&mut send, handshake::offer(config).freeze()).await?;
    // Sent along at once, so that the answering side can send messages as soon as it has accepted.
    let mut messages = transport.open().await?;
    write(&mut messages.0, Bytes::from_static(&[MESSAGE_STREAM_PREFACE])).await?;

    let mut reader = ControlReader::default();
    let version = read_version(&mut recv, &mut reader).await?;
    let answer = read_frame(&mut recv, &mut reader).await?;
    match handshake::conclude(config, version, answer)? {
        Ok(agreement) => Ok((messages, ((send, recv), reader), agreement)),
        Err(refusal) => Err(Failure::Refused(refusal)),
    }
}

/// A dialler whose offer was read, and who waits for the answer.
pub(super) struct Caller<T: Transport> {
    transport: T,
    send: T::Send,
    recv: T::Recv,
    reader: ControlReader,
    version: u16,
    offer: Offer,
}

impl<T: Transport> Caller<T> {
    /// Reads the offer.
    pub(super) async fn hear(transport: T) -> Result<Self, (T, Failure)> {
        let heard = async {
            let (send, mut recv) = transport.accept().await?;
            let mut reader = ControlReader::default();
            let version = read_version(&mut recv, &mut reader).await?;
            match read_frame(&mut recv, &mut reader).await? {
                Control::Handshake(offer) => {
                    offer.check()?;
                    Ok((send, recv, reader, version, offer))
                }
                other => Err(Failure::from(Violation::new(format_args!("a handshake expected, not {other:?}")))),
            }
        };
        match heard.await {
            Ok((send, recv, reader, version, offer)) => Ok(Self { transport, send, recv, reader, version, offer }),
            Err(failure) => Err((transport, failure)),
        }
    }

    /// What the dialler wants to speak.
    pub(super) fn protocol(&self) -> &ProtocolId {
        &self.offer.protocol
    }

    /// Says no, and waits for the dialler to have heard it: it closes.
    pub(super) async fn refuse(mut self, refusal: Refusal) {
        if write(&mut self.send, handshake::refuse(refusal).freeze()).await.is_ok() {
            self.transport.closed().await;
        }
    }

    /// Says yes on these terms, unless the listener's [`Answer`](crate::Answer) refuses.
    pub(super) async fn accept(mut self, config: &ListenConfig) -> Result<(Parts<T>, ControlStream<T>), (T, Failure)> {
        let peer = self.transport.peer_id();
        let (agreement, answer) = match handshake::answer(config, peer, self.version, self.offer.clone()) {
            Ok(Ok(agreed)) => agreed,
            Ok(Err(refusal)) => {
                let said = Failure::Refused(refusal.clone());
                if let Err(error) = write(&mut self.send, handshake::refuse(refusal).freeze()).await {
                    return Err((self.transport, error.into()));
                }
                self.transport.closed().await;
                return Err((self.transport, said));
            }
            Err(violation) => return Err((self.transport, violation.into())),
        };
        let messages = async {
            let mut messages = self.transport.accept().await?;
            match poll_fn(|cx| messages.1.poll_read(cx, 1)).await? {
                Some(preface) if preface[..] == [MESSAGE_STREAM_PREFACE] => {}
                other => {
                    let other = other.as_deref().unwrap_or_default();
                    return Err(Failure::from(Violation::new(format_args!(
                        "the message stream begins with {other:02x?}; {MESSAGE_STREAM_PREFACE:#04x} expected"
                    ))));
                }
            }
            write(&mut self.send, answer.freeze()).await?;
            Ok(messages)
        };
        match messages.await {
            Ok(messages) => {
                let config = config.connection.clone();
                let parts = Parts { transport: self.transport, messages, agreement, config };
                Ok((parts, ((self.send, self.recv), self.reader)))
            }
            Err(failure) => Err((self.transport, failure)),
        }
    }
}

async fn read_version(recv: &mut impl RecvHalf, reader: &mut ControlReader) -> Result<u16, Failure> {
    loop {
        if let Some(theirs) = reader.poll_preface()? {
            return Ok(Preface::OURS.common_version(theirs)?);
        }
        read_more(recv, reader).await?;
    }
}

async fn read_frame(recv: &mut impl RecvHalf, reader: &mut ControlReader) -> Result<Control, Failure> {
    loop {
        if let Some(frame) = reader.poll_frame()? {
            return Ok(frame);
        }
        read_more(recv, reader).await?;
    }
}

async fn read_more(recv: &mut impl RecvHalf, reader: &mut ControlReader) -> Result<(), Failure> {
    match poll_fn(|cx| recv.poll_read(cx, HANDSHAKE_READ_BYTES)).await? {
        Some(bytes) => {
            reader.push(&bytes);
            Ok(())
        }
        None => Err(Violation::new("the control stream ended within the handshake").into()),
    }
}

/// Bytes read at once; a handshake without data fits many times over.
const HANDSHAKE_READ_BYTES: usize = 16 * 1024;

async fn write(send: &mut impl SendHalf, bytes: Bytes) -> Result<(), StreamError> {
    let mut chunks = [bytes];
    while !chunks[0].is_empty() {
        poll_fn(|cx| send.poll_write(cx, &mut chunks)).await?;
    }
    Ok(())
}

/// The answering side's last word to a dialler it cannot talk to: a preface tells it which versions are spoken here.
pub(super) fn close_after(transport: &impl Transport, failure: &Failure) {
    match failure {
        Failure::Violation(violation) => transport.close(close::VIOLATION, close::truncate(&violation.0)),
        Failure::Refused(_) | Failure::Transport(_) => transport.close(close::HANDSHAKE_ABANDONED, ""),
    }
}
