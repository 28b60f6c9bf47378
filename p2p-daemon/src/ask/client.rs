//! One question to a daemon, over TCP or a Unix domain socket.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_LENGTH, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::{
    Error,
    admin::AdminAddr,
    config::{ADMIN_PORT_CONNECT, ADMIN_PORT_SHARE},
    forward::Io,
};

/// Asks the daemon at one place.
#[derive(Clone)]
pub(crate) struct Client {
    place: Place,
    token: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    /// The first of them where somebody listens.
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl Client {
    /// For the daemon that answers at `addr`; by default at one of the usual ports of this machine.
    ///
    /// # Errors
    /// [`Error::Ask`] for the address `off`.
    pub(crate) fn new(addr: Option<AdminAddr>, token: Option<String>) -> Result<Self, Error> {
        Self::at_ports(addr, [ADMIN_PORT_SHARE, ADMIN_PORT_CONNECT], token)
    }

    /// The same, with other ports for the default.
    pub(crate) fn at_ports(addr: Option<AdminAddr>, usual: [u16; 2], token: Option<String>) -> Result<Self, Error> {
        let place = match addr {
            None => Place::Tcp(usual.map(|port| (Ipv4Addr::LOCALHOST, port).into()).to_vec()),
            Some(AdminAddr::Preferred(addr) | AdminAddr::Exactly(addr)) => Place::Tcp(vec![addr]),
            Some(AdminAddr::Unix(path)) => Place::Unix(path),
            Some(AdminAddr::Off) => {
                let problem = "it is turned off: expected an address or unix:PATH with --admin".to_owned();
                return Err(Error::Ask { place: "off".to_owned(), problem });
            }
        };
        Ok(Self { place, token })
    }

    /// What stands at `path`.
    ///
    /// # Errors
    /// [`Error::Ask`] says why there is no answer, and what to do.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Error> {
        self.ask_for(Method::GET, path).await
    }

    /// Does what stands at `path`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post(&self, path: &str) -> Result<Bytes, Error> {
        self.ask_for(Method::POST, path).await
    }

    async fn ask_for(&self, method: Method, path: &str) -> Result<Bytes, Error> {
        let asking = async {
            let (stream, host) = self.connect().await?;
            self.ask(stream, &host, method, path).await.map_err(|problem| self.problem(problem))
        };
        let late = || self.problem(format!("no answer within {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect(&self) -> Result<(Box<dyn Io>, String), Error> {
        match &self.place {
            Place::Tcp(addrs) => {
                let mut problem = String::new();
                for addr in addrs {
                    match TcpStream::connect(addr).await {
                        Ok(tcp) => return Ok((Box::new(tcp), addr.to_string())),
                        Err(error) => problem = error.to_string(),
                    }
                }
                Err(self.problem(format!("{problem}. Does p2pd run? --admin says where it answers")))
            }
            #[cfg(unix)]
            Place::Unix(path) => match tokio::net::UnixStream::connect(path).await {
                Ok(unix) => Ok((Box::new(unix), "p2pd".to_owned())),
                Err(error) => Err(self.problem(format!("{error}. Does p2pd run, as this user?"))),
            },
            #[cfg(not(unix))]
            Place::Unix(_) => Err(self.problem("this system has no Unix domain sockets".to_owned())),
        }
    }

    async fn ask(&self, stream: Box<dyn Io>, host: &str, method: Method, path: &str) -> Result<Bytes, String> {
        let told = |error: hyper::Error| format!("it is no admin interface of p2pd: {error}");
        let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        // Ended with this set, when the answer is complete.
        let mut tasks = JoinSet::new();
        tasks.spawn(async { connection.await.ok() });
        let mut request = Request::builder().method(method).uri(path).header(HOST, host).header(CONTENT_LENGTH, 0);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|_| "the token has characters that no header can have")?;
        let response = requests.send_request(request).await.map_err(told)?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err("it asks for a token: set P2PD_ADMIN_TOKEN to the daemon's".to_owned());
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).map_err(|error| format!("its answer broke off: {error}"))?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said =
            String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(SAID_MAX).collect::<String>();
        Err(match said.is_empty() {
            true => format!("it answered {status}: is this p2pd's admin interface?"),
            false => format!("it answered {status}: {said}"),
        })
    }

    fn problem(&self, problem: String) -> Error {
        Error::Ask { place: self.to_string(), problem }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(addrs) => {
                let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
                f.write_str(&addrs.join(" and "))
            }
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

/// For an answer. A daemon that is busy gives one within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the largest answer: thousands of rules, peers and events.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Characters of a refusal's reason that are shown.
const SAID_MAX: usize = 400;
