//! What a scenario measured, in the words of its result line.

use std::{fmt, time::Duration};

use crate::expectation::PathKind;

/// Named durations, in the order they were taken, and the path they were taken on.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    path: Option<PathKind>,
    times: Vec<(&'static str, Duration)>,
}

impl Figures {
    /// Of a connection that started on that path.
    pub(crate) fn over(path: PathKind) -> Self {
        Self { path: Some(path), times: Vec::new() }
    }

    /// Adds one measurement.
    pub(crate) fn add(&mut self, name: &'static str, value: Duration) {
        self.times.push((name, value));
    }

    /// Adds one measurement to a value that is still being built.
    pub(crate) fn with(mut self, name: &'static str, value: Duration) -> Self {
        self.add(name, value);
        self
    }

    /// The path, where one was looked at.
    pub(crate) fn path(&self) -> Option<PathKind> {
        self.path
    }

    /// All measurements.
    pub(crate) fn times(&self) -> &[(&'static str, Duration)] {
        &self.times
    }
}

impl fmt::Display for Figures {
    /// Writes `first byte 3.6 ms, direct 12 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.times.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {}", Rounded(*value))?;
        }
        Ok(())
    }
}

/// A duration in three digits at most, since none of them is worth more.
pub(crate) struct Rounded(pub(crate) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            ..0.01 => write!(f, "{:.1} ms", seconds * 1e3),
            ..1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            _ => write!(f, "{seconds:.1} s"),
        }
    }
}
