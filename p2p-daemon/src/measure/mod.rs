//! How a path to a peer is: round trips and throughput, measured on streams beside those that carry a service.
//!
//! Whoever may use a service may measure the way to it, within that service's bandwidth: nobody learns or takes more than he
//! could by using it. A measurement is a stream of kind 4 of the [forwarding protocol](crate::forward#on-the-wire):
//!
//! | task | the peer |
//! |---|---|
//! | 0, echo | sends back what it reads, until the end |
//! | 1, download | sends bytes until it is stopped |
//! | 2, upload | reads to the end, and answers with the count of bytes as 8 bytes |
//!
//! `serve` is the peer's part, `probe` the asking side's.

mod probe;
mod serve;

use std::time::Duration;

pub(crate) use self::{
    probe::{Probe, Rate},
    serve::serve,
};

/// What a peer is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Echo,
    Download,
    Upload,
}

impl Task {
    const ALL: [Self; 3] = [Self::Echo, Self::Download, Self::Upload];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// How long a peer takes part in one measurement. Who pings for longer begins another.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);
