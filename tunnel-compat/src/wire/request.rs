//! What the tunnel server asks of the home side: JSON, one object a frame.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Defect, REQUEST_BYTES_MAX, WireError};

/// A frame from the tunnel server.
///
/// ```
/// use tunnel_compat::wire::Request;
///
/// let Request::Abort { request_id } = Request::from_json(r#"{"type":"ABORT","request_id":7}"#)? else { panic!() };
/// assert_eq!(request_id, 7);
/// # Ok::<(), tunnel_compat::wire::WireError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Request {
    /// An HTTP request of a remote app.
    Http(HttpRequest),
    /// A message that a remote app sent on its WebSocket.
    Ws(WsRequest),
    /// Nobody waits for the answer any longer. Numbers nobody knows are to be ignored.
    Abort {
        /// The request that ends.
        request_id: u64,
    },
    /// So many more bytes of a response's body may be sent: an addition to the legacy tunnel, for home sides that ask for it with
    /// the header [`FLOW_HEADER`] when they connect. The first frame they get is this one with `request_id` 0: what each response
    /// may send before it hears more.
    Window {
        /// The response's request.
        request_id: u64,
        /// Bytes.
        bytes: u64,
    },
}

/// The header by which a home side asks for [`Request::Window`] when it opens its WebSocket, with the value `1`.
pub const FLOW_HEADER: &str = "tunnel-flow";

/// An HTTP request, as the tunnel carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// The number that the answer's packets carry.
    pub request_id: u64,
    /// The method.
    pub method: Method,
    /// The path without its first `/`, percent-encoded as the app sent it.
    pub path: String,
    /// The query, decoded. Of several values of one name the tunnel keeps the last.
    ///
    /// With the real server this holds `clientId` and, for files, `signature`: secrets of the tunnel, not for the home's server.
    pub query: BTreeMap<String, String>,
    /// The body, which can only be JSON; none if it was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// `accept` and `range`, as far as the app sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The form in which packets are wanted. The real server asks for [`Encoding::Binary`] alone.
    pub encoding: Encoding,
    /// The profile that the app named.
    #[serde(default)]
    pub profile: Option<String>,
}

/// A message that a remote app sent on its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WsRequest {
    /// The tunnel server's number for the app's socket.
    pub conn_id: u64,
    /// A number by which an answer finds its way back, besides `conn_id`.
    pub request_id: u64,
    /// What the app sent.
    pub body: Value,
    /// Never set by the real server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<Value>,
    /// The profile that the app's socket was opened with.
    #[serde(default)]
    pub profile: Option<String>,
}

/// The methods that the tunnel knows, by their names in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "each is HTTP's method of that name")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
    Head,
    Options,
    Connect,
    Trace,
}

/// The form of a response's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Encoding {
    /// Bytes, in binary frames.
    Binary,
    /// Base64, in text frames. What real senders write when asked for it is damaged; nobody asks for it.
    Base64,
}

impl Request {
    /// Reads a text frame of the tunnel server.
    ///
    /// # Errors
    /// A [`WireError`] if it has more than [`REQUEST_BYTES_MAX`] bytes or is not one of the three; with the request's number if
    /// that much could be read, so that it can be answered.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        if text.len() > REQUEST_BYTES_MAX {
            let defect = Defect::TooLarge { what: "a request", bytes: text.len(), limit: REQUEST_BYTES_MAX };
            return Err(WireError::about(None, defect));
        }
        serde_json::from_str(text).map_err(|source| {
            WireError::about(request_id_of(text), Defect::json("a request of the tunnel server", source))
        })
    }

    /// The frame's text.
    ///
    /// # Errors
    /// A [`WireError`] if it has more than [`REQUEST_BYTES_MAX`] bytes.
    pub fn to_json(&self) -> Result<String, WireError> {
        let text = serde_json::to_string(self).expect("maps with text as keys are JSON");
        if text.len() > REQUEST_BYTES_MAX {
            let defect = Defect::TooLarge { what: "a request", bytes: text.len(), limit: REQUEST_BYTES_MAX };
            return Err(WireError::about(Some(self.request_id()), defect));
        }
        Ok(text)
    }

    /// The number of the request.
    pub const fn request_id(&self) -> u64 {
        match self {
            Self::Http(HttpRequest { request_id, .. })
            | Self::Ws(WsRequest { request_id, .. })
            | Self::Abort { request_id }
            | Self::Window { request_id, .. } => *request_id,
        }
    }
}

/// The number in an object that is otherwise not what it should be.
fn request_id_of(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        request_id: u64,
    }
    serde_json::from_str(text).ok().map(|Numbered { request_id }| request_id)
}

impl Method {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
