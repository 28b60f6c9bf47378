//! Time, tasks and randomness, carried by the provider so that one program runs in real and in simulated time.
//!
//! Code above a provider takes all three from [`P2PProvider::runtime`](crate::P2PProvider::runtime) and from nowhere
//! else. Over iroh and in memory that is [`TokioRuntime`]; in the simulator it is the simulated peer's own, so a crash
//! ends the peer's tasks and virtual time decides every timer.

mod ext;
mod instant;
mod rng;
mod tokio;

use std::{fmt, future::Future, pin::Pin, task::Context, task::Poll, time::SystemTime};

pub use self::{
    ext::{Elapsed, Interval, RuntimeExt, Sleep},
    instant::Instant,
    rng::Rng,
    tokio::TokioRuntime,
};

/// A boxed future, as [`Runtime::spawn`] takes it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time, tasks and randomness.
///
/// ```
/// use std::time::Duration;
/// use p2p::{P2PProvider, Runtime, RuntimeExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let provider = MemoryNetwork::new().provider("alice");
/// let runtime = provider.runtime();
/// let start = runtime.now();
/// runtime.sleep(Duration::from_millis(2)).await;
/// assert!(runtime.now() - start >= Duration::from_millis(2));
/// # }
/// ```
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Now, on a clock that never goes back and means nothing outside this runtime.
    fn now(&self) -> Instant;

    /// Now, as a clock on the wall shows it. It may jump.
    fn wall_time(&self) -> SystemTime;

    /// A timer that is not set.
    fn timer(&self) -> Box<dyn Timer>;

    /// Starts a task. The name says what it is for, in panics and in the simulator's reports.
    ///
    /// Dropping the handle ends the task; [`TaskHandle::detach`] lets it go on alone.
    #[must_use = "dropping the handle ends the task"]
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle;

    /// A source of randomness. In the simulator it depends on the seed, the peer and the label alone, so equal labels
    /// give equal numbers; elsewhere it is seeded by the system.
    fn rng(&self, label: &str) -> Rng;
}

/// A timer that can be set again and again without a new allocation.
///
/// ```
/// use std::{future::poll_fn, time::Duration};
/// use p2p::{P2PProvider, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let provider = MemoryNetwork::new().provider("alice");
/// let runtime = provider.runtime();
/// let mut timer = runtime.timer();
/// for _ in 0..3 {
///     let deadline = runtime.now() + Duration::from_millis(1);
///     timer.reset(Some(deadline));
///     poll_fn(|cx| timer.poll_fired(cx)).await;
///     assert!(runtime.now() >= deadline);
/// }
/// # }
/// ```
pub trait Timer: Send + fmt::Debug {
    /// Sets the timer to fire at `deadline`, or never.
    fn reset(&mut self, deadline: Option<Instant>);

    /// Ready once the deadline has come. Stays ready until the timer is set again.
    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A running task, which ends when this is dropped.
pub struct TaskHandle(Option<Box<dyn FnOnce() + Send + Sync>>);

impl TaskHandle {
    /// A handle that ends its task by calling `abort`.
    pub fn new(abort: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(abort)))
    }

    /// Ends the task at its next wait.
    pub fn abort(mut self) {
        if let Some(abort) = self.0.take() {
            abort();
        }
    }

    /// Lets the task run to its end with nobody holding it.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if let Some(abort) = self.0.take() {
            abort();
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskHandle")
    }
}
