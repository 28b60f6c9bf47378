//! SOCKS5 (RFC 1928), without authentication: the proxy listens where its user decided.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::open;
use crate::forward::{Core, DESTINATION_BYTES_MAX, Failure, Io, Local};

/// Serves one client: what it asks for, then the bytes.
pub(crate) async fn carry(core: &Core, local: &mut Local) -> Result<(), Failure> {
    let destination = match tokio::time::timeout(TIMEOUT, negotiate(local.io())).await {
        Ok(Ok(destination)) => destination,
        Ok(Err(error)) => return Err(Failure::Local(error)),
        Err(_) => return Err(Failure::Local(io::ErrorKind::TimedOut.into())),
    };
    match open(core, destination).await {
        Ok((stream, _token)) => {
            reply(local.io(), SUCCEEDED).await.map_err(Failure::Local)?;
            local.copy(stream, &core.meter).await
        }
        Err(failure) => {
            reply(local.io(), reply_for(&failure)).await.ok();
            Err(failure)
        }
    }
}

/// Reads what the client wants: `HOST:PORT`.
async fn negotiate(io: &mut dyn Io) -> io::Result<String> {
    let bad = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    if io.read_u8().await? != VERSION {
        return Err(bad("this is not SOCKS5"));
    }
    let mut methods = vec![0; io.read_u8().await?.into()];
    io.read_exact(&mut methods).await?;
    if !methods.contains(&NO_AUTHENTICATION) {
        io.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(bad("the client wants to authenticate itself, which nobody asks for here"));
    }
    io.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    if version != VERSION {
        return Err(bad("this is not SOCKS5"));
    }
    let host = match kind {
        IPV4 => std::net::Ipv4Addr::from(io.read_u32().await?).to_string(),
        IPV6 => format!("[{}]", std::net::Ipv6Addr::from(io.read_u128().await?)),
        NAME => {
            let mut name = vec![0; io.read_u8().await?.into()];
            io.read_exact(&mut name).await?;
            String::from_utf8(name).map_err(|_| bad("a name that is no text"))?
        }
        _ => {
            reply(io, ADDRESS_KIND_UNKNOWN).await?;
            return Err(bad("an address of a kind that is not known"));
        }
    };
    let destination = format!("{host}:{}", io.read_u16().await?);
    if command != CONNECT {
        reply(io, COMMAND_UNKNOWN).await?;
        return Err(bad("a command other than CONNECT"));
    }
    if destination.len() > DESTINATION_BYTES_MAX {
        return Err(bad("a name longer than any of DNS"));
    }
    Ok(destination)
}

/// Answers, with an address that no client looks at.
async fn reply(io: &mut dyn Io, code: u8) -> io::Result<()> {
    io.write_all(&[VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]).await
}

const fn reply_for(failure: &Failure) -> u8 {
    use crate::forward::Reason;
    match failure.reason() {
        Reason::UnknownService => NOT_ALLOWED,
        Reason::TargetUnreachable => HOST_UNREACHABLE,
        _ => GENERAL_FAILURE,
    }
}

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const HOST_UNREACHABLE: u8 = 4;
const COMMAND_UNKNOWN: u8 = 7;
const ADDRESS_KIND_UNKNOWN: u8 = 8;

/// A client on this machine has said what it wants by then.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
