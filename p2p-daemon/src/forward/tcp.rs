//! A TCP connection whose torn-off end nobody takes for a whole one.

use tokio::net::TcpStream;

/// Resets its connection when it is dropped, unless that had come to its end: an error, an aborted task and a panic all
/// look to the other program like what they are.
#[derive(Debug)]
pub(super) struct ResetOnDrop {
    tcp: TcpStream,
    ended: bool,
}

impl ResetOnDrop {
    pub(super) const fn new(tcp: TcpStream) -> Self {
        Self { tcp, ended: false }
    }

    pub(super) const fn get_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Both directions have ended; an ordinary close is right.
    pub(super) fn close(mut self) {
        self.ended = true;
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if !self.ended {
            self.tcp.set_zero_linger().ok();
        }
    }
}
