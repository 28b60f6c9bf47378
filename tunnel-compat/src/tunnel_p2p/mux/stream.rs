//! One stream: what is still to be sent, and what waits to be read.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Ended, QUEUE_BYTES_MAX, STREAM_BYTES, STREAM_BYTES_MAX, Violation,
    frame::{DATA, DATA_BYTES_MAX, HEAD_BYTES},
};

/// A stream of either side.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its number on the wire, once it has one.
    pub(super) number: Option<u32>,
    pub(super) ours: bool,
    pub(super) send: Sending,
    pub(super) recv: Receiving,
    /// It waits in line to send.
    pub(super) scheduled: bool,
    /// The frame that frees its place was sent, or has come.
    pub(super) done: bool,
}

impl Stream {
    pub(super) fn new(number: Option<u32>, ours: bool) -> Self {
        let (send, recv) = (Sending::default(), Receiving::default());
        Self { number, ours, send, recv, scheduled: false, done: false }
    }

    /// Whether both directions have ended on the wire.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.send.phase, SendPhase::Delivered | SendPhase::Reset { sent: true, .. })
            && !matches!(self.recv.phase, RecvPhase::Open)
    }

    /// Whether nobody holds either half.
    pub(super) fn is_released(&self) -> bool {
        !self.send.held && !self.recv.held
    }
}

/// The direction to the peer.
#[derive(Debug)]
pub(super) struct Sending {
    queue: VecDeque<Bytes>,
    queued: usize,
    pub(super) credit: u32,
    pub(super) phase: SendPhase,
    /// The peer reads no more.
    pub(super) stopped: Option<u32>,
    /// The writer found the queue full.
    blocked: bool,
    pub(super) held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendPhase {
    Open,
    Finished { sent: bool },
    Delivered,
    Reset { code: u32, sent: bool },
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            credit: STREAM_BYTES,
            phase: SendPhase::Open,
            stopped: None,
            blocked: false,
            held: true,
        }
    }
}

/// What a turn to send came to.
pub(super) enum Turn {
    Data { has_room: bool },
    Finish,
    Reset(u32),
    Nothing,
}

impl Sending {
    pub(super) fn write(&mut self, chunks: &mut [Bytes]) -> Result<usize, Ended> {
        if let Some(code) = self.stopped {
            return Err(Ended::Stopped(code));
        }
        if self.phase != SendPhase::Open {
            return Err(Ended::Done);
        }
        let before = self.queued;
        for chunk in chunks.iter_mut().filter(|chunk| !chunk.is_empty()) {
            let room = QUEUE_BYTES_MAX - self.queued;
            if room == 0 {
                break;
            }
            let taken = chunk.split_to(room.min(chunk.len()));
            self.queued += taken.len();
            self.queue.push_back(taken);
        }
        self.blocked = self.queued == before && chunks.iter().any(|chunk| !chunk.is_empty());
        Ok(self.queued - before)
    }

    pub(super) fn delivered(&self) -> Option<Result<(), Ended>> {
        match (self.phase, self.stopped) {
            (SendPhase::Delivered, None) => Some(Ok(())),
            (_, Some(code)) => Some(Err(Ended::Stopped(code))),
            (SendPhase::Reset { .. }, None) => Some(Err(Ended::Done)),
            _ => None,
        }
    }

    /// Whether nothing was ever written, finished or reset.
    pub(super) fn is_untouched(&self) -> bool {
        self.phase == SendPhase::Open && self.queued == 0
    }

    pub(super) fn reset(&mut self, code: u32) {
        self.queue.clear();
        self.queued = 0;
        self.phase = SendPhase::Reset { code, sent: false };
    }

    /// Whether there is something to be sent now.
    pub(super) fn has_work(&self) -> bool {
        match self.phase {
            SendPhase::Reset { sent, .. } => !sent,
            SendPhase::Finished { sent } if self.queued == 0 => !sent,
            _ => self.queued > 0 && self.credit > 0,
        }
    }

    /// Writes the next frame.
    pub(super) fn turn(&mut self, number: u32, out: &mut BytesMut) -> Turn {
        match &mut self.phase {
            SendPhase::Reset { code, sent } if !*sent => {
                *sent = true;
                Turn::Reset(*code)
            }
            SendPhase::Finished { sent } if self.queued == 0 && !*sent => {
                *sent = true;
                Turn::Finish
            }
            _ if self.queued > 0 && self.credit > 0 => {
                self.write_data(number, out);
                Turn::Data { has_room: std::mem::take(&mut self.blocked) }
            }
            _ => Turn::Nothing,
        }
    }

