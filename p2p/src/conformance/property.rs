//! One sentence of the contract as something that can be run: against a harness, within a deadline.

use std::{
    fmt,
    future::poll_fn,
    panic::Location,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;

use super::{Capabilities, Harness, Silence};
use crate::{
    BoxFuture, P2PError, P2PListener, P2PProvider, PeerAddr, Runtime, RuntimeExt, StreamError, TrySendError,
    mock::Fault,
};

/// A sentence of the contract.
#[derive(Clone, Copy)]
pub struct Property {
    /// The sentence, which is the function's name.
    pub name: &'static str,
    /// Under which conditions it holds.
    pub kind: Kind,
    /// Ways to break a provider so that this property fails: at least one.
    pub faults: &'static [Fault],
    pub(super) check: for<'a> fn(&'a dyn Harness) -> BoxFuture<'a, Outcome>,
}

/// Under which conditions a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something bad never happens, whatever the network does. If the connection is lost the property holds as far as
    /// it came.
    Safety,
    /// Something good happens in the end. Run it on a network that delays and drops, but loses no connection.
    Liveness,
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds.
    Held,
    /// The property is not about what this harness's providers do.
    Skipped(String),
    /// The connection was lost on the way; until then this safety property held.
    CutShort(String),
}

impl Property {
    /// Tries the property on fresh providers of that harness. Prints why, if it is skipped.
    ///
    /// # Panics
    /// If the property does not hold, or is not decided within [`Harness::deadline`].
    pub async fn run(&self, harness: &dyn Harness) -> Verdict {
        let verdict = match self.check_in_time(harness).await {
            Ok(()) => Verdict::Held,
            Err(Interruption::Skipped(reason)) => Verdict::Skipped(reason),
            Err(Interruption::Failed(failure)) if failure.is_loss && self.kind == Kind::Safety => {
                Verdict::CutShort(failure.to_string())
            }
            Err(Interruption::Failed(failure)) => panic!("{}: {failure}", self.name),
        };
        self.report(&verdict);
        verdict
    }

    /// [`run`](Self::run) on a network that loses no connection.
    ///
    /// # Panics
    /// As [`run`](Self::run), and if a connection is lost.
    pub async fn test(&self, harness: &dyn Harness) {
        if let Verdict::CutShort(reason) = self.run(harness).await {
            panic!("{}: the connection was lost: {reason}", self.name);
        }
    }

    async fn check_in_time(&self, harness: &dyn Harness) -> Outcome {
        let deadline = harness.deadline();
        let harness = Clocked { harness, runtime: OnceLock::new() };
        let mut check = (self.check)(&harness);
        let mut sleep = None;
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = check.as_mut().poll(cx) {
                return Poll::Ready(outcome);
            }
            // Time starts once there is a provider, because its runtime is the only clock there is.
            if let Some(runtime) = harness.runtime.get()
                && Pin::new(sleep.get_or_insert_with(|| runtime.sleep(deadline))).poll(cx).is_ready()
            {
                panic!("{}: not decided within {deadline:?}", self.name);
            }
            Poll::Pending
        })
        .await
    }

    #[expect(clippy::print_stderr, reason = "a test that did not run must say so where its result is read")]
    fn report(&self, verdict: &Verdict) {
        match verdict {
            Verdict::Held => {}
            Verdict::Skipped(reason) => eprintln!("skipped: {}: {reason}", self.name),
            Verdict::CutShort(reason) => eprintln!("cut short: {}: {reason}", self.name),
        }
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.name, self.kind)
    }
}

/// How a property ends: with its last assertion, or before.
pub type Outcome<T = ()> = Result<T, Interruption>;

/// Why a property ended before its last assertion.
#[derive(Debug)]
pub enum Interruption {
    /// The providers cannot do what it is about.
    Skipped(String),
    /// A call failed that has to succeed.
    Failed(Failure),
}

/// A call that failed, and where.
#[derive(Debug)]
pub struct Failure {
    text: String,
    at: &'static Location<'static>,
    /// The network failed, and nothing says that the provider did.
    is_loss: bool,
}

impl Interruption {
    /// The property is not about what these providers do.
    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped(reason.into())
    }

    fn failed(text: String, is_loss: bool, at: &'static Location<'static>) -> Self {
        Self::Failed(Failure { text, at, is_loss })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (the call at {})", self.text, self.at)
    }
}

