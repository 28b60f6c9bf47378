//! How connections end: the first close counts, and travels as a packet.

use std::task::{Poll, Waker};

use bytes::Bytes;
use p2p::{CloseCode, CloseReason, P2PError, StreamError, transport::TransportClosed};

use super::{End, EndId, Phase, conn_end};
use crate::world::{
    World,
    packet::{Body, CloseNotice},
    retransmission,
};

impl World {
    /// Closes an end and tells the other. Only the first close counts.
    pub(crate) fn close(&mut self, end: EndId, code: u64, reason: &[u8]) {
        let notice = CloseNotice::Closed { code, reason: Bytes::copy_from_slice(reason) };
        if self.close_end(end, TransportClosed::Local, notice.clone()) {
            self.transmit(end, Body::Close(notice));
        }
    }

    /// Waits for the end of the connection.
    pub(crate) fn poll_closed(&mut self, end: EndId, waker: &Waker) -> Poll<TransportClosed> {
        let state = conn_end(&mut self.conns, end).expect("a handle keeps its end");
        if let Phase::Closed(how, _) = &state.phase {
            return Poll::Ready(how.clone());
        }
        state.end_waiting.wait(waker, &mut self.wakes);
        Poll::Pending
    }

    /// The error that calls on a closed end fail with; nothing while it is open.
    pub(in crate::world) fn closed_error(&self, end: EndId) -> Option<StreamError> {
        match &self.end(end)?.phase {
            Phase::Closed(how, notice) => Some(to_error(how, notice)),
            _ => None,
        }
    }

    pub(in crate::world) fn is_open(&self, end: EndId) -> bool {
        matches!(self.end(end), Some(End { phase: Phase::Open, .. }))
    }

    pub(in crate::world) fn handle_close(&mut self, end: EndId, notice: CloseNotice) {
        let how = match &notice {
            CloseNotice::Closed { code, reason } => TransportClosed::Peer { code: *code, reason: reason.clone() },
            CloseNotice::Unknown => TransportClosed::Lost("the peer knows the connection no more".into()),
        };
        self.close_end(end, how, notice);
    }

    /// Whether the end takes that packet. One that is closed says so again instead.
    pub(in crate::world) fn hears(&mut self, end: EndId, body: &Body) -> bool {
        let Some(state) = self.end(end) else {
            return false;
        };
        let Phase::Closed(_, notice) = &state.phase else {
            return true;
        };
        if matches!(body, Body::Close(_)) {
            return false;
        }
        // At most once in the time that the last one may still be under way.
        let due = state.close_said_at.saturating_add(retransmission::first_after(self.round_trip_of(end)));
        if due <= self.now && !self.is_closed(end.other()) {
            let notice = notice.clone();
            self.end_mut(end).expect("looked up above").close_said_at = self.now;
            self.transmit(end, Body::Close(notice));
        }
        false
    }

    fn is_closed(&self, end: EndId) -> bool {
        matches!(self.end(end), Some(End { phase: Phase::Closed(..), .. }) | None)
    }

    /// Closes an end and wakes all that wait on it; false if it was closed before.
    pub(in crate::world) fn close_end(&mut self, end: EndId, how: TransportClosed, notice: CloseNotice) -> bool {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(end.conn) else {
            return false;
        };
        let state = &mut conn.ends[end.side()];
        if matches!(state.phase, Phase::Closed(..)) {
            return false;
        }
        let before = std::mem::replace(&mut state.phase, Phase::Closed(how, notice));
        if let Phase::Dialling(Some(waker)) = before {
            self.wakes.due.push(waker);
        }
        state.close_said_at = now;
        for waiting in
            [&mut state.incoming_waiting, &mut state.datagrams_waiting, &mut state.open_waiting, &mut state.end_waiting]
        {
            waiting.wake(&mut self.wakes);
        }
        for &stream in conn.streams.values() {
            let stream = self.streams.get_mut(stream).expect("a listed stream exists");
            stream.wake_all(end.side(), &mut self.wakes);
        }
        self.cancel_patience(end);
        self.cancel_path(end);
        true
    }
}

fn to_error(how: &TransportClosed, notice: &CloseNotice) -> StreamError {
    let said = |code: u64, reason: &Bytes| {
        // Codes of our own wire protocol fit; a larger one can only come from a test.
        let code = CloseCode(u32::try_from(code).unwrap_or(u32::MAX));
        (code, String::from_utf8_lossy(reason).into_owned())
    };
    let reason = match (how, notice) {
        (TransportClosed::Peer { code, reason }, _) => {
            let (code, reason) = said(*code, reason);
            CloseReason::Peer { code, reason }
        }
        (TransportClosed::Local, CloseNotice::Closed { code, reason }) => {
            let (code, reason) = said(*code, reason);
            CloseReason::Local { code, reason }
        }
        (TransportClosed::TimedOut, _) => CloseReason::TimedOut,
        (TransportClosed::Lost(source), _) => CloseReason::Lost { source: source.clone() },
        (TransportClosed::Local, CloseNotice::Unknown) => {
            unreachable!("a user's close has a code")
        }
    };
    StreamError::Connection(P2PError::Closed { reason })
}
