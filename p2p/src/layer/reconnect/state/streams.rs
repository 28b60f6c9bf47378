//! Streams: opened, met, written, read, and over when both directions are.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    super::{
        direction::{Read, RecvEnd, SendPhase},
        wire::{Frame, Header},
    },
    Place, State, Stream, Violation,
};
use crate::{BiStream, RecvHalf, SendHalf, StreamError};

impl State {
    /// A stream of ours over the present transport's `stream`.
    pub(in crate::layer::reconnect) fn open(&mut self, stream: BiStream, permit: OwnedSemaphorePermit) -> u64 {
        let number = self.unused.pop_first().unwrap_or_else(|| {
            self.next_number += 1;
            self.next_number - 1
        });
        let id = number * 2 + self.side;
        self.insert(id, Place::Ours(permit));
        self.attach_opened(id, stream);
        id
    }

    /// The next stream of ours that needs one of the present transport's.
    pub(in crate::layer::reconnect) fn next_to_open(&self) -> Option<u64> {
        self.to_open.first().copied()
    }

    pub(in crate::layer::reconnect) fn attach_opened(&mut self, id: u64, stream: BiStream) {
        self.to_open.remove(&id);
        let Some(Stream { send, recv, .. }) = self.streams.get_mut(&id) else { return };
        let header = Header::Stream { id, offset: send.has_data().then(|| send.replay.sent()) };
        send.attach(stream.send.into_half(), header.encode());
        recv.attach(stream.recv.into_half(), Bytes::new());
        self.wakes.extend(send.take_waker());
        self.wakes.extend(recv.take_waker());
        if send.needs_pump() {
            self.pumps.add(id);
        }
        self.wake_driver();
    }

    fn insert(&mut self, id: u64, place: Place) {
        self.streams.insert(id, Stream { place: Some(place), ..Stream::default() });
        self.budget.share_floor(self.streams.len());
    }

    /// A transport's stream whose header says that it goes on with this one.
    pub(in crate::layer::reconnect) fn attach_accepted(
        &mut self,
        (id, offset): (u64, Option<u64>),
        send: Box<dyn SendHalf>,
        recv: Box<dyn RecvHalf>,
        rest: Bytes,
    ) -> Result<(), Violation> {
        if self.is_ours(id) {
            return Err(format!("the peer opened stream {id}, which is a number of this side's"));
        }
        self.meet(id)?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.send.is_attached() {
            return Err(format!("stream {id} was opened twice"));
        }
        let expected = stream.recv.offset;
        if let Some(offset) = offset
            && stream.recv.end.is_none()
            && stream.recv.stopped.is_none()
            && offset != expected
        {
            return Err(format!("stream {id} goes on at {offset}, when {expected} bytes of it were received"));
        }
        if !stream.send.done {
            stream.send.attach(send, Bytes::new());
        }
        if stream.send.needs_pump() {
            self.pumps.add(id);
        }
        let received = stream.recv.attach(recv, rest);
        self.wakes.extend(stream.send.take_waker());
        self.wakes.extend(stream.recv.take_waker());
        if received > 0 {
            self.acks.stream(id, received, || self.runtime.now());
        }
        self.wake_driver();
        Ok(())
    }

    /// Makes a stream of the peer's known, if it is new.
    pub(super) fn meet(&mut self, id: u64) -> Result<(), Violation> {
        if self.seen.contains(id / 2) {
            return Ok(());
        }
        // Twice as many, because the peer may know sooner than this side that a stream is over.
        if self.open_there >= 2 * self.streams_max || self.seen.holes() > 2 * self.streams_max {
            return Err(format!("stream {id} is over the bound of {} streams", self.streams_max));
        }
        self.seen.insert(id / 2);
        self.open_there += 1;
        self.insert(id, Place::Theirs);
        self.streams.get_mut(&id).expect("it was just put there").send.announced = true;
        self.incoming.push_back(id);
        self.wakes.extend(self.acceptors.take_one());
        Ok(())
    }

