//! What handles and tasks have in common: the state under one lock, and who waits for it to change.

use std::{sync::Arc, task::Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    ChannelStats,
    config::ChannelConfig,
    error::ChannelError,
    inbound::Inbound,
    outbound::Outbound,
    wire::{Ack, DATAGRAM_HEADER_BYTES, LENGTH_BYTES},
};
use crate::{CloseCode, P2PConnection, P2PError, Runtime, TaskHandle};

/// What a connection is closed with whose peer breaks the rules of channels, or has others.
pub const CHANNEL_VIOLATION: CloseCode = CloseCode(0x6368);

pub(super) struct Shared {
    pub(super) connection: Arc<dyn P2PConnection>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) channels: Vec<ChannelConfig>,
    state: Mutex<State>,
    /// Per channel, those that wait for room, and for a message.
    waiting: Vec<(Notify, Notify)>,
    drained: Notify,
}

pub(super) struct State {
    pub(super) outbound: Outbound,
    pub(super) inbound: Vec<Inbound>,
    pub(super) finishing: bool,
    ended: Option<P2PError>,
    sender: Option<Waker>,
}

/// Ends the tasks with the last handle.
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    pub(super) _tasks: [TaskHandle; 2],
}

impl Shared {
    pub(super) fn new(
        connection: Arc<dyn P2PConnection>,
        runtime: Arc<dyn Runtime>,
        channels: Vec<ChannelConfig>,
        outbound: Outbound,
    ) -> Self {
        let inbound = channels.iter().map(Inbound::new).collect();
        let waiting = channels.iter().map(|_| Default::default()).collect();
        let state = Mutex::new(State { outbound, inbound, finishing: false, ended: None, sender: None });
        Self { connection, runtime, channels, state, waiting, drained: Notify::new() }
    }

    /// Looks at the state, and makes the sender look at it again.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (output, sender) = {
            let mut state = self.state.lock();
            (change(&mut state), state.sender.take())
        };
        sender.into_iter().for_each(Waker::wake);
        output
    }

    /// The sender's own look, which leaves its waker to be woken by the next change.
    pub(super) fn look_as_sender<R>(&self, waker: &Waker, look: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        state.sender = Some(waker.clone());
        look(&mut state)
    }

    pub(super) fn is_suspended(&self) -> bool {
        !self.connection.state().read(|state| state.is_connected())
    }

    /// Bytes that a datagram has for messages and their lengths.
    pub(super) fn datagram_room(&self) -> usize {
        self.connection.limits().datagram_bytes_max.unwrap_or(0).saturating_sub(DATAGRAM_HEADER_BYTES)
    }

    /// Accepts a message, or gives it back if there is no room for it now.
    pub(super) fn try_push(&self, channel: usize, message: Bytes) -> Result<Result<(), Bytes>, ChannelError> {
        let config = &self.channels[channel];
        let size = message.len();
        if size > config.message_bytes_max {
            let limit = config.message_bytes_max;
            return Err(ChannelError::TooLarge { name: config.name.clone(), size, limit });
        }
        let suspended = self.is_suspended();
        let limit = self.datagram_room().saturating_sub(LENGTH_BYTES);
        self.change(|state| {
            if let Some(error) = &state.ended {
                return Err(error.clone().into());
            }
            if state.finishing {
                return Err(ChannelError::invalid("a send after finish", "nothing after it"));
            }
            if state.outbound.by_datagram(channel) && !suspended && size > limit {
                return Err(ChannelError::TooLargeForDatagram { name: config.name.clone(), size, limit });
            }
            let outcome = state.outbound.push(channel, message, self.runtime.now());
            if suspended {
                state.outbound.drop_unreliable();
            }
            Ok(outcome)
        })
    }

    /// Waits until `attempt` has an answer; asked again whenever somebody notifies.
    async fn until<R>(&self, notify: &Notify, mut attempt: impl FnMut() -> Option<R>) -> R {
        loop {
            let mut notified = std::pin::pin!(notify.notified());
            notified.as_mut().enable();
            if let Some(answer) = attempt() {
                return answer;
            }
            notified.await;
        }
    }

    pub(super) async fn push(&self, channel: usize, message: Bytes) -> Result<(), ChannelError> {
        let mut waiting = Some(message);
        self.until(&self.waiting[channel].0, || {
            match self.try_push(channel, waiting.take().expect("given back each time it was refused")) {
                Ok(Ok(())) => Some(Ok(())),
                Ok(Err(message)) => {
                    waiting = Some(message);
                    None
                }
                Err(error) => Some(Err(error)),
            }
        })
        .await
    }

    pub(super) fn try_pop(&self, channel: usize) -> Result<Option<Bytes>, ChannelError> {
        let mut state = self.state.lock();
        let message = state.inbound[channel].pop();
        if let Some(message) = message {
            let sender = if state.inbound[channel].wants_ack() { state.sender.take() } else { None };
            drop(state);
            sender.into_iter().for_each(Waker::wake);
            return Ok(Some(message));
        }
        match &state.ended {
            Some(error) => Err(error.clone().into()),
            None => Ok(None),
        }
    }

    pub(super) async fn pop(&self, channel: usize) -> Result<Bytes, ChannelError> {
        self.until(&self.waiting[channel].1, || self.try_pop(channel).transpose()).await
    }

    /// Says that messages arrived on a channel.
    pub(super) fn arrived(&self, channel: usize) {
        self.waiting[channel].1.notify_waiters();
    }

    /// Says that a frame left a channel's queue.
    pub(super) fn left(&self, channel: usize) {
        self.waiting[channel].0.notify_waiters();
        self.check_drained();
    }

    pub(super) fn acknowledge(&self, ack: Ack) -> Result<(), String> {
        self.change(|state| state.outbound.acknowledge(ack))?;
        self.check_drained();
        Ok(())
    }

    fn check_drained(&self) {
        if self.state.lock().outbound.is_drained() {
            self.drained.notify_waiters();
        }
    }

    pub(super) async fn drain(&self) -> Result<(), P2PError> {
        self.change(|state| state.finishing = true);
        self.until(&self.drained, || {
            let state = self.state.lock();
            match &state.ended {
                _ if state.outbound.is_drained() => Some(Ok(())),
                Some(error) => Some(Err(error.clone())),
                None => None,
            }
        })
        .await
    }

    /// Ends everything: what had arrived can still be read.
    pub(super) fn end(&self, error: P2PError) {
        if matches!(error, P2PError::Protocol { .. }) {
            self.connection.close(CHANNEL_VIOLATION, &error.to_string());
        }
        self.change(|state| _ = state.ended.get_or_insert(error));
        for (room, message) in &self.waiting {
            room.notify_waiters();
            message.notify_waiters();
        }
        self.drained.notify_waiters();
    }

    pub(super) fn carries_by_datagram(&self, channel: usize) -> bool {
        self.state.lock().outbound.by_datagram(channel)
    }

    pub(super) fn stats(&self, channel: usize) -> ChannelStats {
        let state = self.state.lock();
        let [messages_sent, frames_sent, dropped_congested, dropped_suspended] = state.outbound.counts(channel);
        let [messages_received, frames_received, dropped_late, dropped_unread] = state.inbound[channel].counts();
        ChannelStats {
            messages_sent,
            frames_sent,
            dropped_congested,
            dropped_suspended,
            messages_received,
            frames_received,
            dropped_late,
            dropped_unread,
        }
    }
}
