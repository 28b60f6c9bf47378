//! QUIC as a competent user would write to it, over iroh's connections and over quinn's.
//!
//! The two have nearly the same API, with types of their own; [`Quic`] is what is needed of it. Everything is
//! monomorphic, so this costs nothing over writing it twice.

pub(crate) mod iroh;
pub(crate) mod quinn;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Result, contestant::Side};

/// Settings that matter for speed, the same on all sides: those of `p2p-iroh`. Everybody's congestion controller is
/// CUBIC, everybody's first packets have 1,200 bytes, and all of them search for more.
pub(crate) const RECEIVE_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
pub(crate) const STREAM_RECEIVE_WINDOW_BYTES: u32 = RECEIVE_WINDOW_BYTES / 8;

/// Datagrams that are sent before others get the thread. What finds the queue full replaces what waits there.
pub(crate) const YIELD_AFTER: usize = 32;

/// A connection.
pub(crate) trait Quic: Send + Sync {
    type Send: Write;
    type Recv: Read;

    fn open(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv)>> + Send;
    fn accept(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv)>> + Send;
    fn send_datagram(&self, datagram: Bytes) -> Result<()>;
    fn read_datagram(&self) -> impl Future<Output = Result<Bytes>> + Send;
    fn close(&self);
}

/// A stream's writing half.
pub(crate) trait Write: Send {
    fn write_all(&mut self, bytes: &[u8]) -> impl Future<Output = Result<()>> + Send;
    fn write_chunk(&mut self, chunk: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// A stream's reading half.
pub(crate) trait Read: Send {
    fn read_exact(&mut self, buf: &mut [u8]) -> impl Future<Output = Result<()>> + Send;
    fn read_chunk(&mut self, bytes_max: usize) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

/// A connection as one that takes part.
pub(crate) struct Raw<C>(pub(crate) C);

/// Bytes of a frame's length.
const LEN_BYTES: usize = 4;

/// Bytes of frames that are written at once where more follow.
const TOGETHER_BYTES: usize = 16 * 1024;

/// Bytes read at once; a packet has fewer.
const READ_BYTES: usize = 64 * 1024;

fn put_frame(message: &[u8], buf: &mut BytesMut) {
    buf.put_u32(u32::try_from(message.len()).expect("messages are small"));
    buf.put_slice(message);
}

/// The next frame's payload, if it is whole.
fn take_frame(buf: &mut BytesMut) -> Option<Bytes> {
    let (len, rest) = buf.split_first_chunk::<LEN_BYTES>()?;
    let len = u32::from_be_bytes(*len) as usize;
    if rest.len() < len {
        return None;
    }
    buf.advance(LEN_BYTES);
    Some(buf.split_to(len).freeze())
}

#[async_trait]
impl<C: Quic> Side for Raw<C> {
    async fn write(&self, chunk: Bytes) -> Result<()> {
        let (mut send, _recv) = self.0.open().await?;
        loop {
            send.write_chunk(chunk.clone()).await?;
        }
    }

    async fn read(&self, warm_up: usize, bytes: usize) -> Result<Duration> {
        let (_send, mut recv) = self.0.accept().await?;
        let mut start = Instant::now();
        for part in [warm_up, bytes] {
            start = Instant::now();
            let mut missing = part;
            while missing > 0 {
                missing -= recv.read_chunk(missing).await?.ok_or("the stream ended")?.len();
            }
        }
        Ok(start.elapsed())
    }

    /// Messages of a size that both know need no frames.
    async fn ask(&self, message: Bytes, times: usize) -> Result<Vec<Duration>> {
        let (mut send, mut recv) = self.0.open().await?;
        let mut answer = vec![0; message.len()];
        let mut all = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            send.write_all(&message).await?;
            recv.read_exact(&mut answer).await?;
            all.push(start.elapsed());
        }
        Ok(all)
    }

    async fn answer(&self, message_bytes: usize, times: usize) -> Result<()> {
        let (mut send, mut recv) = self.0.accept().await?;
        let mut message = vec![0; message_bytes];
        for _ in 0..times {
            recv.read_exact(&mut message).await?;
            send.write_all(&message).await?;
        }
        // An end of the stream would overtake nothing, but its reset might.
        recv.read_chunk(1).await.ok();
        Ok(())
    }

    async fn send(&self, message: Bytes, messages: usize) -> Result<()> {
        let (mut send, mut recv) = self.0.open().await?;
        let mut frame = BytesMut::with_capacity(LEN_BYTES + message.len());
        for _ in 0..messages {
            frame.clear();
            put_frame(&message, &mut frame);
            send.write_all(&frame).await?;
        }
        // Until the peer is done.
        recv.read_chunk(1).await.ok();
        Ok(())
    }

    async fn send_together(&self, message: Bytes, messages: usize) -> Result<()> {
        let (mut send, mut recv) = self.0.open().await?;
        let mut frames = BytesMut::with_capacity(TOGETHER_BYTES + LEN_BYTES + message.len());
        for _ in 0..messages {
            put_frame(&message, &mut frames);
            if frames.len() >= TOGETHER_BYTES {
                send.write_all(&frames).await?;
                frames.clear();
            }
        }
        send.write_all(&frames).await?;
        recv.read_chunk(1).await.ok();
        Ok(())
    }

    async fn receive(&self, warm_up: usize, messages: usize) -> Result<Duration> {
        let (_send, mut recv) = self.0.accept().await?;
        let mut buf = BytesMut::with_capacity(2 * READ_BYTES);
        let mut start = Instant::now();
        for part in [warm_up, messages] {
            start = Instant::now();
            let mut missing = part;
            while missing > 0 {
                match take_frame(&mut buf) {
                    Some(message) => missing -= usize::from(!std::hint::black_box(message).is_empty()),
                    None => buf.extend_from_slice(&recv.read_chunk(READ_BYTES).await?.ok_or("the stream ended")?),
                }
            }
        }
        Ok(start.elapsed())
    }

    async fn send_datagrams(&self, datagram: Bytes) -> Result<()> {
        loop {
            for _ in 0..YIELD_AFTER {
                self.0.send_datagram(datagram.clone())?;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn receive_datagrams(&self, warm_up: usize, datagrams: usize) -> Result<Duration> {
        for _ in 0..warm_up {
            self.0.read_datagram().await?;
        }
        let start = Instant::now();
        for _ in 0..datagrams {
            self.0.read_datagram().await?;
        }
        Ok(start.elapsed())
    }

    fn close(&self) {
        self.0.close();
    }
}
