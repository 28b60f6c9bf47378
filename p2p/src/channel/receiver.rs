//! The task that receives: the peer's streams, each read as its bytes come, and datagrams.

use std::sync::Arc;

use bytes::BytesMut;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    shared::Shared,
    wire::{self, CONTROL, FRAMES, FrameDecoder, Table},
};
use crate::{BiStream, P2PError, RecvStream, Result, SendStream, StreamError};

/// Bytes read from a stream at once: as the largest batch by default, and never what a peer's length says.
const READ_BYTES: usize = 64 * 1024;

/// A stream of the peer's, and what was read of it and not used.
#[derive(Debug)]
pub(super) struct Incoming {
    recv: RecvStream,
    /// The direction that nothing travels in.
    _back: SendStream,
    buffer: BytesMut,
}

impl Incoming {
    pub(super) fn new(stream: BiStream) -> Self {
        let BiStream { mut send, recv } = stream;
        // An error means that the peer does not read it, which it need not.
        _ = send.finish();
        Self { recv, _back: send, buffer: BytesMut::new() }
    }

    /// Reads more; false at the end.
    async fn read(&mut self) -> Result<bool> {
        match self.recv.read_chunk(READ_BYTES).await {
            Ok(Some(chunk)) => {
                self.buffer.extend_from_slice(&chunk);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(StreamError::Connection(error)) => Err(error),
            Err(error) => Err(P2PError::protocol(format_args!("the peer ended a channel's stream: {error}"))),
        }
    }

    async fn number(&mut self) -> Result<u64> {
        loop {
            if let Some(number) = wire::take_number(&mut self.buffer) {
                return Ok(number);
            }
            if !self.read().await? {
                return Err(P2PError::protocol("a channel's stream ended within its first number"));
            }
        }
    }
}

/// Waits for the peer's table, which is the first thing on its first stream.
pub(super) async fn table(incoming: &mut Incoming) -> Result<Table> {
    match incoming.number().await? {
        CONTROL => {}
        other => {
            return Err(P2PError::protocol(format_args!("a stream of kind {other}, where {CONTROL} was expected")));
        }
    }
    loop {
        if let Some(table) = wire::take_table(&mut incoming.buffer).map_err(P2PError::protocol)? {
            return Ok(table);
        }
        if !incoming.read().await? {
            return Err(P2PError::protocol("the peer's stream ended within its table"));
        }
    }
}

/// Whether the peer found the same channels.
pub(super) async fn verdict(incoming: &mut Incoming) -> Result<bool> {
    match incoming.number().await? {
        wire::SAME => Ok(true),
        wire::DIFFERENT => Ok(false),
        other => Err(P2PError::protocol(format_args!("a verdict of {other}, where 1 or 2 was expected"))),
    }
}

/// Receives until the connection ends or the peer breaks the rules.
pub(super) async fn run(shared: Arc<Shared>, control: Incoming) {
    let connection = shared.connection.clone();
    let streams_max = shared.channels.iter().map(|channel| channel.kind.lanes()).sum::<usize>();
    let mut seen = vec![0; shared.channels.len()];
    let mut opening = FuturesUnordered::new();
    let mut reading = FuturesUnordered::new();
    let mut acks = std::pin::pin!(read_acks(&shared, control));
    let mut datagrams = std::pin::pin!(read_datagrams(&shared));
    let error = loop {
        crate::select! {
            error = &mut acks => break error,
            Some(opened) = opening.next() => {
                let opened: Result<(Incoming, usize)> = opened;
                let (incoming, channel) = match opened {
                    Ok(opened) => opened,
                    Err(error) => break error,
                };
                let Some(config) = shared.channels.get(channel) else {
                    let channels = shared.channels.len();
                    break P2PError::protocol(format_args!("a stream for channel {channel}, of {channels}"));
                };
                seen[channel] += 1;
                if seen[channel] > config.kind.lanes() {
                    let lanes = config.kind.lanes();
                    break P2PError::protocol(format_args!("over {lanes} streams for channel {:?}", config.name));
                }
                reading.push(read_frames(&shared, channel, incoming));
            }
            Some(error) = reading.next() => break error,
            error = &mut datagrams => break error,
            stream = connection.accept_stream() => match stream {
                Ok(stream) if opening.len() < streams_max => opening.push(channel_of(Incoming::new(stream))),
                Ok(_) => break P2PError::protocol(format_args!("over {streams_max} streams of channels")),
                Err(error) => break error,
            },
        }
    };
    shared.end(error);
}

async fn channel_of(mut incoming: Incoming) -> Result<(Incoming, usize)> {
    match incoming.number().await? {
        FRAMES => {}
        other => return Err(P2PError::protocol(format_args!("a stream of kind {other}, where {FRAMES} was expected"))),
    }
    let channel = incoming.number().await?;
    Ok((incoming, usize::try_from(channel).unwrap_or(usize::MAX)))
}

async fn read_acks(shared: &Shared, mut control: Incoming) -> P2PError {
    loop {
        while let Some(ack) = wire::take_ack(&mut control.buffer) {
            if let Err(violation) = shared.acknowledge(ack) {
                return P2PError::protocol(violation);
            }
        }
        match control.read().await {
            Ok(true) => {}
            Ok(false) => return P2PError::protocol("the peer ended its control stream"),
            Err(error) => return error,
        }
    }
}

async fn read_frames(shared: &Shared, channel: usize, mut incoming: Incoming) -> P2PError {
    let config = &shared.channels[channel];
    let mut decoder = FrameDecoder::default();
    loop {
        let taken = shared.change(|state| {
            let mut any = false;
            while let Some((message, ends)) = decoder.take(&mut incoming.buffer, config)? {
                state.inbound[channel].push_stream(message, ends)?;
                any = true;
            }
            Ok::<_, String>(any)
        });
        match taken {
            Ok(true) => shared.arrived(channel),
            Ok(false) => {}
            Err(violation) => return P2PError::protocol(violation),
        }
        match incoming.read().await {
            Ok(true) => {}
            Ok(false) => {
                let place = if decoder.is_between_frames() { "between two batches" } else { "within a batch" };
                return P2PError::protocol(format_args!("the stream of channel {:?} ended {place}", config.name));
            }
            Err(error) => return error,
        }
    }
}

async fn read_datagrams(shared: &Shared) -> P2PError {
    loop {
        match shared.connection.recv_datagram().await {
            Ok(datagram) => match wire::read_datagram(&datagram, &shared.channels) {
                Ok((channel, sequence, messages)) => {
                    shared.change(|state| state.inbound[channel].push_datagram(sequence, messages));
                    shared.arrived(channel);
                }
                Err(violation) => return P2PError::protocol(violation),
            },
            Err(P2PError::DatagramsUnsupported) => return std::future::pending().await,
            Err(error) => return error,
        }
    }
}
