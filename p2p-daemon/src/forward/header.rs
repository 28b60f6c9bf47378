//! The first bytes of each stream: which service it is for, and what it carries.

use std::time::Duration;

use p2p::{RecvStream, SendStream, StreamError};
use tokio::{io::AsyncReadExt, time::timeout};

use super::ServiceName;
use crate::measure::Task;

/// The header. See [the module](super#on-the-wire) for its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) service: ServiceName,
    pub(crate) kind: Kind,
}

/// What a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The bytes of one connection, to the port at that place of the service's range.
    Bytes { port_offset: u16 },
    /// The flows of one UDP listener, and the number by which its datagrams are told from others.
    Udp { port_offset: u16, channel: u32 },
    /// The bytes of one connection to a destination of the peer's choice, `HOST:PORT`. A byte 0 answers once it is
    /// connected.
    Proxy { destination: String },
    /// No service's bytes, but those of a measurement.
    Measure { task: Task },
}

/// Why a stream has no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("version {0} of the stream header, where only version {VERSION} is known")]
    Version(u8),
    #[error("a stream of kind {0}, which is not known")]
    Kind(u8),
    #[error("a service name of {len} bytes, where 1 to {max} are allowed", max = ServiceName::BYTES_MAX)]
    Length { len: u8 },
    #[error("a service name with characters that are not allowed in one")]
    Name,
    #[error("a destination that is no text")]
    Destination,
    #[error("a measurement of kind {0}, which is not known")]
    Task(u8),
    #[error("the stream ended within its header, or it came too late")]
    Cut,
}

impl Header {
    /// Writes the header at once, so that the peer sees the stream even where the service speaks first.
    pub(crate) async fn write(&self, send: &mut SendStream) -> Result<(), StreamError> {
        send.write_all(&self.to_bytes()).await
    }

    /// Reads the header and nothing beyond it, within [`TIMEOUT`].
    pub(crate) async fn read(recv: &mut RecvStream) -> Result<Self, HeaderError> {
        timeout(TIMEOUT, Self::read_fields(recv)).await.unwrap_or(Err(HeaderError::Cut))
    }

    async fn read_fields(recv: &mut RecvStream) -> Result<Self, HeaderError> {
        let version = u8(recv).await?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let kind = u8(recv).await?;
        if ![BYTES, UDP, PROXY, MEASURE].contains(&kind) {
            return Err(HeaderError::Kind(kind));
        }
        let service = Self::read_name(recv).await?;
        let kind = match kind {
            BYTES => Kind::Bytes { port_offset: u16(recv).await? },
            UDP => Kind::Udp {
                port_offset: u16(recv).await?,
                channel: recv.read_u32().await.map_err(|_| HeaderError::Cut)?,
            },
            PROXY => Kind::Proxy { destination: Self::read_destination(recv).await? },
            _ => {
                let code = u8(recv).await?;
                Kind::Measure { task: Task::from_code(code).ok_or(HeaderError::Task(code))? }
            }
        };
        Ok(Self { service, kind })
    }

    async fn read_name(recv: &mut RecvStream) -> Result<ServiceName, HeaderError> {
        let len = u8(recv).await?;
        if !(1..=ServiceName::BYTES_MAX).contains(&len.into()) {
            return Err(HeaderError::Length { len });
        }
        let mut name = [0; ServiceName::BYTES_MAX];
        let name = &mut name[..len.into()];
        recv.read_exact(name).await.map_err(|_| HeaderError::Cut)?;
        let name = std::str::from_utf8(name).map_err(|_| HeaderError::Name)?;
        name.parse().map_err(|_| HeaderError::Name)
    }

    async fn read_destination(recv: &mut RecvStream) -> Result<String, HeaderError> {
        let mut text = vec![0; usize::from(u16(recv).await?)];
        if text.len() > DESTINATION_BYTES_MAX {
            return Err(HeaderError::Destination);
        }
        recv.read_exact(&mut text).await.map_err(|_| HeaderError::Cut)?;
        String::from_utf8(text).map_err(|_| HeaderError::Destination)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let name = self.service.as_str().as_bytes();
        let len = u8::try_from(name.len()).expect("a service name is at most 63 bytes");
        let (kind, rest) = match &self.kind {
            Kind::Bytes { port_offset } => (BYTES, port_offset.to_be_bytes().to_vec()),
            Kind::Udp { port_offset, channel } => {
                (UDP, [&port_offset.to_be_bytes()[..], &channel.to_be_bytes()].concat())
            }
            Kind::Proxy { destination } => {
                let len = u16::try_from(destination.len()).expect("a destination was checked where it was read");
                (PROXY, [&len.to_be_bytes()[..], destination.as_bytes()].concat())
            }
            Kind::Measure { task } => (MEASURE, vec![task.code()]),
        };
        [&[VERSION, kind, len], name, &rest].concat()
    }
}

async fn u8(recv: &mut RecvStream) -> Result<u8, HeaderError> {
    recv.read_u8().await.map_err(|_| HeaderError::Cut)
}

async fn u16(recv: &mut RecvStream) -> Result<u16, HeaderError> {
    recv.read_u16().await.map_err(|_| HeaderError::Cut)
}

const VERSION: u8 = 2;

const BYTES: u8 = 1;
const UDP: u8 = 2;
const PROXY: u8 = 3;
const MEASURE: u8 = 4;

/// Bytes of the longest destination: a name of DNS, a colon and a port.
pub(crate) const DESTINATION_BYTES_MAX: usize = 253 + 6;

/// A header is one small write right after the stream was opened, so even a slow path is done within this.
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use p2p::{P2PProvider, P2PProviderExt, ProtocolId, memory::MemoryNetwork};

    use super::*;

    async fn read(bytes: &[u8]) -> Result<(Header, Vec<u8>), HeaderError> {
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
        let header = Header::read(&mut stream.recv).await?;
        Ok((header, stream.recv.read_to_end(100).await.unwrap()))
    }

    #[tokio::test]
    async fn a_header_is_read_back_and_leaves_what_follows_it() {
        for (kind, expected) in [
            (Kind::Bytes { port_offset: 2 }, &b"\x02\x01\x03web\x00\x02"[..]),
            (Kind::Udp { port_offset: 0, channel: 6 }, b"\x02\x02\x03web\x00\x00\x00\x00\x00\x06"),
            (Kind::Proxy { destination: "a.b:80".into() }, b"\x02\x03\x03web\x00\x06a.b:80"),
            (Kind::Measure { task: Task::Upload }, b"\x02\x04\x03web\x02"),
        ] {
            let header = Header { service: "web".parse().unwrap(), kind };
            let bytes = [&header.to_bytes()[..], b"GET / "].concat();
            assert_eq!(bytes, [expected, b"GET / "].concat());
            assert_eq!(read(&bytes).await.unwrap(), (header, b"GET / ".to_vec()));
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_by_its_first_wrong_byte() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1"[..], "version 71"),
            (b"\x01\x03web", "version 1"),
            (b"\x02\x09\x03web", "kind 9"),
            (b"\x02\x01\x00", "name of 0 bytes"),
            (b"\x02\x01\xff", "name of 255 bytes"),
            (b"\x02\x01\x03WEB", "not allowed"),
            (b"\x02\x01\x02\xff\xfe", "not allowed"),
            (b"\x02\x01\x04web", "ended within"),
            (b"\x02\x03\x03web\xff\xff", "destination"),
            (b"\x02\x03\x03web\x00\x02\xff\xfe", "destination"),
            (b"\x02\x04\x03web\x03", "measurement of kind 3"),
        ] {
            let error = read(bytes).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
