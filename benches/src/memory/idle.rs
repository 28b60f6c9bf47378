//! What an idle connection takes, here and in raw iroh, in processes of their own that take turns.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{process::Command, sync::Arc, time::Duration};

use p2p::{ConnectionConfig, P2PConnection, P2PProvider, P2PProviderExt};
use p2p_iroh::IrohLimits;

use crate::{ALPN, Result, Which, bind, bind_raw, protocol, resident_bytes};

/// Runs the processes and compares.
pub(crate) fn idle(connections: usize, rounds: usize) -> Result<()> {
    let program = std::env::current_exe()?;
    let measure = |kind: &str| -> Result<f64> {
        let output = Command::new(&program).args(["idle-child", kind, &connections.to_string()]).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().parse()?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    };
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        raw.push(measure("iroh")?);
        ours.push(measure("p2p")?);
    }
    let median = |samples: &mut Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 2]
    };
    let spread = |samples: &[f64]| (samples[0] / 1024.0, samples[samples.len() - 1] / 1024.0);
    // A process has both ends of each connection.
    let (raw_end, ours_end) = (median(&mut raw) / 2.0, median(&mut ours) / 2.0);
    println!("{connections} idle connections in each of {rounds} processes, per end of a connection:");
    println!("raw iroh: {:.1} KiB (both ends {:.1?} KiB)", raw_end / 1024.0, spread(&raw));
    println!("p2p-iroh: {:.1} KiB (both ends {:.1?} KiB)", ours_end / 1024.0, spread(&ours));
    let allowed = raw_end * 1.1 + 4096.0;
    let verdict = if ours_end <= allowed { "within" } else { "over" };
    println!("ratio: {:.2}; {verdict} raw iroh's and 10 % and 4 KiB, {:.1} KiB", ours_end / raw_end, allowed / 1024.0);
    Ok(())
}

/// Long enough for the handshake's last packets, path probes and their buffers to be gone.
const SETTLE: Duration = Duration::from_secs(3);

/// One of the processes.
pub(crate) async fn child(which: Which, connections: usize) -> Result<()> {
    let bytes = match which {
        Which::P2p => idle_p2p(connections).await?,
        Which::Iroh => idle_iroh(connections).await?,
    };
    println!("{bytes}");
    Ok(())
}

async fn idle_iroh(connections: usize) -> Result<u64> {
    let (ours, theirs) = (bind_raw().await?, bind_raw().await?);
    let addr = theirs.addr();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while held.len() < connections + WARM_UP {
            let Some(incoming) = theirs.accept().await else { break };
            held.push(incoming.await);
        }
        (held, theirs)
    });
    let mut held = Vec::new();
    let mut before = 0;
    for number in 0..connections + WARM_UP {
        if number == WARM_UP {
            before = resident_bytes()?;
        }
        held.push(ours.connect(addr.clone(), ALPN).await?);
    }
    let _accepted = accepting.await?;
    tokio::time::sleep(SETTLE).await;
    Ok(resident_bytes()?.saturating_sub(before) / connections as u64)
}

async fn idle_p2p(connections: usize) -> Result<u64> {
    let limits = IrohLimits::default().with_connections_per_peer_max(connections + WARM_UP);
    let (ours, theirs) = (bind(limits.clone()).await?, Arc::new(bind(limits).await?));
    let listener = theirs.listen(&protocol()).await?;
    let addr = listener.local_addr();
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while held.len() < connections + WARM_UP {
            let Ok(connection) = listener.accept().await else { break };
            held.push(connection);
        }
        (held, listener)
    });
    let mut held: Vec<Arc<dyn P2PConnection>> = Vec::new();
    let mut before = 0;
    for number in 0..connections + WARM_UP {
        if number == WARM_UP {
            before = resident_bytes()?;
        }
        held.push(ours.connect_with(addr.clone(), ConnectionConfig::new(protocol())).await?);
    }
    let _accepted = accepting.await?;
    tokio::time::sleep(SETTLE).await;
    Ok(resident_bytes()?.saturating_sub(before) / connections as u64)
}

/// Connections made before it counts, for what a process takes once.
const WARM_UP: usize = 20;
