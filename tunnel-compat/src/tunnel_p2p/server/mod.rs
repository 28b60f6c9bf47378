//! The tunnel server's side: joins the pipes of peers that belong to one client.
//!
//! | role | the server |
//! |---|---|
//! | `listen` | has the peer prove its key, then tells it of each call |
//! | `dial` | calls a peer of the same client, and joins the socket with the one that takes the call |
//! | `accept` | takes a call |
//!
//! All need an access token of the client. `registry`: who listens, who calls, and how many there are.

mod registry;

use std::{sync::Arc, time::Duration};

use ::http::{Response, StatusCode, request::Parts};
use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use p2p::{PeerId, Rng, Runtime, RuntimeExt};
use parking_lot::Mutex;

use self::registry::{Full, Registry, Seat};
use super::proof::{
    self, CALL, CallId, Challenge, FULL, NOT_TAKEN, NOT_THERE, PATH, PIPE_MESSAGE_BYTES_MAX, READY, REFUSED, REPLACED,
};
use crate::{
    endpoint::Endpoint,
    query,
    route::{Body, ClientId, text},
    server::{TokenKind, TokenStore, token_of},
    socket::{self, BoxSocket, Close, Heartbeat, Message},
};

/// How many peers and pipes there may be, and how long things may take.
#[derive(Debug, Clone, Copy)]
pub struct PeerBounds {
    /// Pipes of all clients, those that are just being opened among them. Defaults to 4,096.
    pub pipes: usize,
    /// Pipes of one client. Defaults to 256.
    pub pipes_per_client: usize,
    /// Peers of one client that listen, or are about to. Defaults to 64.
    pub peers_per_client: usize,
    /// How long a peer has to prove its key, and to take a call. Defaults to 10 s.
    pub handshake_timeout: Duration,
    /// How the sockets are watched. A pipe of which one end is silent for longer is ended.
    pub heartbeat: Heartbeat,
}

impl Default for PeerBounds {
    fn default() -> Self {
        Self {
            pipes: 4096,
            pipes_per_client: 256,
            peers_per_client: 64,
            handshake_timeout: Duration::from_secs(10),
            heartbeat: Heartbeat::default(),
        }
    }
}

/// Joins byte streams of peers: an [`Endpoint`] of the tunnel server, at `/p2p/1`.
///
/// A peer reaches those of its own client alone. What the pipes carry is theirs: encrypted from end to end, and not looked at.
#[derive(Debug)]
pub struct PeerEndpoint {
    tokens: Arc<TokenStore>,
    bounds: PeerBounds,
    registry: Arc<Registry>,
    rng: Mutex<Rng>,
    runtime: Arc<dyn Runtime>,
}

/// What a socket is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    client: ClientId,
    role: Role,
}

#[derive(Debug, PartialEq, Eq)]
enum Role {
    Listen(PeerId),
    Dial(PeerId),
    Accept(CallId),
}

impl PeerEndpoint {
    /// For the clients of that store.
    pub fn new(tokens: Arc<TokenStore>, bounds: PeerBounds, runtime: Arc<dyn Runtime>) -> Self {
        let rng = Mutex::new(runtime.rng("peer pipes"));
        Self { tokens, bounds, registry: Arc::new(Registry::new(bounds)), rng, runtime }
    }

    fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.lock().fill_bytes(&mut bytes);
        bytes
    }

    async fn listen(&self, wish: (&ClientId, PeerId), token: &str, socket: &mut BoxSocket) -> Option<Close> {
        let (client, peer) = wish;
        let Some(_seat) = self.registry.seat(client, Seat::PEER) else { return Some(full("peers of this client")) };
        match self.runtime.timeout(self.bounds.handshake_timeout, self.prove(client, peer, token, socket)).await {
            Ok(Ok(())) => {}
            Ok(Err(close)) => return close,
            Err(_) => return Some(Close::new(REFUSED, "no proof came in time")),
        }
        let mut listening = self.registry.listen(client, peer);
        tracing::info!(%client, %peer, "A peer listens on the tunnel.");
        socket.send(Message::Binary(READY.into())).await.ok()?;
        loop {
            p2p::select! {
                call = listening.next_call() => match call {
                    None => return Some(Close::new(REPLACED, "this peer listens by a newer socket")),
                    Some(call) => {
                        let message = [&[CALL], &call[..]].concat();
                        socket.send(Message::Binary(message.into())).await.ok()?;
                    }
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Ping | Message::Pong)) => {}
                    Some(Ok(Message::Binary(_) | Message::Text(_))) => {
                        return Some(Close::new(REFUSED, "who listens has nothing to say"));
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                },
            }
        }
    }

    /// Asks for a signature and checks it; the error is what to say, if there is still somebody to say it to.
    async fn prove(
        &self,
        client: &ClientId,
        peer: PeerId,
        token: &str,
        socket: &mut BoxSocket,
    ) -> Result<(), Option<Close>> {
        let challenge: Challenge = self.random();
        socket.send(Message::Binary(challenge.to_vec().into())).await.map_err(|_| None)?;
        let signature = loop {
            match socket.next().await {
                Some(Ok(Message::Ping | Message::Pong)) => {}
                Some(Ok(Message::Binary(signature))) => break signature,
                Some(Ok(Message::Text(_))) => {
                    return Err(Some(Close::new(REFUSED, "a signature is expected, in bytes")));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(None),
            }
        };
        if proof::is_signed(&proof::message(&challenge, client, token), &signature, peer) {
            return Ok(());
        }
        tracing::warn!(%client, %peer, "Somebody said to be a peer without having its key.");
        Err(Some(Close::new(REFUSED, "that is not the peer's signature")))
    }

    async fn dial(&self, client: &ClientId, peer: PeerId, mut socket: BoxSocket) {
        let Some(_seat) = self.registry.seat(client, Seat::PIPE) else { return close(socket, full("pipes")).await };
        let mut call = match self.registry.call(client, peer, self.random()) {
            Ok(Some(call)) => call,
            Ok(None) => return close(socket, Close::new(NOT_THERE, "that peer is not connected")).await,
            Err(Full) => return close(socket, full("calls of that peer")).await,
        };
        let taken = async {
            p2p::select! {
                taken = call.taken() => Some(taken),
                // Whoever calls waits for the word that the pipe is open, or leaves.
                () = anything_but_pings(&mut socket) => None,
            }
        };
        let theirs = match self.runtime.timeout(self.bounds.handshake_timeout, taken).await {
            Ok(Some(Some(theirs))) => theirs,
            Ok(None) => return close(socket, Close::new(REFUSED, "the pipe is not open yet")).await,
            Ok(Some(None)) | Err(_) => {
                return close(socket, Close::new(NOT_TAKEN, "that peer did not take the call")).await;
            }
        };
        if socket.send(Message::Binary(READY.into())).await.is_ok() {
            socket::join(socket, theirs).await;
        }
    }
}

#[async_trait]
impl Endpoint for PeerEndpoint {
    fn path(&self) -> &str {
        PATH
    }

    fn message_bytes_max(&self) -> usize {
        PIPE_MESSAGE_BYTES_MAX
    }

