//! Who uses the tunnel now: the existing ones that phase 2 leaves where they are.

use std::{collections::BTreeMap, time::Duration};

use p2p::Instant;

use crate::route::ClientId;

/// Clients with something in flight over the tunnel, or that had a moment ago. At most [`CLIENTS_MAX`].
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(BTreeMap<ClientId, Use>);

#[derive(Debug, Clone, Copy)]
struct Use {
    in_flight: u32,
    last: Instant,
}

/// Clients that are remembered. Beyond it one that is idle is forgotten, and begins anew with its next request; if none is idle, the
/// further one is not remembered.
const CLIENTS_MAX: usize = 10_000;

impl Clients {
    /// Whether a client counts as an existing one.
    pub(super) fn uses(&self, now: Instant, client: &ClientId, idle_after: Duration) -> bool {
        self.0.get(client).is_some_and(|user| user.in_flight > 0 || user.last + idle_after > now)
    }

    pub(super) fn begin(&mut self, now: Instant, client: &ClientId, idle_after: Duration) {
        if let Some(user) = self.0.get_mut(client) {
            user.in_flight = user.in_flight.saturating_add(1);
            user.last = now;
            return;
        }
        if self.0.len() >= CLIENTS_MAX {
            self.0.retain(|_, user| user.in_flight > 0 || user.last + idle_after > now);
        }
        if self.0.len() >= CLIENTS_MAX {
            let idle = self.0.iter().find(|(_, user)| user.in_flight == 0).map(|(client, _)| client.clone());
            match idle {
                Some(idle) => self.0.remove(&idle),
                None => return,
            };
        }
        self.0.insert(client.clone(), Use { in_flight: 1, last: now });
    }

    pub(super) fn end(&mut self, now: Instant, client: &ClientId) {
        if let Some(user) = self.0.get_mut(client) {
            user.in_flight = user.in_flight.saturating_sub(1);
            user.last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn client(name: impl ToString) -> ClientId {
        name.to_string().parse().unwrap()
    }

    #[test]
    fn a_client_uses_the_tunnel_until_it_has_been_idle_for_a_while() {
        let (mut clients, a) = (Clients::default(), client("a"));
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert!(!clients.uses(at(0), &a, IDLE));
        clients.begin(at(0), &a, IDLE);
        clients.begin(at(0), &a, IDLE);
        clients.end(at(1), &a);
        assert!(clients.uses(at(1_000), &a, IDLE), "one is in flight");
        clients.end(at(1_000), &a);
        assert!(clients.uses(at(1_029), &a, IDLE) && !clients.uses(at(1_030), &a, IDLE));
    }

    #[test]
    fn who_is_remembered_is_bounded_and_what_is_in_flight_is_kept() {
        let mut clients = Clients::default();
        (0..2 * CLIENTS_MAX).for_each(|n| clients.begin(Instant::ZERO, &client(n), IDLE));
        assert_eq!(clients.0.len(), CLIENTS_MAX);
        let busy = clients.0.keys().next().unwrap().clone();
        clients.0.keys().skip(1).cloned().collect::<Vec<_>>().iter().for_each(|c| clients.end(Instant::ZERO, c));
        clients.begin(Instant::ZERO, &client("new"), IDLE);
        assert!(clients.0.contains_key(&busy) && clients.0.contains_key(&client("new")));
        assert_eq!(clients.0.len(), CLIENTS_MAX);
    }
}
