//! What cannot be replayed stays out of the crates that run inside the simulator: clippy's lists, and what it cannot see.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The crates that run inside, with the files that may do otherwise, as they stand at the edge.
const INSIDE: [(&str, &[&str]); 3] = [
    ("p2p/src", &["key_file.rs", "runtime/tokio.rs", "select.rs"]),
    ("p2p-simulator/src", &["driver/real.rs", "trace/cause.rs", "workloads/gossip.rs"]),
    ("tunnel-compat/src/wire", &[]),
];

/// What must not stand in their sources, and why. A macro's name within another macro, a type behind an alias: this sees
/// what a lint does not, and the lint what this does not.
const REFUSED: [(&str, &str); 14] = [
    ("tokio::select!", "begins at a random branch"),
    ("futures_util::select!", "begins at a random branch"),
    ("sync::watch", "wakes in random order"),
    ("HashMap", "is iterated in another order in each process"),
    ("HashSet", "is iterated in another order in each process"),
    ("RandomState", "is another in each process"),
    ("DefaultHasher", "may be another in each version of Rust"),
    ("Instant::now()", "is a clock on the wall"),
    ("SystemTime::now()", "is a clock on the wall"),
    ("rand::rng()", "is not the seed's"),
    ("getrandom::", "is not the seed's"),
    ("thread::spawn", "runs in no order"),
    ("spawn_blocking", "runs in no order"),
    ("tokio::time::sleep", "is no event of the network"),
];

/// The lines that are refused, with their numbers. Comments, and what only tests see, may speak of anything.
fn refused(source: &str) -> Vec<(usize, String)> {
    let code = source.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    let speaks = |line: &str| line.trim_start().starts_with("//");
    let why =
        |line: &str| REFUSED.iter().find(|(word, _)| line.contains(word)).map(|(word, why)| format!("{word} {why}"));
    code.zip(1..).filter(|(line, _)| !speaks(line)).filter_map(|(line, number)| Some((number, why(line)?))).collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().into()
}

#[test]
fn nothing_inside_reads_clocks_draws_at_random_or_iterates_without_order() {
    let mut found = Vec::new();
    for (folder, edges) in INSIDE {
        let folder = root().join(folder);
        let mut files = Vec::new();
        sources(&folder, &mut files);
        assert!(files.len() > 5, "{} has hardly any sources", folder.display());
        for path in files.iter().filter(|path| !edges.iter().any(|edge| path.ends_with(edge))) {
            for (number, why) in refused(&fs::read_to_string(path).unwrap()) {
                found.push(format!("{}:{number}: {why}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_of_what_is_refused_is_noticed_and_comments_and_tests_are_not() {
    for (word, _) in REFUSED {
        assert_eq!(refused(&format!("fn f() {{\n    let x = {word};\n}}")).len(), 1, "{word}");
        assert!(
            refused(&format!("// {word}\n/// {word}\n#[cfg(test)]\nmod tests {{ use {word}; }}")).is_empty(),
            "{word}"
        );
    }
}

#[test]
fn the_lints_are_on_where_programs_run_inside() {
    let clippy = fs::read_to_string(root().join("clippy.toml")).unwrap();
    for path in ["std::time::Instant::now", "std::collections::HashMap", "tokio::sync::watch::channel", "rand::rng"] {
        assert!(clippy.contains(&format!("path = \"{path}\"")), "clippy.toml does not disallow {path}");
    }
    for lib in ["p2p/src/lib.rs", "p2p-simulator/src/lib.rs"] {
        let text = fs::read_to_string(root().join(lib)).unwrap();
        for lint in ["disallowed_macros", "disallowed_methods", "disallowed_types"] {
            assert!(text.contains(&format!("clippy::{lint}")), "{lib} does not turn {lint} on");
        }
    }
}
