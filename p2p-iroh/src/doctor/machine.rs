//! What the operating system allows. Read from Linux's `/proc`; elsewhere nothing is known.

use std::fs;

use serde::Serialize;

/// The largest UDP buffers that a socket may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Buffers {
    /// To receive, in bytes: `net.core.rmem_max`.
    pub receive_bytes_max: u64,
    /// To send, in bytes: `net.core.wmem_max`.
    pub send_bytes_max: u64,
}

impl Buffers {
    /// Bytes that iroh asks for, in either direction: netwatch's `SOCKET_BUFFER_SIZE`. It gets less without a word.
    pub const WANTED_BYTES: u64 = 7 * 1024 * 1024;

    /// Whether sockets get less than they ask for, so that a burst loses packets.
    pub const fn are_small(&self) -> bool {
        self.receive_bytes_max < Self::WANTED_BYTES || self.send_bytes_max < Self::WANTED_BYTES
    }

    /// What makes them large enough until the next start.
    pub fn sysctl(&self) -> String {
        let wanted = Self::WANTED_BYTES;
        format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}")
    }

    pub(super) fn read() -> Option<Self> {
        let read = |name| fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok()?.trim().parse().ok();
        Some(Self { receive_bytes_max: read("rmem_max")?, send_bytes_max: read("wmem_max")? })
    }
}

/// Files, sockets included, that this process has open and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Descriptors {
    /// Open now.
    pub open: u64,
    /// At most, `ulimit -n`.
    pub max: u64,
}

impl Descriptors {
    /// Whether there may soon be none left. The endpoint itself needs a handful, whatever its peers do; what is forwarded
    /// needs one for each stream.
    pub const fn are_few(&self) -> bool {
        self.max < 1024 || self.open > self.max / 10 * 9
    }

    pub(super) fn read() -> Option<Self> {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self { open, max: soft_limit(&limits)? })
    }
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_of_the_line() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files  256  4096  files\nMax locked memory  1 2 bytes\n";
        assert_eq!(soft_limit(limits), Some(256));
        assert_eq!(soft_limit("Max open files  unlimited  unlimited  files"), Some(u64::MAX));
        assert_eq!(soft_limit("nothing of the kind"), None);
    }

    #[test]
    fn what_is_too_small_comes_with_the_command_that_raises_it() {
        let small = Buffers { receive_bytes_max: 212_992, send_bytes_max: Buffers::WANTED_BYTES };
        assert!(small.are_small() && small.sysctl().contains("net.core.rmem_max=7340032"));
        let large = Buffers { receive_bytes_max: Buffers::WANTED_BYTES, ..small };
        assert!(!large.are_small());
        assert!(Descriptors { open: 10, max: 256 }.are_few() && !Descriptors { open: 10, max: 4096 }.are_few());
        assert!(Descriptors { open: 4000, max: 4096 }.are_few());
    }
}
