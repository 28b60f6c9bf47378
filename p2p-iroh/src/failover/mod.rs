//! Another relay in the place of one that fails.
//!
//! iroh connects to the nearest relay, the home relay, and looks every 20 to 26 s whether another is nearer. If it dies
//! meanwhile, nobody reaches the endpoint until then, and a home relay that takes connections and then says nothing stays
//! it for good. Connections that run through a dead relay last for 30 s without carrying a byte.
//!
//! Here every relay in use is asked every few seconds whether it lives ([`probe`]). Once it is known to have failed *and
//! another is known to work* ([`state`]), it is taken out of iroh's map, which makes iroh choose another at once and
//! announce it, and the connections that run through it are ended as lost, so that [`Reconnect`] dials again. If nothing
//! answers it is this machine's network that failed, and everything is left as it is.
//!
//! Peers that share relays find each other again without being told: a dial tries all relays of ours if the peer's is one
//! of them.
//!
//! [`Reconnect`]: p2p::layer::ReconnectConfig

pub(crate) mod gate;
mod probe;
mod state;

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use iroh::{
    Endpoint, RelayUrl, TransportAddr, Watcher,
    endpoint::{Connection, ControllerFactory, RelayStatus},
};
use p2p::{PeerAddr, Runtime, RuntimeExt};
use parking_lot::Mutex;
use tracing::{info, warn};

use self::{
    gate::Gate,
    probe::Prober,
    state::{Action, Failover, Home},
};
use crate::{IrohConfig, RelayServer, admission::Admission};

/// The relays, and which of them are withdrawn.
#[derive(Debug)]
pub(crate) struct Relays {
    all: Vec<RelayServer>,
    gates: Vec<Arc<Gate>>,
    withdrawn: Mutex<BTreeSet<String>>,
}

impl Relays {
    pub(crate) fn new(config: &IrohConfig) -> Arc<Self> {
        let gates = config.relays.iter().map(|_| Arc::default()).collect();
        Arc::new(Self { all: config.relays.clone(), gates, withdrawn: Mutex::default() })
    }

    /// Puts what a connection sends through one of these relays behind the relay's gate.
    pub(crate) fn guard(&self, connection: &Connection) {
        if self.all.len() < RELAYS_MIN {
            return;
        }
        for path in connection.paths().iter() {
            if let TransportAddr::Relay(url) = path.remote_addr()
                && let Some(number) = self.position(url)
            {
                gate::guard(connection, path.id(), &self.gates[number]);
            }
        }
    }

    /// Adds the relays at which the peer may be if its own failed, and takes those out that are known to.
    pub(crate) fn complete(&self, addr: &mut PeerAddr) {
        if !self.all.iter().any(|relay| addr.relays.contains(&relay.url())) {
            return;
        }
        let withdrawn = self.withdrawn.lock();
        let serving = self.all.iter().map(RelayServer::url).filter(|url| !withdrawn.contains(url));
        addr.relays.extend(serving);
        // At least one is left: the last one that serves is never withdrawn.
        addr.relays.retain(|url| !withdrawn.contains(url));
    }

    fn position(&self, url: &RelayUrl) -> Option<usize> {
        self.all.iter().position(|relay| relay.iroh_url() == url)
    }
}

