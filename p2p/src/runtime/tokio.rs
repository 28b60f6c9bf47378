//! Real time and real tasks, by tokio.
#![allow(clippy::disallowed_methods, reason = "this is where time, tasks and randomness come from on real networks")]

use std::{
    future::Future,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::SystemTime,
};

use tokio::time::{Instant as TokioInstant, Sleep};

use super::{BoxFuture, Instant, Rng, Runtime, TaskHandle, Timer};

/// The runtime of tokio, in whose context its methods must be called.
///
/// It follows tokio's clock, so it also works in a test with paused time.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn now(&self) -> Instant {
        from_tokio(TokioInstant::now())
    }

    fn wall_time(&self) -> SystemTime {
        SystemTime::now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(TokioTimer { sleep: None, set: false })
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        let task = tokio::spawn(task);
        TaskHandle::new(move || task.abort())
    }

    fn rng(&self, _label: &str) -> Rng {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("every supported system has a source of randomness");
        Rng::from_seed(seed)
    }
}

struct TokioTimer {
    /// Kept when the timer is unset, so that setting it again allocates nothing.
    sleep: Option<Pin<Box<Sleep>>>,
    set: bool,
}

impl Timer for TokioTimer {
    fn reset(&mut self, deadline: Option<Instant>) {
        self.set = deadline.is_some();
        let Some(deadline) = deadline.map(to_tokio) else {
            return;
        };
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }

    fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.set => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for TokioTimer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokioTimer").field("set", &self.set).finish_non_exhaustive()
    }
}

/// One origin for the process, so that instants of all its runtimes compare.
fn origin() -> TokioInstant {
    static ORIGIN: OnceLock<TokioInstant> = OnceLock::new();
    *ORIGIN.get_or_init(TokioInstant::now)
}

fn from_tokio(instant: TokioInstant) -> Instant {
    let since = instant.saturating_duration_since(origin());
    Instant::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn to_tokio(instant: Instant) -> TokioInstant {
    let since = std::time::Duration::from_nanos(instant.as_nanos());
    origin().checked_add(since).unwrap_or_else(|| TokioInstant::now() + FAR_FUTURE)
}

/// Stands for a deadline beyond what tokio's clock can hold: 30 years, as tokio itself chooses.
const FAR_FUTURE: std::time::Duration = std::time::Duration::from_secs(60 * 60 * 24 * 365 * 30);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::RuntimeExt;

    #[tokio::test(start_paused = true)]
    async fn a_timeout_gives_up_at_its_deadline_and_not_before() {
        let start = TokioRuntime.now();
        let after = Duration::from_secs(3);
        assert_eq!(TokioRuntime.timeout(after, std::future::pending::<()>()).await.unwrap_err().after, after);
        assert_eq!((TokioRuntime.now() - start).as_secs(), 3);
        assert_eq!(TokioRuntime.timeout(after, async { 7 }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_can_be_set_again_and_unset() {
        let mut timer = TokioRuntime.timer();
        let fired = |timer: &mut Box<dyn Timer>| {
            timer.poll_fired(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
        };
        assert!(!fired(&mut timer));
        let now = TokioRuntime.now();
        timer.reset(Some(now + Duration::from_secs(1)));
        timer.reset(Some(now + Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!fired(&mut timer), "the first deadline was replaced");
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(fired(&mut timer) && fired(&mut timer), "ready until it is set again");
        timer.reset(None);
        assert!(!fired(&mut timer));
    }

    #[tokio::test]
    async fn dropping_a_handle_ends_the_task_and_detaching_does_not() {
        let (done, mut ended) = tokio::sync::mpsc::unbounded_channel::<&str>();
        let task = |name, done: tokio::sync::mpsc::UnboundedSender<&'static str>| async move {
            tokio::task::yield_now().await;
            let _ = done.send(name);
        };
        drop(TokioRuntime.spawn("dropped", Box::pin(task("dropped", done.clone()))));
        TokioRuntime.spawn("detached", Box::pin(task("detached", done))).detach();
        assert_eq!(ended.recv().await, Some("detached"));
        assert_eq!(ended.recv().await, None);
    }
}
