//! Frames from a peer that means harm.

use bytes::Bytes;

use super::frame;

pub(crate) fn decode(bytes: &[u8]) {
    const MESSAGE_BYTES_MAX: usize = 100_000;
    if let Ok(message) = frame::read(Bytes::copy_from_slice(bytes), MESSAGE_BYTES_MAX) {
        assert!(message.len() <= MESSAGE_BYTES_MAX);
        let again = frame::compressed(&message).unwrap_or_else(|| frame::plain(&message));
        assert_eq!(frame::read(again, MESSAGE_BYTES_MAX), Ok(message));
    }
}
