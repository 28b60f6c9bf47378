//! Hole punching: how two ends find a direct path, keep it, and notice that it is gone.
//!
//! One end reaches out by the relay, with the addresses it knows of itself; the other answers with its own and both send
//! probes to what they heard of. A probe opens the sender's own NAT for the answer. An end whose probe was answered knows
//! that both directions work, and sends direct from then on.

use super::{PathEnd, Way};
use crate::{
    trace::What,
    world::{World, conn::EndId, nat::Addr, node::NodeIx, packet::Body, timer::TimerOf},
};

/// What ends say to each other about paths.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::world) enum PathMessage {
    /// Where the sender may be reached. By way of the relay.
    ReachOut { addrs: Vec<Addr>, is_answer: bool },
    /// Does this arrive? Sent direct.
    Probe,
    /// It did. To where the probe came from.
    ProbeAnswer,
}

/// Probes that an end sends to each address in a round.
const PROBES: u32 = 5;
/// Time from the first probe to the second. Each pause after it is twice as long, so that a round takes 1.5 s.
const PROBE_PAUSE: u64 = 100_000_000;
/// Time from one round to the next, after the first: iroh 1.4's pause between attempts at hole punching.
const RETRY_SOON: u64 = 5_000_000_000;
/// After the later ones: iroh 1.4's pause between attempts to upgrade.
const RETRY: u64 = 60_000_000_000;
/// Rounds with the short pause.
const ROUNDS_SOON: u32 = 3;
/// Time from one probe to the next on the direct path in use: iroh 1.4's keep-alive of a path.
const KEEP_ALIVE: u64 = 5_000_000_000;
/// Silence after which a direct path is given up: iroh 1.4's idle timeout of a path.
const PATH_IDLE: u64 = 15_000_000_000;
/// How long a dial waits for an answer from a known address before it goes by the relay: RFC 9002 §6.2.2, the first probe
/// timeout of a connection that has measured nothing.
const DIRECT_DIAL_MAX: u64 = 999_000_000;
/// Addresses of the other end that one end tries. The oldest makes room.
const ADDRS_MAX: usize = 4;

/// How far an end is in finding a direct path.
#[derive(Default)]
pub(super) struct Search {
    /// Where the other end may be.
    addrs: Vec<Addr>,
    /// Probes left in this round.
    probes_left: u32,
    /// When this round began.
    began_at: u64,
    /// Rounds since the path was last direct.
    rounds: u32,
    /// When a probe was last answered on the path in use.
    answered_at: u64,
    /// Where the packet that is being handled came from.
    heard_from: Option<Addr>,
}

impl Search {
    fn learn(&mut self, addr: Addr) {
        if !self.addrs.contains(&addr) {
            if self.addrs.len() == ADDRS_MAX {
                self.addrs.remove(0);
            }
            self.addrs.push(addr);
        }
    }
}

impl PathMessage {
    pub(in crate::world) const fn what(&self) -> What {
        match self {
            Self::ReachOut { .. } => What::ReachOut,
            Self::Probe => What::Probe,
            Self::ProbeAnswer => What::ProbeAnswer,
        }
    }

    pub(in crate::world) const fn is_reliable(&self) -> bool {
        matches!(self, Self::ReachOut { .. })
    }
}

impl World {
    /// A connection was established: its dialling end looks for a direct path, and whoever has one keeps it.
    pub(in crate::world) fn begin_search(&mut self, end: EndId) {
        let now = self.now;
        let Some(state) = self.path_end(end) else {
            return;
        };
        state.search.answered_at = now;
        match state.way {
            Way::Relayed if end.side == 0 => self.reach_out(end, false),
            Way::Direct(_) => self.tend_path_at(end, now + KEEP_ALIVE),
            _ => {}
        }
    }

    /// A dial goes to an address of which its dialler only believes that it answers: soon it will try the relay.
    pub(in crate::world) fn doubt_direct_dial(&mut self, end: EndId, begins_after: u64) {
        let has_relay = self.paths_of(end).is_some_and(|paths| paths.relay.is_some());
        if has_relay && self.path_end(end).is_some_and(|state| matches!(state.way, Way::Direct(_))) {
            self.tend_path_at(end, self.now + begins_after + DIRECT_DIAL_MAX);
        }
    }

    /// Something came by the relay to an end that knew no way back.
    pub(super) fn answer_by_relay(&mut self, end: EndId) {
        if self.path_end(end).is_some_and(|state| state.way == Way::Unknown) {
            self.take_way(end, Way::Relayed);
        }
    }

    /// The timer of an end's path went off.
    pub(in crate::world) fn tend_path(&mut self, end: EndId) {
        let now = self.now;
        if self.is_dialling(end) {
            // Its peer's known address does not answer.
            return self.take_way(end, Way::Relayed);
        }
        if !self.is_open(end) {
            return;
        }
        let has_relay = self.paths_of(end).is_some_and(|paths| paths.relay.is_some());
        let Some(PathEnd { way, search, .. }) = self.path_end(end) else {
            return;
        };
        let way = *way;
        if let Way::Direct(_) = way
            && now - search.answered_at >= PATH_IDLE
            && has_relay
        {
            return self.fall_back(end);
        }
        if search.probes_left > 0 {
            let pause = PROBE_PAUSE << (PROBES - search.probes_left);
            search.probes_left -= 1;
            let addrs = search.addrs.clone();
            self.probe(end, addrs);
            return self.tend_path_at(end, now + pause);
        }
        match way {
            Way::Direct(addr) => {
                self.probe(end, vec![addr]);
                self.tend_path_at(end, now + KEEP_ALIVE);
            }
            Way::Relayed => self.rest_or_reach_out(end),
            Way::Unknown => {}
        }
    }

