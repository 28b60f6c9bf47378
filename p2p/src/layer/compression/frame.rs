//! What a message becomes: a byte that says how, then the message, or its length as a varint and an LZ4 block.

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::{Violation, varint};

const PLAIN: u8 = 0;
const LZ4_BLOCK: u8 = 1;

/// What a frame adds to a message that is not compressed.
pub(super) const PLAIN_BYTES: usize = 1;

/// A message as it is.
pub(super) fn plain(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PLAIN_BYTES + message.len());
    frame.put_u8(PLAIN);
    frame.put_slice(message);
    frame.freeze()
}

/// A message compressed, if that makes it smaller by an eighth.
pub(super) fn compressed(message: &[u8]) -> Option<Bytes> {
    let len_max = lz4_flex::block::get_maximum_output_size(message.len());
    let mut frame = BytesMut::with_capacity(1 + varint::LEN_MAX + len_max);
    frame.put_u8(LZ4_BLOCK);
    varint::put(message.len() as u64, &mut frame);
    let header = frame.len();
    frame.resize(header + len_max, 0);
    let written = lz4_flex::block::compress_into(message, &mut frame[header..]).ok()?;
    frame.truncate(header + written);
    // A frame that is kept for a while must not keep the room it was made in.
    (frame.len() <= message.len() / 8 * 7).then(|| Bytes::copy_from_slice(&frame))
}

/// The message of a frame, of at most `message_bytes_max` bytes.
pub(super) fn read(mut frame: Bytes, message_bytes_max: usize) -> Result<Bytes, Violation> {
    let too_large = |len: u64| {
        (len > message_bytes_max as u64)
            .then(|| Violation::new(format_args!("a message of {len} bytes, where {message_bytes_max} are allowed")))
    };
    match frame.first() {
        None => Err(Violation::new("a message without the byte that says how it is compressed")),
        Some(&PLAIN) => {
            let message = frame.split_off(PLAIN_BYTES);
            too_large(message.len() as u64).map_or(Ok(message), Err)
        }
        Some(&LZ4_BLOCK) => {
            let (len, header) = varint::get(&frame[1..])
                .ok_or_else(|| Violation::new("a compressed message that is cut in its length"))?;
            let block = &frame[1 + header..];
            if let Some(violation) = too_large(len) {
                return Err(violation);
            }
            if len > block.len() as u64 * EXPANSION_MAX {
                let what =
                    format_args!("a message of {len} bytes, compressed to {}: LZ4 makes no such thing", block.len());
                return Err(Violation::new(what));
            }
            inflate(block, len as usize)
        }
        Some(how) => {
            Err(Violation::new(format_args!("a message compressed in way {how}, which this side does not know")))
        }
    }
}

/// The bytes that one byte of an LZ4 block can stand for: a byte of a match's length adds 255 to it.
const EXPANSION_MAX: u64 = 255;

fn inflate(block: &[u8], len: usize) -> Result<Bytes, Violation> {
    let mut message = vec![0; len];
    match lz4_flex::block::decompress_into(block, &mut message) {
        Ok(written) if written == len => Ok(message.into()),
        Ok(written) => Err(Violation::new(format_args!("a message of {written} bytes, announced as {len}"))),
        Err(error) => Err(Violation::new(format_args!("a compressed message that cannot be inflated: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100_000;

    fn lines() -> Vec<u8> {
        b"one line and the next; ".repeat(200)
    }

    #[test]
    fn messages_read_back() {
        let lines = lines();
        let frame = compressed(&lines).unwrap();
        assert!(frame.len() * 20 < lines.len());
        assert_eq!(read(frame, LIMIT).unwrap(), lines);
        for message in [&b""[..], b"short", &lines] {
            assert_eq!(read(plain(message), LIMIT).unwrap(), message);
        }
        assert_eq!(compressed(&(0..=255).collect::<Vec<u8>>()), None, "nothing repeats in it");
    }

    #[test]
    fn a_frame_is_refused_before_its_message_takes_memory() {
        // A terabyte, announced by a few bytes, and by as many as the limit allows to send.
        for (len, block) in [(1 << 40, 4), (LIMIT as u64 + 1, LIMIT), (1_000, 3)] {
            let mut frame = BytesMut::new();
            frame.put_u8(LZ4_BLOCK);
            varint::put(len, &mut frame);
            frame.put_bytes(0, block);
            let Violation(why) = read(frame.freeze(), LIMIT).unwrap_err();
            assert!(why.starts_with(&format!("a message of {len} bytes, ")), "{why}");
        }
        let Violation(why) = read(plain(&[0; LIMIT + 1]), LIMIT).unwrap_err();
        assert_eq!(why, "a message of 100001 bytes, where 100000 are allowed");
    }

    #[test]
    fn a_frame_that_was_cut_or_changed_is_refused() {
        let frame = compressed(&lines()).unwrap();
        for len in 0..frame.len() {
            read(frame.slice(..len), LIMIT).unwrap_err();
        }
        let with_byte = |at: usize, byte: u8| {
            let mut changed = frame.to_vec();
            changed[at] = byte;
            read(changed.into(), LIMIT)
        };
        let Violation(why) = with_byte(0, 2).unwrap_err();
        assert_eq!(why, "a message compressed in way 2, which this side does not know");
        // Whatever byte is changed to whatever: an error, or a message of the announced length, and no panic.
        for at in 1..frame.len() {
            for byte in 0..=255 {
                if let Ok(message) = with_byte(at, byte) {
                    assert!(message.len() <= LIMIT);
                }
            }
        }
    }
}
