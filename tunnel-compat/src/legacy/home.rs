//! One home: what is in flight, who listens, what is to be sent. It outlives its sockets, so a response goes on when the home
//! reconnects in the middle of it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use p2p::{Instant, Rng, Runtime};
use parking_lot::Mutex;
use serde_json::Value;

use super::{LegacyConfig, app::Inbox, body::Pipe, exchange::Exchange};
use crate::{
    route::{ClientId, Failure},
    socket::Close,
    wire::{HttpRequest, Packet, Recipients, Request, WsRequest, WsResponse},
};

/// Requests in flight to one home. One more is answered with 503.
pub(super) const EXCHANGES_MAX: usize = 1024;

/// Apps with an open WebSocket to one home. One more is answered with 503.
pub(super) const APPS_MAX: usize = 1024;

/// Messages of apps that wait to be sent to one home. An app that sends one more is closed.
const APP_MESSAGES_WAITING_MAX: usize = 1024;

/// Messages of apps whose numbers are remembered, so that an answer by number finds its app. The oldest is forgotten.
const ASKED_MAX: usize = 4096;

/// A home.
#[derive(Debug)]
pub(super) struct Home {
    client: ClientId,
    config: LegacyConfig,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// The socket that counts, by its number; those before it have lost.
    link: Option<u64>,
    links: u64,
    /// Since when there is none.
    lost_at: Option<Instant>,
    /// Whether the socket's other end keeps to windows.
    with_flow: bool,
    exchanges: BTreeMap<u64, Exchange>,
    /// Requests of which a packet is missing, and until when it is waited for.
    gaps: BTreeMap<u64, Instant>,
    apps: BTreeMap<u64, Arc<Inbox>>,
    asked: BTreeMap<u64, u64>,
    asked_in_order: VecDeque<u64>,
    /// Frames for the home. Bounded: a request and an abort for each exchange, an end for each app, and the messages of apps, whose
    /// bound is their own.
    outbox: VecDeque<String>,
    app_messages_waiting: usize,
    /// What apps have read since the home was last told, by request.
    grants: BTreeMap<u64, u64>,
    /// The task that sends.
    sender: Option<Waker>,
}

impl Home {
    pub(super) fn new(client: ClientId, config: LegacyConfig, runtime: Arc<dyn Runtime>) -> Self {
        let rng = runtime.rng(&format!("the tunnel's numbers for {client}"));
        let state = State {
            rng,
            link: None,
            links: 0,
            lost_at: None,
            with_flow: false,
            exchanges: BTreeMap::new(),
            gaps: BTreeMap::new(),
            apps: BTreeMap::new(),
            asked: BTreeMap::new(),
            asked_in_order: VecDeque::new(),
            outbox: VecDeque::new(),
            app_messages_waiting: 0,
            grants: BTreeMap::new(),
            sender: None,
        };
        Self { client, config, runtime, state: Mutex::new(state) }
    }

    pub(super) const fn client(&self) -> &ClientId {
        &self.client
    }

    pub(super) const fn config(&self) -> &LegacyConfig {
        &self.config
    }

