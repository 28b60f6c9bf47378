//! `p2p-sim` with the workloads that ship. One with others calls [`p2p_simulator::cli::main`] with a registry of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    p2p_simulator::cli::main(p2p_simulator::workloads::registry())
}
