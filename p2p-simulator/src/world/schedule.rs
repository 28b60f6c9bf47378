//! A plan at work: begins and ends its faults when they are due.

use p2p::P2PError;

use super::{
    World,
    life::Order,
    timer::{TimerKey, TimerOf},
};
use crate::plan::{Entry, Plan};

/// An entry of a plan, with the timer that begins and ends it.
pub(super) struct Scheduled {
    entry: Entry,
    timer: TimerKey,
    /// When its time begins to count.
    origin: u64,
    /// The fault, while it is in effect.
    fault: Option<u64>,
}

impl World {
    /// Lets the plan's faults happen, its times counted from now.
    pub(crate) fn schedule(&mut self, plan: &Plan) {
        for entry in plan.entries() {
            let number = u32::try_from(self.scheduled.len()).expect("plans are bounded");
            let timer = self.timers.create(TimerOf::Plan(number));
            let (origin, tie) = (self.now, self.ties.next());
            self.timers.set(timer, origin.saturating_add(entry.at.as_nanos() as u64), tie);
            self.scheduled.push(Scheduled { entry: entry.clone(), timer, origin, fault: None });
        }
    }

    /// Checks that all peers and relays of the plan are on the network.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), P2PError> {
        let names =
            |relays: bool| self.nodes.iter().filter(move |node| node.relay.is_some() == relays).map(|node| &*node.name);
        plan.check_names(names(false), names(true))
    }

    /// A planned fault begins, or ends.
    pub(super) fn follow_plan(&mut self, number: u32) {
        let Scheduled { entry, fault, origin, timer } = &mut self.scheduled[number as usize];
        if let Some(fault) = fault.take() {
            self.end_fault(fault);
            return;
        }
        let (what, place, id) = (entry.what.clone(), entry.place.clone(), entry.id.clone());
        let (timer, ends_at) = (*timer, entry.until.map(|until| origin.saturating_add(until.as_nanos() as u64)));
        match self.find_fault_spot(&what, &place) {
            Ok(spot) => {
                let fault = self.begin_fault(what, spot);
                self.recorder.name_fault_id(fault, &id);
                self.scheduled[number as usize].fault = Some(fault);
                if let Some(at) = ends_at {
                    self.timers.set(timer, at, self.ties.next());
                }
            }
            Err(error) => self.orders.push(Order::Fail(format!("fault {id:?}: {error}"))),
        }
    }
}
