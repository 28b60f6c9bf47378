//! The one place that reads the `P2P_*` environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    fs::File,
    io::Read,
    net::SocketAddr,
};

use p2p::{P2PError, PeerAddr, PeerId, Result, Ticket};

use crate::{Profile, ProviderConfig, Role, Secret};

impl ProviderConfig {
    /// The settings of this process's environment; see [`from_vars`](Self::from_vars). Variables that are not known are
    /// logged as warnings.
    ///
    /// # Errors
    /// As [`from_vars`](Self::from_vars).
    pub fn from_env(role: Role) -> Result<Self> {
        let (config, unknown) = Self::from_vars(role, process_vars())?;
        for UnknownVariable { name, nearest } in unknown {
            tracing::warn!(name, nearest, "An environment variable is not known and was ignored.");
        }
        Ok(config)
    }

    /// The defaults for `role`, changed by those of `vars` whose names begin with `P2P_`, and those that are not known.
    ///
    /// | name | default | |
    /// |---|---|---|
    /// | `P2P_IMPLEMENTATION` | the first built in of `iroh`, `simulator`, `tunnel` | which provider |
    /// | `P2P_PROFILE` | `development` | or `production`; see [`Profile`] |
    /// | `P2P_LISTEN_PORT` | 8800 for what listens, else any | UDP port to bind; 0 is any free one |
    /// | `P2P_KEY_FILE` | a throwaway identity | file of the identity, made with mode 0600 if there is none |
    /// | `P2P_BOOTSTRAP_PEERS` | none | tickets of peers, separated by commas |
    /// | `P2P_RELAY_SERVERS` | none | URLs or host names of relays, separated by commas |
    /// | `P2P_RELAY_TOKEN` | none | what those relays ask for |
    /// | `P2P_RELAY_CA_FILE` | none | PEM file of authorities that may vouch for relays, beside the public ones |
    /// | `P2P_LAN_DISCOVERY` | `on` in development | or `off`; find and be found by mDNS |
    /// | `P2P_PORT_MAPPING` | `on` in development | or `off`; ask the router for a port |
    /// | `P2P_RELAY_ONLY` | `off` | or `on`: no UDP, and nobody but relays sees the address; turns the two above off |
    /// | `P2P_EXTERNAL_ADDRS` | none | addresses with ports at which peers reach this machine, separated by commas |
    /// | `P2P_PKARR_SERVER` | none | URL of a pkarr server, to be found and to find by identity |
    /// | `P2P_PUBLISH` | `relay` | or `nothing`, or `addresses`: what is told there |
    /// | `P2P_DNS_ORIGIN` | none | domain under which peers are looked up by DNS |
    /// | `P2P_NAME_SERVERS` | the system's | addresses with ports, separated by commas |
    /// | `P2P_CONGESTION` | `cubic` | or `bbr`, or `new-reno` |
    /// | `P2P_KEY_EXCHANGE` | `classical` | or `prefer-post-quantum`, or `only-post-quantum` |
    /// | `P2P_ALLOWED_PEERS` | everybody | identities, separated by commas, besides which nobody may connect |
    /// | `P2P_DENIED_PEERS` | nobody | identities, separated by commas |
    /// | `P2P_CONNECTIONS_MAX` | 1024 | connections at once |
    /// | `P2P_BUFFER_BYTES_MAX` | 939524096 | bytes that all connections together may keep |
    ///
    /// What is set is checked, whether the chosen implementation uses it or not. The simulator's own variables,
    /// `SIMULATOR_P2P_*`, are read where it is built in; its `SimulatorConfig` explains them. So are the tunnel's, `TUNNEL_P2P_*`, of
    /// `TunnelP2PConfig`. Of two values for one name
    /// the last counts, so a program can append its flags to the environment. One that has `P2P_` variables of its own
    /// leaves them out.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput) names the variable, its value and what was expected.
    pub fn from_vars<N: Into<String>, V: Into<String>>(
        role: Role,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(Self, Vec<UnknownVariable>)> {
        let vars: BTreeMap<String, String> =
            vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        // First, as the other defaults depend on it.
        let profile = match vars.get(PROFILE) {
            Some(value) => value.trim().parse().map_err(|error| invalid(PROFILE, value, Problem::from(error)))?,
            None => Profile::default(),
        };
        let mut config = Self::new(profile, role);
        let mut unknown = Vec::new();
        for (name, value) in vars.iter().filter(|(name, _)| name.starts_with(PREFIX) && *name != PROFILE) {
            match SETTINGS.iter().find(|(known, _)| known == name) {
                Some((_, read)) => {
                    read_value(&mut config, *read, value).map_err(|problem| invalid(name, value, problem))?;
                }
                None => unknown.push(UnknownVariable { name: name.clone(), nearest: nearest(name) }),
            }
        }
        // What would tell the address is off, unless somebody insists, who is then told that it cannot be.
        if config.relay_only {
            config.lan_discovery &= vars.contains_key("P2P_LAN_DISCOVERY");
            config.port_mapping &= vars.contains_key("P2P_PORT_MAPPING");
        }
        #[cfg(feature = "p2p-simulator")]
        {
            config.simulator = p2p_simulator::SimulatorConfig::from_vars(vars.clone())?;
        }
        #[cfg(feature = "p2p-tunnel")]
        {
            config.tunnel = tunnel_compat::tunnel_p2p::TunnelP2PConfig::from_vars(vars)?;
        }
        Ok((config, unknown))
    }
}

/// The environment of this process, for [`ProviderConfig::from_vars`].
pub fn process_vars() -> impl Iterator<Item = (String, String)> {
    // What is no UTF-8 is kept with marks in its place, by which it is refused where it concerns us.
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// A variable that begins like ours and is none, most likely a slip of the pen. It changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    /// As it was found.
    pub name: String,
    /// The variable that looks most like it.
    pub nearest: &'static str,
}

impl fmt::Display for UnknownVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable {} is not known and was ignored; the nearest is {}", self.name, self.nearest)
    }
}

