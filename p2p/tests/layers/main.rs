//! What each layer promises beyond the contract. That the contract holds through them is the conformance suite's to say.

mod allocations;
mod metrics;
mod recorder;
mod stub;
mod timeout;

use p2p::{
    layer::{Deadlines, LayerExt},
    memory::MemoryNetwork,
};

#[test]
fn display_prints_the_stack() {
    let bare = MemoryNetwork::new().provider("alice");
    let name = bare.to_string();
    let stack = bare.with_timeout(Deadlines::default()).with_metrics(&::metrics::NoopRecorder);
    assert_eq!(stack.to_string(), format!("Metrics(Timeout({name}))"));
}
