//! Requests in the first packet, over real sockets.
#![allow(clippy::print_stdout, reason = "it says what it skips")]

mod common;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use common::{DEADLINE, bind, connect, exchange, in_time, listen, loopback};
use p2p::{P2PError, P2PProvider, PeerAddr, PeerId, RefusalCode};
use p2p_iroh::{EARLY_REQUEST_BYTES_MAX, EarlyAnswer, Identity, IrohConfig, IrohP2P};
use tokio::{net::UdpSocket, time::timeout};

fn early() -> IrohConfig {
    loopback().with_zero_rtt(true)
}

async fn addr(provider: &IrohP2P) -> PeerAddr {
    listen(provider).await.local_addr()
}

async fn ask(ours: &IrohP2P, peer: &PeerAddr, body: &'static str) -> p2p::Result<EarlyAnswer> {
    ours.request_early(peer.clone(), body.into(), DEADLINE).await
}

/// Answers with the request, and notes who was proved to ask.
fn answer(theirs: &IrohP2P) -> Arc<Mutex<Vec<Option<PeerId>>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let handler = move |request: p2p_iroh::EarlyRequest| {
        noted.lock().unwrap().push(request.peer);
        async move { request.body }
    };
    theirs.answer_early(handler).unwrap();
    asked
}

// The first exchange leaves what the next one needs to go in the first packet, which nobody has proved anything in.
#[tokio::test]
async fn a_request_after_the_first_travels_in_the_first_packet() {
    let (ours, theirs) = (bind(early()).await, bind(early()).await);
    let asked = answer(&theirs);
    let peer = addr(&theirs).await;
    let answers = [ask(&ours, &peer, "one").await.unwrap(), ask(&ours, &peer, "two").await.unwrap()];
    assert_eq!(
        answers.each_ref().map(|answer| (&*answer.body, answer.was_early)),
        [(&b"one"[..], false), (b"two", true)]
    );
    assert_eq!(*asked.lock().unwrap(), [Some(ours.local_peer_id()), None]);
}

#[tokio::test]
async fn a_request_that_a_restarted_peer_cannot_take_early_is_sent_again() {
    let identity = Identity::generate();
    let (ours, theirs) = (bind(early()).await, bind(early().with_identity(identity.clone())).await);
    answer(&theirs);
    ask(&ours, &addr(&theirs).await, "one").await.unwrap();
    theirs.shutdown(DEADLINE).await;
    // The same peer, with nothing left of before.
    let again = bind(early().with_identity(identity)).await;
    let asked = answer(&again);
    let second = ask(&ours, &addr(&again).await, "two").await.unwrap();
    assert_eq!((&*second.body, second.was_early), (&b"two"[..], false));
    assert_eq!(*asked.lock().unwrap(), [Some(ours.local_peer_id())]);
}

// Who is asked for proof gives it, at the cost of a round trip; who is not admitted is told so.
#[tokio::test]
async fn where_not_everybody_is_admitted_who_asks_is_proved_first() {
    let (ours, theirs) = (bind(early()).await, bind(early()).await);
    let asked = answer(&theirs);
    theirs.access().set_only(Some([ours.local_peer_id()].into()));
    let peer = addr(&theirs).await;
    for body in ["one", "two"] {
        assert_eq!(ask(&ours, &peer, body).await.unwrap().body, body);
    }
    assert_eq!(*asked.lock().unwrap(), [Some(ours.local_peer_id()); 2]);

    theirs.access().deny(ours.local_peer_id());
    match ask(&ours, &peer, "three").await.unwrap_err() {
        P2PError::Refused { refusal, .. } => assert_eq!(refusal.code, RefusalCode::Rejected),
        other => panic!("{other:?}"),
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn connections_of_the_usual_kind_go_on_beside_early_requests() {
    let (ours, theirs) = (bind(early()).await, bind(early()).await);
    answer(&theirs);
    let listener = listen(&theirs).await;
    let peer = listener.local_addr();
    for body in ["one", "two", "three"] {
        assert_eq!(ask(&ours, &peer, body).await.unwrap().body, body);
        let (near, far) = connect(&ours, &*listener).await;
        exchange(&*near, &*far).await;
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_named() {
    let (ours, theirs, neither) = (bind(early()).await, bind(early()).await, bind(loopback()).await);
    let peer = addr(&theirs).await;
    let told = ask(&neither, &peer, "").await.unwrap_err().to_string();
    assert!(told.contains("zero_rtt = false") && told.contains("at both ends"), "{told}");
    assert!(neither.answer_early(|request| async { request.body }).is_err());
    let large = ours.request_early(peer.clone(), vec![0; EARLY_REQUEST_BYTES_MAX + 1].into(), DEADLINE).await;
    assert!(matches!(large.unwrap_err(), P2PError::MessageTooLarge { limit: EARLY_REQUEST_BYTES_MAX, .. }));
    let nobody = ask(&ours, &peer, "").await.unwrap_err();
    assert!(nobody.chain().contains("nobody answers early requests here"), "{nobody:?}");
    let other = ask(&ours, &addr(&neither).await, "").await.unwrap_err();
    assert!(matches!(other, P2PError::Protocol { .. }), "{other:?}");
}

// The warning is about other instances and restarts. The same process takes a packet once: what it needs to read it is
// gone after the first time.
#[tokio::test]
async fn a_recorded_request_is_not_answered_twice_by_one_process() {
    let Some(way) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.ok() else {
        return println!("skipped: no IPv6 on the loopback interface");
    };
    // Of the other family, so that the only way there is the one that is listened to.
    let ours = bind(early().with_bind([(Ipv6Addr::LOCALHOST, 0).into()])).await;
    let theirs = bind(early()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    theirs
        .answer_early(move |request| {
            counted.fetch_add(1, SeqCst);
            async { request.body }
        })
        .unwrap();
    let direct = *addr(&theirs).await.direct.first().unwrap();
    let (way, recorded) = eavesdropper(way, direct).await;
    let peer = PeerAddr::new(theirs.local_peer_id()).with_direct(way);
    ask(&ours, &peer, "one").await.unwrap();
    recorded.lock().unwrap().clear();
    assert!(ask(&ours, &peer, "two").await.unwrap().was_early);
    assert_eq!(count.load(SeqCst), 2);

    let attacker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let packets = recorded.lock().unwrap().clone();
    // While the connection that was recorded drains, the packets count as its own. After that they are heard: an answer comes
    // back, of a handshake. Everything that was going to happen then has, when the next request is answered.
    let heard = async {
        loop {
            for packet in &packets {
                attacker.send_to(packet, direct).await.unwrap();
            }
            if let Ok(answer) = timeout(Duration::from_millis(200), attacker.recv(&mut [0; 2048])).await {
                return answer.unwrap();
            }
        }
    };
    in_time(heard).await;
    ask(&ours, &peer, "three").await.unwrap();
    assert_eq!(count.load(SeqCst), 3, "the recorded one was answered again");
}

/// A way to `to` that remembers what goes there.
async fn eavesdropper(near: UdpSocket, to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let way = near.local_addr().unwrap();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let remembered = recorded.clone();
    tokio::spawn(async move {
        let (mut there, mut back) = ([0; 65_536], [0; 65_536]);
        let mut client = way;
        loop {
            tokio::select! {
                Ok((length, from)) = near.recv_from(&mut there) => {
                    client = from;
                    remembered.lock().unwrap().push(there[..length].to_vec());
                    far.send_to(&there[..length], to).await.ok();
                }
                Ok(length) = far.recv(&mut back) => {
                    near.send_to(&back[..length], client).await.ok();
                }
            }
        }
    });
    (way, recorded)
}