    pub(super) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.lock().link.is_some()
    }

    /// Whether nothing here is worth keeping.
    pub(super) fn is_forgotten(&self) -> bool {
        let state = self.state.lock();
        state.link.is_none() && state.exchanges.is_empty() && state.apps.is_empty()
    }

    // Sockets.

    /// A new socket, which takes the place of the one before. Returns its number.
    pub(super) fn link(&self, with_flow: bool) -> u64 {
        let mut state = self.state.lock();
        state.links += 1;
        state.link = Some(state.links);
        state.with_flow = with_flow;
        state.grants.clear();
        if with_flow {
            let bytes = self.config.body_bytes_max as u64;
            state.send_first(&Request::Window { request_id: 0, bytes });
        }
        wake(&mut state.sender);
        state.links
    }

    /// That socket has ended. What is in flight may have been lost with it.
    pub(super) fn unlink(&self, link: u64) {
        let mut state = self.state.lock();
        if state.link != Some(link) {
            return;
        }
        state.link = None;
        let now = self.runtime.now();
        state.lost_at = Some(now);
        for exchange in state.exchanges.values_mut() {
            exchange.at_risk_since = Some(now);
        }
    }

    /// Ends what has been at risk since before `then`, and, if the home is not back, its apps.
    pub(super) fn give_up_since(&self, then: Instant) {
        let mut state = self.state.lock();
        let lost: Vec<u64> = state
            .exchanges
            .iter()
            .filter(|(_, exchange)| exchange.at_risk_since.is_some_and(|since| since <= then))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            state.fail(id, Failure::Broken("the home lost its connection".into()));
        }
        if state.link.is_none() && state.lost_at.is_some_and(|lost_at| lost_at <= then) {
            state.outbox.clear();
            state.app_messages_waiting = 0;
            for inbox in std::mem::take(&mut state.apps).into_values() {
                inbox.close(Close::new(GOING_AWAY, "the home is gone"));
            }
        }
    }

    /// The next frame for the home. Ready with `None` if that socket's time is over.
    pub(super) fn poll_frame(&self, link: u64, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut state = self.state.lock();
        if state.link != Some(link) {
            return Poll::Ready(None);
        }
        if let Some((request_id, bytes)) = state.grants.pop_first() {
            return Poll::Ready(Some(text(&Request::Window { request_id, bytes })));
        }
        match state.outbox.pop_front() {
            Some(frame) => {
                state.app_messages_waiting = state.app_messages_waiting.min(state.outbox.len());
                Poll::Ready(Some(frame))
            }
            None => {
                state.sender = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    // Requests.

    /// Sends a request under a new number. None if too many are in flight.
    pub(super) fn begin(&self, mut request: HttpRequest, exchange: Exchange) -> Option<u64> {
        let mut state = self.state.lock();
        if state.exchanges.len() >= EXCHANGES_MAX {
            return None;
        }
        let id = state.new_number();
        request.request_id = id;
        state.exchanges.insert(id, exchange);
        // 256 KiB of body and what HTTP servers take of a head fit a frame.
        match Request::Http(request).to_json() {
            Ok(frame) => state.send(frame),
            Err(error) => state.fail(id, Failure::Broken(error.to_string())),
        }
        Some(id)
    }

    /// Nobody waits for that answer any longer: the home is told, unless it was complete.
    pub(super) fn abandon(&self, id: u64) {
        self.state.lock().abandon(id);
    }

    /// An app has read so much of an answer.
    pub(super) fn grant(&self, id: u64, bytes: u64) {
        let mut state = self.state.lock();
        if state.with_flow && state.exchanges.contains_key(&id) {
            *state.grants.entry(id).or_default() += bytes;
            wake(&mut state.sender);
        }
    }

    /// A packet of the home's. Returns where its response waits for the app, if that is more than may wait.
    pub(super) fn take_packet(&self, packet: Packet) -> Option<(u64, Arc<Pipe>)> {
        let mut state = self.state.lock();
        let (id, now) = (packet.request_id, self.runtime.now());
        let Some(exchange) = state.exchanges.get_mut(&id) else {
            // Of an answer that was given up, or was never asked for from this home: it need not go on.
            if !packet.last && state.outbox.len() < EXCHANGES_MAX {
                state.send(text(&Request::Abort { request_id: id }));
            }
            return None;
        };
        match exchange.take(packet, now) {
            Err(failure) => {
                state.fail_and_abort(id, failure);
                None
            }
            Ok(true) => {
                state.exchanges.remove(&id);
                state.gaps.remove(&id);
                state.grants.remove(&id);
                None
            }
            Ok(false) => {
                let (deadline, pipe) = (exchange.deadline(), exchange.pipe.clone());
                match deadline {
                    Some(deadline) => {
                        state.gaps.insert(id, deadline);
                    }
                    None => {
                        state.gaps.remove(&id);
                    }
                }
                (pipe.bytes() > self.config.body_bytes_max).then_some((id, pipe))
            }
        }
    }

    /// Ends a request because of what the home sent, or did not.
    pub(super) fn fail_and_abort(&self, id: u64, failure: Failure) {
        self.state.lock().fail_and_abort(id, failure);
    }

    /// When the next missing packet has been missing for too long.
    pub(super) fn gap_deadline(&self) -> Option<Instant> {
        self.state.lock().gaps.values().min().copied()
    }

    /// Ends the requests whose packets have been missing for too long.
    pub(super) fn handle_gaps(&self) {
        let mut state = self.state.lock();
        let now = self.runtime.now();
        let late: Vec<u64> = state.gaps.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in late {
            let why = format!("a packet of it has been missing for {:?}", self.config.reorder.gap_max);
            state.fail_and_abort(id, Failure::Broken(why));
        }
    }

    // Apps.

    /// A new app. None if there are too many.
    pub(super) fn enter(&self, inbox: Arc<Inbox>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.apps.len() >= APPS_MAX {
            return None;
        }
        let id = state.new_number();
        state.apps.insert(id, inbox);
        Some(id)
    }

    /// An app has left. The home is told by an `ABORT` of its number, which the legacy one passes over.
    pub(super) fn leave(&self, conn_id: u64) {
        let mut state = self.state.lock();
        if state.apps.remove(&conn_id).is_some() {
            let frame = text(&Request::Abort { request_id: conn_id });
            state.send(frame);
        }
    }

    /// An app's message. False if too many wait already.
    pub(super) fn tell(&self, conn_id: u64, body: Value, profile: Option<String>) -> bool {
        let mut state = self.state.lock();
        if state.app_messages_waiting >= APP_MESSAGES_WAITING_MAX {
            return false;
        }
        let request_id = state.new_number();
        let message = WsRequest { conn_id, request_id, body, connection_id: None, profile };
        let Ok(frame) = Request::Ws(message).to_json() else { return false };
        state.app_messages_waiting += 1;
        state.remember_asked(request_id, conn_id);
        state.send(frame);
        true
    }

    /// Passes the home's message on, to its own apps.
    pub(super) fn deliver(&self, message: &WsResponse) {
        let state = self.state.lock();
        let to = |id: &u64| state.apps.get(id);
        let inboxes: Vec<_> = match (&message.recipients, message.request_id) {
            (Recipients::Only(ids), _) => ids.iter().filter_map(to).collect(),
            (Recipients::AllBut(ids), _) => {
                state.apps.iter().filter(|(id, _)| !ids.contains(id)).map(|(_, inbox)| inbox).collect()
            }
            (Recipients::Unnamed, 0) => state.apps.values().collect(),
            (Recipients::Unnamed, asked) => state.asked.get(&asked).and_then(to).into_iter().collect(),
        };
        let body = message.body.to_string();
        for inbox in inboxes {
            inbox.put(body.clone());
        }
    }
}

impl State {
    /// A number that is in use for nothing, and that nobody can guess.
    fn new_number(&mut self) -> u64 {
        loop {
            let number = self.rng.next_u64();
            // 0 means "everyone" in a message for apps.
            if number != 0 && !self.exchanges.contains_key(&number) && !self.apps.contains_key(&number) {
                return number;
            }
        }
    }

    fn send(&mut self, frame: String) {
        self.outbox.push_back(frame);
        wake(&mut self.sender);
    }

    fn send_first(&mut self, request: &Request) {
        self.outbox.push_front(text(request));
    }

    fn abandon(&mut self, id: u64) {
        if self.exchanges.remove(&id).is_some() {
            self.gaps.remove(&id);
            self.grants.remove(&id);
            self.send(text(&Request::Abort { request_id: id }));
        }
    }

    fn fail(&mut self, id: u64, failure: Failure) {
        if let Some(exchange) = self.exchanges.remove(&id) {
            self.gaps.remove(&id);
            self.grants.remove(&id);
            exchange.fail(failure);
        }
    }

    fn fail_and_abort(&mut self, id: u64, failure: Failure) {
        if self.exchanges.contains_key(&id) {
            self.fail(id, failure);
            self.send(text(&Request::Abort { request_id: id }));
        }
    }

    fn remember_asked(&mut self, request_id: u64, conn_id: u64) {
        if self.asked_in_order.len() == ASKED_MAX
            && let Some(oldest) = self.asked_in_order.pop_front()
        {
            self.asked.remove(&oldest);
        }
        self.asked_in_order.push_back(request_id);
        self.asked.insert(request_id, conn_id);
    }
}

/// "Going away" (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

fn text(request: &Request) -> String {
    request.to_json().expect("two numbers fit a frame")
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
