//! What peers run, kept so that a peer that crashed can run it again.

use std::{collections::BTreeMap, sync::Arc};

use p2p::{BoxFuture, P2PProvider};
use parking_lot::Mutex;

use crate::{Network, Node, SimulatorEndpoint, SimulatorP2P, shared::Shared, world::node::NodeIx};

/// Makes a peer's program, once for each of its lives.
pub(crate) type Program = Arc<dyn Fn(Node) -> BoxFuture<'static, ()> + Send + Sync>;

/// The programs of all peers that have one.
#[derive(Default)]
pub(crate) struct Programs(Mutex<BTreeMap<NodeIx, Program>>);

impl Programs {
    pub(crate) fn insert(&self, node: NodeIx, program: Program) {
        self.0.lock().insert(node, program);
    }

    /// Starts the peer's program, if it has one and is not down, as a task of its own.
    pub(crate) fn start(&self, shared: &Arc<Shared>, node: NodeIx) {
        let Some(program) = self.0.lock().get(&node).cloned() else {
            return;
        };
        let up = shared.with(|world| (!world.is_down(node)).then(|| world.node_name(node).clone()));
        let Some(name) = up else {
            return;
        };
        let provider = SimulatorP2P::new(SimulatorEndpoint::new(shared.clone(), &name));
        let runtime = provider.runtime().clone();
        let node = Node::new(Network::new(shared.clone()), name, provider);
        runtime.spawn("program", program(node)).detach();
    }

    /// Forgets them all.
    pub(crate) fn clear(&self) {
        let programs = std::mem::take(&mut *self.0.lock());
        // Dropped without the lock, as they may hold anything.
        drop(programs);
    }
}
