//! What the two sides say first, and what follows from it.
//!
//! The dialling side sends its [`Preface`] and an [`Offer`] at once; the answering side sends its
//! own preface and then [`Acceptance`] or [`Refusal`]. One round trip.

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use super::{
    CAPABILITIES_MAX, CAPABILITY_BYTES_MAX, Violation, close,
    control::{self, Control, Preface},
};
use crate::{
    Capability, ConnectionConfig, ListenConfig, MESSAGE_BYTES_CEILING, Negotiated, P2PError, PeerId, ProtocolId,
    Refusal, RefusalCode,
};

/// What the dialling side wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it wants to speak.
    pub protocol: ProtocolId,
    /// What it can receive.
    pub terms: Terms,
    /// What else it can do.
    pub capabilities: Vec<Capability>,
}

impl Offer {
    /// Whether it keeps within the bounds. Ask before anything waits: 60,000 empty capabilities decode, and take over
    /// twenty times their room on the wire.
    ///
    /// # Errors
    /// A [`Violation`] that names the bound.
    pub fn check(&self) -> Result<(), Violation> {
        check_capabilities(&self.capabilities).map_err(Violation::new)
    }
}

/// What the answering side grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// What it can receive.
    pub terms: Terms,
    /// What it takes of what was offered.
    pub capabilities: Vec<Capability>,
}

/// What one side can receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Bytes of the largest message.
    pub message_bytes_max: u64,
    /// Streams of the other side's that may be open at once.
    pub streams_max: u64,
}

impl Terms {
    fn of(config: &ConnectionConfig) -> Self {
        Self { message_bytes_max: config.message_bytes_max as u64, streams_max: config.streams_max as u64 }
    }
}

/// What both sides go by from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Protocol, version, capabilities.
    pub negotiated: Negotiated,
    /// Bytes of the largest message, either way.
    pub message_bytes_max: usize,
    /// Streams that this side may have open at once.
    pub streams_max: usize,
}

/// The dialling side's first bytes on the control stream.
pub fn offer(config: &ConnectionConfig) -> BytesMut {
    let mut buf = BytesMut::new();
    Preface::OURS.put(&mut buf);
    let offer = Offer {
        protocol: config.protocol.clone(),
        terms: Terms::of(config),
        capabilities: config.capabilities.clone(),
    };
    control::put(&Control::Handshake(offer), &mut buf);
    buf
}

/// What the dialling side makes of the answer.
///
/// # Errors
/// The peer's [`Refusal`] in the inner result, a [`Violation`] in the outer.
pub fn conclude(
    config: &ConnectionConfig,
    version: u16,
    answer: Control,
) -> Result<Result<Agreement, Refusal>, Violation> {
    let accepted = match answer {
        Control::Accept(accepted) => accepted,
        Control::Refuse(refusal) => {
            let reason = close::truncate(&refusal.reason).to_owned();
            return Ok(Err(Refusal { reason, ..refusal }));
        }
        other => return Err(Violation::new(format_args!("an answer to the handshake expected, not {other:?}"))),
    };
    check_capabilities(&accepted.capabilities).map_err(Violation::new)?;
    let unasked = accepted
        .capabilities
        .iter()
        .find(|taken| !config.capabilities.iter().any(|offered| offered.name == taken.name));
    if let Some(unasked) = unasked {
        return Err(Violation::new(format_args!(
            "the peer took the capability {:?}, which was not offered",
            unasked.name
        )));
    }
    agree(config, version, config.protocol.clone(), accepted.capabilities, accepted.terms).map(Ok)
}

