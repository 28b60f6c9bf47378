//! One end of a connection.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use p2p::CLOSE_REASON_BYTES_MAX;

use super::{
    LENT_BYTES_MAX, STREAMS_MAX, Violation,
    frame::{Frame, FrameReader},
    stream::{RecvPhase, SendPhase, Stream, Turn},
};

/// Names a stream of one [`Mux`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey(u64);

/// What whoever holds the streams has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream.
    Opened(StreamKey),
    /// A stream has bytes to be read, or has ended.
    Readable(StreamKey),
    /// A stream whose queue was full has room, or was stopped or delivered.
    Writable(StreamKey),
    /// A stream that this side opened has given its place back.
    Freed,
}

/// Why a stream's half goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer gave its direction up, with this code.
    Reset(u32),
    /// The peer reads no more, with this code.
    Stopped(u32),
    /// This side ended it.
    Done,
    /// The connection has ended.
    Closed,
}

/// Who ended the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// This side.
    Here,
    /// The peer.
    There {
        /// Its code.
        code: u64,
        /// Its reason.
        reason: Bytes,
    },
}

/// One end of a connection. See the [module](super).
#[derive(Debug)]
pub struct Mux {
    dialler: bool,
    /// Bounded by [`STREAMS_MAX`] of each side, and by the streams that are held here.
    streams: BTreeMap<StreamKey, Stream>,
    /// Of those that have a number.
    by_number: BTreeMap<u32, StreamKey>,
    keys: u64,
    /// Streams that have a number, opened by this side and by the peer.
    numbered: [u32; 2],
    /// Streams of each side that have not given their place back.
    open: [usize; 2],
    lent: u32,
    /// Frames that wait for no credit. Bounded by what the streams can owe, and by [`is_congested`](Self::is_congested).
    control: VecDeque<Frame>,
    /// Streams that have something to send, in turn; each once.
    ready: VecDeque<StreamKey>,
    reader: FrameReader,
    /// Bounded by what one call of [`handle`](Self::handle) can find; drained after it.
    events: VecDeque<Event>,
    closed: Option<Closed>,
}

const OURS: usize = 0;
const THEIRS: usize = 1;

impl Mux {
    /// The dialling side's end, or the other.
    pub fn new(dialler: bool) -> Self {
        Self {
            dialler,
            streams: BTreeMap::new(),
            by_number: BTreeMap::new(),
            keys: 0,
            numbered: [0; 2],
            open: [0; 2],
            lent: 0,
            control: VecDeque::new(),
            ready: VecDeque::new(),
            reader: FrameReader::default(),
            events: VecDeque::new(),
            closed: None,
        }
    }

    /// A stream of this side's, which the peer sees with its first byte; `None` while [`STREAMS_MAX`] are open, and once as many were
    /// opened as there are numbers for.
    pub fn open(&mut self) -> Option<StreamKey> {
        if self.open[OURS] == STREAMS_MAX || self.keys >= u64::from(NUMBERS_MAX) {
            return None;
        }
        self.open[OURS] += 1;
        Some(self.insert(None, true))
    }

    /// Takes what fits of `chunks`, from the front; 0 if nothing does: an [`Event::Writable`] follows.
    ///
    /// # Errors
    /// Why nothing will fit any more.
    pub fn write(&mut self, key: StreamKey, chunks: &mut [Bytes]) -> Result<usize, Ended> {
        if self.closed.is_some() {
            return Err(Ended::Closed);
        }
        let written = self.stream(key)?.send.write(chunks)?;
        self.schedule(key);
        Ok(written)
    }

    /// Nothing more will be written.
    ///
    /// # Errors
    /// [`Ended::Done`] if that was said before.
    pub fn finish(&mut self, key: StreamKey) -> Result<(), Ended> {
        let send = &mut self.stream(key)?.send;
        if send.phase != SendPhase::Open {
            return Err(Ended::Done);
        }
        send.phase = SendPhase::Finished { sent: false };
        self.schedule(key);
        Ok(())
    }

