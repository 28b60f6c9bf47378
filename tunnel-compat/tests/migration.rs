//! The router between two routes that do as they are told, in virtual time: what is sent where, what is sent again, what is cut,
//! what leads back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use p2p::{
    P2PProvider, P2PProviderExt, Runtime, RuntimeExt,
    layer::routes::{Route as SessionRoute, Routes},
    memory::MemoryNetwork,
};
use p2p_simulator::Simulation;
use parking_lot::Mutex;
use tunnel_compat::{
    migration::{MigrationConfig, Percentage, Phase, Router, SessionRoutes, StateFile},
    route::{Body, ClientId, Failure, Route, RouteError, empty, full},
    socket::{self, BoxSocket, Close, Message},
};

const SECOND: Duration = Duration::from_secs(1);

/// What a route does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Answers with what it is and what was asked.
    Well,
    /// Has no way to the home: nothing is sent.
    Away,
    /// Breaks after the request was sent.
    Breaks,
    /// Never answers.
    Hangs,
    /// Answers at once with a body that never ends.
    Endless,
}

#[derive(Debug)]
struct Scripted {
    name: &'static str,
    mood: Mutex<Mood>,
    asked: AtomicU64,
    runtime: Arc<dyn Runtime>,
}

impl Scripted {
    fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

#[async_trait]
impl Route for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Of a client by that name only the tunnel knows a home.
    fn knows(&self, client: &ClientId) -> bool {
        self.name == "legacy" || client.as_str() != "no-p2p"
    }

    async fn http(&self, _: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let mood = *self.mood.lock();
        if mood == Mood::Away {
            return Err(RouteError::unsent(Failure::NotConnected("it is away".into()), request));
        }
        self.asked.fetch_add(1, Relaxed);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        match mood {
            Mood::Breaks => Err(RouteError::sent(Failure::Broken("it broke".into()))),
            Mood::Hangs => std::future::pending().await,
            Mood::Endless => Ok(Response::new(Dripping(self.runtime.clone()).body())),
            _ => Ok(Response::new(full([self.name.as_bytes(), b":", &body].concat()))),
        }
    }

    async fn websocket(&self, _: &ClientId, _: Request<()>) -> Result<BoxSocket, RouteError> {
        match *self.mood.lock() {
            Mood::Well => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                let (ours, theirs) = (socket::client(ours, 65_536), socket::server(theirs, 65_536));
                // An echo that lives for as long as the app's end.
                self.runtime
                    .spawn(
                        "echo",
                        Box::pin(async move {
                            let (mut send, mut receive) = theirs.split();
                            while let Some(Ok(message)) = receive.next().await {
                                if send.send(message).await.is_err() {
                                    return;
                                }
                            }
                        }),
                    )
                    .detach();
                Ok(ours)
            }
            _ => Err(RouteError::sent(Failure::NotConnected("it is away".into()))),
        }
    }
}

/// A body of which a byte comes each second.
struct Dripping(Arc<dyn Runtime>);

impl Dripping {
    fn body(self) -> Body {
        let drips = futures_util::stream::unfold(self.0, |runtime| async {
            runtime.sleep(SECOND).await;
            Some((Ok::<_, tunnel_compat::route::BodyError>(http_body::Frame::data(Bytes::from_static(b"."))), runtime))
        });
        http_body_util::StreamBody::new(drips).boxed_unsync()
    }
}

/// A router between two routes that are well, and time.
struct Scene {
    tunnel: Arc<Scripted>,
    p2p: Arc<Scripted>,
    router: Router,
    runtime: Arc<dyn Runtime>,
}

impl Scene {
    async fn request(&self, client: &str, method: Method, body: &'static str) -> Result<Response<Body>, RouteError> {
        let body = if body.is_empty() { empty() } else { full(body) };
        let request = Request::builder().method(method).uri("/path").body(body).unwrap();
        self.router.http(&client.parse().unwrap(), request).await
    }

    /// Who answered a GET.
    async fn get(&self, client: &str) -> String {
        read(self.request(client, Method::GET, "").await.unwrap()).await
    }

