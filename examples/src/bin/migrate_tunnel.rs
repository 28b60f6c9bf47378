//! Off the tunnel in four phases and back, with live numbers, on this machine alone.
//!
//! ```sh
//! cargo run -p examples --bin migrate_tunnel
//! P2P_IMPLEMENTATION=simulator cargo run -p examples --bin migrate_tunnel 2
//! ```
//!
//! A home's server, a tunnel server with the home's side of it, a bridge between two peers, and eight apps that ask all the time and never
//! learn of any of this. Each phase lasts 3 s, or as many as are given. In phase 3 P2P is pulled away, and comes back.
//! `docs/MIGRATION.md` is the same for an operator, with programs.

#![expect(clippy::print_stdout, reason = "programs speak to people")]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use examples::Result;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use p2p::{P2PListener, P2PProvider, P2PProviderExt, Runtime, TokioRuntime, Watch};
use p2p_providers::{Network, ProviderConfig, Role};
use tunnel_compat::{
    connector::{Acceptor, PipeConnector, pipe},
    http::{Forward, Handler, HttpRoute, HttpRouteConfig, ServeConfig, serve},
    legacy::{LegacyConfig, LegacyRoute},
    migration::{MigrationConfig, Percentage, Phase, Router},
    peer::{Allowed, PeerAcceptor, PeerConnector, bridge_protocol},
    route::{Body, ClientId, Failure, Route, RouteError, empty, full},
    sender::{Sender, SenderConfig, SenderStatus},
    server::{Server, ServerConfig, TokenKind, TokenStore},
    socket::BoxSocket,
};

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse());
    examples::run(async { migrate(Duration::from_secs(seconds.map_err(|_| "usage: migrate_tunnel [SECONDS]")?)).await })
        .await
}

async fn migrate(phase_time: Duration) -> Result {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    // Two homes' apps: one's ask all the time, the other's now and then.
    let (home, cabin): (ClientId, ClientId) = ("home".parse()?, "cabin".parse()?);

    // The home's server. Everything else reaches it by this route.
    let at_home = start(Arc::new(Home), &runtime);
    let to_home: Arc<dyn Route> =
        Arc::new(HttpRoute::new(HttpRouteConfig::to_server("localhost:8080".parse()?), at_home, runtime.clone()));

    // The tunnel: a server, and the home's side of it, which keeps one WebSocket open.
    let tunnel = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
    let tokens = Arc::new(TokenStore::in_memory(runtime.clone())?);
    let config = ServerConfig::new("a-secret-for-registering")?;
    let server = start(Server::new(config, tokens.clone(), tunnel.clone(), tunnel.clone(), runtime.clone()), &runtime);
    for client in [&home, &cabin] {
        let token = tokens.issue(TokenKind::Access, client)?;
        let config = SenderConfig::new(client.clone(), token, "tunnel.example".parse()?);
        let sender = Sender::new(config, server.clone(), to_home.clone(), runtime.clone());
        let mut status = sender.status();
        tokio::spawn(async move { sender.run().await });
        status.wait_for(|status| *status == SenderStatus::Connected).await.map_err(|_| "the home's side has ended")?;
    }

    // The bridge: the same requests, on streams between two peers of any provider.
    let network = Network::new(&ProviderConfig::from_env(Role::Listener)?)?;
    let (server_peer, home_peer) = (network.provider("server").await?, network.provider("home").await?);
    let listener = home_peer.listen(&bridge_protocol()).await?;
    let streams = PeerConnector::new(server_peer.clone(), listener.local_addr());
    let allowed = Allowed::Only([server_peer.local_peer_id()].into());
    serve_on(
        PeerAcceptor::new(&runtime, listener, allowed),
        Arc::new(Forward::new(home.clone(), to_home, runtime.clone())),
        &runtime,
    );
    let p2p = Arc::new(Plug {
        route: HttpRoute::new(HttpRouteConfig::to_home(), streams, runtime.clone()),
        pulled: false.into(),
    });

    // What decides. Here no failure is a reason to go back: the walk does.
    let config = MigrationConfig {
        idle_after: phase_time / 6,
        move_over: phase_time / 3,
        drain: phase_time / 3,
        pause: Duration::from_millis(200),
        error_rate_max: Percentage::ALL,
        ..MigrationConfig::default()
    };
    let router = Router::new(tunnel, p2p.clone(), config, None, runtime)?;
    let apps = Arc::new(Apps::default());
    for _ in 0..7 {
        tokio::spawn(apps.clone().run(router.clone(), home.clone(), Duration::from_millis(2)));
    }
    tokio::spawn(apps.clone().run(router.clone(), cabin, phase_time / 4));

    println!("Two peers over {}; eight apps ask.\n", network.implementation());
    println!("{:<38}{:>10}{:>10}{:>10}{:>9}{:>9}", "", "TUNNEL/s", "P2P/s", "OTHERWISE", "WORST", "FAILED");
    let mut walk = Walk { router: &router, apps: &apps, time: phase_time };
    walk.show("phase 1: everything over the tunnel", Some(1)).await?;
    walk.show("phase 2: what begins anew over P2P", Some(2)).await?;
    walk.show("phase 3: existing clients move", Some(3)).await?;
    p2p.pulled.store(true, Relaxed);
    walk.show("phase 3, and P2P is pulled away", None).await?;
    p2p.pulled.store(false, Relaxed);
    walk.show("phase 3, and P2P is back", None).await?;
    walk.show("phase 4: P2P alone", Some(4)).await?;
    router.roll_back("one call");
    walk.show("rolled back to phase 1", None).await?;

    let figures = router.figures();
    let failed = apps.failed.load(Relaxed);
    println!("\n{} requests over the tunnel, {} over P2P; {failed} failed.", figures.legacy.routed, figures.p2p.routed);
    if failed > 0 { Err("a request failed".into()) } else { Ok(()) }
}

