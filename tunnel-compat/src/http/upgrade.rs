//! The server's end of a WebSocket handshake (RFC 6455 §4.2).

use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use crate::{
    route::{Body, empty, text},
    server::Pass,
    socket::{self, BoxSocket},
};

/// A request for a WebSocket that is in order, not yet agreed to.
#[derive(Debug)]
pub(crate) struct Upgrade {
    accept: HeaderValue,
    upgraded: OnUpgrade,
    pass: Option<Pass>,
}

impl Upgrade {
    /// Whether a request asks for a WebSocket.
    pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
    }

    /// The request's head without what only concerns the handshake, and the handshake.
    ///
    /// # Errors
    /// The answer to a handshake that is not in order.
    pub(crate) fn of(mut request: Request<Incoming>) -> Result<(Parts, Self), Box<Response<Body>>> {
        let refuse = |status, reason| Err(Box::new(text(status, reason)));
        if request.method() != http::Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET");
        }
        let headers = request.headers();
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut refusal = text(StatusCode::UPGRADE_REQUIRED, "this server speaks version 13 of WebSocket");
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(Box::new(refusal));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| BASE64.decode(key).is_ok_and(|key| key.len() == KEY_BYTES)) else {
            return refuse(StatusCode::BAD_REQUEST, "the Sec-WebSocket-Key is not 16 bytes in base64");
        };
        let accept = accept_of(key);
        let upgraded = hyper::upgrade::on(&mut request);
        let (mut parts, _) = request.into_parts();
        super::strip_connection_headers(&mut parts.headers);
        for name in HANDSHAKE_HEADERS {
            parts.headers.remove(name);
        }
        Ok((parts, Self { accept, upgraded, pass: None }))
    }

    /// With the token under which the socket is open, and with which it ends.
    pub(crate) fn guarded_by(self, pass: Pass) -> Self {
        Self { pass: Some(pass), ..self }
    }

    /// Agrees: the answer, and the socket, which opens once that is sent.
    pub(crate) fn accept(
        self,
        message_bytes_max: usize,
    ) -> (Response<Body>, impl Future<Output = hyper::Result<BoxSocket>> + Send + 'static) {
        let mut answer = Response::new(empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        let (upgraded, pass) = (self.upgraded, self.pass);
        let opening = async move {
            let socket = socket::server(TokioIo::new(upgraded.await?), message_bytes_max);
            Ok(match pass {
                Some(pass) => pass.guard(socket),
                None => socket,
            })
        };
        (answer, opening)
    }
}

fn accept_of(key: &[u8]) -> HeaderValue {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    HeaderValue::from_str(&BASE64.encode(digest.finish().as_ref())).expect("base64 is visible ASCII")
}

/// What every server adds to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const KEY_BYTES: usize = 16;

const HANDSHAKE_HEADERS: [header::HeaderName; 5] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::HOST,
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_to_a_key_is_the_standards_own_example() {
        // RFC 6455 §1.3.
        assert_eq!(super::accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
