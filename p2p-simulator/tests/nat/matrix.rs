//! The table that holds for real kernels holds here, cell by cell: both tests read the same file.

use std::time::Duration;

use p2p::Path;
use p2p_simulator::Nat;

use crate::{
    expectation::{NatKind, PathKind, expectations},
    pair::{DIRECT_MAX, LATENCY, Pair, homes, is_relayed, simulation},
};

const fn nat(kind: NatKind) -> Nat {
    match kind {
        NatKind::None => Nat::NONE,
        NatKind::Open => Nat::OPEN,
        NatKind::Moderate => Nat::MODERATE,
        NatKind::Strict => Nat::STRICT,
    }
}

// Every connection begins at the relay, so one that is direct in the end has found its path itself.
#[test]
fn every_pair_of_nats_ends_on_the_path_that_it_ends_on_between_real_kernels() {
    let cells = expectations();
    assert_eq!(cells.len(), 16);
    for cell in cells {
        simulation(homes(nat(cell.dialler), nat(cell.acceptor))).run(move |network| async move {
            let pair = Pair::connect(network).await;
            assert!(is_relayed(pair.ours.state().get().path().unwrap()), "{cell:?} begins with the relay");
            match cell.path {
                PathKind::Direct => {
                    let took = pair.until(Path::is_direct, DIRECT_MAX).await;
                    assert!(took < 10 * LATENCY, "{cell:?} took {took:?}");
                    assert_eq!(pair.echo().await, 2 * LATENCY, "{cell:?}");
                }
                PathKind::Relayed => {
                    // Long enough for four rounds of hole punching.
                    pair.sleep(Duration::from_secs(100)).await;
                    assert_eq!(pair.paths(), ["relayed by sim:relay"; 2], "{cell:?}");
                    assert_eq!(pair.echo().await, 4 * LATENCY, "{cell:?}");
                }
            }
        });
    }
}

#[test]
fn without_udp_there_is_only_the_relay() {
    for (dialler, acceptor) in
        [(Nat::CORPORATE, Nat::NONE), (Nat::NONE, Nat::UDP_BLOCKED), (Nat::UDP_BLOCKED, Nat::CORPORATE)]
    {
        simulation(homes(dialler, acceptor)).run(|network| async move {
            let pair = Pair::connect(network).await;
            pair.sleep(Duration::from_secs(100)).await;
            assert_eq!(pair.paths(), ["relayed by sim:relay"; 2]);
            pair.echo().await;
        });
    }
}
