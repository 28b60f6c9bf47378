//! Counts what passes.
//!
//! [`Metrics`] is the layer. [`FAMILIES`] is the one list of what it exports, with help and units. Inside: `labels` are
//! enums, so every series exists from the start; `series` holds a handle to each; a `meter` is what one connection counts
//! with, a `lifetime` what is counted of it from beginning to end; `connection` and `stream` are the wrappers.

mod connection;
mod families;
mod labels;
mod lifetime;
mod meter;
mod series;
mod stream;

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use self::{
    connection::{MetricsConnection, MetricsListener},
    labels::{ConnectOutcome, Dir, PathKind},
    series::Series,
};
use crate::{ConnectionConfig, ListenConfig, P2PConnection, P2PListener, P2PProvider, PeerAddr, Result};

pub use self::families::{FAMILIES, Family, FamilyKind};

/// Counts connections, messages, bytes and waits in the families of [`FAMILIES`], and changes nothing.
///
/// The recorder is passed in and used once: all series are made here, at zero, and their handles kept. What passes then
/// costs an atomic addition per counter and no allocation, except that a connection takes a task, a stream one small
/// allocation, and a call that has to wait a look at the clock. No label has more values than an enum, and none names a
/// peer.
///
/// Belongs outermost, so that it counts what the application gets; see [the order](crate::layer#order). The same recorder
/// may serve several stacks: their numbers add up, or stay apart by [constant labels](Self::with_labels).
///
/// ```
/// use p2p::{P2PProvider, P2PProviderExt, layer::LayerExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// // The recorder installed in this process, if one is; or `&PrometheusBuilder::new().build_recorder()`, or your own.
/// let alice = metrics::with_recorder(|recorder| {
///     MemoryNetwork::new().provider("alice").with_metrics(recorder)
/// });
/// let listener = alice.listen(&"chat/1".parse()?).await?;
/// # drop(listener);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Metrics<P> {
    inner: P,
    series: Arc<Series>,
}

impl<P: P2PProvider> Metrics<P> {
    /// `inner`, counted by way of `recorder`.
    pub fn new(inner: P, recorder: &dyn ::metrics::Recorder) -> Self {
        Self::with_labels(inner, recorder, &[])
    }

    /// The same, with labels of constant value on every series, as in `&[("impl", "iroh")]` where a process has several
    /// stacks.
    pub fn with_labels(inner: P, recorder: &dyn ::metrics::Recorder, labels: &[(&'static str, &'static str)]) -> Self {
        let series = Arc::new(Series::new(recorder, labels));
        Self { inner, series }
    }
}

impl<P: fmt::Display> fmt::Display for Metrics<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metrics({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: P2PProvider> P2PProvider for Metrics<P> {
    forward_provider!(local_peer_id runtime status peer_info shutdown);

    async fn connect_with(&self, peer: PeerAddr, config: ConnectionConfig) -> Result<Arc<dyn P2PConnection>> {
        let start = self.runtime().now();
        let mut attempt = Attempt { series: &self.series, outcome: ConnectOutcome::Cancelled };
        let result = self.inner.connect_with(peer, config).await;
        attempt.outcome = ConnectOutcome::of(&result);
        let connection = result?;

        let path = connection.state().read(|state| PathKind::of(state.path()));
        let took = self.runtime().now() - start;
        self.series.connect_duration[path].record(took.as_secs_f64());
        Ok(MetricsConnection::wrap(connection, Dir::Out, &self.series, self.runtime()))
    }

    async fn listen_with(&self, config: ListenConfig) -> Result<Box<dyn P2PListener>> {
        Ok(Box::new(MetricsListener {
            inner: self.inner.listen_with(config).await?,
            series: self.series.clone(),
            runtime: self.runtime().clone(),
        }))
    }
}

/// Counts a dial when it ends, also if its caller drops it.
struct Attempt<'a> {
    series: &'a Series,
    outcome: ConnectOutcome,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.series.connect_attempts[self.outcome].increment(1);
    }
}
