//! The task that sends: acknowledgements first, then frames, whose turn it is.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::{
    outbound::Turn,
    shared::Shared,
    wire::{self, FRAMES},
};
use crate::{P2PError, RecvStream, SendHalf, SendStream, StreamError, Timer, protocol::varint};

/// A stream of ours, and what it has not taken of the last frame.
#[derive(Debug)]
pub(super) struct Lane {
    half: Box<dyn SendHalf>,
    pending: Bytes,
    /// The direction that nothing travels in, kept so that the stream is not stopped.
    _back: RecvStream,
}

impl Lane {
    pub(super) fn new(send: SendStream, back: RecvStream, first: Bytes) -> Self {
        Self { half: send.into_half(), pending: first, _back: back }
    }

    /// The lane of a channel's frames.
    pub(super) fn of_channel(send: SendStream, back: RecvStream, channel: usize) -> Self {
        let mut first = BytesMut::new();
        varint::put(FRAMES, &mut first);
        varint::put(channel as u64, &mut first);
        Self::new(send, back, first.freeze())
    }

    /// Whether the last frame was taken whole.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, StreamError> {
        while !self.pending.is_empty() {
            match self.half.poll_write(cx, std::slice::from_mut(&mut self.pending)) {
                Poll::Ready(written) => _ = written?,
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }
}

pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) control: Lane,
    /// Per channel; none where datagrams carry it.
    pub(super) lanes: Vec<Vec<Lane>>,
    pub(super) sequences: Vec<u64>,
    pub(super) timer: Box<dyn Timer>,
}

impl Sender {
    pub(super) async fn run(mut self) {
        let error = poll_fn(|cx| self.poll_send(cx)).await;
        self.shared.end(error);
    }

    /// Ready only with what ends the connection for channels.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<P2PError> {
        match self.send_all(cx) {
            Ok(()) => Poll::Pending,
            // The connection's own reason is the better one, and the receiver's task hears it.
            Err(StreamError::Connection(error)) => Poll::Ready(error),
            Err(error) => Poll::Ready(P2PError::protocol(format_args!("the peer ended a channel's stream: {error}"))),
        }
    }

    fn send_all(&mut self, cx: &mut Context<'_>) -> Result<(), StreamError> {
        let Self { shared, control, lanes, sequences, timer } = self;
        loop {
            if control.poll_flush(cx)? {
                let mut acks = BytesMut::new();
                shared.look_as_sender(cx.waker(), |state| {
                    for (channel, inbound) in state.inbound.iter_mut().enumerate() {
                        inbound.ack(channel).into_iter().for_each(|ack| wire::put_ack(ack, &mut acks));
                    }
                });
                if !acks.is_empty() {
                    control.pending = acks.freeze();
                    continue;
                }
            }
            // While the transport refuses one frame the line is full, and it is not for the transport to say who is next.
            let mut is_free = true;
            for lane in lanes.iter_mut().flatten() {
                is_free &= lane.poll_flush(cx)?;
            }
            let suspended = shared.is_suspended();
            let (now, room) = (shared.runtime.now(), shared.datagram_room());
            let turn = shared.look_as_sender(cx.waker(), |state| {
                if suspended {
                    state.outbound.drop_unreliable();
                }
                state.outbound.next(now, state.finishing, room, is_free)
            });
            match turn {
                Turn::Frame(channel, messages) => {
                    if let Some(lane) = next_lane(&mut lanes[channel]) {
                        lane.pending = wire::frame(&messages);
                    } else {
                        let datagram = wire::datagram(channel, sequences[channel], &messages);
                        sequences[channel] += 1;
                        match shared.connection.send_datagram(datagram) {
                            Ok(()) => {}
                            Err(P2PError::DatagramTooLarge { .. } | P2PError::DatagramsUnsupported) => {
                                shared.change(|state| state.outbound.undelivered(channel, messages.len() as u64));
                            }
                            Err(error) => return Err(error.into()),
                        }
                    }
                    shared.left(channel);
                }
                Turn::Wait(until) => {
                    timer.reset(until);
                    if until.is_none() || timer.poll_fired(cx).is_pending() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// The free lane that was free longest, which is then the last: so a channel uses all of its own in turn.
fn next_lane(lanes: &mut [Lane]) -> Option<&mut Lane> {
    let free = lanes.iter().position(|lane| lane.pending.is_empty())?;
    lanes[free..].rotate_left(1);
    lanes.last_mut()
}
