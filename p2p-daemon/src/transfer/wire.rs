//! What the two sides say.

use std::io;

use p2p::{RecvStream, SendStream, StreamError, protocol::codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::AsyncReadExt;

/// What the receiver asks. The order of the variants is part of the wire format; new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    List,
    Get { file: u32, offset: u64 },
    Done,
}

/// What the sender answers. The same holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    Entry { name: String, bytes: u64, hash: [u8; 32] },
    End,
    Content { bytes: u64 },
    Failed { why: String },
}

pub(super) async fn write(send: &mut SendStream, value: &impl Serialize) -> Result<(), StreamError> {
    let body = codec::encode(value);
    let len = u32::try_from(body.len()).expect("a frame is small");
    send.write_all(&[&len.to_be_bytes()[..], &body].concat()).await
}

/// The next frame; nothing at the end of the stream.
pub(super) async fn read<T: DeserializeOwned>(recv: &mut RecvStream) -> io::Result<Option<T>> {
    let len = match recv.read_u32().await {
        Ok(len) => len as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if len > FRAME_BYTES_MAX {
        return Err(bad(format!("a frame of {len} bytes, where at most {FRAME_BYTES_MAX} are allowed")));
    }
    let mut body = vec![0; len];
    recv.read_exact(&mut body).await?;
    codec::decode(&body).map(Some).map_err(|error| bad(format!("a frame that does not decode: {error}")))
}

/// Bytes of the largest frame: a name and what goes with it.
pub(super) const FRAME_BYTES_MAX: usize = 8 * 1024;
