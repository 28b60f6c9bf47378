//! Sockets of this machine whose connections go to a peer.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use p2p::chain;
use parking_lot::RwLock;
use tokio::{net::UdpSocket, sync::OwnedSemaphorePermit};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{
    header::{Header, Kind},
    local::Local,
    rules::Core,
    udp,
};
use crate::{
    Error,
    accept::Acceptor,
    daemon::Inner,
    proxy::{http_connect, socks5},
    rule::{Listen, Place, Protocols},
};

/// The sockets of one rule. They outlive a change of the rule, so that nobody is refused while it is made.
pub(crate) struct Sockets {
    pub(crate) listen: Listen,
    /// Which rule new connections are for.
    core: Arc<RwLock<Arc<Core>>>,
    /// Where they listen, with the ports that were picked if 0 was asked for.
    pub(crate) addrs: Vec<String>,
    /// The first of them, if it is one of the network.
    pub(crate) first: Option<SocketAddr>,
    _tasks: Vec<AbortOnDropHandle<()>>,
    #[cfg(unix)]
    _file: Option<UnixFile>,
}

/// Sockets that listen, before anybody is served.
#[derive(Debug)]
pub(crate) struct Bound {
    listen: Listen,
    tcp: Vec<Acceptor>,
    udp: Vec<UdpSocket>,
    #[cfg(unix)]
    unix: Option<(tokio::net::UnixListener, UnixFile)>,
}

impl Bound {
    /// Listens where a rule says; for both protocols where it does not say for which.
    pub(crate) async fn new(listen: &Listen, option: &'static str) -> Result<Self, Error> {
        let mut bound = Self {
            listen: listen.clone(),
            tcp: Vec::new(),
            udp: Vec::new(),
            #[cfg(unix)]
            unix: None,
        };
        match &listen.place {
            Place::Net(addr, ports) => {
                let protocols = listen.protocols.unwrap_or(Protocols::Tcp);
                for offset in 0..ports.count() {
                    let addr = SocketAddr::new(addr.ip(), ports.first() + offset);
                    bound.net(addr, protocols, option).await?;
                }
            }
            Place::Socks5(addr) | Place::HttpProxy(addr) => bound.net(*addr, Protocols::Tcp, option).await?,
            #[cfg(unix)]
            Place::Unix(path) => bound.unix = Some(UnixFile::bind(path)?),
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(Error::listen(listen, option, io::ErrorKind::Unsupported.into())),
        }
        Ok(bound)
    }

    async fn net(&mut self, addr: SocketAddr, protocols: Protocols, option: &'static str) -> Result<(), Error> {
        let mut addr = addr;
        if protocols.tcp() {
            let acceptor = Acceptor::bind(addr, option).await?;
            // Both at one port, the one that was picked.
            addr = acceptor.local_addr();
            self.tcp.push(acceptor);
        }
        if protocols.udp() {
            let socket = UdpSocket::bind(addr).await.map_err(|source| Error::Listen { addr, option, source })?;
            self.udp.push(socket);
        }
        Ok(())
    }

    /// Serves with that rule.
    pub(crate) fn start(self, core: Arc<Core>) -> Sockets {
        let current = Arc::new(RwLock::new(core));
        let tcp = self.tcp.iter().map(Acceptor::local_addr);
        let udp = self.udp.iter().filter_map(|socket| socket.local_addr().ok());
        let first = tcp.clone().chain(udp.clone()).next();
        let scheme = match self.listen.place {
            Place::Socks5(_) => "socks5",
            Place::HttpProxy(_) => "http-proxy",
            _ => "tcp",
        };
        let addrs = tcp.map(|addr| format!("{scheme}://{addr}")).chain(udp.map(|addr| format!("udp://{addr}")));
        #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix domain sockets are added"))]
        let mut addrs: Vec<_> = addrs.collect();
        let mut tasks = Vec::new();
        for (offset, acceptor) in (0..).zip(self.tcp) {
            tasks.push(accept_tcp(acceptor, offset, self.listen.place.clone(), current.clone()));
        }
        for (offset, socket) in (0..).zip(self.udp) {
            let current = current.clone();
            tasks.push(tokio::spawn(udp::listen(socket, offset, move || current.read().clone())));
        }
        #[cfg(unix)]
        let file = self.unix.map(|(listener, file)| {
            addrs.push(format!("unix:{}", file.0.display()));
            tasks.push(accept_unix(listener, current.clone()));
            file
        });
        Sockets {
            listen: self.listen,
            core: current,
            addrs,
            first,
            _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
            #[cfg(unix)]
            _file: file,
        }
    }
}

