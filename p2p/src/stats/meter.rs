//! A connection's age, and the bandwidth it uses.

use std::time::Duration;

use serde::Serialize;

use crate::Instant;

/// The bandwidth in use: bytes of messages, streams and datagrams, without framing, of late.
///
/// Measured between calls of [`stats`](crate::P2PConnection::stats) and keepalives, over the shortest span that is at
/// least a second long; so over one to two seconds for somebody who asks every second, and over up to a second and a
/// [`keepalive_interval`](crate::ConnectionConfig::keepalive_interval) for somebody who asks once. Under
/// [`Reconnect`](crate::layer::Reconnect) only the calls count. Nothing is measured per message, so that none pays for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Bandwidth {
    /// Bytes accepted for sending, a second.
    pub sent_bytes_per_sec: u64,
    /// Bytes handed to the application, a second.
    pub received_bytes_per_sec: u64,
    /// The span over which that was measured; zero before the connection is as old as that, and after its end.
    pub over: Duration,
}

/// The shortest span over which bandwidth is measured. Below it, one burst is everything.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Measures one connection.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    ended: Option<Instant>,
    /// The last two counts that are at least [`SPAN_MIN`] apart, older first.
    marks: [Mark; 2],
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    sent: u64,
    received: u64,
}

impl Meter {
    pub(crate) const fn new(now: Instant) -> Self {
        let mark = Mark { at: now, sent: 0, received: 0 };
        Self { begun: now, ended: None, marks: [mark; 2] }
    }

    /// So many bytes were sent and received by now.
    pub(crate) fn note(&mut self, now: Instant, sent: u64, received: u64) -> Bandwidth {
        if self.ended.is_some() {
            return Bandwidth::default();
        }
        let base = if now - self.marks[1].at >= SPAN_MIN {
            let base = self.marks[1];
            self.marks = [base, Mark { at: now, sent, received }];
            base
        } else {
            self.marks[0]
        };
        let over = now - base.at;
        if over < SPAN_MIN {
            return Bandwidth::default();
        }
        let per_sec = |bytes: u64| {
            let rate = u128::from(bytes) * 1_000_000_000 / over.as_nanos();
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        Bandwidth {
            sent_bytes_per_sec: per_sec(sent.saturating_sub(base.sent)),
            received_bytes_per_sec: per_sec(received.saturating_sub(base.received)),
            over,
        }
    }

    /// The connection is over. Only the first time counts.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    /// How long the connection has lasted.
    pub(crate) fn duration(&self, now: Instant) -> Duration {
        self.ended.unwrap_or(now) - self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn a_rate_is_of_late_and_not_of_all_time() {
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.note(at(500), 1_000, 0), Bandwidth::default(), "too early to say");
        let rate = |meter: &mut Meter, ms, sent| {
            let rate = meter.note(at(ms), sent, sent * 2);
            assert_eq!(rate.received_bytes_per_sec, rate.sent_bytes_per_sec * 2);
            (rate.sent_bytes_per_sec, rate.over.as_millis())
        };
        assert_eq!(rate(&mut meter, 1_000, 1_000), (1_000, 1_000));
        assert_eq!(rate(&mut meter, 1_500, 2_000), (1_333, 1_500), "since the last mark that is a second old");
        assert_eq!(rate(&mut meter, 2_000, 2_000), (1_000, 1_000));
        assert_eq!(rate(&mut meter, 9_000, 2_000), (0, 7_000), "silence shows at once");
    }

    #[test]
    fn time_stops_at_the_end() {
        let mut meter = Meter::new(at(100));
        assert_eq!(meter.duration(at(350)), Duration::from_millis(250));
        meter.end(at(400));
        meter.end(at(900));
        assert_eq!(meter.duration(at(5_000)), Duration::from_millis(300));
        assert_eq!(meter.note(at(5_000), 1_000_000, 0), Bandwidth::default());
    }
}
