//! Where the programs come from.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::Result;

/// Builds this workspace's `p2pd` in release, with every feature it has by default.
pub(crate) fn p2pd() -> Result<PathBuf> {
    cargo(Command::new(env!("CARGO")).args(["build", "--release", "--locked", "--workspace", "--bin", "p2pd"]))?;
    // This program was built into the same folder, unless cargo was told otherwise for one of them.
    let here = std::env::current_exe()?;
    let built = here.with_file_name("p2pd");
    if built.exists() { Ok(built) } else { Err(format!("no {}; name it with --p2pd", built.display()).into()) }
}

/// Installs `dumbpipe` from the registry, unless it is there.
pub(crate) fn dumbpipe(scratch: &Path) -> Result<PathBuf> {
    let program = scratch.join("bin/dumbpipe");
    if !program.exists() {
        let version = format!("dumbpipe@{DUMBPIPE}");
        cargo(Command::new(env!("CARGO")).args(["install", "--locked", &version, "--root"]).arg(scratch))?;
    }
    Ok(std::path::absolute(program)?)
}

fn cargo(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// The version that the targets speak of.
const DUMBPIPE: &str = "0.40.1";
