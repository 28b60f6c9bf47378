//! Takes each request over the route that the machine decides, and over the other one if that fails.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use p2p::{P2PError, Rng, Runtime, RuntimeExt, TaskHandle, WatchSender};
use parking_lot::Mutex;

use super::{
    Decision, Figures, Machine, MigrationConfig, Outcome, Phase, Policy, SessionRoutes, Side, StateFile, Why,
    counters::{Counters, count},
    flight::{CUT, Flight, FollowedBody, FollowedSocket, Kind},
    shadow::Shadow,
};
use crate::{
    http::repeatable,
    route::{Body, ClientId, Failure, Route, RouteError},
    socket::BoxSocket,
};

/// A route over two: the legacy tunnel and P2P. Clones are the same.
///
/// A request is sent over the other route as well when its own fails and nothing of it was sent, or when it is safe to repeat
/// (GET, HEAD, OPTIONS, without a body) and got no answer in time. Any other one gets the error: the home may have seen it.
#[derive(Debug, Clone)]
pub struct Router {
    shared: Arc<Shared>,
    _task: Arc<TaskHandle>,
}

/// What the router, its task, and all that is under way share.
pub(super) struct Shared {
    pub(super) machine: Mutex<Machine>,
    tunnel: Arc<dyn Route>,
    p2p: Arc<dyn Route>,
    pub(super) runtime: Arc<dyn Runtime>,
    file: Option<StateFile>,
    pub(super) counters: Counters,
    /// Whether the tunnel is refused; what is on it watches.
    pub(super) tunnel_closed: WatchSender<bool>,
    /// Changes with each policy, for the task.
    changes: WatchSender<u64>,
    /// One change of policy at a time, the file included.
    changing: Mutex<()>,
    sessions: Mutex<Vec<SessionRoutes>>,
    pub(super) shadows: AtomicU64,
    rng: Mutex<Rng>,
}

impl Router {
    /// Between these routes, with the policy that `file` keeps, or in phase 1.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if the file cannot be used.
    pub fn new(
        tunnel: Arc<dyn Route>,
        p2p: Arc<dyn Route>,
        config: MigrationConfig,
        file: Option<StateFile>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, P2PError> {
        let (now, wall) = (runtime.now(), runtime.wall_time());
        let kept = file.as_ref().map(StateFile::load).transpose()?.flatten();
        let policy = kept.unwrap_or_else(|| Policy::new(wall));
        tracing::info!(phase = %policy.phase, percentage = %policy.percentage, "The migration goes on.");
        let machine = Machine::new(config, policy, now, wall);
        let shared = Arc::new(Shared {
            tunnel_closed: WatchSender::new(machine.tunnel_is_closed()),
            machine: Mutex::new(machine),
            tunnel,
            p2p,
            file,
            counters: Counters::default(),
            changes: WatchSender::new(0),
            changing: Mutex::default(),
            sessions: Mutex::default(),
            shadows: AtomicU64::new(0),
            rng: Mutex::new(runtime.rng("shadowed requests")),
            runtime,
        });
        let task = shared.runtime.spawn("migration", Box::pin(keep_time(shared.clone())));
        Ok(Self { shared, _task: Arc::new(task) })
    }

    /// Its time.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared.runtime
    }

    /// What is set.
    pub fn policy(&self) -> Policy {
        self.shared.machine.lock().policy().clone()
    }

    /// Whether the tunnel is refused.
    pub fn tunnel_is_closed(&self) -> bool {
        self.shared.machine.lock().tunnel_is_closed()
    }

    /// Whether P2P is left alone because it has failed.
    pub fn breaker_is_open(&self) -> bool {
        self.shared.machine.lock().breaker_is_open()
    }

    /// What was counted.
    pub fn figures(&self) -> Figures {
        self.shared.counters.figures()
    }

    /// Requests and WebSockets by why they took their route.
    pub fn decisions(&self) -> impl Iterator<Item = (Why, u64)> {
        Why::ALL.into_iter().map(|why| (why, self.shared.counters.decisions(why).load(Relaxed)))
    }

    /// Changes what is set: first in the file, then here.
    ///
    /// # Errors
    /// What `change` says, and [`P2PError::Network`] if the file cannot be written; nothing has changed then.
    pub fn change(&self, change: impl FnOnce(&mut Policy) -> Result<(), P2PError>) -> Result<(), P2PError> {
        self.shared.change(change)
    }

    /// Goes to a phase, at once; what is in flight stays where it is.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub fn set_phase(&self, phase: Phase) -> Result<(), P2PError> {
        let (wall, drain) = (self.shared.runtime.wall_time(), self.shared.machine.lock().config().drain);
        self.change(|policy| {
            policy.set_phase(phase, wall, drain);
            Ok(())
        })
    }

    /// Goes back to phase 1, whatever happens to the file.
    pub fn roll_back(&self, why: &str) {
        self.shared.roll_back(why);
    }

    /// Drives the routes of sessions between peers as well, from now on.
    pub fn drive(&self, sessions: SessionRoutes) {
        {
            let machine = self.shared.machine.lock();
            sessions.apply(machine.policy().phase, machine.tunnel_is_closed());
        }
        self.shared.sessions.lock().push(sessions);
    }
}

