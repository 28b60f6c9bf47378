//! The one place that turns values into bytes and back: bincode, with a limit on what is decoded.
//!
//! Little-endian, variable-length integers, no field names: bincode 2's standard form. Golden vectors in the tests pin
//! it down, so another codec could take its place without a change on the wire.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes of the largest value that is decoded, in memory as well as on the wire.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

const CONFIG: Configuration<LittleEndian, Varint, Limit<VALUE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<VALUE_BYTES_MAX>();

/// Encodes a value.
///
/// # Panics
/// If the value's `Serialize` fails or the value is over [`VALUE_BYTES_MAX`] bytes, both of which are bugs of its type.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, CONFIG).expect("a value of this project's types always encodes")
}

/// Encodes a value of a type that may refuse to be serialised.
pub(crate) fn try_encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    bincode::serde::encode_to_vec(value, CONFIG).map_err(|error| error.to_string())
}

/// Decodes a value, which must fill `bytes` exactly.
///
/// No length inside `bytes` makes this allocate more than [`VALUE_BYTES_MAX`].
///
/// # Errors
/// [`DecodeError`] if the bytes are not a `T`, are too many, or too few.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, read) =
        bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|error| DecodeError(error.to_string()))?;
    if read == bytes.len() {
        Ok(value)
    } else {
        Err(DecodeError(format!("{} bytes follow the value", bytes.len() - read)))
    }
}

/// The bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);
