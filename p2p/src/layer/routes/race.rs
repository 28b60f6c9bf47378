//! A dial: the most preferred route first, others in their turn, the first to succeed.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use super::{super::reconnect::replace, Turn, table::Table};
use crate::{BoxFuture, ConnectionConfig, Instant, P2PConnection, P2PError, PeerAddr, RefusalCode, Result, Timer};

type Dialled = Result<Arc<dyn P2PConnection>>;

/// Dials, and says which route it was.
///
/// # Cancel safety
/// Dropping the future gives up the attempts on all routes.
pub(super) async fn dial(
    table: &Table,
    addr: PeerAddr,
    config: ConnectionConfig,
) -> Result<(usize, Arc<dyn P2PConnection>)> {
    let runtime = &table.runtime;
    let ranked = table.order.read(|order| order.ranked());
    let race = Race {
        table,
        began: runtime.now(),
        waiting: ranked.clone().into(),
        ranked,
        running: Vec::new(),
        failures: BTreeMap::new(),
        turn: runtime.timer(),
        addr,
        config,
    };
    race.run().await
}

struct Race<'a> {
    table: &'a Table,
    addr: PeerAddr,
    config: ConnectionConfig,
    began: Instant,
    /// All that may be tried, in order.
    ranked: Vec<usize>,
    /// Routes whose turn has not come, in order.
    waiting: VecDeque<usize>,
    running: Vec<(usize, BoxFuture<'static, Dialled>)>,
    /// By the place in the order.
    failures: BTreeMap<usize, P2PError>,
    /// The turn of the next route.
    turn: Box<dyn Timer>,
}

enum Event {
    Turn,
    Ended(usize, Dialled),
}

impl Race<'_> {
    async fn run(mut self) -> Result<(usize, Arc<dyn P2PConnection>)> {
        loop {
            if self.running.is_empty() && !self.start_next() {
                return Err(self.failure());
            }
            match poll_fn(|cx| self.poll(cx)).await {
                Event::Turn => drop(self.start_next()),
                Event::Ended(route, Ok(connection)) => return Ok((route, connection)),
                Event::Ended(_, Err(error @ P2PError::InvalidInput { .. })) => return Err(error),
                Event::Ended(route, Err(error)) => {
                    self.table.entries[route].failures.fetch_add(1, Relaxed);
                    if speaks_for_all_routes(&error) {
                        self.waiting.clear();
                    }
                    let place = self.ranked.iter().position(|&ranked| ranked == route);
                    self.failures.insert(place.unwrap_or(usize::MAX), error);
                }
            }
        }
    }

    /// Begins the dial on the next route, if there is one and time is left for it.
    fn start_next(&mut self) -> bool {
        self.turn.reset(None);
        let now = self.table.runtime.now();
        let left = self.config.handshake_timeout.saturating_sub(now - self.began);
        if left.is_zero() && now != self.began {
            return false;
        }
        let Some(route) = self.waiting.pop_front() else { return false };
        let entry = &self.table.entries[route];
        entry.dials.fetch_add(1, Relaxed);
        let (provider, addr) = (entry.provider.clone(), self.addr.clone());
        let mut config = self.config.clone();
        config.handshake_timeout = left;
        self.running.push((route, Box::pin(async move { provider.connect_with(addr, config).await })));
        if let Some(Turn::After(delay)) = self.waiting.front().map(|&next| self.table.entries[next].turn) {
            self.turn.reset(Some(now + delay + self.table.patience(self.addr.peer, route)));
        }
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        for place in 0..self.running.len() {
            let (route, dial) = &mut self.running[place];
            if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
                let route = *route;
                drop(self.running.remove(place));
                return Poll::Ready(Event::Ended(route, dialled));
            }
        }
        if self.waiting.is_empty() {
            return Poll::Pending;
        }
        self.turn.poll_fired(cx).map(|()| Event::Turn)
    }

    /// The error of all: what the peer said, else that of the best route.
    ///
    /// Not so when a session resumes. The peer may then have heard of the attempt by another route, whose answer was lost,
    /// and refuse it as used. So an error that may pass comes first, and the session tries again.
    fn failure(self) -> P2PError {
        let none = P2PError::ConnectionFailed { peer: self.addr.peer, source: "no route is enabled".into() };
        let resumes = replace::is_resume(&self.config);
        let mut failures: Vec<_> = self.failures.into_values().collect();
        failures.sort_by_key(|failure| match resumes {
            true => !failure.is_retryable(),
            false => !matches!(failure, P2PError::Refused { .. }),
        });
        failures.into_iter().next().unwrap_or(none)
    }
}

/// Whether the peer said what is true of it by whichever route it is asked.
fn speaks_for_all_routes(error: &P2PError) -> bool {
    match error {
        P2PError::Refused { refusal, .. } => matches!(refusal.code, RefusalCode::Busy | RefusalCode::RateLimited),
        _ => false,
    }
}
