//! What the endpoint says of itself: its address, and what is ready.

use std::future::Future;

use iroh::{Endpoint, EndpointAddr, RelayUrl, Watcher, endpoint::RelayStatus};
use p2p::{Check, ProviderStatus, Watch, WatchSender, chain};

use crate::{RelayServer, addr, bootstrap};

/// The status, as the endpoint's own watchers change it.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    all: WatchSender<ProviderStatus>,
    dialable: WatchSender<bool>,
}

impl Status {
    /// The status of an endpoint that was just bound, and the future that keeps it up to date. It ends with the endpoint.
    pub(crate) fn new(
        endpoint: &Endpoint,
        relays: &[RelayServer],
        lan: Option<Check>,
        bootstrap: Option<Check>,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let relays = Relays(relays.iter().map(|relay| relay.iroh_url().clone()).collect());
        // Neither watcher keeps the endpoint alive.
        let mut watcher = endpoint.watch_addr().or(endpoint.home_relay_status());
        let (now, home) = watcher.get();
        let status = Self {
            all: WatchSender::new(ProviderStatus {
                addr: addr::from_iroh(&now),
                checks: checks(&relays, &home, lan.as_ref()).chain(bootstrap).collect(),
                shut_down: false,
            }),
            dialable: WatchSender::new(relays.are_ready(&home) && !now.is_empty()),
        };
        let kept = status.clone();
        let follow = async move {
            while let Ok((now, home)) = watcher.updated().await {
                kept.renew(&now, checks(&relays, &home, lan.as_ref()).collect());
                kept.dialable.set(relays.are_ready(&home) && !now.is_empty());
            }
        };
        (status, follow)
    }

    pub(crate) fn watch(&self) -> Watch<ProviderStatus> {
        self.all.subscribe()
    }

    /// Whether peers can dial: through the home relay if there are relays, at an address of this machine otherwise.
    pub(crate) fn dialable(&self) -> Watch<bool> {
        self.dialable.subscribe()
    }

    pub(crate) fn set_shut_down(&self) {
        self.all.modify(|status| !std::mem::replace(&mut status.shut_down, true));
    }

    /// Says anew whether a bootstrap peer is reached.
    pub(crate) fn set_bootstrap(&self, check: Check) {
        self.all.modify(|status| {
            let old = status.checks.iter_mut().find(|old| old.name == check.name);
            old.is_some_and(|old| std::mem::replace(old, check) != *old)
        });
    }

    fn renew(&self, now: &EndpointAddr, mut checks: Vec<Check>) {
        self.all.modify(|status| {
            checks.extend(status.checks.iter().find(|check| check.name == bootstrap::NAME).cloned());
            let renewed = ProviderStatus { addr: addr::from_iroh(now), checks, shut_down: status.shut_down };
            let changed = *status != renewed;
            *status = renewed;
            changed
        });
    }
}

fn checks(relays: &Relays, home: &[RelayStatus], lan: Option<&Check>) -> impl Iterator<Item = Check> {
    let bound = Check { name: "endpoint".into(), problem: None };
    std::iter::once(bound).chain(relays.checks(home)).chain(lan.cloned())
}

/// The relays that were configured. iroh keeps a connection to the nearest, the home relay, and to no other.
struct Relays(Vec<RelayUrl>);

impl Relays {
    fn are_ready(&self, home: &[RelayStatus]) -> bool {
        self.0.is_empty() || home.iter().any(RelayStatus::is_connected)
    }

    /// One check for each. Those that are not the home relay stand by, and are well if there is one.
    fn checks(&self, home: &[RelayStatus]) -> impl Iterator<Item = Check> {
        self.0.iter().map(move |url| Check {
            name: format!("relay {}", addr::relay_text(url)),
            problem: match home.iter().find(|status| status.url() == url) {
                Some(status) => problem(status),
                None if home.is_empty() => {
                    Some("no answer yet: it may be unreachable, or its certificate not trusted".into())
                }
                None => None,
            },
        })
    }
}

fn problem(status: &RelayStatus) -> Option<String> {
    if status.is_connected() {
        None
    } else if let Some(reason) = status.auth_denied_reason() {
        Some(format!("it refused the token: {reason}"))
    } else if let Some(error) = status.last_error() {
        Some(chain(error))
    } else {
        Some("connecting".into())
    }
}