    /// Whether everything up to the finish has arrived; `None` while that is open: an [`Event::Writable`] follows.
    pub fn delivered(&self, key: StreamKey) -> Option<Result<(), Ended>> {
        let delivered = self.streams.get(&key).map_or(Some(Err(Ended::Done)), |stream| stream.send.delivered());
        delivered.or_else(|| self.closed.as_ref().map(|_| Err(Ended::Closed)))
    }

    /// Gives the writing half up, unless it has ended.
    pub fn reset(&mut self, key: StreamKey, code: u32) {
        let Ok(stream) = self.stream(key) else { return };
        if stream.send.phase != SendPhase::Open {
            return;
        }
        let unseen = stream.number.is_none() && stream.ours && stream.send.is_untouched();
        stream.send.reset(code);
        if unseen {
            // The peer never saw the stream and need not see its end.
            stream.send.phase = SendPhase::Reset { code, sent: true };
        }
        self.schedule(key);
    }

    /// The next bytes, `Ok(None)` at the end; `None` while there is neither: an [`Event::Readable`] follows.
    pub fn read(&mut self, key: StreamKey, bytes_max: usize) -> Option<Result<Option<Bytes>, Ended>> {
        let Some(stream) = self.streams.get_mut(&key) else { return Some(Err(Ended::Done)) };
        let read = stream.recv.read(bytes_max);
        if self.closed.is_some() {
            return read.or(Some(Err(Ended::Closed)));
        }
        if let Some(bytes) = stream.recv.credit(&mut self.lent, LENT_BYTES_MAX)
            && let Some(stream) = stream.number
        {
            self.control.push_back(Frame::Credit { stream, bytes });
        }
        self.settle(key);
        read
    }

