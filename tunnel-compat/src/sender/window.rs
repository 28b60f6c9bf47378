//! How much of a response may be sent.

use std::{
    future::poll_fn,
    task::{Poll, Waker},
};

use parking_lot::Mutex;

/// Bytes that may be sent; without end, with a server that does not say.
#[derive(Debug)]
pub(super) struct Window(Mutex<State>);

#[derive(Debug)]
struct State {
    bytes: Option<u64>,
    waiting: Option<Waker>,
}

impl Window {
    pub(super) const fn new(bytes: Option<u64>) -> Self {
        Self(Mutex::new(State { bytes, waiting: None }))
    }

    /// More may be sent.
    pub(super) fn grant(&self, more: u64) {
        let mut state = self.0.lock();
        if let Some(bytes) = &mut state.bytes {
            *bytes = bytes.saturating_add(more);
        }
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }

    /// Waits until something may be sent, and takes of that at most `wanted`, which is not 0.
    pub(super) async fn take(&self, wanted: usize) -> usize {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            let Some(bytes) = &mut state.bytes else { return Poll::Ready(wanted) };
            if *bytes == 0 {
                state.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let taken = usize::try_from(*bytes).unwrap_or(usize::MAX).min(wanted);
            *bytes -= taken as u64;
            Poll::Ready(taken)
        })
        .await
    }
}
