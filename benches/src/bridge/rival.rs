//! dumbpipe, which forwards a TCP port over iroh.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::Result;

/// Both of its ends, as processes of their own.
pub(super) struct Dumbpipe {
    pub(super) addr: SocketAddr,
    _ends: [Child; 2],
}

impl Dumbpipe {
    pub(super) async fn start(program: &Path, origin: SocketAddr) -> Result<Self> {
        let command = || {
            let mut command = Command::new(program);
            command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        let mut listening =
            command().args(["listen-tcp", "--host", &origin.to_string()]).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(listening.stderr.take().ok_or("it is piped")?).lines();
        let ticket = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(ticket) = line.split_whitespace().find(|word| word.starts_with("endpoint")) {
                    return Ok(ticket.to_owned());
                }
            }
            Err("dumbpipe printed no ticket".into())
        };
        let ticket: Result<String> = timeout(PATIENCE, ticket).await?;
        // Somebody has to read on, or it blocks.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let connecting =
            command().args(["connect-tcp", "--addr", &addr.to_string(), &ticket?]).stderr(Stdio::null()).spawn()?;
        let up = async {
            while TcpStream::connect(addr).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, up).await?;
        Ok(Self { addr, _ends: [listening, connecting] })
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
