//! Messages, out and in.

use bytes::Bytes;

use super::{super::config::Mutant, Finish, State};
use crate::{CloseCode, CloseReason, P2PError, TrySendError};

impl State {
    /// Why no message is taken any more, if so.
    pub(in crate::layer::reconnect) fn refusal(&self) -> Option<P2PError> {
        if self.finish != Finish::No {
            return Some(CloseReason::Local { code: CloseCode::OK, reason: String::new() }.to_error());
        }
        self.closed_error()
    }

    /// Whether a message would be taken now. `buffer_bytes` bounds those that no transport has.
    pub(in crate::layer::reconnect) fn has_room(&self, buffer_bytes: usize) -> bool {
        self.messages.unsent_bytes() < buffer_bytes && self.budget.allowance(self.messages.bytes()) > 0
    }

    /// Takes a message; the caller has made sure that there is room.
    pub(in crate::layer::reconnect) fn accept(&mut self, message: Bytes) {
        let in_turn = self.messages.is_all_sent();
        let cost = self.messages.push(message.clone());
        self.budget.take(cost);
        let Some(link) = self.link.as_ref().filter(|_| in_turn) else { return };
        match link.connection.try_send(message) {
            Ok(()) => self.sent(),
            Err(_) => self.wake_driver(),
        }
    }

    /// The present transport took the next message.
    pub(in crate::layer::reconnect) fn sent(&mut self) {
        if let Some(bytes) = self.messages.mark_sent() {
            self.totals.messages_replayed.add(1);
            self.totals.bytes_replayed.add(bytes as u64);
        }
        if self.mutant == Some(Mutant::EarlyAcknowledgement) {
            let freed = self.messages.forget_sent();
            self.budget.give_back(freed);
        }
    }

    /// Gives the present transport what it takes without waiting. The next message, if it is one to wait with.
    pub(in crate::layer::reconnect) fn push_messages(&mut self) -> Option<Bytes> {
        loop {
            let message = self.messages.next_unsent()?.clone();
            let link = self.link.as_ref()?;
            match link.connection.try_send(message.clone()) {
                Ok(()) => self.sent(),
                Err(TrySendError::Full(_)) => return Some(message),
                Err(TrySendError::Failed(_)) => return None,
            }
        }
    }

    /// Senders that find room go on.
    pub(in crate::layer::reconnect) fn wake_senders(&mut self, buffer_bytes: usize) {
        if self.has_room(buffer_bytes) {
            self.wakes.extend(self.senders.take_all().into_values());
        }
    }

    /// The next message that is here.
    pub(in crate::layer::reconnect) fn try_recv(&mut self) -> Result<Option<Bytes>, P2PError> {
        if let Some(message) = self.inbox.pop_front() {
            return Ok(Some(message));
        }
        if let Some(link) = &self.link
            && let Ok(Some(message)) = link.connection.try_recv()
        {
            self.note_message(message.len());
            return Ok(Some(message));
        }
        self.closed_error().map_or(Ok(None), Err)
    }

    /// A message was taken from the present transport.
    pub(in crate::layer::reconnect) fn note_message(&mut self, bytes: usize) {
        self.received += 1;
        if self.acks.message(bytes, || self.runtime.now()) {
            self.wake_driver();
        }
    }
}
