//! What goes wrong between the home and the tunnel server's side, while the phases change.
//!
//! Each kind of it is survived by what stands above: packets that are lost or late by the network's retransmissions, a dead
//! transport by `Reconnect`, on both ways of the home alike. So an app must notice nothing but time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use p2p::{
    Rng, Runtime, RuntimeExt,
    layer::{LayerExt, Reconnect, ReconnectConfig, Route, Routes},
    memory::MemoryNetwork,
};
use p2p_simulator::{Fault, LinkChange, Network, Place, Probability, SimulatorP2P};

use crate::killable::Killable;

/// A peer whose transports can be broken, while what stands on them lives.
pub struct Peer {
    pub name: &'static str,
    pub stack: Reconnect<Routes>,
    direct: Killable<SimulatorP2P>,
}

impl Peer {
    /// What dies in a crash is the peer on the network, with its timers; so the layers have those of `idle`, a network that
    /// carries nothing.
    pub fn new(network: &Network, idle: &MemoryNetwork, name: &'static str) -> Self {
        let direct = Killable::new(network.provider(name));
        let routes = [Route::new("idle", idle.provider(name)), Route::new("direct", direct.clone())];
        let routes = Routes::new(routes).unwrap();
        routes.handle().disable("idle").unwrap();
        let stack = routes.with_reconnect(reconnecting()).unwrap();
        Self { name, stack, direct }
    }
}

/// What a session bears without a transport: more than the longest cut.
pub fn reconnecting() -> ReconnectConfig {
    ReconnectConfig::default().with_grace(Duration::from_secs(30))
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing passes between the two.
    Partition,
    /// Nothing passes in one direction.
    OneWay,
    /// Packets wait at the end of the link, then arrive at once.
    Clog,
    /// One packet in five is lost.
    Loss,
    /// 200 ms each way, and 2 MB a second.
    SlowLink,
    /// The home is 150 ms late for everything.
    SlowPeer,
    /// Both ends lose the transport.
    Kill,
    /// One end loses the transport while nothing passes, so that the other keeps a dead one.
    HalfOpen,
    /// One end loses the transport, and dials fail half of the time.
    Dials,
    /// The tunnel server's peer dies and comes back in a new life.
    Crash,
    /// The tunnel's own socket, instead of P2P: nothing passes.
    TunnelPartition,
    /// The tunnel's own socket: one packet in five is lost.
    TunnelLoss,
    /// The tunnel's own socket: packets wait, then arrive at once.
    TunnelClog,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Partition,
        Self::OneWay,
        Self::Clog,
        Self::Loss,
        Self::SlowLink,
        Self::SlowPeer,
        Self::Kill,
        Self::HalfOpen,
        Self::Dials,
        Self::Crash,
        Self::TunnelPartition,
        Self::TunnelLoss,
        Self::TunnelClog,
    ];
}

/// How often each kind met something: packets that were under way, or a live transport.
#[derive(Debug, Default)]
pub struct Met([AtomicU64; Kind::ALL.len()]);

impl Met {
    pub fn get(&self, kind: Kind) -> u64 {
        self.0[kind as usize].load(Relaxed)
    }
}

/// The peers of the bridge, and the names of those that carry the tunnel's socket.
pub struct Sky {
    pub network: Network,
    pub runtime: Arc<dyn Runtime>,
    pub server: Peer,
    pub home: Peer,
    pub tunnel: [&'static str; 2],
}

impl Sky {
    /// One thing after another, as the seed has it, for as long as it is polled.
    pub async fn blow(&self, mut rng: Rng, met: &Met) {
        self.server.direct.break_dials(self.runtime.rng("dials lost in the middle"));
        loop {
            self.runtime.sleep(rng.duration_between(Duration::from_millis(100), Duration::from_millis(1200))).await;
            let kind = Kind::ALL[usize::try_from(rng.below(Kind::ALL.len() as u64)).unwrap()];
            let span = rng.duration_between(Duration::from_millis(50), Duration::from_secs(1));
            let hit = self.strike(kind, span, &mut rng).await;
            met.0[kind as usize].fetch_add(u64::from(hit), Relaxed);
        }
    }

    /// Whether it met anything.
    async fn strike(&self, kind: Kind, span: Duration, rng: &mut Rng) -> bool {
        let bridge = [self.server.name, self.home.name];
        let [one, other] = if rng.below(2) == 0 { bridge } else { [bridge[1], bridge[0]] };
        let loss = || Fault::Link(LinkChange { loss: Some(Probability::percent(20)), ..LinkChange::default() });
        let between = |[a, b]: [&str; 2]| Place::between(a, b);
        match kind {
            Kind::Partition => self.last(Fault::Partition, between(bridge), bridge, span).await,
            Kind::OneWay => self.last(Fault::Partition, Place::from_to(one, other), [one, other], span).await,
            Kind::Clog => self.last(Fault::Clog, Place::from_to(one, other), [one, other], span).await,
            Kind::Loss => self.last(loss(), between(bridge), bridge, span).await,
            Kind::SlowLink => {
                let latency = Some(Duration::from_millis(200).into());
                let change = LinkChange { latency, bandwidth_bytes: Some(2_000_000), ..LinkChange::default() };
                self.last(Fault::Link(change), between(bridge), bridge, span).await
            }
            Kind::SlowPeer => {
                let slow = Fault::Slow(Duration::from_millis(150));
                self.last(slow, Place::peer(self.home.name), bridge, span).await
            }
            Kind::Kill => {
                let killed = self.server.direct.kill() + self.home.direct.kill();
                killed > 0
            }
            Kind::HalfOpen => {
                let cut = self.network.inject(Fault::Partition, between(bridge));
                let killed = self.server.direct.kill();
                self.runtime.sleep(span).await;
                cut.lift();
                killed > 0
            }
            Kind::Dials => {
                let failing = Fault::DialFailure(Probability::percent(50));
                let failing = self.network.inject(failing, between(bridge));
                let killed = self.home.direct.kill();
                self.runtime.sleep(span).await;
                failing.lift();
                killed > 0
            }
            Kind::Crash => {
                let alive = self.server.direct.kill();
                self.network.crash(self.server.name);
                self.server.direct.crash();
                self.runtime.sleep(span).await;
                self.network.restart(self.server.name);
                self.server.direct.revive(self.network.provider(self.server.name));
                alive > 0
            }
            Kind::TunnelPartition => self.last(Fault::Partition, between(self.tunnel), self.tunnel, span).await,
            Kind::TunnelLoss => self.last(loss(), between(self.tunnel), self.tunnel, span).await,
            Kind::TunnelClog => {
                let [a, b] = self.tunnel;
                let [from, to] = if rng.below(2) == 0 { [a, b] } else { [b, a] };
                self.last(Fault::Clog, Place::from_to(from, to), [from, to], span).await
            }
        }
    }

    /// A fault for so long; whether packets were under way there when it ended.
    async fn last(&self, fault: Fault, place: Place, [from, to]: [&str; 2], span: Duration) -> bool {
        let guard = self.network.inject(fault, place);
        self.runtime.sleep(span).await;
        let met = !self.network.in_flight(from, to).is_empty() || !self.network.in_flight(to, from).is_empty();
        guard.lift();
        met
    }
}
