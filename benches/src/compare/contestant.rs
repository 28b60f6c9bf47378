//! What takes part.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// Two endpoints on loopback, one of which takes connections.
#[async_trait]
pub(crate) trait Contestant: Send + Sync {
    /// What the tables call it.
    fn name(&self) -> &'static str;

    /// Connects the two: resolves when both sides have their connection.
    async fn connect(&self) -> Result<(Box<dyn Side>, Box<dyn Side>)>;
}

/// One end of a connection. Each pair of calls below is made on the two ends at once; called once a sample, they cost
/// nothing beside what they do.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    /// Opens a stream and writes chunk after chunk until the peer has enough.
    async fn write(&self, chunk: Bytes) -> Result<()>;

    /// Reads that stream: a good part to warm up, then `bytes`, and tells how long those took.
    async fn read(&self, warm_up: usize, bytes: usize) -> Result<Duration>;

    /// Sends a message and waits for the answer, so many times, and tells how long each took.
    async fn ask(&self, message: Bytes, times: usize) -> Result<Vec<Duration>>;

    /// Sends back each of so many messages.
    async fn answer(&self, message_bytes: usize, times: usize) -> Result<()>;

    /// Sends so many messages, each as soon as it is there.
    async fn send(&self, message: Bytes, messages: usize) -> Result<()>;

    /// Sends so many messages, of which the sender knows that more follow.
    async fn send_together(&self, message: Bytes, messages: usize) -> Result<()>;

    /// Receives messages, some to warm up, and tells how long the rest took.
    async fn receive(&self, warm_up: usize, messages: usize) -> Result<Duration>;

    /// Sends datagrams until this is dropped, which the connection's end also brings about.
    async fn send_datagrams(&self, datagram: Bytes) -> Result<()>;

    /// Receives datagrams, some to warm up, and tells how long the rest took.
    async fn receive_datagrams(&self, warm_up: usize, datagrams: usize) -> Result<Duration>;

    /// Ends the connection.
    fn close(&self);
}