/// Waits for the drain deadlines.
async fn keep_time(shared: Arc<Shared>) {
    let mut changes = shared.changes.subscribe();
    loop {
        let deadline = shared.machine.lock().poll_timeout();
        let waiting = async {
            match deadline {
                Some(deadline) => shared.runtime.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        p2p::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = waiting => {
                shared.machine.lock().handle_timeout(shared.runtime.now());
                shared.publish();
            }
        }
    }
}

impl Shared {
    pub(super) fn route(&self, side: Side) -> &Arc<dyn Route> {
        match side {
            Side::Tunnel => &self.tunnel,
            Side::P2p => &self.p2p,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Policy) -> Result<(), P2PError>) -> Result<(), P2PError> {
        let _one = self.changing.lock();
        let before = self.machine.lock().policy().clone();
        let mut policy = before.clone();
        change(&mut policy)?;
        if let Some(file) = &self.file {
            file.save(&policy)?;
        }
        self.adopt(&before, policy);
        Ok(())
    }

    fn adopt(&self, before: &Policy, policy: Policy) {
        if before.phase != policy.phase {
            tracing::info!(from = %before.phase, to = %policy.phase, why = ?policy.rolled_back, "The migration's phase changes.");
        }
        self.machine.lock().set_policy(policy, self.runtime.now(), self.runtime.wall_time());
        self.publish();
        self.changes.modify(|count| {
            *count += 1;
            true
        });
    }

    /// Tells what is under way, and the sessions' routes, how things are.
    fn publish(&self) {
        let (phase, closed) = {
            let machine = self.machine.lock();
            (machine.policy().phase, machine.tunnel_is_closed())
        };
        if closed && !self.tunnel_closed.read(|closed| *closed) {
            let in_flight = self.counters.figures().legacy;
            tracing::info!(?in_flight, "The drain deadline has passed: the tunnel is refused.");
        }
        self.tunnel_closed.set(closed);
        self.sessions.lock().iter().for_each(|sessions| sessions.apply(phase, closed));
    }

    fn roll_back(&self, why: &str) {
        let _one = self.changing.lock();
        let before = self.machine.lock().policy().clone();
        if before.phase == Phase::Tunnel {
            return;
        }
        let mut policy = before.clone();
        policy.roll_back(why, self.runtime.wall_time());
        count(&self.counters.rollbacks);
        if let Some(Err(error)) = self.file.as_ref().map(|file| file.save(&policy)) {
            tracing::error!(error = %error.chain(), "The rollback is not kept: after a restart the old phase is back.");
        }
        self.adopt(&before, policy);
    }

    /// Takes what became of a request over P2P, and goes back if that was too much.
    pub(super) fn handle_outcome(&self, outcome: Outcome) {
        let verdict = self.machine.lock().handle_outcome(self.runtime.now(), outcome);
        if let Some(why) = verdict {
            tracing::warn!(why, "Rolling back to phase 1.");
            self.roll_back(&why);
        }
    }

    fn decide(&self, client: &ClientId, what: &dyn fmt::Display) -> Decision {
        let (now, knows) = (self.runtime.now(), self.p2p.knows(client));
        let decision = {
            let mut machine = self.machine.lock();
            if knows { machine.decide(now, client) } else { machine.decide_without_p2p(now) }
        };
        count(self.counters.decisions(decision.why));
        match decision.side {
            Some(route) => tracing::debug!(%client, %what, %route, why = decision.why.name(), "Routed."),
            None => {
                count(&self.counters.refused);
                tracing::warn!(%client, %what, why = decision.why.name(), "Refused: no route is left.");
            }
        }
        decision
    }

    fn shadows_now(&self) -> bool {
        let (shadow, closed) = {
            let machine = self.machine.lock();
            (machine.policy().shadow, machine.tunnel_is_closed())
        };
        let draw = || u8::try_from(self.rng.lock().below(100)).expect("it is below 100");
        !closed && shadow.get() > 0 && shadow.takes(draw())
    }
}

fn no_route() -> Failure {
    let reason = "this client has no P2P, and the tunnel is no longer served".into();
    Failure::Refused { status: StatusCode::SERVICE_UNAVAILABLE, reason }
}

/// One request on its way.
struct Passage<'a> {
    shared: &'a Arc<Shared>,
    client: &'a ClientId,
}

