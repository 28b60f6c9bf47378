//! Keeps the main future of a run: polls it when it is concerned, and ends the run when it is done or anything failed.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::failure::{Failure, Verdict};
use crate::tasks::panic_message;

/// Runs the main future until it is done or the run fails.
pub(super) async fn keep<F: Future>(mut main: Pin<&mut F>, verdict: &Verdict) -> Result<F::Output, Failure> {
    let ticket = Arc::new(Ticket { woken: AtomicBool::new(true), keeper: OnceLock::new() });
    let main_waker = Waker::from(ticket.clone());
    poll_fn(|cx| {
        if ticket.keeper.get().is_none() {
            verdict.set_keeper(cx.waker());
            let _ = ticket.keeper.set(cx.waker().clone());
        }
        if let Some(failure) = verdict.take_failure() {
            return Poll::Ready(Err(failure));
        }
        // The idle hook wakes the keeper after every event, the main future only when it is concerned.
        if !ticket.woken.swap(false, Relaxed) {
            return Poll::Pending;
        }
        let polled = catch_unwind(AssertUnwindSafe(|| main.as_mut().poll(&mut Context::from_waker(&main_waker))));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => {
                Poll::Ready(Err(Failure::Panicked { node: None, task: "main".into(), message: panic_message(&*panic) }))
            }
        }
    })
    .await
}

/// The main future's waker.
struct Ticket {
    woken: AtomicBool,
    keeper: OnceLock<Waker>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Relaxed);
        if let Some(keeper) = self.keeper.get() {
            keeper.wake_by_ref();
        }
    }
}
