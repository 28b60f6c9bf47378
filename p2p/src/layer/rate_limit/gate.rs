//! Waiting until an act may be done.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;

use super::{account::Account, budget::Cost};
use crate::{BoxFuture, ConnectionState, Timer, Watch};

/// Where one caller, or one half of a stream, waits for its account to have room.
pub(super) struct Gate {
    account: Arc<Account>,
    state: Watch<ConnectionState>,
    /// Made at the first wait: whoever never waits pays for no timer. The lock is there for `Sync`, and never taken.
    pause: Mutex<Option<Pause>>,
}

struct Pause {
    timer: Box<dyn Timer>,
    end: BoxFuture<'static, ()>,
    is_over: bool,
}

impl Gate {
    pub(super) fn new(account: Arc<Account>, state: Watch<ConnectionState>) -> Self {
        Self { account, state, pause: Mutex::default() }
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Ready with `true` once the cost is taken, which is for the caller to give back if nothing comes of it. Ready with
    /// `false`, and nothing taken, if it would have to wait on a connection that has ended: what that still has to say is
    /// bounded, and nobody should wait for it.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>, cost: &Cost) -> Poll<bool> {
        loop {
            let Err(denied) = self.account.take(cost) else { return Poll::Ready(true) };
            let pause = self.pause.get_mut().get_or_insert_with(|| {
                let mut state = self.state.clone();
                Pause {
                    timer: self.account.runtime().timer(),
                    end: Box::pin(async move {
                        let _ = state.wait_for(ConnectionState::is_closed).await;
                    }),
                    is_over: false,
                }
            });
            if pause.is_over || pause.end.as_mut().poll(cx).is_ready() {
                pause.is_over = true;
                return Poll::Ready(false);
            }
            pause.timer.reset(Some(denied.until));
            ready!(pause.timer.poll_fired(cx));
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
