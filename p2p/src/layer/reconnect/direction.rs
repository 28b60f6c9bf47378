//! The two directions of one stream, as one side of a session keeps them beyond any transport.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{budget::Budget, replay::StreamReplay, totals::Totals};
use crate::{RecvHalf, SendHalf, StreamError};

/// What this side writes.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) replay: StreamReplay,
    pub(super) phase: SendPhase,
    /// The peer has the end, whichever it is. Nothing is left to do.
    pub(super) done: bool,
    /// All of it is with the peer's provider.
    pub(super) delivered: bool,
    /// On the side that opened the stream: the peer was shown it.
    pub(super) announced: bool,
    /// The peer has still to tell how far it has come: nothing is written, and nothing said of the stream.
    pub(super) held: bool,
    /// The present transport's half.
    half: Option<Box<dyn SendHalf>>,
    /// What of the header was not written to it.
    header: Bytes,
    /// The half was finished.
    half_finished: bool,
    waker: Option<Waker>,
    /// The writer waits for budget.
    pub(super) wants_room: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendPhase {
    #[default]
    Open,
    Finished,
    Reset(u32),
    /// The reader stopped.
    Stopped(u32),
}

impl Sending {
    /// A transport's half to go on with. `header` is empty where the peer opened the stream.
    pub(super) fn attach(&mut self, half: Box<dyn SendHalf>, header: Bytes) {
        self.half = Some(half);
        self.header = header;
        self.half_finished = false;
    }

    pub(super) fn detach(&mut self) {
        if self.half_finished
            && let Some(half) = &mut self.half
        {
            let mut cx = Context::from_waker(Waker::noop());
            self.delivered |= matches!(half.poll_delivered(&mut cx), Poll::Ready(Ok(())));
        }
        self.half = None;
        self.header = Bytes::new();
    }

    /// Whether what was written is still to be delivered. After a reset or a stop it is not.
    pub(super) const fn has_data(&self) -> bool {
        !self.done && matches!(self.phase, SendPhase::Open | SendPhase::Finished)
    }

    pub(super) const fn is_attached(&self) -> bool {
        self.half.is_some()
    }

    /// Whether what was accepted earlier has to be written first, or the end is to be, and may be now.
    pub(super) fn needs_pump(&self) -> bool {
        !self.held && self.has_to_write()
    }

    /// The same, also while it may not be.
    pub(super) fn has_to_write(&self) -> bool {
        let finish = self.phase == SendPhase::Finished && !self.half_finished;
        let header = self.announced && !self.header.is_empty();
        self.half.is_some() && (header || finish || !self.replay.is_all_sent())
    }

    /// Writes what [`needs_pump`](Self::needs_pump) speaks of, as far as the transport takes it. When that is done, who
    /// waits for the stream has its turn.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>, totals: &Totals) -> Option<Waker> {
        if !self.needs_pump() {
            return None;
        }
        while self.needs_pump() {
            let half = self.half.as_mut()?;
            let unsent = self.replay.next_unsent().unwrap_or_default();
            if unsent.is_empty() && self.header.is_empty() {
                let finished = half.finish();
                self.half_finished = true;
                if finished.is_err() {
                    self.half = None;
                }
                break;
            }
            let sent = write(&mut self.half, &mut self.header, unsent, cx)?;
            self.replay.mark_sent(sent);
            totals.bytes_replayed.add(sent as u64);
        }
        self.waker.take()
    }

    /// What a writer's bytes do now. `None` while they have to wait.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes], budget: &mut Budget) -> Option<usize> {
        self.announced = true;
        let mut written = 0;
        if self.half.is_some() && !self.held && self.replay.is_all_sent() {
            for chunk in chunks.iter_mut().filter(|chunk| !chunk.is_empty()) {
                let allowed = budget.allowance(self.replay.cost()).min(chunk.len());
                if allowed == 0 {
                    self.wants_room = true;
                    break;
                }
                let offered = chunk.slice(..allowed);
                let Some(sent) = write(&mut self.half, &mut self.header, offered, cx) else { break };
                budget.take(self.replay.push_sent(chunk.split_to(sent)));
                written += sent;
                if sent < allowed {
                    break;
                }
            }
        }
        if written > 0 {
            return Some(written);
        }
        self.wait(cx);
        None
    }

    /// Whether all has reached the peer's provider, as far as its transport says.
    pub(super) fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.half_finished
            && let Some(half) = &mut self.half
        {
            match half.poll_delivered(cx) {
                Poll::Ready(Ok(())) => self.delivered = true,
                Poll::Ready(Err(_)) => self.half = None,
                Poll::Pending => {}
            }
        }
        if self.delivered {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.wants_room = false;
        self.waker.take()
    }

    /// The peer has the end, or needs none. Returns the bytes of budget that became free.
    pub(super) fn end(&mut self) -> usize {
        self.done = true;
        self.delivered |= self.phase == SendPhase::Finished;
        self.half = None;
        self.replay.clear()
    }
}

