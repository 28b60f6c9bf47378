//! Faults: what goes wrong, where, and for how long.
//!
//! [`Fault`] says what, [`Place`] where. From code a fault lasts as long as its [`FaultGuard`]; in a
//! [`Plan`](crate::Plan) it has a beginning and an end.

mod change;
mod guard;
mod place;

use std::{fmt, time::Duration};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

pub use self::{
    change::LinkChange,
    guard::{FaultGuard, Hold, PacketInFlight},
    place::{Peers, Place},
};
use crate::{Probability, text};

/// What goes wrong. In a plan it is written as its name, with its figure if it has one.
///
/// Some faults concern links, some peers and some relays; [`check_place`](Self::check_place) says which is which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// Nothing passes, and nobody is told. Symmetric, one-way or the isolation of a peer, as its place says.
    Partition,
    /// Packets wait at the end of the link, and none is lost. When it ends they arrive at once, in their order.
    Clog,
    /// So many dials fail.
    DialFailure(Probability),
    /// Dials get no answer, and end at their own deadline.
    DialHang,
    /// The link is otherwise than it was: these of its settings.
    Link(LinkChange),
    /// A peer that is late for everything: what arrives there, and its timers, by so much.
    Slow(#[serde(with = "text::duration")] Duration),
    /// A peer's clock on the wall is ahead.
    ClockAhead(#[serde(with = "text::duration")] Duration),
    /// A peer's clock on the wall is behind.
    ClockBehind(#[serde(with = "text::duration")] Duration),
    /// A peer's clocks run fast, or slow if negative, by so many millionths: the one on the wall and the one for timers.
    ClockDriftPpm(i32),
    /// A peer crashes. At the end of the fault it is restarted.
    Crash,
    /// Connections break when it begins: both of their ends notice at once. Later dials are not concerned.
    ConnectionKill,
    /// Before a dial can begin, it takes so long to find out where its peer is.
    SlowLookup(#[serde(with = "text::duration")] Duration),
    /// What is found out is where the peer was once. Nobody is there, so dials get no answer.
    StaleRecord,
    /// What is found out is where another peer is, of that name. It cannot prove to be who was dialled.
    WrongRecord(String),
    /// A peer can open nothing more. Its dials fail at once; connections that come to it wait to be taken.
    NoFileDescriptors,
    /// A relay is gone. What is on the way to it waits, and connections that know a direct path do without it.
    RelayDown,
    /// The NATs in front of a peer forget a mapping after so much silence, whatever they do otherwise; with nothing at once.
    NatExpiry(#[serde(with = "text::duration")] Duration),
}

/// The most by which a clock may drift: half its speed.
pub const CLOCK_DRIFT_PPM_MAX: i32 = 500_000;
/// The most by which a clock may be off, or a peer or a lookup slow: a year.
const OFF_BY_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Fault {
    /// The names of all faults, as they are written in plans.
    pub const NAMES: [&'static str; 17] = [
        "partition",
        "clog",
        "dial-failure",
        "dial-hang",
        "link",
        "slow",
        "clock-ahead",
        "clock-behind",
        "clock-drift-ppm",
        "crash",
        "connection-kill",
        "slow-lookup",
        "stale-record",
        "wrong-record",
        "no-file-descriptors",
        "relay-down",
        "nat-expiry",
    ];

    /// The fault's name.
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.kind_number() as usize]
    }

    /// What stands for its kind in traces.
    pub(crate) const fn kind_number(&self) -> u32 {
        match self {
            Self::Partition => 0,
            Self::Clog => 1,
            Self::DialFailure(_) => 2,
            Self::DialHang => 3,
            Self::Link(_) => 4,
            Self::Slow(_) => 5,
            Self::ClockAhead(_) => 6,
            Self::ClockBehind(_) => 7,
            Self::ClockDriftPpm(_) => 8,
            Self::Crash => 9,
            Self::ConnectionKill => 10,
            Self::SlowLookup(_) => 11,
            Self::StaleRecord => 12,
            Self::WrongRecord(_) => 13,
            Self::NoFileDescriptors => 14,
            Self::RelayDown => 15,
            Self::NatExpiry(_) => 16,
        }
    }

    /// Whether it concerns peers and not links.
    pub const fn concerns_peers(&self) -> bool {
        matches!(
            self,
            Self::Slow(_)
                | Self::ClockAhead(_)
                | Self::ClockBehind(_)
                | Self::ClockDriftPpm(_)
                | Self::Crash
                | Self::NoFileDescriptors
                | Self::NatExpiry(_)
        )
    }

    /// Whether it concerns relays and neither links nor peers.
    pub const fn concerns_relays(&self) -> bool {
        matches!(self, Self::RelayDown)
    }

    /// The peer that it names besides those of its place.
    pub fn peer(&self) -> Option<&str> {
        match self {
            Self::WrongRecord(peer) => Some(peer),
            _ => None,
        }
    }

    /// Checks that the fault's figures are possible, and that it can happen at such a place.
    ///
    /// # Errors
    /// [`InvalidInput`](P2PError::InvalidInput), with what was expected.
    pub fn check_place(&self, place: &Place) -> Result<(), P2PError> {
        let name = self.name();
        match self {
            Self::ClockDriftPpm(ppm) if ppm.unsigned_abs() > CLOCK_DRIFT_PPM_MAX.unsigned_abs() => {
                let expected = format_args!("from -{CLOCK_DRIFT_PPM_MAX} to {CLOCK_DRIFT_PPM_MAX}");
                return Err(P2PError::invalid_input(format_args!("{name} = {ppm}"), expected));
            }
            Self::Slow(by) | Self::ClockAhead(by) | Self::ClockBehind(by) | Self::SlowLookup(by)
                if *by > OFF_BY_MAX =>
            {
                return Err(P2PError::invalid_input(format_args!("{name} = {by:?}"), "at most a year"));
            }
            Self::WrongRecord(peer) if place.names().any(|name| name == peer) => {
                let expected = "a peer that is not at this place";
                return Err(P2PError::invalid_input(format_args!("{name} = {peer:?} at \"{place}\""), expected));
            }
            Self::Link(change) => change.check()?,
            _ => {}
        }
        if self.concerns_relays() && !matches!(place, Place::Around(_)) {
            let expected = "relays, such as \"relay-1\" or \"*\"";
            return Err(P2PError::invalid_input(format_args!("{name} at \"{place}\""), expected));
        }
        if self.concerns_peers() && !matches!(place, Place::Around(_)) {
            let expected = "peers, such as \"alice\" or \"alice, bob\" or \"*\"";
            return Err(P2PError::invalid_input(format_args!("{name} at \"{place}\""), expected));
        }
        Ok(())
    }
}

/// As it is written in plans.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match toml::Value::try_from(self) {
            Ok(toml::Value::String(name)) => f.write_str(&name),
            Ok(toml::Value::Table(figure)) => {
                figure.iter().try_for_each(|(name, figure)| write!(f, "{name} = {figure}"))
            }
            _ => f.write_str(self.name()),
        }
    }
}
