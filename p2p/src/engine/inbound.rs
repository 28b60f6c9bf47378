//! Messages on their way in: read from the message stream, kept within a bound until somebody takes them.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::readers::Readers;
use crate::{
    CloseReason, P2PError, RecvHalf,
    protocol::{Violation, message::MessageDecoder},
};

/// The reading side of the message stream.
#[derive(Debug)]
pub(crate) struct Inbound<R> {
    stream: R,
    readers: Arc<Readers>,
    read_waker: Waker,
    decoder: MessageDecoder,
    inbox: VecDeque<Bytes>,
    inbox_bytes: usize,
    buffer_bytes: usize,
    /// Messages that arrived, taken or not.
    arrived: u64,
    /// Those that were taken, and their bytes.
    taken: (u64, u64),
    /// Messages that the peer announced with its `Finish`, until they are here.
    awaited: Option<u64>,
    /// Reading ahead stopped at the bound and goes on when half of it is free again.
    paused: bool,
    /// Nothing more can be read: the stream is at its end, or makes no sense.
    ended: bool,
    violation: Option<Violation>,
    closed: Option<CloseReason>,
}

/// Bytes asked of the transport at once; more than any transport's packet, so that no chunk is cut on our account.
const READ_BYTES: usize = 256 * 1024;

/// What each message in the inbox costs beside its payload, so that empty ones are bounded too.
const ENTRY_BYTES: usize = size_of::<Bytes>();

impl<R: RecvHalf> Inbound<R> {
    pub(crate) fn new(stream: R, message_bytes_max: usize, buffer_bytes: usize, readers: Arc<Readers>) -> Self {
        Self {
            stream,
            read_waker: Waker::from(readers.clone()),
            readers,
            decoder: MessageDecoder::new(message_bytes_max),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            buffer_bytes,
            arrived: 0,
            taken: (0, 0),
            awaited: None,
            paused: false,
            ended: false,
            violation: None,
            closed: None,
        }
    }

    /// The next message if one is here, reading the stream if the inbox is empty. Ask for a
    /// [violation](Self::take_violation) afterwards.
    ///
    /// # Errors
    /// When the connection has ended and the inbox is empty.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, P2PError> {
        self.read(1);
        match (self.inbox.pop_front(), &self.closed) {
            (Some(message), _) => {
                self.inbox_bytes -= message.len() + ENTRY_BYTES;
                self.taken.0 += 1;
                self.taken.1 += message.len() as u64;
                // Leaves the waker with the stream, or something for the next caller: nobody need be woken to do that.
                self.read(1);
                Ok(Some(message))
            }
            (None, Some(reason)) => Err(reason.to_error()),
            (None, None) => Ok(None),
        }
    }

    /// Reads ahead, up to the bound. Ask for a [violation](Self::take_violation) afterwards.
    ///
    /// `awaited` is what the peer announced with a `Finish` that was not answered.
    pub(crate) fn fill(&mut self, awaited: Option<u64>) {
        self.read(self.buffer_bytes);
        self.paused = self.inbox_bytes >= self.buffer_bytes;
        self.awaited = awaited.filter(|&awaited| self.arrived < awaited);
    }

    /// How the peer broke the protocol, if it did; said once. What was whole before it is in the inbox.
    pub(crate) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// Whether the driver has to run, asked after messages were taken: to read ahead again, or to tell the peer that all
    /// it announced is here. Says so once.
    pub(crate) fn needs_driver(&mut self) -> bool {
        let resume = self.paused && self.inbox_bytes <= self.buffer_bytes / 2;
        self.paused &= !resume;
        let complete = self.awaited.is_some_and(|awaited| self.arrived >= awaited);
        if complete {
            self.awaited = None;
        }
        resume || complete
    }

    /// Reads until the inbox holds `wanted_bytes`, or nothing is there.
    fn read(&mut self, wanted_bytes: usize) {
        let mut cx = Context::from_waker(&self.read_waker);
        while self.inbox_bytes < wanted_bytes && !self.ended && self.closed.is_none() && self.readers.is_readable() {
            self.readers.set_readable(false);
            let outcome = match self.stream.poll_read(&mut cx, READ_BYTES) {
                Poll::Ready(Ok(Some(chunk))) => {
                    self.readers.set_readable(true);
                    let Self { decoder, inbox, inbox_bytes, arrived, .. } = self;
                    decoder.push(chunk, |message| {
                        *arrived += 1;
                        *inbox_bytes += message.len() + ENTRY_BYTES;
                        inbox.push_back(message);
                    })
                }
                Poll::Ready(Ok(None)) => Err(Violation::new("the message stream ended before the connection")),
                // The transport is gone; the driver will learn why and close this.
                Poll::Ready(Err(_)) | Poll::Pending => return,
            };
            if let Err(violation) = outcome {
                self.violation = Some(violation);
                self.ended = true;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Messages that the application took, and their bytes.
    pub(crate) const fn taken(&self) -> (u64, u64) {
        self.taken
    }

    pub(crate) const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Takes what the transport still holds, which can still be received, and nothing after it.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        // What the transport holds is bounded by its own window. A violation in it no longer matters.
        self.readers.set_readable(true);
        self.read(usize::MAX);
        self.violation = None;
        self.closed = Some(reason);
    }
}
