//! What a scenario measured, in the words of its result line.

use std::{fmt, time::Duration};

/// Named durations, in the order they were taken.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, Duration)>);

impl Figures {
    /// Adds one measurement.
    pub(crate) fn add(&mut self, name: &'static str, value: Duration) {
        self.0.push((name, value));
    }

    /// Adds one measurement to a value that is still being built.
    pub(crate) fn with(mut self, name: &'static str, value: Duration) -> Self {
        self.add(name, value);
        self
    }
}

impl fmt::Display for Figures {
    /// Writes `first byte 3.6 ms, direct 12 ms`: three digits at most, since none of them is worth more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let seconds = value.as_secs_f64();
            write!(f, "{separator}{name} ")?;
            match seconds {
                ..0.01 => write!(f, "{:.1} ms", seconds * 1e3)?,
                ..1.0 => write!(f, "{:.0} ms", seconds * 1e3)?,
                _ => write!(f, "{seconds:.1} s")?,
            }
        }
        Ok(())
    }
}