/// What the answering side makes of an offer: the agreement, and the bytes that tell the dialling side.
///
/// # Errors
/// A [`Refusal`] to send with [`refuse`] in the inner result, a [`Violation`] in the outer.
pub fn answer(
    config: &ListenConfig,
    peer: PeerId,
    version: u16,
    offer: Offer,
) -> Result<Result<(Agreement, BytesMut), Refusal>, Violation> {
    offer.check()?;
    let taken = match &config.answer {
        Some(answer) => answer.answer(peer, &offer.capabilities),
        None => {
            let ours = &config.connection.capabilities;
            let known = |offered: &Capability| ours.iter().any(|own| own.name == offered.name);
            Ok(offer.capabilities.into_iter().filter(known).collect())
        }
    };
    let capabilities = match taken {
        Ok(capabilities) => capabilities,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let terms = Terms::of(&config.connection);
    let agreement = agree(&config.connection, version, offer.protocol, capabilities.clone(), offer.terms)?;
    let mut buf = BytesMut::new();
    Preface::OURS.put(&mut buf);
    control::put(&Control::Accept(Acceptance { terms, capabilities }), &mut buf);
    Ok(Ok((agreement, buf)))
}

/// The bytes that tell the dialling side that it is refused.
pub fn refuse(refusal: Refusal) -> BytesMut {
    let mut buf = BytesMut::new();
    Preface::OURS.put(&mut buf);
    control::put(&Control::Refuse(refusal), &mut buf);
    buf
}

/// The refusal for a protocol that nobody listens for.
pub fn unknown_protocol(protocol: &ProtocolId) -> Refusal {
    Refusal::new(RefusalCode::UnknownProtocol, format!("nobody listens for protocol {protocol}"))
}

fn agree(
    config: &ConnectionConfig,
    version: u16,
    protocol: ProtocolId,
    capabilities: Vec<Capability>,
    theirs: Terms,
) -> Result<Agreement, Violation> {
    if theirs.message_bytes_max == 0 {
        return Err(Violation::new("the peer takes messages of at most 0 bytes; at least 1 expected"));
    }
    let clamp = |value: u64, most: usize| usize::try_from(value).unwrap_or(usize::MAX).min(most);
    Ok(Agreement {
        negotiated: Negotiated { protocol, version, capabilities },
        message_bytes_max: clamp(theirs.message_bytes_max, config.message_bytes_max.min(MESSAGE_BYTES_CEILING)),
        streams_max: clamp(theirs.streams_max, STREAMS_CEILING),
    })
}

/// Streams that this side opens at once at most, whatever the peer allows: what tokio's semaphore can count is far more,
/// what anybody needs is far less.
const STREAMS_CEILING: usize = 1 << 20;

/// Checks what this side is about to offer.
pub(crate) fn validate_capabilities(capabilities: &[Capability]) -> Result<(), P2PError> {
    check_capabilities(capabilities).map_err(|problem| {
        P2PError::invalid_input(
            problem,
            format_args!("at most {CAPABILITIES_MAX} capabilities, named once, of {CAPABILITY_BYTES_MAX} bytes each"),
        )
    })
}

fn check_capabilities(capabilities: &[Capability]) -> Result<(), String> {
    if capabilities.len() > CAPABILITIES_MAX {
        return Err(format!("{} capabilities", capabilities.len()));
    }
    for (at, capability) in capabilities.iter().enumerate() {
        let name = &capability.name;
        if name.is_empty() || name.len() > ProtocolId::BYTES_MAX {
            return Err(format!("capability name of {} bytes", name.len()));
        }
        if capability.data.len() > CAPABILITY_BYTES_MAX {
            return Err(format!("capability {name:?} of {} bytes", capability.data.len()));
        }
        if capabilities[..at].iter().any(|earlier| earlier.name == *name) {
            return Err(format!("capability {name:?} named twice"));
        }
    }
    Ok(())
}

/// The byte that begins the message stream in the dialling side's direction, which makes the stream visible to the peer.
pub const MESSAGE_STREAM_PREFACE: u8 = 0x01;

/// Appends what begins the message stream.
pub fn put_message_stream_preface(buf: &mut impl BufMut) {
    buf.put_u8(MESSAGE_STREAM_PREFACE);
}
