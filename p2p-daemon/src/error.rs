//! What keeps the daemon from doing what it was asked, in words for the person who asked.

use std::{error::Error as StdError, io, net::SocketAddr, path::PathBuf};

use p2p::P2PError;

use crate::config::ConfigProblem;

/// A situation that ends a command.
///
/// `Display` says what was wrong and what to do; [`p2p::chain`] adds the causes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A target is no address of a kind that can be shared.
    #[error(
        "target {given:?} is invalid ({problem}): expected tcp://HOST:PORT, like tcp://127.0.0.1:8080, or the same with \
         udp, tcp+udp or http, or unix:/PATH"
    )]
    Target {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What is no local address to listen at.
    #[error(
        "address {given:?} is invalid ({problem}): expected an address and a port, like 127.0.0.1:9000, or the same after \
         tcp://, udp://, tcp+udp://, socks5:// or http-proxy://, or unix:/PATH"
    )]
    ListenAddr {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Rules that do not go together.
    #[error("{problem}")]
    Rules {
        /// Which, and why.
        problem: String,
        /// Which of them to change: its kind, and its place among those of its kind.
        rule: Option<(&'static str, usize)>,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// A stream for a pipe did not come about, or broke.
    #[error("the pipe broke: {problem}")]
    Pipe {
        /// Why.
        problem: String,
    },
    /// A running daemon did not answer.
    #[error("no answer from p2pd at {place}: {problem}")]
    Ask {
        /// Where it was asked.
        place: String,
        /// Why there is none, and what to do.
        problem: String,
    },
    /// What stands for no peer.
    #[error("{why}")]
    Peer {
        /// Why not.
        why: String,
    },
    /// A peer was not measured.
    #[error("{problem}")]
    Measure {
        /// Why not.
        problem: String,
    },
    /// Files were not sent or received.
    #[error("{problem}")]
    Transfer {
        /// Why, and what to do.
        problem: String,
    },
    /// A file or a socket of the file system.
    #[error("{doing} {} failed", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A service's name cannot be used.
    #[error(
        "service name {given:?} is invalid: expected 1 to {} of a-z, 0-9, '-', '_' and '.'",
        crate::forward::ServiceName::BYTES_MAX
    )]
    ServiceName {
        /// What was given.
        given: String,
    },
    /// A ticket does not name the service that was asked for, or names several and none was asked for.
    #[error("the ticket names the services {offered}: choose one of them with --service")]
    ServiceChoice {
        /// The services in the ticket, separated by commas.
        offered: String,
    },
    /// A TCP port cannot be listened on.
    #[error("cannot listen on {addr}{}", listen_advice(.source, .option))]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The option that chooses another.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The admin interface would be open to other machines.
    #[error(
        "admin address {addr} is invalid without a token: set P2PD_ADMIN_TOKEN, which is then asked for, or choose a \
         loopback address like 127.0.0.1:{}",
        addr.port()
    )]
    AdminNotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The chosen provider cannot do what the command needs.
    #[error("`p2pd {command}` {problem}")]
    Unsupported {
        /// The command.
        command: &'static str,
        /// Why not, and what to do.
        problem: String,
    },
    /// There is no place for the key file.
    #[error("no place is known for the key file: set --key-file, or the environment variable HOME")]
    NoHome,
    /// Connections between peers: everything that [`P2PError`] tells apart.
    #[error(transparent)]
    P2P(#[from] P2PError),
    /// A certificate or its key cannot be used.
    #[error("certificate {what:?} cannot be used")]
    Certificate {
        /// The file, or the name it was to be made for.
        what: String,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Nobody could use the relay, or nobody knows who may.
    #[error(
        "the relay would be of no use to anybody: say who may use it, by --token-file, --allow or --open; \
         {problem}"
    )]
    RelayAccess {
        /// What is there of that.
        problem: String,
    },
    /// The relay did not start, or ended.
    #[error("the relay cannot run")]
    Relay {
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A part of the tunnel was asked for in a way that makes no sense.
    #[error("{problem}")]
    Tunnel {
        /// What was wrong, and what was expected.
        problem: String,
    },
    /// A part of the tunnel did not work.
    #[error("{problem}")]
    TunnelFailed {
        /// What, and why.
        problem: String,
    },
    /// A part of the demonstration did not work.
    #[error("the demo failed: {step}")]
    Demo {
        /// What was being done.
        step: String,
        /// Why it did not work.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The operating system refused something that every program needs.
    #[error("the system refused {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl Error {
    /// The process's exit code: 2 for what was asked wrongly, as for an unknown option; 1 for what did not work.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Target { .. }
            | Self::ListenAddr { .. }
            | Self::Rules { .. }
            | Self::Config(_)
            | Self::ServiceName { .. }
            | Self::Peer { .. }
            | Self::ServiceChoice { .. }
            | Self::AdminNotLoopback { .. }
            | Self::Unsupported { .. }
            | Self::Certificate { .. }
            | Self::RelayAccess { .. }
            | Self::Tunnel { .. }
            | Self::P2P(P2PError::InvalidInput { .. }) => 2,
            Self::Listen { .. }
            | Self::File { .. }
            | Self::Pipe { .. }
            | Self::Transfer { .. }
            | Self::Ask { .. }
            | Self::Measure { .. }
            | Self::NoHome
            | Self::P2P(_)
            | Self::Relay { .. }
            | Self::TunnelFailed { .. }
            | Self::Demo { .. }
            | Self::System { .. } => 1,
        }
    }

    /// A step of the demonstration failed because of `source`.
    pub(crate) fn demo(step: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Demo { step: step.into(), source: source.into() }
    }
}

fn listen_advice(source: &io::Error, option: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!(": another program has this port. End that program, or choose another address with {option}")
        }
        io::ErrorKind::PermissionDenied => {
            format!(": this port is reserved. Choose one above 1023 with {option}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(": this machine does not have that address. Choose another with {option}")
        }
        _ => String::new(),
    }
}
