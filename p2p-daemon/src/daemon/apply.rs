//! From one set of rules to another.
//!
//! First everything that can fail: the new sockets. Then one change under a lock, so that each connection sees either all
//! of the old rules or all of the new. What the old ones had and the new ones share, sockets, connections and counters, is
//! handed on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tracing::info;

use super::{Event, EventKind, Inner, active::Active};
use crate::{
    Error,
    forward::{Bound, Core, Link, Meter, ServiceName, Shared, Sockets, Via},
    rule::{Bandwidth, ConnectRule, Listen, Place, Remote, Rules, ShareRule},
};

/// What a change changed, by the rules' kinds and names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// New ones.
    pub added: Vec<String>,
    /// Those with other settings than before.
    pub changed: Vec<String>,
    /// Those that are gone.
    pub removed: Vec<String>,
}

impl Applied {
    /// Whether everything is as it was.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let text: Vec<_> = parts.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        f.write_str(if text.is_empty() { "nothing changed".to_owned() } else { text.join("; ") }.as_str())
    }
}

pub(super) async fn apply(daemon: &Arc<Inner>, rules: Rules) -> Result<Applied, Error> {
    let _one_at_a_time = daemon.applying.lock().await;
    rules.check()?;
    let mut bound = bind(daemon, &rules).await?;
    if rules.want_peers() {
        daemon.start_listening().await?;
    }
    let mut active = daemon.active.write();
    if daemon.shutdown.is_requested() {
        return Ok(Applied::default());
    }
    let applied = difference(&active.rules, &rules);
    let is_first = active.rules == Rules::default();
    let mut change = Change { daemon, old: &active, links: BTreeMap::new(), meters: meters(&active) };
    change.collect_links();
    let shares = rules.shares.iter().map(|rule| (rule.name.clone(), change.share(rule))).collect();
    let cores: Vec<_> = rules.connects.iter().map(|rule| change.connect(rule)).collect();
    let mut connects = BTreeMap::new();
    for core in cores {
        let name = core.rule.name.clone();
        let sockets = match bound.remove(&name) {
            Some(bound) => Arc::new(bound.start(core)),
            None => {
                let sockets = reusable(&active, &core.rule).expect("what was not bound anew can be used again").clone();
                sockets.set(core);
                sockets
            }
        };
        connects.insert(name, sockets);
    }
    let reverse = rules.connects.iter().filter(|rule| rule.reverse);
    let awaited: BTreeSet<_> = reverse.map(|rule| rule.remote.addr.peer).collect();
    let old = std::mem::replace(&mut *active, Active { rules, shares, connects, awaited });
    drop(active);
    // Sockets that nobody uses any more close here, and links end.
    drop(old);
    if !applied.is_empty() && !is_first {
        info!(%applied, "The rules have changed.");
    }
    if !applied.is_empty() {
        daemon.events.note(Event::new(EventKind::RulesChanged, applied.to_string()));
    }
    Ok(applied)
}

/// The sockets that the old rules do not have.
async fn bind(daemon: &Arc<Inner>, rules: &Rules) -> Result<BTreeMap<ServiceName, Bound>, Error> {
    let new: Vec<&ConnectRule> = {
        let active = daemon.active.read();
        rules.connects.iter().filter(|rule| reusable(&active, rule).is_none()).collect()
    };
    let mut bound = BTreeMap::new();
    for rule in new {
        bound.insert(rule.name.clone(), Bound::new(&rule.listen, "--listen").await?);
    }
    Ok(bound)
}

/// Sockets that listen where `rule` wants them, from a rule of the same name or any other.
fn reusable<'a>(active: &'a Active, rule: &ConnectRule) -> Option<&'a Arc<Sockets>> {
    let same_name = active.connects.get(&rule.name).filter(|sockets| sockets.listen == rule.listen);
    let any = || active.connects.values().find(|sockets| sockets.listen == rule.listen);
    same_name.or_else(|| if takes_any_port(&rule.listen) { None } else { any() })
}

/// Whether another rule that listens so listens elsewhere.
fn takes_any_port(listen: &Listen) -> bool {
    match &listen.place {
        Place::Net(addr, _) | Place::Socks5(addr) | Place::HttpProxy(addr) => addr.port() == 0,
        Place::Unix(_) => false,
    }
}

