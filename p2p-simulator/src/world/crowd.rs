//! Writers in front of a crowded link: they wait in line and take turns, so none starves.

use super::{World, link::LinkIx, stream::WriterId, timer::TimerOf};
use crate::config::SEGMENT_BYTES;

/// Bytes a waiting writer may put into the queue at its turn.
pub(super) const TURN_BYTES: u64 = 16 * SEGMENT_BYTES as u64;

impl World {
    /// Lets a writer wait until the link's queue has room.
    pub(super) fn wait_for_room(&mut self, link: LinkIx, writer: WriterId) {
        let state = &mut self.links[link as usize];
        state.writers.push_back(writer);
        if state.writers.len() == 1 && state.turns == 0 {
            // Half a queue at once, so that writers do not wake for every packet that leaves.
            let half = state.time_for(state.config.queue_bytes_max / 2);
            let at = state.free_at.saturating_sub(half).max(self.now + 1);
            self.set_room_timer(link, at);
        }
    }

    /// Gives waiting writers their turn, and looks again when they have had the time to take it.
    pub(super) fn wake_writers(&mut self, link: LinkIx) {
        let now = self.now;
        let state = &self.links[link as usize];
        // Whole turns only: a writer that got the rest of the room would have lost its place for it.
        let room_for = state.room(now) / TURN_BYTES.min(state.config.queue_bytes_max).max(1);
        let mut turns = 0;
        while turns < room_for {
            let Some(writer) = self.links[link as usize].writers.pop_front() else {
                break;
            };
            turns += u64::from(self.give_turn(writer));
        }
        let state = &mut self.links[link as usize];
        state.turns = turns;
        if turns > 0 || !state.writers.is_empty() {
            let at = now + state.time_for(turns.max(1) * TURN_BYTES).max(1);
            self.set_room_timer(link, at);
        }
    }

    fn set_room_timer(&mut self, link: LinkIx, at: u64) {
        let timer =
            *self.links[link as usize].room_timer.get_or_insert_with(|| self.timers.create(TimerOf::LinkRoom(link)));
        let tie = self.ties.next();
        self.timers.set(timer, at, tie);
    }
}
