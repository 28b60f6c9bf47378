//! Byte streams over TCP: the edge.

use std::{io, net::SocketAddr};

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};

use crate::connector::{Acceptor, BoxIo, Connector};

/// Opens TCP connections to one place, with `TCP_NODELAY`: without it a small message behind another waits for an
/// acknowledgement, 40 ms on Linux.
#[derive(Debug, Clone)]
pub struct TcpConnector {
    /// `host:port`.
    authority: String,
}

impl TcpConnector {
    /// To that `host:port`. A name is looked up for each connection, by the system.
    pub fn new(authority: impl Into<String>) -> Self {
        Self { authority: authority.into() }
    }
}

#[async_trait]
impl Connector for TcpConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

/// Takes TCP connections, with `TCP_NODELAY`.
#[derive(Debug)]
pub struct TcpAcceptor(TcpListener);

impl TcpAcceptor {
    /// Listens at `addr`.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or may not be used.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(addr).await.map(Self)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[async_trait]
impl Acceptor for TcpAcceptor {
    async fn accept(&self) -> io::Result<BoxIo> {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) if stream.set_nodelay(true).is_ok() => return Ok(Box::new(stream)),
                // Gone before it was here.
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {}
                    _ => return Err(error),
                },
            }
        }
    }
}
