//! A long line in front of the relay: what goes in comes out later, and nothing else changes. Not every kernel that runs this
//! can delay packets, so it is a TCP proxy.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use patchbay::Device;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Chunks on a line in one direction, each of at most this many bytes: 64 MiB, so that the line limits nobody.
const CHUNKS_MAX: usize = 1024;
const CHUNK_BYTES: usize = 64 * 1024;

/// Takes connections, until it is dropped.
pub(crate) struct Delay(JoinHandle<Result<()>>);

impl Delay {
    /// Takes connections on a device at `from`, and carries them to `to`, `one_way` later in either direction.
    pub(crate) async fn start(device: &Device, from: SocketAddr, to: SocketAddr, one_way: Duration) -> Result<Self> {
        let listener = device.spawn(move |_| TcpListener::bind(from))?.await?.context("the line's port is free")?;
        let take = device.spawn(move |_| async move {
            loop {
                let (near, _) = listener.accept().await?;
                tokio::spawn(async move {
                    let far = TcpStream::connect(to).await?;
                    near.set_nodelay(true)?;
                    far.set_nodelay(true)?;
                    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                    tokio::try_join!(carry(near_read, far_write, one_way), carry(far_read, near_write, one_way))
                });
            }
        })?;
        Ok(Self(take))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration) -> std::io::Result<()> {
    let (line, mut due) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
    let take_in = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = from.read(&mut chunk).await?;
            chunk.truncate(count);
            if line.send((Instant::now() + one_way, chunk.into())).await.is_err() || count == 0 {
                return Ok(());
            }
        }
    };
    let give_out = async {
        while let Some((at, chunk)) = due.recv().await {
            sleep_until(at).await;
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&chunk).await?;
        }
        Ok(())
    };
    tokio::try_join!(take_in, give_out).map(drop)
}
