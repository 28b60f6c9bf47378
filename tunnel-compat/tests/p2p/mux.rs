//! The streams on one pair of byte streams: two honest ends under every order of events, and one honest end against a liar.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tunnel_compat::tunnel_p2p::mux::{
    Closed, DATA_BYTES_MAX, Ended, Event, Frame, FrameReader, LENT_BYTES_MAX, Mux, STREAM_BYTES, STREAM_BYTES_MAX,
    STREAMS_MAX, StreamKey,
};

fn written(frame: &Frame) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    frame.write(&mut bytes);
    bytes.to_vec()
}

/// Every kind of frame, and its bytes.
fn vectors() -> Vec<(Frame, &'static str)> {
    vec![
        (Frame::Data { stream: 2, bytes: "hello".into() }, "010000000200000005 68656c6c6f"),
        (Frame::Finish { stream: 1 }, "020000000100000000"),
        (Frame::Delivered { stream: 1 }, "030000000100000000"),
        (Frame::Credit { stream: 4, bytes: 32_768 }, "040000000400008000"),
        (Frame::Reset { stream: 3, code: 7 }, "050000000300000007"),
        (Frame::Stop { stream: 0x0102_0304, code: u32::MAX }, "0601020304ffffffff"),
        (Frame::Done { stream: 6 }, "070000000600000000"),
        (Frame::Close { code: 1 << 32, reason: "bye".into() }, "080000000000000003 0000000100000000 627965"),
    ]
}

#[test]
fn every_frame_is_on_the_wire_as_it_was() {
    for (frame, hex) in vectors() {
        let bytes: String = written(&frame).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, hex.replace(' ', ""), "{frame:?}");
    }
}

#[test]
fn frames_are_read_however_they_are_cut() {
    let all: Vec<u8> = vectors().iter().flat_map(|(frame, _)| written(frame)).collect();
    for len in 1..all.len() {
        let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
        for part in all.chunks(len) {
            reader.push(part);
            while let Some(frame) = reader.poll_frame().unwrap() {
                frames.push(frame);
            }
        }
        assert!(frames.iter().eq(vectors().iter().map(|(frame, _)| frame)), "cut into parts of {len} bytes");
    }
}

#[test]
fn what_no_frame_is_says_so() {
    let of = |kind: u8, stream: u32, value: u32| {
        [&[kind][..], &stream.to_be_bytes(), &value.to_be_bytes(), &[0; 16]].concat()
    };
    let large = DATA_BYTES_MAX as u32 + 1;
    let all = [
        (of(0, 0, 0), "unknown kind 0"),
        (of(9, 0, 0), "unknown kind 9"),
        (of(1, 0, 0), "data frame of 0 bytes"),
        (of(1, 0, large), "data frame of 16376 bytes; 1 to 16375 expected"),
        (of(2, 0, 1), "kind 2 with 1 where 0 belongs"),
        (of(4, 0, 0), "credit of 0 bytes"),
        (of(8, 1, 0), "close of stream 1"),
        (of(8, 0, 513), "reason of 513 bytes; 0 and at most 512 expected"),
    ];
    for (bytes, expected) in all {
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        let violation = reader.poll_frame().unwrap_err().to_string();
        assert!(violation.contains(expected), "{violation:?} lacks {expected:?}");
    }
}

/// What the answering end says of these frames.
fn told(frames: &[Frame]) -> String {
    let mut mux = Mux::new(false);
    let mine = mux.open().unwrap();
    mux.write(mine, &mut [Bytes::from_static(b"mine")]).unwrap();
    mux.transmit(&mut BytesMut::new(), usize::MAX);
    for frame in frames {
        if let Err(violation) = mux.handle(&written(frame)) {
            return violation.to_string();
        }
    }
    String::new()
}

#[test]
fn frames_that_do_not_belong_there_are_violations() {
    let data = |stream, len| Frame::Data { stream, bytes: vec![0; len].into() };
    let all: [(&[Frame], &str); 13] = [
        (&[data(2, 1)], "data for stream 2, which nobody has opened"),
        (&[data(3, 1)], "data for stream 3, which nobody has opened"),
        (&[Frame::Credit { stream: 0, bytes: 1 }], "credit for stream 0, which nobody has opened"),
        (&[Frame::Stop { stream: 5, code: 0 }], "a stop for stream 5, which nobody has opened"),
        (&[Frame::Finish { stream: 0 }, data(0, 1)], "data behind the end of a stream"),
        (&[Frame::Finish { stream: 0 }, Frame::Finish { stream: 0 }], "a stream's end behind its end"),
        (&[Frame::Finish { stream: 0 }, Frame::Reset { stream: 0, code: 1 }], "a stream's end behind its end"),
        (&[data(0, DATA_BYTES_MAX), data(0, DATA_BYTES_MAX), data(0, 19)], "data of 19 bytes with a credit of 18"),
        (&[Frame::Credit { stream: 1, bytes: u32::MAX }], "bytes of credit beside"),
        (&[Frame::Delivered { stream: 1 }], "stream 1, which was not finished"),
        (&[Frame::Done { stream: 1 }], "the end of stream 1, which goes on"),
        (&[data(0, 1), Frame::Done { stream: 0 }], "the end of stream 0, which is not this side's"),
        (&[Frame::Done { stream: 7 }], "the end for stream 7, which nobody has opened"),
    ];
    for (frames, expected) in all {
        let violation = told(frames);
        assert!(violation.contains(expected), "{violation:?} lacks {expected:?}");
    }
}