impl Sockets {
    /// New connections are for this rule from now on.
    pub(crate) fn set(&self, core: Arc<Core>) {
        *self.core.write() = core;
    }

    /// The rule that they are for.
    pub(crate) fn core(&self) -> Arc<Core> {
        self.core.read().clone()
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sockets").field(&self.addrs).finish()
    }
}

type Current = Arc<RwLock<Arc<Core>>>;

fn accept_tcp(mut acceptor: Acceptor, offset: u16, place: Place, current: Current) -> tokio::task::JoinHandle<()> {
    let counted = current.clone();
    acceptor.on_failure(move || counted.read().meter.failed_for(super::failure::Reason::Accept));
    tokio::spawn(async move {
        loop {
            // With no room, clients wait in the kernel's backlog.
            let Some((daemon, permit)) = room(&current).await else { return };
            let (tcp, _) = acceptor.accept().await;
            if let Ok(local) = Local::tcp(tcp) {
                start(&daemon, &current, local, offset, &place, permit);
            }
        }
    })
}

#[cfg(unix)]
fn accept_unix(listener: tokio::net::UnixListener, current: Current) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let Some((daemon, permit)) = room(&current).await else { return };
            match listener.accept().await {
                Ok((unix, _)) => {
                    let place = Place::Unix(std::path::PathBuf::new());
                    start(&daemon, &current, Local::unix(unix), 0, &place, permit);
                }
                Err(_) => tokio::time::sleep(crate::accept::PAUSE).await,
            }
        }
    })
}

/// Waits for room for one more connection.
async fn room(current: &Current) -> Option<(Weak<Inner>, OwnedSemaphorePermit)> {
    let weak = current.read().daemon.clone();
    let room = weak.upgrade()?.room.clone();
    Some((weak, room.acquire_owned().await.ok()?))
}

fn start(
    daemon: &Weak<Inner>,
    current: &Current,
    local: Local,
    port_offset: u16,
    place: &Place,
    permit: OwnedSemaphorePermit,
) {
    let (Some(daemon), core) = (daemon.upgrade(), current.read().clone()) else { return };
    let kind = match place {
        Place::Socks5(_) => Wanted::Socks5,
        Place::HttpProxy(_) => Wanted::HttpProxy,
        Place::Net(..) | Place::Unix(_) => Wanted::Bytes { port_offset },
    };
    daemon.spawn_local(carry(core, local, kind, permit));
}

/// How a local connection says where it wants to go.
enum Wanted {
    /// Not at all: it came to a port that has one service.
    Bytes {
        port_offset: u16,
    },
    Socks5,
    HttpProxy,
}

async fn carry(core: Arc<Core>, mut local: Local, wanted: Wanted, _permit: OwnedSemaphorePermit) {
    let _open = core.meter.open();
    let carried = match wanted {
        Wanted::Bytes { port_offset } => bytes(&core, &mut local, port_offset).await,
        Wanted::Socks5 => socks5::carry(&core, &mut local).await,
        Wanted::HttpProxy => http_connect::carry(&core, &mut local).await,
    };
    match carried {
        Ok(()) => local.close(),
        Err(failure) => {
            core.meter.failed(&failure);
            debug!(rule = %core.rule.name, error = chain(&failure), "A connection broke off.");
        }
    }
}

async fn bytes(core: &Core, local: &mut Local, port_offset: u16) -> Result<(), super::failure::Failure> {
    let session = core.session().await?;
    let header = Header { service: core.rule.service.clone(), kind: Kind::Bytes { port_offset } };
    let (stream, _token) = session.open(&header).await?;
    local.copy(stream, &core.meter).await
}

/// A socket's file, removed with it.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct UnixFile(std::path::PathBuf);

#[cfg(unix)]
impl UnixFile {
    /// Listens there. A file that a dead process left behind is in the way of nobody.
    pub(crate) fn bind(path: &std::path::Path) -> Result<(tokio::net::UnixListener, Self), Error> {
        use std::os::unix::{fs::FileTypeExt, net::UnixStream};

        let failed = |source| Error::File { path: path.to_owned(), doing: "listening on", source };
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
        if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = tokio::net::UnixListener::bind(path).map_err(failed)?;
        Ok((listener, Self(path.to_owned())))
    }
}

#[cfg(unix)]
impl Drop for UnixFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
