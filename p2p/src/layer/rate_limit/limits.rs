//! Which rates there are: plain data.

use super::rate::Rate;

/// How often things may happen, with each peer and altogether; nothing means as often as they like.
///
/// By default only dials and accepted connections are limited: how much traffic is too much, only its user knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// For each peer on its own, over all connections with it.
    pub per_peer: Rates,
    /// For all peers together.
    pub total: Rates,
}

/// How often each kind of thing may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates {
    /// Dials, whatever comes of them. One too many fails with [`RateLimited`](crate::P2PError::RateLimited).
    pub dials: Option<Rate>,
    /// Handshakes that are answered, whatever comes of them. A dialler too many is refused as
    /// [`RateLimited`](crate::RefusalCode::RateLimited) and told when to come again.
    pub accepts: Option<Rate>,
    /// What this side sends.
    pub sent: Traffic,
    /// What this side takes in. Beyond it nothing is read, so what the peer sends fills the windows in between and then
    /// makes the peer wait.
    pub received: Traffic,
}

/// How much may pass in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages and datagrams.
    pub messages: Option<Rate>,
    /// Bytes of messages, datagrams and streams, without framing.
    ///
    /// Whatever comes while a byte is left passes whole, and what comes after it waits the longer. So a burst may be
    /// exceeded by one message or one read or write of a stream, and the average is kept.
    pub bytes: Option<Rate>,
    /// Streams, in the direction of their opening: sent are those that this side opens.
    pub streams: Option<Rate>,
}

/// Per peer 10 dials and 10 accepted connections a second, 100 at once; altogether 1,000 accepted connections a second.
impl Default for RateLimits {
    fn default() -> Self {
        const TEN: Rate = Rate::per_second(10).with_burst(100);
        Self {
            per_peer: Rates::NONE.with_dials(TEN).with_accepts(TEN),
            total: Rates::NONE.with_accepts(Rate::per_second(1000)),
        }
    }
}

impl RateLimits {
    /// No limit on anything.
    pub const NONE: Self = Self { per_peer: Rates::NONE, total: Rates::NONE };

    /// Sets the rates for each peer.
    #[must_use]
    pub const fn with_per_peer(mut self, rates: Rates) -> Self {
        self.per_peer = rates;
        self
    }

    /// Sets the rates for all peers together.
    #[must_use]
    pub const fn with_total(mut self, rates: Rates) -> Self {
        self.total = rates;
        self
    }
}

impl Rates {
    /// No limit on anything.
    pub const NONE: Self = Self { dials: None, accepts: None, sent: Traffic::NONE, received: Traffic::NONE };

    /// Limits dials.
    #[must_use]
    pub const fn with_dials(mut self, rate: Rate) -> Self {
        self.dials = Some(rate);
        self
    }

    /// Limits accepted connections.
    #[must_use]
    pub const fn with_accepts(mut self, rate: Rate) -> Self {
        self.accepts = Some(rate);
        self
    }

    /// Limits what is sent.
    #[must_use]
    pub const fn with_sent(mut self, traffic: Traffic) -> Self {
        self.sent = traffic;
        self
    }

    /// Limits what is taken in.
    #[must_use]
    pub const fn with_received(mut self, traffic: Traffic) -> Self {
        self.received = traffic;
        self
    }
}

impl Traffic {
    /// No limit on anything.
    pub const NONE: Self = Self { messages: None, bytes: None, streams: None };

    /// Limits messages and datagrams.
    #[must_use]
    pub const fn with_messages(mut self, rate: Rate) -> Self {
        self.messages = Some(rate);
        self
    }

    /// Limits bytes.
    #[must_use]
    pub const fn with_bytes(mut self, rate: Rate) -> Self {
        self.bytes = Some(rate);
        self
    }

    /// Limits streams.
    #[must_use]
    pub const fn with_streams(mut self, rate: Rate) -> Self {
        self.streams = Some(rate);
        self
    }
}
