//! What a connection has measured of itself: counters, round trips, bandwidth, loss, time; and what that is worth.

mod meter;
mod quality;
mod round_trips;

use std::time::Duration;

use serde::Serialize;

pub(crate) use self::meter::Meter;
pub use self::{meter::Bandwidth, quality::Quality, round_trips::RoundTrips};

/// Counters and measurements of a connection since it was established. They move while data moves.
///
/// ```
/// use p2p::{P2PConnection, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// # let network = MemoryNetwork::new();
/// # let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// # let demo = "demo/1".parse()?;
/// # let listener = bob.listen(&demo).await?;
/// # let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &demo), listener.accept())?;
/// ours.send("hello".into()).await?;
/// let stats = ours.stats();
/// assert_eq!((stats.messages_sent, stats.bytes_sent), (1, 5));
/// println!("{:?} for {:?}, {} B/s out", stats.quality(), stats.duration, stats.bandwidth.sent_bytes_per_sec);
/// # drop(theirs); Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ConnectionStats {
    /// Messages accepted by `send`.
    pub messages_sent: u64,
    /// Messages returned by `recv`.
    pub messages_received: u64,
    /// Bytes of messages, streams and datagrams accepted for sending, without framing.
    pub bytes_sent: u64,
    /// Bytes of messages, streams and datagrams handed to the application, without framing.
    pub bytes_received: u64,
    /// Datagrams accepted for sending.
    pub datagrams_sent: u64,
    /// Datagrams handed to the application.
    pub datagrams_received: u64,
    /// The round trip, smoothed: as the transport measures it, or failing that the keepalives.
    pub rtt: Option<Duration>,
    /// Round trips one by one, as the keepalives measure them: latest, shortest, and how they are distributed.
    pub round_trips: RoundTrips,
    /// Packets the transport knows to be lost, if it counts them.
    pub packets_lost: Option<u64>,
    /// Packets the transport sent, if it counts them.
    pub packets_sent: Option<u64>,
    /// The bandwidth in use now.
    pub bandwidth: Bandwidth,
    /// How long the connection has been established, up to its end.
    pub duration: Duration,
}

impl ConnectionStats {
    /// Packets lost of those sent, from 0 to 1, where the transport counts them and has sent any.
    pub fn loss_ratio(&self) -> Option<f64> {
        let sent = self.packets_sent.filter(|&sent| sent > 0)?;
        Some((self.packets_lost? as f64 / sent as f64).min(1.0))
    }
}
