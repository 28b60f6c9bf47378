//! What is forwarded: a server that answers small requests, and sends without end when asked to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::Result;

/// What asks for bytes without end.
pub(crate) const ENDLESS: &[u8] = b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n";
/// What asks for [`ANSWER`].
pub(crate) const SMALL: &[u8] = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n";
/// A small document with its head.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Serves until the program ends.
pub(crate) async fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // Ends with the client.
            tokio::spawn(async move { serve(tcp).await.ok() });
        }
    });
    Ok(addr)
}

async fn serve(tcp: TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut tcp = BufReader::new(tcp);
    let mut line = Vec::new();
    let mut endless = false;
    loop {
        line.clear();
        if tcp.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        endless |= line.starts_with(b"GET /endless");
        if line == b"\r\n" {
            if endless {
                let chunk = vec![b'x'; 64 * 1024];
                loop {
                    tcp.write_all(&chunk).await?;
                }
            }
            tcp.write_all(ANSWER).await?;
        }
    }
}
