//! Connections of this machine: TCP and Unix domain sockets, as the copying sees them.

use std::{io, path::Path, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpStream, tcp},
    time::timeout,
};

use crate::rule::HostPort;

/// Where bytes come from.
pub(crate) trait Source: Send {
    /// Waits for bytes and appends them; 0 is the end.
    ///
    /// # Cancel safety
    /// Dropping the future loses no bytes.
    fn read_some(&mut self, buffer: &mut BytesMut) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Reads once there is something, so that connections which are idle hold no memory.
macro_rules! read_when_ready {
    ($half:ty) => {
        impl Source for $half {
            async fn read_some(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
                loop {
                    self.readable().await?;
                    make_room(buffer);
                    match self.try_read_buf(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                }
            }
        }
    };
}

read_when_ready!(tcp::ReadHalf<'_>);
#[cfg(unix)]
read_when_ready!(tokio::net::unix::ReadHalf<'_>);

/// What can only be read.
#[derive(Debug)]
pub(crate) struct Plain<R>(pub(crate) R);

impl<R: AsyncRead + Unpin + Send> Source for Plain<R> {
    async fn read_some(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        make_room(buffer);
        self.0.read_buf(buffer).await
    }
}

fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_BYTES_MIN {
        buffer.reserve(super::copy::COPY_BYTES);
    }
}

/// A connection whose torn-off end nobody takes for a whole one: it is reset when it is dropped, unless it had come to its
/// end. An error, an aborted task and a panic all look to the other program like what they are.
#[derive(Debug)]
pub(crate) struct Local {
    socket: Socket,
    ended: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Local {
    pub(crate) fn tcp(tcp: TcpStream) -> io::Result<Self> {
        // What is forwarded was already gathered into packets by whoever sent it.
        tcp.set_nodelay(true)?;
        Ok(Self { socket: Socket::Tcp(tcp), ended: false })
    }

    #[cfg(unix)]
    pub(crate) const fn unix(unix: tokio::net::UnixStream) -> Self {
        Self { socket: Socket::Unix(unix), ended: false }
    }

    /// Connects to a port of a host by name or address.
    ///
    /// # Errors
    /// What the system says, or `TimedOut` after 5 seconds.
    pub(crate) async fn connect(host_port: &HostPort, offset: u16) -> io::Result<Self> {
        let port = host_port.ports.get(offset).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Self::tcp(within(TcpStream::connect((host_port.host.as_str(), port))).await?)
    }

    /// Connects to a Unix domain socket.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(unix)]
    pub(crate) async fn connect_unix(path: &Path) -> io::Result<Self> {
        Ok(Self::unix(within(tokio::net::UnixStream::connect(path)).await?))
    }

    #[cfg(not(unix))]
    pub(crate) async fn connect_unix(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Both directions have ended; an ordinary close is right.
    pub(crate) fn close(mut self) {
        self.ended = true;
    }

    /// Copies between it and a stream; see [`copy`](super::copy::copy).
    pub(crate) async fn copy(
        &mut self,
        stream: p2p::BiStream,
        meter: &super::meter::Meter,
    ) -> Result<(), super::failure::Failure> {
        match &mut self.socket {
            Socket::Tcp(tcp) => {
                let (read, write) = tcp.split();
                super::copy::copy(read, write, stream, meter).await
            }
            #[cfg(unix)]
            Socket::Unix(unix) => {
                let (read, write) = unix.split();
                super::copy::copy(read, write, stream, meter).await
            }
        }
    }

    /// The connection as one that is read and written, for those who speak a protocol on it.
    pub(crate) fn io(&mut self) -> &mut (dyn Io + '_) {
        match &mut self.socket {
            Socket::Tcp(tcp) => tcp,
            #[cfg(unix)]
            Socket::Unix(unix) => unix,
        }
    }
}

/// Both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Drop for Local {
    fn drop(&mut self) {
        // A Unix domain socket knows no reset. Its reader sees an end, as from a program that died.
        if let (false, Socket::Tcp(tcp)) = (self.ended, &self.socket) {
            tcp.set_zero_linger().ok();
        }
    }
}

async fn within<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Services are near the daemon, mostly on its own machine; whoever waits longer waits for nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Room that makes a read worth while. Below it, a new buffer is begun.
const READ_BYTES_MIN: usize = 8 * 1024;
