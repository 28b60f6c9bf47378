//! Every key of the file. The names are those of the file; [`TEMPLATE`](super::TEMPLATE) explains them to its readers.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

/// What the layers say together.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Settings {
    /// How this peer takes part in the network.
    pub network: NetworkSettings,
    /// How the daemon runs.
    pub daemon: DaemonSettings,
    /// What people call peers: an id, or a ticket.
    pub peers: BTreeMap<String, String>,
    /// What peers get.
    pub share: Vec<ShareSettings>,
    /// What is got from peers.
    pub connect: Vec<ConnectSettings>,
}

/// `[network]`: each key is also the environment variable `P2P_` and its name in capitals.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct NetworkSettings {
    /// `iroh`.
    pub implementation: Option<Text>,
    /// `development` or `production`.
    pub profile: Option<Text>,
    /// The UDP port.
    pub listen_port: Option<Text>,
    /// The file with the secret key.
    pub key_file: Option<Text>,
    /// Tickets of peers to know from the start.
    pub bootstrap_peers: Option<Text>,
    /// Relays to be reachable through.
    pub relay_servers: Option<Text>,
    /// What those relays ask for.
    pub relay_token: Option<Text>,
    /// A PEM file with authorities of relays.
    pub relay_ca_file: Option<Text>,
    /// Whether to find peers on the local network.
    pub lan_discovery: Option<Text>,
    /// Whether to ask the router for a port.
    pub port_mapping: Option<Text>,
}

/// `[daemon]`: each key is also the environment variable `P2PD_` and its name in capitals.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DaemonSettings {
    /// Where to answer questions: an address, or `off`.
    pub admin: Option<String>,
    /// How long what is open gets to end by itself.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// How long a connection may be without a transport.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
    /// Whether to look at the file now and then and take what has changed.
    #[serde(deserialize_with = "switch")]
    pub watch: bool,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self { admin: None, drain: Duration::from_secs(10), grace: crate::stack::GRACE, watch: true }
    }
}

/// `[[share]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ShareSettings {
    /// What peers ask for.
    pub name: String,
    /// What they get.
    pub target: Option<String>,
    /// For HTTP: where requests go, by host and path.
    #[serde(default)]
    pub route: Vec<RouteSettings>,
    /// For a proxy: the destinations that peers may choose.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// Who they may be: `ticket`, `anyone`, names, ids.
    pub allow: Option<Vec<String>>,
    /// Peers that are dialled so that they can use it.
    #[serde(default)]
    pub reverse_to: Vec<String>,
    /// The most that it carries.
    pub bandwidth: Option<String>,
    /// How long a UDP flow may be silent.
    #[serde(default, deserialize_with = "some_duration")]
    pub udp_idle: Option<Duration>,
}

/// `[[share.route]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RouteSettings {
    /// The host, or `*.` and its end; any if there is none.
    pub host: Option<String>,
    /// What the path begins with.
    pub path: Option<String>,
    /// The server.
    pub target: String,
}

/// `[[connect]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConnectSettings {
    /// What the rule is called; by default like the service.
    pub name: Option<String>,
    /// Whose service: a name, an id or a ticket.
    pub peer: String,
    /// Which service.
    pub service: Option<String>,
    /// Where.
    pub listen: String,
    /// Whether the peer dials.
    #[serde(default, deserialize_with = "switch")]
    pub reverse: bool,
    /// The most that it carries.
    pub bandwidth: Option<String>,
    /// How long a UDP flow may be silent.
    #[serde(default, deserialize_with = "some_duration")]
    pub udp_idle: Option<Duration>,
}

/// A value as an environment variable would have it: text, a number, a switch, or a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::List(values) => values.into_iter().map(Scalar::into_text).collect::<Vec<_>>().join(","),
            Value::One(value) => value.into_text(),
        }))
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "text, a number, true, false, or a list of these")]
enum Value {
    One(Scalar),
    List(Vec<Scalar>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "text, a number, true or false")]
enum Scalar {
    Switch(bool),
    Number(i64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Switch(true) => "on".to_owned(),
            Self::Switch(false) => "off".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// `500ms`, `10s`, `5min`, `2h`, `7d`, or a number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("duration {text:?} is invalid: expected a number and one of ms, s, min, h, d, like 30s");
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit.trim() {
        "ms" => number / 1e3,
        "" | "s" => number,
        "min" | "m" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        _ => return Err(expected()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| expected())?;
    // Deadlines are added to times, which have to bear it.
    if duration > DURATION_MAX {
        Err(format!("duration {text:?} is invalid: expected at most 3650d"))
    } else {
        Ok(duration)
    }
}

const DURATION_MAX: Duration = Duration::from_secs(3650 * 86_400);

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse_duration(&text.0).map_err(serde::de::Error::custom)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Text::deserialize(deserializer)?.0.as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        other => Err(serde::de::Error::custom(format!("{other:?} is invalid: expected true or false"))),
    }
}

/// The `[network]` keys, in the order of the file, and what each says.
impl NetworkSettings {
    pub(super) fn entries(&self) -> [(&'static str, Option<&str>); 10] {
        [
            ("implementation", self.implementation.as_ref()),
            ("profile", self.profile.as_ref()),
            ("listen_port", self.listen_port.as_ref()),
            ("key_file", self.key_file.as_ref()),
            ("bootstrap_peers", self.bootstrap_peers.as_ref()),
            ("relay_servers", self.relay_servers.as_ref()),
            ("relay_token", self.relay_token.as_ref()),
            ("relay_ca_file", self.relay_ca_file.as_ref()),
            ("lan_discovery", self.lan_discovery.as_ref()),
            ("port_mapping", self.port_mapping.as_ref()),
        ]
        .map(|(key, text)| (key, text.map(|text| text.0.as_str())))
    }
}

/// The file in which a path of the settings is meant, from the folder of the file.
pub(super) fn beside(file: Option<&std::path::Path>, path: &str) -> PathBuf {
    match file.and_then(std::path::Path::parent) {
        Some(folder) => folder.join(path),
        None => path.into(),
    }
}
