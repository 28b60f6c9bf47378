//! An HTTP client that costs as little as it can: one connection, one request at a time, no allocation but for reading.

use std::{net::SocketAddr, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Result;

pub(super) struct Client {
    tcp: TcpStream,
    /// What comes after the path, of every request.
    rest: String,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr, token: &str) -> Result<Self> {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        let rest = format!("?clientId=home HTTP/1.1\r\nhost: home\r\nauthorization: Bearer {token}\r\n\r\n");
        Ok(Self { tcp, rest, buffer: vec![0; 256 * 1024], filled: 0 })
    }

    /// Sends a request, reads the answer to its end, and returns how long its body was.
    pub(super) async fn get(&mut self, path: &str) -> Result<usize> {
        self.send(path).await?;
        let (length, _) = self.head().await?;
        self.body(length).await
    }

    /// When the first of the body was there. The rest is read, too.
    pub(super) async fn first_byte(&mut self, path: &str) -> Result<Instant> {
        self.send(path).await?;
        let (length, at) = self.head().await?;
        let first = match self.filled {
            0 => {
                self.fill().await?;
                Instant::now()
            }
            _ => at,
        };
        self.body(length).await?;
        Ok(first)
    }

    async fn send(&mut self, path: &str) -> Result {
        self.filled = 0;
        self.tcp.write_all(format!("GET {path}{}", self.rest).as_bytes()).await?;
        Ok(())
    }

    async fn fill(&mut self) -> Result<usize> {
        let count = self.tcp.read(&mut self.buffer[self.filled..]).await?;
        if count == 0 {
            return Err("the connection ended".into());
        }
        self.filled += count;
        Ok(count)
    }

    /// Reads the head, and leaves what came behind it in the buffer. The body's length; none if it comes in chunks.
    async fn head(&mut self) -> Result<(Option<usize>, Instant)> {
        loop {
            self.fill().await?;
            let at = Instant::now();
            let Some(end) = self.buffer[..self.filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(format!("the answer is {head}").into());
            }
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")).map(|length| length.trim().parse());
            self.buffer.copy_within(end + 4..self.filled, 0);
            self.filled -= end + 4;
            return Ok((length.transpose()?, at));
        }
    }

    async fn body(&mut self, length: Option<usize>) -> Result<usize> {
        let mut read = self.filled;
        match length {
            Some(length) => {
                while read < length {
                    self.filled = 0;
                    read += self.fill().await?;
                }
            }
            // In chunks: to the last one, which is empty. What is counted is not the body alone.
            None => {
                while !self.buffer[..self.filled].ends_with(b"0\r\n\r\n") {
                    if self.filled > self.buffer.len() / 2 {
                        self.buffer.copy_within(self.filled - 8..self.filled, 0);
                        self.filled = 8;
                    }
                    read += self.fill().await?;
                }
            }
        }
        self.filled = 0;
        Ok(read)
    }
}
