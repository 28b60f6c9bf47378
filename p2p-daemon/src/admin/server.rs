//! The HTTP server of the admin interface: where it listens, and how long a client may take.

use std::{convert::Infallible, fmt, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{
    Controls, Health,
    guard::{Guard, Reach},
    history::History,
    routes::Routes,
};
#[cfg(unix)]
use crate::forward::UnixFile;
use crate::{Daemon, Error, accept::Acceptor, forward::Io};

/// Where the admin interface listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddr {
    /// Nowhere.
    Off,
    /// There, or at any free port if that one is taken.
    Preferred(SocketAddr),
    /// There and nowhere else.
    Exactly(SocketAddr),
    /// At a Unix domain socket, for who may open the file.
    Unix(PathBuf),
}

/// `off`, an address, or `unix:PATH`.
impl FromStr for AdminAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = || "expected an address like 127.0.0.1:8801, unix:/run/p2pd/admin.sock, or `off`".to_owned();
        match text.strip_prefix("unix:") {
            Some("") => Err(expected()),
            Some(path) => Ok(Self::Unix(path.into())),
            None if text == "off" => Ok(Self::Off),
            None => text.parse().map(Self::Exactly).map_err(|_| expected()),
        }
    }
}

impl fmt::Display for AdminAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Preferred(addr) | Self::Exactly(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the admin interface can do, and for whom.
#[derive(Clone, Default)]
pub struct AdminOptions {
    /// What who asks has to have. Needed where others than this machine's users can ask.
    pub token: Option<String>,
    /// What can be done to the daemon.
    pub controls: Controls,
}

impl fmt::Debug for AdminOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminOptions").field("token", &self.token.is_some()).field("controls", &self.controls).finish()
    }
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct AdminServer {
    place: AdminAddr,
    /// Ended with it.
    _tasks: JoinSet<()>,
}

impl AdminServer {
    /// Listens and serves, if it is wanted.
    ///
    /// # Errors
    /// [`Error::AdminNotLoopback`] for an address that others can reach without a token, and [`Error::Listen`].
    pub async fn start(addr: AdminAddr, daemon: &Daemon, options: AdminOptions) -> Result<Option<Self>, Error> {
        match addr {
            AdminAddr::Off => Ok(None),
            AdminAddr::Exactly(addr) => Self::tcp(addr, daemon, options).await.map(Some),
            AdminAddr::Preferred(addr) => match Self::tcp(addr, daemon, options.clone()).await {
                Err(Error::Listen { .. }) => Self::tcp(SocketAddr::new(addr.ip(), 0), daemon, options).await.map(Some),
                started => started.map(Some),
            },
            #[cfg(unix)]
            AdminAddr::Unix(path) => {
                let socket = Listening::Unix(Socket::bind(&path)?);
                Ok(Some(Self::serving(AdminAddr::Unix(path), socket, daemon, options, Reach::Socket)))
            }
            #[cfg(not(unix))]
            AdminAddr::Unix(_) => {
                Err(Error::System { what: "Unix domain sockets", source: std::io::ErrorKind::Unsupported.into() })
            }
        }
    }

    async fn tcp(addr: SocketAddr, daemon: &Daemon, options: AdminOptions) -> Result<Self, Error> {
        let reach = if addr.ip().is_loopback() { Reach::Loopback } else { Reach::Network };
        if reach == Reach::Network && options.token.is_none() {
            return Err(Error::AdminNotLoopback { addr });
        }
        let acceptor = Acceptor::bind(addr, "--admin").await?;
        let place = AdminAddr::Exactly(acceptor.local_addr());
        Ok(Self::serving(place, Listening::Tcp(acceptor), daemon, options, reach))
    }

    fn serving(place: AdminAddr, listening: Listening, daemon: &Daemon, options: AdminOptions, reach: Reach) -> Self {
        let history = History::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(history.keep(daemon.clone()));
        let routes = Routes {
            daemon: daemon.clone(),
            health: Health::of(daemon),
            history,
            controls: options.controls,
            guard: Guard::new(reach, options.token.as_deref()),
        };
        tasks.spawn(serve(listening, Arc::new(routes)));
        Self { place, _tasks: tasks }
    }

    /// Where it listens, with the port that was picked.
    pub const fn place(&self) -> &AdminAddr {
        &self.place
    }

    /// Where to ask it: a URL without a path, or the socket.
    pub fn url(&self) -> String {
        match &self.place {
            AdminAddr::Unix(_) => self.place.to_string(),
            place => format!("http://{place}"),
        }
    }
}

/// Where connections come from.
enum Listening {
    Tcp(Acceptor),
    #[cfg(unix)]
    Unix(Socket),
}

impl Listening {
    async fn accept(&mut self) -> Box<dyn Io> {
        match self {
            Self::Tcp(acceptor) => Box::new(acceptor.accept().await.0),
            #[cfg(unix)]
            Self::Unix(socket) => Box::new(socket.accept().await),
        }
    }
}

/// A Unix domain socket that its owner alone may open.
#[cfg(unix)]
struct Socket {
    listener: tokio::net::UnixListener,
    _file: UnixFile,
}

#[cfg(unix)]
impl Socket {
    fn bind(path: &std::path::Path) -> Result<Self, Error> {
        use std::os::unix::fs::PermissionsExt;

        let (listener, file) = UnixFile::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|source| Error::File {
            path: path.to_owned(),
            doing: "closing to others",
            source,
        })?;
        Ok(Self { listener, _file: file })
    }

    async fn accept(&self) -> tokio::net::UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                // No descriptors are left, which passes.
                Err(_) => tokio::time::sleep(crate::accept::PAUSE).await,
            }
        }
    }
}

async fn serve(mut listening: Listening, routes: Arc<Routes>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = listening.accept().await;
        while connections.try_join_next().is_some() {}
        connections.spawn(answer(stream, routes.clone(), permit));
    }
}

async fn answer(stream: Box<dyn Io>, routes: Arc<Routes>, _permit: OwnedSemaphorePermit) {
    let service = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.answer::<hyper::body::Incoming>(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also ends connections that are kept alive and idle, so that they make room for others.
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(REQUEST_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A client that errs harms only itself.
    timeout(CONNECTION_TIMEOUT, connection).await.ok();
}

/// Connections answered at once. The next waits in the kernel's backlog.
const CONNECTIONS_MAX: usize = 32;

/// From the first byte of a request to the end of its headers, and from one request to the next.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest life of a connection. Prometheus reconnects without a word.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Bytes of the largest request head; hyper's least is 8 KiB.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
