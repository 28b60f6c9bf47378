//! How a layer below brings a session to a better transport: it asks whether that leads to the session, and ends the
//! present one. The session then resumes as after any loss, at once.

use super::{
    progress::Progress,
    state::REPLACED,
    wire::{self, Hello, RESUME},
};
use crate::{ConnectionConfig, Negotiated, P2PConnection, P2PError, RefusalCode, Result};

/// The dial that made a connection, as a question: does the session go on there? Nothing if the connection carries none.
///
/// It asks to resume by attempt 0, which was used when the session began, so the answer is a refusal, and nothing
/// changes at the peer. See [`is_known`].
pub(in crate::layer) fn question(config: &ConnectionConfig, negotiated: &Negotiated) -> Option<ConnectionConfig> {
    negotiated.capability(RESUME)?;
    let offered = config.capabilities.iter().find(|capability| capability.name == RESUME)?;
    let session = match wire::decode(offered).ok()? {
        Hello::New { session, .. } | Hello::Resume { session, .. } => session,
    };
    let hello = Hello::Resume { session, attempt: 0, progress: Progress::default() };
    let mut question = config.clone();
    question.capabilities = vec![wire::capability(&hello)];
    Some(question)
}

/// Whether a dial is for a session that goes on.
pub(in crate::layer) fn is_resume(config: &ConnectionConfig) -> bool {
    let offered = config.capabilities.iter().find(|capability| capability.name == RESUME);
    offered.is_some_and(|offered| matches!(wire::decode(offered), Ok(Hello::Resume { .. })))
}

/// Whether the answer to the question is yes.
pub(in crate::layer) fn is_known<T>(answer: &Result<T>) -> bool {
    match answer {
        Err(P2PError::Refused { refusal, .. }) => refusal.code == RefusalCode::Rejected && refusal.reason == KNOWN,
        _ => false,
    }
}

/// How a session's side refuses attempt 0.
pub(super) const KNOWN: &str = "attempt 0 was used when the session began";

/// Ends a transport so that its session takes another. Loses nothing: both ends take what has arrived, and what has not
/// is sent again.
pub(in crate::layer) fn end(connection: &dyn P2PConnection) {
    connection.close(REPLACED.0, REPLACED.1);
}
