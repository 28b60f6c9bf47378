//! Halves of streams that count bytes as they move, not when the stream ends.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    labels::{Dir, What},
    meter::{Meter, Wait},
};
use crate::{BiStream, RecvHalf, RecvStream, SendHalf, SendStream, StreamError};

pub(super) fn wrap(stream: BiStream, dir: Dir, meter: &Arc<Meter>) -> BiStream {
    meter.series.streams_opened[dir].increment(1);
    BiStream {
        send: SendStream::new(MetricsSend { inner: stream.send.into_half(), meter: meter.clone(), wait: None }),
        recv: RecvStream::new(MetricsRecv { inner: stream.recv.into_half(), meter: meter.clone() }),
    }
}

#[derive(Debug)]
struct MetricsSend {
    inner: Box<dyn SendHalf>,
    meter: Arc<Meter>,
    /// A write that found no room. One that its caller gave up is only noticed when the half is used again.
    wait: Option<Wait>,
}

#[deny(clippy::missing_trait_methods)]
impl SendHalf for MetricsSend {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<usize, StreamError>> {
        let poll = self.inner.poll_write(cx, chunks);
        self.meter.waits(&mut self.wait, What::Stream, &poll);
        if let Poll::Ready(Ok(bytes)) = &poll {
            self.meter.bytes(Dir::Out, *bytes);
        }
        poll
    }

    fn finish(&mut self) -> Result<(), StreamError> {
        self.wait = None;
        self.inner.finish()
    }

    fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.inner.poll_delivered(cx)
    }

    fn reset(&mut self, code: u32) {
        self.wait = None;
        self.inner.reset(code);
    }
}

#[derive(Debug)]
struct MetricsRecv {
    inner: Box<dyn RecvHalf>,
    meter: Arc<Meter>,
}

#[deny(clippy::missing_trait_methods)]
impl RecvHalf for MetricsRecv {
    fn poll_read(&mut self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Result<Option<Bytes>, StreamError>> {
        let poll = self.inner.poll_read(cx, bytes_max);
        if let Poll::Ready(Ok(Some(chunk))) = &poll {
            self.meter.bytes(Dir::In, chunk.len());
        }
        poll
    }

    fn stop(&mut self, code: u32) {
        self.inner.stop(code);
    }
}
