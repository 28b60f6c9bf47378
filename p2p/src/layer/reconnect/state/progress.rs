//! How far each side is when a new transport takes over, told in parts, and what this side makes of each part.

use super::{
    super::{
        config::Mutant,
        direction::SendPhase,
        progress::{Part, Progress, StreamProgress},
        replay::Rewound,
        seen::Seen,
        wire::Frame,
    },
    State, Stream, Violation,
};

/// What is still to be told over the present transport: the number of the stream from which on, or nothing.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// By this side.
    ours: Option<u64>,
    /// By the peer. Streams of which it did not tell are *held*: nothing is written to them, and nothing said of them.
    theirs: Option<u64>,
    /// How much the peer told.
    entries: usize,
}

impl State {
    /// How far this side has come. Final while there is no transport. What it does not say is said by
    /// [`take_part`](Self::take_part), and is just as final until then: nobody writes to a stream of which he was not told.
    pub(in crate::layer::reconnect) fn progress(&mut self) -> Progress {
        let part = self.part(0);
        self.telling.ours = part.until;
        Progress { messages: self.received, part }
    }

    /// The next part that the handshake had no room for.
    pub(super) fn take_part(&mut self) -> Option<Frame> {
        let part = self.part(self.telling.ours?);
        self.telling.ours = part.until;
        Some(Frame::Progress(part))
    }

    fn part(&self, from: u64) -> Part {
        let mistake = u64::from(self.mutant == Some(Mutant::WrongOffset));
        let streams = self.streams.range(from.saturating_mul(2)..).filter(|(_, stream)| stream.recv.end.is_none());
        let streams = streams.filter(|(id, stream)| !self.is_ours(**id) || stream.send.announced);
        let streams = streams.map(|(&id, Stream { recv, .. })| StreamProgress {
            id,
            offset: recv.offset + if recv.offset > 0 { mistake } else { 0 },
            stopped: recv.stopped,
        });
        Part::gather(from, streams, &self.seen, self.part_entries_max)
    }

    /// Whether a peer may be where it says it is.
    pub(in crate::layer::reconnect) fn check(&self, theirs: &Progress) -> Result<(), Violation> {
        if self.mutant.is_some() {
            return Ok(());
        }
        self.messages.check(theirs.messages)?;
        theirs.part.check(0)?;
        for entry in &theirs.part.streams {
            match self.streams.get(&entry.id) {
                Some(stream) if stream.send.has_data() => stream.send.replay.check(entry.offset)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the peer has still to tell of streams. It says nothing else until it has.
    pub(super) const fn is_being_told(&self) -> bool {
        self.telling.theirs.is_some()
    }

    /// Goes back to where the peer is, as far as it said in the handshake.
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
        self.streams.values_mut().for_each(|stream| stream.send.held = true);
        self.telling.theirs = Some(0);
        self.telling.entries = 0;
        self.handle_part(&theirs.part)
    }

    /// Nobody is told any more: the transport is gone.
    pub(super) fn stop_telling(&mut self) {
        self.telling = Telling::default();
    }

    /// The peer tells of the next streams. Those that were opened since the handshake need no telling.
    pub(super) fn handle_part(&mut self, part: &Part) -> Result<(), Violation> {
        let Some(from) = self.telling.theirs else { return Err("a part of the progress after the last one".into()) };
        part.check(from)?;
        self.telling.entries += part.entries();
        if self.telling.entries > self.answers_max {
            return Err(format!("a progress of over {} entries, more than there are streams", self.answers_max));
        }
        self.telling.theirs = part.until;
        let until = part.until.unwrap_or(u64::MAX);
        let told = self.streams.range(from.saturating_mul(2)..until.saturating_mul(2));
        let held: Vec<u64> = told.filter(|(_, stream)| stream.send.held).map(|(&id, _)| id).collect();
        for id in held {
            self.rewind_stream(id, part.get(id), &part.seen)?;
        }
        for entry in &part.streams {
            let writing = self.streams.get(&entry.id).is_some_and(|stream| !stream.send.done);
            if !writing && (self.is_ours(entry.id) || self.seen.contains(entry.id / 2)) {
                // It ended here and that was forgotten; the reader must not wait.
                self.frames.push_back(Frame::Reset { stream: entry.id, code: 0 });
            }
        }
        self.wake_driver();
        Ok(())
    }

    fn rewind_stream(&mut self, id: u64, listed: Option<&StreamProgress>, seen: &Seen) -> Result<(), Violation> {
        let ours = self.is_ours(id);
        let stream = self.streams.get_mut(&id).expect("its number was just read");
        stream.send.held = false;
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
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if let Some(code) = stream.recv.stopped.filter(|_| stream.recv.end.is_none()) {
            self.frames.push_back(Frame::Stop { stream: id, code });
        }
        if ours && !stream.is_over() {
            self.to_open.insert(id);
        }
        // The peer may have opened it before it told.
        if stream.send.is_attached() {
            self.wakes.extend(stream.send.take_waker());
            self.pumps.add(id);
        }
        self.retire(id);
        Ok(())
    }

    fn rewound(&mut self, Rewound { freed, suppressed }: Rewound) {
        self.budget.give_back(freed);
        self.totals.duplicates_suppressed.add(suppressed);
    }
}
