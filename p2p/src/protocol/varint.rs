//! Lengths of one to eight bytes, in QUIC's form (RFC 9000 §16): the first two bits say how many bytes there are.

use bytes::BufMut;

/// The largest number that can be written: 2⁶² − 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Bytes of the longest form.
pub const LEN_MAX: usize = 8;

/// Appends `value` in its shortest form.
///
/// # Panics
/// If `value` is over [`MAX`].
pub fn put(value: u64, buf: &mut impl BufMut) {
    match value {
        0..=0x3f => buf.put_u8(value as u8),
        0x40..=0x3fff => buf.put_u16(value as u16 | 0x4000),
        0x4000..=0x3fff_ffff => buf.put_u32(value as u32 | 0x8000_0000),
        0x4000_0000..=MAX => buf.put_u64(value | 0xc000_0000_0000_0000),
        _ => panic!("{value} does not fit in 62 bits"),
    }
}

/// Reads a number from the front of `bytes` and says how many bytes it took; `None` if it is cut short.
pub fn get(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = 1 << (first >> 6);
    let rest = bytes.get(1..len)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_at_every_boundary() {
        for value in [0, 1, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX] {
            let mut buf = Vec::new();
            put(value, &mut buf);
            assert_eq!(get(&buf), Some((value, buf.len())));
            for len in 0..buf.len() {
                assert_eq!(get(&buf[..len]), None, "a cut number is not a number");
            }
        }
    }

    #[test]
    fn the_form_is_that_of_rfc_9000_appendix_a_1() {
        assert_eq!(get(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), Some((151_288_809_941_952_652, 8)));
        assert_eq!(get(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        assert_eq!(get(&[0x7b, 0xbd]), Some((15_293, 2)));
        assert_eq!(get(&[0x25]), Some((37, 1)));
    }
}
