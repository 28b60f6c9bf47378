//! What the home side tells remote apps on their WebSockets: JSON, one object a frame.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Defect, FRAME_BYTES_MAX, WireError};

/// A message for one app, for some, or for all.
///
/// ```
/// use tunnel_compat::wire::{Recipients, WsResponse};
///
/// let message = WsResponse { request_id: 0, body: "hello".into(), recipients: Recipients::Only(vec![7]) };
/// assert_eq!(message.to_json()?, r#"{"request_id":0,"body":"hello","to_connection_ids":[7]}"#);
/// # Ok::<(), tunnel_compat::wire::WireError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WsResponse {
    /// The [`WsRequest`](super::WsRequest) that is answered, to the app that made it; 0 if none is.
    pub request_id: u64,
    /// What the app receives: this and nothing else.
    pub body: Value,
    /// Whom it is for.
    pub recipients: Recipients,
}

/// Whom a message is for, by the numbers of the apps' sockets.
///
/// On the wire "everyone" has no bounds but those the server draws: the legacy one tells every app of every home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// The app that made the request; everyone if the request's number is 0.
    Unnamed,
    /// These. If the message also says who is left out, these count.
    Only(Vec<u64>),
    /// Everyone but these.
    AllBut(Vec<u64>),
}

/// The message's form on the wire.
#[derive(Serialize, Deserialize)]
struct Frame<'a> {
    request_id: u64,
    body: std::borrow::Cow<'a, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exclude_connection_ids: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_connection_ids: Option<Vec<u64>>,
}

impl WsResponse {
    /// Reads a text frame of the home side that is no packet.
    ///
    /// # Errors
    /// A [`WireError`] if it is not such an object, or has more than [`FRAME_BYTES_MAX`] bytes.
    pub fn from_json(text: &str) -> Result<Self, WireError> {
        check_size(text, None)?;
        let frame: Frame<'_> = serde_json::from_str(text)
            .map_err(|source| WireError::about(None, Defect::json("a message for apps", source)))?;
        let recipients = match (frame.to_connection_ids, frame.exclude_connection_ids) {
            (Some(only), _) => Recipients::Only(only),
            (None, Some(all_but)) => Recipients::AllBut(all_but),
            (None, None) => Recipients::Unnamed,
        };
        Ok(Self { request_id: frame.request_id, body: frame.body.into_owned(), recipients })
    }

    /// The frame's text.
    ///
    /// # Errors
    /// A [`WireError`] if it has more than [`FRAME_BYTES_MAX`] bytes: such a frame would cost the legacy server's socket.
    pub fn to_json(&self) -> Result<String, WireError> {
        let (only, all_but) = match &self.recipients {
            Recipients::Unnamed => (None, None),
            Recipients::Only(ids) => (Some(ids.clone()), None),
            Recipients::AllBut(ids) => (None, Some(ids.clone())),
        };
        let frame = Frame {
            request_id: self.request_id,
            body: std::borrow::Cow::Borrowed(&self.body),
            exclude_connection_ids: all_but,
            to_connection_ids: only,
        };
        let text = serde_json::to_string(&frame).expect("maps with text as keys are JSON");
        check_size(&text, Some(self.request_id))?;
        Ok(text)
    }
}

fn check_size(text: &str, request_id: Option<u64>) -> Result<(), WireError> {
    if text.len() > FRAME_BYTES_MAX {
        let defect = Defect::TooLarge { what: "a message for apps", bytes: text.len(), limit: FRAME_BYTES_MAX };
        return Err(WireError::about(request_id, defect));
    }
    Ok(())
}
