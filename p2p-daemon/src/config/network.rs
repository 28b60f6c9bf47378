//! Settings as a provider's.

use p2p::P2PError;
use p2p_providers::{ProviderConfig, Role};

use super::{ConfigProblem, default_key_file, layers::Config, settings::beside};

impl Config {
    /// The provider that the settings ask for. What listens keeps its identity in the user's data folder if nobody says
    /// where.
    ///
    /// # Errors
    /// Names the key, variable or flag that cannot be used.
    pub fn provider(&self, role: Role) -> Result<ProviderConfig, ConfigProblem> {
        let of_simulator = self.vars.iter().filter(|(name, _)| name.starts_with("SIMULATOR_P2P_"));
        let of_simulator = of_simulator.map(|(name, value)| (name.clone(), value.clone()));
        let settings = self.settings.network.entries().into_iter().filter_map(|(key, value)| {
            let value = value?;
            // A path in the file is meant from where the file is.
            let in_file = matches!(self.origin(&["network", key]), super::origins::Origin::File { .. });
            let value = match key {
                "key_file" | "relay_ca_file" if in_file => {
                    beside(self.file.as_deref(), value).to_string_lossy().into_owned()
                }
                _ => value.to_owned(),
            };
            Some((format!("{PREFIX}{}", key.to_ascii_uppercase()), value))
        });
        let config = ProviderConfig::from_vars(role, settings.chain(of_simulator));
        let (mut config, _) = config.map_err(|error| self.of_provider(&error))?;
        if config.key_file.is_none() && role == Role::Listener {
            let problem = |error: crate::Error| self.problem(&["network", "key_file"], error.to_string());
            config.key_file = Some(default_key_file().map_err(problem)?);
        }
        Ok(config)
    }

    /// What the provider said of a variable, about the key that it stands for here.
    fn of_provider(&self, error: &P2PError) -> ConfigProblem {
        let P2PError::InvalidInput { what, expected } = error else {
            return self.problem(&["network"], error.chain());
        };
        match what.strip_prefix(PREFIX).and_then(|rest| rest.split_once(" = ")) {
            Some((name, value)) => self
                .problem(&["network", &name.to_ascii_lowercase()], format!("{value} is invalid: expected {expected}")),
            None => self.problem(&["network"], error.to_string()),
        }
    }
}

const PREFIX: &str = "P2P_";