const PREFIX: &str = "P2P_";
const PROFILE: &str = "P2P_PROFILE";

/// Changes one setting.
type ReadSetting = fn(&mut ProviderConfig, &str) -> Result<(), Problem>;

const SETTINGS: [(&str, ReadSetting); 21] = [
    ("P2P_IMPLEMENTATION", |config, text| {
        config.implementation = text.parse()?;
        Ok(config.implementation.require_built_in()?)
    }),
    ("P2P_LISTEN_PORT", |config, text| {
        config.listen_port = text.parse().map_err(|_| "a port, from 1 to 65535, or 0 for any free one")?;
        Ok(())
    }),
    ("P2P_KEY_FILE", |config, text| {
        config.key_file = Some(not_empty(text, "the path of a file")?.into());
        Ok(())
    }),
    ("P2P_BOOTSTRAP_PEERS", |config, text| {
        let addr = |ticket: &str| Ok(ticket.parse::<Ticket>()?.addr);
        config.bootstrap_peers = list(text).map(addr).collect::<Result<Vec<PeerAddr>>>()?;
        Ok(())
    }),
    ("P2P_RELAY_SERVERS", |config, text| {
        #[cfg(feature = "p2p-iroh")]
        p2p_iroh::RelayServer::parse_list(text)?;
        config.relay_servers = list(text).map(str::to_owned).collect();
        Ok(())
    }),
    ("P2P_RELAY_TOKEN", |config, text| {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::secret("a token of visible ASCII"));
        }
        config.relay_token = Some(Secret::from(text));
        Ok(())
    }),
    ("P2P_RELAY_CA_FILE", |config, text| {
        let pem = read_file(not_empty(text, "the path of a PEM file")?)?;
        #[cfg(feature = "p2p-iroh")]
        p2p_iroh::TrustRoots::none().with_pem(pem.as_bytes())?;
        config.relay_ca = Some(pem);
        Ok(())
    }),
    ("P2P_LAN_DISCOVERY", |config, text| {
        config.lan_discovery = switch(text)?;
        Ok(())
    }),
    ("P2P_PORT_MAPPING", |config, text| {
        config.port_mapping = switch(text)?;
        Ok(())
    }),
    ("P2P_RELAY_ONLY", |config, text| {
        config.relay_only = switch(text)?;
        Ok(())
    }),
    ("P2P_EXTERNAL_ADDRS", |config, text| {
        config.external_addrs = socket_addrs(text)?;
        Ok(())
    }),
    ("P2P_PKARR_SERVER", |config, text| {
        #[cfg(feature = "p2p-iroh")]
        p2p_iroh::PkarrServer::new(text)?;
        config.pkarr_server = Some(not_empty(text, "a URL, like https://dns.example/pkarr")?.into());
        Ok(())
    }),
    ("P2P_PUBLISH", |config, text| {
        config.publish = Some(one_of(&["nothing", "relay", "addresses"], text)?);
        Ok(())
    }),
    ("P2P_DNS_ORIGIN", |config, text| {
        #[cfg(feature = "p2p-iroh")]
        p2p_iroh::DnsOrigin::new(text)?;
        config.dns_origin = Some(not_empty(text, "a domain's name, like peers.example")?.into());
        Ok(())
    }),
    ("P2P_NAME_SERVERS", |config, text| {
        config.name_servers = socket_addrs(text)?;
        Ok(())
    }),
    ("P2P_CONGESTION", |config, text| {
        config.congestion = Some(one_of(&["cubic", "bbr", "new-reno"], text)?);
        Ok(())
    }),
    ("P2P_KEY_EXCHANGE", |config, text| {
        config.key_exchange = Some(one_of(&["classical", "prefer-post-quantum", "only-post-quantum"], text)?);
        Ok(())
    }),
    ("P2P_ALLOWED_PEERS", |config, text| {
        config.allowed_peers = Some(peers(text)?);
        Ok(())
    }),
    ("P2P_DENIED_PEERS", |config, text| {
        config.denied_peers = peers(text)?;
        Ok(())
    }),
    ("P2P_CONNECTIONS_MAX", |config, text| {
        config.connections_max = Some(text.parse().map_err(|_| "a number of connections")?);
        Ok(())
    }),
    ("P2P_BUFFER_BYTES_MAX", |config, text| {
        config.buffer_bytes_max = Some(text.parse().map_err(|_| "a number of bytes")?);
        Ok(())
    }),
];

