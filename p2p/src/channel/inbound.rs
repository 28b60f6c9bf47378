//! What has arrived and is not read yet. Nothing here waits.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    config::{ChannelConfig, ChannelKind},
    wire::{Ack, MESSAGE_COST, cost},
};

#[derive(Debug)]
pub(super) struct Inbound {
    config: ChannelConfig,
    queue: VecDeque<(Bytes, bool)>,
    queued_bytes: usize,
    /// As the peer counts them: of streams only.
    arrived: u64,
    consumed: u64,
    acknowledged: (u64, u64),
    /// The newest datagram's number, and one.
    newest: u64,
    messages: u64,
    frames: u64,
    late: u64,
    unread: u64,
}

impl Inbound {
    pub(super) fn new(config: &ChannelConfig) -> Self {
        Self {
            config: config.clone(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            arrived: 0,
            consumed: 0,
            acknowledged: (0, 0),
            newest: 0,
            messages: 0,
            frames: 0,
            late: 0,
            unread: 0,
        }
    }

    /// Takes a message from a stream. `ends` says that its frame ends with it.
    ///
    /// A peer that minds its credit stays within the queue and one batch; of unreliable channels the oldest make room.
    pub(super) fn push_stream(&mut self, message: Bytes, ends: bool) -> Result<(), String> {
        self.arrived += cost(&message) as u64;
        self.frames += u64::from(ends);
        self.queued_bytes += cost(&message);
        self.queue.push_back((message, true));
        if !self.config.kind.is_reliable() {
            self.make_room();
            return Ok(());
        }
        let batch = self.config.frame_bytes_max() + super::BATCH_MESSAGES_MAX * MESSAGE_COST;
        let limit = self.config.queue_bytes_max + batch * self.config.kind.lanes();
        if self.queued_bytes > limit {
            return Err(format!("over {limit} bytes unread on channel {:?}, more than was granted", self.config.name));
        }
        Ok(())
    }

    /// Takes what a datagram brought.
    pub(super) fn push_datagram(&mut self, sequence: u64, messages: Vec<Bytes>) {
        if self.config.kind == ChannelKind::UnreliableSequenced {
            if sequence < self.newest {
                self.late += messages.len() as u64;
                return;
            }
            self.newest = sequence + 1;
        }
        self.frames += 1;
        for message in messages {
            self.queued_bytes += cost(&message);
            self.queue.push_back((message, false));
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.queued_bytes > self.config.queue_bytes_max && self.queue.len() > 1 {
            self.pop();
            self.messages -= 1;
            self.unread += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let (message, by_stream) = self.queue.pop_front()?;
        self.queued_bytes -= cost(&message);
        if by_stream {
            self.consumed += cost(&message) as u64;
        }
        self.messages += 1;
        Some(message)
    }

    /// How far this side came, if the peer should hear of it: on arrival always, on reading once it is an eighth of the
    /// queue, or all, so that a peer without credit hears of it and a reader causes no packet per message.
    pub(super) fn ack(&mut self, channel: usize) -> Option<Ack> {
        if !self.wants_ack() {
            return None;
        }
        self.acknowledged = (self.arrived, self.consumed);
        Some(Ack { channel: channel as u64, arrived: self.arrived, consumed: self.consumed })
    }

    pub(super) fn wants_ack(&self) -> bool {
        let (arrived, consumed) = self.acknowledged;
        let read = self.consumed - consumed;
        arrived != self.arrived
            || read > 0 && read >= (self.config.queue_bytes_max as u64 / 8).min(self.arrived - consumed)
    }

    /// Messages and frames received, and messages dropped as late and as unread.
    pub(super) fn counts(&self) -> [u64; 4] {
        [self.messages, self.frames, self.late, self.unread]
    }
}
