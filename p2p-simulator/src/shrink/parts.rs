//! What a case is without some of its parts. Whatever speaks of a part that is gone goes with it.

use crate::{Entry, Fault, LinkChange, Peers, Place, Plan, case::Case};

/// Leaves these peers only, with the steps and faults that concern no other.
pub(super) fn keep_peers(case: &mut Case, peers: Vec<String>) {
    case.steps.retain(|step| peers.contains(&step.peer));
    for router in &mut case.topology.routers {
        router.peers.retain(|peer| peers.contains(peer));
    }
    case.peers = peers;
    keep_known_faults(case);
}

/// Leaves these relays only, with the faults that concern no other.
pub(super) fn keep_relays(case: &mut Case, relays: &[String]) {
    case.topology.relays.retain(|relay| relays.contains(&relay.name));
    keep_known_faults(case);
}

/// Leaves these routers only. Who was behind one that is gone is behind the next on the way out, or in public.
pub(super) fn keep_routers(case: &mut Case, routers: &[String]) {
    let all = std::mem::take(&mut case.topology.routers);
    // A router stands after the one it is behind, so what is out of each was decided before it.
    let mut outside = std::collections::BTreeMap::new();
    for mut router in all {
        router.upstream = router.upstream.and_then(|upstream| outside.get(&upstream).cloned().flatten());
        if routers.contains(&router.name) {
            outside.insert(router.name.clone(), Some(router.name.clone()));
            case.topology.routers.push(router);
            continue;
        }
        let kept = case.topology.routers.iter_mut().find(|kept| Some(&kept.name) == router.upstream.as_ref());
        if let Some(kept) = kept {
            kept.peers.append(&mut router.peers);
        }
        outside.insert(router.name, router.upstream);
    }
    keep_known_faults(case);
}

/// Leaves out the faults of peers and relays that are gone, and mappings that expire where no NAT is left.
fn keep_known_faults(case: &mut Case) {
    let Case { peers, topology, plan, .. } = case;
    let translated = topology.translated_peers();
    let is_known = |entry: &&Entry| match entry.what {
        Fault::NatExpiry(_) => entry.names().all(|name| translated.iter().any(|peer| peer == name)),
        _ => entry.names().all(|name| {
            peers.iter().any(|peer| peer == name) || topology.relays.iter().any(|relay| relay.name == name)
        }),
    };
    *plan = plan_of(plan.entries().iter().filter(is_known).cloned());
}

/// Some entries of a plan.
pub(super) fn plan_of(entries: impl IntoIterator<Item = Entry>) -> Plan {
    let mut plan = Plan::new();
    for entry in entries {
        plan.push(entry).expect("what was possible in a larger plan is in a smaller one");
    }
    plan
}

/// The plan with another fault in place of one; nothing if the two cannot be in one plan.
pub(super) fn plan_with(plan: &Plan, index: usize, other: Entry) -> Option<Plan> {
    let mut changed = Plan::new();
    for (at, entry) in plan.entries().iter().enumerate() {
        changed.push(if at == index { other.clone() } else { entry.clone() }).ok()?;
    }
    Some(changed)
}

/// Faults that are as this one in less of its places, or with less of what it changes about links.
pub(super) fn weaker(entry: &Entry, case: &Case) -> Vec<Entry> {
    let narrower = narrower(entry, case).into_iter().map(|place| Entry { place, ..entry.clone() });
    let milder = match entry.what {
        Fault::Link(change) => less_of(change),
        _ => Vec::new(),
    };
    let milder = milder.into_iter().map(|change| Entry { what: Fault::Link(change), ..entry.clone() });
    narrower.chain(milder).collect()
}

/// Of many peers one, of a peer's links those to one other, of both ways one.
fn narrower(entry: &Entry, case: &Case) -> Vec<Place> {
    let concerns_links = !entry.what.concerns_peers() && !entry.what.concerns_relays();
    let peers = || case.peers.iter().cloned();
    let relays = || case.topology.relays.iter().map(|relay| relay.name.clone());
    let names = |names: &Peers| -> Vec<String> {
        match names {
            Peers::Named(names) => names.clone(),
            Peers::All if entry.what.concerns_relays() => relays().collect(),
            Peers::All if concerns_links => peers().chain(relays()).collect(),
            Peers::All => peers().collect(),
        }
    };
    match &entry.place {
        Place::Around(Peers::Named(one)) if one.len() == 1 && concerns_links => {
            let others = names(&Peers::All).into_iter().filter(|other| *other != one[0]);
            others.map(|other| Place::between(&one[0], &other)).collect()
        }
        Place::Around(Peers::Named(one)) if one.len() == 1 => Vec::new(),
        Place::Around(several) => names(several).iter().map(|name| Place::peer(name)).collect(),
        Place::Ways { from: Peers::Named(from), to: Peers::Named(to), both } if from.len() * to.len() == 1 => {
            let ways = [(&from[0], &to[0]), (&to[0], &from[0])];
            ways.into_iter().filter(|_| *both).map(|(from, to)| Place::from_to(from, to)).collect()
        }
        Place::Ways { from, to, both } => {
            let (from, to) = (names(from), names(to));
            let pairs = from.iter().flat_map(|from| to.iter().filter(move |to| *to != from).map(move |to| (from, to)));
            let one = |(from, to): (&String, &String)| match both {
                true => Place::between(from, to),
                false => Place::from_to(from, to),
            };
            pairs.map(one).collect()
        }
    }
}

/// The change without one of its settings, for each. One that changes nothing is none.
pub(super) fn less_of(change: LinkChange) -> Vec<LinkChange> {
    let LinkChange {
        latency,
        jitter,
        loss,
        bandwidth_bytes,
        queue_bytes_max,
        reorder,
        duplication,
        corruption,
        mtu_bytes,
    } = change;
    let smaller = [
        latency.map(|_| LinkChange { latency: None, ..change }),
        jitter.map(|_| LinkChange { jitter: None, ..change }),
        loss.map(|_| LinkChange { loss: None, ..change }),
        bandwidth_bytes.map(|_| LinkChange { bandwidth_bytes: None, ..change }),
        queue_bytes_max.map(|_| LinkChange { queue_bytes_max: None, ..change }),
        reorder.map(|_| LinkChange { reorder: None, ..change }),
        duplication.map(|_| LinkChange { duplication: None, ..change }),
        corruption.map(|_| LinkChange { corruption: None, ..change }),
        mtu_bytes.map(|_| LinkChange { mtu_bytes: None, ..change }),
    ];
    smaller.into_iter().flatten().collect()
}