#[test]
fn one_stream_too_many_is_a_violation() {
    let open: Vec<_> = (0..=STREAMS_MAX as u32).map(|index| Frame::Finish { stream: index * 2 }).collect();
    assert_eq!(told(&open[..STREAMS_MAX]), "");
    assert!(told(&open).contains("a stream beyond the 258 that may be open at once"));
}

/// A peer that sends all it may on every stream, while nobody reads any, makes this end hold what the module's page says.
#[test]
fn a_peer_can_make_this_end_hold_only_so_much() {
    let mut mux = Mux::new(false);
    for index in 0..STREAMS_MAX as u32 {
        let mut left = STREAM_BYTES as usize;
        while left > 0 {
            let len = left.min(DATA_BYTES_MAX);
            mux.handle(&written(&Frame::Data { stream: index * 2, bytes: vec![1; len].into() })).unwrap();
            left -= len;
        }
    }
    assert_eq!(mux.unread_bytes(), STREAMS_MAX * STREAM_BYTES as usize);
    let mut out = BytesMut::new();
    mux.transmit(&mut out, usize::MAX);
    assert!(out.is_empty(), "nothing was read and credit was given");
}

/// A peer that has this end answer and reads no answer is not read for ever: what it is owed is bounded.
#[test]
fn a_peer_that_reads_no_answer_stops_being_read() {
    let mut mux = Mux::new(false);
    let (mut key, mut sent) = (None, 0);
    while !mux.is_congested() {
        // As if it had seen the credit that this end wants to give it.
        mux.handle(&written(&Frame::Data { stream: 0, bytes: vec![1; DATA_BYTES_MAX].into() })).unwrap();
        while let Some(event) = mux.poll_event() {
            if let Event::Opened(opened) = event {
                key = Some(opened);
            }
        }
        while let Some(Ok(Some(_))) = mux.read(key.unwrap(), usize::MAX) {}
        sent += 1;
        assert!(sent < 1_000_000, "it reads on, and owes more and more");
    }
    mux.transmit(&mut BytesMut::new(), 1);
    assert!(!mux.is_congested(), "it does not go on when something has left");
}

#[test]
fn the_window_of_a_stream_that_is_read_grows_to_its_bound() {
    let (mut ours, mut theirs) = (Mux::new(true), Mux::new(false));
    let key = ours.open().unwrap();
    let mut got = None;
    let mut most = 0;
    for _ in 0..20 {
        loop {
            let written = ours.write(key, &mut [Bytes::from(vec![7; 64 * 1024])]).unwrap();
            let mut bytes = BytesMut::new();
            ours.transmit(&mut bytes, usize::MAX);
            theirs.handle(&bytes).unwrap();
            if written == 0 && bytes.is_empty() {
                break;
            }
        }
        while let Some(event) = theirs.poll_event() {
            if let Event::Opened(key) = event {
                got = Some(key);
            }
        }
        most = most.max(theirs.unread_bytes());
        let got = got.unwrap();
        while let Some(Ok(Some(_))) = theirs.read(got, usize::MAX) {}
        let mut bytes = BytesMut::new();
        theirs.transmit(&mut bytes, usize::MAX);
        ours.handle(&bytes).unwrap();
    }
    assert!(most <= STREAM_BYTES_MAX as usize && most > STREAM_BYTES_MAX as usize / 2, "{most} bytes at most");
}

/// One direction of one stream, named by its first byte.
#[derive(Debug, Default, Clone)]
struct Direction {
    written: usize,
    finished: bool,
    reset: Option<u32>,
    stopped: Option<u32>,
}

fn content(name: u8, at: usize) -> u8 {
    if at == 0 { name } else { (usize::from(name) * 7 + at * 31 + (at >> 8)) as u8 }
}

/// A stream as one side holds it.
#[derive(Debug)]
struct Held {
    key: StreamKey,
    /// Of the direction that this side writes.
    name: u8,
    /// Of the one it reads, once a byte came.
    reads: Option<u8>,
    read: usize,
    ended: Option<Result<(), Ended>>,
    stopped: bool,
}

