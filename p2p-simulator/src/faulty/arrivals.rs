//! What has arrived and may not be seen yet.

use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
    time::Duration,
};

use p2p::{Instant, PeerId, Timer};

use super::weather::Weather;

/// Things kept at once, for one stream or for datagrams. Beyond it a stream's writer waits, and the oldest datagram is dropped.
pub(super) const ARRIVALS_MAX: usize = 256;

/// Time after which it is looked again at the earliest: twice the resolution of tokio's timers, which fire a little early now and
/// then. Looking again at once would leave its clock, if that is paused, no chance to get on.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(2);

/// Arrivals from one peer at another, in their order, each with when it may be seen.
pub(super) struct Arrivals<T> {
    waiting: VecDeque<(Instant, T)>,
    timer: Box<dyn Timer>,
    pub(super) gate: Gate,
}

/// Where something comes from and goes to, and the weather on the way.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) weather: Weather,
    pub(super) from: PeerId,
    pub(super) to: PeerId,
}

impl Gate {
    /// When it may open, if it is closed; nothing if it is open, and nothing within if never.
    pub(super) fn closed_until(&self) -> Option<Option<Instant>> {
        self.weather.on_link(self.from, self.to).stalled_until
    }

    /// A time to look again: then, but not before time has passed.
    fn not_at_once(&self, then: Instant) -> Instant {
        then.max(self.weather.now() + LOOK_AGAIN_MIN)
    }

    /// Waits until it is open.
    pub(super) fn poll_open(&self, timer: &mut Box<dyn Timer>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(until) = self.closed_until() {
            timer.reset(until.map(|until| self.not_at_once(until)));
            ready!(timer.poll_fired(cx));
        }
        Poll::Ready(())
    }
}

impl<T> Arrivals<T> {
    pub(super) fn new(gate: Gate) -> Self {
        Self { waiting: VecDeque::new(), timer: gate.weather.runtime().timer(), gate }
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= ARRIVALS_MAX
    }

    /// Something has arrived.
    pub(super) fn push(&mut self, thing: T) {
        let Gate { weather, from, to } = &self.gate;
        let delay = weather.delay(&weather.on_link(*from, *to), *from, *to);
        let last = self.waiting.back().map(|(at, _)| *at);
        let at = weather.now() + delay;
        self.waiting.push_back((last.map_or(at, |last| last.max(at)), thing));
    }

    /// Puts the rest of something back in its place.
    pub(super) fn put_back(&mut self, thing: T) {
        self.waiting.push_front((self.gate.weather.now(), thing));
    }

    pub(super) fn drop_oldest(&mut self) {
        self.waiting.pop_front();
    }

    /// Waits for the next that may be seen. With none there is nothing to wait for, and nobody is woken.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        loop {
            ready!(self.gate.poll_open(&mut self.timer, cx));
            let Some((at, _)) = self.waiting.front() else {
                return Poll::Pending;
            };
            if *at <= self.gate.weather.now() {
                return Poll::Ready(self.waiting.pop_front().expect("looked at above").1);
            }
            self.timer.reset(Some(self.gate.not_at_once(*at)));
            ready!(self.timer.poll_fired(cx));
        }
    }
}