type Meters = BTreeMap<(&'static str, ServiceName), (Option<Bandwidth>, Arc<Meter>)>;

fn meters(active: &Active) -> Meters {
    let shares = active
        .shares
        .values()
        .map(|shared| (("share", shared.rule.name.clone()), (shared.rule.bandwidth, shared.meter.clone())));
    let connects = active.connects.values().map(|sockets| {
        let core = sockets.core();
        (("connect", core.rule.name.clone()), (core.rule.bandwidth, core.meter.clone()))
    });
    shares.chain(connects).collect()
}

struct Change<'a> {
    daemon: &'a Arc<Inner>,
    old: &'a Active,
    /// One for each peer and token, however many rules use it.
    links: BTreeMap<Remote, Arc<Link>>,
    meters: Meters,
}

impl Change<'_> {
    fn collect_links(&mut self) {
        let shared = self.old.shares.values().flat_map(|shared| shared.links.iter().cloned());
        let connected = self.old.connects.values().filter_map(|sockets| match &sockets.core().via {
            Via::Link(link) => Some(link.clone()),
            Via::Accepted { .. } => None,
        });
        self.links = shared.chain(connected).map(|link| (link.remote.clone(), link)).collect();
    }

    fn share(&mut self, rule: &ShareRule) -> Arc<Shared> {
        if let Some(old) = self.old.shares.get(&rule.name)
            && old.rule == *rule
        {
            return old.clone();
        }
        let links = rule.reverse_to.iter().map(|remote| self.link(remote)).collect();
        Arc::new(Shared { rule: rule.clone(), meter: self.meter("share", &rule.name, rule.bandwidth), links })
    }

    fn connect(&mut self, rule: &ConnectRule) -> Arc<Core> {
        if let Some(old) = self.old.connects.get(&rule.name).map(|sockets| sockets.core())
            && old.rule == *rule
        {
            return old;
        }
        let via = match rule.reverse {
            true => Via::Accepted { peer: rule.remote.addr.peer, peers: self.daemon.peers.clone() },
            false => Via::Link(self.link(&rule.remote)),
        };
        let meter = self.meter("connect", &rule.name, rule.bandwidth);
        Arc::new(Core { rule: rule.clone(), meter, via, daemon: Arc::downgrade(self.daemon) })
    }

    fn link(&mut self, remote: &Remote) -> Arc<Link> {
        let start = || Link::start(self.daemon, remote.clone());
        self.links.entry(remote.clone()).or_insert_with(start).clone()
    }

    /// What counts for a rule, which goes on where the rule of the same name was.
    fn meter(&self, kind: &'static str, name: &ServiceName, bandwidth: Option<Bandwidth>) -> Arc<Meter> {
        match self.meters.get(&(kind, name.clone())) {
            Some((old, meter)) if *old == bandwidth => meter.clone(),
            Some((_, meter)) => Arc::new(meter.with_bandwidth(bandwidth)),
            None => Arc::new(Meter::new(self.daemon.export.recorder(), name.as_str(), bandwidth)),
        }
    }
}

fn difference(old: &Rules, new: &Rules) -> Applied {
    let mut applied = Applied::default();
    compare("share", (&old.shares, &new.shares), |rule| &rule.name, &mut applied);
    compare("connect", (&old.connects, &new.connects), |rule| &rule.name, &mut applied);
    applied
}

fn compare<R: PartialEq>(
    kind: &str,
    (old, new): (&[R], &[R]),
    name: impl Fn(&R) -> &ServiceName,
    applied: &mut Applied,
) {
    let find = |rules: &[R], wanted: &R| rules.iter().position(|rule| name(rule) == name(wanted));
    for rule in new {
        let text = format!("{kind} {}", name(rule));
        match find(old, rule) {
            None => applied.added.push(text),
            Some(at) if old[at] != *rule => applied.changed.push(text),
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|rule| find(new, rule).is_none());
    applied.removed.extend(gone.map(|rule| format!("{kind} {}", name(rule))));
}
