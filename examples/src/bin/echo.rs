//! An echo service over any provider. Both ends in one process:
//!
//! ```sh
//! cargo run -p examples --bin echo
//! P2P_IMPLEMENTATION=simulator cargo run -p examples --bin echo
//! ```
//!
//! Or each end in a terminal, on one machine or two. The first prints a ticket, the second takes lines to send:
//!
//! ```sh
//! cargo run -p examples --bin echo listen
//! cargo run -p examples --bin echo connect TICKET
//! ```
//!
//! The environment chooses and configures the provider; see `ProviderConfig::from_vars` for all of it. Two machines
//! that are not on one network need a relay: `P2P_RELAY_SERVERS=relay.example`.

#![expect(clippy::print_stdout, reason = "programs speak to people")]

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use examples::Result;
use p2p::{P2PConnection, P2PListener, P2PProvider, P2PProviderExt, ProtocolId, Ticket};
use p2p_providers::{Network, ProviderConfig, Role, provider};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    examples::run(async {
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => both().await,
            ["listen"] => listen().await,
            ["connect", ticket] => connect(ticket).await,
            _ => Err("usage: echo | echo listen | echo connect TICKET".into()),
        }
    })
    .await
}

fn protocol() -> ProtocolId {
    "echo/1".parse().expect("a valid name")
}

async fn both() -> Result {
    let network = Network::new(&ProviderConfig::from_env(Role::Listener)?)?;
    let (alice, bob) = (network.provider("alice").await?, network.provider("bob").await?);
    println!("Two peers over {}:", network.implementation());
    let listener = bob.listen(&protocol()).await?;
    let addr = listener.local_addr();
    tokio::spawn(serve(listener));

    let connection = alice.connect(addr, &protocol()).await?;
    for line in ["one", "two", "three"] {
        say(&*connection, line).await?;
    }
    connection.finish().await?;
    shut_down(&*alice).await;
    shut_down(&*bob).await;
    Ok(())
}

async fn listen() -> Result {
    let config = ProviderConfig::from_env(Role::Listener)?;
    config.implementation.require_other_processes()?;
    let provider = provider(config).await?;
    let listener = provider.listen(&protocol()).await?;
    println!("Echoing until Ctrl-C. Elsewhere, run:\n\n  echo connect {}\n", Ticket::new(listener.local_addr()));
    tokio::select! {
        () = serve(listener) => {}
        stop = tokio::signal::ctrl_c() => stop?,
    }
    shut_down(&*provider).await;
    Ok(())
}

async fn connect(ticket: &str) -> Result {
    let ticket: Ticket = ticket.parse()?;
    let config = ProviderConfig::from_env(Role::Dialler)?;
    config.implementation.require_other_processes()?;
    let provider = provider(config).await?;
    let connection = provider.connect(ticket.addr, &protocol()).await?;
    println!("Connected to {:?}. Type lines; Ctrl-D ends.", connection.peer_id());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        say(&*connection, &line).await?;
    }
    connection.finish().await?;
    shut_down(&*provider).await;
    Ok(())
}

/// Sends a line and waits for its echo.
async fn say(connection: &dyn P2PConnection, line: &str) -> Result {
    let sent = std::time::Instant::now();
    connection.send(line.to_owned().into()).await?;
    let echo = connection.recv().await?;
    println!("  {} ({:.1?})", String::from_utf8_lossy(&echo), sent.elapsed());
    Ok(())
}

/// Echoes to everybody until the provider is shut down.
async fn serve(listener: Box<dyn P2PListener>) {
    while let Ok(connection) = listener.accept().await {
        tokio::spawn(echo(connection));
    }
}

async fn echo(connection: Arc<dyn P2PConnection>) -> p2p::Result<()> {
    println!("  + {:?}", connection.peer_id());
    while let Ok(message) = connection.recv().await {
        connection.send(message).await?;
    }
    println!("  - {:?}: {}", connection.peer_id(), connection.closed().await);
    Ok(())
}

/// Lets the peer know that this was all, instead of leaving it to its timeout.
async fn shut_down(provider: &dyn P2PProvider) {
    provider.shutdown(Duration::from_secs(1)).await;
}
