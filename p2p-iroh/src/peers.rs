//! What is known of peers.

use std::collections::{BTreeMap, HashMap};

use p2p::{Instant, Path, PeerAddr, PeerId, PeerInfo, Watch};
use parking_lot::Mutex;

/// Where peers were said to be, where they were found, and when they were last met.
#[derive(Debug)]
pub(crate) struct Peers {
    /// From the configuration; never forgotten.
    bootstrap: HashMap<PeerId, PeerAddr>,
    met: Mutex<HashMap<PeerId, Met>>,
}

#[derive(Debug, Default)]
struct Met {
    /// The hints that last led to the peer, or were found on the local network.
    hints: Option<PeerAddr>,
    last_seen: Option<Instant>,
    /// Of the newest connection.
    path: Option<Watch<Option<Path>>>,
}

impl Peers {
    pub(crate) fn new(bootstrap: &[PeerAddr]) -> Self {
        let mut known = HashMap::new();
        for addr in bootstrap {
            merge(known.entry(addr.peer).or_insert_with(|| PeerAddr::new(addr.peer)), addr);
        }
        Self { bootstrap: known, met: Mutex::default() }
    }

    /// The address with all hints that are known.
    pub(crate) fn complete(&self, mut addr: PeerAddr) -> PeerAddr {
        if let Some(known) = self.bootstrap.get(&addr.peer) {
            merge(&mut addr, known);
        }
        if let Some(hints) = self.met.lock().get(&addr.peer).and_then(|met| met.hints.as_ref()) {
            merge(&mut addr, hints);
        }
        addr
    }

    /// Keeps where a peer is. The newest word replaces what was learnt before.
    pub(crate) fn learn(&self, addr: PeerAddr, now: Instant) {
        if !addr.has_no_hints() {
            self.meet(addr.peer, now, |met| met.hints = Some(addr));
        }
    }

    /// Notes a new connection.
    pub(crate) fn connected(&self, peer: PeerId, path: Watch<Option<Path>>, now: Instant) {
        self.meet(peer, now, |met| met.path = Some(path));
    }

    pub(crate) fn info(&self, peer: PeerId, connections: usize) -> Option<PeerInfo> {
        let addr = self.complete(PeerAddr::new(peer));
        let met = self.met.lock();
        let met = met.get(&peer);
        if met.is_none() && connections == 0 && addr.has_no_hints() {
            return None;
        }
        let path = met.and_then(|met| met.path.as_ref()?.get()).filter(|_| connections > 0);
        Some(PeerInfo {
            connections,
            last_seen: met.and_then(|met| met.last_seen),
            notes: BTreeMap::from_iter(path.map(|path| ("path".into(), path.to_string()))),
            ..PeerInfo::new(addr)
        })
    }

    fn meet(&self, peer: PeerId, now: Instant, change: impl FnOnce(&mut Met)) {
        let mut all = self.met.lock();
        if all.len() >= PEERS_MAX && !all.contains_key(&peer) {
            // Whoever dials is met, but hints come from this side alone: strangers push out strangers only.
            let least = all.iter().min_by_key(|(_, met)| (met.hints.is_some(), met.last_seen)).map(|(peer, _)| *peer);
            least.and_then(|least| all.remove(&least));
        }
        let met = all.entry(peer).or_default();
        met.last_seen = Some(now);
        change(met);
    }
}

fn merge(addr: &mut PeerAddr, more: &PeerAddr) {
    addr.relays.extend(more.relays.iter().cloned());
    addr.direct.extend(&more.direct);
}

/// Peers that are remembered. Beyond them the one not met for longest is forgotten, those without hints first.
const PEERS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(peer: &str, port: u16) -> PeerAddr {
        PeerAddr::new(PeerId::from_name(peer)).with_direct(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn what_is_known_completes_what_is_given() {
        let peers = Peers::new(&[addr("alice", 1), addr("alice", 2)]);
        let alice = PeerId::from_name("alice");
        peers.learn(addr("alice", 3), Instant::ZERO);
        peers.learn(addr("alice", 4), Instant::ZERO);
        let ports = |addr: PeerAddr| -> Vec<_> { addr.direct.iter().map(|addr| addr.port()).collect() };
        assert_eq!(ports(peers.complete(addr("alice", 5))), [1, 2, 4, 5]);
        assert_eq!(ports(peers.info(alice, 0).unwrap().addr), [1, 2, 4]);
        assert_eq!(peers.info(PeerId::from_name("nobody"), 0), None);
    }

    #[test]
    fn the_path_is_told_only_while_connected() {
        let peers = Peers::new(&[]);
        let alice = PeerId::from_name("alice");
        let path = Path::Direct { remote: "there".into() };
        peers.connected(alice, Watch::constant(Some(path)), Instant::from_nanos(5));
        assert_eq!(peers.info(alice, 1).unwrap().notes["path"], "direct to there");
        let later = peers.info(alice, 0).unwrap();
        assert!(later.notes.is_empty());
        assert_eq!(later.last_seen, Some(Instant::from_nanos(5)));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_acquaintance_is_forgotten() {
        let peers = Peers::new(&[]);
        let name = |number: usize| format!("peer {number}");
        for number in 0..=PEERS_MAX {
            peers.learn(addr(&name(number), 1), Instant::from_nanos(number as u64));
        }
        assert_eq!(peers.met.lock().len(), PEERS_MAX);
        let knows = |number: usize| peers.info(PeerId::from_name(&name(number)), 0).is_some();
        assert!(!knows(0) && knows(1));

        // One place goes to the first stranger, and it is this one that the others take.
        for stranger in 0..10 {
            peers.connected(PeerId::from_name(&format!("stranger {stranger}")), Watch::constant(None), Instant::ZERO);
        }
        assert!(!knows(1) && knows(2));
    }
}
