//! Transports come and go.

use std::sync::Arc;

use super::{
    super::{config::Mutant, direction::SendPhase, progress::Progress},
    Finish, Link, State, Violation,
};
use crate::{CloseCode, CloseReason, P2PConnection};

impl State {
    /// Ends the present transport, if there is one, and takes what had arrived on it. [`progress`](Self::progress) is
    /// final from here on.
    pub(in crate::layer::reconnect) fn detach(&mut self, close: (CloseCode, &str)) {
        let Some(Link { connection, .. }) = self.link.take() else { return };
        connection.close(close.0, close.1);
        self.totals.replay_bytes_peak.raise(self.budget.peak() as u64);
        let drain = self.mutant != Some(Mutant::NoDraining);
        while let Ok(Some(message)) = connection.try_recv() {
            self.received += 1;
            if drain {
                self.inbox.push_back(message);
            }
        }
        for stream in self.streams.values_mut() {
            stream.recv.detach(drain);
            stream.send.detach();
            self.wakes.extend(stream.recv.take_waker());
            self.wakes.extend(stream.send.take_waker());
        }
        self.to_open.clear();
        self.stop_telling();
        self.frames.clear();
        self.over.clear();
        drop(self.acks.take());
        self.wakes.extend(self.waiting.take_all().into_values());
        self.wake_driver();
        self.retire_all();
    }

    /// Whether something was accepted and is not known to have arrived.
    pub(in crate::layer::reconnect) fn has_unacknowledged(&self) -> bool {
        self.budget.used() > 0
    }

    /// A new transport, over which the peer says how far it has come.
    pub(in crate::layer::reconnect) fn attach(
        &mut self,
        connection: Arc<dyn P2PConnection>,
        theirs: &Progress,
    ) -> Result<Link, Violation> {
        self.check(theirs)?;
        self.rewind(theirs)?;
        self.epoch += 1;
        self.since = None;
        self.moving = false;
        self.expected = None;
        let link = Link { connection, epoch: self.epoch };
        self.link = Some(link.clone());
        self.wakes.extend(self.waiting.take_all().into_values());
        self.wake_driver();
        Ok(link)
    }

    /// The session is over: forgets what waits for the peer, and wakes everybody.
    pub(in crate::layer::reconnect) fn end(&mut self, reason: CloseReason, close: (CloseCode, &str)) {
        let finished = self.finish == Finish::Done;
        self.closed = Some(reason);
        self.detach(close);
        for stream in self.streams.values_mut() {
            stream.send.delivered |= finished && stream.send.phase == SendPhase::Finished;
            let freed = stream.send.replay.clear();
            self.budget.give_back(freed);
            stream.place = None;
            self.wakes.extend(stream.recv.take_waker());
            self.wakes.extend(stream.send.take_waker());
        }
        let freed = self.messages.clear();
        self.budget.give_back(freed);
        for waiters in [&mut self.senders, &mut self.waiting, &mut self.acceptors] {
            self.wakes.extend(waiters.take_all().into_values());
        }
        self.wake_driver();
    }
}
