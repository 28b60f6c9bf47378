//! The network's settings, and the one place that reads the `SIMULATOR_P2P_*` environment.

use std::{fmt, time::Duration};

use p2p::P2PError;

pub use crate::link::{LinkConfig, SEGMENT_BYTES};
use crate::{Plan, Probability, Topology, nearest::nearest};

/// Everything that decides how a simulated network behaves. With the program it runs, this is the whole of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatorConfig {
    /// Chooses every random outcome. Defaults to 0.
    pub seed: u64,
    /// What each link is like until told otherwise.
    pub link: LinkConfig,
    /// How long a connection's data may be held up by a partition before its sender gives up. Defaults to 60 s.
    ///
    /// This is the transport's own patience, beyond the idle timeout that
    /// [`ConnectionConfig`](p2p::ConnectionConfig) asks for.
    pub unacknowledged_max: Duration,
    /// What goes wrong, and when. Defaults to nothing.
    pub plan: Plan,
    /// Which relays there are, and which routers peers are behind. Defaults to none: all peers are in public.
    pub topology: Topology,
    /// How many seeds a test made by [`simulate!`](crate::simulate) runs, from [`seed`](Self::seed) on; nothing if as it
    /// says itself. Of no concern to a single run.
    pub runs: Option<u64>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            link: LinkConfig::default(),
            unacknowledged_max: Duration::from_secs(60),
            plan: Plan::new(),
            topology: Topology::new(),
            runs: None,
        }
    }
}

/// One line that holds every setting, as it stands in a trace's header.
impl fmt::Display for SimulatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed={} unacknowledged_max_ns={} {}", self.seed, self.unacknowledged_max.as_nanos(), self.link)?;
        if !self.plan.is_empty() {
            let hash = blake3::hash(self.plan.to_string().as_bytes());
            write!(f, " plan={} entries {}", self.plan.entries().len(), hash.to_hex())?;
        }
        if !self.topology.is_empty() {
            let Topology { relays, routers } = &self.topology;
            let hash = blake3::hash(self.topology.to_string().as_bytes());
            write!(f, " topology={} relays {} routers {}", relays.len(), routers.len(), hash.to_hex())?;
        }
        Ok(())
    }
}

impl SimulatorConfig {
    /// The defaults, with that seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Sets what links are like.
    #[must_use]
    pub const fn with_link(mut self, link: LinkConfig) -> Self {
        self.link = link;
        self
    }

    /// Sets which relays there are, and which routers peers are behind.
    #[must_use]
    pub fn with_topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// The settings of this process's environment; see [`from_vars`](Self::from_vars).
    ///
    /// # Errors
    /// As [`from_vars`](Self::from_vars).
    pub fn from_env() -> Result<Self, P2PError> {
        Self::from_vars(std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            // A value that is no text is kept, so that it is refused where it concerns us.
            Some((name, value.to_string_lossy().into_owned()))
        }))
    }

    /// The defaults, changed by those of `vars` whose names begin with `SIMULATOR_P2P_`.
    ///
    /// | name | default | |
    /// |---|---|---|
    /// | `SIMULATOR_P2P_SEED` | 0 | chooses every random outcome |
    /// | `SIMULATOR_P2P_LATENCY_MS` | 50 | from one peer to another |
    /// | `SIMULATOR_P2P_JITTER_MS` | 0 | added to the latency at most |
    /// | `SIMULATOR_P2P_PACKET_LOSS` | 0.01 | chance that a segment is lost |
    /// | `SIMULATOR_P2P_FAILURE_RATE` | 0.001 | chance that a dial fails |
    /// | `SIMULATOR_P2P_BANDWIDTH_MBIT` | 100 | per directed link; 0 is no bound |
    /// | `SIMULATOR_P2P_QUEUE_BYTES` | 262144 | in front of a busy link |
    /// | `SIMULATOR_P2P_RUNS` | the test's | seeds that a test of `simulate!` runs |
    /// | `SIMULATOR_P2P_PLAN` | none | a file with a [`Plan`] in TOML |
    /// | `SIMULATOR_P2P_TOPOLOGY` | none | a file with a [`Topology`] in TOML |
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) for a name that is not in the table, with the nearest one that is, and for
    /// a value that cannot be read or is out of range.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, P2PError> {
        let mut config = Self::default();
        for (name, value) in vars {
            let Some(setting) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let Some((_, read)) = SETTINGS.iter().find(|(known, _)| *known == setting) else {
                return Err(unknown(&name, setting));
            };
            read(&mut config, value.trim())
                .map_err(|expected| P2PError::invalid_input(format_args!("{name} = {value:?}"), expected))?;
        }
        Ok(config)
    }
}