#[derive(Debug)]
struct Side {
    mux: Mux,
    held: Vec<Held>,
    /// Bytes on their way to this side.
    arriving: BytesMut,
}

#[derive(Debug)]
struct Two {
    sides: [Side; 2],
    directions: BTreeMap<u8, Direction>,
    names: u8,
}

impl Two {
    fn new() -> Self {
        let side = |dialler| Side { mux: Mux::new(dialler), held: Vec::new(), arriving: BytesMut::new() };
        Self { sides: [side(true), side(false)], directions: BTreeMap::new(), names: 0 }
    }

    fn hold(&mut self, side: usize, key: StreamKey) {
        let name = self.names;
        self.names += 1;
        self.directions.insert(name, Direction::default());
        self.sides[side].held.push(Held { key, name, reads: None, read: 0, ended: None, stopped: false });
    }

    fn step(&mut self, step: &Step) {
        let (side, which) = (usize::from(step.second), usize::from(step.which));
        if let Act::Open = step.act {
            if self.names < 200
                && let Some(key) = self.sides[side].mux.open()
            {
                self.hold(side, key);
            }
            return;
        }
        if let Act::Carry(bytes) = step.act {
            return self.carry(side, bytes);
        }
        let Side { mux, held, .. } = &mut self.sides[side];
        if held.is_empty() {
            return;
        }
        let index = which % held.len();
        let of = &mut held[index];
        let direction = self.directions.get_mut(&of.name).unwrap();
        match step.act {
            Act::Write(len) => {
                let bytes: Vec<u8> =
                    (direction.written..direction.written + len).map(|at| content(of.name, at)).collect();
                if let Ok(taken) = mux.write(of.key, &mut [bytes.into()]) {
                    direction.written += taken;
                }
            }
            Act::Finish => direction.finished |= mux.finish(of.key).is_ok(),
            Act::Reset(code) => {
                if !direction.finished && direction.reset.is_none() {
                    direction.reset = Some(code);
                }
                mux.reset(of.key, code);
            }
            Act::Stop(code) => {
                of.stopped = true;
                if let Some(reads) = of.reads {
                    self.directions.get_mut(&reads).unwrap().stopped.get_or_insert(code);
                }
                mux.stop(of.key, code);
            }
            Act::Read(len) => self.read(side, index, len),
            Act::Open | Act::Carry(_) => unreachable!("they were handled above"),
        }
    }

    fn read(&mut self, side: usize, index: usize, len: usize) {
        let Side { mux, held, .. } = &mut self.sides[side];
        let of = &mut held[index];
        match mux.read(of.key, len) {
            None => {}
            Some(Ok(Some(bytes))) => {
                assert!(of.ended.is_none(), "bytes behind the end");
                assert!((1..=len).contains(&bytes.len()));
                let name = *of.reads.get_or_insert(bytes[0]);
                for byte in &bytes[..] {
                    assert_eq!(*byte, content(name, of.read), "stream {name}, byte {}", of.read);
                    of.read += 1;
                }
                assert!(of.read <= self.directions[&name].written);
            }
            Some(Ok(None)) => {
                of.ended = Some(Ok(()));
                if let Some(name) = of.reads {
                    let direction = &self.directions[&name];
                    assert!(direction.finished && of.read == direction.written, "an early end: {direction:?}");
                }
            }
            Some(Err(Ended::Reset(code))) => {
                of.ended = Some(Err(Ended::Reset(code)));
                if let Some(direction) = of.reads.map(|name| &self.directions[&name]) {
                    assert_eq!(direction.reset, Some(code));
                }
            }
            Some(Err(Ended::Done)) => assert!(of.stopped),
            Some(Err(other)) => panic!("{other:?}"),
        }
    }

    /// Moves what a side has to send, and lets the other see that many bytes of what is on its way.
    fn carry(&mut self, from: usize, bytes: usize) {
        let mut out = BytesMut::new();
        self.sides[from].mux.transmit(&mut out, 20_000);
        let to = &mut self.sides[1 - from];
        to.arriving.extend_from_slice(&out);
        let part = to.arriving.split_to(bytes.min(to.arriving.len()));
        to.mux.handle(&part).expect("the other end is honest");
        let most = to.mux.streams() * STREAM_BYTES as usize + LENT_BYTES_MAX as usize;
        assert!(to.mux.unread_bytes() <= most);
        for side in [from, 1 - from] {
            while let Some(event) = self.sides[side].mux.poll_event() {
                if let Event::Opened(key) = event {
                    self.hold(side, key);
                }
            }
        }
    }

