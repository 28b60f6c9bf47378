//! What a service manager is told: that the daemon is ready, reloads, ends, how it is, and that it lives.
//!
//! This is systemd's protocol, sd_notify(3): lines of `NAME=VALUE` in one datagram to the Unix domain socket that
//! `NOTIFY_SOCKET` names. Where there is none, nothing is said.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{Daemon, config};

/// Whom to tell. Clones tell the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manager(Option<Arc<socket::Socket>>);

impl Manager {
    /// The one that started this process, if one did.
    pub(crate) fn of_process() -> Self {
        Self(config::notify_socket().and_then(|name| socket::Socket::new(&name)).map(Arc::new))
    }

    /// The configuration is being read again. [`ready`](Self::ready) says that it was.
    pub(crate) fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", socket::monotonic_usec()));
    }

    pub(crate) fn ready(&self) {
        self.say("READY=1");
    }

    /// Says that the daemon is ready, and from now on how it is and that it lives, until it ends.
    pub(crate) fn follow(&self, daemon: &Daemon) -> Option<AbortOnDropHandle<()>> {
        self.0.as_ref()?;
        self.say(&format!("READY=1\nSTATUS={}", summary(daemon)));
        let (manager, daemon) = (self.clone(), daemon.clone());
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let shutdown = daemon.shutdown().clone();
            let told = async {
                let looked = daemon.clone();
                tokio::join!(
                    manager.tell_status(&daemon),
                    manager.beat(config::watchdog(), move || {
                        let daemon = looked.clone();
                        // On a thread of its own turn: it takes the daemon's locks, as serving does.
                        tokio::spawn(async move { drop(daemon.status()) })
                    })
                );
            };
            p2p::select! {
                () = shutdown.requested() => {}
                () = told => {}
            }
            // What is open may take longer than the manager would wait.
            let drain = (shutdown.drain() + ENDING).as_micros();
            manager.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={drain}\nSTATUS=Ending; what is open may finish."));
        })))
    }

    async fn tell_status(&self, daemon: &Daemon) {
        let mut said = String::new();
        loop {
            let now = summary(daemon);
            if now != said {
                self.say(&format!("STATUS={now}"));
                said = now;
            }
            tokio::time::sleep(STATUS_PERIOD).await;
        }
    }

    /// Says twice in each period of the watchdog that the daemon lives, if `look` comes to its end. A look that hangs, on a
    /// lock or because no thread runs tasks any more, is followed by silence and then by the manager's restart.
    async fn beat(&self, watchdog: Option<Duration>, look: impl Fn() -> JoinHandle<()>) {
        let Some(period) = watchdog.map(|watchdog| watchdog / 2) else { return std::future::pending().await };
        loop {
            if let Ok(Ok(())) = timeout(period, look()).await {
                self.say("WATCHDOG=1");
            }
            tokio::time::sleep(period).await;
        }
    }

    /// A manager that does not listen is no reason to do anything else.
    fn say(&self, lines: &str) {
        if let Some(socket) = &self.0 {
            socket.send(lines);
        }
    }
}

/// One line for `systemctl status`.
fn summary(daemon: &Daemon) -> String {
    let status = daemon.status();
    let streams: u64 = status.rules.iter().map(|rule| rule.counters.streams + rule.counters.flows).sum();
    let problem = status.checks.iter().find_map(|check| Some(format!("{}: {}", check.name, check.problem.as_ref()?)));
    let rules = status.rules.iter().find_map(|rule| Some(format!("{}: {}", rule.name, rule.problem.as_ref()?)));
    let problem = problem.or(rules).map(|problem| format!("; {}", problem.replace('\n', " "))).unwrap_or_default();
    format!("{} rules, {} peers, {streams} streams{problem}", status.rules.len(), status.peers.len())
}

/// Between looks at what `STATUS=` says.
const STATUS_PERIOD: Duration = Duration::from_secs(2);

/// After the drain, for peers to be told.
const ENDING: Duration = Duration::from_secs(10);

#[cfg(unix)]
mod socket {
    use std::{
        ffi::OsStr,
        os::unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    };

    /// Where the manager listens.
    #[derive(Debug)]
    pub(super) struct Socket {
        datagrams: UnixDatagram,
        addr: SocketAddr,
    }

    impl Socket {
        /// For a path, or after `@` a name of Linux's abstract sockets.
        pub(super) fn new(name: &OsStr) -> Option<Self> {
            let addr = match name.as_bytes().split_first() {
                Some((b'/', _)) => SocketAddr::from_pathname(name).ok()?,
                Some((b'@', name)) => abstract_addr(name)?,
                _ => return None,
            };
            let datagrams = UnixDatagram::unbound().ok()?;
            datagrams.set_nonblocking(true).ok()?;
            Some(Self { datagrams, addr })
        }

        pub(super) fn send(&self, lines: &str) {
            self.datagrams.send_to_addr(lines.as_bytes(), &self.addr).ok();
        }
    }

    #[cfg(target_os = "linux")]
    fn abstract_addr(name: &[u8]) -> Option<SocketAddr> {
        use std::os::linux::net::SocketAddrExt;
        SocketAddr::from_abstract_name(name).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn abstract_addr(_: &[u8]) -> Option<SocketAddr> {
        None
    }

    /// The monotonic clock's microseconds, by which the manager orders what it is told.
    pub(super) fn monotonic_usec() -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }
}

#[cfg(not(unix))]
mod socket {
    #[derive(Debug)]
    pub(super) struct Socket;

    impl Socket {
        pub(super) const fn new(_: &std::ffi::OsStr) -> Option<Self> {
            None
        }

        pub(super) const fn send(&self, _: &str) {}
    }

    pub(super) const fn monotonic_usec() -> i64 {
        0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::{linux::net::SocketAddrExt, unix::net};

    use super::*;

    fn manager(name: &str) -> (net::UnixDatagram, Manager) {
        let addr = net::SocketAddr::from_abstract_name(name).unwrap();
        let there = net::UnixDatagram::bind_addr(&addr).unwrap();
        there.set_nonblocking(true).unwrap();
        let socket = socket::Socket::new(format!("@{name}").as_ref()).unwrap();
        (there, Manager(Some(Arc::new(socket))))
    }

    // Time is tokio's, so the ten seconds take none.
    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_hangs_is_silent_and_one_that_lives_is_not() {
        let (there, manager) = manager(&format!("p2pd-test-{}", std::process::id()));
        let within = Duration::from_secs(10);
        let watchdog = Some(Duration::from_secs(2));
        timeout(within, manager.beat(watchdog, || tokio::spawn(std::future::pending()))).await.unwrap_err();
        assert_eq!(there.recv(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);

        timeout(within, manager.beat(watchdog, || tokio::spawn(async {}))).await.unwrap_err();
        let mut beats = 0;
        let mut said = [0; 64];
        while let Ok(len) = there.recv(&mut said) {
            assert_eq!(&said[..len], b"WATCHDOG=1");
            beats += 1;
        }
        assert!((9..=11).contains(&beats), "two in each period: {beats}");
    }

    #[test]
    fn a_name_that_is_no_socket_is_passed_over() {
        for name in ["", "relative/path", "vsock:2:1234"] {
            assert!(socket::Socket::new(name.as_ref()).is_none(), "{name}");
        }
    }
}