const PREFIX: &str = "SIMULATOR_P2P_";

/// Changes one setting, or says what was expected.
type Read = fn(&mut SimulatorConfig, &str) -> Result<(), String>;

const SETTINGS: [(&str, Read); 10] = [
    ("SEED", |config, text| {
        config.seed = whole(text, 0, u64::MAX, "")?;
        Ok(())
    }),
    ("LATENCY_MS", |config, text| {
        config.link.latency = millis(text)?.into();
        Ok(())
    }),
    ("JITTER_MS", |config, text| {
        config.link.jitter = millis(text)?;
        Ok(())
    }),
    ("PACKET_LOSS", |config, text| {
        config.link.loss = chance(text)?;
        Ok(())
    }),
    ("FAILURE_RATE", |config, text| {
        config.link.dial_failure = chance(text)?;
        Ok(())
    }),
    ("BANDWIDTH_MBIT", |config, text| {
        let mbit = whole(text, 0, BANDWIDTH_MBIT_MAX, " of Mbit/s, 0 for no bound")?;
        config.link.bandwidth = (mbit > 0).then_some(mbit * 125_000);
        Ok(())
    }),
    ("QUEUE_BYTES", |config, text| {
        config.link.queue_bytes_max = whole(text, SEGMENT_BYTES as u64, QUEUE_BYTES_CEILING, " of bytes")?;
        Ok(())
    }),
    ("RUNS", |config, text| {
        config.runs = Some(whole(text, 1, u64::MAX, " of seeds")?);
        Ok(())
    }),
    ("PLAN", |config, path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("a file with a plan: {error}"))?;
        config.plan = text.parse().map_err(|error: P2PError| format!("a file with a plan: {error}"))?;
        Ok(())
    }),
    ("TOPOLOGY", |config, path| {
        let text = std::fs::read_to_string(path).map_err(|error| format!("a file with a topology: {error}"))?;
        config.topology = text.parse().map_err(|error: P2PError| format!("a file with a topology: {error}"))?;
        Ok(())
    }),
];

/// A minute: longer than any path on earth, and than the deadline of any handshake.
const LATENCY_MS_MAX: u64 = 60_000;
/// 1 Tbit/s: at most 125 bytes a nanosecond, so integer times stay meaningful.
const BANDWIDTH_MBIT_MAX: u64 = 1_000_000;
/// 1 GiB, the largest queue that can be configured.
const QUEUE_BYTES_CEILING: u64 = 1 << 30;

fn millis(text: &str) -> Result<Duration, String> {
    whole(text, 0, LATENCY_MS_MAX, " of milliseconds").map(Duration::from_millis)
}

fn chance(text: &str) -> Result<Probability, String> {
    text.parse().map_err(|_| "a decimal number from 0 to 1, such as 0.01".into())
}

fn whole(text: &str, min: u64, max: u64, unit: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("a whole number{unit}, from {min} to {max}"))
}

