//! Taking a changed configuration.

use std::{path::PathBuf, sync::Arc};

use p2p_providers::process_vars;
use tracing::warn;

use crate::{
    Daemon, Error,
    config::{Config, Flags, Settings},
    daemon::Applied,
};

/// Reads the configuration of a daemon again and makes it the one that holds. Clones do the same.
#[derive(Debug, Clone)]
pub struct Reloader {
    daemon: Daemon,
    file: PathBuf,
    flags: Arc<Flags>,
    /// What the process was started with: some of it holds until its end.
    started: Arc<Settings>,
}

/// What came of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reloaded {
    /// Which rules are otherwise now.
    pub applied: Applied,
    /// Keys that are otherwise in the file, and count after a restart.
    pub needs_restart: Vec<&'static str>,
}

impl std::fmt::Display for Reloaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.applied)?;
        match self.needs_restart.is_empty() {
            true => Ok(()),
            false => write!(f, "; after a restart also {}", self.needs_restart.join(", ")),
        }
    }
}

impl Reloader {
    /// For a daemon that was started with `config`, which came from `file` and `flags`.
    pub fn new(daemon: Daemon, file: PathBuf, flags: Flags, config: &Config) -> Self {
        Self { daemon, file, flags: Arc::new(flags), started: Arc::new(config.settings.clone()) }
    }

    /// Reads the file and applies its rules. One that fails changes nothing, and is among the daemon's events.
    ///
    /// # Errors
    /// [`Error::Config`] says what is wrong, with file and line; and as [`Daemon::apply`].
    pub async fn reload(&self) -> Result<Reloaded, Error> {
        let result = self.try_reload().await;
        if let Err(error) = &result {
            let problem = p2p::chain(error).to_string();
            warn!(problem, "The configuration could not be used; everything stays as it was.");
            self.daemon.note_reload_failed(problem);
        }
        result
    }

    async fn try_reload(&self) -> Result<Reloaded, Error> {
        let config = Config::load(Some(&self.file), process_vars(), &self.flags)?;
        let rules = config.rules()?;
        // What holds at once has to be right as much as what counts later.
        config.provider(p2p_providers::Role::Listener)?;
        let applied = self.daemon.apply(rules).await?;
        let (started, now) = (&self.started, &config.settings);
        let later = [
            ("[network]", started.network != now.network),
            ("daemon.admin", started.daemon.admin != now.daemon.admin),
            ("daemon.drain", started.daemon.drain != now.daemon.drain),
            ("daemon.grace", started.daemon.grace != now.daemon.grace),
            ("daemon.watch", started.daemon.watch != now.daemon.watch),
        ];
        let needs_restart = later.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect();
        Ok(Reloaded { applied, needs_restart })
    }
}
