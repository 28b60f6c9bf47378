//! What two layers say, from a peer that means harm.

use bytes::BytesMut;

use super::wire::{self, Frame, Header, Hello, Welcome};
use crate::{Capability, fuzzing::cut};

pub(crate) fn decode(bytes: &[u8]) {
    capability(bytes);
    let (now, later) = cut(bytes);
    let whole = [now, later].concat();
    let frames = read(&[now, later]);
    assert_eq!(read(&[&whole]), frames);
    let mut again = BytesMut::new();
    frames.0.iter().for_each(|frame| wire::put_frame(frame, &mut again));
    assert_eq!(read(&[&again]), (frames.0, None));
    let mut rest = BytesMut::from(&whole[..]);
    if let Some(header) = Header::take(&mut rest) {
        let mut again = BytesMut::from(&header.encode()[..]);
        assert_eq!((Header::take(&mut again), again.len()), (Some(header), 0));
    }
}

fn capability(bytes: &[u8]) {
    let offered = Capability::new(wire::RESUME).with_data(bytes.to_vec());
    if let Ok(hello) = wire::decode::<Hello>(&offered) {
        assert_eq!(wire::decode::<Hello>(&wire::capability(&hello)), Ok(hello));
    }
    if let Ok(welcome) = wire::decode::<Welcome>(&offered) {
        assert_eq!(wire::decode::<Welcome>(&wire::capability(&welcome)), Ok(welcome));
    }
}

fn read(parts: &[&[u8]]) -> (Vec<Frame>, Option<String>) {
    let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
    for part in parts {
        buf.extend_from_slice(part);
        loop {
            match wire::take_frame(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(violation) => return (frames, Some(violation)),
            }
        }
    }
    (frames, None)
}