fn unknown(name: &str, setting: &str) -> P2PError {
    let nearest = nearest(setting, SETTINGS.iter().map(|(known, _)| *known)).expect("there are settings");
    P2PError::invalid_input(
        format_args!("environment variable {name}"),
        format_args!("a setting of the simulator; the nearest is {PREFIX}{nearest}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<SimulatorConfig, P2PError> {
        SimulatorConfig::from_vars(vars.iter().map(|(name, value)| (name.to_string(), value.to_string())))
    }

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let config = read(&[("PATH", "/bin"), ("P2P_LISTEN_PORT", "x")]).unwrap();
        assert_eq!(config, SimulatorConfig::default());
        assert_eq!(
            config.to_string(),
            "seed=0 unacknowledged_max_ns=60000000000 latency_ns=50000000 jitter_ns=0 loss=0.01 \
             dial_failure=0.001 bandwidth=12500000 queue_bytes_max=262144 reorder=0 duplication=0 corruption=0 \
             mtu_bytes=1200"
        );
    }

    #[test]
    fn every_setting_is_read() {
        let config = read(&[
            ("SIMULATOR_P2P_SEED", "18446744073709551615"),
            ("SIMULATOR_P2P_LATENCY_MS", "7"),
            ("SIMULATOR_P2P_JITTER_MS", "3"),
            ("SIMULATOR_P2P_PACKET_LOSS", "0.25"),
            ("SIMULATOR_P2P_FAILURE_RATE", "1"),
            ("SIMULATOR_P2P_BANDWIDTH_MBIT", "0"),
            ("SIMULATOR_P2P_QUEUE_BYTES", "5000"),
        ])
        .unwrap();
        assert_eq!(config.seed, u64::MAX);
        assert_eq!(
            config.link,
            LinkConfig {
                latency: Duration::from_millis(7).into(),
                jitter: Duration::from_millis(3),
                loss: Probability::percent(25),
                dial_failure: Probability::ALWAYS,
                bandwidth: None,
                queue_bytes_max: 5000,
                ..LinkConfig::default()
            }
        );
    }

    #[test]
    fn a_value_that_cannot_be_used_names_itself_and_what_was_expected() {
        for (name, value, expected) in [
            ("SIMULATOR_P2P_LATENCY_MS", "fast", "milliseconds"),
            ("SIMULATOR_P2P_LATENCY_MS", "-1", "from 0 to 60000"),
            ("SIMULATOR_P2P_LATENCY_MS", "60001", "from 0 to 60000"),
            ("SIMULATOR_P2P_PACKET_LOSS", "1.01", "from 0 to 1"),
            ("SIMULATOR_P2P_FAILURE_RATE", "", "from 0 to 1"),
            ("SIMULATOR_P2P_SEED", "0x7", "a whole number"),
            ("SIMULATOR_P2P_BANDWIDTH_MBIT", "1e9", "Mbit/s"),
            ("SIMULATOR_P2P_QUEUE_BYTES", "1199", "from 1200"),
            ("SIMULATOR_P2P_RUNS", "0", "from 1"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            for part in [name, &format!("{value:?}"), expected] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        }
    }

    #[test]
    fn a_plan_is_read_from_the_file_that_is_named() {
        let file = std::env::temp_dir().join(format!("p2p-simulator-plan-{}.toml", std::process::id()));
        std::fs::write(&file, "[[fault]]\nid='x'\nat='1s'\nwhat='clog'\nwhere='*'").unwrap();
        let path = file.to_str().unwrap();
        let config = read(&[("SIMULATOR_P2P_PLAN", path)]).unwrap();
        assert_eq!(config.plan.entries()[0].id, "x");
        assert!(config.to_string().contains(" plan=1 entries "));
        std::fs::write(&file, "[[fault]]\nid='x'").unwrap();
        let error = read(&[("SIMULATOR_P2P_PLAN", path)]).unwrap_err().to_string();
        assert!(error.contains("SIMULATOR_P2P_PLAN") && error.contains("at"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let error = read(&[("SIMULATOR_P2P_PLAN", path)]).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains("a file with a plan"), "{error}");
    }

    #[test]
    fn a_topology_is_read_from_the_file_that_is_named() {
        let file = std::env::temp_dir().join(format!("p2p-simulator-topology-{}.toml", std::process::id()));
        std::fs::write(&file, "[[router]]\nname='home'\nnat='strict'\npeers=['a']").unwrap();
        let vars = [("SIMULATOR_P2P_TOPOLOGY", file.to_str().unwrap())];
        let config = read(&vars).unwrap();
        assert_eq!(config.topology.routers[0].nat, crate::Nat::STRICT);
        assert!(config.to_string().contains(" topology=0 relays 1 routers "));
        std::fs::write(&file, "[[router]]\nname='home'\nnat='stict'").unwrap();
        let error = read(&vars).unwrap_err().to_string();
        assert!(error.contains("SIMULATOR_P2P_TOPOLOGY") && error.contains("nearest is \"strict\""), "{error}");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_nearest() {
        let error = read(&[("SIMULATOR_P2P_LATENCY", "50")]).unwrap_err().to_string();
        assert!(error.contains("SIMULATOR_P2P_LATENCY is"), "{error}");
        assert!(error.contains("SIMULATOR_P2P_LATENCY_MS"), "{error}");
        let error = read(&[("SIMULATOR_P2P_PACKETLOSS", "0")]).unwrap_err();
        assert!(error.to_string().contains("SIMULATOR_P2P_PACKET_LOSS"));
    }
}
