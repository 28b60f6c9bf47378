//! The handshake: what both sides agree on, and who has a say.

use std::{sync::Arc, time::Duration};

use super::{
    Harness, Outcome,
    pair::{config, connected_pair, connected_pair_with},
};
use crate::{Answer, Capability, ListenConfig, P2PError, PeerId, Refusal, RefusalCode};

/// Both sides negotiate the same.
pub async fn both_sides_negotiate_the_same(harness: &dyn Harness) -> Outcome {
    // One of three capabilities is known to both; equality alone would also hold if both had nothing.
    let known = Capability::new("known").with_data("as offered");
    let pair = connected_pair_with(
        harness,
        config().with_capability(Capability::new("unknown")).with_capability(known.clone()),
        config()
            .with_capability(Capability::new("known").with_data("as configured"))
            .with_capability(Capability::new("not offered")),
    )
    .await?;
    assert_eq!(pair.ours.negotiated(), pair.theirs.negotiated());
    assert_eq!(pair.ours.negotiated().capabilities, [known]);
    assert_eq!(&pair.ours.negotiated().protocol, pair.listener.protocol());
    Ok(())
}

/// The listener answers what the dialler offers.
pub async fn the_listener_answers_what_is_offered(harness: &dyn Harness) -> Outcome {
    // The answer takes one of two, and its data is made of the dialler's identity and of what was offered; both sides
    // have exactly that.
    #[derive(Debug)]
    struct Takes(&'static str);
    impl Answer for Takes {
        fn answer(&self, peer: PeerId, offered: &[Capability]) -> Result<Vec<Capability>, Refusal> {
            let taken = offered.iter().filter(|offered| offered.name == self.0);
            Ok(taken.map(|taken| answered(peer, taken)).collect())
        }
    }
    fn answered(peer: PeerId, taken: &Capability) -> Capability {
        let data = [peer.as_bytes(), &taken.data[..]].concat();
        Capability::new(taken.name.clone()).with_data(data)
    }
    let wanted = Capability::new("wanted").with_data([1, 2, 3]);
    let pair = connected_pair_with(
        harness,
        config().with_capability(Capability::new("unwanted")).with_capability(wanted.clone()),
        ListenConfig::from(config()).with_answer(Arc::new(Takes("wanted"))),
    )
    .await?;
    let taken = [answered(pair.our_provider.local_peer_id(), &wanted)];
    for connection in [&pair.ours, &pair.theirs] {
        assert_eq!(connection.negotiated().capabilities, taken);
    }
    Ok(())
}

/// The listener can refuse a dialler, in its own words.
pub async fn the_listener_can_refuse_a_dialler(harness: &dyn Harness) -> Outcome {
    // Code, words and time arrive as they were given, and the refused connection is never accepted.
    #[derive(Debug)]
    struct Refuses(Refusal);
    impl Answer for Refuses {
        fn answer(&self, _: PeerId, _: &[Capability]) -> Result<Vec<Capability>, Refusal> {
            Err(self.0.clone())
        }
    }
    let (ours, theirs) = harness.providers().await;
    let said = Refusal::new(RefusalCode::RateLimited, "not so fast").with_retry_after(Duration::from_secs(9));
    let answer = Arc::new(Refuses(said.clone()));
    let listener = theirs.listen_with(ListenConfig::from(config()).with_answer(answer)).await?;
    let dialled = ours.connect_with(harness.addr_of(&*listener), config()).await.map(drop);
    let Err(P2PError::Refused { peer, refusal }) = dialled else {
        panic!("{dialled:?}");
    };
    assert_eq!((peer, refusal), (theirs.local_peer_id(), said));
    let accepted = super::Patience::new(harness, &*ours).within_settle(listener.accept()).await;
    assert!(accepted.is_none(), "{accepted:?}");
    Ok(())
}

/// Both sides speak the same version of the wire protocol.
pub async fn both_sides_speak_one_version(harness: &dyn Harness) -> Outcome {
    // There is a version, and it is one.
    let pair = connected_pair(harness).await?;
    let (ours, theirs) = (pair.ours.negotiated().version, pair.theirs.negotiated().version);
    assert!(ours > 0 && ours == theirs, "{ours} here, {theirs} there");
    Ok(())
}