    /// Gives the reading half up, unless it has ended.
    pub fn stop(&mut self, key: StreamKey, code: u32) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        // The peer hears of it, if it sees the stream at all, when it has heard of the stream.
        if stream.recv.stop(code)
            && self.closed.is_none()
            && let Some(stream) = stream.number
        {
            self.control.push_back(Frame::Stop { stream, code });
        }
        self.settle(key);
    }

    /// Nobody holds the writing half any longer. One that has not ended is reset, with code 0.
    pub fn release_send(&mut self, key: StreamKey) {
        self.reset(key, 0);
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.send.held = false;
        }
        self.settle(key);
    }

    /// Nobody holds the reading half any longer. One that has not ended is stopped, with code 0.
    pub fn release_recv(&mut self, key: StreamKey) {
        self.stop(key, 0);
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.recv.held = false;
        }
        self.settle(key);
    }

    /// Ends the connection, if nobody has yet: what was not sent is gone, and the peer is told why.
    pub fn close(&mut self, code: u64, reason: &str) {
        if self.closed.is_some() {
            return;
        }
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
        self.end(Closed::Here);
        self.control.push_back(Frame::Close { code, reason: Bytes::copy_from_slice(reason.as_bytes()) });
    }

    /// Who ended the connection, if somebody did.
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Takes what came. After a close, of whichever side, it counts no more.
    ///
    /// # Errors
    /// A [`Violation`]; close the connection then.
    pub fn handle(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if self.closed.is_some() {
            return Ok(());
        }
        self.reader.push(bytes);
        while self.closed.is_none()
            && let Some(frame) = self.reader.poll_frame()?
        {
            self.handle_frame(frame)?;
        }
        Ok(())
    }

    /// What has become of the streams.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Adds to `out` what is to be sent, until it has about `bytes_max` bytes.
    pub fn transmit(&mut self, out: &mut BytesMut, bytes_max: usize) {
        while out.len() < bytes_max {
            if let Some(frame) = self.control.pop_front() {
                frame.write(out);
            } else if let Some(key) = self.ready.pop_front() {
                self.turn(key, out);
            } else {
                return;
            }
        }
    }

    /// Whether there is something to be sent.
    pub fn has_output(&self) -> bool {
        !self.control.is_empty() || !self.ready.is_empty()
    }

    /// Whether so much is to be said to the peer that nothing more should be read before some of it is sent. No peer that reads
    /// brings it this far.
    pub fn is_congested(&self) -> bool {
        self.control.len() > CONTROL_FRAMES_MAX
    }

    /// Bytes that wait here to be read. Of all streams together at most [`LENT_BYTES_MAX`] more than
    /// [`STREAM_BYTES`](super::STREAM_BYTES) for each.
    pub fn unread_bytes(&self) -> usize {
        self.streams.values().map(|stream| stream.recv.unread_bytes()).sum()
    }

    /// Streams that are open or held.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    fn insert(&mut self, number: Option<u32>, ours: bool) -> StreamKey {
        let key = StreamKey(self.keys);
        self.keys += 1;
        self.streams.insert(key, Stream::new(number, ours));
        if let Some(number) = number {
            self.by_number.insert(number, key);
        }
        key
    }

    fn stream(&mut self, key: StreamKey) -> Result<&mut Stream, Ended> {
        self.streams.get_mut(&key).ok_or(Ended::Done)
    }

    /// Puts a stream in line if it has something to send.
    fn schedule(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key)
            && self.closed.is_none()
            && !stream.scheduled
            && stream.send.has_work()
        {
            stream.scheduled = true;
            self.ready.push_back(key);
        }
    }

    /// Sends one frame of a stream's, if it still has one.
    fn turn(&mut self, key: StreamKey, out: &mut BytesMut) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.scheduled = false;
        if !stream.send.has_work() {
            return;
        }
        let number = match stream.number {
            Some(number) => number,
            None => {
                let number = self.numbered[OURS] * 2 + u32::from(!self.dialler);
                self.numbered[OURS] += 1;
                stream.number = Some(number);
                self.by_number.insert(number, key);
                if let Some(code) = stream.recv.stopped {
                    self.control.push_back(Frame::Stop { stream: number, code });
                }
                number
            }
        };
        match stream.send.turn(number, out) {
            Turn::Data { has_room: true } => self.events.push_back(Event::Writable(key)),
            Turn::Data { has_room: false } | Turn::Nothing => {}
            Turn::Finish => Frame::Finish { stream: number }.write(out),
            Turn::Reset(code) => {
                Frame::Reset { stream: number, code }.write(out);
                self.settle(key);
            }
        }
        self.schedule(key);
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<(), Violation> {
        match frame {
            Frame::Data { stream, bytes } => {
                let key = self.opened(stream, "data")?;
                self.known(key).recv.handle_data(&bytes)?;
                self.events.push_back(Event::Readable(key));
            }
            Frame::Finish { stream } => {
                let key = self.opened(stream, "a finish")?;
                self.known(key).recv.handle_end(RecvPhase::Finished)?;
                self.control.push_back(Frame::Delivered { stream });
                self.events.push_back(Event::Readable(key));
                self.settle(key);
            }
            Frame::Reset { stream, code } => {
                let key = self.opened(stream, "a reset")?;
                self.known(key).recv.handle_end(RecvPhase::Reset(code))?;
                self.events.push_back(Event::Readable(key));
                self.settle(key);
            }
            Frame::Delivered { stream } => {
                let Some(key) = self.seen(stream, "a delivery")? else {
                    return Err(Violation::new(format!("a delivery for stream {stream}, which is over")));
                };
                let send = &mut self.known(key).send;
                if send.phase != (SendPhase::Finished { sent: true }) {
                    return Err(Violation::new(format!("a delivery for stream {stream}, which was not finished")));
                }
                send.phase = SendPhase::Delivered;
                self.events.push_back(Event::Writable(key));
                self.settle(key);
            }
            Frame::Credit { stream, bytes } => {
                let Some(key) = self.seen(stream, "credit")? else { return Ok(()) };
                let send = &mut self.known(key).send;
                let Some(credit) = send.credit.checked_add(bytes) else {
                    return Err(Violation::new(format!("{bytes} bytes of credit beside {}", send.credit)));
                };
                send.credit = credit;
                self.schedule(key);
            }
            Frame::Stop { stream, code } => {
                let Some(key) = self.seen(stream, "a stop")? else { return Ok(()) };
                let send = &mut self.known(key).send;
                match send.phase {
                    SendPhase::Open | SendPhase::Finished { sent: false } => {
                        send.stopped = Some(code);
                        send.reset(code);
                    }
                    SendPhase::Finished { sent: true } => send.stopped = Some(code),
                    SendPhase::Delivered | SendPhase::Reset { .. } => return Ok(()),
                }
                self.events.push_back(Event::Writable(key));
                self.schedule(key);
            }
            Frame::Done { stream } => self.handle_done(stream)?,
            Frame::Close { code, reason } => self.end(Closed::There { code, reason }),
        }
        Ok(())
    }

    /// A stream of this side's has given its place back.
    fn handle_done(&mut self, number: u32) -> Result<(), Violation> {
        let key = self.seen(number, "the end")?.filter(|_| self.is_ours(number));
        let Some(key) = key else {
            return Err(Violation::new(format!("the end of stream {number}, which is not this side's, or is over")));
        };
        let stream = self.known(key);
        if stream.done || !stream.has_ended() {
            return Err(Violation::new(format!("the end of stream {number}, which goes on")));
        }
        stream.done = true;
        self.open[OURS] -= 1;
        self.events.push_back(Event::Freed);
        self.settle(key);
        Ok(())
    }

    /// The stream of that number, which the frame may open.
    fn opened(&mut self, number: u32, what: &str) -> Result<StreamKey, Violation> {
        if !self.is_ours(number) && number / 2 == self.numbered[THEIRS] {
            if self.open[THEIRS] == STREAMS_MAX {
                return Err(Violation::new(format!("a stream beyond the {STREAMS_MAX} that may be open at once")));
            }
            self.open[THEIRS] += 1;
            self.numbered[THEIRS] += 1;
            let key = self.insert(Some(number), false);
            self.events.push_back(Event::Opened(key));
            return Ok(key);
        }
        let over = || Violation::new(format!("{what} for stream {number}, which is over"));
        self.seen(number, what)?.ok_or_else(over)
    }

    /// The stream of that number, which was opened before; `None` if it is over.
    fn seen(&self, number: u32, what: &str) -> Result<Option<StreamKey>, Violation> {
        let opener = if self.is_ours(number) { OURS } else { THEIRS };
        if number / 2 >= self.numbered[opener] {
            return Err(Violation::new(format!("{what} for stream {number}, which nobody has opened")));
        }
        Ok(self.by_number.get(&number).copied())
    }

    fn is_ours(&self, number: u32) -> bool {
        number.is_multiple_of(2) == self.dialler
    }

    fn known(&mut self, key: StreamKey) -> &mut Stream {
        self.streams.get_mut(&key).expect("a numbered stream is in both tables")
    }

    /// Gives back what an ended stream has taken.
    fn settle(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if stream.recv.is_over() {
            self.lent -= stream.recv.take_lent();
        }
        match stream.number {
            // The peer never saw it.
            None if stream.is_released() => {
                self.streams.remove(&key);
                self.open[OURS] -= 1;
                self.events.push_back(Event::Freed);
            }
            None => {}
            Some(number) => {
                if !stream.ours && !stream.done && stream.has_ended() && stream.recv.is_over() {
                    stream.done = true;
                    self.open[THEIRS] -= 1;
                    if self.closed.is_none() {
                        self.control.push_back(Frame::Done { stream: number });
                    }
                }
                if stream.is_released() && (stream.done || self.closed.is_some()) {
                    self.streams.remove(&key);
                    self.by_number.remove(&number);
                }
            }
        }
    }

    fn end(&mut self, closed: Closed) {
        self.closed = Some(closed);
        self.control.clear();
        self.ready.clear();
    }
}

/// Frames of control that wait before nothing more is read: more than all streams together can owe a peer that reads.
const CONTROL_FRAMES_MAX: usize = 16 * STREAMS_MAX;

/// Numbers that each side has.
const NUMBERS_MAX: u32 = 1 << 31;
