//! Peers over byte streams that somebody else carries.

#[path = "../common/mod.rs"]
mod common;
mod memory;
mod mux;
mod operator;
mod routes;
mod server;
mod session;
mod town;

mod conformance {
    //! The contract, in virtual time, with nothing between the peers.
    p2p::conformance_tests!(
        #[tokio::test(start_paused = true)]
        crate::memory::OnTheMeadow
    );
}

mod conformance_by_a_server {
    //! The contract, in virtual time, by a tunnel server.
    p2p::conformance_tests!(
        #[tokio::test(start_paused = true)]
        crate::town::InTown::default()
    );
}
