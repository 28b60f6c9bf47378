//! How long an end waits for what a partition holds up.

use p2p::transport::TransportClosed;

use super::{EndId, Phase};
use crate::{
    trace::{Event, Record, What},
    world::{World, packet::CloseNotice, timer::TimerOf},
};

impl World {
    /// Starts to count how long this end's data is held up.
    pub(in crate::world) fn start_patience(&mut self, end: EndId) {
        let Some(state) = self.end(end) else {
            return;
        };
        if state.patience.is_some() || matches!(state.phase, Phase::Closed(..)) {
            return;
        }
        let timer = self.timers.create(TimerOf::Unacknowledged(end));
        self.end_mut(end).expect("looked up above").patience = Some(timer);
        let at = self.now + self.config.unacknowledged_max.as_nanos() as u64;
        self.timers.set(timer, at, self.ties.next());
    }

    pub(in crate::world) fn cancel_patience(&mut self, end: EndId) {
        if let Some(timer) = self.end_mut(end).and_then(|state| state.patience.take()) {
            self.timers.remove(timer);
        }
    }

    /// An end's data was held up for too long.
    pub(in crate::world) fn lose_patience(&mut self, end: EndId) {
        let Some(conn) = self.conns.get(end.conn) else {
            return;
        };
        let (src, dst) = self.links[conn.ends[end.side()].link as usize].numbers;
        self.cause = self.recorder.push(Record {
            conn: 2 * conn.number + u64::from(end.side),
            ..Record::new(self.now, self.cause, Event::GaveUp, What::Connection, src, dst)
        });
        self.close_end(end, TransportClosed::TimedOut, CloseNotice::Unknown);
    }
}
