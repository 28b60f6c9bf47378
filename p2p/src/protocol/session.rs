//! What is said on the control stream after the handshake: that one lives, and that one has finished.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{
    Violation,
    control::{self, Control},
};
use crate::{Instant, RoundTrips};

/// One side of a connection's control stream. It is handed frames and the time, and is asked what to send and when to
/// wake it.
#[derive(Debug)]
pub struct Session {
    keepalive_interval: Option<Duration>,
    idle_timeout: Option<Duration>,
    last_heard: Instant,
    next_keepalive: Option<Instant>,
    /// The newest keepalive and when it was sent, until it is answered.
    unanswered: Option<(u64, Instant)>,
    keepalives: u64,
    rtt: Option<Duration>,
    round_trips: RoundTrips,
    ours: Finishing,
    theirs: Finishing,
    outgoing: BytesMut,
}

/// How far one direction is with finishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finishing {
    No,
    /// `Finish` was sent, with this many messages before it.
    Announced(u64),
    /// `Finished` was sent, for this many.
    Answered(u64),
}

/// What a frame or the passing of time led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer wants to finish: read on until [`Session::handle_received`] has answered it.
    PeerFinishing,
    /// The peer has all that this side sent.
    Finished,
    /// The peer closes.
    Disconnected {
        /// As in [`close`](super::close).
        code: u64,
        /// The reason given.
        reason: String,
    },
    /// Nothing was heard for the idle timeout.
    TimedOut,
}

impl Session {
    /// A session that begins `now`, when the handshake was just heard.
    pub fn new(now: Instant, keepalive_interval: Option<Duration>, idle_timeout: Option<Duration>) -> Self {
        Self {
            keepalive_interval,
            idle_timeout,
            last_heard: now,
            next_keepalive: keepalive_interval.map(|interval| now + interval),
            unanswered: None,
            keepalives: 0,
            rtt: None,
            round_trips: RoundTrips::default(),
            ours: Finishing::No,
            theirs: Finishing::No,
            outgoing: BytesMut::new(),
        }
    }

    /// A frame arrived.
    ///
    /// # Errors
    /// A [`Violation`] if the frame has no place here.
    pub fn handle_frame(&mut self, now: Instant, frame: Control) -> Result<Option<Event>, Violation> {
        self.last_heard = now;
        match frame {
            Control::Keepalive { sequence } => {
                if self.outgoing.len() > OUTGOING_BYTES_MAX {
                    return Err(Violation::new("keepalives without end, none of whose answers are read"));
                }
                control::put(&Control::KeepaliveAck { sequence }, &mut self.outgoing);
                Ok(None)
            }
            Control::KeepaliveAck { sequence } => {
                if let Some((expected, sent)) = self.unanswered
                    && expected == sequence
                {
                    self.unanswered = None;
                    let sample = now - sent;
                    self.round_trips.record(sample);
                    // RFC 6298 §2: a new sample counts for one eighth.
                    self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
                }
                Ok(None)
            }
            Control::Finish { messages } => {
                if self.theirs != Finishing::No {
                    return Err(Violation::new("a second Finish"));
                }
                self.theirs = Finishing::Announced(messages);
                Ok(Some(Event::PeerFinishing))
            }
            Control::Finished { messages } => {
                if self.ours != Finishing::Announced(messages) {
                    return Err(Violation::new(format_args!(
                        "Finished for {messages} messages, when this side is {:?}",
                        self.ours
                    )));
                }
                self.ours = Finishing::Answered(messages);
                Ok(Some(Event::Finished))
            }
            Control::Disconnect { code, reason } => Ok(Some(Event::Disconnected { code, reason })),
            Control::Handshake(_) | Control::Accept(_) | Control::Refuse(_) => {
                Err(Violation::new("a second handshake"))
            }
        }
    }

