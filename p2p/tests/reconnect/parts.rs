//! A progress in parts, from a peer that plays its part well, and from those that do not.

use super::*;

/// Bob's first two streams, of which alice saw the beginnings, and her next transport, on which she told of the first.
struct Told {
    scene: Scene,
    theirs: Arc<dyn P2PConnection>,
    second: Arc<dyn P2PConnection>,
    control: BiStream,
    _streams: [BiStream; 2],
}

/// Alice has two of four bytes of bob's stream 1, and that is all of her progress that fits into her handshake.
fn first_part() -> Part {
    Part { streams: vec![(1, 2, None)], seen: vec![(0, 1)], until: Some(1) }
}

/// And one of four of stream 3.
fn last_part() -> Part {
    Part { streams: vec![(3, 1, None)], seen: vec![(1, 1)], until: None }
}

impl Told {
    async fn new() -> Self {
        let scene = Scene::new().await;
        let (ours, theirs) = scene.session().await;
        let _first = control(&ours).await;
        let open = async || {
            let mut stream = theirs.open_stream().await.unwrap();
            stream.send.write_all(b"four").await.unwrap();
            stream
        };
        let streams = [open().await, open().await];
        let progress = Progress { messages: 0, part: first_part() };
        let second = scene.dial(&scene.alice, &resume(1, progress)).await.unwrap();
        let control = control(&second).await;
        Self { scene, theirs, second, control, _streams: streams }
    }

    /// What bob's next stream on this transport begins with.
    async fn opened(&self) -> Vec<u8> {
        let mut stream = self.second.accept_stream().await.unwrap();
        let mut begins = Vec::new();
        while begins.len() < 3 {
            begins.extend_from_slice(&stream.recv.read_chunk(100).await.unwrap().unwrap());
        }
        begins
    }
}

// The header is the stream's number plus one and the place plus one. Were bob not to wait, he would begin stream 3 at a
// byte of his own choice.
#[tokio::test(start_paused = true)]
async fn a_stream_waits_until_it_was_told_of() {
    let mut told = Told::new().await;
    assert_eq!(told.opened().await, [&[2, 3], &b"ur"[..]].concat());
    tokio::time::timeout(Duration::from_secs(5), told.second.accept_stream()).await.expect_err("stream 3 waits");
    assert_works(&told.second, &told.theirs).await;
    say(&mut told.control, &Frame::Progress(last_part())).await;
    assert_eq!(told.opened().await, [&[4, 2], &b"our"[..]].concat());
    assert_eq!(told.scene.bob.totals().progress_parts, 1);
}

#[tokio::test(start_paused = true)]
async fn parts_that_make_no_sense_end_the_connection() {
    let ack = || Frame::Ack { messages: 0, streams: vec![], done: vec![] };
    let with = |streams: &[u64], until| {
        let streams = streams.iter().map(|&id| (id, 0, None)).collect();
        Frame::Progress(Part { streams, seen: vec![], until })
    };
    let ahead = Part { streams: vec![(3, 5, None)], ..last_part() };
    let cases: [(&[Frame], &str); 7] = [
        (&[ack()], "before the last part"),
        (&[Frame::Progress(last_part()), with(&[5], None)], "after the last one"),
        (&[with(&[3], Some(1))], "tells nothing"),
        (&[with(&[], Some(9))], "tells nothing"),
        (&[with(&[1], None)], "streams that are not from 1"),
        (&[with(&[5, 3], None)], "streams that are not from 1"),
        (&[Frame::Progress(ahead)], "5 bytes of a stream received"),
    ];
    for (frames, what) in cases {
        let mut told = Told::new().await;
        for frame in frames {
            say(&mut told.control, frame).await;
        }
        assert_violation(&told.theirs, what).await;
    }
}

// Each part tells of streams that there never were, and there is no last one. What bob keeps of them is bounded by the
// streams that there can be: he gives up after as many entries as several for each.
#[tokio::test(start_paused = true)]
async fn parts_without_end_are_bounded() {
    let mut told = Told::new().await;
    let mut sent = 0;
    for part in 0..1000 {
        let numbers = 1 + part * 100..1 + (part + 1) * 100;
        let until = Some(numbers.end);
        let streams: Vec<_> = numbers.map(|number| (2 * number + 1, 0, None)).collect();
        sent += streams.len();
        let frame = codec::encode(&Frame::Progress(Part { streams, seen: vec![], until }));
        let mut wire = Vec::new();
        varint::put(frame.len() as u64, &mut wire);
        wire.extend_from_slice(&frame);
        if told.control.send.write_all(&wire).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(sent < 20_000, "{sent} entries were taken");
    let reason = told.theirs.closed().await;
    let CloseReason::Protocol { violation } = &reason else { panic!("{reason:?}") };
    assert!(violation.contains("more than there are") || violation.contains("none of whose answers"), "{violation}");
}
