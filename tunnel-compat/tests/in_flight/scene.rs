//! A router between a tunnel and a bridge, both with all their parts, and the way through the phases.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Incoming;
use p2p::{P2PListener, P2PProvider, P2PProviderExt, Runtime, RuntimeExt, WatchSender};
use p2p_simulator::Network;
use parking_lot::Mutex;
use tunnel_compat::{
    connector::Connector,
    homes::Homes,
    http::{Handler, HttpRoute, HttpRouteConfig},
    legacy::{LegacyConfig, LegacyRoute},
    migration::{Figures, MigrationConfig, Percentage, Phase, Router},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::{Body, ClientId, Route, full},
    sender::{Sender, SenderConfig, SenderStatus},
    server::{Server, ServerConfig, TokenKind, TokenStore},
    tcp::{TcpAcceptor, TcpConnector},
};

use crate::{
    common::{self, App, client_id, forward, start, start_piped, to_server},
    entry::{Entry, Tokens},
    load::{Load, Outcome},
    saboteur::{Place, Sabotage, Saboteur},
};

/// Homes at the tunnel, each with apps of its own.
pub const CLIENTS: usize = 12;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two commands of the operator's.
    pub step: Duration,
    /// Between two pieces of what streams.
    pub beat: Duration,
    /// Bodies of 5 MiB that are under way at once.
    pub bulk_slots: usize,
}

impl Pace {
    /// Costs nothing to wait; what is carried costs.
    pub fn virtual_time() -> Self {
        Self { step: Duration::from_millis(600), beat: Duration::from_millis(150), bulk_slots: 3 }
    }

    pub fn real_time() -> Self {
        Self { step: Duration::from_millis(700), beat: Duration::from_millis(30), bulk_slots: 10 }
    }
}

/// The home's server: counts by their number the requests that must not come twice.
#[derive(Debug)]
pub struct Origin {
    runtime: Arc<dyn Runtime>,
    server: Arc<common::Server>,
    pub seen: Mutex<Vec<u32>>,
}

#[async_trait]
impl Handler for Origin {
    /// `/once/{number}/{ms}` answers after so long.
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["once", number, ms] = *parts else { return self.server.handle(request).await };
        let number: usize = number.parse().unwrap();
        {
            let mut seen = self.seen.lock();
            if seen.len() <= number {
                seen.resize(number + 1, 0);
            }
            seen[number] += 1;
        }
        self.runtime.sleep(Duration::from_millis(ms.parse().unwrap())).await;
        Response::new(full(number.to_string()))
    }
}

/// What the tunnel server's sockets are.
pub enum Sockets {
    /// Homes come over the simulated network, from the second of these peers to the first. Apps are at the router, or come over pipes.
    Simulated { network: Network, peers: [&'static str; 2], at_the_edge: bool },
    /// TCP, for homes and apps alike.
    Loopback,
}

pub struct Scene {
    pub runtime: Arc<dyn Runtime>,
    pub router: Router,
    pub entry: Arc<Entry>,
    pub origin: Arc<Origin>,
    pub pace: Pace,
    sabotage: Option<Sabotage>,
    phase: WatchSender<Phase>,
    /// A peer lives as long as somebody has its provider.
    _peers: Vec<Arc<dyn P2PProvider>>,
}

impl Scene {
    /// With our tunnel server and its senders, and the bridge between these two peers.
    pub async fn new(
        server: Arc<dyn P2PProvider>,
        home: Arc<dyn P2PProvider>,
        sockets: Sockets,
        pace: Pace,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let runtime = server.runtime().clone();
        let mut peers = vec![server.clone(), home.clone()];
        let phase = WatchSender::new(Phase::Tunnel);
        let sabotaged = |route: Arc<dyn Route>, place| match sabotage {
            Some(what) if what.place() == place => Arc::new(Saboteur::new(route, what, phase.subscribe())),
            _ => route,
        };
        let origin = Origin { runtime: runtime.clone(), server: common::Server::new(&runtime), seen: Mutex::default() };
        let origin = Arc::new(origin);
        let at_origin = start_piped(origin.clone(), &runtime);

        let listener = home.listen(&bridge_protocol()).await.unwrap();
        let connector = PeerConnector::new(server.clone(), listener.local_addr());
        let streams = PeerAcceptor::new(home.runtime(), listener, Allowed::Only([server.local_peer_id()].into()));
        start(streams, forward(to_server(at_origin.clone(), &runtime), &runtime), home.runtime());
        let bridge: Arc<dyn Route> = Arc::new(HttpRoute::new(HttpRouteConfig::to_home(), connector, runtime.clone()));
        let homes = Homes::new("p2p", (0..CLIENTS).map(|at| (client(at), bridge.clone())));

        let config = MigrationConfig {
            idle_after: pace.step / 3,
            move_over: pace.step / 3,
            // The weather is no reason to go back: that is the operator's part here.
            error_rate_max: Percentage::ALL,
            slow_rate_max: Percentage::ALL,
            ..MigrationConfig::default()
        };
        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let (tunnel, p2p) = (sabotaged(legacy.clone(), Place::Tunnel), sabotaged(Arc::new(homes), Place::P2p));
        let router = Router::new(tunnel, p2p, config, None, runtime.clone()).unwrap();
        let route = sabotaged(Arc::new(router.clone()), Place::Router);

        let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).unwrap());
        let config = ServerConfig::new("the-servers-access-token").unwrap();
        let tunnel = Server::new(config, tokens.clone(), legacy, route.clone(), runtime.clone());
        let (homes_way, apps_way): (Arc<dyn Connector>, Option<Arc<dyn Connector>>) = match sockets {
            Sockets::Simulated { network, peers: [at, from], at_the_edge } => {
                let (at, from) = (network.provider(at), network.provider(from));
                let listener = at.listen(&bridge_protocol()).await.unwrap();
                let connector = PeerConnector::new(from.clone(), listener.local_addr());
                start(PeerAcceptor::new(&runtime, listener, Allowed::Everyone), tunnel.clone(), &runtime);
                peers.extend([Arc::new(at) as Arc<dyn P2PProvider>, Arc::new(from)]);
                (Arc::new(connector), at_the_edge.then(|| Arc::new(start_piped(tunnel, &runtime)) as Arc<_>))
            }
            Sockets::Loopback => {
                let acceptor = TcpAcceptor::bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
                let connector = TcpConnector::new(acceptor.local_addr().unwrap().to_string());
                start(acceptor, tunnel, &runtime);
                (Arc::new(connector.clone()), Some(Arc::new(connector)))
            }
        };
        for client in (0..CLIENTS).map(client) {
            let token = tokens.issue(TokenKind::Access, &client).unwrap();
            let config = SenderConfig::new(client, token, "tunnel.example".parse().unwrap());
            let sender =
                Sender::new(config, homes_way.clone(), to_server(at_origin.clone(), &runtime), runtime.clone());
            let mut status = sender.status();
            runtime.spawn("a sender", Box::pin(async move { sender.run().await })).detach();
            status.wait_for(|status| *status == SenderStatus::Connected).await.unwrap();
        }
        let entry = Arc::new(match apps_way {
            None => Entry::Router(route),
            Some(way) => {
                let of = |client: ClientId| (client.clone(), Tokens::issue(&tokens, &client));
                Entry::Edge { app: App::new(way, &runtime), tokens: (0..CLIENTS).map(client).map(of).collect() }
            }
        });
        Self { runtime, router, entry, origin, pace, sabotage, phase, _peers: peers }
    }

