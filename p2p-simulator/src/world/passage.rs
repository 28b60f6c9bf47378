//! What a link decides about a packet as it is sent.

use super::{
    World,
    draw::{Draws, LinkDraws, Purpose},
    link::LinkIx,
    retransmission,
};
use crate::{LinkConfig, latency::share};

/// What becomes of a packet.
pub(super) struct Passage {
    /// When the copy that gets through leaves.
    pub(super) leaves_at: u64,
    /// When it arrives, if it is not lost.
    pub(super) arrives_at: u64,
    /// How often a segment of it is lost first.
    pub(super) losses: u32,
}

impl Passage {
    /// There was no room in front of the link.
    pub(super) const DROPPED: Self = Self { leaves_at: u64::MAX, arrives_at: u64::MAX, losses: 1 };
}

/// Retransmissions of a segment after which it gets through, whatever the loss: beyond any idle timeout.
const LOSSES_MAX: u32 = 32;

/// Draws that most links never need, kept apart so that those stay small.
pub(super) struct RareDraws {
    latency: LinkDraws,
    reorder: LinkDraws,
    reorder_by: LinkDraws,
    duplication: LinkDraws,
    corruption: LinkDraws,
}

/// What befalls one segment beyond loss and jitter.
struct Quirks {
    /// Beyond the typical latency; less is negative.
    later: i64,
    corruptions: u32,
    copies: u64,
}

impl RareDraws {
    pub(super) fn new(on_link: impl Fn(Purpose) -> LinkDraws) -> Self {
        Self {
            latency: on_link(Purpose::Latency),
            reorder: on_link(Purpose::Reorder),
            reorder_by: on_link(Purpose::ReorderBy),
            duplication: on_link(Purpose::Duplication),
            corruption: on_link(Purpose::Corruption),
        }
    }

    fn of_segment(&mut self, config: &LinkConfig, all: &mut Draws, segment: u64) -> Quirks {
        let typical = config.latency.typical().as_nanos() as u64;
        let latency = config.latency.at(self.latency.at(all, segment));
        let late = config.reorder.happens(self.reorder.at(all, segment));
        let late_by = if late { share(latency, self.reorder_by.at(all, segment)) } else { 0 };
        Quirks {
            later: (latency + late_by).cast_signed() - typical.cast_signed(),
            corruptions: config.corruption.times_in_a_row(self.corruption.at(all, segment), LOSSES_MAX),
            copies: config.duplication.happens(self.duplication.at(all, segment)).into(),
        }
    }
}

impl World {
    /// Puts a packet of so many bytes on the link and tells what becomes of it. Uses up one draw of each kind for each
    /// segment, whatever the link is like.
    pub(super) fn pass(&mut self, link: LinkIx, bytes: usize) -> Passage {
        let retransmit_after = self.retransmit_after(link);
        let state = &mut self.links[link as usize];
        state.free_at = self.now.max(state.free_at) + state.time_for(bytes as u64);
        let departs_at = state.free_at;
        let first = state.segments;
        state.segments += bytes.div_ceil(state.config.mtu_bytes as usize).max(1) as u64;
        let mut passage = Passage { leaves_at: departs_at, arrives_at: 0, losses: 0 };
        let (loss, jitter_max) = (state.config.loss, state.config.jitter.as_nanos() as u64);
        let rare = state.is_rare;
        // Beyond the typical latency; without quirks nothing arrives before it.
        let mut last = if rare { i64::MIN } else { 0 };
        let mut copies = 0;
        if !loss.is_never() || jitter_max > 0 || rare {
            for segment in first..state.segments {
                let mut losses = 0;
                let mut later = 0;
                if !loss.is_never() {
                    losses = loss.times_in_a_row(state.loss.at(&mut self.draws, segment), LOSSES_MAX);
                }
                if rare {
                    let draws = state.rare.as_mut().expect("made with the settings that need it");
                    let quirks = draws.of_segment(&state.config, &mut self.draws, segment);
                    losses += quirks.corruptions;
                    later += quirks.later;
                    copies += quirks.copies;
                }
                if losses > 0 {
                    passage.losses += losses;
                    let again = retransmission::backoff(retransmit_after, losses);
                    passage.leaves_at = passage.leaves_at.max(departs_at + again);
                    later += again.cast_signed();
                }
                if jitter_max > 0 {
                    later += share(jitter_max, state.jitter.at(&mut self.draws, segment)).cast_signed();
                }
                last = last.max(later);
            }
        }
        if copies > 0 {
            state.free_at += state.time_for(copies * (bytes as u64).min(state.config.mtu_bytes.into()));
        }
        passage.arrives_at = (departs_at + state.typical_latency + state.slow).saturating_add_signed(last);
        passage
    }
}
