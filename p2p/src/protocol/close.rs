//! The codes that end a transport, and what they mean to the other side.
//!
//! An application's [`CloseCode`] travels as itself. The protocol's own codes lie above all of them, within the 62 bits
//! that QUIC carries.

use crate::{CLOSE_REASON_BYTES_MAX, CloseCode, CloseReason};

/// The closing side finished: all it sent has arrived. The reason is the number of messages it has received, in digits.
pub const FINISHED: u64 = 1 << 32;

/// Both sides finished, and the closing side has received all that the other sent.
pub const FINISHED_BOTH: u64 = (1 << 32) + 1;

/// The closing side's provider was shut down.
pub const SHUT_DOWN: u64 = (1 << 32) + 2;

/// The other side broke the protocol; the reason says how.
pub const VIOLATION: u64 = (1 << 32) + 3;

/// The closing side has no room for another handshake or connection.
pub const BUSY: u64 = (1 << 32) + 4;

/// The closing side heard nothing for its idle timeout.
pub const TIMED_OUT: u64 = (1 << 32) + 5;

/// The closing side gave the handshake up.
pub const HANDSHAKE_ABANDONED: u64 = (1 << 32) + 6;

/// The closing side does not admit this identity.
pub const REJECTED: u64 = (1 << 32) + 7;

/// What a code and reason from the peer mean here. The reason may be any bytes and of any length.
pub fn from_peer(code: u64, reason: &[u8]) -> CloseReason {
    let reason = truncate(&String::from_utf8_lossy(reason)).to_owned();
    match code {
        0..FINISHED => CloseReason::Peer { code: CloseCode(code as u32), reason },
        FINISHED | FINISHED_BOTH => CloseReason::Peer { code: CloseCode::OK, reason: String::new() },
        SHUT_DOWN => CloseReason::Peer { code: CloseCode::OK, reason: "the peer's provider was shut down".into() },
        VIOLATION => CloseReason::Protocol { violation: format!("the peer says: {reason}") },
        TIMED_OUT => CloseReason::TimedOut,
        BUSY => CloseReason::Lost { source: busy(reason.as_bytes()).into() },
        REJECTED => CloseReason::Peer { code: CloseCode::OK, reason: "the peer does not admit this identity".into() },
        HANDSHAKE_ABANDONED => CloseReason::Lost { source: "the peer gave the handshake up".into() },
        _ => CloseReason::Lost { source: format!("the peer closed with the unknown code {code}").into() },
    }
}

/// What [`BUSY`] means here, with what the peer says of it.
pub fn busy(reason: &[u8]) -> String {
    let reason = String::from_utf8_lossy(reason);
    match truncate(&reason) {
        "" => "the peer has no room for another connection".into(),
        reason => format!("the peer has no room for another connection: {reason}"),
    }
}

/// How many messages a peer that finished had received when it closed.
pub fn received_at_finish(code: u64, reason: &[u8]) -> Option<u64> {
    (code == FINISHED).then(|| std::str::from_utf8(reason).ok()?.parse().ok()).flatten()
}

/// `reason`, cut at the end of a character to what travels.
pub fn truncate(reason: &str) -> &str {
    if reason.len() <= CLOSE_REASON_BYTES_MAX {
        return reason;
    }
    let end = (0..=CLOSE_REASON_BYTES_MAX).rev().find(|&at| reason.is_char_boundary(at));
    &reason[..end.expect("0 is a boundary of every string")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_at_the_end_of_a_character() {
        let long = "ä".repeat(CLOSE_REASON_BYTES_MAX);
        let cut = truncate(&long);
        assert_eq!(cut.len(), CLOSE_REASON_BYTES_MAX);
        let odd = format!("a{long}");
        assert_eq!(truncate(&odd).len(), CLOSE_REASON_BYTES_MAX - 1);
        assert!(odd.starts_with(truncate(&odd)));
    }

    #[test]
    fn any_code_and_any_bytes_from_a_peer_have_a_meaning() {
        for code in [0, 7, u64::from(u32::MAX), FINISHED, FINISHED_BOTH, SHUT_DOWN, VIOLATION, BUSY, REJECTED, u64::MAX]
        {
            from_peer(code, &[0xff; 4096]);
        }
        assert_eq!(
            from_peer(u64::from(u32::MAX), b"why"),
            CloseReason::Peer { code: CloseCode(u32::MAX), reason: "why".into() }
        );
    }
}
