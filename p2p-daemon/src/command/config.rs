//! `p2pd config` and `p2pd init`.

use std::{fs::OpenOptions, io::Write};

use p2p_providers::{Role, process_vars};

use super::up::file;
use crate::{
    Console, Error,
    cli::{ConfigCommand, InitArgs},
    config::{Config, Flags, TEMPLATE},
};

/// Checks the configuration, or shows it.
pub(super) fn config(command: ConfigCommand, console: Console) -> Result<(), Error> {
    let (path, show) = match command {
        ConfigCommand::Check { config } => (config, false),
        ConfigCommand::Show { config } => (config, true),
    };
    let path = file(path)?;
    let config = Config::load(Some(&path), process_vars(), &Flags::default())?;
    for warning in &config.warnings {
        console.line(format_args!("{} {warning}", console.yellow("Note:")));
    }
    let rules = config.rules()?;
    config.provider(Role::Listener)?;
    config.admin()?;
    if show {
        let shown = config.show();
        let width = |pick: fn(&(String, String, _)) -> &str| shown.iter().map(|row| pick(row).len()).max().unwrap_or(0);
        let (keys, values) = (width(|row| &row.0), width(|row| &row.1).min(VALUE_WIDTH_MAX));
        for (key, value, origin) in &shown {
            console.line(format_args!("{key:keys$}  {value:values$}  {}", console.dim(origin)));
        }
        return Ok(());
    }
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (shares, connects) = (count(rules.shares.len(), "share"), count(rules.connects.len(), "connect"));
    console.line(format_args!("{} {}: {shares}, {connects}.", console.green("All right:"), path.display()));
    Ok(())
}

/// Writes a file with everything there is to say, where there is none yet.
pub(super) fn init(args: InitArgs, console: Console) -> Result<(), Error> {
    let path = file(args.config)?;
    let failed = |source| Error::File { path: path.clone(), doing: "writing", source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(failed)?;
    console.line(format_args!("Wrote {}. Edit it, then run:\n", path.display()));
    let place = format!("--config {}", path.display());
    console.line(format_args!("  {}", console.bold(format_args!("p2pd config check {place}"))));
    console.line(format_args!("  {}", console.bold(format_args!("p2pd up {place}"))));
    Ok(())
}

/// Wider values push their origin to the right.
const VALUE_WIDTH_MAX: usize = 48;
