//! Each kind of wrong file, variable and flag: where it stands, and what was expected.

use std::path::Path;

use p2p::{PeerAddr, PeerId};

use super::{Config, ConfigProblem, Flags, TEMPLATE};
use crate::forward::ServiceName;

fn load(text: &str, vars: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigProblem> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p2pd.toml");
    std::fs::write(&file, text).unwrap();
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&file), vars, flags)
}

/// What is wrong with a file, without the folder's name.
#[track_caller]
fn problem(text: &str) -> String {
    let problem = match load(text, &[], &Flags::default()) {
        Err(problem) => problem,
        Ok(config) => match config.rules() {
            Err(problem) => problem,
            Ok(_) => config.provider(p2p_providers::Role::Listener).expect_err("the file is wrong"),
        },
    };
    let text = problem.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.rsplit_once("/p2pd.toml").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

fn id(name: &str) -> PeerId {
    PeerId::from_name(name)
}

#[test]
fn what_init_writes_is_valid_with_and_without_its_comments() {
    let config = load(TEMPLATE, &[], &Flags::default()).unwrap();
    assert_eq!(config.rules().unwrap(), crate::rule::Rules::default());
    // Each example in it, as if its `#` had been taken away.
    let all: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = load(&all, &[], &Flags::default()).unwrap();
    let rules = config.rules().unwrap();
    assert_eq!((rules.shares.len(), rules.connects.len()), (4, 1));
}

#[test]
fn each_mistake_is_named_with_its_line_and_what_was_expected() {
    let alice = id("alice");
    for (text, expected) in [
        ("[network", ":1: "),
        ("\n\n[daemon]\ndrian = \"5s\"\n", ":4: daemon.drian: there is no such key; did you mean \"drain\"?"),
        ("[netwrok]\n", ":1: netwrok: there is no such key; did you mean \"network\"?"),
        ("[daemon]\ndrain = \"soon\"", ":2: daemon.drain: duration \"soon\" is invalid: expected a number and one of"),
        ("[daemon]\nwatch = 3", ":2: daemon.watch: \"3\" is invalid: expected true or false"),
        ("[[share]]\nname = 5\n", ":2: share[0].name: expected a string, found 5"),
        ("[[share]]\nname = \"a\"\ntarget = \"8080\"\n", ":3: share[0].target: target \"8080\" is invalid"),
        ("[[share]]\nname = \"A\"\ntarget = \"tcp://h:1\"\n", ":2: share[0].name: service name \"A\" is invalid"),
        ("[[share]]\nname = \"a\"\n", ":1: share[0]: expected one of target, route"),
        (
            "[[share]]\nname = \"a\"\ntarget = \"tcp://h:1\"\nallow = [\"bob\"]",
            ":4: share[0].allow: \"bob\" is nobody's name",
        ),
        (
            "[[share]]\nname = \"a\"\ntarget = \"tcp://h:1\"\nbandwidth = \"10\"",
            ":4: share[0].bandwidth: bandwidth \"10\"",
        ),
        (
            "[[share]]\nname = \"a\"\ntarget = \"tcp://h:1\"\n\n[[share]]\nname = \"a\"\ntarget = \"tcp://h:2\"\n",
            ":5: share[1]: two share rules are called a",
        ),
        (
            "[[share]]\nname = \"a\"\n[[share.route]]\ntarget = \"ftp:x\"",
            ":4: share[0].route[0].target: \"ftp:x\" is invalid",
        ),
        (
            "[[share]]\nname = \"a\"\ndestinations = [\"a b\"]",
            ":3: share[0].destinations: destination \"a b\" is invalid",
        ),
        ("[[connect]]\nlisten = \"127.0.0.1:1\"\n", ":1: connect[0]: it lacks \"peer\""),
        ("[[connect]]\npeer = \"x\"\nlisten = \"127.0.0.1:1\"\n", ":2: connect[0].peer: \"x\" is nobody's name"),
        ("[peers]\nalice = \"zz\"", ":2: peers.alice: ticket \"zz\" (it does not begin as one)"),
        (&format!("[[connect]]\npeer = \"{alice}\"\nlisten = \"9000\"\n"), ":3: connect[0].listen: address \"9000\""),
        (
            &format!(
                "[[connect]]\npeer = \"{alice}\"\nservice = \"a\"\nlisten = \"127.0.0.1:4000\"\n\n[[connect]]\npeer = \
                 \"{alice}\"\nservice = \"b\"\nlisten = \"tcp://0.0.0.0:4000\"\n"
            ),
            ":6: connect[1]: the rules a and b both listen on tcp://0.0.0.0:4000",
        ),
        ("[network]\nlisten_port = \"eighty\"", ":2: network.listen_port: \"eighty\" is invalid: expected a port"),
        ("[network]\n\nprofile = \"prod\"", ":3: network.profile: \"prod\""),
        ("[network]\nlan_discovery = 7", ":2: network.lan_discovery: \"7\" is invalid: expected on or off"),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with(expected), "{problem}\nwhere was expected\n{expected}");
    }
}