    /// Messages are here, that many since the connection began. Answers the peer's `Finish` when they are all.
    ///
    /// # Errors
    /// A [`Violation`] if there are more than the peer announced.
    pub fn handle_received(&mut self, messages: u64) -> Result<(), Violation> {
        match self.theirs {
            Finishing::Announced(announced) | Finishing::Answered(announced) if messages > announced => {
                Err(Violation::new(format_args!("{messages} messages, after {announced} were announced")))
            }
            Finishing::Announced(announced) if messages == announced => {
                control::put(&Control::Finished { messages }, &mut self.outgoing);
                self.theirs = Finishing::Answered(messages);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// This side sends no message after the first `messages`, and its streams have arrived.
    pub fn finish(&mut self, messages: u64) {
        if self.ours == Finishing::No {
            self.ours = Finishing::Announced(messages);
            control::put(&Control::Finish { messages }, &mut self.outgoing);
        }
    }

    /// Messages that the peer announced with its `Finish`, if that has no answer yet.
    pub const fn peer_awaits(&self) -> Option<u64> {
        match self.theirs {
            Finishing::Announced(messages) => Some(messages),
            _ => None,
        }
    }

    /// Whether the peer announced its finish and has its answer.
    pub const fn peer_finished(&self) -> bool {
        matches!(self.theirs, Finishing::Answered(_))
    }

    /// Whether the peer has all that this side sent.
    pub const fn is_finished(&self) -> bool {
        matches!(self.ours, Finishing::Answered(_))
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = self.idle_timeout.map(|timeout| self.last_heard + timeout);
        [idle, self.next_keepalive].into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        if self.idle_timeout.is_some_and(|timeout| now >= self.last_heard + timeout) {
            return Some(Event::TimedOut);
        }
        if let (Some(due), Some(interval)) = (self.next_keepalive, self.keepalive_interval)
            && now >= due
        {
            control::put(&Control::Keepalive { sequence: self.keepalives }, &mut self.outgoing);
            self.unanswered = Some((self.keepalives, now));
            self.keepalives += 1;
            self.next_keepalive = Some(now + interval);
        }
        None
    }

    /// Bytes to write to the control stream, once.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        // The buffer goes with it: an idle connection keeps none.
        (!self.outgoing.is_empty()).then(|| std::mem::take(&mut self.outgoing).freeze())
    }

    /// The round trip as keepalives measure it, smoothed.
    pub const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The round trips that the keepalives measured.
    pub const fn round_trips(&self) -> RoundTrips {
        self.round_trips
    }
}

/// Bytes of answers that may wait to be written: thousands of them, where an honest peer causes one.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn frames(session: &mut Session) -> Vec<Control> {
        let mut reader = control::ControlReader::default();
        while let Some(bytes) = session.poll_transmit() {
            reader.push(&bytes);
        }
        std::iter::from_fn(|| reader.poll_frame().unwrap()).collect()
    }

    fn session() -> Session {
        Session::new(Instant::ZERO, Some(SECOND), Some(SECOND * 3))
    }

    #[test]
    fn two_idle_sessions_keep_each_other_alive_and_measure_the_round_trip() {
        let (mut a, mut b) = (session(), session());
        let mut now = Instant::ZERO;
        for _ in 0..100 {
            now = a.poll_timeout().unwrap().min(b.poll_timeout().unwrap());
            assert_eq!((a.handle_timeout(now), b.handle_timeout(now)), (None, None));
            for _ in 0..2 {
                let (from_a, from_b) = (frames(&mut a), frames(&mut b));
                now += Duration::from_millis(20);
                from_a.into_iter().for_each(|frame| assert_eq!(b.handle_frame(now, frame), Ok(None)));
                from_b.into_iter().for_each(|frame| assert_eq!(a.handle_frame(now, frame), Ok(None)));
            }
        }
        assert!(now > Instant::ZERO + SECOND * 90);
        assert_eq!(a.rtt(), Some(Duration::from_millis(40)));
    }

    #[test]
    fn silence_ends_a_session_at_its_idle_timeout_and_not_before() {
        let mut session = session();
        let mut now = Instant::ZERO;
        while session.handle_timeout(now).is_none() {
            now = session.poll_timeout().unwrap();
        }
        assert_eq!(now, Instant::ZERO + SECOND * 3);
    }

    #[test]
    fn a_finish_is_answered_when_the_last_message_is_here_and_not_before() {
        let mut session = session();
        assert_eq!(
            session.handle_frame(Instant::ZERO, Control::Finish { messages: 2 }),
            Ok(Some(Event::PeerFinishing))
        );
        session.handle_received(1).unwrap();
        assert_eq!(frames(&mut session), []);
        session.handle_received(2).unwrap();
        assert_eq!(frames(&mut session), [Control::Finished { messages: 2 }]);
        assert!(session.peer_finished());
    }

    #[test]
    fn what_has_no_place_is_a_violation() {
        let check = |frames: &[Control]| {
            let mut session = session();
            session.finish(5);
            let mut last = Ok(None);
            for frame in frames {
                last = session.handle_frame(Instant::ZERO, frame.clone());
            }
            last.unwrap_err();
        };
        check(&[Control::Finished { messages: 4 }]);
        check(&[Control::Finished { messages: 5 }, Control::Finished { messages: 5 }]);
        check(&[Control::Finish { messages: 1 }, Control::Finish { messages: 1 }]);
        check(&[Control::Refuse(handshake_refusal())]);
        let mut session = session();
        session.handle_frame(Instant::ZERO, Control::Finish { messages: 1 }).unwrap();
        session.handle_received(2).unwrap_err();
    }

    fn handshake_refusal() -> crate::Refusal {
        crate::Refusal::new(crate::RefusalCode::Busy, "late")
    }

    #[test]
    fn answers_that_nobody_reads_are_bounded() {
        let mut session = session();
        let flood =
            (0..).find(|&sequence| session.handle_frame(Instant::ZERO, Control::Keepalive { sequence }).is_err());
        assert!(flood.is_some_and(|sequence| sequence < OUTGOING_BYTES_MAX as u64));
    }
}
