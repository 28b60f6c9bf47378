//! Which flows there are, and when each was last heard of.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{FLOWS_MAX, SILENT_MIN};

/// Flows by number, bounded.
#[derive(Debug)]
pub(super) struct Flows<F> {
    by_number: BTreeMap<u32, (Instant, F)>,
    idle: Duration,
}

impl<F> Flows<F> {
    pub(super) const fn new(idle: Duration) -> Self {
        Self { by_number: BTreeMap::new(), idle }
    }

    /// The flow of that number, heard of now.
    pub(super) fn get(&mut self, number: u32, now: Instant) -> Option<&mut F> {
        let (heard, flow) = self.by_number.get_mut(&number)?;
        *heard = now;
        Some(flow)
    }

    /// Whether there is room for another, perhaps in the place of the one that is returned.
    pub(super) fn make_room(&mut self, now: Instant) -> Result<Option<(u32, F)>, ()> {
        if self.by_number.len() < FLOWS_MAX {
            return Ok(None);
        }
        let silent = self.by_number.iter().min_by_key(|(_, (heard, _))| *heard);
        match silent.map(|(number, (heard, _))| (*number, *heard)) {
            Some((number, heard)) if now - heard >= SILENT_MIN => Ok(self.remove(number).map(|flow| (number, flow))),
            _ => Err(()),
        }
    }

    pub(super) fn insert(&mut self, number: u32, flow: F, now: Instant) {
        self.by_number.insert(number, (now, flow));
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<F> {
        self.by_number.remove(&number).map(|(_, flow)| flow)
    }

    /// Takes out those that have been silent for too long.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<(u32, F)> {
        let idle = self.idle;
        self.by_number
            .extract_if(.., |_, (heard, _)| now - *heard >= idle)
            .map(|(number, (_, flow))| (number, flow))
            .collect()
    }

    /// How often to sweep: a flow lives at most a quarter longer than it may be silent.
    pub(super) fn sweep_period(&self) -> Duration {
        (self.idle / 4).max(Duration::from_millis(10))
    }

    /// How long a flow may be silent.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    pub(super) fn clear(&mut self) {
        self.by_number.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_silent_go_and_the_full_table_makes_room_only_for_the_silent() {
        let mut flows = Flows::new(Duration::from_secs(60));
        let start = Instant::now();
        for number in 0..FLOWS_MAX as u32 {
            flows.make_room(start).unwrap();
            flows.insert(number, (), start);
        }
        flows.make_room(start).expect_err("all were heard of just now");
        let later = start + SILENT_MIN;
        for number in 1..FLOWS_MAX as u32 {
            flows.get(number, later).unwrap();
        }
        assert_eq!(flows.make_room(later), Ok(Some((0, ()))));
        assert_eq!(flows.sweep(later + Duration::from_secs(59)).len(), 0);
        assert_eq!(flows.sweep(later + Duration::from_secs(60)).len(), FLOWS_MAX - 1);
    }
}