impl Passage<'_> {
    /// Asks over one route, and follows the answer.
    async fn ask(
        &self,
        side: Side,
        request: Request<Body>,
        within: Option<Duration>,
        is_fallback: bool,
        shadow: Option<Shadow>,
    ) -> Result<Response<Body>, RouteError> {
        let shared = self.shared;
        let flight = Flight::begin(shared, side, Kind::Request, self.client, is_fallback);
        let begun = shared.runtime.now();
        let asking = shared.route(side).http(self.client, request);
        let asking = async {
            match within {
                None => asking.await,
                Some(within) => match shared.runtime.timeout(within, asking).await {
                    Ok(answer) => answer,
                    Err(_) => Err(RouteError::sent(Failure::TimedOut(within))),
                },
            }
        };
        let answer = p2p::select! {
            answer = asking => answer,
            () = flight.cut() => {
                flight.count_cut();
                let failure = Failure::Refused { status: StatusCode::SERVICE_UNAVAILABLE, reason: CUT.into() };
                return Err(RouteError::sent(failure));
            }
        };
        self.judge(side, &flight, begun, answer.as_ref().err());
        let (head, body) = answer?.into_parts();
        let primary = shadow.map(|shadow| shadow.primary(&head));
        Ok(Response::from_parts(head, FollowedBody::new(body, flight, primary).boxed_unsync()))
    }

    /// Counts what became of it.
    fn judge(&self, side: Side, flight: &Flight, begun: p2p::Instant, error: Option<&RouteError>) {
        // What the home, or the route itself, will not take says nothing about whether the route works.
        let failed = match error.map(|error| &error.failure) {
            Some(Failure::Refused { .. }) => return,
            Some(_) => true,
            None => false,
        };
        if failed {
            flight.count_failure();
        }
        if side == Side::P2p {
            let after = self.shared.runtime.now() - begun;
            self.shared.handle_outcome(if failed { Outcome::Failed } else { Outcome::Answered(after) });
        }
    }

    fn note_fallback(&self, from: Side, why: &Failure) {
        count(&self.shared.counters.fallbacks);
        tracing::info!(client = %self.client, %from, to = %from.other(), %why, "Takes the other route.");
    }

    /// Whether the other route is still there to be taken: much may have happened since the decision.
    fn may_take(&self, side: Side) -> bool {
        side == Side::P2p || !self.shared.machine.lock().tunnel_is_closed()
    }
}

#[async_trait]
impl Route for Router {
    fn name(&self) -> &'static str {
        "migration"
    }

    async fn http(&self, client: &ClientId, request: Request<Body>) -> Result<Response<Body>, RouteError> {
        let shared = &self.shared;
        let decision = shared.decide(client, &format_args!("{} {}", request.method(), request.uri().path()));
        let Some(side) = decision.side else { return Err(RouteError::unsent(no_route(), request)) };
        let passage = Passage { shared, client };

        let spare = repeatable(&request);
        let shadow = match repeatable(&request) {
            Some(copy) if shared.p2p.knows(client) && shared.shadows_now() => {
                Shadow::begin(shared, side.other(), client, copy)
            }
            _ => None,
        };
        let may_repeat = side == Side::P2p && decision.fallback && spare.is_some();
        let within = may_repeat.then(|| shared.machine.lock().config().fallback_after);
        let error = match passage.ask(side, request, within, false, shadow).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let refused = matches!(error.failure, Failure::Refused { .. });
        if !decision.fallback || !passage.may_take(side.other()) || refused && side == Side::P2p {
            return Err(error);
        }
        let RouteError { failure, unsent } = error;
        match unsent.map(|request| *request).or(spare.filter(|_| !refused)) {
            Some(again) => {
                passage.note_fallback(side, &failure);
                passage.ask(side.other(), again, None, true, None).await
            }
            None => Err(RouteError { failure, unsent: None }),
        }
    }

    async fn websocket(&self, client: &ClientId, request: Request<()>) -> Result<BoxSocket, RouteError> {
        let shared = &self.shared;
        let decision = shared.decide(client, &format_args!("WebSocket {}", request.uri().path()));
        let Some(side) = decision.side else { return Err(RouteError::sent(no_route())) };
        let passage = Passage { shared, client };
        let after = shared.machine.lock().config().fallback_after;
        let within = (side == Side::P2p && decision.fallback).then_some(after);

        let error = match passage.open(side, request.clone(), within, false).await {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        // No message was sent, so it can always be opened again; what the home itself refuses it refuses on any route.
        let refused = matches!(error.failure, Failure::Refused { .. });
        if !decision.fallback || refused || !passage.may_take(side.other()) {
            return Err(error);
        }
        passage.note_fallback(side, &error.failure);
        passage.open(side.other(), request, None, true).await
    }
}

impl Passage<'_> {
    async fn open(
        &self,
        side: Side,
        request: Request<()>,
        within: Option<Duration>,
        is_fallback: bool,
    ) -> Result<BoxSocket, RouteError> {
        let shared = self.shared;
        let flight = Flight::begin(shared, side, Kind::WebSocket, self.client, is_fallback);
        let begun = shared.runtime.now();
        let opening = shared.route(side).websocket(self.client, request);
        let opened = match within {
            None => opening.await,
            Some(within) => match shared.runtime.timeout(within, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(RouteError::sent(Failure::TimedOut(within))),
            },
        };
        self.judge(side, &flight, begun, opened.as_ref().err());
        Ok(Box::new(FollowedSocket::new(opened?, flight)))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("tunnel", &self.tunnel)
            .field("p2p", &self.p2p)
            .field("policy", self.machine.lock().policy())
            .field("figures", &self.counters.figures())
            .finish_non_exhaustive()
    }
}
