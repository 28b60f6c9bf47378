//! An endpoint in a process that has run out of file descriptors.

mod common;

use std::{fs::File, process::Command};

use common::{bind, connect, exchange, listen, loopback};

/// Set in the process that may open only a few files. Its value does not matter.
const CONFINED: &str = "P2P_IROH_TEST_CONFINED";

/// Enough for the test runner, the runtimes and two endpoints.
const DESCRIPTORS: u32 = 128;

// An endpoint takes connections over the sockets it has: it needs no descriptor for one, so none being left must neither
// end nor stop its accept loop.
#[test]
#[cfg(unix)]
fn without_a_file_descriptor_left_connections_are_still_taken() {
    if std::env::var_os(CONFINED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(connect_without_descriptors());
    }
    let test = "without_a_file_descriptor_left_connections_are_still_taken";
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" --exact {test} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(CONFINED, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

async fn connect_without_descriptors() {
    let (alice, bob) = (bind(loopback()).await, bind(loopback()).await);
    let listener = listen(&bob).await;

    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
        assert!(hoard.len() <= DESCRIPTORS as usize, "the limit does not hold");
    }
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;

    drop(hoard);
    let (ours, theirs) = connect(&alice, &*listener).await;
    exchange(&*ours, &*theirs).await;
}
