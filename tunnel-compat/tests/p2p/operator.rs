//! Whoever carries the bytes between two peers, sees them all, and may change them: S6 of the legacy tunnel, which here is for nothing.

use std::sync::Arc;

use p2p::{ListenConfig, P2PConnection, P2PError, P2PProvider, P2PProviderExt, RuntimeExt, TokioRuntime};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tunnel_compat::connector::BoxIo;

use crate::memory::{Meadow, identity};

/// Carries the bytes of one connection, keeps them, and changes one if it is told to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operator {
    /// Of each direction, the dialler's first.
    seen: [Arc<Mutex<Seen>>; 2],
    /// Which byte of which direction loses a bit.
    alters: Option<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    /// The changed byte's place in the head of its record of TLS, if it is there.
    altered_in_head: Option<usize>,
    altered: bool,
    /// Bytes that had passed when the last answer was there.
    until_all_was_said: usize,
}

impl Operator {
    /// Puts itself between a dialler and that byte stream.
    pub(crate) fn between(&self, theirs: BoxIo) -> BoxIo {
        let (ours, dialler) = tokio::io::duplex(64 * 1024);
        let (from_dialler, to_dialler) = tokio::io::split(Box::new(dialler) as BoxIo);
        let (from_callee, to_callee) = tokio::io::split(theirs);
        tokio::spawn(self.clone().carry(0, from_dialler, to_callee));
        tokio::spawn(self.clone().carry(1, from_callee, to_dialler));
        Box::new(ours)
    }

    async fn carry(self, direction: usize, mut from: ReadHalf<BoxIo>, mut to: WriteHalf<BoxIo>) {
        // How far the next byte is from the next record's head, and that head.
        let (mut rest, mut head) = (0, Vec::new());
        let mut buffer = vec![0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer).await {
            {
                let mut seen = self.seen[direction].lock();
                for byte in &mut buffer[..len] {
                    let in_head = (rest == 0).then_some(head.len());
                    match in_head {
                        None => rest -= 1,
                        Some(_) => head.push(*byte),
                    }
                    if head.len() == 5 {
                        rest = usize::from(head[3]) * 256 + usize::from(head[4]);
                        head.clear();
                    }
                    seen.bytes.push(*byte);
                    if self.alters == Some((direction, seen.bytes.len() - 1)) {
                        *byte ^= 1;
                        (seen.altered_in_head, seen.altered) = (in_head, true);
                    }
                }
            }
            if to.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}

const MESSAGES: usize = 12;

fn message(number: usize) -> String {
    format!("attack at dawn, the {number}th time")
}

/// Two peers talk past the operator: how many answers came, all as they were sent, and how it ended.
async fn talk(operator: Operator) -> (usize, Result<(), P2PError>) {
    let meadow = Meadow::with_operator(operator.clone());
    let (ours, theirs) = (meadow.provider("alice"), meadow.provider("bob"));
    let chat = "chat/1".parse().unwrap();
    let listener = theirs.listen_with(ListenConfig::from(p2p::ConnectionConfig::new("chat/1".parse().unwrap()))).await;
    let listener = listener.unwrap();
    let echoing = async move {
        while let Ok(connection) = listener.accept().await {
            let mut number = 0;
            while let Ok(heard) = connection.recv().await {
                assert_eq!(heard, message(number), "the listener heard what nobody said");
                number += 1;
                let _ = connection.send(heard).await;
            }
        }
    };
    let _echoing = tokio::spawn(echoing);
    let connection = match ours.connect(identity("bob").peer_id(), &chat).await {
        Ok(connection) => connection,
        Err(error) => return (0, Err(error)),
    };
    for number in 0..MESSAGES {
        let answer = async {
            connection.send(message(number).into()).await?;
            connection.recv().await
        };
        match answer.await {
            Ok(answer) => assert_eq!(answer, message(number), "the dialler heard what nobody said"),
            Err(error) => return (number, Err(error)),
        }
    }
    operator.seen.iter().for_each(|seen| {
        let mut seen = seen.lock();
        seen.until_all_was_said = seen.bytes.len();
    });
    (MESSAGES, connection.finish().await)
}

#[tokio::test(start_paused = true)]
async fn s6_the_operator_reads_nothing() {
    let operator = Operator::default();
    let (answers, ended) = talk(operator.clone()).await;
    assert_eq!((answers, ended.is_ok()), (MESSAGES, true));
    let (alice, bob) = (identity("alice").peer_id(), identity("bob").peer_id());
    for seen in &operator.seen {
        let seen = &seen.lock().bytes;
        assert!(seen.len() > 1_000, "it saw {} bytes: they took another way", seen.len());
        let holds = |what: &[u8]| seen.windows(what.len()).any(|window| window == what);
        assert!(!holds(b"attack") && !holds(b"dawn"), "the words are there to be read");
        assert!(!holds(b"chat/1"), "what they speak is there to be read");
        assert!(!holds(alice.as_bytes()) && !holds(bob.as_bytes()), "who they are is there to be read");
    }
}

#[tokio::test(start_paused = true)]
async fn s6_an_altered_byte_ends_the_connection_and_nothing_wrong_is_delivered() {
    let unharmed = Operator::default();
    talk(unharmed.clone()).await.1.unwrap();
    let mut told = std::collections::BTreeMap::<&str, usize>::new();
    for direction in [0, 1] {
        let len = unharmed.seen[direction].lock().until_all_was_said;
        for at in (0..len).step_by(7) {
            let operator = Operator { alters: Some((direction, at)), ..Operator::default() };
            let talking = TokioRuntime.timeout(std::time::Duration::from_secs(600), talk(operator.clone())).await;
            let (answers, ended) = talking.expect("a connection that is neither well nor over");
            let seen = operator.seen[direction].lock();
            assert!(seen.altered, "byte {at} never passed");
            let Err(error) = ended else {
                // The first three bytes of a record's head are the same in all. What they have to be is authenticated, not what came.
                let place = seen.altered_in_head;
                assert!(matches!(place, Some(0..=2)), "byte {at} of {direction} was changed for nothing ({place:?})");
                assert_eq!(answers, MESSAGES);
                continue;
            };
            let kind = match &error {
                P2PError::AuthenticationFailed { .. } => "authentication",
                P2PError::ConnectionFailed { .. } => "handshake",
                // A length that became larger: one side waits for what never comes.
                P2PError::Timeout { during: "connecting", .. } => "deadline",
                P2PError::Closed { .. } if error.chain().contains("the bytes that came are not the peer's") => {
                    "ciphertext"
                }
                P2PError::Closed { .. } => "told by the peer",
                other => panic!("byte {at} of {direction}: {}", other.chain()),
            };
            *told.entry(kind).or_default() += 1;
        }
    }
    assert!(told["ciphertext"] > 20 && told["handshake"] > 20, "{told:?}");
}

/// A stranger who takes the dialled peer's place on the way learns who dials, and is not taken for it.
#[tokio::test(start_paused = true)]
async fn s6_a_stranger_in_the_peers_place_is_refused() {
    let meadow = Meadow::default();
    let (ours, theirs) = (meadow.provider("alice"), meadow.provider("bob"));
    let listener = theirs.listen(&"chat/1".parse().unwrap()).await.unwrap();
    let impostor = meadow.impostor("mallory", identity("bob").peer_id());
    let _listening = impostor.listen(&"chat/1".parse().unwrap()).await.unwrap();
    let refused = ours.connect(listener.local_addr(), &"chat/1".parse().unwrap()).await.unwrap_err();
    assert!(matches!(refused, P2PError::AuthenticationFailed { .. }), "{}", refused.chain());
}
