//! What can be wrong with a message.

use std::sync::Arc;

/// A message that cannot be read, or cannot be written.
///
/// It knows whose answer is missing, as far as that could be read, so that a bad message about a request ends that request
/// and not the socket.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{defect}")]
pub struct WireError {
    /// The request it was about, if that much could be read.
    pub request_id: Option<u64>,
    /// What is wrong.
    #[source]
    pub defect: Defect,
}

/// What is wrong with a message.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// It ends too early.
    #[error("{what} has {bytes} bytes: expected at least {expected}")]
    Cut {
        /// What was being read.
        what: &'static str,
        /// The bytes that are there.
        bytes: usize,
        /// The bytes that it should have had.
        expected: u64,
    },
    /// It is not the JSON it should be.
    #[error("{what} is not as expected")]
    Json {
        /// What was being read.
        what: &'static str,
        /// What the JSON reader says.
        source: Arc<serde_json::Error>,
    },
    /// It does not fit.
    #[error("{what} has {bytes} bytes: expected at most {limit}")]
    TooLarge {
        /// What does not fit.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The bytes that fit.
        limit: usize,
    },
    /// A status that is none of HTTP's.
    #[error("the status is {0}: expected 100 to 999")]
    Status(u16),
    /// A text frame that follows neither form.
    #[error("{what} is {found:?}: expected {expected}")]
    Text {
        /// Which part of it.
        what: &'static str,
        /// Its beginning, as it was received.
        found: String,
        /// What should have been there.
        expected: &'static str,
    },
    /// The response has as many packets as can be numbered.
    #[error("a response has at most {} packets", u32::MAX)]
    PacketsExhausted,
}

impl WireError {
    pub(super) const fn about(request_id: Option<u64>, defect: Defect) -> Self {
        Self { request_id, defect }
    }
}

impl Defect {
    pub(super) fn json(what: &'static str, source: serde_json::Error) -> Self {
        Self::Json { what, source: Arc::new(source) }
    }

    pub(super) fn text(what: &'static str, found: &str, expected: &'static str) -> Self {
        Self::Text { what, found: found.chars().take(FOUND_CHARS_MAX).collect(), expected }
    }
}

/// As much of a peer's text is quoted.
const FOUND_CHARS_MAX: usize = 32;
