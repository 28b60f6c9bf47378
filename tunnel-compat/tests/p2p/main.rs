//! Peers over byte streams that somebody else carries.

mod memory;
mod mux;
mod operator;

mod conformance {
    //! The contract, in virtual time.
    p2p::conformance_tests!(
        #[tokio::test(start_paused = true)]
        crate::memory::OnTheMeadow
    );
}
