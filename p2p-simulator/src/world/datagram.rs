//! Datagrams: no windows, no second try.

use std::task::{Poll, Waker};

use bytes::Bytes;
use p2p::{P2PError, StreamError};

use super::{
    World,
    conn::{EndId, conn_end},
    link::LinkIx,
    packet::Body,
};

/// Datagrams under way on one link, which only one without a bound on its bandwidth can reach. The next are dropped.
pub(crate) const DATAGRAMS_IN_FLIGHT_MAX: usize = 65_536;
/// Datagrams kept for one end that does not read them. Beyond it the oldest are dropped.
pub(crate) const DATAGRAMS_MAX: usize = 256;

impl World {
    /// Sends a datagram.
    pub(crate) fn send_datagram(&mut self, end: EndId, datagram: Bytes) -> Result<(), P2PError> {
        if let Some(error) = self.closed_error(end) {
            return Err(match error {
                StreamError::Connection(error) => error,
                other => unreachable!("a closed connection says {other}"),
            });
        }
        let limit = self.datagram_bytes_max(end);
        if datagram.len() > limit {
            return Err(P2PError::DatagramTooLarge { size: datagram.len(), limit });
        }
        self.transmit(end, Body::Datagram(datagram));
        Ok(())
    }

    /// Bytes of the largest datagram that this end may send now: one segment.
    pub(crate) fn datagram_bytes_max(&self, end: EndId) -> usize {
        self.mtu_of(end) as usize
    }

    /// Whether a datagram of so many bytes finds a place in front of the link.
    pub(super) fn has_place(&self, link: LinkIx, bytes: usize) -> bool {
        let state = &self.links[link as usize];
        state.room(self.now) >= bytes as u64 && state.datagrams < DATAGRAMS_IN_FLIGHT_MAX
    }

    /// Waits for the next datagram.
    pub(crate) fn poll_datagram(&mut self, end: EndId, waker: &Waker) -> Poll<Result<Bytes, StreamError>> {
        let state = conn_end(&mut self.conns, end).expect("a handle keeps its end");
        if let Some(datagram) = state.datagrams.pop_front() {
            return Poll::Ready(Ok(datagram));
        }
        if let Some(error) = self.closed_error(end) {
            return Poll::Ready(Err(error));
        }
        let state = conn_end(&mut self.conns, end).expect("looked up above");
        state.datagrams_waiting.wait(waker, &mut self.wakes);
        Poll::Pending
    }

    pub(super) fn handle_datagram(&mut self, at: EndId, datagram: Bytes) {
        let state = conn_end(&mut self.conns, at).expect("the caller's end exists");
        if state.datagrams.len() == DATAGRAMS_MAX {
            state.datagrams.pop_front();
        }
        state.datagrams.push_back(datagram);
        state.datagrams_waiting.wake(&mut self.wakes);
    }
}
