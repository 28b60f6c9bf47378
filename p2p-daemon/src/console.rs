//! What a person reads: lines on stdout, in colour where a terminal shows it. Logs go to stderr and are no part of this.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use crate::config;

/// The person's side of stdout. Once nobody reads it any more, nothing is printed and nothing fails.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    terminal: bool,
    colour: bool,
    silent: bool,
}

impl Console {
    /// Stdout, with colours if it is a terminal and `NO_COLOR` is not set.
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        Self { terminal, colour: terminal && !config::no_color(), silent: false }
    }

    /// Prints nothing, where stdout is for data.
    pub const fn silent() -> Self {
        Self { terminal: false, colour: false, silent: true }
    }

    /// Prints one line.
    pub fn line(&self, text: impl fmt::Display) {
        if self.silent {
            return;
        }
        let mut stdout = io::stdout().lock();
        // A pipe whose reader is gone is no reason to end a service.
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).ok();
    }

    /// Whether it is a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Lines that the terminal shows at once; 24 where nobody knows.
    pub fn rows(&self) -> usize {
        #[cfg(unix)]
        let size = rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_row)).ok();
        #[cfg(not(unix))]
        let size = None;
        size.filter(|rows| *rows > 0).unwrap_or(24)
    }

    /// Whether somebody watches, so that progress is worth drawing.
    pub fn is_watched(&self) -> bool {
        self.terminal && io::stderr().is_terminal()
    }

    /// For what went well.
    pub fn green<T: fmt::Display>(&self, text: T) -> Styled<T> {
        self.styled("32", text)
    }

    /// For what needs attention.
    pub fn yellow<T: fmt::Display>(&self, text: T) -> Styled<T> {
        self.styled("33", text)
    }

    /// For what matters most.
    pub fn bold<T: fmt::Display>(&self, text: T) -> Styled<T> {
        self.styled("1", text)
    }

    /// For what may be skipped.
    pub fn dim<T: fmt::Display>(&self, text: T) -> Styled<T> {
        self.styled("2", text)
    }

    fn styled<T: fmt::Display>(&self, style: &'static str, text: T) -> Styled<T> {
        Styled { style: self.colour.then_some(style), text }
    }
}

/// Text in a style, padded like the text alone.
#[derive(Debug)]
pub struct Styled<T> {
    /// An SGR parameter (ECMA-48 §8.3.117).
    style: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            None => self.text.fmt(f),
            Some(style) => {
                write!(f, "\x1b[{style}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
        }
    }
}

/// A duration with three digits, in the unit that a person would use.
pub(crate) fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s < 0.0995 => format!("{:.1} ms", s * 1e3),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// A peer id's first digits, enough to tell peers apart on one screen.
pub(crate) fn short(peer: p2p::PeerId) -> String {
    format!("{peer:?}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn durations_read_like_a_person_would_say_them() {
        for (micros, text) in [(1_234, "1.2 ms"), (99_400, "99.4 ms"), (212_000, "212 ms"), (1_500_000, "1.50 s")] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn colours_change_no_width() {
        let plain = Console::silent();
        let colours = Console { terminal: true, colour: true, silent: false };
        assert_eq!(format!("{:<6}|", plain.green("ok")), "ok    |");
        assert_eq!(format!("{:<6}|", colours.green("ok")), "\x1b[32mok    \x1b[0m|");
    }
}
