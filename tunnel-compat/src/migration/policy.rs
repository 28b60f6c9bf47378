//! What the operator has set.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use super::{Percentage, Phase};
use crate::route::ClientId;

/// All that is set about a migration, and nothing that was measured: what survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How far it is.
    pub phase: Phase,
    /// Which share of the clients takes part in phases 2 and 3. Defaults to all.
    pub percentage: Percentage,
    /// Which share of the requests that are safe to repeat is sent over both routes, and the answers compared. Defaults to none.
    pub shadow: Percentage,
    /// Clients that take part whatever the percentage. At most [`Policy::LIST_LEN_MAX`].
    pub allow: BTreeSet<ClientId>,
    /// Clients that stay on the tunnel for as long as it is there, whatever else is set. At most [`Policy::LIST_LEN_MAX`].
    pub deny: BTreeSet<ClientId>,
    /// When the phase began.
    pub since: SystemTime,
    /// In phase 4, when the tunnel is refused.
    pub drain_until: Option<SystemTime>,
    /// Why the phase went back by itself, if that is how it came about.
    pub rolled_back: Option<String>,
}

impl Policy {
    /// The most clients on a list.
    pub const LIST_LEN_MAX: usize = 10_000;

    /// Phase 1, from then on.
    pub fn new(now: SystemTime) -> Self {
        Self {
            phase: Phase::Tunnel,
            percentage: Percentage::ALL,
            shadow: Percentage::NONE,
            allow: BTreeSet::new(),
            deny: BTreeSet::new(),
            since: now,
            drain_until: None,
            rolled_back: None,
        }
    }

    /// Goes to a phase. To phase 4 with the time that the tunnel still gets; being there already changes nothing.
    pub fn set_phase(&mut self, phase: Phase, now: SystemTime, drain: Duration) {
        self.rolled_back = None;
        if self.phase == phase {
            return;
        }
        self.phase = phase;
        self.since = now;
        self.drain_until = (phase == Phase::P2pOnly).then(|| now + drain);
    }

    /// Goes back to phase 1, and keeps why.
    pub fn roll_back(&mut self, why: impl Into<String>, now: SystemTime) {
        self.set_phase(Phase::Tunnel, now, Duration::ZERO);
        self.rolled_back = Some(why.into());
    }

    /// Puts a client on the list of those that take part, and off the other.
    ///
    /// # Errors
    /// [`P2PError::LimitReached`].
    pub fn allow(&mut self, client: ClientId) -> Result<(), P2PError> {
        self.deny.remove(&client);
        add(&mut self.allow, client, "clients on the allow list")
    }

    /// Puts a client on the list of those that stay on the tunnel, and off the other.
    ///
    /// # Errors
    /// [`P2PError::LimitReached`].
    pub fn deny(&mut self, client: ClientId) -> Result<(), P2PError> {
        self.allow.remove(&client);
        add(&mut self.deny, client, "clients on the deny list")
    }

    /// Takes a client off both lists.
    pub fn forget(&mut self, client: &ClientId) {
        self.allow.remove(client);
        self.deny.remove(client);
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(&Kept::of(self)).expect("numbers and text are JSON")
    }

    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn from_json(json: &str) -> Result<Self, String> {
        let kept: Kept = serde_json::from_str(json).map_err(|error| error.to_string())?;
        kept.read()
    }
}

fn add(list: &mut BTreeSet<ClientId>, client: ClientId, what: &'static str) -> Result<(), P2PError> {
    if list.len() >= Policy::LIST_LEN_MAX && !list.contains(&client) {
        return Err(P2PError::LimitReached { what, limit: Policy::LIST_LEN_MAX });
    }
    list.insert(client);
    Ok(())
}

/// A policy as it is kept. An unknown field is an error: it may be a setting that this version would not honour.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    phase: Phase,
    percentage: Percentage,
    shadow: Percentage,
    allow: Vec<String>,
    deny: Vec<String>,
    /// Milliseconds since 1970, as the next one.
    since_ms: u64,
    drain_until_ms: Option<u64>,
    rolled_back: Option<String>,
}

const VERSION: u32 = 1;

