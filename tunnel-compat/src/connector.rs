//! Byte streams, however they come about: all that HTTP and WebSockets stand on here.
//!
//! [`Connector`] opens them, [`Acceptor`] takes them. [`tcp`](crate::tcp) has those of the edge, [`peer`](crate::peer) those
//! over any [`P2PProvider`](p2p::P2PProvider), the simulator's included; [`pipe`] makes a pair within one process.

use std::{fmt::Debug, io};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    sync::{Mutex, mpsc},
};

/// A byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A byte stream of any kind.
pub type BoxIo = Box<dyn Io>;

/// Opens byte streams to one place.
#[async_trait]
pub trait Connector: Debug + Send + Sync + 'static {
    /// Opens one.
    ///
    /// # Errors
    /// Why there is none; no byte of the caller's was sent. Has no deadline of its own.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that stays.
    async fn connect(&self) -> io::Result<BoxIo>;
}

#[async_trait]
impl<C: Connector + ?Sized> Connector for std::sync::Arc<C> {
    async fn connect(&self) -> io::Result<BoxIo> {
        (**self).connect().await
    }
}

/// Takes the byte streams that others open.
#[async_trait]
pub trait Acceptor: Debug + Send + Sync + 'static {
    /// Waits for the next one.
    ///
    /// # Errors
    /// None will come any more. What concerns one stream alone is not returned here.
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    async fn accept(&self) -> io::Result<BoxIo>;
}

/// A connector and the acceptor that it reaches, within one process and without a socket.
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tunnel_compat::connector::{Acceptor, Connector, pipe};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (connector, acceptor) = pipe();
/// let (mut ours, mut theirs) = tokio::try_join!(connector.connect(), acceptor.accept())?;
/// ours.write_all(b"hello").await?;
/// let mut hello = [0; 5];
/// theirs.read_exact(&mut hello).await?;
/// # Ok(()) }
/// ```
pub fn pipe() -> (PipeConnector, PipeAcceptor) {
    let (sender, receiver) = mpsc::channel(BACKLOG_LEN);
    (PipeConnector(sender), PipeAcceptor(Mutex::new(receiver)))
}

/// The opening side of a [`pipe`].
#[derive(Debug, Clone)]
pub struct PipeConnector(mpsc::Sender<DuplexStream>);

/// The accepting side of a [`pipe`].
#[derive(Debug)]
pub struct PipeAcceptor(Mutex<mpsc::Receiver<DuplexStream>>);

#[async_trait]
impl Connector for PipeConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        self.0.send(theirs).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(ours))
    }
}

#[async_trait]
impl Acceptor for PipeAcceptor {
    async fn accept(&self) -> io::Result<BoxIo> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok(Box::new(stream)),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    }
}

/// Streams that wait to be accepted; beyond that, `connect` waits.
const BACKLOG_LEN: usize = 64;

/// Bytes under way in each direction of a pipe, as much as a socket's buffers hold.
const PIPE_BYTES: usize = 64 * 1024;
