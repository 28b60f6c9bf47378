//! The NAT lab: real iroh endpoints behind real kernel NATs, with a real relay between them.
//!
//! Not a model: every router, peer and relay is a network namespace of its own, translation is nftables', and the
//! relay checks tokens and shows a certificate from the lab's own authority. Latency and shaped links are not
//! here, because not every kernel that runs this has them; loss comes from nftables, and the way to a relay can be made long.
//!
//! It has no libtest harness, since a user namespace must be entered before any thread starts, but takes the same
//! arguments and prints the same lines:
//!
//! ```text
//! cargo test -p p2p-iroh --test nat_lab                    # everything, one scenario after the other
//! cargo test -p p2p-iroh --test nat_lab -- strict --list   # which scenarios have `strict` in their name
//! cargo test -p p2p-iroh --test nat_lab -- --table --repeats 3   # medians of three, into docs/NAT_LAB.md
//! ```
//!
//! Without the privileges it needs, it says what is missing and skips; `NAT_LAB=required` makes that a failure.
//!
//! Where to find what:
//! - [`runner`]: arguments, output, exit code; [`requirements`]: what this machine has to offer.
//! - [`expectation`] and `matrix.txt`: which pair of NATs becomes direct.
//! - [`topology`]: routers and devices; [`relay`], [`certificate`] and [`delay`]: the relay's; [`shell`]: commands in them.
//! - [`peer`]: the one file that knows whose connections are tested; [`pair`]: two connected peers.
//! - [`sink`]: where everything ends that an endpoint sends to somebody it was not told of.
//! - [`faults`]: what can go wrong on purpose; [`steady`]: traffic meanwhile; [`scenarios`]: what has to hold then;
//!   [`figures`]: what is measured; [`table`] and [`picture`]: how `docs/NAT_LAB.md` tells it.

// Like libtest's own, this program's output is its purpose.
#![allow(clippy::print_stdout)]

#[cfg(target_os = "linux")]
mod certificate;
#[cfg(target_os = "linux")]
mod delay;
#[cfg(target_os = "linux")]
mod expectation;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod figures;
#[cfg(target_os = "linux")]
#[path = "../../../p2p-simulator/tests/reconnect/killable.rs"]
#[allow(dead_code, reason = "the lab only kills")]
mod killable;
#[cfg(target_os = "linux")]
mod pair;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod picture;
#[cfg(target_os = "linux")]
mod relay;
#[cfg(target_os = "linux")]
mod requirements;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod scenarios;
#[cfg(target_os = "linux")]
mod shell;
#[cfg(target_os = "linux")]
mod sink;
#[cfg(target_os = "linux")]
mod steady;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod topology;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let options = runner::Options::from_args(std::env::args().skip(1));
    let selection = runner::Selection::new(scenarios::all(), &options);
    if options.list {
        return selection.list();
    }
    // A filter that is meant for another test binary asks nothing of this machine.
    let needed = !selection.is_empty();
    // Before anything that may start a thread: a process with more than one can not enter a user namespace.
    if needed && let Err(missing) = requirements::enter_user_namespace() {
        return selection.skip(&missing);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs nothing that this process lacks");
    if needed && let Err(missing) = runtime.block_on(requirements::probe()) {
        return selection.skip(&missing);
    }
    // Silent unless `RUST_LOG` asks: a lab ends like a power cut, about which the endpoints in it complain.
    let silent = || tracing_subscriber::EnvFilter::new("off");
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| silent()))
        .with_writer(std::io::stderr)
        .init();
    runtime.block_on(selection.run())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("nat_lab: skipped, it is built from Linux network namespaces");
}