impl Kept {
    fn of(policy: &Policy) -> Self {
        let names = |list: &BTreeSet<ClientId>| list.iter().map(ToString::to_string).collect();
        Self {
            version: VERSION,
            phase: policy.phase,
            percentage: policy.percentage,
            shadow: policy.shadow,
            allow: names(&policy.allow),
            deny: names(&policy.deny),
            since_ms: to_ms(policy.since),
            drain_until_ms: policy.drain_until.map(to_ms),
            rolled_back: policy.rolled_back.clone(),
        }
    }

    fn read(self) -> Result<Policy, String> {
        if self.version != VERSION {
            return Err(format!("it is of version {}, and this program reads version {VERSION}", self.version));
        }
        if (self.phase == Phase::P2pOnly) != self.drain_until_ms.is_some() {
            return Err("phase 4 and drain_until_ms go together".into());
        }
        Ok(Policy {
            phase: self.phase,
            percentage: self.percentage,
            shadow: self.shadow,
            allow: clients(self.allow)?,
            deny: clients(self.deny)?,
            since: from_ms(self.since_ms)?,
            drain_until: self.drain_until_ms.map(from_ms).transpose()?,
            rolled_back: self.rolled_back,
        })
    }
}

fn clients(names: Vec<String>) -> Result<BTreeSet<ClientId>, String> {
    if names.len() > Policy::LIST_LEN_MAX {
        return Err(format!("a list has more than {} clients", Policy::LIST_LEN_MAX));
    }
    names.into_iter().map(|name| name.parse().map_err(|error| format!("{name:?}: {error}"))).collect()
}

fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn from_ms(ms: u64) -> Result<SystemTime, String> {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).ok_or_else(|| format!("{ms} ms is no time of this system"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> impl Strategy<Value = Policy> {
        let names = || prop::collection::btree_set("[!-~]{1,64}", 0..5);
        let percentage = || (0_u8..=100).prop_map(|percent| Percentage::new(percent).unwrap());
        let parts = (0_usize..4, percentage(), percentage(), names(), names(), 0_u64..1 << 40, any::<Option<String>>());
        parts.prop_map(|(phase, percentage, shadow, allow, deny, since, why)| {
            let now = from_ms(since).unwrap();
            let mut policy = Policy { percentage, shadow, ..Policy::new(now) };
            policy.set_phase(Phase::ALL[phase], now, Duration::from_secs(60));
            allow.iter().for_each(|name| policy.allow(name.parse().unwrap()).unwrap());
            deny.iter().for_each(|name| policy.deny(name.parse().unwrap()).unwrap());
            policy.rolled_back = why;
            policy
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_back(policy in policy()) {
            prop_assert_eq!(Policy::from_json(&policy.to_json()).unwrap(), policy);
        }

        #[test]
        fn no_client_is_on_both_lists(policy in policy()) {
            prop_assert!(policy.allow.is_disjoint(&policy.deny));
        }

        #[test]
        fn what_is_cut_or_damaged_is_read_whole_or_not_at_all(policy in policy(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let json = policy.to_json().into_bytes();
            let at = at.index(json.len());
            if let Ok(cut) = std::str::from_utf8(&json[..at]) {
                prop_assert!(Policy::from_json(cut).is_err());
            }
            let mut damaged = json;
            damaged[at] = byte;
            if let Ok(text) = std::str::from_utf8(&damaged) && let Ok(read) = Policy::from_json(text) {
                prop_assert!(read.percentage <= Percentage::ALL);
            }
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let mut policy = Policy::new(UNIX_EPOCH);
        (0..Policy::LIST_LEN_MAX).for_each(|n| policy.deny(format!("c{n}").parse().unwrap()).unwrap());
        assert!(matches!(policy.deny("one-more".parse().unwrap()), Err(P2PError::LimitReached { .. })));
        policy.deny("c0".parse().unwrap()).unwrap();
    }

    #[test]
    fn a_drain_deadline_is_set_once() {
        let mut policy = Policy::new(UNIX_EPOCH);
        let hour = Duration::from_secs(3600);
        policy.set_phase(Phase::P2pOnly, UNIX_EPOCH + hour, hour);
        policy.set_phase(Phase::P2pOnly, UNIX_EPOCH + 2 * hour, hour);
        assert_eq!(policy.drain_until, Some(UNIX_EPOCH + 2 * hour));
        policy.roll_back("errors", UNIX_EPOCH + 3 * hour);
        assert_eq!((policy.phase, policy.drain_until), (Phase::Tunnel, None));
    }
}
