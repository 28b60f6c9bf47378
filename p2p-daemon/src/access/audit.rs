//! A log line for each decision.

use std::collections::BTreeMap;

use p2p::PeerId;
use parking_lot::Mutex;
use tracing::{info, warn};

use super::{By, Denied};
use crate::forward::ServiceName;

/// Writes decisions about one connection's peer down: of each service the first, and each that is another than the last.
///
/// Streams come by the thousand, and the thousandth of a peer that may is no news. One that may not is written down each
/// time, up to a number.
#[derive(Debug, Default)]
pub struct Audit {
    last: Mutex<BTreeMap<ServiceName, (bool, u32)>>,
}

impl Audit {
    pub(crate) fn note(&self, peer: PeerId, name: Option<&str>, service: &ServiceName, decision: &Result<By, Denied>) {
        let allowed = decision.is_ok();
        {
            let mut last = self.last.lock();
            let known = last.get(service).copied();
            let repeated = known.filter(|(was, _)| *was == allowed).map_or(0, |(_, count)| count + 1);
            if repeated > if allowed { 0 } else { REFUSALS_MAX } {
                return;
            }
            if known.is_some() || last.len() < SERVICES_MAX {
                last.insert(service.clone(), (allowed, repeated));
            }
        }
        match decision {
            Ok(by) => info!(target: TARGET, ?peer, name, %service, %by, "Access allowed."),
            Err(reason) => warn!(target: TARGET, ?peer, name, %service, %reason, "Access denied."),
        }
    }
}

/// A peer was not let in at all.
pub(super) fn refused(peer: PeerId, name: Option<&str>, reason: &Denied) {
    warn!(target: TARGET, ?peer, name, %reason, "Connection refused.");
}

/// What the lines can be told by: `RUST_LOG=p2p_daemon::audit=info`.
const TARGET: &str = "p2p_daemon::audit";

/// Refusals of one connection and service that are written down in a row.
const REFUSALS_MAX: u32 = 16;

/// Services of one connection that are told apart. A peer can make names up without end.
const SERVICES_MAX: usize = 256;
