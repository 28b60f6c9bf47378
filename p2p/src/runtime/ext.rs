//! What users do with a runtime: sleep, bound a wait, tick.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use super::{Instant, Runtime, Timer};

/// Waits and deadlines on any [`Runtime`].
///
/// ```
/// use std::time::Duration;
/// use p2p::{P2PProvider, P2PProviderExt, RuntimeExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// let provider = MemoryNetwork::new().provider("alice");
/// let listener = provider.listen(&"quiet/1".parse()?).await?;
/// let outcome = provider.runtime().timeout(Duration::from_millis(2), listener.accept()).await;
/// assert!(outcome.is_err(), "nobody came in time");
/// # Ok(()) }
/// ```
pub trait RuntimeExt: Runtime {
    /// Waits that long.
    ///
    /// # Cancel safety
    /// Dropping it ends the wait and nothing else.
    fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Waits until then.
    ///
    /// # Cancel safety
    /// Dropping it ends the wait and nothing else.
    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let mut timer = self.timer();
        timer.reset(Some(deadline));
        Sleep { timer }
    }

    /// Waits for `future`, but no longer than `after`.
    ///
    /// # Errors
    /// [`Elapsed`] if the time passed first; the future is dropped then.
    ///
    /// # Cancel safety
    /// That of `future`.
    fn timeout<F: Future + Send>(
        &self,
        after: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + Send {
        let mut sleep = self.sleep(after);
        async move {
            let mut future = pin!(future);
            std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed { after })),
            })
            .await
        }
    }

    /// Ticks once every `period`, first after one period. A late tick delays those after it.
    fn interval(&self, period: Duration) -> Interval {
        Interval { next: self.now() + period, period, timer: self.timer() }
    }
}

impl<R: Runtime + ?Sized> RuntimeExt for R {}

/// The wait of [`RuntimeExt::sleep`].
#[derive(Debug)]
#[must_use = "a sleep does nothing unless awaited"]
pub struct Sleep {
    timer: Box<dyn Timer>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_fired(cx)
    }
}

/// The ticks of [`RuntimeExt::interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    timer: Box<dyn Timer>,
}

impl Interval {
    /// Waits for the next tick and returns when it was due.
    ///
    /// # Cancel safety
    /// Dropping the future loses no tick.
    pub async fn tick(&mut self) -> Instant {
        self.timer.reset(Some(self.next));
        std::future::poll_fn(|cx| self.timer.poll_fired(cx)).await;
        let due = self.next;
        self.next = due + self.period;
        due
    }
}

/// The deadline of [`RuntimeExt::timeout`] passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not finished within {after:?}")]
pub struct Elapsed {
    /// The deadline.
    pub after: Duration,
}
