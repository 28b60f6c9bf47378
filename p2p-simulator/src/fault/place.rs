//! Where a fault is: links between peers, or peers with all their links.

use std::{fmt, str::FromStr};

use p2p::P2PError;

/// Where a fault is.
///
/// | text | means |
/// |---|---|
/// | `alice -> bob` | the link from one peer to another |
/// | `alice <-> bob` | both links between the two |
/// | `a, b <-> c, d` | all links between the two groups |
/// | `alice -> *` | all links from a peer |
/// | `alice` | the peer; or all links between it and others |
/// | `a, b` | the peers; or all links between these and others |
/// | `*` | all peers; or all links |
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Links.
    Ways {
        /// Where they begin.
        from: Peers,
        /// Where they end.
        to: Peers,
        /// Whether those back count as well.
        both: bool,
    },
    /// Peers; or, for a fault that concerns links, those between these peers and all others.
    Around(Peers),
}

/// Some peers, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// Everybody.
    All,
    /// These.
    Named(Vec<String>),
}

impl Place {
    /// Both links between two peers.
    pub fn between(a: &str, b: &str) -> Self {
        Self::Ways { from: Peers::one(a), to: Peers::one(b), both: true }
    }

    /// The link from one peer to another.
    pub fn from_to(from: &str, to: &str) -> Self {
        Self::Ways { from: Peers::one(from), to: Peers::one(to), both: false }
    }

    /// A peer, or all links between it and others.
    pub fn peer(name: &str) -> Self {
        Self::Around(Peers::one(name))
    }

    /// All peers, or all links.
    pub const fn everywhere() -> Self {
        Self::Around(Peers::All)
    }

    /// Whether the link from one peer to another is there, by their names.
    pub(crate) fn covers_link(&self, src: &str, dst: &str) -> bool {
        match self {
            Self::Ways { from, to, both } => {
                let covers = |src, dst| from.contain(src) && to.contain(dst);
                covers(src, dst) || (*both && covers(dst, src))
            }
            Self::Around(Peers::All) => true,
            Self::Around(peers) => peers.contain(src) != peers.contain(dst),
        }
    }

    /// Whether a peer is there, by its name.
    pub(crate) fn covers_peer(&self, name: &str) -> bool {
        matches!(self, Self::Around(peers) if peers.contain(name))
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Ways { from, to, .. } => (from, Some(to)),
            Self::Around(peers) => (peers, None),
        };
        std::iter::once(first).chain(second).flat_map(Peers::names)
    }
}

impl Peers {
    fn one(name: &str) -> Self {
        Self::Named(vec![name.into()])
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|known| known == name),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let names: &[String] = match self {
            Self::All => &[],
            Self::Named(names) => names,
        };
        names.iter().map(String::as_str)
    }
}

impl FromStr for Place {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = match (text.split_once("<->"), text.split_once("->")) {
            (Some((a, b)), _) => Self::Ways { from: a.parse()?, to: b.parse()?, both: true },
            (None, Some((from, to))) => Self::Ways { from: from.parse()?, to: to.parse()?, both: false },
            (None, None) => Self::Around(text.parse()?),
        };
        if let Self::Ways { from: Peers::Named(from), to: Peers::Named(to), .. } = &place
            && let Some(name) = from.iter().find(|name| to.contains(name))
        {
            let what = format!("place {text:?}");
            return Err(P2PError::invalid_input(
                what,
                format_args!("links between different peers, not {name:?} twice"),
            ));
        }
        Ok(place)
    }
}

impl FromStr for Peers {
    type Err = P2PError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "*" {
            return Ok(Self::All);
        }
        let names: Vec<String> = text.split(',').map(|name| name.trim().into()).collect();
        if names.iter().any(|name: &String| name.is_empty() || name == "*" || name.contains("->")) {
            let expected = "names with commas between them, or *";
            return Err(P2PError::invalid_input(format_args!("peers {:?}", text.trim()), expected));
        }
        Ok(Self::Named(names))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ways { from, to, both } => write!(f, "{from} {} {to}", if *both { "<->" } else { "->" }),
            Self::Around(peers) => write!(f, "{peers}"),
        }
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Named(names) => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_prints_what_it_was_read_from() {
        for text in ["alice -> bob", "alice <-> bob", "a, b <-> c, d", "alice -> *", "* -> bob", "alice", "a, b", "*"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert_eq!("a<->b".parse::<Place>().unwrap(), Place::between("a", "b"));
        assert_eq!(Place::between("a", "b").names().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (text, expected) in [
            ("", "names"),
            ("a ->", "names"),
            ("a -> b -> c", "names"),
            ("a,", "names"),
            ("a <-> a", "different peers"),
        ] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
