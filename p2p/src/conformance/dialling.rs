//! Dialling: whom one reaches, who refuses, and what fails how soon.

use std::time::Duration;

use super::{
    Harness, Interruption, Outcome,
    pair::{Patience, config, connected_pair, is_closed, message, protocol},
};
use crate::{CloseCode, ListenConfig, P2PError, P2PProviderExt, ProtocolId, RefusalCode};

/// Both sides know whom they speak to.
pub async fn both_sides_know_whom_they_speak_to(harness: &dyn Harness) -> Outcome {
    // Each end's peer is the other end's provider, and the two are not the same.
    let pair = connected_pair(harness).await?;
    assert_eq!(pair.ours.peer_id(), pair.their_provider.local_peer_id());
    assert_eq!(pair.theirs.peer_id(), pair.our_provider.local_peer_id());
    assert_ne!(pair.ours.peer_id(), pair.theirs.peer_id());
    Ok(())
}

/// Dialling oneself is an error of the caller's.
pub async fn dialling_oneself_is_invalid(harness: &dyn Harness) -> Outcome {
    // Even with a listener there, so that nothing else can be the reason.
    let (ours, _theirs) = harness.providers().await;
    let listener = ours.listen(&protocol()).await?;
    let dialled = ours.connect(harness.addr_of(&*listener), &protocol()).await.map(drop);
    assert!(matches!(dialled, Err(P2PError::InvalidInput { .. })), "{dialled:?}");
    Ok(())
}

/// A protocol that nobody listens for is refused as such.
pub async fn an_unknown_protocol_is_refused(harness: &dyn Harness) -> Outcome {
    // The peer listens, for something else, so it was reached and this is its answer. It is no reason to try again.
    let (ours, theirs) = harness.providers().await;
    let listener = theirs.listen(&protocol()).await?;
    let addr = harness.addr_of(&*listener);
    let dialled = ours.connect(addr, &named("something-else/1")?).await.map(drop);
    let Err(P2PError::Refused { peer, refusal }) = dialled else {
        panic!("{dialled:?}");
    };
    assert_eq!(peer, theirs.local_peer_id());
    assert_eq!(refusal.code, RefusalCode::UnknownProtocol);
    assert!(!refusal.is_retryable());
    Ok(())
}

/// Settings that cannot be used are refused before anything is sent.
pub async fn unusable_settings_are_invalid(harness: &dyn Harness) -> Outcome {
    // The error names the setting, and the same provider works with good settings straight after.
    let (ours, theirs) = harness.providers().await;
    let bad = config().with_message_bytes_max(0);
    let listener = theirs.listen_with(bad.clone().into()).await;
    let listened = listener.map(drop);
    let listener = theirs.listen(&protocol()).await?;
    let dialled = ours.connect_with(harness.addr_of(&*listener), bad).await.map(drop);
    for result in [listened, dialled] {
        let Err(P2PError::InvalidInput { what, .. }) = &result else {
            panic!("{result:?}");
        };
        assert!(what.contains("message_bytes_max"), "{what}");
    }
    let dial = ours.connect_with(harness.addr_of(&*listener), config());
    tokio::try_join!(dial, listener.accept())?;
    Ok(())
}

/// A peer that is not there cannot be reached, which is known by the deadline and may change.
pub async fn a_peer_that_is_not_there_is_not_reached(harness: &dyn Harness) -> Outcome {
    // The clock is read on both sides of the dial. A second of grace is for machines that are busy.
    let (ours, _theirs) = harness.providers().await;
    let timeout = Duration::from_secs(2);
    let began = ours.runtime().now();
    let dialled = ours.connect_with(harness.nobody(), config().with_handshake_timeout(timeout)).await;
    let took = ours.runtime().now() - began;
    let error = dialled.expect_err("nobody is there");
    assert!(error.is_retryable(), "{error:?}");
    assert!(took <= timeout + Duration::from_secs(1), "it took {took:?}");
    Ok(())
}

/// A silent peer ends a dial at its deadline.
pub async fn a_silent_peer_ends_the_dial_at_its_deadline(harness: &dyn Harness) -> Outcome {
    // The transport comes about, so only the handshake's own deadline can end the wait.
    let Some(silence) = harness.silence().await else {
        return Err(Interruption::skipped("this harness plays no silent peer"));
    };
    let ours = &silence.ours;
    let timeout = Duration::from_secs(3);
    let began = ours.runtime().now();
    let dialled = ours.connect_with(silence.silent.addr(), config().with_handshake_timeout(timeout)).await;
    let took = ours.runtime().now() - began;
    assert!(matches!(dialled, Err(P2PError::Timeout { .. })), "{dialled:?}");
    assert!((timeout..timeout + Duration::from_secs(2)).contains(&took), "it took {took:?}");
    Ok(())
}

