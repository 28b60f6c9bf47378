//! Commands run inside one node's network namespace.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use patchbay::Router;

/// Where system tools live that a user's `PATH` often leaves out.
const SYSTEM_PATHS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Finds a program on `PATH` or among the system's tools.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_PATHS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs a short command on a router and returns what it printed.
///
/// Blocks the calling thread for the few milliseconds such a command takes.
pub(crate) fn run(router: &Router, program: &str, args: &[&str], input: &str) -> Result<String> {
    let path = find(program).with_context(|| format!("`{program}` is not installed"))?;
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = router.spawn_command_sync(command)?;
    child.stdin.take().expect("stdin was asked for").write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "`{program} {}` on {}: {}",
        args.join(" "),
        router.name(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
