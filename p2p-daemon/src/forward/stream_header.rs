//! The first bytes of each stream: which service it is for.

use std::time::Duration;

use p2p::{RecvStream, SendStream, StreamError};
use tokio::{io::AsyncReadExt, time::timeout};

use super::ServiceName;

/// The header. See [the module](super#on-the-wire) for its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamHeader {
    pub(super) service: ServiceName,
}

/// Why a stream has no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("version {0} of the stream header, where only version {VERSION} is known")]
    Version(u8),
    #[error("a service name of {len} bytes, where 1 to {max} are allowed", max = ServiceName::BYTES_MAX)]
    Length { len: u8 },
    #[error("a service name with characters that are not allowed in one")]
    Name,
    #[error("the stream ended within its header, or it came too late")]
    Cut,
}

impl StreamHeader {
    /// Writes the header at once, so that the peer sees the stream even where the service speaks first.
    pub(super) async fn write(&self, send: &mut SendStream) -> Result<(), StreamError> {
        send.write_all(&self.to_bytes()).await
    }

    /// Reads the header and nothing beyond it, within [`TIMEOUT`].
    pub(super) async fn read(recv: &mut RecvStream) -> Result<Self, HeaderError> {
        timeout(TIMEOUT, Self::read_fields(recv)).await.unwrap_or(Err(HeaderError::Cut))
    }

    async fn read_fields(recv: &mut RecvStream) -> Result<Self, HeaderError> {
        let version = recv.read_u8().await.map_err(|_| HeaderError::Cut)?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let len = recv.read_u8().await.map_err(|_| HeaderError::Cut)?;
        if !(1..=ServiceName::BYTES_MAX).contains(&len.into()) {
            return Err(HeaderError::Length { len });
        }
        let mut name = [0; ServiceName::BYTES_MAX];
        let name = &mut name[..len.into()];
        recv.read_exact(name).await.map_err(|_| HeaderError::Cut)?;
        let name = std::str::from_utf8(name).map_err(|_| HeaderError::Name)?;
        Ok(Self { service: name.parse().map_err(|_| HeaderError::Name)? })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let name = self.service.as_str().as_bytes();
        let len = u8::try_from(name.len()).expect("a service name is at most 63 bytes");
        [&[VERSION, len], name].concat()
    }
}

const VERSION: u8 = 1;

/// A header is one small write right after the stream was opened, so even a slow path is done within this.
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use p2p::{P2PProvider, P2PProviderExt, ProtocolId, memory::MemoryNetwork};

    use super::*;

    async fn read(bytes: &[u8]) -> Result<(StreamHeader, Vec<u8>), HeaderError> {
        let network = MemoryNetwork::new();
        let (alice, bob) = (network.provider("alice"), network.provider("bob"));
        let protocol = ProtocolId::default();
        let listener = bob.listen(&protocol).await.unwrap();
        let (ours, theirs) =
            tokio::try_join!(alice.connect(bob.local_peer_id(), &protocol), listener.accept()).unwrap();
        let mut stream = ours.open_stream().await.unwrap();
        stream.send.write_all(bytes).await.unwrap();
        stream.send.finish().unwrap();
        let mut stream = theirs.accept_stream().await.unwrap();
        let header = StreamHeader::read(&mut stream.recv).await?;
        Ok((header, stream.recv.read_to_end(100).await.unwrap()))
    }

    #[tokio::test]
    async fn a_header_is_read_back_and_leaves_what_follows_it() {
        let header = StreamHeader { service: "web".parse().unwrap() };
        let bytes = [&header.to_bytes()[..], b"GET / "].concat();
        assert_eq!(bytes, b"\x01\x03webGET / ");
        assert_eq!(read(&bytes).await.unwrap(), (header, b"GET / ".to_vec()));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_by_its_first_wrong_byte() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1"[..], "version 71"),
            (b"\x02\x03web", "version 2"),
            (b"\x01\x00", "name of 0 bytes"),
            (b"\x01\xff", "name of 255 bytes"),
            (b"\x01\x03WEB", "not allowed"),
            (b"\x01\x02\xff\xfe", "not allowed"),
            (b"\x01\x04web", "ended within"),
        ] {
            let error = read(bytes).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
