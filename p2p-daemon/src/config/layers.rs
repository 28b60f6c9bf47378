//! File under environment under flags.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    origins::{self, Origin},
    problem::{ConfigProblem, Lines, nearest},
    settings::Settings,
};
use crate::admin::AdminAddr;

/// The settings of one daemon, and where each came from.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the layers say together.
    pub settings: Settings,
    /// The file, if one was read.
    pub file: Option<PathBuf>,
    /// What was ignored, for people.
    pub warnings: Vec<String>,
    pub(super) figment: Figment,
    pub(super) lines: Lines,
    pub(super) vars: BTreeMap<String, String>,
}

/// What flags say, each by the key of the file that it stands for.
#[derive(Debug, Clone, Default)]
pub struct Flags(Vec<(&'static str, &'static str, String)>);

impl Flags {
    /// Adds a flag, if it was given: `network.listen_port` by `--port`.
    #[must_use]
    pub fn with(mut self, key: &'static str, flag: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|value| (key, flag, value.to_string())));
        self
    }
}

impl Config {
    /// Reads a file, if there is to be one, and puts `vars` and then `flags` before it.
    ///
    /// # Errors
    /// [`ConfigProblem`] says what is wrong, in which file and line, variable or flag.
    pub fn load(
        file: Option<&Path>,
        vars: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, ConfigProblem> {
        let vars: BTreeMap<_, _> = vars.into_iter().filter(|(name, _)| name.contains("P2P")).collect();
        let text = file.map(|path| read(path).map_err(|why| ConfigProblem::of_file(path, why))).transpose()?;
        let lines = Lines::new(file, text.unwrap_or_default());
        let mut figment = Figment::new().merge(Layer::of_file(&lines)?);
        let mut warnings = Vec::new();
        for (name, value) in &vars {
            match key_of(name) {
                Some(key) => figment = figment.merge(Layer::one(format!("environment variable {name}"), &key, value)),
                None => warnings.extend(unknown(name)),
            }
        }
        for (key, flag, value) in &flags.0 {
            figment = figment.merge(Layer::one(format!("flag {flag}"), key, value));
        }
        let settings = figment.extract().map_err(|error| ConfigProblem::of_figment(&error, &lines))?;
        Ok(Self { settings, file: file.map(Path::to_owned), warnings, figment, lines, vars })
    }

    /// Where questions are to be answered, if it was said.
    ///
    /// # Errors
    /// If it is no address.
    pub fn admin(&self) -> Result<Option<AdminAddr>, ConfigProblem> {
        let invalid = |why: String| self.problem(&["daemon", "admin"], format!("it is invalid: {why}"));
        self.settings.daemon.admin.as_deref().map(str::parse).transpose().map_err(invalid)
    }

    /// Where the value of a key came from.
    pub(super) fn origin(&self, path: &[&str]) -> Origin {
        origins::of(&self.figment, &self.lines, path)
    }

    /// Says that the value of a key cannot be used.
    pub(super) fn problem(&self, path: &[&str], what: impl Into<String>) -> ConfigProblem {
        ConfigProblem {
            origin: self.origin(path),
            key: path.iter().map(|part| (*part).to_owned()).collect(),
            what: what.into(),
        }
    }
}

/// The text of a file of a size that a person would write.
fn read(path: &Path) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes, where at most {FILE_BYTES_MAX} are read", metadata.len()));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Variables with a meaning of their own.
const OTHERS: [&str; 3] = ["P2PD_CONFIG", "P2PD_ADMIN_TOKEN", "P2PD_LOG_FORMAT"];

/// The key that a variable stands for.
fn key_of(name: &str) -> Option<String> {
    let find = |prefix: &str, table: &str, keys: &[&str]| {
        let key = name.strip_prefix(prefix)?.to_ascii_lowercase();
        keys.contains(&key.as_str()).then(|| format!("{table}.{key}"))
    };
    find("P2PD_", "daemon", &DAEMON_KEYS).or_else(|| find("P2P_", "network", &NETWORK_KEYS))
}

fn unknown(name: &str) -> Option<String> {
    if !(name.starts_with("P2P_") || name.starts_with("P2PD_")) || OTHERS.contains(&name) {
        return None;
    }
    let known = DAEMON_KEYS.iter().map(|key| format!("P2PD_{}", key.to_ascii_uppercase()));
    let known: Vec<_> =
        known.chain(NETWORK_KEYS.iter().map(|key| format!("P2P_{}", key.to_ascii_uppercase()))).collect();
    let nearest = nearest(name, known.iter().map(String::as_str)).unwrap_or_default();
    Some(format!("environment variable {name} is not known and was ignored; the nearest is {nearest}"))
}

pub(super) const DAEMON_KEYS: [&str; 4] = ["admin", "drain", "grace", "watch"];
pub(super) const NETWORK_KEYS: [&str; 10] = [
    "implementation",
    "profile",
    "listen_port",
    "key_file",
    "bootstrap_peers",
    "relay_servers",
    "relay_token",
    "relay_ca_file",
    "lan_discovery",
    "port_mapping",
];

/// Values of one origin.
struct Layer {
    origin: String,
    values: Dict,
}

impl Layer {
    fn of_file(lines: &Lines) -> Result<Self, ConfigProblem> {
        let table = lines.table()?;
        let values = match Value::serialize(table) {
            Ok(Value::Dict(_, values)) => values,
            _ => Dict::new(),
        };
        Ok(Self { origin: FILE.to_owned(), values })
    }

    /// One value, at `table.key`.
    fn one(origin: String, key: &str, value: &str) -> Self {
        Self { origin, values: figment::util::nest(key, Value::from(value)).into_dict().unwrap_or_default() }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// What the file's layer is called.
pub(super) const FILE: &str = "file";

/// Bytes of the largest file: thousands of rules.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
