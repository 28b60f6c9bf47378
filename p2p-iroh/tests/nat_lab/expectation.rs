//! What each pair of NATs is expected to end on, read from `matrix.txt`.
//!
//! Needs nothing but the standard library, so that a test on a simulated network can include this very file by
//! `#[path]` and hold itself to the same table.

use std::{fmt, str::FromStr};

const MATRIX: &str = include_str!("matrix.txt");

/// How a router translates addresses, in the words of RFC 4787.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NatKind {
    /// No translation: the peer has a public address.
    None,
    /// Endpoint-independent mapping and filtering, the "full cone".
    Open,
    /// Endpoint-independent mapping, filtering by address and port: the usual home router.
    Moderate,
    /// Mapping that depends on the destination, with random ports: the "symmetric" NAT.
    Strict,
}

/// What a connection runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathKind {
    /// Straight between the peers' addresses.
    Direct,
    /// Through the relay.
    Relayed,
}

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expectation {
    pub(crate) dialler: NatKind,
    pub(crate) acceptor: NatKind,
    pub(crate) path: PathKind,
}

/// Reads the table, row by row.
///
/// # Panics
///
/// When `matrix.txt` is malformed, which only an edit of that file can cause.
pub(crate) fn expectations() -> Vec<Expectation> {
    let mut rows = MATRIX.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace());
    let acceptors: Vec<NatKind> = rows.next().expect("a header row").skip(1).map(parse).collect();
    let mut cells = Vec::new();
    for mut row in rows {
        let dialler = parse(row.next().expect("a row names its dialler"));
        let paths: Vec<PathKind> = row.map(parse).collect();
        assert_eq!(paths.len(), acceptors.len(), "one cell per acceptor");
        let row = acceptors.iter().zip(paths);
        cells.extend(row.map(|(&acceptor, path)| Expectation { dialler, acceptor, path }));
    }
    cells
}

impl FromStr for NatKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "none" => Ok(Self::None),
            "open" => Ok(Self::Open),
            "moderate" => Ok(Self::Moderate),
            "strict" => Ok(Self::Strict),
            other => Err(format!("`{other}` is no kind of NAT")),
        }
    }
}

impl FromStr for PathKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "direct" => Ok(Self::Direct),
            "relayed" => Ok(Self::Relayed),
            other => Err(format!("`{other}` is no kind of path")),
        }
    }
}

impl fmt::Display for NatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Moderate => "moderate",
            Self::Strict => "strict",
        })
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        })
    }
}

fn parse<T: FromStr<Err = String>>(word: &str) -> T {
    word.parse().unwrap_or_else(|error| panic!("matrix.txt: {error}"))
}
