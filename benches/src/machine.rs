//! Where numbers were taken, without which they mean nothing.

use std::{fmt, fs, thread};

use serde::Serialize;

/// The machine, and how busy it is now. What the system does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: Option<String>,
    /// Threads that run at once.
    pub cores: usize,
    /// The operating system, and its release if known.
    pub system: String,
    /// Processes that ran or wanted to, on average over the last minute.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now.
    pub fn now() -> Self {
        let first_word = |text: String| text.split_whitespace().next().map(str::to_owned);
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok().and_then(first_word);
        Self {
            processor: fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(processor),
            cores: thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, release.unwrap_or_default()).trim().to_owned(),
            load: fs::read_to_string("/proc/loadavg").ok().and_then(first_word).and_then(|load| load.parse().ok()),
        }
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processor = self.processor.as_deref().unwrap_or("unknown processor");
        write!(f, "{} cores of {processor}, {}", self.cores, self.system)?;
        self.load.map_or(Ok(()), |load| write!(f, ", load {load:.1}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found_where_the_system_names_it() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Fast 3000\n"), Some("Fast 3000".into()));
        assert_eq!(processor("processor\t: 0\n"), None);
    }
}
