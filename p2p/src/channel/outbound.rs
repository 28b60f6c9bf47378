//! What waits to be sent, and whose turn it is: queues, windows and deficit round robin. Nothing here waits.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    config::ChannelConfig,
    wire::{Ack, MESSAGE_COST, cost},
};
use crate::Instant;

/// Bytes under way on all streams together, from being handed to the transport until the peer's channels have them.
///
/// What is under way can't be overtaken, so this is how long a line can be busy before an urgent message: 256 KiB are 21
/// ms at 100 Mbit/s. It also bounds throughput to 256 KiB per round trip, 25 Mbit/s at 80 ms.
pub(super) const WINDOW_BYTES: u64 = 256 * 1024;

/// Bytes that a channel of priority 1 sends in a round. As large as a default batch, so that a batch takes one turn.
pub(super) const QUANTUM_BYTES: i64 = 16 * 1024;

#[derive(Debug)]
pub(super) struct Outbound {
    channels: Vec<Sending>,
    /// Whose turn it is.
    cursor: usize,
}

#[derive(Debug)]
struct Sending {
    config: ChannelConfig,
    by_datagram: bool,
    queue: VecDeque<(Bytes, Instant)>,
    queued_bytes: usize,
    /// Bytes that may still be sent in this round; below zero after a frame that was larger.
    deficit: i64,
    sent_last: Option<Instant>,
    /// How much the peer keeps unread.
    credit: u64,
    sent: u64,
    arrived: u64,
    consumed: u64,
    dropped: u64,
    dropped_suspended: u64,
    messages: u64,
    frames: u64,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Turn {
    /// Send these as one frame of that channel.
    Frame(usize, Vec<Bytes>),
    /// Nothing to send before then.
    Wait(Option<Instant>),
}

impl Outbound {
    pub(super) fn new(channels: &[ChannelConfig], credits: impl Iterator<Item = u64>, datagrams: bool) -> Self {
        let channels = channels.iter().zip(credits).map(|(config, credit)| Sending {
            config: config.clone(),
            by_datagram: datagrams && !config.kind.is_reliable(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            deficit: 0,
            sent_last: None,
            credit,
            sent: 0,
            arrived: 0,
            consumed: 0,
            dropped: 0,
            dropped_suspended: 0,
            messages: 0,
            frames: 0,
        });
        Self { channels: channels.collect(), cursor: 0 }
    }

    pub(super) fn by_datagram(&self, channel: usize) -> bool {
        self.channels[channel].by_datagram
    }

    /// Takes a message, or gives it back if the channel is reliable and its queue full. An unreliable channel drops its
    /// oldest instead.
    pub(super) fn push(&mut self, channel: usize, message: Bytes, now: Instant) -> Result<(), Bytes> {
        let sending = &mut self.channels[channel];
        if sending.config.kind.is_reliable() {
            if sending.queued_bytes >= sending.config.queue_bytes_max {
                return Err(message);
            }
        } else {
            while sending.queued_bytes + cost(&message) > sending.config.queue_bytes_max && sending.pop().is_some() {
                sending.dropped += 1;
            }
        }
        sending.queued_bytes += cost(&message);
        sending.queue.push_back((message, now));
        Ok(())
    }

    /// Drops what unreliable channels have waiting, as the connection has no transport.
    pub(super) fn drop_unreliable(&mut self) {
        for sending in self.channels.iter_mut().filter(|sending| !sending.config.kind.is_reliable()) {
            while sending.pop().is_some() {
                sending.dropped_suspended += 1;
            }
        }
    }

    /// Counts a frame that the transport took no part of: a path became narrower or lost its datagrams.
    pub(super) fn undelivered(&mut self, channel: usize, messages: u64) {
        self.channels[channel].dropped += messages;
        self.channels[channel].messages -= messages;
        self.channels[channel].frames -= 1;
    }

    /// Notes how far the peer came.
    pub(super) fn acknowledge(&mut self, ack: Ack) -> Result<(), String> {
        let index = usize::try_from(ack.channel).unwrap_or(usize::MAX);
        let channels = self.channels.len();
        let Some(sending) = self.channels.get_mut(index) else {
            return Err(format!("an acknowledgement for channel {}, of {channels}", ack.channel));
        };
        let forward = sending.arrived <= ack.arrived && sending.consumed <= ack.consumed;
        if !forward || ack.arrived > sending.sent || ack.consumed > ack.arrived {
            return Err(format!(
                "an acknowledgement of {} and {} bytes on channel {:?}, after {} and {}, with {} sent",
                ack.arrived, ack.consumed, sending.config.name, sending.arrived, sending.consumed, sending.sent
            ));
        }
        (sending.arrived, sending.consumed) = (ack.arrived, ack.consumed);
        Ok(())
    }

    /// Bytes that streams carry and the peer has not acknowledged.
    pub(super) fn under_way(&self) -> u64 {
        self.channels.iter().map(|sending| sending.sent - sending.arrived).sum()
    }

    /// Whether everything accepted has reached the peer's channels, or was handed to a datagram.
    pub(super) fn is_drained(&self) -> bool {
        self.under_way() == 0 && self.channels.iter().all(|sending| sending.queue.is_empty())
    }

    /// Picks the next frame by deficit round robin, among channels that may send; those on streams if `is_free`.
    ///
    /// Each channel that may send does so in every round, for `priority` quanta and one frame at most, so between two
    /// turns of a channel the others send at most that much each.
    ///
    /// `room` is how many bytes a datagram has for messages. At the end (`flush`) no batch waits.
    pub(super) fn next(&mut self, now: Instant, flush: bool, room: usize, is_free: bool) -> Turn {
        let under_way = self.under_way();
        let mut wake: Option<Instant> = None;
        let ready: Vec<bool> = (0..self.channels.len())
            .map(|index| {
                let sending = &self.channels[index];
                let window = under_way < WINDOW_BYTES && sending.sent - sending.consumed < sending.credit;
                if sending.queue.is_empty() || !(sending.by_datagram || window && is_free) {
                    return false;
                }
                match sending.due(now, under_way > 0) {
                    Some(due) if due > now && !flush => {
                        wake = Some(wake.map_or(due, |earlier| earlier.min(due)));
                        false
                    }
                    _ => true,
                }
            })
            .collect();
        if !ready.contains(&true) {
            return Turn::Wait(wake);
        }
        loop {
            let index = self.cursor;
            let sending = &mut self.channels[index];
            if ready[index] && sending.deficit > 0 {
                return Turn::Frame(index, sending.take_batch(now, room));
            }
            self.cursor = (index + 1) % self.channels.len();
            let next = &mut self.channels[self.cursor];
            if ready[self.cursor] {
                next.deficit = next.deficit.min(0) + i64::from(next.config.priority) * QUANTUM_BYTES;
            }
        }
    }

    /// Messages and frames sent, and messages dropped by a full queue and for want of a transport.
    pub(super) fn counts(&self, channel: usize) -> [u64; 4] {
        let sending = &self.channels[channel];
        [sending.messages, sending.frames, sending.dropped, sending.dropped_suspended]
    }
}

impl Sending {
    fn pop(&mut self) -> Option<Bytes> {
        let (message, _) = self.queue.pop_front()?;
        self.queued_bytes -= cost(&message);
        Some(message)
    }