impl From<P2PError> for Interruption {
    #[track_caller]
    fn from(error: P2PError) -> Self {
        Self::failed(error.chain(), error.is_retryable(), Location::caller())
    }
}

impl From<StreamError> for Interruption {
    #[track_caller]
    fn from(error: StreamError) -> Self {
        let is_loss = matches!(&error, StreamError::Connection(error) if error.is_retryable());
        Self::failed(error.to_string(), is_loss, Location::caller())
    }
}

impl From<TrySendError> for Interruption {
    #[track_caller]
    fn from(error: TrySendError) -> Self {
        let is_loss = matches!(&error, TrySendError::Failed(error) if error.is_retryable());
        Self::failed(error.to_string(), is_loss, Location::caller())
    }
}

/// A harness that remembers the runtime of the providers it yielded.
struct Clocked<'a> {
    harness: &'a dyn Harness,
    runtime: OnceLock<Arc<dyn Runtime>>,
}

impl Clocked<'_> {
    fn clock(&self, provider: &Arc<dyn P2PProvider>) {
        self.runtime.get_or_init(|| provider.runtime().clone());
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Harness for Clocked<'_> {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let (ours, theirs) = self.harness.providers().await;
        self.clock(&ours);
        (ours, theirs)
    }

    fn capabilities(&self) -> Capabilities {
        self.harness.capabilities()
    }

    fn addr_of(&self, listener: &dyn P2PListener) -> PeerAddr {
        self.harness.addr_of(listener)
    }

    fn nobody(&self) -> PeerAddr {
        self.harness.nobody()
    }

    async fn silence(&self) -> Option<Silence> {
        let silence = self.harness.silence().await;
        if let Some(silence) = &silence {
            self.clock(&silence.ours);
        }
        silence
    }

    fn deadline(&self) -> Duration {
        self.harness.deadline()
    }

    fn settle(&self) -> Duration {
        self.harness.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CloseReason, conformance::connected_pair, memory::MemoryNetwork};

    struct Memory;

    #[async_trait]
    impl Harness for Memory {
        async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
            let network = MemoryNetwork::new();
            (Arc::new(network.provider("alice")), Arc::new(network.provider("bob")))
        }
    }

    const fn property(kind: Kind, check: for<'a> fn(&'a dyn Harness) -> BoxFuture<'a, Outcome>) -> Property {
        Property { name: "a_sentence", kind, faults: &[], check }
    }

    const LOSING: for<'a> fn(&'a dyn Harness) -> BoxFuture<'a, Outcome> = |_| {
        Box::pin(async {
            let reason = CloseReason::TimedOut;
            Err(P2PError::Closed { reason }.into())
        })
    };

    // The same loss says nothing against a promise of what never happens, and breaks one of what happens in the end.
    #[tokio::test]
    async fn a_lost_connection_cuts_a_safety_property_short() {
        let verdict = property(Kind::Safety, LOSING).run(&Memory).await;
        let Verdict::CutShort(reason) = verdict else {
            panic!("{verdict:?}");
        };
        assert!(reason.contains("idle timeout") && reason.contains(file!()), "{reason}");
    }

    #[tokio::test]
    #[should_panic(expected = "a_sentence: connection closed: nothing heard from the peer")]
    async fn a_lost_connection_fails_a_liveness_property() {
        property(Kind::Liveness, LOSING).run(&Memory).await;
    }

    #[tokio::test]
    #[should_panic(expected = "a_sentence: the connection was lost")]
    async fn a_test_loses_no_connection() {
        property(Kind::Safety, LOSING).test(&Memory).await;
    }

    // Paused time moves on only when everything waits, so without the deadline this test would never end.
    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "a_sentence: not decided within 120s")]
    async fn a_stuck_property_fails_at_the_deadline_by_name() {
        let stuck = property(Kind::Safety, |harness| {
            Box::pin(async {
                let _pair = connected_pair(harness).await?;
                std::future::pending().await
            })
        });
        stuck.run(&Memory).await;
    }

    // A simulator runs properties as tasks.
    const _: () = {
        const fn is_send<T: Send>(_: &T) {}
        let _ = |property: &'static Property, harness: &'static dyn Harness| is_send(&property.run(harness));
    };
}
