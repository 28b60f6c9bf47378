//! What is said on the control stream: acknowledgements, resets, stops.

use super::{
    super::{
        config::Mutant,
        direction::SendPhase,
        wire::{ACK_STREAMS_MAX, Frame},
    },
    State, Violation,
};

impl State {
    /// The frames to write now. What there is to tell of the progress comes first, a part at a time.
    pub(in crate::layer::reconnect) fn take_frames(&mut self) -> Vec<Frame> {
        if let Some(part) = self.take_part() {
            return vec![part];
        }
        let mut frames: Vec<Frame> = self.frames.drain(..).collect();
        let due = match self.acks.due() {
            None => false,
            Some(None) => true,
            Some(Some(at)) => self.runtime.now() >= at,
        };
        if due {
            self.acknowledge(&mut frames);
        }
        frames
    }

    /// Says how far this side has come, in as many frames as it takes.
    fn acknowledge(&mut self, frames: &mut Vec<Frame>) {
        let moved = self.acks.take().into_iter();
        let mut moved = moved.filter_map(|id| Some((id, self.streams.get(&id)?.recv.offset)));
        let mut done = std::mem::take(&mut self.over).into_iter();
        loop {
            let streams: Vec<_> = moved.by_ref().take(ACK_STREAMS_MAX).collect();
            let done: Vec<_> = done.by_ref().take(ACK_STREAMS_MAX).collect();
            let last = streams.len() < ACK_STREAMS_MAX && done.len() < ACK_STREAMS_MAX;
            frames.push(Frame::Ack { messages: self.received, streams, done });
            if last {
                return;
            }
        }
    }

    pub(in crate::layer::reconnect) fn handle_frame(&mut self, frame: Frame) -> Result<(), Violation> {
        if self.frames.len() + self.over.len() > self.answers_max {
            return Err("frames without end, none of whose answers are read".into());
        }
        if self.is_being_told() && !matches!(frame, Frame::Progress(_)) {
            return Err("a frame before the last part of the progress".into());
        }
        match frame {
            Frame::Progress(part) => {
                self.totals.progress_parts.add(1);
                self.handle_part(&part)
            }
            Frame::Ack { messages, streams, done } => {
                let mut freed = match self.mutant {
                    Some(Mutant::EarlyAcknowledgement) => 0,
                    _ => self.messages.acknowledge(messages)?,
                };
                for (id, offset) in streams {
                    if let Some(stream) = self.streams.get_mut(&id)
                        && stream.send.has_data()
                    {
                        let acknowledged = stream.send.replay.acknowledge(offset)?;
                        freed += acknowledged;
                        if acknowledged > 0 && stream.send.wants_room {
                            self.wakes.extend(stream.send.take_waker());
                        }
                    }
                }
                for id in done {
                    freed += self.handle_done(id)?;
                }
                self.freed(freed);
                Ok(())
            }
            Frame::Reset { stream, code } => self.handle_reset(stream, code),
            Frame::Stop { stream, code } => {
                if !self.is_ours(stream) {
                    self.meet(stream)?;
                }
                self.stopped(stream, code);
                self.retire(stream);
                Ok(())
            }
        }
    }

    /// The peer has a stream to its end.
    pub(super) fn handle_done(&mut self, id: u64) -> Result<usize, Violation> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(0) };
        if stream.send.done {
            return Ok(0);
        }
        if stream.send.phase == SendPhase::Open {
            return Err(format!("stream {id} received to its end, which it has not"));
        }
        let freed = stream.send.end();
        self.wakes.extend(stream.send.take_waker());
        self.retire(id);
        Ok(freed)
    }

    pub(super) fn handle_reset(&mut self, id: u64, code: u32) -> Result<(), Violation> {
        if !self.is_ours(id) {
            self.meet(id)?;
        }
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.recv.end.is_none()
        {
            stream.recv.reset(code);
            self.wakes.extend(stream.recv.take_waker());
        }
        self.acknowledge_end(id);
        self.retire(id);
        Ok(())
    }

    /// The peer reads no more of a stream.
    pub(super) fn stopped(&mut self, id: u64, code: u32) {
        let mut reply = Some(0);
        let mut freed = 0;
        if let Some(stream) = self.streams.get_mut(&id) {
            match stream.send.phase {
                SendPhase::Open | SendPhase::Finished if !stream.send.done => {
                    stream.send.phase = SendPhase::Stopped(code);
                    freed = stream.send.replay.clear();
                    self.wakes.extend(stream.send.take_waker());
                    reply = Some(code);
                }
                SendPhase::Reset(code) | SendPhase::Stopped(code) => reply = Some(code),
                SendPhase::Open | SendPhase::Finished => reply = None,
            }
        }
        self.freed(freed);
        if let Some(code) = reply {
            self.frames.push_back(Frame::Reset { stream: id, code });
            self.wake_driver();
        }
    }
}