/// A stalled handshake blocks no other.
pub async fn a_stalled_handshake_blocks_no_other(harness: &dyn Harness) -> Outcome {
    // Several silent diallers come first, and their handshakes last for minutes. A peer that does speak is through in a
    // fraction of that.
    let Some(silence) = harness.silence().await else {
        return Err(Interruption::skipped("this harness plays no silent peer"));
    };
    let (ours, theirs) = (&silence.ours, &silence.theirs);
    let patience = Patience::new(harness, &**ours);
    let patient = config().with_handshake_timeout(harness.deadline() * 2);
    let listener = theirs.listen_with(patient.clone().into()).await?;
    let addr = harness.addr_of(&*listener);
    let mut stalled = Vec::new();
    for _ in 0..5 {
        stalled.push(silence.silent.dial(addr.clone()).await);
    }
    patience.settle().await;
    let both = async { tokio::try_join!(ours.connect_with(addr, patient), listener.accept()) };
    patience.ends("a dial beside stalled handshakes", both).await?;
    Ok(())
}

/// Protocols do not mix: a connection goes to the listener of its own.
pub async fn protocols_do_not_mix(harness: &dyn Harness) -> Outcome {
    // Two listeners of one provider, dialled in the other order. Names and messages have to match.
    let (ours, theirs) = harness.providers().await;
    let (one, two) = (named("one/1")?, named("two/1")?);
    let (listener_one, listener_two) = (theirs.listen(&one).await?, theirs.listen(&two).await?);
    for (protocol, listener) in [(&two, &listener_two), (&one, &listener_one)] {
        assert_eq!(listener.protocol(), protocol);
        let addr = harness.addr_of(&**listener);
        let (dialled, accepted) = tokio::try_join!(ours.connect(addr, protocol), listener.accept())?;
        for connection in [&dialled, &accepted] {
            assert_eq!(&connection.negotiated().protocol, protocol);
        }
        dialled.send(protocol.as_str().to_owned().into()).await?;
        assert_eq!(accepted.recv().await?, protocol.as_str());
    }
    Ok(())
}

/// Connections between the same two peers are independent.
pub async fn connections_between_the_same_peers_are_independent(harness: &dyn Harness) -> Outcome {
    // Three of them carry different messages, and the end of one is not the end of the others.
    let (ours, theirs) = harness.providers().await;
    let patience = Patience::new(harness, &*ours);
    let listener = theirs.listen(&protocol()).await?;
    let mut pairs = Vec::new();
    for _ in 0..3 {
        let dial = ours.connect_with(harness.addr_of(&*listener), config());
        pairs.push(tokio::try_join!(dial, listener.accept())?);
    }
    for (number, (dialled, _)) in pairs.iter().enumerate() {
        dialled.send(message(number)).await?;
    }
    for (number, (_, accepted)) in pairs.iter().enumerate() {
        assert!(accepted.recv().await? == message(number), "connection {number}");
    }
    pairs[1].0.close(CloseCode(1), "only this one");
    patience.ends("closed at the peer", pairs[1].1.closed()).await;
    assert!(is_closed(&pairs[1].1.recv().await));
    for (dialled, accepted) in [&pairs[0], &pairs[2]] {
        accepted.send("still here".into()).await?;
        assert_eq!(dialled.recv().await?, "still here");
    }
    Ok(())
}

/// Peers may dial each other at once, and get two connections.
pub async fn peers_may_dial_each_other_at_once(harness: &dyn Harness) -> Outcome {
    // Both listen and both dial at the same time. A message on each of the two connections shows which is which.
    let (ours, theirs) = harness.providers().await;
    let listen = async |provider: &dyn crate::P2PProvider| provider.listen_with(ListenConfig::new(protocol())).await;
    let (our_listener, their_listener) = (listen(&*ours).await?, listen(&*theirs).await?);
    let (to_them, to_us) = (harness.addr_of(&*their_listener), harness.addr_of(&*our_listener));
    let (dialled, accepted, dialled_back, accepted_back) = tokio::try_join!(
        ours.connect_with(to_them, config()),
        their_listener.accept(),
        theirs.connect_with(to_us, config()),
        our_listener.accept(),
    )?;
    dialled.send("there".into()).await?;
    dialled_back.send("and back".into()).await?;
    assert_eq!(accepted.recv().await?, "there");
    assert_eq!(accepted_back.recv().await?, "and back");
    Ok(())
}

fn named(name: &str) -> Outcome<ProtocolId> {
    Ok(ProtocolId::new(name)?)
}
