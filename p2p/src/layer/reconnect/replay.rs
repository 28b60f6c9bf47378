//! What was accepted and is not acknowledged: messages by number, the bytes of a stream by offset.
//!
//! State without I/O. Both kinds have three marks, `acked ≤ sent ≤ end`: up to where the peer is known to have it, up to
//! where the present transport was given it, and up to where it was accepted. A new transport moves `sent` back to where
//! the peer says it is.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::budget::ENTRY_BYTES;

/// Numbered things that wait for their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct MessageReplay {
    messages: VecDeque<Bytes>,
    bytes: usize,
    unsent_bytes: usize,
    acked: u64,
    sent: u64,
    /// The highest `sent` ever, over all transports: what the peer can have at most.
    sent_max: u64,
}

/// The peer speaks of something that was not sent, or goes back on its word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{claimed} {what} received, when between {acked} and {sent} are possible")]
pub(super) struct Impossible {
    pub(super) what: &'static str,
    pub(super) claimed: u64,
    pub(super) acked: u64,
    pub(super) sent: u64,
}

/// What a new transport makes of what was sent before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rewound {
    /// Bytes of budget that became free.
    pub(super) freed: usize,
    /// Sent before, not acknowledged, and yet received: would come twice if it were sent again.
    pub(super) suppressed: u64,
}

impl MessageReplay {
    pub(super) fn push(&mut self, message: Bytes) -> usize {
        let cost = cost(&message);
        self.bytes += cost;
        self.unsent_bytes += cost;
        self.messages.push_back(message);
        cost
    }

    /// The next message that the present transport was not given.
    pub(super) fn next_unsent(&self) -> Option<&Bytes> {
        self.messages.get((self.sent - self.acked) as usize)
    }

    /// The present transport took the next message. Says how many bytes it took for the second time.
    pub(super) fn mark_sent(&mut self) -> Option<usize> {
        let message = self.next_unsent().expect("there is one that was just sent");
        let bytes = message.len();
        self.unsent_bytes -= cost(message);
        self.sent += 1;
        let again = self.sent <= self.sent_max;
        self.sent_max = self.sent_max.max(self.sent);
        again.then_some(bytes)
    }

    pub(super) fn check(&self, received: u64) -> Result<(), Impossible> {
        check("messages", received, self.acked, self.sent_max)
    }

    /// The peer has the first `received` messages. Returns the bytes of budget that became free.
    pub(super) fn acknowledge(&mut self, received: u64) -> Result<usize, Impossible> {
        check("messages", received, self.acked, self.sent)?;
        Ok(self.drop_front(received))
    }

    /// A new transport: what the peer has not received is sent again.
    pub(super) fn rewind(&mut self, received: u64) -> Result<Rewound, Impossible> {
        self.check(received)?;
        let suppressed = received - self.acked;
        let freed = self.drop_front(received);
        self.sent = received;
        self.unsent_bytes = self.bytes;
        Ok(Rewound { freed, suppressed })
    }

    fn drop_front(&mut self, received: u64) -> usize {
        let gone = (received - self.acked) as usize;
        let freed = self.messages.drain(..gone).map(|message| cost(&message)).sum();
        self.bytes -= freed;
        self.acked = received;
        freed
    }

    /// For a mutant: forgets what was sent and may not have arrived.
    pub(super) fn forget_sent(&mut self) -> usize {
        self.drop_front(self.sent)
    }

    /// For mutants.
    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }

    /// For mutants.
    pub(super) const fn sent_max(&self) -> u64 {
        self.sent_max
    }

    /// Forgets everything. Returns the bytes of budget that became free.
    pub(super) fn clear(&mut self) -> usize {
        self.messages.clear();
        self.sent = self.acked;
        self.unsent_bytes = 0;
        std::mem::take(&mut self.bytes)
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    pub(super) fn is_all_sent(&self) -> bool {
        self.next_unsent().is_none()
    }

    /// Messages that the peer is not known to have.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.messages.len() as u64
    }
}

fn cost(payload: &Bytes) -> usize {
    payload.len() + ENTRY_BYTES
}

fn check(what: &'static str, claimed: u64, acked: u64, sent: u64) -> Result<(), Impossible> {
    if (acked..=sent).contains(&claimed) { Ok(()) } else { Err(Impossible { what, claimed, acked, sent }) }
}

/// The bytes of one direction of a stream that wait for their acknowledgement. All of them were given to some transport.
#[derive(Debug, Default)]
pub(super) struct StreamReplay {
    chunks: VecDeque<Bytes>,
    cost: usize,
    acked: u64,
    sent: u64,
    end: u64,
}

impl StreamReplay {
    /// Bytes that the present transport took from the writer. Returns what they cost of the budget.
    pub(super) fn push_sent(&mut self, bytes: Bytes) -> usize {
        debug_assert!(self.is_all_sent(), "what is older goes first");
        let cost = cost(&bytes);
        self.cost += cost;
        self.end += bytes.len() as u64;
        self.sent = self.end;
        self.chunks.push_back(bytes);
        cost
    }

    /// The next bytes that the present transport was not given.
    pub(super) fn next_unsent(&self) -> Option<Bytes> {
        let mut skip = self.sent - self.acked;
        for chunk in &self.chunks {
            let len = chunk.len() as u64;
            if skip < len {
                return Some(chunk.slice(skip as usize..));
            }
            skip -= len;
        }
        None
    }

