//! 200 apps, each with something in flight all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::Request;
use p2p::{Runtime, RuntimeExt, Watch, WatchSender};
use parking_lot::Mutex;
use tunnel_compat::{
    migration::Router,
    route::{ClientId, empty},
    socket::Message,
};

use crate::{
    common::post,
    entry::Entry,
    scene::{CLIENTS, Pace, Scene, client},
};

/// Apps.
const SLOTS: usize = 200;

/// What was done, and what went wrong.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    pub failures: Vec<String>,
    /// Requests with numbers.
    pub once: usize,
    pub bulks: usize,
    pub streams: usize,
    pub websockets: usize,
}

pub struct Load {
    shared: Arc<Shared>,
    left: Watch<usize>,
}

struct Shared {
    runtime: Arc<dyn Runtime>,
    router: Router,
    entry: Arc<Entry>,
    pace: Pace,
    stop: AtomicBool,
    next: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_min: AtomicUsize,
    outcome: Mutex<Outcome>,
    left: WatchSender<usize>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Once,
    Bulk,
    Stream,
    WebSocket,
}

impl Load {
    pub fn start(scene: &Scene) -> Self {
        let left = WatchSender::new(SLOTS);
        let shared = Arc::new(Shared {
            runtime: scene.runtime.clone(),
            router: scene.router.clone(),
            entry: scene.entry.clone(),
            pace: scene.pace,
            stop: false.into(),
            next: 0.into(),
            in_flight: 0.into(),
            in_flight_min: usize::MAX.into(),
            outcome: Mutex::default(),
            left,
        });
        for slot in 0..SLOTS {
            let kind = match slot {
                _ if slot < scene.pace.bulk_slots => Kind::Bulk,
                _ => [Kind::Once, Kind::Stream, Kind::WebSocket][slot % 3],
            };
            let app = shared.clone();
            let running = async move {
                app.run(slot, kind).await;
                app.left.modify(|left| {
                    *left -= 1;
                    true
                });
            };
            scene.runtime.spawn("an app", Box::pin(running)).detach();
        }
        let left = shared.left.subscribe();
        Self { shared, left }
    }

    /// The fewest that were in flight at once, since all had begun.
    pub fn in_flight_min(&self) -> usize {
        self.shared.in_flight_min.load(SeqCst)
    }

    /// Lets what is in flight end.
    pub async fn end(mut self) -> Outcome {
        self.shared.stop.store(true, SeqCst);
        self.left.wait_for(|left| *left == 0).await.unwrap();
        self.shared.outcome.lock().clone()
    }
}

impl Shared {
    async fn run(&self, slot: usize, kind: Kind) {
        let begun = self.runtime.now();
        let mut has_begun = false;
        while !self.stop.load(SeqCst) {
            // Apps come and go: half of the clients use nothing for a while, and begin anew.
            let epoch = (self.runtime.now() - begun).as_nanos() / self.pace.step.as_nanos();
            let client = client((slot % (CLIENTS / 2) + usize::try_from(epoch).unwrap()) % CLIENTS);
            let in_flight = self.in_flight.fetch_add(1, SeqCst) + 1;
            if has_begun || in_flight == SLOTS {
                self.in_flight_min.fetch_min(in_flight, SeqCst);
            }
            has_begun |= in_flight == SLOTS;
            let done = match kind {
                Kind::Once => self.once(&client).await,
                Kind::Bulk => self.bulk(&client).await,
                Kind::Stream => self.stream(&client).await,
                Kind::WebSocket => self.websocket(&client).await,
            };
            self.in_flight.fetch_sub(1, SeqCst);
            let failed = done.is_err();
            self.note(done, kind, &client);
            if failed {
                // An app that is turned away at once tries again, but not within the same instant for ever.
                self.runtime.sleep(self.pace.beat).await;
            }
        }
    }

    fn note(&self, done: Result<(), String>, kind: Kind, client: &ClientId) {
        let mut outcome = self.outcome.lock();
        match (done, kind) {
            (Err(why), _) => {
                outcome.failures.push(format!("{kind:?} of {client} in phase {}: {why}", self.router.policy().phase));
            }
            (Ok(()), Kind::Once) => outcome.once += 1,
            (Ok(()), Kind::Bulk) => outcome.bulks += 1,
            (Ok(()), Kind::Stream) => outcome.streams += 1,
            (Ok(()), Kind::WebSocket) => outcome.websockets += 1,
        }
    }

    /// Is not safe to repeat.
    async fn once(&self, client: &ClientId) -> Result<(), String> {
        let number = self.next.fetch_add(1, SeqCst);
        let ms = (self.pace.beat * 3).as_millis();
        let request = post(&format!("/once/{number}/{ms}"), "application/json", "{}");
        let body = self.entry.ask(client, request).await?;
        expect(&body, number.to_string().as_bytes())
    }

    async fn bulk(&self, client: &ClientId) -> Result<(), String> {
        let body =
            self.entry.ask(client, get(&format!("/chunks/80/65536/{}", (self.pace.beat / 8).as_millis()))).await?;
        if body.len() == 5 << 20 { Ok(()) } else { Err(format!("{} bytes of 5 MiB", body.len())) }
    }

    async fn stream(&self, client: &ClientId) -> Result<(), String> {
        let body = self.entry.ask(client, get(&format!("/chunks/12/1024/{}", self.pace.beat.as_millis()))).await?;
        if body.len() == 12 << 10 { Ok(()) } else { Err(format!("{} bytes of 12 KiB", body.len())) }
    }

    async fn websocket(&self, client: &ClientId) -> Result<(), String> {
        let mut socket = self.entry.websocket(client).await?;
        for at in 0..10 {
            let said = Message::Text(format!("{{\"at\":{at}}}"));
            socket.send(said.clone()).await.map_err(|error| format!("message {at}: {error}"))?;
            let heard = crate::common::next(&mut socket).await;
            if heard.as_ref() != Some(&said) {
                return Err(format!("message {at} came back as {heard:?}"));
            }
            // Read meanwhile, as apps do: nothing else must come.
            let pause: Duration = self.pace.beat;
            let waiting = async {
                loop {
                    match socket.next().await {
                        Some(Ok(Message::Ping | Message::Pong)) => {}
                        other => return format!("{other:?}"),
                    }
                }
            };
            if let Ok(other) = self.runtime.timeout(pause, waiting).await {
                return Err(format!("after message {at} came {other}"));
            }
        }
        Ok(())
    }
}

fn expect(body: &[u8], wanted: &[u8]) -> Result<(), String> {
    if body == wanted { Ok(()) } else { Err(format!("the answer is {:?}", String::from_utf8_lossy(body))) }
}

fn get(uri: &str) -> Request<tunnel_compat::route::Body> {
    Request::get(uri).body(empty()).unwrap()
}
