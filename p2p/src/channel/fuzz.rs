//! Tables, acknowledgements, frames and datagrams from a peer that means harm.

use bytes::{Bytes, BytesMut};

use super::{
    config::{BATCH_MESSAGES_MAX, ChannelConfig, ChannelKind},
    wire::{self, FrameDecoder},
};
use crate::fuzzing::cut;

pub(crate) fn decode(bytes: &[u8]) {
    let channels =
        [ChannelConfig::new("news", ChannelKind::Unreliable), ChannelConfig::new("log", ChannelKind::ReliableOrdered)];
    let mut buffer = BytesMut::from(bytes);
    if let Ok(Some(table)) = wire::take_table(&mut buffer) {
        let _ = table.difference(&channels);
        while wire::take_ack(&mut buffer).is_some() {}
    }
    if let Ok((channel, sequence, messages)) = wire::read_datagram(&Bytes::copy_from_slice(bytes), &channels) {
        assert!(messages.len() <= BATCH_MESSAGES_MAX);
        let again = wire::datagram(channel, sequence, &messages);
        assert_eq!(wire::read_datagram(&again, &channels), Ok((channel, sequence, messages)));
    }
    let read = |parts: &[&[u8]]| {
        let (mut decoder, mut buffer, mut messages) = (FrameDecoder::default(), BytesMut::new(), Vec::new());
        for part in parts {
            buffer.extend_from_slice(part);
            loop {
                match decoder.take(&mut buffer, &channels[1]) {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(violation) => return (messages, Some(violation)),
                }
            }
        }
        (messages, None)
    };
    let (now, later) = cut(bytes);
    assert_eq!(read(&[now, later]), read(&[&[now, later].concat()]));
}
