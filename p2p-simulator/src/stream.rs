//! The halves of a simulated stream.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use p2p::{RecvHalf, SendHalf, StreamError};

use crate::{shared::Shared, world::stream::HalfId};

/// The writing half of a simulated stream.
pub struct SimulatorSend {
    shared: Arc<Shared>,
    half: HalfId,
}

/// The reading half of a simulated stream.
pub struct SimulatorRecv {
    shared: Arc<Shared>,
    half: HalfId,
}

/// Both halves of a stream that was just opened or accepted.
pub(crate) fn halves(shared: &Arc<Shared>, half: HalfId) -> (SimulatorSend, SimulatorRecv) {
    (SimulatorSend { shared: shared.clone(), half }, SimulatorRecv { shared: shared.clone(), half })
}

impl SendHalf for SimulatorSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        self.shared.with(|world| world.poll_write(self.half, chunks, cx.waker()))
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.shared.with(|world| world.finish(self.half))
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.shared.with(|world| world.poll_delivered(self.half, cx.waker()))
    }

    fn reset(&mut self, code: u32) {
        self.shared.with(|world| world.reset(self.half, code));
    }
}

impl Drop for SimulatorSend {
    fn drop(&mut self) {
        self.shared.with(|world| {
            world.reset(self.half, 0);
            world.release_half(self.half);
        });
    }
}

impl RecvHalf for SimulatorRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.shared.with(|world| world.poll_read(self.half, bytes_max, cx.waker()))
    }

    fn stop(&mut self, code: u32) {
        self.shared.with(|world| world.stop(self.half, code));
    }
}

impl Drop for SimulatorRecv {
    fn drop(&mut self) {
        self.shared.with(|world| {
            world.stop(self.half, 0);
            world.release_half(self.half);
        });
    }
}

impl fmt::Debug for SimulatorSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorSend").finish_non_exhaustive()
    }
}

impl fmt::Debug for SimulatorRecv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorRecv").finish_non_exhaustive()
    }
}
