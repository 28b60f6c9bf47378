//! A session that changes its route while it is in use, and loses nothing by it.

use std::{sync::Arc, time::Duration};

use p2p::{
    BiStream, P2PConnection, P2PError, P2PListener, P2PProvider, P2PProviderExt, Path, ProtocolId, Runtime, RuntimeExt,
    SendStream,
    layer::{LayerExt, ReconnectConfig, Route, Routes},
};

/// How much is sent on each part of the way.
const MESSAGES: u32 = 500;
const STREAM_BYTES: usize = 300_000;

/// The first route of two peers and their tunnel, which speak for the same identity.
pub(crate) struct Ways {
    /// Of the dialling side: its first route, then its tunnel.
    pub(crate) ours: [Arc<dyn P2PProvider>; 2],
    pub(crate) theirs: [Arc<dyn P2PProvider>; 2],
    /// What a path by the tunnel is relayed by.
    pub(crate) tunnel: String,
}

fn routes([first, tunnel]: [Arc<dyn P2PProvider>; 2]) -> Routes {
    Routes::new([Route::new("first", first), Route::new("tunnel", tunnel)]).expect("they are of one peer")
}

/// First route, tunnel, first route: at each change messages and a stream are on their way, in both directions.
pub(crate) async fn goes_to_the_tunnel_and_back(Ways { ours, theirs, tunnel }: Ways) -> Result<(), P2PError> {
    let runtime = ours[0].runtime().clone();
    let (ours, theirs) = (routes(ours), routes(theirs));
    let handle = ours.handle();
    let ours = ours.with_reconnect(ReconnectConfig::default())?;
    let theirs = theirs.with_reconnect(ReconnectConfig::default())?;
    let protocol: ProtocolId = "moves/1".parse()?;
    let listener = theirs.listen(&protocol).await?;
    let (a, b) = tokio::try_join!(ours.connect(listener.local_addr(), &protocol), listener.accept())?;
    let mut stream = a.open_stream().await?;
    stream.send.write_all(b"!").await?;
    let mut other = b.accept_stream().await?;
    other.recv.read_chunk(1).await?;

    let by_tunnel = |path: Option<&Path>| matches!(path, Some(Path::Relayed { relay }) if **relay == *tunnel);
    let mut state = a.state();
    let _ = state.wait_for(|state| state.is_connected() && !by_tunnel(state.path())).await;
    for (part, on_tunnel) in [(0, true), (1, false), (2, true), (3, false)] {
        let moving = async {
            match on_tunnel {
                true => handle.disable("first")?,
                false => handle.enable("first")?,
            }
            let moved = state.wait_for(|state| state.is_connected() && by_tunnel(state.path()) == on_tunnel).await;
            moved.map(drop).map_err(|_| P2PError::ShutDown)
        };
        let moving = async { runtime.timeout(DEADLINE, moving).await.expect("the session does not move") };
        tokio::try_join!(
            moving,
            runs(&runtime, messages(&*a, &*b, part)),
            runs(&runtime, messages(&*b, &*a, part)),
            runs(&runtime, bytes(&mut stream, &mut other, part)),
        )?;
    }
    let (first, by_tunnel) = (handle.get("first")?, handle.get("tunnel")?);
    assert_eq!((first.moves, by_tunnel.moves), (2, 2), "it changed its route more or less often than it was told to");

    // The end of the stream and the last message come over the route that is now.
    stream.send.finish()?;
    assert_eq!(other.recv.read_chunk(1).await?, None);
    a.finish().await?;
    Ok(())
}

async fn runs(
    runtime: &Arc<dyn Runtime>,
    future: impl Future<Output = Result<(), P2PError>> + Send,
) -> Result<(), P2PError> {
    runtime.timeout(DEADLINE, future).await.expect("what is sent does not arrive")
}

/// Numbered messages, each of which arrives once and in its turn.
async fn messages(from: &dyn P2PConnection, to: &dyn P2PConnection, part: u32) -> Result<(), P2PError> {
    let numbers = part * MESSAGES..(part + 1) * MESSAGES;
    let sending = async {
        for number in numbers.clone() {
            from.send(number.to_be_bytes().to_vec().into()).await?;
        }
        Ok(())
    };
    let receiving = async {
        for number in numbers.clone() {
            assert_eq!(to.recv().await?, number.to_be_bytes()[..], "a message is lost, doubled or out of its turn");
        }
        Ok(())
    };
    tokio::try_join!(sending, receiving).map(drop)
}

/// Bytes of a stream, there and back.
async fn bytes(ours: &mut BiStream, theirs: &mut BiStream, part: u32) -> Result<(), P2PError> {
    let content = |at: usize| (at.wrapping_mul(31) ^ (at >> 8) ^ part as usize) as u8;
    let all: Vec<u8> = (0..STREAM_BYTES).map(content).collect();
    let write = async |send: &mut SendStream| Ok::<_, P2PError>(send.write_all(&all).await?);
    let read = async |recv: &mut p2p::RecvStream| {
        let mut got = Vec::new();
        while got.len() < all.len() {
            got.extend(recv.read_chunk(all.len() - got.len()).await?.expect("the stream goes on"));
        }
        assert!(got == all, "the stream's bytes are not as they were sent");
        Ok::<_, P2PError>(())
    };
    tokio::try_join!(write(&mut ours.send), read(&mut theirs.recv), write(&mut theirs.send), read(&mut ours.recv),)
        .map(drop)
}

/// On a machine that does something else meanwhile.
const DEADLINE: Duration = Duration::from_secs(120);
