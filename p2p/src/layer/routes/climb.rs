//! Brings a session back to a better route.

use std::{
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    super::reconnect::replace,
    table::{Order, Table},
};
use crate::{ConnectionConfig, ConnectionState, P2PConnection, PeerAddr, RuntimeExt, TaskHandle, Watch};

/// Watches over a connection that carries a session, until it ends or the handle is dropped. Nothing for one that
/// carries none: it could not go on elsewhere.
pub(super) fn start(
    table: &Arc<Table>,
    route: usize,
    (addr, config): (PeerAddr, ConnectionConfig),
    connection: &Arc<dyn P2PConnection>,
) -> Option<TaskHandle> {
    if table.entries.len() == 1 {
        return None;
    }
    let question = replace::question(&config, connection.negotiated())?;
    let climb = Climb { table: table.clone(), route, addr, question, connection: Arc::downgrade(connection) };
    let (order, mut state) = (table.order.subscribe(), connection.state());
    let task = async move {
        crate::select! {
            _ = state.wait_for(ConnectionState::is_closed) => {}
            () = climb.run(order) => {}
        }
    };
    Some(table.runtime.spawn("climb to a better route", Box::pin(task)))
}

struct Climb {
    table: Arc<Table>,
    route: usize,
    addr: PeerAddr,
    question: ConnectionConfig,
    connection: Weak<dyn P2PConnection>,
}

/// The first time a better route is asked, at most, counted from when the session came to its own.
const FIRST: Duration = Duration::from_secs(1);

/// The longest time between two questions. A route that was down for long is found again in this time.
const LONGEST: Duration = Duration::from_secs(60);

impl Climb {
    /// Ends when the session was told to move.
    async fn run(self, mut order: Watch<Order>) {
        let mut longest = FIRST;
        let mut at_once = false;
        loop {
            let better = self.table.order.read(|order| order.better_than(self.route));
            let pause = match at_once {
                true => Duration::ZERO,
                // Spread, because all of a server's clients lose it in the same moment.
                false => self.table.rng.lock().duration_between(longest / 2, longest),
            };
            at_once = false;
            let due = async {
                match better.is_empty() {
                    true => std::future::pending().await,
                    false => self.table.runtime.sleep(pause).await,
                }
            };
            crate::select! {
                changed = order.changed() => match changed {
                    Ok(_) => (longest, at_once) = (FIRST, true),
                    Err(_) => return,
                },
                () = due => {
                    if self.try_each(&better).await {
                        return;
                    }
                    longest = (longest * 2).min(LONGEST);
                }
            }
        }
    }

    async fn try_each(&self, better: &[usize]) -> bool {
        for &route in better {
            if !self.leads_to_the_session(route).await {
                continue;
            }
            // Meanwhile somebody may have changed the order.
            if !self.table.order.read(|order| order.better_than(self.route).contains(&route)) {
                return false;
            }
            let Some(connection) = self.connection.upgrade() else { return true };
            let names = [self.route, route].map(|route| self.table.entries[route].name.as_str());
            tracing::debug!(peer = ?self.addr.peer, from = names[0], to = names[1], "A session moves to a better route.");
            self.table.entries[route].moves.fetch_add(1, Relaxed);
            replace::end(&*connection);
            return true;
        }
        false
    }

    async fn leads_to_the_session(&self, route: usize) -> bool {
        let (runtime, provider) = (&self.table.runtime, &self.table.entries[route].provider);
        let began = runtime.now();
        let answer = provider.connect_with(self.addr.clone(), self.question.clone()).await;
        let known = replace::is_known(&answer);
        if known {
            self.table.prove(self.addr.peer, route, runtime.now() - began);
        }
        known
    }
}
