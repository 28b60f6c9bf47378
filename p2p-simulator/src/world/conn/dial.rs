//! Dialling: one round trip from one node to another, and what can come of it.

use std::{
    collections::BTreeMap,
    task::{Poll, Waker},
};

use super::{Conn, End, EndId, Phase, conn_end};
use crate::world::{World, node::NodeIx, packet::Body};

/// What became of a dial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DialAnswer {
    Accepted,
    /// Nobody takes connections there.
    NobodyAnswers,
    /// Too many wait to be taken.
    Full,
    /// The configured failure rate struck.
    Failed,
}

impl World {
    /// Starts to dial. The handle is the caller's, to be released.
    pub(crate) fn dial(&mut self, src: NodeIx, dst: NodeIx) -> EndId {
        assert_ne!(src, dst, "the engine refuses to dial oneself");
        let (link, back) = (self.link(src, dst), self.link(dst, src));
        let fails = self.dial_fails(link);
        let number = self.links[link as usize].dials;
        self.links[link as usize].dials += 1;
        let conn = self.conns.insert(Conn {
            number,
            ends: [
                End::new(src, self.nodes[src as usize].incarnation, link, Phase::Dialling(None), 1),
                End::new(dst, 0, back, if fails { Phase::Failed(DialAnswer::Failed) } else { Phase::Unaware }, 0),
            ],
            streams: BTreeMap::new(),
        });
        let end = EndId { conn, side: 0 };
        self.transmit(end, Body::Dial);
        end
    }

    /// Waits for the answer to a dial.
    pub(crate) fn poll_dial(&mut self, end: EndId, waker: &Waker) -> Poll<DialAnswer> {
        match &mut conn_end(&mut self.conns, end).expect("a dialler holds its end").phase {
            Phase::Dialling(slot) => {
                self.wakes.put(slot, waker);
                Poll::Pending
            }
            Phase::Failed(answer) => Poll::Ready(*answer),
            _ => Poll::Ready(DialAnswer::Accepted),
        }
    }

    pub(in crate::world) fn handle_dial(&mut self, end: EndId) {
        let state = self.end(end).expect("what hears a dial exists");
        let node = state.node;
        let incarnation = self.nodes[node as usize].incarnation;
        let answer = match &state.phase {
            Phase::Failed(answer) => *answer,
            // The dialler closed before its dial came through.
            Phase::Closed(..) => return,
            _ if self.nodes[node as usize].answering.is_none() => DialAnswer::NobodyAnswers,
            _ => {
                if self.push_incoming(node, end) {
                    DialAnswer::Accepted
                } else {
                    DialAnswer::Full
                }
            }
        };
        let state = self.end_mut(end).expect("what hears a dial exists");
        state.incarnation = incarnation;
        state.phase = match answer {
            DialAnswer::Accepted => Phase::Open,
            refused => Phase::Failed(refused),
        };
        self.transmit(end, Body::DialAnswer(answer));
    }

    pub(in crate::world) fn handle_dial_answer(&mut self, end: EndId, answer: DialAnswer) {
        let state = self.end_mut(end).expect("what hears an answer exists");
        if let Phase::Dialling(waker) = &mut state.phase {
            let waker = waker.take();
            state.phase = match answer {
                DialAnswer::Accepted => Phase::Open,
                refused => Phase::Failed(refused),
            };
            self.wakes.due.extend(waker);
        }
    }
}