    /// A round brought nothing: the end that dialled tries again after a pause.
    fn rest_or_reach_out(&mut self, end: EndId) {
        let now = self.now;
        let Some(PathEnd { search, .. }) = self.path_end(end) else {
            return;
        };
        let pause = if search.rounds < ROUNDS_SOON { RETRY_SOON } else { RETRY };
        let next_at = search.began_at + pause;
        if now >= next_at {
            self.reach_out(end, false);
        } else if end.side == 0 {
            self.tend_path_at(end, next_at);
        }
    }

    /// Gives the direct path up.
    fn fall_back(&mut self, end: EndId) {
        if let Some(PathEnd { search, .. }) = self.path_end(end) {
            search.rounds = 0;
        }
        self.take_way(end, Way::Relayed);
        self.reach_out(end, false);
    }

    /// Tells the other end where this one may be reached.
    fn reach_out(&mut self, end: EndId, is_answer: bool) {
        let Some(node) = self.end(end).map(|end| end.node) else {
            return;
        };
        let addrs = self.addrs_of(node);
        let now = self.now;
        if let Some(PathEnd { search, .. }) = self.path_end(end)
            && !is_answer
        {
            search.began_at = now;
            search.rounds += 1;
            // In case no answer comes.
            let pause = if search.rounds < ROUNDS_SOON { RETRY_SOON } else { RETRY };
            self.tend_path_at(end, now + pause);
        }
        self.send_by_relay(end, PathMessage::ReachOut { addrs, is_answer });
    }

    /// The addresses that a node knows of itself: its own, and the one that its relay sees.
    fn addrs_of(&mut self, node: NodeIx) -> Vec<Addr> {
        let mut addrs = vec![self.own_addr(node)];
        if let Some(relay) = self.home_of(node) {
            let relay = self.relays[relay as usize].node;
            if !self.nodes[relay as usize].down
                && let Some(seen) = self.go_out(node, self.own_addr(relay))
                && !addrs.contains(&seen)
            {
                addrs.push(seen);
            }
        }
        addrs
    }

    fn probe(&mut self, end: EndId, addrs: Vec<Addr>) {
        for addr in addrs {
            self.send_to(end, addr, PathMessage::Probe);
        }
    }

    pub(in crate::world) fn handle_path_message(&mut self, end: EndId, message: PathMessage) {
        let now = self.now;
        let Some(PathEnd { search, way, .. }) = self.path_end(end) else {
            return;
        };
        match message {
            PathMessage::ReachOut { addrs, is_answer } => {
                // What it said before may be no more.
                search.addrs.clear();
                addrs.into_iter().for_each(|addr| search.learn(addr));
                search.probes_left = PROBES;
                search.began_at = now;
                if !is_answer {
                    self.reach_out(end, true);
                }
                self.tend_path(end);
            }
            PathMessage::Probe => {
                let Some(from) = search.heard_from.take() else {
                    return;
                };
                // Behind its NAT the other end may look otherwise from here than from its relay.
                let is_new = !search.addrs.contains(&from);
                search.learn(from);
                let tries = is_new && *way == Way::Relayed;
                self.send_to(end, from, PathMessage::ProbeAnswer);
                if tries {
                    self.send_to(end, from, PathMessage::Probe);
                }
            }
            PathMessage::ProbeAnswer => {
                let Some(from) = search.heard_from.take() else {
                    return;
                };
                let stays = matches!(*way, Way::Direct(addr) if addr != from && search.answered_at >= search.began_at);
                if stays {
                    return;
                }
                search.answered_at = now;
                if *way != Way::Direct(from) {
                    (search.rounds, search.probes_left) = (0, 0);
                    self.take_way(end, Way::Direct(from));
                    self.tend_path_at(end, now + KEEP_ALIVE);
                }
            }
        }
    }

    /// Something came straight from an address. An end that sends direct follows the other to where it is now.
    pub(super) fn follow_rebinding(&mut self, end: EndId, from: Addr, body: &Body) {
        let Some(PathEnd { search, way, .. }) = self.path_end(end) else {
            return;
        };
        search.heard_from = Some(from);
        match (*way, body) {
            (Way::Relayed, _) | (_, Body::Path(_)) => {}
            (Way::Direct(known), _) if known == from => {}
            _ => self.take_way(end, Way::Direct(from)),
        }
    }

    /// A node is in another network than before. As with iroh it notices at once, and its connections look for new paths.
    pub(in crate::world) fn find_paths_anew(&mut self, node: NodeIx) {
        for conn in self.conns.keys_where(|conn| conn.paths.is_some()) {
            for side in [0, 1] {
                let end = EndId { conn, side };
                let moved = self.end(end).is_some_and(|state| state.node == node) && self.is_open(end);
                if moved && self.paths_of(end).is_some_and(|paths| paths.relay.is_some()) {
                    self.fall_back(end);
                }
            }
        }
    }

    fn tend_path_at(&mut self, end: EndId, at: u64) {
        let known = match self.path_end(end) {
            Some(state) => state.timer,
            None => return,
        };
        let timer = match known {
            Some(timer) => timer,
            None => {
                let timer = self.timers.create(TimerOf::Path(end));
                self.path_end(end).expect("looked up above").timer = Some(timer);
                timer
            }
        };
        self.timers.set(timer, at, self.ties.next());
    }

    /// Ends an end's care for its path.
    pub(in crate::world) fn cancel_path(&mut self, end: EndId) {
        if let Some(timer) = self.path_end(end).and_then(|state| state.timer.take()) {
            self.timers.remove(timer);
        }
    }

    fn path_end(&mut self, end: EndId) -> Option<&mut PathEnd> {
        let paths = self.conns.get_mut(end.conn)?.paths.as_deref_mut()?;
        Some(&mut paths.ends[end.side()])
    }
}
