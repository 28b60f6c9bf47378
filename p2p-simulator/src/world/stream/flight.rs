//! What travels as one packet: small writes put together, large ones cut.

use bytes::{Bytes, BytesMut};

use crate::world::crowd::TURN_BYTES;

/// Bytes that travel as one packet of the simulation: 16 segments, each with a loss of its own, that arrive together.
///
/// Fewer would cost more events, more would make a stream lumpy.
pub(super) const FLIGHT_BYTES_MAX: usize = TURN_BYTES as usize;
/// Bytes from which a chunk travels as it is. Smaller ones are put together first, which costs a copy and saves events.
const COPY_BYTES_BELOW: usize = FLIGHT_BYTES_MAX / 2;
/// Bytes allocated at once for what is put together.
const ARENA_BYTES: usize = 64 * 1024;

/// Takes from the front of `chunks` what travels as one packet, at most `limit` bytes.
pub(super) fn take_flight(chunks: &mut [Bytes], limit: usize, arena: &mut BytesMut) -> Option<Bytes> {
    let first = chunks.iter().position(|chunk| !chunk.is_empty())?;
    let chunks = &mut chunks[first..];
    if limit == 0 {
        return None;
    }
    let alone = chunks[1..].iter().all(Bytes::is_empty);
    if alone || chunks[0].len() >= COPY_BYTES_BELOW.min(limit) {
        let len = chunks[0].len().min(limit);
        return Some(take_front(&mut chunks[0], len));
    }
    let total = chunks.iter().map(Bytes::len).fold(0, usize::saturating_add).min(limit);
    if arena.capacity() < total {
        arena.reserve(ARENA_BYTES);
    }
    for chunk in chunks {
        let len = chunk.len().min(total - arena.len());
        arena.extend_from_slice(&take_front(chunk, len));
        if arena.len() == total {
            break;
        }
    }
    Some(arena.split().freeze())
}

/// Like `split_to`, but leaves an empty chunk that holds nothing alive.
fn take_front(chunk: &mut Bytes, len: usize) -> Bytes {
    if len == chunk.len() { std::mem::take(chunk) } else { chunk.split_to(len) }
}
