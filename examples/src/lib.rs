//! Programs to read and run. Each stands alone in `src/bin/` and begins with the commands that run it:
//!
//! - `hello`: two peers in memory, on one screen. Start here.
//! - `echo`: the same over any provider, within one process or between two.
//! - `send_file`: a file from one machine to another.
//! - `migrate_tunnel`: off the legacy tunnel in four phases and back, with live numbers.
//!
//! What they share is no lesson, and is here: [`run`] shows warnings and errors to a person.

#![expect(clippy::print_stderr, reason = "programs speak to people")]

use std::{
    error::Error,
    future::Future,
    io::{self, IsTerminal},
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

/// The result of a program whose errors are read by people.
pub type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Runs a program. Prints its error with all causes, if it ends with one, and the warnings of the project's crates, or
/// what `RUST_LOG` asks for.
pub async fn run(program: impl Future<Output = Result>) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "off,p2p_providers=warn".into());
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).without_time().init();

    let Err(error) = program.await else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

/// The programs in the README compile, and the one that needs nothing but the simulator runs.
#[cfg(all(doctest, feature = "p2p-iroh", feature = "p2p-simulator"))]
#[doc = include_str!("../../README.md")]
struct Readme;
