//! Dialling: one round trip from one node to another, and what can come of it.

use std::{
    collections::BTreeMap,
    task::{Poll, Waker},
};

use super::{Conn, End, EndId, Phase, conn_end};
use crate::{
    trace::payload_hash,
    world::{
        World,
        fault::{Found, Lookup},
        node::NodeIx,
        packet::{Body, Packet},
    },
};

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
    /// Who is there is somebody else.
    SomebodyElse,
    /// The dialler can open nothing more.
    NoFileDescriptors,
}

impl World {
    /// Starts to dial. The handle is the caller's, to be released.
    pub(crate) fn dial(&mut self, src: NodeIx, dst: NodeIx) -> EndId {
        assert_ne!(src, dst, "the engine refuses to dial oneself");
        let lookup = self.look_up(src, dst);
        let dst = if let Found::Another(node) = lookup.found { node } else { dst };
        let link = self.link(src, dst);
        let fails = self.dial_fails(link);
        let number = self.links[link as usize].dials;
        self.links[link as usize].dials += 1;
        let mine = match self.nodes[src as usize].no_files {
            true => Phase::Failed(DialAnswer::NoFileDescriptors),
            false => Phase::Dialling(None),
        };
        let theirs = match lookup.found {
            Found::Another(_) => Phase::Failed(DialAnswer::SomebodyElse),
            _ if fails => Phase::Failed(DialAnswer::Failed),
            _ => Phase::Unaware,
        };
        let (paths, links) = match self.paths_matter(src, dst) {
            true => {
                let (paths, links) = self.first_paths(src, dst);
                (Some(paths), links)
            }
            false => (None, [link, self.link(dst, src)]),
        };
        let number = if paths.is_some() { self.number_in_pair(src, dst, number) } else { number };
        let incarnation = self.nodes[src as usize].incarnation;
        let conn = self.conns.insert(Conn {
            number,
            ends: [
                End::new(src, incarnation, (links[0], paths.is_some()), mine, 1),
                End::new(dst, 0, (links[1], paths.is_some()), theirs, 0),
            ],
            streams: BTreeMap::new(),
            paths,
        });
        let end = EndId { conn, side: 0 };
        if self.is_dialling(end) {
            self.send_dial(end, &lookup);
        }
        end
    }

    fn send_dial(&mut self, end: EndId, lookup: &Lookup) {
        let mark = self.mark(end, &Body::Dial).expect("its connection was just made");
        if lookup.found == Found::Nobody {
            return self.send_nowhere(end, mark);
        }
        if lookup.takes == 0 {
            self.launch(end, mark, Body::Dial, self.now);
        } else {
            let link = self.end(end).expect("its connection was just made").link;
            let at = self.now + lookup.takes;
            let packet =
                Packet { link, to: end.other(), sent_at: at, leaves_at: at, mark, body: Body::Dial, leg: None };
            self.send_later(packet, at);
        }
        self.doubt_direct_dial(end, lookup.takes);
    }

    /// What a connection between two nodes is called on links that others use as well: their number, and both names' hash.
    fn number_in_pair(&self, src: NodeIx, dst: NodeIx, number: u64) -> u64 {
        let [src, dst] = [src, dst].map(|node| self.nodes[node as usize].number);
        let pair = payload_hash(&[src.to_le_bytes(), dst.to_le_bytes()].concat());
        u64::from(pair >> 1) << 32 | number
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
        if answer == DialAnswer::Accepted {
            self.begin_search(end);
        }
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
            if answer == DialAnswer::Accepted {
                self.begin_search(end);
            }
        }
    }

    pub(in crate::world) fn is_dialling(&self, end: EndId) -> bool {
        matches!(self.end(end), Some(End { phase: Phase::Dialling(_), .. }))
    }
}
