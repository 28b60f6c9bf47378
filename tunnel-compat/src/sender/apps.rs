//! The WebSockets of apps: for each a WebSocket to the home's server, opened when the app first says something.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use http::Request;
use p2p::TaskHandle;
use tokio::sync::mpsc;

use super::Shared;
use crate::{
    query,
    socket::Message,
    wire::{Recipients, WsRequest, WsResponse},
};

/// Apps with a socket to the home's server. The one that was silent longest goes for a new one: a legacy tunnel server does not say
/// when an app has left.
const APPS_MAX: usize = 1024;

/// Messages of one app that wait for the home's server. With one more its socket ends.
const MESSAGES_WAITING_MAX: usize = 64;

/// Apps, by the numbers of their sockets at the tunnel server.
#[derive(Debug, Default)]
pub(super) struct Apps {
    apps: BTreeMap<u64, App>,
    /// How many messages came: which of two apps spoke last.
    count: u64,
}

#[derive(Debug)]
struct App {
    to_server: mpsc::Sender<String>,
    spoke_at: u64,
    /// Dropping it ends the socket.
    _task: TaskHandle,
}

impl Apps {
    /// That app has left. Returns what is to be dropped outside the lock.
    pub(super) fn leave(&mut self, conn_id: u64) -> Option<impl Sized + use<>> {
        self.apps.remove(&conn_id)
    }
}

impl Shared {
    /// Passes an app's message on to the home's server.
    pub(super) fn pass_on(self: &Arc<Self>, message: WsRequest) {
        let conn_id = message.conn_id;
        let mut apps = self.apps.lock();
        apps.count += 1;
        let count = apps.count;
        let mut gone = None;
        if !apps.apps.contains_key(&conn_id) {
            if apps.apps.len() >= APPS_MAX {
                let silent = apps.apps.iter().min_by_key(|(_, app)| app.spoke_at).map(|(id, _)| *id);
                gone = silent.and_then(|silent| apps.apps.remove(&silent));
            }
            let (to_server, messages) = mpsc::channel(MESSAGES_WAITING_MAX);
            let socket = app_socket(self.clone(), conn_id, message.profile, messages);
            let task = self.runtime.spawn("an app's WebSocket", Box::pin(socket));
            apps.apps.insert(conn_id, App { to_server, spoke_at: count, _task: task });
        }
        let app = apps.apps.get_mut(&conn_id).expect("it is there, or was just put there");
        app.spoke_at = count;
        let behind = app.to_server.try_send(message.body.to_string()).is_err().then(|| apps.apps.remove(&conn_id));
        drop(apps);
        if behind.is_some() {
            tracing::warn!(conn_id, "The home's server does not keep up with an app; its socket was ended.");
        }
        drop((gone, behind));
    }
}

/// One app's socket to the home's server, to its end.
async fn app_socket(shared: Arc<Shared>, conn_id: u64, profile: Option<String>, mut messages: mpsc::Receiver<String>) {
    let profile = profile.map(|profile| format!("?{}", query::encode([("moosicboxProfile", &*profile)])));
    let uri = format!("/ws{}", profile.unwrap_or_default());
    let request = Request::get(uri).body(()).expect("an encoded query makes a URI");
    match shared.route.websocket(&shared.client, request).await {
        Err(error) => tracing::warn!(conn_id, %error, "The home's server opens no WebSocket for an app."),
        Ok(socket) => {
            let (mut to_server, mut from_server) = socket.split();
            let sending = async {
                while let Some(text) = messages.recv().await {
                    if to_server.send(Message::Text(text)).await.is_err() {
                        return;
                    }
                }
            };
            let receiving = async {
                while let Some(Ok(message)) = from_server.next().await {
                    match message {
                        Message::Text(text) => shared.tell(conn_id, &text).await,
                        Message::Binary(_) => tracing::warn!(conn_id, "The tunnel carries texts to apps alone."),
                        Message::Ping | Message::Pong => {}
                        Message::Close(_) => return,
                    }
                }
            };
            p2p::select! {
                () = sending => {}
                () = receiving => {}
            }
        }
    }
    let ended = shared.apps.lock().leave(conn_id);
    drop(ended);
}

impl Shared {
    /// Tells an app what the home's server says.
    async fn tell(&self, conn_id: u64, text: &str) {
        let Ok(body) = serde_json::from_str(text) else {
            return tracing::warn!(
                conn_id,
                "The tunnel carries JSON to apps alone, and the home's server sent another text."
            );
        };
        let message = WsResponse { request_id: 0, body, recipients: Recipients::Only(vec![conn_id]) };
        match message.to_json() {
            Ok(frame) => {
                let _ = self.frames.send(Message::Text(frame)).await;
            }
            Err(error) => tracing::warn!(conn_id, %error, "A message for an app cannot be carried."),
        }
    }
}
