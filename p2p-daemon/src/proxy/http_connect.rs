//! `CONNECT` (RFC 9110 §9.3.6), as browsers and curl ask an HTTP proxy for it.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::open;
use crate::{
    forward::{Core, DESTINATION_BYTES_MAX, Failure, Io, Local, Reason},
    rule::HostPort,
};

/// Serves one client: what it asks for, then the bytes.
pub(crate) async fn carry(core: &Core, local: &mut Local) -> Result<(), Failure> {
    let asked = timeout(TIMEOUT, ask(local.io())).await;
    let destination = match asked {
        Ok(Ok(Ok(destination))) => destination,
        Ok(Ok(Err(refusal))) => {
            let answered = answer(local.io(), refusal).await;
            return Err(Failure::Local(answered.err().unwrap_or_else(|| io::ErrorKind::InvalidData.into())));
        }
        Ok(Err(error)) => return Err(Failure::Local(error)),
        Err(_) => return Err(Failure::Local(io::ErrorKind::TimedOut.into())),
    };
    match open(core, destination).await {
        Ok((stream, _token)) => {
            answer(local.io(), "200 Connection established").await.map_err(Failure::Local)?;
            local.copy(stream, &core.meter).await
        }
        Err(failure) => {
            let status = match failure.reason() {
                Reason::UnknownService => "403 Forbidden",
                Reason::PeerUnreachable => "504 Gateway Timeout",
                _ => "502 Bad Gateway",
            };
            answer(local.io(), status).await.ok();
            Err(failure)
        }
    }
}

/// Reads a request's head, and nothing beyond it: `HOST:PORT`, or the status to refuse with.
async fn ask(io: &mut dyn Io) -> io::Result<Result<String, &'static str>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD_BYTES_MAX {
            return Ok(Err("431 Request Header Fields Too Large"));
        }
        head.push(io.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).unwrap_or_default().split(' ');
    Ok(match (words.next(), words.next(), words.next(), words.next()) {
        (Some("CONNECT"), Some(destination), Some("HTTP/1.1" | "HTTP/1.0"), None) => {
            let good = destination.len() <= DESTINATION_BYTES_MAX && HostPort::parse_single(destination).is_ok();
            if good { Ok(destination.to_owned()) } else { Err("400 Bad Request") }
        }
        (Some(_), Some(_), Some("HTTP/1.1" | "HTTP/1.0"), None) => Err("405 Method Not Allowed"),
        _ => Err("400 Bad Request"),
    })
}

async fn answer(io: &mut dyn Io, status: &str) -> io::Result<()> {
    let more = if status.starts_with("405") { "Allow: CONNECT\r\n" } else { "" };
    let length = if status.starts_with("200") { "" } else { "Content-Length: 0\r\nConnection: close\r\n" };
    io.write_all(format!("HTTP/1.1 {status}\r\n{more}{length}\r\n").as_bytes()).await
}

/// Bytes of the largest head: browsers send a kilobyte.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A client on this machine has said what it wants by then.
const TIMEOUT: Duration = Duration::from_secs(10);
