//! Names from a peer, which may be anything.

use std::path::{Path, PathBuf};

/// The place of a file below the receiver's folder, if its name is one that stays there.
///
/// Parts are separated by `/`, and each is an ordinary name on every system: not empty, not `.` or `..`, without separators,
/// control characters or a colon.
pub(super) fn place(name: &str) -> Option<PathBuf> {
    let good = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.len() <= PART_BYTES_MAX
            && !part.contains(|c: char| c.is_control() || "\\:".contains(c))
    };
    (name.len() <= NAME_BYTES_MAX && name.split('/').all(good)).then(|| name.split('/').collect())
}

/// The name of a file on this side, as it travels; nothing if it has none that [`place`] takes.
pub(super) fn name(below: &Path) -> Option<String> {
    let parts: Option<Vec<_>> = below.components().map(|part| part.as_os_str().to_str()).collect();
    let name = parts?.join("/");
    place(&name).map(|_| name)
}

/// As much as a file system takes for one part, less what is put before and behind it while it is incomplete.
const PART_BYTES_MAX: usize = 255 - 32;

const NAME_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leaves_the_folder_is_none() {
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "a\\..\\b",
            "C:x",
            "a\0b",
            "a\nb",
        ] {
            assert_eq!(place(bad), None, "{bad:?}");
        }
        assert_eq!(place(&"x".repeat(300)), None);
        for good in ["a", "a/b.txt", "ä ö/…", ".hidden", "..."] {
            assert_eq!(name(&place(good).unwrap()).as_deref(), Some(good));
        }
    }
}