fn read_value(config: &mut ProviderConfig, read: ReadSetting, value: &str) -> Result<(), Problem> {
    match value.contains(char::REPLACEMENT_CHARACTER) {
        true => Err("text in UTF-8".into()),
        false => read(config, value.trim()),
    }
}

fn socket_addrs(text: &str) -> Result<Vec<SocketAddr>, Problem> {
    let addr = |text: &str| text.parse().map_err(|_| "addresses with ports, like 192.0.2.7:8800".into());
    list(text).map(addr).collect()
}

fn peers(text: &str) -> Result<BTreeSet<PeerId>, Problem> {
    list(text).map(|peer| Ok(peer.parse()?)).collect()
}

fn one_of(words: &[&str], text: &str) -> Result<String, Problem> {
    match words.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(Problem::from(words.join(" or ").as_str())),
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn not_empty<'a>(text: &'a str, expected: &str) -> Result<&'a str, Problem> {
    if text.is_empty() { Err(expected.into()) } else { Ok(text) }
}

fn switch(text: &str) -> Result<bool, Problem> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("on or off".into()),
    }
}

fn read_file(path: &str) -> Result<String, Problem> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(PEM_BYTES_MAX).read_to_string(&mut text));
    let problem = |error: std::io::Error| Problem {
        why: Some(error.to_string()),
        ..Problem::from("a PEM file that this program may read")
    };
    read.map(|_| text).map_err(problem)
}

/// Bytes of a PEM file that are read: all public authorities together are a quarter of it.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with a value.
struct Problem {
    why: Option<String>,
    expected: String,
    is_secret: bool,
}

impl Problem {
    fn secret(expected: &str) -> Self {
        Self { is_secret: true, ..expected.into() }
    }
}

impl From<&str> for Problem {
    fn from(expected: &str) -> Self {
        Self { why: None, expected: expected.into(), is_secret: false }
    }
}

