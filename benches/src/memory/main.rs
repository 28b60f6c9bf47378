//! Memory over time and per connection, from outside: what the kernel and the allocator say of a process.
//!
//! - `soak`: many peers connect, transfer and close, over and over; prints the slope of the process's memory.
//! - `idle`: what an idle connection takes, here and in raw iroh, in processes of their own that take turns.

mod heap;
mod idle;
mod soak;

use std::net::Ipv4Addr;

use clap::{Parser, Subcommand, ValueEnum};
use iroh::{
    Endpoint,
    endpoint::{PortmapperConfig, presets},
};
use p2p::ProtocolId;
use p2p_iroh::{IrohConfig, IrohLimits, IrohP2P};

/// Measures memory: how it grows over time, and what an idle connection takes.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Peers connect, transfer and close, over and over, and rest after each round. Prints the slope of memory at rest.
    Soak(soak::Soak),
    /// Compares idle connections with raw iroh's, in processes that take turns.
    Idle {
        /// Connections of each process.
        #[arg(long, default_value_t = 400)]
        connections: usize,
        /// Processes of each kind.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// One process of `idle`: prints the bytes that a connection takes, both of its ends together.
    #[command(hide = true)]
    IdleChild {
        /// Whose connections.
        which: Which,
        /// Connections.
        connections: usize,
    },
}

/// Whose connections are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// `p2p-iroh`'s.
    P2p,
    /// Raw iroh's.
    Iroh,
}

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    match Args::parse().what {
        What::Soak(soak) => soak.run().await,
        What::Idle { connections, rounds } => idle::idle(connections, rounds),
        What::IdleChild { which, connections } => idle::child(which, connections).await,
    }
}

const ALPN: &[u8] = b"memory/1";

fn protocol() -> ProtocolId {
    "memory/1".parse().expect("it is visible ASCII")
}

/// An endpoint of ours on loopback.
async fn bind(limits: IrohLimits) -> Result<IrohP2P> {
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    Ok(IrohP2P::bind(IrohConfig::default().with_bind([loopback]).with_limits(limits)).await?)
}

/// An endpoint of raw iroh on loopback.
async fn bind_raw() -> Result<Endpoint> {
    let builder = Endpoint::builder(presets::Minimal).clear_ip_transports().alpns(vec![ALPN.to_vec()]);
    Ok(builder.portmapper_config(PortmapperConfig::Disabled).bind_addr("127.0.0.1:0")?.bind().await?)
}

const MIB: f64 = 1024.0 * 1024.0;

/// The memory of this process.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).ok_or("no resident pages in /proc/self/statm")?.parse()?;
    Ok(pages * 4096)
}
