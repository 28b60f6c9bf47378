//! The sender's side of a stream.

use std::io;

use p2p::{BiStream, PeerId};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tracing::info;

use super::{
    Files,
    manifest::File,
    wire::{self, Reply, Request},
};
use crate::forward::{COPY_BYTES, Failure, Meter};

/// Answers one receiver until it has what it wants.
pub(crate) async fn serve(files: &Files, peer: PeerId, mut stream: BiStream, meter: &Meter) -> Result<(), Failure> {
    while let Some(request) = wire::read(&mut stream.recv).await.map_err(Failure::Local)? {
        match request {
            Request::List => {
                for File { name, bytes, hash, .. } in &files.0.files {
                    let entry = Reply::Entry { name: name.clone(), bytes: *bytes, hash: *hash.as_bytes() };
                    wire::write(&mut stream.send, &entry).await?;
                }
                wire::write(&mut stream.send, &Reply::End).await?;
            }
            Request::Get { file, offset } => match files.0.files.get(file as usize) {
                Some(file) if offset <= file.bytes => content(file, offset, &mut stream, meter).await?,
                _ => wire::write(&mut stream.send, &Reply::Failed { why: "there is no such part".into() }).await?,
            },
            Request::Done => info!(?peer, %files, "A peer has received everything."),
        }
    }
    stream.send.finish()?;
    Ok(())
}

async fn content(file: &File, offset: u64, stream: &mut BiStream, meter: &Meter) -> Result<(), Failure> {
    let opened = async {
        let mut opened = tokio::fs::File::open(&file.path).await?;
        opened.seek(io::SeekFrom::Start(offset)).await?;
        io::Result::Ok(opened)
    };
    let mut opened = match opened.await {
        Ok(opened) => opened,
        Err(error) => {
            let why = format!("{} cannot be read there: {error}", file.name);
            return Ok(wire::write(&mut stream.send, &Reply::Failed { why }).await?);
        }
    };
    let mut left = file.bytes - offset;
    wire::write(&mut stream.send, &Reply::Content { bytes: left }).await?;
    let mut buffer = bytes::BytesMut::new();
    while left > 0 {
        buffer.reserve(COPY_BYTES);
        let read = (&mut opened).take(left).read_buf(&mut buffer).await.map_err(Failure::Local)?;
        if read == 0 {
            // It has become shorter since it was hashed.
            return Err(Failure::Local(io::ErrorKind::UnexpectedEof.into()));
        }
        left -= read as u64;
        let mut chunk = buffer.split().freeze();
        meter.pace_out(chunk.len()).await;
        while !chunk.is_empty() {
            let written = stream.send.write_chunk(&mut chunk).await?;
            meter.bytes_out(written);
        }
    }
    Ok(())
}