    /// Reads and carries everything there is.
    fn settle(&mut self) {
        let mut quiet_rounds = 0;
        for _ in 0..10_000 {
            for side in [0, 1] {
                self.carry(side, usize::MAX);
                for index in 0..self.sides[side].held.len() {
                    let mut read = usize::MAX;
                    while self.sides[side].held[index].read != read {
                        read = self.sides[side].held[index].read;
                        self.read(side, index, 1 << 20);
                    }
                }
            }
            let quiet = |side: &Side| !side.mux.has_output() && side.arriving.is_empty();
            quiet_rounds = if self.sides.iter().all(quiet) { quiet_rounds + 1 } else { 0 };
            // What arrived in the first of them was read in the second.
            if quiet_rounds == 2 {
                return;
            }
        }
        panic!("it never ends");
    }
}

#[derive(Debug, Clone)]
struct Step {
    second: bool,
    which: u8,
    act: Act,
}

#[derive(Debug, Clone)]
enum Act {
    Open,
    Write(usize),
    Finish,
    Reset(u32),
    Stop(u32),
    Read(usize),
    Carry(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = prop_oneof![
        2 => Just(Act::Open),
        6 => (1_usize..100_000).prop_map(Act::Write),
        1 => Just(Act::Finish),
        1 => (0_u32..9).prop_map(Act::Reset),
        1 => (10_u32..19).prop_map(Act::Stop),
        6 => (1_usize..50_000).prop_map(Act::Read),
        8 => (0_usize..60_000).prop_map(Act::Carry),
    ];
    let step = (any::<bool>(), any::<u8>(), act).prop_map(|(second, which, act)| Step { second, which, act });
    prop::collection::vec(step, 0..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever two honest ends do and however the bytes are cut, neither breaks the protocol, and what was written and finished is
    /// read, whole and in order, or was given up by one of them.
    #[test]
    fn two_honest_ends_agree_in_every_order(steps in steps()) {
        let mut two = Two::new();
        for step in &steps {
            two.step(step);
        }
        two.settle();
        for side in &two.sides {
            for of in &side.held {
                let Some(direction) = of.reads.map(|name| &two.directions[&name]) else { continue };
                if direction.finished && !of.stopped {
                    prop_assert_eq!(of.read, direction.written);
                    prop_assert_eq!(of.ended, Some(Ok(())));
                }
            }
            for of in &side.held {
                let direction = &two.directions[&of.name];
                if direction.finished {
                    let delivered = side.mux.delivered(of.key);
                    prop_assert!(matches!(delivered, Some(Ok(()) | Err(Ended::Stopped(_)))), "{:?}", delivered);
                }
            }
        }
        // Nothing stays of streams that nobody holds, and every place is free again.
        for side in [0, 1] {
            for of in std::mem::take(&mut two.sides[side].held) {
                two.sides[side].mux.release_send(of.key);
                two.sides[side].mux.release_recv(of.key);
            }
        }
        two.settle();
        for side in [0, 1] {
            for of in std::mem::take(&mut two.sides[side].held) {
                two.sides[side].mux.release_send(of.key);
                two.sides[side].mux.release_recv(of.key);
            }
        }
        two.settle();
        for side in &mut two.sides {
            prop_assert_eq!(side.mux.streams(), 0);
            prop_assert_eq!((0..=STREAMS_MAX).map_while(|_| side.mux.open()).count(), STREAMS_MAX);
        }
    }

    /// Whatever comes, there is an answer, within the bounds.
    #[test]
    fn nothing_that_comes_breaks_this_end(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut mux = Mux::new(true);
        let key = mux.open().unwrap();
        mux.write(key, &mut [Bytes::from_static(b"hello")]).unwrap();
        mux.transmit(&mut BytesMut::new(), usize::MAX);
        for part in bytes.chunks(97) {
            if mux.handle(part).is_err() {
                break;
            }
        }
        prop_assert!(mux.unread_bytes() <= bytes.len());
    }
}

#[test]
fn a_close_says_why_and_takes_the_place_of_everything_unsent() {
    let (mut ours, mut theirs) = (Mux::new(true), Mux::new(false));
    let key = ours.open().unwrap();
    ours.write(key, &mut [Bytes::from_static(b"unsent")]).unwrap();
    ours.close(9, &"ä".repeat(600));
    assert_eq!(ours.write(key, &mut [Bytes::from_static(b"late")]), Err(Ended::Closed));
    let mut bytes = BytesMut::new();
    ours.transmit(&mut bytes, usize::MAX);
    theirs.handle(&bytes).unwrap();
    assert_eq!(theirs.closed(), Some(&Closed::There { code: 9, reason: "ä".repeat(256).into() }));
    assert_eq!(theirs.streams(), 0);
}
