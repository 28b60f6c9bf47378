//! What a daemon is told: one TOML file, the environment, and flags, each before the one in front of it.
//!
//! [`Config::load`] reads the layers and says of each value where it came from; [`Settings`] is what they say together, and
//! `rules` turns that into what the daemon does. Nothing outside this module reads the environment or knows the file.
//!
//! # Map
//! - [`Settings`]: every key there is. `layers`: file under environment under flags. `problem`: what is wrong, with file,
//!   line and origin. `origins`: for `p2pd config show`.
//! - `rules`: settings as [`Rules`](crate::rule::Rules). `network`: settings as a provider's.
//! - `template`: what `p2pd init` writes. `watch`: when to read it again.
//! - `environment`: the variables that are none of these.

mod environment;
mod layers;
mod network;
mod origins;
mod problem;
mod rules;
mod settings;
mod template;
mod watch;

#[cfg(test)]
mod tests;

pub use self::{
    environment::{
        ADMIN_PORT_CONNECT, ADMIN_PORT_GATEWAY, ADMIN_PORT_SHARE, ADMIN_PORT_TUNNEL, ADMIN_PORT_TUNNEL_SEND,
        default_config_file, default_key_file,
    },
    layers::{Config, Flags},
    origins::Origin,
    problem::ConfigProblem,
    settings::Settings,
    template::TEMPLATE,
};
pub(crate) use self::{
    environment::{admin, admin_token, log_filter, no_color, notify_socket, provider, tunnel_secret, watchdog},
    settings::parse_duration,
    watch::Watcher,
};
