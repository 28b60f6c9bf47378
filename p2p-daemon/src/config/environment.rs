//! The variables that are no keys of the file, and where things are unless told otherwise.
//!
//! This is the only module here that reads variables: `HOME`, `XDG_DATA_HOME`, `XDG_CONFIG_HOME`, `P2PD_CONFIG`,
//! `P2PD_ADMIN_TOKEN`, `TUNNEL_ACCESS_TOKEN`, `NO_COLOR`, `RUST_LOG`, and those by which a service manager can be told things: `NOTIFY_SOCKET`,
//! `WATCHDOG_USEC`, `WATCHDOG_PID`. The rest go through [`process_vars`](p2p_providers::process_vars).

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use p2p_providers::{ProviderConfig, Role};

use crate::{Error, admin::AdminAddr, cli::PeerArgs};

/// The port of the admin interface of `p2pd share`, unless told otherwise.
pub const ADMIN_PORT_SHARE: u16 = 8801;

/// The port of the admin interface of `p2pd connect`, unless told otherwise. Another one, so that both run on one machine.
pub const ADMIN_PORT_CONNECT: u16 = 8802;

/// The port of the admin interface of `p2pd tunnel serve`, unless told otherwise.
pub const ADMIN_PORT_TUNNEL: u16 = 8803;

/// The port of the admin interface of `p2pd gateway`, unless told otherwise.
pub const ADMIN_PORT_GATEWAY: u16 = 8804;

/// The port of the admin interface of `p2pd tunnel send`, unless told otherwise.
pub const ADMIN_PORT_TUNNEL_SEND: u16 = 8805;

/// The provider of a command that hands out tickets or uses them: flags first, then the environment.
///
/// What listens keeps its identity in [`default_key_file`] if nobody says where.
pub(crate) fn provider(command: &'static str, role: Role, args: &PeerArgs) -> Result<ProviderConfig, Error> {
    let mut config = ProviderConfig::from_env(role)?;
    config.implementation.require_other_processes().map_err(|_| Error::Unsupported {
        command,
        problem: format!(
            "needs a network between processes, and the {}'s lives within one: unset P2P_IMPLEMENTATION or set it to \
             iroh, or see `P2P_IMPLEMENTATION={} p2pd demo`",
            config.implementation, config.implementation
        ),
    })?;
    if let Some(port) = args.port {
        config.listen_port = port;
    }
    if let Some(path) = &args.key_file {
        config.key_file = Some(path.clone());
    }
    if config.key_file.is_none() && role == Role::Listener {
        config.key_file = Some(default_key_file()?);
    }
    Ok(config)
}

/// Where the admin interface of a command listens that was given `flag`.
pub(crate) fn admin(flag: Option<AdminAddr>, default_port: u16) -> AdminAddr {
    flag.unwrap_or(AdminAddr::Preferred(SocketAddr::from((Ipv4Addr::LOCALHOST, default_port))))
}

/// Where the identity is kept unless told otherwise: `p2pd/key` in the folder for a user's data, which is
/// `$XDG_DATA_HOME` or `~/.local/share`, on macOS `~/Library/Application Support` and on Windows `~\AppData\Local`.
///
/// # Errors
/// [`Error::NoHome`].
pub fn default_key_file() -> Result<PathBuf, Error> {
    let in_home = |folder: &str| env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(folder));
    // A relative path there is to be ignored (XDG base directory specification).
    let xdg = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if cfg!(target_os = "macos") {
        in_home("Library/Application Support")
    } else if cfg!(windows) {
        in_home("AppData/Local")
    } else {
        xdg.or_else(|| in_home(".local/share"))
    };
    Ok(data.ok_or(Error::NoHome)?.join("p2pd").join("key"))
}

/// Where the configuration is unless a flag says otherwise: `$P2PD_CONFIG`, or `p2pd.toml` in the folder that the program is
/// started in if there is one, or `p2pd/p2pd.toml` in the folder for a user's configuration.
///
/// # Errors
/// [`Error::NoHome`].
pub fn default_config_file() -> Result<PathBuf, Error> {
    if let Some(path) = env::var_os("P2PD_CONFIG").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let here = PathBuf::from("p2pd.toml");
    if here.exists() {
        return Ok(here);
    }
    let xdg = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".config"));
    Ok(xdg.or_else(home).ok_or(Error::NoHome)?.join("p2pd").join("p2pd.toml"))
}

/// What who asks the admin interface has to have: `P2PD_ADMIN_TOKEN`.
pub(crate) fn admin_token() -> Option<String> {
    env::var("P2PD_ADMIN_TOKEN").ok().filter(|token| !token.is_empty())
}

/// By what homes register at a tunnel server: `TUNNEL_ACCESS_TOKEN`, the legacy programs' own name for it.
pub(crate) fn tunnel_secret() -> Option<String> {
    env::var("TUNNEL_ACCESS_TOKEN").ok().filter(|secret| !secret.is_empty())
}

/// Where a service manager wants to be told things, as sd_notify(3) has it.
pub(crate) fn notify_socket() -> Option<std::ffi::OsString> {
    env::var_os("NOTIFY_SOCKET")
}

/// Within which time it wants to hear again and again that this process lives, as sd_watchdog_enabled(3) has it.
pub(crate) fn watchdog() -> Option<std::time::Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|usec| ours && *usec > 0).map(std::time::Duration::from_micros)
}

/// Whether the person wants no colours (<https://no-color.org>).
pub(crate) fn no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// What to log, in the syntax of `tracing_subscriber`'s `EnvFilter`.
pub(crate) fn log_filter() -> Option<String> {
    env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}
