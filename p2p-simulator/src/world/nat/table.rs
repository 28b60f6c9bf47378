//! One translating router: which port stands for whom, who may come in by it, and when it is forgotten.

use std::collections::BTreeMap;

use super::Addr;
use crate::topology::{Filtering, Mapping, Nat};

/// Ports that a NAT may have given out at once: those of one address, less the well-known ones. The next packet is dropped.
const MAPPINGS_MAX: usize = 64_512;
/// Destinations that a mapping remembers. The one that was silent the longest makes room.
const FLOWS_MAX: usize = 256;

/// What a NAT remembers.
pub(super) struct Table {
    nat: Nat,
    /// Nanoseconds after which everything is forgotten, whatever the NAT's own timeouts: a fault's doing.
    lifetime_max: u64,
    by_port: BTreeMap<u32, Mapped>,
    /// The port of an inner address, and of its destination if that counts.
    ports: BTreeMap<(Addr, Option<Addr>), u32>,
    /// Ports are numbers that nobody guesses, so they are given out one after another.
    last_port: u32,
}

struct Mapped {
    inner: Addr,
    /// By the address outside.
    flows: BTreeMap<Addr, Flow>,
}

/// What passed between an inner address and one outside.
#[derive(Clone, Copy)]
struct Flow {
    last_at: u64,
    answered: bool,
}

impl Table {
    pub(super) const fn new(nat: Nat) -> Self {
        Self { nat, lifetime_max: u64::MAX, by_port: BTreeMap::new(), ports: BTreeMap::new(), last_port: 0 }
    }

    /// Forgets everything after so much silence at the latest, and what has been silent for as long at once and for good.
    pub(super) fn set_lifetime_max(&mut self, now: u64, lifetime_max: u64) {
        if lifetime_max != self.lifetime_max {
            self.forget_dead(now);
            self.lifetime_max = lifetime_max;
            self.forget_dead(now);
        }
    }

    /// A packet goes out. Returns the port that it seems to come from; nothing if there is none left.
    pub(super) fn out(&mut self, now: u64, inner: Addr, to: Addr) -> Option<u32> {
        let toward = (self.nat.mapping == Mapping::EndpointDependent).then_some(to);
        let known = self.ports.get(&(inner, toward)).copied().filter(|&port| self.is_alive(now, port));
        let port = match known {
            Some(port) => port,
            None => self.map(now, inner, toward)?,
        };
        let mapped = self.by_port.get_mut(&port).expect("found or made above");
        let answered = mapped.flows.get(&to).is_some_and(|flow| flow.answered);
        mapped.note(to, Flow { last_at: now, answered });
        Some(port)
    }

    /// A packet comes in at a port. Returns whom it is for; nothing if it is not let in.
    pub(super) fn let_in(&mut self, now: u64, port: u32, from: Addr) -> Option<Addr> {
        if !self.is_alive(now, port) {
            return None;
        }
        let passes = {
            let mapped = &self.by_port[&port];
            let mut alive = mapped.flows.iter().filter(|(_, flow)| self.lives(now, flow));
            match self.nat.filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => alive.any(|(to, _)| to.host == from.host),
                Filtering::AddressAndPortDependent => alive.any(|(to, _)| *to == from),
            }
        };
        let mapped = self.by_port.get_mut(&port).filter(|_| passes)?;
        let known = mapped.flows.contains_key(&from);
        mapped.note(from, Flow { last_at: now, answered: known });
        Some(mapped.inner)
    }

    fn map(&mut self, now: u64, inner: Addr, toward: Option<Addr>) -> Option<u32> {
        if let Some(old) = self.ports.remove(&(inner, toward)) {
            self.by_port.remove(&old);
        }
        if self.by_port.len() >= MAPPINGS_MAX {
            self.forget_dead(now);
        }
        if self.by_port.len() >= MAPPINGS_MAX {
            return None;
        }
        self.last_port += 1;
        self.ports.insert((inner, toward), self.last_port);
        self.by_port.insert(self.last_port, Mapped { inner, flows: BTreeMap::new() });
        Some(self.last_port)
    }

    fn forget_dead(&mut self, now: u64) {
        let mut by_port = std::mem::take(&mut self.by_port);
        by_port.retain(|_, mapped| {
            mapped.flows.retain(|_, flow| self.lives(now, flow));
            !mapped.flows.is_empty()
        });
        self.by_port = by_port;
        self.ports.retain(|_, port| self.by_port.contains_key(port));
    }

    fn is_alive(&self, now: u64, port: u32) -> bool {
        self.by_port.get(&port).is_some_and(|mapped| mapped.flows.values().any(|flow| self.lives(now, flow)))
    }

    fn lives(&self, now: u64, flow: &Flow) -> bool {
        let timeout = if flow.answered { self.nat.udp_stream_timeout } else { self.nat.udp_timeout };
        now - flow.last_at < (timeout.as_nanos() as u64).min(self.lifetime_max)
    }
}