/// Goes to a phase and shows what its time brings.
struct Walk<'a> {
    router: &'a Router,
    apps: &'a Apps,
    time: Duration,
}

impl Walk<'_> {
    async fn show(&mut self, what: &str, phase: Option<u8>) -> Result {
        if let Some(phase) = phase {
            self.router.set_phase(Phase::try_from(phase)?)?;
        }
        let (before, failed) = (self.router.figures(), self.apps.failed.load(Relaxed));
        self.apps.worst_us.store(0, Relaxed);
        tokio::time::sleep(self.time).await;
        let (after, worst) = (self.router.figures(), self.apps.worst_us.load(Relaxed));
        let rate = |after: u64, before: u64| (after - before) as f64 / self.time.as_secs_f64();
        println!(
            "{what:<38}{:>10.0}{:>10.0}{:>10}{:>6.0} ms{:>9}",
            rate(after.legacy.routed, before.legacy.routed),
            rate(after.p2p.routed, before.p2p.routed),
            after.fallbacks - before.fallbacks,
            worst as f64 / 1000.0,
            self.apps.failed.load(Relaxed) - failed,
        );
        Ok(())
    }
}

/// What the apps saw.
#[derive(Debug, Default)]
struct Apps {
    failed: AtomicU64,
    worst_us: AtomicU64,
}

impl Apps {
    /// One app: a request after another.
    async fn run(self: Arc<Self>, router: Router, home: ClientId, pause: Duration) {
        loop {
            let begun = Instant::now();
            let request = Request::get("/hello").body(empty()).expect("a constant request");
            let whole = match router.http(&home, request).await {
                Ok(answer) => answer.into_body().collect().await.is_ok_and(|body| body.to_bytes() == HELLO),
                Err(_) => false,
            };
            self.failed.fetch_add(u64::from(!whole), Relaxed);
            self.worst_us.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
            tokio::time::sleep(pause).await;
        }
    }
}

/// The home's server.
#[derive(Debug)]
struct Home;

const HELLO: &str = "Hello from home.";

#[async_trait]
impl Handler for Home {
    async fn handle(&self, _: Request<Incoming>) -> Response<Body> {
        Response::new(full(HELLO))
    }
}

/// A route that can be pulled out.
#[derive(Debug)]
struct Plug {
    route: HttpRoute,
    pulled: AtomicBool,
}

impl Plug {
    fn check(&self) -> Option<Failure> {
        self.pulled.load(Relaxed).then(|| Failure::NotConnected("it is pulled out".into()))
    }
}

#[async_trait]
impl Route for Plug {
    fn name(&self) -> &'static str {
        "p2p"
    }

    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        match self.check() {
            Some(failure) => Err(RouteError::unsent(failure, request)),
            None => self.route.http(client, request).await,
        }
    }

    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        match self.check() {
            Some(failure) => Err(RouteError::sent(failure)),
            None => self.route.websocket(client, request).await,
        }
    }
}

/// Serves within this process, and says how to reach it.
fn start(handler: Arc<dyn Handler>, runtime: &Arc<dyn Runtime>) -> PipeConnector {
    let (connector, acceptor) = pipe();
    serve_on(acceptor, handler, runtime);
    connector
}

fn serve_on(acceptor: impl Acceptor, handler: Arc<dyn Handler>, runtime: &Arc<dyn Runtime>) {
    tokio::spawn(serve(acceptor, handler, ServeConfig::default(), runtime.clone(), Watch::constant(false)));
}