    /// There and back, with a rollback in the middle of each step.
    pub async fn run(&self) -> Report {
        let load = Load::start(self);
        let (mut phases, mut p2p_after_rollback) = (Vec::new(), 0);
        for phase in [2, 3, 4, 3, 2, 1].map(|number| Phase::try_from(number).unwrap()) {
            self.go(phase, &mut phases).await;
            self.roll_back(phase);
            phases.push(self.router.policy().phase);
            let before = self.router.figures();
            self.runtime.sleep(self.pace.step).await;
            // What takes P2P then began before, over the tunnel, and failed there.
            let after = self.router.figures();
            p2p_after_rollback +=
                (after.p2p.routed - before.p2p.routed).saturating_sub(after.fallbacks - before.fallbacks);
            self.go(phase, &mut phases).await;
        }
        let in_flight_min = load.in_flight_min();
        let outcome = load.end().await;
        let (figures, seen) = (self.router.figures(), self.origin.seen.lock().clone());
        Report { outcome, in_flight_min, figures, seen, phases, p2p_after_rollback }
    }

    async fn go(&self, phase: Phase, phases: &mut Vec<Phase>) {
        self.router.set_phase(phase).unwrap();
        self.phase.set(phase);
        phases.push(self.router.policy().phase);
        self.runtime.sleep(self.pace.step).await;
    }

    fn roll_back(&self, from: Phase) {
        self.router.roll_back("in the middle of a step");
        match self.sabotage {
            Some(Sabotage::ForgetsRollback) => self.router.set_phase(from).unwrap(),
            _ => self.phase.set(Phase::Tunnel),
        }
    }
}

pub fn client(at: usize) -> ClientId {
    client_id(&format!("client-{at}"))
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    outcome: Outcome,
    in_flight_min: usize,
    figures: Figures,
    /// How often each request that must not come twice came.
    seen: Vec<u32>,
    phases: Vec<Phase>,
    /// Requests and WebSockets that began over P2P after a rollback.
    p2p_after_rollback: u64,
}

impl Report {
    #[track_caller]
    pub fn check(&self, what: &str) {
        let Self { outcome, figures, .. } = self;
        assert!(
            outcome.failures.is_empty(),
            "{what}: {} failed, like {:?}; {figures:?}",
            outcome.failures.len(),
            &outcome.failures[..outcome.failures.len().min(5)]
        );
        assert!(self.in_flight_min >= 190, "{what}: only {} were in flight", self.in_flight_min);
        assert_eq!(self.seen.len(), outcome.once, "{what}");
        let wrong: Vec<_> = self.seen.iter().enumerate().filter(|(_, count)| **count != 1).take(5).collect();
        assert!(wrong.is_empty(), "{what}: requests by number and how often they came: {wrong:?}");
        assert_eq!((figures.cut_requests, figures.cut_websockets, figures.refused), (0, 0, 0), "{what}: {figures:?}");
        assert_eq!(figures.legacy.requests_in_flight + figures.p2p.requests_in_flight, 0, "{what}: {figures:?}");
        // Both routes were at work, and each kind of request.
        assert!(figures.legacy.routed > 100 && figures.p2p.routed > 100, "{what}: {figures:?}");
        assert!(
            outcome.once > 100 && outcome.bulks > 2 && outcome.streams > 50 && outcome.websockets > 50,
            "{what}: {outcome:?}"
        );
        assert_eq!(figures.rollbacks, 5, "{what}: a rollback in phase 1 is none");
        let phases: Vec<u8> = self.phases.iter().map(|phase| phase.number()).collect();
        assert_eq!(phases, [2, 1, 2, 3, 1, 3, 4, 1, 4, 3, 1, 3, 2, 1, 2, 1, 1, 1], "{what}");
        assert_eq!(self.p2p_after_rollback, 0, "{what}: {figures:?}");
    }
}