    async fn authorize(&self, request: &Parts) -> Result<(), Box<Response<Body>>> {
        let refuse = |status, why: &str| Err(Box::new(text(status, why.to_owned())));
        let wish = match wish_of(request) {
            Ok(wish) => wish,
            Err(why) => return refuse(StatusCode::BAD_REQUEST, why),
        };
        // In no URL, which stand in logs: so no signature will do.
        let allowed = token_of(&request.headers)
            .is_some_and(|token| self.tokens.allows(TokenKind::Access, &wish.client, token).unwrap_or(false));
        if !allowed {
            return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        match wish.role {
            Role::Dial(peer) if !self.registry.is_listening(&wish.client, peer) => {
                refuse(StatusCode::FAILED_DEPENDENCY, "that peer is not connected")
            }
            Role::Accept(call) if !self.registry.is_calling(&wish.client, call) => {
                refuse(StatusCode::GONE, "nobody calls by that number any longer")
            }
            _ => Ok(()),
        }
    }

    async fn serve(&self, request: Parts, socket: BoxSocket) {
        let (Ok(Wish { client, role }), Some(token)) = (wish_of(&request), token_of(&request.headers)) else { return };
        let socket = self.tokens.pass(&client, token).guard(socket);
        let mut socket = socket::watched(socket, self.bounds.heartbeat, &self.runtime);
        // Once more: it may have been revoked since.
        if !self.tokens.allows(TokenKind::Access, &client, token).unwrap_or(false) {
            return close(socket, Close::new(REFUSED, "the token was revoked")).await;
        }
        match role {
            Role::Listen(peer) => {
                if let Some(why) = self.listen((&client, peer), token, &mut socket).await {
                    close(socket, why).await;
                }
            }
            Role::Dial(peer) => self.dial(&client, peer, socket).await,
            Role::Accept(call) => {
                if let Err(socket) = self.registry.take(&client, call, socket) {
                    close(socket, Close::new(NOT_THERE, "nobody calls by that number any longer")).await;
                }
            }
        }
    }
}

/// Reads the query: every name once, and no other.
fn wish_of(request: &Parts) -> Result<Wish, &'static str> {
    let (mut client, mut role, mut peer, mut call) = (None, None, None, None);
    for (_, name, value) in query::raw_pairs(request.uri.query().unwrap_or("")) {
        let to = match &*name {
            "clientId" => &mut client,
            "role" => &mut role,
            "peer" => &mut peer,
            "call" => &mut call,
            _ => return Err("expected clientId, role, and peer or call, in the query"),
        };
        if to.replace(value).is_some() {
            return Err("a name stands twice in the query");
        }
    }
    let client = client.ok_or("clientId is missing from the query")?.parse();
    let client = client.map_err(|_| "clientId has 1 to 64 characters of visible ASCII")?;
    let peer = peer.map(|peer| peer.parse().map_err(|_| "peer has 64 hex digits")).transpose()?;
    let call = call.map(|call| call_of(&call).ok_or("call has 32 hex digits")).transpose()?;
    let role = match (role.as_deref(), peer, call) {
        (Some("listen"), Some(peer), None) => Role::Listen(peer),
        (Some("dial"), Some(peer), None) => Role::Dial(peer),
        (Some("accept"), None, Some(call)) => Role::Accept(call),
        _ => return Err("expected role=listen or role=dial with a peer, or role=accept with a call"),
    };
    Ok(Wish { client, role })
}

fn call_of(hex: &str) -> Option<CallId> {
    data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

async fn anything_but_pings(socket: &mut BoxSocket) {
    while let Some(Ok(Message::Ping | Message::Pong)) = socket.next().await {}
}

/// Says why, and lets the other end hear it.
async fn close(mut socket: BoxSocket, why: Close) {
    if socket.send(Message::Close(why)).await.is_ok() {
        socket::linger(&mut socket).await;
    }
}

fn full(what: &str) -> Close {
    Close::new(FULL, format!("there are as many {what} as there may be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str) -> Result<Wish, &'static str> {
        let request = ::http::Request::get(format!("/p2p/1?{query}")).body(()).unwrap();
        wish_of(&request.into_parts().0)
    }

    #[test]
    fn a_wish_is_said_in_one_way() {
        let (peer, call) = ("ab".repeat(32), "0f".repeat(16));
        let client: ClientId = "a".parse().unwrap();
        let of = |role| Ok(Wish { client: client.clone(), role });
        let peer_id = PeerId::from_bytes([0xab; 32]);
        assert_eq!(wish(&format!("clientId=a&role=listen&peer={peer}")), of(Role::Listen(peer_id)));
        assert_eq!(wish(&format!("peer={peer}&role=dial&clientId=a")), of(Role::Dial(peer_id)));
        assert_eq!(wish(&format!("clientId=a&role=accept&call={call}")), of(Role::Accept([0x0f; 16])));
        for wrong in [
            String::new(),
            format!("clientId=a&clientId=b&role=dial&peer={peer}"),
            format!("clientid=a&role=dial&peer={peer}"),
            format!("clientId=a&clientid=b&role=dial&peer={peer}"),
            format!("clientId=a&role=dial&role=listen&peer={peer}"),
            format!("clientId=a&role=join&peer={peer}"),
            format!("clientId=a&role=dial&peer={peer}&call={call}"),
            format!("clientId=a&role=accept&peer={peer}"),
            "clientId=a&role=dial&peer=12".to_owned(),
            "clientId=a&role=accept&call=12".to_owned(),
            format!("clientId=&role=dial&peer={peer}"),
            format!("clientId=a&role=dial&peer={peer}&signature=s"),
        ] {
            assert!(wish(&wrong).is_err(), "{wrong}");
        }
    }
}