/// Writes the header and then `bytes`; says how many of the latter went. `None` if the transport takes nothing now.
fn write(
    half: &mut Option<Box<dyn SendHalf>>,
    header: &mut Bytes,
    bytes: Bytes,
    cx: &mut Context<'_>,
) -> Option<usize> {
    let len = bytes.len();
    let mut chunks = [std::mem::take(header), bytes];
    let outcome = loop {
        if chunks[0].is_empty() && (chunks[1].len() < len || len == 0) {
            break Some(len - chunks[1].len());
        }
        match half.as_mut()?.poll_write(cx, &mut chunks) {
            Poll::Ready(Ok(_)) => {}
            // The transport is gone, or the reader is; whoever watches them will say.
            Poll::Ready(Err(_)) => {
                *half = None;
                break None;
            }
            Poll::Pending => break None,
        }
    };
    *header = std::mem::take(&mut chunks[0]);
    outcome
}

/// What the peer writes.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// Bytes received, on all transports.
    pub(super) offset: u64,
    pub(super) end: Option<RecvEnd>,
    /// The code with which this side's reader stopped.
    pub(super) stopped: Option<u32>,
    half: Option<Box<dyn RecvHalf>>,
    /// Received and not read: what came with the header, and what a lost transport left.
    buffer: VecDeque<Bytes>,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecvEnd {
    Finished,
    Reset(u32),
}

/// What a look at a stream found.
pub(super) enum Read {
    Bytes(Bytes),
    /// The end, for the first time if so.
    End {
        new: bool,
    },
    Failed(StreamError),
    Nothing,
}

/// Bytes asked of a transport at once.
const READ_BYTES: usize = 64 * 1024;

impl Receiving {
    /// A transport's half to go on with, and what was read from it beyond the header. Says how many bytes that was.
    pub(super) fn attach(&mut self, mut half: Box<dyn RecvHalf>, rest: Bytes) -> usize {
        if self.end.is_some() {
            return 0;
        }
        if let Some(code) = self.stopped {
            half.stop(code);
            return 0;
        }
        self.half = Some(half);
        let len = rest.len();
        self.offset += len as u64;
        if len > 0 {
            self.buffer.push_back(rest);
        }
        len
    }

    /// Lets go of the transport's half, taking what had arrived if `drain`. Says whether that came to the end.
    pub(super) fn detach(&mut self, drain: bool) -> bool {
        let Some(mut half) = self.half.take() else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        while drain && let Poll::Ready(Ok(read)) = half.poll_read(&mut cx, READ_BYTES) {
            let Some(bytes) = read else {
                self.end = Some(RecvEnd::Finished);
                return true;
            };
            self.offset += bytes.len() as u64;
            self.buffer.push_back(bytes);
        }
        false
    }

    pub(super) fn read(&mut self, cx: &mut Context<'_>, bytes_max: usize, received: &mut usize) -> Read {
        if self.stopped.is_some() {
            return Read::Failed(StreamError::Done);
        }
        if let Some(RecvEnd::Reset(code)) = self.end {
            return Read::Failed(StreamError::Reset { code });
        }
        if let Some(front) = self.buffer.front_mut() {
            let bytes = front.split_to(bytes_max.min(front.len()));
            if front.is_empty() {
                self.buffer.pop_front();
            }
            return Read::Bytes(bytes);
        }
        if self.end.is_some() {
            return Read::End { new: false };
        }
        if let Some(half) = &mut self.half {
            match half.poll_read(cx, bytes_max) {
                Poll::Ready(Ok(Some(bytes))) => {
                    self.offset += bytes.len() as u64;
                    *received = bytes.len();
                    return Read::Bytes(bytes);
                }
                Poll::Ready(Ok(None)) => {
                    self.end = Some(RecvEnd::Finished);
                    self.half = None;
                    return Read::End { new: true };
                }
                // The transport is gone, or a frame is on its way that says what became of the stream.
                Poll::Ready(Err(_)) => self.half = None,
                Poll::Pending => {}
            }
        }
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Read::Nothing
    }

    pub(super) fn stop(&mut self, code: u32) {
        self.stopped = Some(code);
        self.buffer.clear();
        if let Some(mut half) = self.half.take() {
            half.stop(code);
        }
    }

    /// The writer gave up.
    pub(super) fn reset(&mut self, code: u32) {
        self.end = Some(RecvEnd::Reset(code));
        self.buffer.clear();
        self.half = None;
    }

    pub(super) const fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.buffer.iter().map(Bytes::len).sum()
    }
}
