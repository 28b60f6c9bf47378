//! Shrinking leaves what a failure needs, and nothing else, of every sort of part that a case has.

use std::{sync::Arc, time::Duration};

use p2p::{BoxFuture, P2PProvider, Rng, RuntimeExt};
use p2p_simulator::{
    Entry, Fault, Network,
    case::Case,
    scenario::Scenario,
    shrink::{Shrunk, shrink},
    workload::{Knob, Registry, Setup, Step, Violation, Workload},
    workloads::registry,
};

/// Fails if its case still has what the test says that the failure needs.
struct Picky(fn(&Case) -> bool);

impl Workload for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn about(&self) -> &'static str {
        "fails where a case has certain parts"
    }

    fn knobs(&self) -> &'static [Knob] {
        &[
            Knob { name: "size", default: 1, max: 100, about: "of what" },
            Knob { name: "depth", default: 2, max: 100, about: "of what" },
        ]
    }

    fn steps(&self, setup: &Setup<'_>, _: &mut Rng) -> Vec<Step> {
        let step = |number: u64| Step {
            at: Duration::from_secs(number),
            peer: setup.peers[number as usize % setup.peers.len()].clone(),
            what: number.to_string(),
        };
        (0..20).map(step).collect()
    }

    fn run(&self, network: Network, case: Arc<Case>) -> BoxFuture<'static, Result<(), Violation>> {
        let fails = self.0;
        Box::pin(async move {
            let peers: Vec<_> = case.peers.iter().map(|name| network.provider(name)).collect();
            peers[0].runtime().sleep(Duration::from_secs(1)).await;
            if fails(&case) { Err(Violation::new("all-there", "")) } else { Ok(()) }
        })
    }
}

const SCENARIO: &str = "
    workload = 'picky'
    peers = 6
    profile = '4g'
    knobs = { size = 9, depth = 9 }
    link = { loss = 0.05, jitter = '3ms', corruption = 0.01, mtu-bytes = 900 }

    [[relay]]
    name = 'near'

    [[relay]]
    name = 'far'

    [[router]]
    name = 'operator'
    nat = 'cgnat'

    [[router]]
    name = 'street'
    nat = 'open'
    upstream = 'operator'
    peers = ['p5']

    [[router]]
    name = 'home'
    nat = 'moderate'
    upstream = 'street'
    peers = ['p1', 'p2']

    [[router]]
    name = 'cafe'
    nat = 'strict'
    peers = ['p3']

    [[fault]]
    id = 'bad-lines'
    at = '10s'
    what = { link = { loss = 0.5, latency = '80ms..400ms', reorder = 0.1 } }
    where = '*'

    [[fault]]
    id = 'crashes'
    at = '10s'
    until = '20s'
    what = 'crash'
    where = 'p1, p3, p5'

    [[fault]]
    id = 'gone'
    at = '10s'
    what = 'relay-down'
    where = '*'

    [[fault]]
    id = 'forgotten'
    at = '10s'
    what = { nat-expiry = '2s' }
    where = 'p1, p2'
";

fn shrunk(needs: fn(&Case) -> bool) -> Case {
    let registry = Registry::new().with(Picky(needs));
    let case = SCENARIO.parse::<Scenario>().unwrap().resolve(7, &registry).unwrap();
    let Shrunk { capsule, .. } = shrink(&case, &registry).unwrap();
    assert!(needs(&capsule.case), "what is left still fails");
    let mut read = Case::from_table(capsule.case.to_table()).unwrap();
    read.check(&registry).unwrap();
    assert_eq!(read, capsule.case, "what is left is a case like any other");
    capsule.case
}

#[test]
fn a_failure_that_needs_nothing_keeps_one_peer_and_all_defaults() {
    let case = shrunk(|_| true);
    assert_eq!((case.peers.len(), case.steps.len(), case.plan.entries().len()), (1, 0, 0));
    assert!(case.topology.routers.is_empty() && case.topology.relays.is_empty(), "{:?}", case.topology);
    assert_eq!(case.links, Default::default());
    assert_eq!((case.knob("size"), case.knob("depth")), (1, 2));
}

