//! Logs on stderr, as lines for people or as JSON for programs.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::config;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// A JSON object on each line, with `timestamp`, `level`, `message`, `target` and what there is to say
    Json,
}

/// Starts logging as `RUST_LOG` says, or by default what an operator should know: of us at `level` and above, and of the
/// libraries below only what they have no other way to say.
///
/// Does nothing in a process that logs already.
pub fn init(level: LevelFilter, format: LogFormat) {
    let filter = config::log_filter().unwrap_or_else(|| default_filter(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(io::stderr)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal() && !config::no_color());
    // A second subscriber is refused, which changes nothing.
    match format {
        LogFormat::Text => builder.with_target(false).try_init().ok(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init().ok(),
    };
}

fn default_filter(level: LevelFilter) -> String {
    let ours = ["p2p", "p2p_daemon", "p2p_iroh", "p2p_providers"].map(|name| format!(",{name}={level}"));
    // iroh calls the end of its own relay connections an error.
    format!("error,iroh::socket::transports::relay=off{}", ours.concat())
}