    /// The next stream that the peer opened.
    pub(in crate::layer::reconnect) fn next_incoming(&mut self) -> Option<u64> {
        self.incoming.pop_front()
    }

    pub(in crate::layer::reconnect) fn has_incoming(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Writes what waits on attached streams.
    pub(in crate::layer::reconnect) fn pump_streams(&mut self, cx: &mut Context<'_>) {
        self.pumps.register(cx.waker());
        for id in self.pumps.take() {
            let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.send.needs_pump()) else { continue };
            let waker = self.pumps.waker(id);
            self.wakes.extend(stream.send.pump(&mut Context::from_waker(&waker), &self.totals));
        }
    }

    /// Whether the present transport was given all that was accepted, ends included.
    pub(in crate::layer::reconnect) fn is_all_given(&self) -> bool {
        let waits = |stream: &Stream| {
            stream.send.has_to_write()
                || stream.send.phase == SendPhase::Finished && !stream.send.done && !stream.send.is_attached()
        };
        self.messages.is_all_sent() && !self.streams.values().any(waits)
    }

    pub(in crate::layer::reconnect) fn poll_write(
        &mut self,
        id: u64,
        cx: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Done)) };
        match stream.send.phase {
            SendPhase::Open => {}
            SendPhase::Stopped(code) => return Poll::Ready(Err(StreamError::Stopped { code })),
            SendPhase::Finished | SendPhase::Reset(_) => return Poll::Ready(Err(StreamError::Done)),
        }
        if let Some(reason) = &self.closed {
            return Poll::Ready(Err(reason.to_error().into()));
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Poll::Ready(Ok(0));
        }
        match stream.send.write(cx, chunks, &mut self.budget) {
            Some(written) => Poll::Ready(Ok(written)),
            None => {
                if stream.send.wants_room {
                    self.wanting.insert(id);
                }
                if stream.send.needs_pump() {
                    self.pumps.add(id);
                }
                Poll::Pending
            }
        }
    }

    pub(in crate::layer::reconnect) fn finish_stream(&mut self, id: u64) -> Result<(), StreamError> {
        let Some(stream) = self.streams.get_mut(&id) else { return Err(StreamError::Done) };
        match stream.send.phase {
            SendPhase::Open => {}
            SendPhase::Stopped(code) => return Err(StreamError::Stopped { code }),
            SendPhase::Finished | SendPhase::Reset(_) => return Err(StreamError::Done),
        }
        if let Some(reason) = &self.closed {
            return Err(reason.to_error().into());
        }
        stream.send.phase = SendPhase::Finished;
        stream.send.announced = true;
        let driver = self.driver.clone().unwrap_or_else(|| Waker::noop().clone());
        self.wakes.extend(stream.send.pump(&mut Context::from_waker(&driver), &self.totals));
        if stream.send.needs_pump() {
            self.pumps.add(id);
            self.wake_driver();
        }
        Ok(())
    }

    pub(in crate::layer::reconnect) fn poll_delivered(
        &mut self,
        id: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Done)) };
        match stream.send.phase {
            SendPhase::Finished => {
                if stream.send.poll_delivered(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
            }
            SendPhase::Stopped(code) => return Poll::Ready(Err(StreamError::Stopped { code })),
            SendPhase::Reset(_) => return Poll::Ready(Err(StreamError::Done)),
            SendPhase::Open => {}
        }
        if let Some(reason) = &self.closed {
            return Poll::Ready(Err(reason.to_error().into()));
        }
        stream.send.wait(cx);
        Poll::Pending
    }

    pub(in crate::layer::reconnect) fn reset_stream(&mut self, id: u64, code: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send.phase != SendPhase::Open {
            return;
        }
        stream.send.phase = SendPhase::Reset(code);
        let freed = stream.send.replay.clear();
        let (announced, held) = (stream.send.announced, stream.send.held);
        if !announced {
            // The peer never saw the stream and need not see its end.
            stream.send.end();
        }
        self.freed(freed);
        if announced && !held && self.closed.is_none() {
            self.tell(Frame::Reset { stream: id, code });
        }
        self.retire(id);
    }

    pub(in crate::layer::reconnect) fn poll_read(
        &mut self,
        id: u64,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(StreamError::Done)) };
        let mut received = 0;
        let read = stream.recv.read(cx, bytes_max, &mut received);
        if received > 0 && self.acks.stream(id, received, || self.runtime.now()) {
            self.wake_driver();
        }
        match read {
            Read::Bytes(bytes) => Poll::Ready(Ok(Some(bytes))),
            Read::End { new } => {
                if new {
                    self.acknowledge_end(id);
                    self.retire(id);
                }
                Poll::Ready(Ok(None))
            }
            Read::Failed(error) => Poll::Ready(Err(error)),
            Read::Nothing => match &self.closed {
                Some(reason) => Poll::Ready(Err(reason.to_error().into())),
                None => Poll::Pending,
            },
        }
    }

    pub(in crate::layer::reconnect) fn stop_stream(&mut self, id: u64, code: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.recv.end.is_some() || stream.recv.stopped.is_some() {
            return;
        }
        stream.recv.stop(code);
        if !stream.send.announced {
            if stream.send.done {
                // Nobody will ever write to it: the peer never saw it.
                stream.recv.end = Some(RecvEnd::Finished);
            }
        } else if !stream.send.held && self.closed.is_none() {
            self.tell(Frame::Stop { stream: id, code });
        }
        self.retire(id);
    }

    /// The user dropped a half.
    pub(in crate::layer::reconnect) fn drop_send(&mut self, id: u64) {
        self.reset_stream(id, 0);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send_dropped = true;
        }
        self.retire(id);
    }

    /// The user dropped a half.
    pub(in crate::layer::reconnect) fn drop_recv(&mut self, id: u64) {
        self.stop_stream(id, 0);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv_dropped = true;
        }
        self.retire(id);
    }

    pub(super) fn tell(&mut self, frame: Frame) {
        if self.link.is_some() {
            self.frames.push_back(frame);
            self.wake_driver();
        }
    }

    pub(super) fn acknowledge_end(&mut self, id: u64) {
        if self.link.is_some() {
            self.over.push(id);
            self.acks.now();
            self.wake_driver();
        }
    }

    /// Bytes of budget became free. Wakes writers that find room; one that waits holds the least it may, so they are not
    /// looked at while there is less than that.
    pub(super) fn freed(&mut self, bytes: usize) {
        self.budget.give_back(bytes);
        if bytes == 0 || !self.budget.has_room() {
            return;
        }
        let (streams, budget, wakes) = (&mut self.streams, &self.budget, &mut self.wakes);
        self.wanting.retain(|id| {
            let Some(stream) = streams.get_mut(id).filter(|stream| stream.send.wants_room) else { return false };
            let waits = budget.allowance(stream.send.replay.cost()) == 0;
            if !waits {
                wakes.extend(stream.send.take_waker());
            }
            waits
        });
    }

    /// Gives back what a stream holds when it is over, and forgets it when nobody holds it.
    pub(super) fn retire(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        // A stream of ours that the peer never saw and nobody can write to any more is over.
        if !stream.send.announced && stream.send.done && stream.recv.stopped.is_some() {
            stream.recv.end.get_or_insert(RecvEnd::Finished);
        }
        if !stream.is_over() {
            return;
        }
        if matches!(stream.place.take(), Some(Place::Theirs)) {
            self.open_there -= 1;
        }
        if stream.send_dropped && stream.recv_dropped {
            let unused = !stream.send.announced;
            self.streams.remove(&id);
            self.to_open.remove(&id);
            self.wanting.remove(&id);
            self.budget.share_floor(self.streams.len());
            if unused {
                self.unused.insert(id / 2);
            }
        }
    }

    pub(super) fn retire_all(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        ids.into_iter().for_each(|id| self.retire(id));
    }
}
