//! Local proxies whose clients say where they want to go.
//!
//! A rule that listens as a proxy ([`Place::Socks5`](crate::rule::Place::Socks5),
//! [`Place::HttpProxy`](crate::rule::Place::HttpProxy)) asks the peer for each destination; the peer's rule lists those it
//! allows ([`Destinations`]).

mod destinations;
pub(crate) mod http_connect;
pub(crate) mod socks5;

use p2p::BiStream;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use self::destinations::Destinations;
use crate::forward::{Core, Failure, Header, Kind};

/// A stream to a destination, once the peer has connected to it.
async fn open(core: &Core, destination: String) -> Result<(BiStream, TaskTrackerToken), Failure> {
    let session = core.session().await?;
    let header = Header { service: core.rule.service.clone(), kind: Kind::Proxy { destination } };
    let (mut stream, token) = session.open(&header).await?;
    match stream.recv.read_chunk(1).await? {
        Some(_) => Ok((stream, token)),
        None => Err(Failure::Peer(None)),
    }
}