    /// When the batch leaves; nothing if at once.
    fn due(&self, now: Instant, under_way: bool) -> Option<Instant> {
        let batching = &self.config.batching;
        let payload = self.queued_bytes - self.queue.len() * MESSAGE_COST;
        if payload >= batching.max_batch_bytes || self.queue.len() >= batching.max_batch_messages {
            return None;
        }
        let sent_lately = self.sent_last.is_some_and(|sent| now < sent + batching.max_wait_time);
        let (_, oldest) = self.queue.front()?;
        (under_way || sent_lately).then(|| *oldest + batching.max_wait_time)
    }

    fn take_batch(&mut self, now: Instant, room: usize) -> Vec<Bytes> {
        let batching = self.config.batching;
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut spent = 0;
        while let Some((next, _)) = self.queue.front() {
            let too_wide = self.by_datagram && bytes + next.len() + super::wire::LENGTH_BYTES > room;
            let full = bytes >= batching.max_batch_bytes || batch.len() >= batching.max_batch_messages;
            if !batch.is_empty() && (too_wide || full) {
                break;
            }
            bytes += next.len() + if self.by_datagram { super::wire::LENGTH_BYTES } else { 0 };
            spent += cost(next) as u64;
            batch.extend(self.pop());
        }
        if !self.by_datagram {
            self.sent += spent;
        }
        self.deficit -= spent as i64;
        self.sent_last = Some(now);
        self.messages += batch.len() as u64;
        self.frames += 1;
        batch
    }
}