impl From<P2PError> for Problem {
    fn from(error: P2PError) -> Self {
        match error {
            P2PError::InvalidInput { what, expected } => Self { why: Some(what), expected, is_secret: false },
            error => error.chain().as_str().into(),
        }
    }
}

fn invalid(name: &str, value: &str, Problem { why, expected, is_secret }: Problem) -> P2PError {
    let value = if is_secret { "…".into() } else { shorten(value) };
    let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
    P2PError::invalid_input(format_args!("{name} = {value:?}{why}"), expected)
}

/// The start of a long value, so that an error stays on one line.
fn shorten(value: &str) -> String {
    let mut short: String = value.chars().take(64).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}

fn nearest(name: &str) -> &'static str {
    let known = SETTINGS.iter().map(|(known, _)| *known).chain([PROFILE]);
    known.min_by_key(|known| edits(name, known)).expect("there are settings")
}

/// Letters to add, remove or change to get from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Implementation;
    use p2p::PeerId;

    fn read(vars: &[(&str, &str)]) -> Result<(ProviderConfig, Vec<UnknownVariable>)> {
        ProviderConfig::from_vars(Role::Listener, vars.iter().copied())
    }

    fn config(vars: &[(&str, &str)]) -> ProviderConfig {
        let (config, unknown) = read(vars).unwrap();
        assert_eq!(unknown, []);
        config
    }

    fn ticket(name: &str) -> Ticket {
        PeerAddr::new(PeerId::from_name(name)).with_direct("192.0.2.7:8800".parse().unwrap()).into()
    }

    #[test]
    fn without_variables_the_defaults_are_those_that_are_documented() {
        let listener = config(&[("PATH", "/bin"), ("P2PD_X", "not ours")]);
        assert_eq!(listener.implementation, Implementation::default());
        assert_eq!((listener.profile, listener.listen_port), (Profile::Development, 8800));
        assert!(listener.lan_discovery && listener.port_mapping && listener.key_file.is_none());

        let (dialler, _) = ProviderConfig::from_vars(Role::Dialler, [("", ""); 0]).unwrap();
        assert_eq!(dialler.listen_port, 0);
    }

    #[test]
    fn every_setting_is_read() {
        let (alice, bob) = (ticket("alice"), ticket("bob"));
        let config = config(&[
            ("P2P_LISTEN_PORT", " 9000 "),
            ("P2P_KEY_FILE", "/keys/a b"),
            ("P2P_BOOTSTRAP_PEERS", &format!("{alice}, {bob},")),
            ("P2P_RELAY_SERVERS", "relay.example, https://b.example:8443"),
            ("P2P_RELAY_TOKEN", "hush"),
            ("P2P_LAN_DISCOVERY", "off"),
            ("P2P_PORT_MAPPING", "0"),
            ("P2P_EXTERNAL_ADDRS", "192.0.2.7:8800, [2001:db8::7]:8800"),
            ("P2P_PKARR_SERVER", "https://dns.example/pkarr"),
            ("P2P_PUBLISH", "nothing"),
            ("P2P_DNS_ORIGIN", "peers.example"),
            ("P2P_NAME_SERVERS", "192.0.2.53:53"),
            ("P2P_CONGESTION", "bbr"),
            ("P2P_KEY_EXCHANGE", "classical"),
            ("P2P_ALLOWED_PEERS", &PeerId::from_name("alice").to_string()),
            ("P2P_DENIED_PEERS", &PeerId::from_name("bob").to_string()),
            ("P2P_CONNECTIONS_MAX", "10"),
            ("P2P_BUFFER_BYTES_MAX", "1073741824"),
        ]);
        assert_eq!(config.external_addrs.len(), 2);
        assert_eq!(config.pkarr_server.as_deref(), Some("https://dns.example/pkarr"));
        assert_eq!((config.publish.as_deref(), config.dns_origin.as_deref()), (Some("nothing"), Some("peers.example")));
        assert_eq!(config.name_servers, ["192.0.2.53:53".parse().unwrap()]);
        assert_eq!((config.congestion.as_deref(), config.key_exchange.as_deref()), (Some("bbr"), Some("classical")));
        assert_eq!(config.allowed_peers, Some([PeerId::from_name("alice")].into()));
        assert_eq!(config.denied_peers, [PeerId::from_name("bob")].into());
        assert_eq!((config.connections_max, config.buffer_bytes_max), (Some(10), Some(1 << 30)));
        assert_eq!(config.listen_port, 9000);
        assert_eq!(config.key_file.unwrap().to_str(), Some("/keys/a b"));
        assert_eq!(config.bootstrap_peers, [alice.addr, bob.addr]);
        assert_eq!(config.relay_servers, ["relay.example", "https://b.example:8443"]);
        assert_eq!(config.relay_token, Some("hush".into()));
        assert!(!config.lan_discovery && !config.port_mapping);
    }

    #[test]
    fn a_port_that_is_set_counts_for_diallers_too() {
        let (config, _) = ProviderConfig::from_vars(Role::Dialler, [("P2P_LISTEN_PORT", "9000")]).unwrap();
        assert_eq!(config.listen_port, 9000);
    }

    #[test]
    fn the_profile_decides_defaults_and_variables_decide_over_it() {
        let production = config(&[("P2P_PROFILE", "production"), ("P2P_LAN_DISCOVERY", "on")]);
        assert_eq!(production.profile, Profile::Production);
        assert!(production.lan_discovery && !production.port_mapping);
    }

    #[test]
    fn relays_alone_turn_off_what_would_tell_the_address_unless_it_is_asked_for() {
        let only = config(&[("P2P_RELAY_ONLY", "on")]);
        assert!(only.relay_only && !only.lan_discovery && !only.port_mapping);
        assert!(config(&[("P2P_RELAY_ONLY", "on"), ("P2P_LAN_DISCOVERY", "on")]).lan_discovery);
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert_eq!(config(&[("P2P_LISTEN_PORT", "1"), ("P2P_LISTEN_PORT", "2")]).listen_port, 2);
    }

    #[test]
    fn lists_may_be_empty() {
        let config = config(&[("P2P_RELAY_SERVERS", ""), ("P2P_BOOTSTRAP_PEERS", " , ")]);
        assert!(config.relay_servers.is_empty() && config.bootstrap_peers.is_empty());
    }

    #[test]
    fn a_value_that_cannot_be_used_names_variable_value_and_what_was_expected() {
        for (name, value, expected) in [
            ("P2P_IMPLEMENTATION", "libp2p", "iroh, simulator or tunnel"),
            ("P2P_IMPLEMENTATION", "", "iroh, simulator or tunnel"),
            ("P2P_PROFILE", "prod", "development or production"),
            ("P2P_LISTEN_PORT", "http", "from 1 to 65535"),
            ("P2P_LISTEN_PORT", "65536", "from 1 to 65535"),
            ("P2P_LISTEN_PORT", "-1", "from 1 to 65535"),
            ("P2P_KEY_FILE", "", "the path of a file"),
            ("P2P_KEY_FILE", "k\u{FFFD}y", "UTF-8"),
            ("P2P_BOOTSTRAP_PEERS", "peer1,peer2", "a ticket as"),
            ("P2P_BOOTSTRAP_PEERS", "p2p9-abc", "version 1"),
            #[cfg(feature = "p2p-iroh")]
            ("P2P_RELAY_SERVERS", "relay.example,two words", "a host name or a URL"),
            ("P2P_RELAY_CA_FILE", "/nowhere/ca.pem", "a PEM file"),
            ("P2P_LAN_DISCOVERY", "maybe", "on or off"),
            ("P2P_PORT_MAPPING", "", "on or off"),
            ("P2P_RELAY_ONLY", "never", "on or off"),
            ("P2P_EXTERNAL_ADDRS", "192.0.2.7", "addresses with ports"),
            #[cfg(feature = "p2p-iroh")]
            ("P2P_PKARR_SERVER", "dns.example", "https://dns.example/pkarr"),
            ("P2P_PUBLISH", "everything", "nothing or relay or addresses"),
            ("P2P_DNS_ORIGIN", "", "a domain's name"),
            ("P2P_NAME_SERVERS", "dns.example", "addresses with ports"),
            ("P2P_CONGESTION", "vegas", "cubic or bbr or new-reno"),
            ("P2P_KEY_EXCHANGE", "rsa", "only-post-quantum"),
            ("P2P_DENIED_PEERS", "mallory", "64 hex digits"),
            ("P2P_CONNECTIONS_MAX", "many", "a number of connections"),
            ("P2P_BUFFER_BYTES_MAX", "1G", "a number of bytes"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            for part in [name, &format!("{value:?}"), expected] {
                assert!(error.contains(part), "{error} lacks {part}");
            }
        }
    }

    #[test]
    fn the_entry_of_a_list_that_is_wrong_is_named() {
        let good = ticket("alice").to_string();
        let cut = &good[..good.len() - 1];
        let error = read(&[("P2P_BOOTSTRAP_PEERS", &format!("{good},{cut}"))]).unwrap_err().to_string();
        assert!(error.contains("ticket") && error.contains('…') && error.len() < 300, "{error}");
    }

    #[test]
    fn a_bad_token_is_not_printed() {
        let error = read(&[("P2P_RELAY_TOKEN", "hush hush")]).unwrap_err().to_string();
        assert!(error.contains("P2P_RELAY_TOKEN") && error.contains("visible ASCII"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn an_implementation_that_is_not_built_in_names_the_feature_to_turn_on() {
        for implementation in Implementation::ALL.into_iter().filter(|implementation| !implementation.is_built_in()) {
            let error = read(&[("P2P_IMPLEMENTATION", implementation.name())]).unwrap_err().to_string();
            assert!(error.contains(&format!("the feature `{}`", implementation.feature())), "{error}");
        }
        for implementation in Implementation::built_in() {
            assert_eq!(config(&[("P2P_IMPLEMENTATION", implementation.name())]).implementation, implementation);
        }
    }

    #[test]
    fn an_unknown_name_is_returned_with_the_nearest() {
        let (_, unknown) = read(&[("P2P_PROFIL", "x"), ("P2P_RELAY_SERVER", "y"), ("P2P_LISTENPORT", "1")]).unwrap();
        let nearest: Vec<_> = unknown.iter().map(|unknown| (unknown.name.as_str(), unknown.nearest)).collect();
        assert_eq!(
            nearest,
            [
                ("P2P_LISTENPORT", "P2P_LISTEN_PORT"),
                ("P2P_PROFIL", "P2P_PROFILE"),
                ("P2P_RELAY_SERVER", "P2P_RELAY_SERVERS")
            ]
        );
        assert!(unknown[1].to_string().contains("the nearest is P2P_PROFILE"));
    }

    #[test]
    fn authorities_are_read_from_their_file() {
        let authority = rcgen::generate_simple_self_signed(vec!["authority.test".into()]).unwrap().cert.pem();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, &authority).unwrap();
        assert_eq!(config(&[("P2P_RELAY_CA_FILE", path.to_str().unwrap())]).relay_ca, Some(authority));

        std::fs::write(&path, "no certificate").unwrap();
        let result = read(&[("P2P_RELAY_CA_FILE", path.to_str().unwrap())]);
        match cfg!(feature = "p2p-iroh") {
            true => assert!(result.unwrap_err().to_string().contains("in PEM or DER form")),
            false => assert!(result.is_ok()),
        }
    }

    #[cfg(feature = "p2p-simulator")]
    #[test]
    fn the_simulators_variables_are_the_simulators() {
        assert_eq!(config(&[("SIMULATOR_P2P_SEED", "7")]).simulator.seed, 7);
        let error = read(&[("SIMULATOR_P2P_SEED", "seven")]).unwrap_err().to_string();
        assert!(error.contains("SIMULATOR_P2P_SEED"), "{error}");
    }

    #[test]
    fn every_setting_is_in_the_documentation() {
        for name in SETTINGS.iter().map(|(name, _)| *name).chain([PROFILE]) {
            assert!(include_str!("env.rs").contains(&format!("/// | `{name}` | ")), "{name}");
        }
    }
}
