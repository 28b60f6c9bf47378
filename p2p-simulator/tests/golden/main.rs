//! Eleven runs whose hashes are committed: the same in debug and release, on every machine, until somebody means to change them.
//!
//! `GOLDEN=renew cargo test -p p2p-simulator --test golden` writes `hashes.txt` anew. The commit that does so says in its
//! body why traces had to change; a refactoring must not. The hash covers the settings as they are written, too.

mod scenario;

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use p2p_simulator::{LinkConfig, Probability, Profile};

use self::scenario::Scenario;

const HASHES: &str = include_str!("hashes.txt");
const RENEW: &str = "GOLDEN=renew cargo test -p p2p-simulator --test golden";

fn scenarios() -> [Scenario; 11] {
    let quirks = LinkConfig::default()
        .with_reorder(Probability::percent(20))
        .with_duplication(Probability::percent(10))
        .with_corruption(Probability::percent(5));
    let fault = |what: &str, place: &str| {
        let text = format!("[[fault]]\nid = 'it'\nat = '3s'\nuntil = '20s'\nwhat = {what}\nwhere = '{place}'\n");
        text.parse().expect("a plan of this file")
    };
    [
        Scenario::new("default-link", 1, LinkConfig::default()),
        Scenario::new("ideal-link", 2, LinkConfig::ideal(std::time::Duration::from_millis(10))),
        Scenario::new("lossy", 3, LinkConfig::default().with_loss(Probability::percent(15))),
        Scenario::new("reorder-duplicate-corrupt", 4, quirks),
        Scenario::new("narrow", 5, LinkConfig::default().with_bandwidth(50_000, 20_000).with_mtu(600)),
        Scenario::new("profile-4g", 6, Profile::FourG.up()),
        Scenario::new("partition", 7, LinkConfig::default()).with_plan(fault("'partition'", "client-0 <-> server")),
        Scenario::new("crash", 8, LinkConfig::default()).with_plan(fault("'crash'", "server")),
        Scenario::new("clocks", 9, LinkConfig::default()).with_plan(fault("{ clock-drift-ppm = -90000 }", "*")),
        Scenario::new("swarm", 10, LinkConfig::default()).with_swarm(),
        Scenario::new("relay-and-nats", 11, LinkConfig::default())
            .with_topology(NATS.parse().expect("a topology of this file"))
            .with_plan(fault("{ nat-expiry = '0s' }", "client-0")),
    ]
}

/// One client becomes direct, and loses it for a time; the other stays with the relay.
const NATS: &str = "
    [[relay]]
    name = 'relay'

    [[router]]
    name = 'home-0'
    nat = 'moderate'
    peers = ['client-0']

    [[router]]
    name = 'home-server'
    nat = 'moderate'
    peers = ['server']

    [[router]]
    name = 'cafe'
    nat = 'strict'

    [[router]]
    name = 'home-1'
    nat = 'moderate'
    upstream = 'cafe'
    peers = ['client-1']
";

#[test]
fn traces_are_those_that_were_committed() {
    let mut now = String::new();
    for scenario in scenarios() {
        let trace = scenario.run();
        // One that hardly did anything would pin down nothing.
        assert!(trace.records > 1_000, "{}: only {} records", scenario.name, trace.records);
        writeln!(now, "{} {}", scenario.name, trace.hash).expect("a string takes it all");
    }
    if std::env::var("GOLDEN").is_ok_and(|value| value == "renew") {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hashes.txt");
        fs::write(file, &now).expect("the folder is in the checkout");
        return;
    }
    let committed: BTreeMap<&str, &str> = HASHES.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut differ = String::new();
    for (name, hash) in now.lines().filter_map(|line| line.split_once(' ')) {
        match committed.get(name) {
            Some(committed) if *committed == hash => {}
            other => writeln!(differ, "{name}: {hash} now, {} committed", other.unwrap_or(&"nothing"))
                .expect("a string takes it all"),
        }
    }
    assert!(
        differ.is_empty(),
        "{differ}If traces had to change, `{RENEW}`, and say why in the commit; otherwise something does not replay."
    );
    assert_eq!(committed.len(), now.lines().count(), "hashes.txt names other scenarios than there are");
}
