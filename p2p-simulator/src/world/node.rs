//! A peer as the network sees it: its identity, whether it answers, and who has dialled it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Poll, Waker},
};

use p2p::PeerId;

use super::{World, clock::NodeClock, conn::EndId, nat::RouterIx, wakes::Waiting};
use crate::trace::{Event, What, peer_number};

/// A node's place in the world. Never part of a draw or a trace.
pub(crate) type NodeIx = u32;

/// One peer.
pub(crate) struct Node {
    pub(super) name: Arc<str>,
    pub(super) peer: PeerId,
    /// The router that it is directly behind; nothing in public.
    pub(super) behind: Option<RouterIx>,
    /// Its number among the relays, if it is one.
    pub(super) relay: Option<u32>,
    /// The relay at which it is at home, once that was of interest.
    pub(super) home: Option<u32>,
    /// Whether it can open nothing more: no dials, and no incoming connections.
    pub(super) no_files: bool,
    /// What stands for it in traces.
    pub(super) number: u64,
    /// Its life: the first, or one more for each restart.
    pub(super) incarnation: u32,
    /// Whether it has crashed and not come back.
    pub(super) down: bool,
    /// What its own clock shows.
    pub(super) clock: Arc<NodeClock>,
    /// Nanoseconds by which its timers fire late.
    pub(super) slow: u64,
    /// Whether its timers fire at other times than the network's clock shows.
    pub(super) is_off: bool,
    /// Who takes its incoming connections, if anybody does. A later one takes the place of an earlier.
    pub(super) answering: Option<u32>,
    /// How many ever did.
    endpoints: u32,
    /// Connections that peers opened and nobody took yet, at most [`INCOMING_MAX`].
    pub(super) incoming: VecDeque<EndId>,
    pub(super) incoming_waiting: Waiting,
}

/// Connections of one node that wait to be taken. The next dial is refused.
pub(crate) const INCOMING_MAX: usize = 1024;

impl Node {
    /// When a timer fires that is set to what the node's own clock shows.
    pub(super) fn fires_at(&self, shown: u64) -> u64 {
        if self.is_off { self.clock.when_shown(shown).saturating_add(self.slow) } else { shown }
    }
}

impl World {
    /// The node of that name, made if there is none yet.
    pub(crate) fn node(&mut self, name: &str) -> NodeIx {
        let peer = PeerId::from_name(name);
        if let Some(&node) = self.by_peer.get(&peer) {
            return node;
        }
        let node = NodeIx::try_from(self.nodes.len()).expect("memory ends before 4 billion nodes");
        let number = peer_number(peer);
        self.nodes.push(Node {
            name: name.into(),
            peer,
            behind: self.planned_router(name),
            relay: None,
            home: None,
            no_files: false,
            number,
            incarnation: 1,
            down: false,
            clock: Arc::default(),
            slow: 0,
            is_off: false,
            answering: None,
            endpoints: 0,
            incoming: VecDeque::new(),
            incoming_waiting: Waiting::new(),
        });
        self.by_peer.insert(peer, node);
        self.recorder.name_peer(number, name);
        self.record_change(Event::Changed, What::Peer, number, 0);
        node
    }

    pub(crate) fn find_node(&self, peer: PeerId) -> Option<NodeIx> {
        self.by_peer.get(&peer).copied()
    }

    pub(crate) fn node_name(&self, node: NodeIx) -> &Arc<str> {
        &self.nodes[node as usize].name
    }

    pub(crate) fn node_peer(&self, node: NodeIx) -> PeerId {
        self.nodes[node as usize].peer
    }

    /// Lets somebody take the node's incoming connections, in place of whoever did. Returns the number to take them with.
    pub(crate) fn start_answering(&mut self, node: NodeIx) -> u32 {
        let state = &mut self.nodes[node as usize];
        state.endpoints += 1;
        state.answering = Some(state.endpoints);
        let endpoint = state.endpoints;
        state.incoming_waiting.wake(&mut self.wakes);
        endpoint
    }

    /// Takes no more incoming connections. Those that nobody took yet are closed.
    pub(crate) fn stop_answering(&mut self, node: NodeIx, endpoint: u32) {
        let state = &mut self.nodes[node as usize];
        if state.answering != Some(endpoint) {
            return;
        }
        state.answering = None;
        state.incoming_waiting.wake(&mut self.wakes);
        for end in std::mem::take(&mut state.incoming) {
            self.release_handle(end);
        }
    }

    /// Waits for the next connection that a peer opened; nothing once that endpoint takes no more. The handle on it is the
    /// caller's, to be released.
    pub(crate) fn poll_incoming(&mut self, node: NodeIx, endpoint: u32, waker: &Waker) -> Poll<Option<EndId>> {
        let state = &mut self.nodes[node as usize];
        if state.answering != Some(endpoint) {
            return Poll::Ready(None);
        }
        if !state.no_files
            && let Some(end) = state.incoming.pop_front()
        {
            return Poll::Ready(Some(end));
        }
        state.incoming_waiting.wait(waker, &mut self.wakes);
        Poll::Pending
    }

    /// Sets whether the node can open nothing more. What waited to be taken can be taken again afterwards.
    pub(super) fn set_no_files(&mut self, node: NodeIx, no_files: bool) {
        let state = &mut self.nodes[node as usize];
        if std::mem::replace(&mut state.no_files, no_files) && !no_files {
            state.incoming_waiting.wake(&mut self.wakes);
        }
    }

    /// Hands over a connection that just arrived, if there is room for it.
    pub(super) fn push_incoming(&mut self, node: NodeIx, end: EndId) -> bool {
        let state = &mut self.nodes[node as usize];
        let room = state.answering.is_some() && state.incoming.len() < INCOMING_MAX;
        if room {
            state.incoming.push_back(end);
            state.incoming_waiting.wake(&mut self.wakes);
            // The queue's, until it is handed over.
            self.take_handle(end);
        }
        room
    }
}
