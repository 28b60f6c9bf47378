//! The processes that take part.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::Result;

/// Two processes, one beside the service and one where it is to be had. Both end with this.
pub(crate) struct Contestant {
    /// Where the service is to be had.
    pub(crate) addr: SocketAddr,
    processes: [Process; 2],
}

impl Contestant {
    pub(crate) async fn p2pd(program: &Path, service: SocketAddr) -> Result<Self> {
        let (share, ticket) = p2pd_share(program, service, "off").await?;
        let (addr, connect) = p2pd_connect(program, &ticket, "off").await?;
        Self::ready(addr, [share, connect]).await
    }

    /// The same with an admin interface, which nobody asks; and the ticket, for others.
    pub(crate) async fn p2pd_watchable(program: &Path, service: SocketAddr) -> Result<(Self, String)> {
        let (share, ticket) = p2pd_share(program, service, ANY).await?;
        let (addr, connect) = p2pd_connect(program, &ticket, ANY).await?;
        Ok((Self::ready(addr, [share, connect]).await?, ticket))
    }

    /// The bytes of memory that the two take now.
    pub(crate) fn resident_bytes(&self) -> Result<[u64; 2]> {
        let [share, connect] = &self.processes;
        Ok([share.resident_bytes()?, connect.resident_bytes()?])
    }

    pub(crate) async fn dumbpipe(program: &Path, service: SocketAddr) -> Result<Self> {
        let addr = free_addr().await?;
        let mut listen = command(program, &["listen-tcp", "--host", &service.to_string()]);
        let mut listen = spawn(listen.stderr(Stdio::piped()))?;
        let ticket = word(listen.0.stderr.take().expect("it is piped"), "endpoint").await?;
        let mut connect = command(program, &["connect-tcp", "--addr", &addr.to_string(), &ticket]);
        Self::ready(addr, [listen, spawn(&mut connect)?]).await
    }

    /// Once the service answers there.
    async fn ready(addr: SocketAddr, processes: [Process; 2]) -> Result<Self> {
        answers(addr).await?;
        Ok(Self { addr, processes })
    }
}

/// Waits until the service answers there.
pub(crate) async fn answers(addr: SocketAddr) -> Result<()> {
    let answers = async {
        loop {
            if let Ok(tcp) = TcpStream::connect(addr).await
                && crate::load::ask(&mut tokio::io::BufReader::new(tcp)).await.is_ok()
            {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    Ok(timeout(PATIENCE, answers).await.map_err(|_| format!("nothing answers at {addr} within {PATIENCE:?}"))?)
}

async fn p2pd_share(program: &Path, service: SocketAddr, admin: &str) -> Result<(Process, String)> {
    let mut share = command(program, &["share", &format!("tcp://{service}"), "--port", "0", "--admin", admin]);
    let mut share = spawn(share.stdout(Stdio::piped()))?;
    let ticket = word(share.0.stdout.take().expect("it is piped"), "p2p1-").await?;
    Ok((share, ticket))
}

/// A peer with that ticket, and where it offers the service.
pub(crate) async fn p2pd_connect(program: &Path, ticket: &str, admin: &str) -> Result<(SocketAddr, Process)> {
    let addr = free_addr().await?;
    let connect = spawn(&mut command(program, &["connect", ticket, "--listen", &addr.to_string(), "--admin", admin]))?;
    Ok((addr, connect))
}

/// Ended when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    fn resident_bytes(&self) -> Result<u64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id()))?;
        let pages: u64 = statm.split(' ').nth(1).ok_or("no resident pages in /proc/…/statm")?.parse()?;
        Ok(pages * 4096)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Silent, unless told otherwise.
fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn spawn(command: &mut Command) -> Result<Process> {
    command.spawn().map(Process).map_err(|error| format!("{command:?}: {error}").into())
}

/// The first word that begins so. What is printed after it is read, too, so that nobody waits for room to print.
async fn word(output: impl Read + Send + 'static, beginning: &'static str) -> Result<String> {
    let (found, mut word) = mpsc::channel(1);
    thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(std::io::Result::ok);
        let words = lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        words.filter(|word| word.starts_with(beginning)).for_each(|word| drop(found.try_send(word)));
    });
    let word = timeout(PATIENCE, word.recv()).await;
    word.ok().flatten().ok_or_else(|| format!("no {beginning}… was printed within {PATIENCE:?}").into())
}

async fn free_addr() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}

/// Any free port of loopback for the admin interface.
const ANY: &str = "127.0.0.1:0";

/// For a start. dumbpipe alone waits 5 s for a relay where there is none.
const PATIENCE: Duration = Duration::from_secs(60);