#[test]
fn a_name_that_is_almost_one_is_suggested() {
    let text = format!("[peers]\nlaptop = \"{}\"\n[[connect]]\npeer = \"latpop\"\nlisten = \"127.0.0.1:1\"", id("a"));
    assert!(problem(&text).contains("did you mean \"laptop\"?"), "{}", problem(&text));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/p2pd.toml")), [], &Flags::default()).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/p2pd.toml: No such file"), "{error}");
}

// The flag is before the variable, which is before the file, and each is named where it counts.
#[test]
fn flags_come_before_variables_and_variables_before_the_file() {
    let text = "[network]\nlisten_port = 1\nrelay_servers = [\"a.example\", \"b.example\"]\nkey_file = \"key\"\n[daemon]\ndrain = \"1s\"\n";
    let vars = [("P2P_LISTEN_PORT", "2"), ("P2PD_DRAIN", "2s"), ("P2P_LISTEN_PROT", "9")];
    let flags =
        Flags::default().with("network.listen_port", "--port", Some(3)).with("daemon.admin", "--admin", None::<u8>);
    let config = load(text, &vars, &flags).unwrap();
    let provider = config.provider(p2p_providers::Role::Listener).unwrap();
    assert_eq!(provider.listen_port, 3);
    assert_eq!(provider.relay_servers, ["a.example", "b.example"]);
    assert_eq!(provider.key_file.as_deref(), Some(&*config.file.as_ref().unwrap().with_file_name("key")));
    assert_eq!(config.settings.daemon.drain.as_secs(), 2);
    assert!(config.warnings[0].contains("P2P_LISTEN_PROT") && config.warnings[0].contains("P2P_LISTEN_PORT"));

    let shown = config.show();
    let origin = |key: &str| {
        let (_, _, origin) = shown.iter().find(|(shown, ..)| shown == key).unwrap();
        origin.to_string().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(origin("network.listen_port"), "flag --port");
    assert_eq!(origin("daemon.drain"), "environment variable P2PD_DRAIN");
    assert_eq!(origin("network.relay_servers"), "p2pd.toml:3");
    assert_eq!(origin("daemon.grace"), "default");
}

#[test]
fn a_variable_that_cannot_be_used_is_named_itself() {
    let config = load("", &[("P2P_LISTEN_PORT", "x")], &Flags::default()).unwrap();
    let error = config.provider(p2p_providers::Role::Listener).unwrap_err().to_string();
    assert!(
        error.starts_with("environment variable P2P_LISTEN_PORT: network.listen_port: \"x\" is invalid"),
        "{error}"
    );
    let error = load("", &[("P2PD_DRAIN", "x")], &Flags::default()).unwrap_err().to_string();
    assert!(error.starts_with("environment variable P2PD_DRAIN: daemon.drain: duration"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let config = load("[network]\nrelay_token = \"hush\"", &[], &Flags::default()).unwrap();
    assert!(config.show().iter().all(|(_, value, _)| !value.contains("hush")));
}

#[test]
fn a_connect_rule_takes_from_the_peers_ticket_what_it_does_not_say() {
    let ticket = p2p::Ticket::new(PeerAddr::new(id("alice")));
    let offers = [crate::forward::Offer::tcp("web".parse::<ServiceName>().unwrap())];
    let ticket = crate::forward::Offer::into_ticket(ticket, &offers);
    let text = format!("[peers]\nalice = \"{ticket}\"\n[[connect]]\npeer = \"alice\"\nlisten = \"127.0.0.1:9\"");
    let rules = load(&text, &[], &Flags::default()).unwrap().rules().unwrap();
    assert_eq!((rules.connects[0].name.as_str(), rules.connects[0].service.as_str()), ("web", "web"));
    assert_eq!(rules.peers[&id("alice")], "alice");
    let other = text.replace("listen", "service = \"mail\"\nlisten");
    assert!(problem(&other).contains("connect[0].service: the ticket names the services web"), "{}", problem(&other));
}