#[test]
fn one_setting_of_the_links_is_left_and_the_profile_and_the_others_go() {
    let case = shrunk(|case| case.links.change.corruption.is_some());
    assert_eq!(case.links.profile, None);
    assert_eq!(toml::to_string(&case.links.change).unwrap(), "corruption = \"0.01\"\n");
    let case = shrunk(|case| case.links.profile.is_some());
    assert_eq!((case.links.profile.unwrap().name(), case.links.change), ("4g", Default::default()));
}

// A router in the middle goes, and who was behind it stands behind the next.
#[test]
fn routers_and_relays_that_do_not_matter_go() {
    let case = shrunk(|case| {
        case.topology.routers.iter().any(|router| router.name == "home")
            && case.topology.routers.iter().any(|router| router.name == "operator")
            && case.topology.relays.iter().any(|relay| relay.name == "far")
            && case.peers.iter().any(|peer| peer == "p2")
            && case.peers.iter().any(|peer| peer == "p5")
    });
    let routers: Vec<_> =
        case.topology.routers.iter().map(|r| (&*r.name, r.upstream.as_deref(), &r.peers[..])).collect();
    assert_eq!(routers, [("operator", None, &["p5".into()][..]), ("home", Some("operator"), &["p2".into()][..])]);
    let relays: Vec<_> = case.topology.relays.iter().map(|relay| &*relay.name).collect();
    assert_eq!((relays, case.peers), (vec!["far"], vec!["p2".into(), "p5".into()]));
}

#[test]
fn faults_go_with_the_routers_and_relays_that_they_are_about() {
    let case = shrunk(|case| case.plan.entries().iter().any(|entry| entry.id == "forgotten"));
    let routers: Vec<_> = case.topology.routers.iter().map(|router| &*router.name).collect();
    assert_eq!(routers, ["home"], "without a NAT no mapping could expire");
    let case = shrunk(|case| case.plan.entries().iter().any(|entry| entry.id == "gone"));
    assert_eq!(case.plan.entries().len(), 1);
}

#[test]
fn a_fault_that_is_left_is_left_in_one_place_with_what_matters() {
    let case = shrunk(|case| {
        let reorders = |entry: &Entry| matches!(entry.what, Fault::Link(change) if change.reorder.is_some());
        let is_there = |entry: &Entry| ["*", "p2", "p2 <-> p4", "p4 -> p2"].contains(&&*entry.place.to_string());
        let has = |name| case.peers.iter().any(|peer| peer == name);
        case.plan.entries().iter().any(|entry| reorders(entry) && is_there(entry)) && has("p2") && has("p4")
    });
    let [fault] = case.plan.entries() else { panic!("{}", case.plan) };
    assert_eq!(format!("{} at {}", fault.what, fault.place), "link = { reorder = \"0.1\" } at p4 -> p2");
    assert_eq!(case.peers, ["p2", "p4"]);
    let case = shrunk(|case| case.plan.entries().iter().any(|entry| entry.names().any(|name| name == "p3")));
    let [fault] = case.plan.entries() else { panic!("{}", case.plan) };
    assert_eq!((fault.place.to_string(), &case.peers[..]), ("p3".into(), &["p3".into()][..]));
}

#[test]
fn a_planted_bug_behind_nats_needs_neither_nats_nor_relays() {
    let text = "
        workload = 'counter'
        mutant = 'early-ack'
        profile = 'wifi'

        [[relay]]
        name = 'relay'

        [[router]]
        name = 'operator'
        nat = 'cgnat'
        peers = ['p3']

        [[router]]
        name = 'home'
        nat = 'moderate'
        upstream = 'operator'
        peers = ['p1', 'p2']
    ";
    let (scenario, registry): (Scenario, _) = (text.parse().unwrap(), registry());
    let failing = (0..100).find_map(|seed| {
        let case = scenario.resolve(seed, &registry).unwrap();
        shrink(&case, &registry).ok()
    });
    let case = failing.expect("one of 100 seeds fails").capsule.case;
    assert!(case.topology.routers.is_empty() && case.topology.relays.is_empty(), "{:?}", case.topology);
    assert_eq!((case.links, case.peers.len(), case.steps.len()), (Default::default(), 1, 1));
    assert_eq!(case.plan.entries().len(), 1, "{}", case.plan);
}