/// Watches the relays until the endpoint closes.
async fn run(endpoint: Endpoint, prober: Prober, admission: Arc<Admission>, runtime: Arc<dyn Runtime>) {
    let relays = admission.relays().clone();
    let mut watcher = endpoint.home_relay_status();
    let mut failover = Failover::new(relays.all.len(), runtime.now());
    failover.handle_home(runtime.now(), home(&relays, &watcher.get()));
    let received = |relay: usize| admission.received_through(relays.all[relay].iroh_url());
    let mut probes = FuturesUnordered::new();
    let closed = endpoint.closed().fuse();
    let mut closed = std::pin::pin!(closed);
    loop {
        failover.handle_use(|relay| admission.is_relayed_through(relays.all[relay].iroh_url()));
        failover.handle_received(runtime.now(), received);
        while let Some(action) = failover.poll(runtime.now()) {
            match action {
                Action::Probe(relay) => {
                    let probe = prober.probe(relays.all[relay].iroh_url().clone());
                    let probe = runtime.timeout(probe::TIMEOUT, probe);
                    probes.push(async move { (relay, matches!(probe.await, Ok(true))) });
                }
                Action::Withdraw(relay, why) => {
                    let server = &relays.all[relay];
                    warn!(relay = %server, %why, "A relay failed. Using another.");
                    relays.withdrawn.lock().insert(server.url());
                    endpoint.remove_relay(server.iroh_url()).await;
                }
                Action::Restore(relay) => {
                    let server = &relays.all[relay];
                    if relays.withdrawn.lock().remove(&server.url()) {
                        info!(relay = %server, "A relay that had failed is used again.");
                    }
                    // Also for one that is there: it makes iroh look anew which relay is the nearest.
                    endpoint.insert_relay(server.iroh_url().clone(), Arc::new(server.to_iroh())).await;
                }
                Action::GiveUp(relay) => admission.give_up_relayed(relays.all[relay].iroh_url()),
            }
        }
        let wake = failover.next_timeout().map(|at| runtime.sleep_until(at));
        let wake = async {
            match wake {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        };
        let probed = async {
            match probes.next().await {
                Some(probed) => probed,
                None => std::future::pending().await,
            }
        };
        p2p::select! {
            _ = closed.as_mut() => return,
            updated = watcher.updated() => match updated {
                Ok(status) => failover.handle_home(runtime.now(), home(&relays, &status)),
                Err(_) => return,
            },
            (relay, alive) = probed => {
                failover.handle_received(runtime.now(), received);
                failover.handle_probe(runtime.now(), relay, alive);
            }
            () = wake => {}
        }
    }
}

/// The home relay, if it is one of ours.
fn home(relays: &Relays, status: &[RelayStatus]) -> Option<Home> {
    let status = status.first()?;
    Some(Home { relay: relays.position(status.url())?, connected: status.is_connected() })
}

/// The congestion controllers of an endpoint, ready for gates where there is another relay to go to.
pub(crate) fn controllers(config: &IrohConfig) -> Arc<dyn ControllerFactory + Send + Sync> {
    let plain = config.congestion.factory();
    if config.relays.len() < RELAYS_MIN { plain } else { gate::factory(plain) }
}

/// With fewer there is nothing to go over to.
const RELAYS_MIN: usize = 2;

/// Starts the watch; `None` where there is no other relay to go to.
pub(crate) fn start(
    endpoint: &Endpoint,
    config: &IrohConfig,
    admission: &Arc<Admission>,
    runtime: &Arc<dyn Runtime>,
) -> Option<p2p::TaskHandle> {
    if config.relays.len() < RELAYS_MIN {
        return None;
    }
    let prober = Prober::new(config)?;
    let watch = run(endpoint.clone(), prober, admission.clone(), runtime.clone());
    Some(runtime.spawn("iroh relays", Box::pin(watch)))
}

#[cfg(test)]
mod tests {
    use p2p::PeerId;

    use super::*;

    fn relays() -> Arc<Relays> {
        let all = ["a.example", "b.example"].map(|url| RelayServer::new(url).unwrap());
        Relays::new(&IrohConfig::default().with_relays(all))
    }

    fn completed(relays: &Relays, relay: &str) -> Vec<String> {
        let mut addr = PeerAddr::new(PeerId::from_name("bob")).with_relay(relay);
        relays.complete(&mut addr);
        addr.relays.into_iter().collect()
    }

    #[test]
    fn a_peer_at_a_relay_of_ours_is_looked_for_at_all_that_work() {
        let relays = relays();
        assert_eq!(completed(&relays, "https://a.example"), ["https://a.example", "https://b.example"]);
        relays.withdrawn.lock().insert("https://a.example".into());
        assert_eq!(completed(&relays, "https://a.example"), ["https://b.example"]);
    }

    #[test]
    fn a_peer_at_a_foreign_relay_is_looked_for_only_there() {
        assert_eq!(completed(&relays(), "https://c.example"), ["https://c.example"]);
    }
}
