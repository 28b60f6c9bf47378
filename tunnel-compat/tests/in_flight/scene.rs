//! A router between a tunnel and a bridge, both with all their parts, and the way through the phases.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::Incoming;
use p2p::{P2PListener, P2PProvider, P2PProviderExt, Runtime, RuntimeExt};
use parking_lot::Mutex;
use tunnel_compat::{
    homes::Homes,
    http::{Handler, HttpRoute, HttpRouteConfig},
    legacy::{LegacyConfig, LegacyRoute},
    migration::{Figures, MigrationConfig, Percentage, Phase, Router},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::{Body, ClientId, Route, full},
    sender::{Sender, SenderConfig, SenderStatus},
    server::{Server, ServerConfig, TokenKind, TokenStore},
};

use crate::{
    common::{self, client_id, forward, start, start_piped, to_server},
    load::{Load, Outcome},
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

pub struct Scene {
    pub runtime: Arc<dyn Runtime>,
    pub router: Router,
    pub origin: Arc<Origin>,
    pub pace: Pace,
    /// A peer lives as long as somebody has its provider.
    _peers: [Arc<dyn P2PProvider>; 2],
}

impl Scene {
    /// With our tunnel server and its senders, and the bridge between these two peers.
    pub async fn new(server: Arc<dyn P2PProvider>, home: Arc<dyn P2PProvider>, pace: Pace) -> Self {
        let runtime = server.runtime().clone();
        let origin = Origin { runtime: runtime.clone(), server: common::Server::new(&runtime), seen: Mutex::default() };
        let origin = Arc::new(origin);
        let at_origin = start_piped(origin.clone(), &runtime);

        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let tokens = Arc::new(TokenStore::in_memory(runtime.clone()).unwrap());
        let config = ServerConfig::new("the-servers-access-token").unwrap();
        let tunnel = Server::new(config, tokens.clone(), legacy.clone(), legacy.clone(), runtime.clone());
        let at_tunnel = start_piped(tunnel, &runtime);
        for client in (0..CLIENTS).map(client) {
            let token = tokens.issue(TokenKind::Access, &client).unwrap();
            let config = SenderConfig::new(client, token, "tunnel.example".parse().unwrap());
            let sender =
                Sender::new(config, at_tunnel.clone(), to_server(at_origin.clone(), &runtime), runtime.clone());
            let mut status = sender.status();
            runtime.spawn("a sender", Box::pin(async move { sender.run().await })).detach();
            status.wait_for(|status| *status == SenderStatus::Connected).await.unwrap();
        }

        let listener = home.listen(&bridge_protocol()).await.unwrap();
        let connector = PeerConnector::new(server.clone(), listener.local_addr());
        let streams = PeerAcceptor::new(home.runtime(), listener, Allowed::Only([server.local_peer_id()].into()));
        start(streams, forward(to_server(at_origin, &runtime), &runtime), home.runtime());
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
        let router = Router::new(legacy, Arc::new(homes), config, None, runtime.clone()).unwrap();
        Self { runtime, router, origin, pace, _peers: [server, home] }
    }

    /// There and back, with a rollback in the middle of each step.
    pub async fn run(&self) -> Report {
        let load = Load::start(self);
        let mut phases = Vec::new();
        for phase in [2, 3, 4, 3, 2, 1].map(|number| Phase::try_from(number).unwrap()) {
            self.go(phase, &mut phases).await;
            self.router.roll_back("in the middle of a step");
            phases.push(self.router.policy().phase);
            self.runtime.sleep(self.pace.step).await;
            self.go(phase, &mut phases).await;
        }
        let in_flight_min = load.in_flight_min();
        let outcome = load.end().await;
        Report { outcome, in_flight_min, figures: self.router.figures(), seen: self.origin.seen.lock().clone(), phases }
    }

    async fn go(&self, phase: Phase, phases: &mut Vec<Phase>) {
        self.router.set_phase(phase).unwrap();
        phases.push(self.router.policy().phase);
        self.runtime.sleep(self.pace.step).await;
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
            outcome.once > 200 && outcome.bulks > 2 && outcome.streams > 50 && outcome.websockets > 50,
            "{what}: {outcome:?}"
        );
        assert_eq!(figures.rollbacks, 5, "{what}: a rollback in phase 1 is none");
        assert_eq!(self.phases.len(), 18, "{what}");
    }
}