impl Mapped {
    fn note(&mut self, outside: Addr, flow: Flow) {
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&outside) {
            let oldest = self.flows.iter().min_by_key(|(_, flow)| flow.last_at).map(|(to, _)| *to);
            self.flows.remove(&oldest.expect("it is full"));
        }
        self.flows.insert(outside, flow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::nat::Host;

    const SECOND: u64 = 1_000_000_000;

    fn addr(node: u32, port: u32) -> Addr {
        Addr { host: Host::Peer(node), port }
    }

    // Port by port, as RFC 4787 defines the words: who gets in after `inside` has sent to one address outside.
    #[test]
    fn mapping_and_filtering_are_those_of_the_rfc() {
        let (inside, known, other_port, stranger) = (addr(1, 1), addr(2, 1), addr(2, 2), addr(3, 1));
        let address_dependent = Nat { filtering: Filtering::AddressDependent, ..Nat::OPEN };
        for (nat, same_port, lets_in) in [
            (Nat::OPEN, true, [true, true, true]),
            (address_dependent, true, [true, true, false]),
            (Nat::MODERATE, true, [true, false, false]),
            (Nat::STRICT, false, [true, false, false]),
        ] {
            let mut table = Table::new(nat);
            let port = table.out(0, inside, known).unwrap();
            let from = [known, other_port, stranger];
            assert_eq!(from.map(|from| table.let_in(0, port, from).is_some()), lets_in, "{nat:?}");
            assert_eq!(table.out(0, inside, known), Some(port), "a mapping lasts");
            assert_eq!(table.out(0, inside, stranger) == Some(port), same_port, "{nat:?}");
            assert_eq!(table.let_in(0, port + 9, known), None, "a port that nobody has");
        }
    }

    #[test]
    fn a_mapping_is_forgotten_after_silence_and_later_once_it_was_answered() {
        let (inside, outside) = (addr(1, 1), addr(2, 1));
        let mut table = Table::new(Nat::MODERATE);
        let port = table.out(0, inside, outside).unwrap();
        assert_eq!(table.let_in(30 * SECOND, port, outside), None, "30 s unanswered");
        let port = table.out(30 * SECOND, inside, outside).unwrap();
        assert_eq!(table.let_in(59 * SECOND, port, outside), Some(inside));
        assert_eq!(table.out(358 * SECOND, inside, outside), Some(port), "299 s after the answer");
        assert_ne!(table.out(658 * SECOND, inside, outside), Some(port), "300 s after the last packet");
        let port = table.out(658 * SECOND, inside, outside).unwrap();
        table.set_lifetime_max(658 * SECOND, 0);
        assert_eq!(table.let_in(658 * SECOND, port, outside), None, "a fault forgets at once");
        table.set_lifetime_max(658 * SECOND, u64::MAX);
        assert_eq!(table.let_in(658 * SECOND, port, outside), None, "and for good");
    }

    #[test]
    fn a_full_nat_drops_what_is_new_until_something_is_forgotten() {
        let mut table = Table::new(Nat::STRICT);
        for number in 0..MAPPINGS_MAX as u32 {
            assert!(table.out(0, addr(1, 1), addr(2, number)).is_some());
        }
        assert_eq!(table.out(29 * SECOND, addr(1, 1), addr(3, 1)), None);
        assert!(table.out(30 * SECOND, addr(1, 1), addr(3, 1)).is_some());
        assert_eq!(table.by_port.len(), 1);
        for number in 0..2 * FLOWS_MAX as u32 {
            table.nat = Nat::OPEN;
            table.out(40 * SECOND, addr(1, 1), addr(2, number)).unwrap();
        }
        assert!(table.by_port.values().all(|mapped| mapped.flows.len() <= FLOWS_MAX));
    }
}
