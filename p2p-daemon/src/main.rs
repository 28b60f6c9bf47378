//! The program: parses the command line, runs the command, reports an error on one line.

use std::process::ExitCode;

use clap::Parser;
use p2p_daemon::{
    Error,
    cli::Cli,
    command,
    logging::{self, LogFormat},
    open_files,
};
use tracing::level_filters::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    open_files::raise_limit();
    logging::init(if cli.command.prints_all() { LevelFilter::WARN } else { LevelFilter::INFO }, cli.log_format);
    let format = cli.log_format;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match format {
                LogFormat::Text => report(&error),
                LogFormat::Json => tracing::error!(exit_code = error.exit_code(), "{}", p2p::chain(&error)),
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|source| Error::System { what: "threads to run on", source })?;
    let result = runtime.block_on(command::run(cli));
    // A name lookup may hang in a thread of its own; nobody waits for it any more.
    runtime.shutdown_background();
    result
}

#[expect(clippy::print_stderr, reason = "this is where errors are reported")]
fn report(error: &Error) {
    eprintln!("p2pd: {}", p2p::chain(error));
}
