//! The processes: each says in one line where it is, and lives until its standard input ends.

use std::{io::Read, process::Stdio};

use p2p::{P2PProvider, Ticket};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Duration, timeout},
};

use super::{Result, ways};
use crate::ways::Ways;

/// Starts each part as a process of its own.
pub(super) async fn start() -> Result<Ways> {
    let mut origin = Part::start(&["origin"])?;
    let direct = origin.says().await?;
    let mut gateway = Part::start(&["gateway"])?;
    let app = gateway.says().await?;
    let mut home = Part::start(&["home", &app, &direct])?;
    gateway.tell(&home.says().await?).await?;
    let bridge = gateway.says().await?;
    let mut server = Part::start(&["server"])?;
    let (tunnel, token) = (server.says().await?, server.says().await?);
    let mut sender = Part::start(&["sender", &tunnel, &token, &direct])?;
    sender.says().await?;
    let parts = [origin, gateway, home, server, sender].map(|part| Box::new(part) as Box<_>);
    let [direct, bridge, tunnel] = [direct, bridge, tunnel].map(|addr| addr.parse());
    Ok(Ways { direct: direct?, bridge: bridge?, tunnel: tunnel?, token, _parts: parts.into() })
}

struct Part {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Part {
    fn start(args: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--part").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or("it is piped")?;
        let lines = BufReader::new(child.stdout.take().ok_or("it is piped")?).lines();
        Ok(Self { _child: child, stdin, lines })
    }

    async fn says(&mut self) -> Result<String> {
        Ok(timeout(PATIENCE, self.lines.next_line()).await??.ok_or("a part ended before it was there")?)
    }

    async fn tell(&mut self, line: &str) -> Result {
        use tokio::io::AsyncWriteExt;
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Is one of them.
#[expect(clippy::print_stdout, reason = "what it says is how the others find it")]
pub(super) async fn be(part: Vec<String>) -> Result {
    let part: Vec<&str> = part.iter().map(String::as_str).collect();
    match *part {
        ["origin"] => println!("{}", ways::origin().await?),
        ["gateway"] => {
            let app = ways::peer().await?;
            println!("{}", app.local_peer_id());
            let home: Ticket = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).map(|_| line)
            })
            .await??
            .trim()
            .parse()?;
            println!("{}", ways::bridge_gateway(&app, home.addr).await?);
            return until_the_end(app).await;
        }
        ["home", app, origin] => {
            let home = ways::peer().await?;
            println!("{}", Ticket::new(ways::bridge_home(&home, app.parse()?, origin.parse()?).await?));
            return until_the_end(home).await;
        }
        ["server"] => {
            let (addr, token) = ways::tunnel_server().await?;
            println!("{addr}\n{token}");
        }
        ["sender", tunnel, token, origin] => {
            ways::tunnel_sender(tunnel.parse()?, token, origin.parse()?).await?;
            println!("connected");
        }
        _ => return Err(format!("{part:?} is no part").into()),
    }
    until_the_end(()).await
}

/// Keeps what it is given until nobody holds the other end of the standard input.
async fn until_the_end<T: Send + 'static>(kept: T) -> Result {
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    drop(kept);
    Ok(())
}