    /// Puts what fits of the queue into one frame, so that small writes become few frames.
    fn write_data(&mut self, number: u32, out: &mut BytesMut) {
        let len = self.queued.min(self.credit as usize).min(DATA_BYTES_MAX);
        out.reserve(HEAD_BYTES + len);
        out.put_u8(DATA);
        out.put_u32(number);
        out.put_u32(len as u32);
        let mut missing = len;
        while missing > 0 {
            let front = self.queue.front_mut().expect("as many bytes are queued");
            let taken = missing.min(front.len());
            out.put_slice(&front[..taken]);
            front.advance(taken);
            if front.is_empty() {
                self.queue.pop_front();
            }
            missing -= taken;
        }
        self.queued -= len;
        self.credit -= len as u32;
    }
}

/// The direction from the peer.
#[derive(Debug)]
pub(super) struct Receiving {
    /// Copied out of the frames: a chunk that kept its frame alive would cost many times its length.
    buffer: BytesMut,
    /// Bytes that the peer may send yet.
    allowance: u32,
    /// Bytes that were read and not yet allowed again.
    read: u32,
    /// What all of them come to.
    window: u32,
    pub(super) phase: RecvPhase,
    pub(super) stopped: Option<u32>,
    pub(super) held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecvPhase {
    Open,
    Finished,
    Reset(u32),
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            allowance: STREAM_BYTES,
            read: 0,
            window: STREAM_BYTES,
            phase: RecvPhase::Open,
            stopped: None,
            held: true,
        }
    }
}

impl Receiving {
    /// Takes what the peer sent.
    pub(super) fn handle_data(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let len = bytes.len() as u32;
        if self.phase != RecvPhase::Open {
            return Err(Violation::new("data behind the end of a stream"));
        }
        let Some(rest) = self.allowance.checked_sub(len) else {
            return Err(Violation::new(format!("data of {len} bytes with a credit of {}", self.allowance)));
        };
        self.allowance = rest;
        if self.stopped.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Takes the end.
    pub(super) fn handle_end(&mut self, phase: RecvPhase) -> Result<(), Violation> {
        if self.phase != RecvPhase::Open {
            return Err(Violation::new("a stream's end behind its end"));
        }
        self.phase = phase;
        if matches!(phase, RecvPhase::Reset(_)) {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }

    /// The next bytes, or the end; `None` while there is neither.
    pub(super) fn read(&mut self, bytes_max: usize) -> Option<Result<Option<Bytes>, Ended>> {
        if self.stopped.is_some() {
            return Some(Err(Ended::Done));
        }
        if !self.buffer.is_empty() {
            let len = bytes_max.min(self.buffer.len());
            self.read += len as u32;
            return Some(Ok(Some(self.buffer.split_to(len).freeze())));
        }
        match self.phase {
            RecvPhase::Open => None,
            RecvPhase::Finished => Some(Ok(None)),
            RecvPhase::Reset(code) => Some(Err(Ended::Reset(code))),
        }
    }

    /// What to allow the peer now, if it is worth a frame. `lent` is what the windows have grown by, all together.
    pub(super) fn credit(&mut self, lent: &mut u32, lent_max: u32) -> Option<u32> {
        if self.phase != RecvPhase::Open || self.stopped.is_some() || self.read < self.window / 2 {
            return None;
        }
        let more = self.window.min(STREAM_BYTES_MAX - self.window);
        let more = if lent_max - *lent >= more { more } else { 0 };
        *lent += more;
        self.window += more;
        let credit = std::mem::take(&mut self.read) + more;
        self.allowance += credit;
        Some(credit)
    }

    /// Reads no more; whether the peer has to be told.
    pub(super) fn stop(&mut self, code: u32) -> bool {
        let ended = self.phase != RecvPhase::Open;
        if self.stopped.is_some() || (ended && self.buffer.is_empty()) {
            return false;
        }
        self.stopped = Some(code);
        self.buffer = BytesMut::new();
        !ended
    }

    /// Whether nothing of it waits or will come to be kept.
    pub(super) fn is_over(&self) -> bool {
        self.buffer.is_empty() && (self.stopped.is_some() || self.phase != RecvPhase::Open)
    }

    pub(super) fn unread_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What its window has grown by, which is then another's.
    pub(super) fn take_lent(&mut self) -> u32 {
        let lent = self.window - STREAM_BYTES;
        self.window = STREAM_BYTES;
        lent
    }
}
