//! What happened lately, for a page or a person to read.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use p2p::{PeerId, Watch, WatchSender};
use parking_lot::Mutex;
use serde::Serialize;

use crate::access::Denied;

/// The last [`EVENTS_MAX`] events.
#[derive(Debug)]
pub struct Events {
    last: Mutex<VecDeque<Arc<Event>>>,
    count: WatchSender<u64>,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Its number, from 1.
    pub number: u64,
    /// When, in seconds since the Unix epoch.
    #[serde(serialize_with = "super::status::seconds")]
    pub at: SystemTime,
    /// What kind.
    pub kind: EventKind,
    /// Whom it concerns.
    pub peer: Option<PeerId>,
    /// What that peer is called.
    pub name: Option<String>,
    /// Which rule it concerns.
    pub rule: Option<String>,
    /// The rest, in words.
    pub text: String,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A connection with a peer came about.
    PeerConnected,
    /// A connection with a peer ended.
    PeerGone,
    /// Data takes another path, or none for now.
    PathChanged,
    /// A peer was not let in.
    PeerRefused,
    /// Rules were added, changed or removed.
    RulesChanged,
    /// A configuration could not be used, and nothing was changed.
    ReloadFailed,
    /// The daemon is ending.
    Draining,
}

impl Event {
    pub(crate) fn new(kind: EventKind, text: impl Into<String>) -> Self {
        let at = SystemTime::now();
        Self { number: 0, at, kind, peer: None, name: None, rule: None, text: text.into() }
    }

    pub(crate) fn of_peer(kind: EventKind, peer: PeerId, name: Option<String>, text: impl Into<String>) -> Self {
        Self { peer: Some(peer), name, ..Self::new(kind, text) }
    }

    pub(crate) fn refused(peer: PeerId, name: Option<String>, reason: &Denied) -> Self {
        Self::of_peer(EventKind::PeerRefused, peer, name, reason.to_string())
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { last: Mutex::default(), count: WatchSender::new(0) }
    }
}

impl Events {
    /// Adds one. The oldest makes way.
    pub(crate) fn note(&self, event: Event) {
        let mut last = self.last.lock();
        let number = self.count.read(|count| count + 1);
        if last.len() == EVENTS_MAX {
            last.pop_front();
        }
        last.push_back(Arc::new(Event { number, ..event }));
        drop(last);
        self.count.modify(|count| {
            *count = (*count).max(number);
            true
        });
    }

    /// Those with a higher number than `after`, oldest first. 0 is all that are kept.
    pub fn since(&self, after: u64) -> Vec<Arc<Event>> {
        self.last.lock().iter().filter(|event| event.number > after).cloned().collect()
    }

    /// How many there were, and when there is another.
    pub fn count(&self) -> Watch<u64> {
        self.count.subscribe()
    }
}

/// Events that are kept.
pub const EVENTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_each_has_a_number() {
        let events = Events::default();
        for number in 0..EVENTS_MAX + 5 {
            events.note(Event::new(EventKind::RulesChanged, number.to_string()));
        }
        let all = events.since(0);
        assert_eq!((all.len(), all[0].number, all[0].text.as_str()), (EVENTS_MAX, 6, "5"));
        assert_eq!(events.since(EVENTS_MAX as u64).len(), 5);
        assert_eq!(events.count().get(), EVENTS_MAX as u64 + 5);
    }
}