    /// The present transport took that many of them.
    pub(super) const fn mark_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(super) fn check(&self, received: u64) -> Result<(), Impossible> {
        check("bytes of a stream", received, self.acked, self.end)
    }

    /// The peer has the first `received` bytes. Returns the bytes of budget that became free.
    pub(super) fn acknowledge(&mut self, received: u64) -> Result<usize, Impossible> {
        check("bytes of a stream", received, self.acked, self.sent)?;
        Ok(self.drop_front(received))
    }

    /// A new transport: what the peer has not received is sent again.
    pub(super) fn rewind(&mut self, received: u64) -> Result<Rewound, Impossible> {
        self.check(received)?;
        let suppressed = received - self.acked;
        let freed = self.drop_front(received);
        self.sent = received;
        Ok(Rewound { freed, suppressed })
    }

    fn drop_front(&mut self, received: u64) -> usize {
        let mut gone = received - self.acked;
        self.acked = received;
        let mut freed = 0;
        while let Some(front) = self.chunks.front_mut().filter(|_| gone > 0) {
            let len = front.len() as u64;
            if gone < len {
                front.advance(gone as usize);
                freed += gone as usize;
                break;
            }
            gone -= len;
            freed += cost(front);
            self.chunks.pop_front();
        }
        self.cost -= freed;
        freed
    }

    /// Forgets everything. Returns the bytes of budget that became free.
    pub(super) fn clear(&mut self) -> usize {
        self.chunks.clear();
        self.acked = self.end;
        self.sent = self.end;
        std::mem::take(&mut self.cost)
    }

    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    pub(super) const fn is_all_sent(&self) -> bool {
        self.sent == self.end
    }

    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Bytes {
        number.to_string().into()
    }

    fn send_all(replay: &mut MessageReplay) -> Vec<Bytes> {
        let mut sent = Vec::new();
        while let Some(next) = replay.next_unsent().cloned() {
            replay.mark_sent();
            sent.push(next);
        }
        sent
    }

    // Ten are sent, three are known to have arrived, five have: the sixth is the first to go again, and two are counted
    // as those that would have come twice.
    #[test]
    fn a_new_transport_is_given_exactly_what_the_peer_lacks() {
        let mut replay = MessageReplay::default();
        let taken: usize = (0..10).map(|number| replay.push(message(number))).sum();
        assert_eq!(send_all(&mut replay).len(), 10);
        let freed = replay.acknowledge(3).unwrap();
        let rewound = replay.rewind(5).unwrap();
        assert_eq!(rewound.suppressed, 2);
        assert_eq!(freed + rewound.freed + replay.bytes(), taken);
        assert_eq!(replay.mark_sent(), Some(1), "the first of those sent again");
        assert_eq!(send_all(&mut replay), (6..10).map(message).collect::<Vec<_>>());
        assert_eq!(replay.acknowledge(10), Ok(5 * (1 + ENTRY_BYTES)));
        assert_eq!((replay.bytes(), replay.unsent_bytes(), replay.unacknowledged()), (0, 0, 0));
    }

    #[test]
    fn what_was_never_sent_cannot_have_arrived() {
        let mut replay = MessageReplay::default();
        replay.push(message(0));
        replay.push(message(1));
        replay.mark_sent();
        replay.acknowledge(2).unwrap_err();
        replay.rewind(2).unwrap_err();
        replay.acknowledge(1).unwrap();
        assert!(replay.rewind(0).unwrap_err().to_string().contains("0 messages received"));
        assert!(replay.acknowledge(0).is_err(), "an acknowledgement does not go back");
        assert_eq!(replay.rewind(1), Ok(Rewound::default()));
    }

    // A message can be acknowledged on the present transport only if it was given to it, whatever earlier ones took.
    #[test]
    fn an_acknowledgement_speaks_of_the_present_transport() {
        let mut replay = MessageReplay::default();
        for number in 0..3 {
            replay.push(message(number));
        }
        send_all(&mut replay);
        replay.rewind(0).unwrap();
        replay.acknowledge(1).unwrap_err();
        replay.rewind(3).unwrap();
    }

    #[test]
    fn a_stream_goes_on_at_any_byte() {
        for received in 0..=9u64 {
            let mut replay = StreamReplay::default();
            let taken: usize = ["abc", "def", "ghi"].map(|part| replay.push_sent(part.into())).iter().sum();
            let early = replay.acknowledge(received / 2).unwrap();
            let rewound = replay.rewind(received).unwrap();
            assert_eq!(rewound.suppressed, received - received / 2);
            let mut again = Vec::new();
            while let Some(next) = replay.next_unsent() {
                let part = next.slice(..next.len().min(2));
                replay.mark_sent(part.len());
                again.extend_from_slice(&part);
            }
            assert_eq!(again, &b"abcdefghi"[received as usize..]);
            assert!(replay.is_all_sent());
            let late = replay.acknowledge(9).unwrap();
            assert_eq!(early + rewound.freed + late, taken, "nothing of the budget is lost");
            assert_eq!(replay.cost(), 0);
            replay.acknowledge(10).unwrap_err();
        }
    }
}
