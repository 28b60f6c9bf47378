//! Transports come and go: how far each side is, and what a new transport makes of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{
        config::Mutant,
        direction::SendPhase,
        replay::Rewound,
        seen::Seen,
        wire::{Frame, Progress, StreamProgress},
    },
    Finish, Link, State, Stream, Violation,
};
use crate::{CloseCode, CloseReason, P2PConnection};

impl State {
    /// How far this side has come. Final while there is no transport.
    pub(in crate::layer::reconnect) fn progress(&self) -> Progress {
        let mistake = u64::from(self.mutant == Some(Mutant::WrongOffset));
        let streams = self.streams.iter().filter(|(_, stream)| stream.recv.end.is_none());
        let streams = streams.filter(|(id, stream)| !self.is_ours(**id) || stream.send.announced);
        Progress {
            messages: self.received,
            streams: streams
                .map(|(&id, Stream { recv, .. })| StreamProgress {
                    id,
                    offset: recv.offset + if recv.offset > 0 { mistake } else { 0 },
                    stopped: recv.stopped,
                })
                .collect(),
            seen: self.seen.clone(),
        }
    }

    /// Whether a peer may be where it says it is.
    pub(in crate::layer::reconnect) fn check(&self, theirs: &Progress) -> Result<(), Violation> {
        if self.mutant.is_some() {
            return Ok(());
        }
        self.messages.check(theirs.messages)?;
        for entry in &theirs.streams {
            match self.streams.get(&entry.id) {
                Some(stream) if stream.send.has_data() => stream.send.replay.check(entry.offset)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Ends the present transport, if there is one, and takes what had arrived on it. [`progress`](Self::progress) is
    /// final from here on.
    pub(in crate::layer::reconnect) fn detach(&mut self, close: (CloseCode, &str)) {
        let Some(Link { connection, .. }) = self.link.take() else { return };
        connection.close(close.0, close.1);
        self.totals.replay_bytes_peak.raise(self.budget.peak() as u64);
        let drain = self.mutant != Some(Mutant::NoDraining);
        while let Ok(Some(message)) = connection.try_recv() {
            self.received += 1;
            if drain {
                self.inbox.push_back(message);
            }
        }
        for stream in self.streams.values_mut() {
            stream.recv.detach(drain);
            stream.send.detach();
            self.wakes.extend(stream.recv.take_waker());
            self.wakes.extend(stream.send.take_waker());
        }
        self.to_open.clear();
        self.frames.clear();
        self.over.clear();
        drop(self.acks.take());
        self.wakes.extend(self.waiting.take_all().into_values());
        self.wake_driver();
        self.retire_all();
    }

    /// Whether something was accepted and is not known to have arrived.
    pub(in crate::layer::reconnect) fn has_unacknowledged(&self) -> bool {
        self.budget.used() > 0
    }

    /// A new transport, over which the peer says how far it has come.
    pub(in crate::layer::reconnect) fn attach(
        &mut self,
        connection: Arc<dyn P2PConnection>,
        theirs: &Progress,
    ) -> Result<Link, Violation> {
        self.check(theirs)?;
        self.rewind(theirs)?;
        self.epoch += 1;
        self.since = None;
        self.moving = false;
        self.expected = None;
        let link = Link { connection, epoch: self.epoch };
        self.link = Some(link.clone());
        self.wakes.extend(self.waiting.take_all().into_values());
        self.wake_driver();
        Ok(link)
    }

    pub(super) fn rewind(&mut self, theirs: &Progress) -> Result<(), Violation> {
        let messages = match self.mutant {
            Some(Mutant::NoDuplicateCheck) => self.messages.rewind(self.messages.acked())?,
            Some(Mutant::EarlyAcknowledgement) => self.messages.rewind(theirs.messages.max(self.messages.acked()))?,
            Some(Mutant::LostWindow) => {
                self.messages.rewind(theirs.messages)?;
                self.messages.rewind(self.messages.sent_max())?
            }
            _ => self.messages.rewind(theirs.messages)?,
        };
        self.rewound(messages);
        let listed: BTreeMap<u64, &StreamProgress> = theirs.streams.iter().map(|entry| (entry.id, entry)).collect();
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            self.rewind_stream(id, listed.get(&id).copied(), &theirs.seen)?;
        }
        for entry in &theirs.streams {
            let writing = self.streams.get(&entry.id).is_some_and(|stream| !stream.send.done);
            if !writing && (self.is_ours(entry.id) || self.seen.contains(entry.id / 2)) {
                // It ended here and that was forgotten; the reader must not wait.
                self.frames.push_back(Frame::Reset { stream: entry.id, code: 0 });
            }
        }
        Ok(())
    }

    pub(super) fn rewind_stream(
        &mut self,
        id: u64,
        listed: Option<&StreamProgress>,
        seen: &Seen,
    ) -> Result<(), Violation> {
        let ours = self.is_ours(id);
        let stream = self.streams.get_mut(&id).expect("its number was just read");
        if !stream.send.done {
            match listed {
                Some(entry) => {
                    if self.mutant == Some(Mutant::ForgetsFinish) && stream.send.phase == SendPhase::Finished {
                        stream.send.phase = SendPhase::Open;
                    }
                    let received = match self.mutant {
                        Some(Mutant::WrongOffset) => entry.offset.min(stream.send.replay.sent()),
                        _ => entry.offset,
                    };
                    let mut rewound = Rewound::default();
                    if stream.send.has_data() {
                        rewound = stream.send.replay.rewind(received)?;
                    }
                    if let Some(code) = entry.stopped {
                        self.stopped(id, code);
                    } else if let SendPhase::Reset(code) | SendPhase::Stopped(code) = stream.send.phase
                        && self.mutant != Some(Mutant::ForgetsReset)
                    {
                        self.frames.push_back(Frame::Reset { stream: id, code });
                    }
                    self.rewound(rewound);
                }
                // Received to its end: the peer reads no more of it.
                None if !ours || seen.contains(id / 2) => {
                    let freed = stream.send.end();
                    self.wakes.extend(stream.send.take_waker());
                    self.budget.give_back(freed);
                }
                // Never seen.
                None => {
                    let mut rewound = Rewound::default();
                    if stream.send.has_data() {
                        rewound = stream.send.replay.rewind(0)?;
                    }
                    if let SendPhase::Reset(code) | SendPhase::Stopped(code) = stream.send.phase {
                        self.frames.push_back(Frame::Reset { stream: id, code });
                    }
                    self.rewound(rewound);
                }
            }
        }
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        if let Some(code) = stream.recv.stopped.filter(|_| stream.recv.end.is_none()) {
            self.frames.push_back(Frame::Stop { stream: id, code });
        }
        if ours && !stream.is_over() {
            self.to_open.insert(id);
        }
        self.retire(id);
        Ok(())
    }

    pub(super) fn rewound(&mut self, Rewound { freed, suppressed }: Rewound) {
        self.budget.give_back(freed);
        self.totals.duplicates_suppressed.add(suppressed);
    }

    /// The session is over: forgets what waits for the peer, and wakes everybody.
    pub(in crate::layer::reconnect) fn end(&mut self, reason: CloseReason, close: (CloseCode, &str)) {
        let finished = self.finish == Finish::Done;
        self.closed = Some(reason);
        self.detach(close);
        for stream in self.streams.values_mut() {
            stream.send.delivered |= finished && stream.send.phase == SendPhase::Finished;
            let freed = stream.send.replay.clear();
            self.budget.give_back(freed);
            stream.permit = None;
            self.wakes.extend(stream.recv.take_waker());
            self.wakes.extend(stream.send.take_waker());
        }
        let freed = self.messages.clear();
        self.budget.give_back(freed);
        for waiters in [&mut self.senders, &mut self.waiting, &mut self.acceptors] {
            self.wakes.extend(waiters.take_all().into_values());
        }
        self.wake_driver();
    }
}