    fn percentage(&self, percent: &str) {
        let percentage = percent.parse().unwrap();
        let set = |policy: &mut tunnel_compat::migration::Policy| {
            policy.percentage = percentage;
            Ok(())
        };
        self.router.change(set).unwrap();
    }
}

async fn read(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn run<F: Future<Output = ()>>(test: impl Fn(Scene) -> F + Copy) {
    run_with(MigrationConfig::default(), None, test);
}

fn run_with<F: Future<Output = ()>>(
    config: MigrationConfig,
    file: Option<StateFile>,
    test: impl Fn(Scene) -> F + Copy,
) {
    Simulation::new(1).with_time_limit(3600 * SECOND).run(|network| async move {
        let runtime = network.provider("server").runtime().clone();
        let route = |name| {
            let (mood, asked) = (Mutex::new(Mood::Well), AtomicU64::new(0));
            Arc::new(Scripted { name, mood, asked, runtime: runtime.clone() })
        };
        let (tunnel, p2p) = (route("legacy"), route("p2p"));
        let router = Router::new(tunnel.clone(), p2p.clone(), config, file, runtime.clone()).unwrap();
        test(Scene { tunnel, p2p, router, runtime }).await;
    });
}

#[test]
fn each_phase_sends_requests_where_it_says() {
    run(|scene| async move {
        assert_eq!(scene.get("old").await, "legacy:");
        scene.router.set_phase(Phase::NewOverP2p).unwrap();
        assert_eq!(scene.get("old").await, "legacy:", "it has just used the tunnel");
        assert_eq!(scene.get("new").await, "p2p:");
        scene.router.set_phase(Phase::MoveExisting).unwrap();
        scene.runtime.sleep(MigrationConfig::default().move_over).await;
        assert_eq!(scene.get("old").await, "p2p:", "its time to move has come");
        scene.router.set_phase(Phase::P2pOnly).unwrap();
        assert_eq!(scene.get("new").await, "p2p:");
        scene.router.roll_back("because");
        assert_eq!(scene.get("new").await, "legacy:");
        assert_eq!(scene.router.policy().rolled_back.as_deref(), Some("because"));
        let figures = scene.router.figures();
        assert_eq!((figures.legacy.routed, figures.p2p.routed, figures.rollbacks), (3, 3, 1));
        assert_eq!(figures.legacy.requests_in_flight + figures.p2p.requests_in_flight, 0);
    });
}

// A server of many homes of which some have no P2P: these are no failures, and nothing goes back because of them.
#[test]
fn a_client_whose_home_p2p_does_not_know_stays_on_the_tunnel_while_there_is_one() {
    run(|scene| async move {
        scene
            .router
            .change(|policy| {
                policy.shadow = Percentage::ALL;
                Ok(())
            })
            .unwrap();
        for phase in Phase::ALL {
            scene.router.set_phase(phase).unwrap();
            assert_eq!(scene.get("no-p2p").await, "legacy:", "phase {phase}");
        }
        scene.tunnel.set(Mood::Away);
        let error = scene.request("no-p2p", Method::GET, "").await.unwrap_err();
        assert!(matches!(error.failure, Failure::NotConnected(_)), "{error:?}");
        scene.runtime.sleep(MigrationConfig::default().drain).await;
        let error = scene.request("no-p2p", Method::GET, "").await.unwrap_err();
        assert_eq!(error.failure.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((scene.p2p.asked(), scene.router.figures().p2p.failed), (0, 0));
        assert_eq!(scene.router.figures().refused, 1);
    });
}

// What was not sent can go another way, whatever it is; what was sent only if it is safe to repeat.
#[test]
fn a_request_takes_the_other_route_if_the_home_cannot_have_acted_on_it() {
    run(|scene| async move {
        scene.router.set_phase(Phase::NewOverP2p).unwrap();
        scene.p2p.set(Mood::Away);
        let answer = scene.request("a", Method::POST, "pay").await.unwrap();
        assert_eq!(read(answer).await, "legacy:pay", "with its body");

        scene.p2p.set(Mood::Breaks);
        assert_eq!(scene.get("b").await, "legacy:");
        let error = scene.request("c", Method::POST, "pay").await.unwrap_err();
        assert!(matches!(error.failure, Failure::Broken(_)) && error.unsent.is_none(), "{error:?}");

        scene.p2p.set(Mood::Hangs);
        let begun = scene.runtime.now();
        assert_eq!(scene.get("d").await, "legacy:");
        assert_eq!(scene.runtime.now() - begun, MigrationConfig::default().fallback_after);
        assert_eq!(scene.tunnel.asked(), 3, "the POST that was sent was not sent again");
        assert_eq!(scene.router.figures().fallbacks, 3);
    });
}

#[test]
fn p2p_that_fails_again_and_again_is_left_alone_and_leads_back_to_phase_1() {
    let config = MigrationConfig { requests_min: 4, failures_max: 100, ..MigrationConfig::default() };
    run_with(config, None, |scene| async move {
        scene.router.set_phase(Phase::NewOverP2p).unwrap();
        scene.p2p.set(Mood::Breaks);
        for client in 0..10 {
            assert_eq!(scene.get(&format!("client-{client}")).await, "legacy:");
        }
        let policy = scene.router.policy();
        assert_eq!(policy.phase, Phase::Tunnel);
        assert!(policy.rolled_back.is_some(), "it says why");
        assert_eq!(scene.router.figures().rollbacks, 1);
    });
    let config = MigrationConfig { failures_max: 3, ..MigrationConfig::default() };
    run_with(config, None, |scene| async move {
        scene.router.set_phase(Phase::NewOverP2p).unwrap();
        scene.p2p.set(Mood::Breaks);
        for client in 0..6 {
            scene.get(&format!("client-{client}")).await;
        }
        assert_eq!((scene.p2p.asked(), scene.router.breaker_is_open()), (3, true));
        scene.p2p.set(Mood::Well);
        scene.runtime.sleep(config.pause).await;
        assert_eq!(scene.get("later").await, "p2p:", "one request tries, and finds it well");
        assert!(!scene.router.breaker_is_open());
    });
}

// A home that restarts is away on both routes, and may be back on P2P first.
#[test]
fn p2p_that_is_left_alone_is_tried_all_the_same_by_what_the_tunnel_did_not_take() {
    let config = MigrationConfig { failures_max: 3, ..MigrationConfig::default() };
    run_with(config, None, |scene| async move {
        scene.router.set_phase(Phase::NewOverP2p).unwrap();
        scene.p2p.set(Mood::Breaks);
        for client in 0..3 {
            scene.get(&format!("client-{client}")).await;
        }
        assert!(scene.router.breaker_is_open());
        scene.p2p.set(Mood::Well);
        scene.tunnel.set(Mood::Away);
        let answer = scene.request("a", Method::POST, "pay").await.unwrap();
        assert_eq!(read(answer).await, "p2p:pay");
        assert!(!scene.router.breaker_is_open(), "it was found to be well");
    });
}

// An answer without an end and a WebSocket are on the tunnel when phase 4 begins. Until the deadline nothing happens to them.
#[test]
fn what_is_on_the_tunnel_at_the_drain_deadline_is_cut_with_a_reason_and_counted() {
    run(|scene| async move {
        scene.tunnel.set(Mood::Endless);
        let mut endless = scene.request("a", Method::GET, "").await.unwrap().into_body();
        scene.tunnel.set(Mood::Well);
        let request = Request::builder().uri("/ws").body(()).unwrap();
        let client: ClientId = "a".parse().unwrap();
        let mut websocket = scene.router.websocket(&client, request.clone()).await.unwrap();

        scene.router.set_phase(Phase::P2pOnly).unwrap();
        let deadline = scene.runtime.now() + MigrationConfig::default().drain;
        websocket.send(Message::Text("still there?".into())).await.unwrap();
        assert!(matches!(websocket.next().await, Some(Ok(Message::Text(text))) if text == "still there?"));
        let error = loop {
            match endless.frame().await.unwrap() {
                Ok(_) => assert!(scene.runtime.now() <= deadline),
                Err(error) => break error,
            }
        };
        assert_eq!(scene.runtime.now(), deadline);
        assert!(error.to_string().contains("drain deadline"), "{error}");
        let Some(Ok(Message::Close(Close { code, reason }))) = websocket.next().await else { panic!("no close") };
        assert!(code == Some(1012) && reason.contains("connect again"), "{reason}");

        let figures = scene.router.figures();
        assert_eq!((figures.cut_requests, figures.cut_websockets), (1, 1));
        assert!(scene.router.tunnel_is_closed());
        scene.router.change(|policy| policy.deny("denied".parse().unwrap())).unwrap();
        let refused = scene.request("denied", Method::GET, "").await.unwrap_err();
        assert_eq!(refused.failure.status(), StatusCode::SERVICE_UNAVAILABLE);
        scene.p2p.set(Mood::Away);
        assert!(scene.request("a", Method::GET, "").await.is_err(), "there is no tunnel to fall back to");
    });
}

#[test]
fn a_share_of_the_requests_goes_over_both_routes_and_the_answers_are_compared() {
    run(|scene| async move {
        let shadow = Percentage::ALL;
        scene
            .router
            .change(|policy| {
                policy.shadow = shadow;
                Ok(())
            })
            .unwrap();
        assert_eq!(scene.get("a").await, "legacy:");
        scene.request("a", Method::POST, "once").await.unwrap();
        scene.runtime.sleep(SECOND).await;
        let figures = scene.router.figures();
        assert_eq!((figures.shadow_different, figures.shadow_same), (1, 0), "each says who it is");
        assert_eq!(scene.p2p.asked(), 1, "a POST is never sent twice");
        scene.p2p.set(Mood::Breaks);
        scene.get("a").await;
        scene.runtime.sleep(SECOND).await;
        assert_eq!(scene.router.figures().shadow_failed, 1);
    });
}

#[test]
fn what_was_set_is_there_after_a_restart() {
    let folder = std::env::temp_dir().join(format!("migration-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("state.json");
    std::fs::remove_file(&path).ok();
    let file = || Some(StateFile::new(path.clone()));
    run_with(MigrationConfig::default(), file(), |scene| async move {
        scene.router.set_phase(Phase::MoveExisting).unwrap();
        scene.percentage("25");
    });
    run_with(MigrationConfig::default(), file(), |scene| async move {
        let policy = scene.router.policy();
        assert_eq!((policy.phase, policy.percentage.to_string().as_str()), (Phase::MoveExisting, "25%"));
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn sessions_between_peers_follow_the_same_phases() {
    run(|scene| async move {
        let (p2p, tunnel) =
            (MemoryNetwork::with_runtime(scene.runtime.clone()), MemoryNetwork::with_runtime(scene.runtime.clone()));
        let routes = |name| {
            let both =
                [SessionRoute::new("p2p", p2p.provider(name)), SessionRoute::new("tunnel", tunnel.provider(name))];
            Routes::new(both).unwrap()
        };
        let (alice, bob) = (routes("alice"), routes("bob"));
        let handle = alice.handle();
        assert!(SessionRoutes::new(handle.clone(), "p2p", "tunel").is_err(), "no route has that name");
        scene.router.drive(SessionRoutes::new(handle.clone(), "p2p", "tunnel").unwrap());
        let protocol = "session/1".parse().unwrap();
        let _listener = bob.listen(&protocol).await.unwrap();

        for (phase, takes) in [(Phase::Tunnel, "tunnel"), (Phase::NewOverP2p, "p2p"), (Phase::MoveExisting, "p2p")] {
            scene.router.set_phase(phase).unwrap();
            let before = handle.get(takes).unwrap().dials;
            drop(alice.connect(bob.local_peer_id(), &protocol).await.unwrap());
            assert_eq!(handle.get(takes).unwrap().dials, before + 1, "{phase}");
        }
        scene.router.set_phase(Phase::P2pOnly).unwrap();
        assert!(handle.get("tunnel").unwrap().enabled);
        scene.runtime.sleep(MigrationConfig::default().drain + SECOND).await;
        assert!(!handle.get("tunnel").unwrap().enabled);
        scene.router.roll_back("back");
        assert!(handle.get("tunnel").unwrap().enabled);
    });
}
