//! The peer's part.

use bytes::Bytes;
use p2p::BiStream;
use tokio::time::timeout;

use super::{LONGEST, Task};
use crate::forward::{COPY_BYTES, Failure, Meter, abandon};

/// Does what the stream asks for, for at most [`LONGEST`]. What it carries keeps to the rule's bandwidth, and is not counted
/// as forwarded; how it ends is its asker's affair.
pub(crate) async fn serve(task: Task, mut stream: BiStream, meter: &Meter) {
    let measuring = async {
        match task {
            Task::Echo => echo(&mut stream, meter).await,
            Task::Download => download(&mut stream, meter).await,
            Task::Upload => upload(&mut stream, meter).await,
        }
    };
    if let Err(failure) = timeout(LONGEST, measuring).await.unwrap_or(Err(Failure::Busy)) {
        abandon(&mut stream, &failure);
    }
}

async fn echo(stream: &mut BiStream, meter: &Meter) -> Result<(), Failure> {
    while let Some(mut chunk) = stream.recv.read_chunk(COPY_BYTES).await? {
        meter.pace_in(chunk.len()).await;
        meter.pace_out(chunk.len()).await;
        while !chunk.is_empty() {
            stream.send.write_chunk(&mut chunk).await?;
        }
    }
    Ok(stream.send.finish()?)
}

async fn download(stream: &mut BiStream, meter: &Meter) -> Result<(), Failure> {
    let zeros = Bytes::from_static(&[0; COPY_BYTES]);
    loop {
        meter.pace_out(zeros.len()).await;
        let mut chunk = zeros.clone();
        while !chunk.is_empty() {
            match stream.send.write_chunk(&mut chunk).await {
                Ok(_) => {}
                // Whoever asked has seen enough.
                Err(p2p::StreamError::Stopped { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn upload(stream: &mut BiStream, meter: &Meter) -> Result<(), Failure> {
    let mut bytes = 0;
    while let Some(chunk) = stream.recv.read_chunk(COPY_BYTES).await? {
        meter.pace_in(chunk.len()).await;
        bytes += chunk.len() as u64;
    }
    stream.send.write_all(&bytes.to_be_bytes()).await?;
    Ok(stream.send.finish()?)
}
