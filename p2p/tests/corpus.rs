//! Replays what the fuzzer collected in `fuzz/corpus`, target by target.

use std::{fs, path::Path};

use p2p::fuzzing::TARGETS;

#[test]
#[expect(clippy::print_stderr, reason = "tells which file it was, should it fail")]
fn every_file_of_the_corpora_passes_its_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, target) in TARGETS {
        let files: Vec<_> = fs::read_dir(corpora.join(name)).expect("it is in the repository").collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let path = file.expect("it is in the repository").path();
            eprintln!("{}", path.display());
            target(&fs::read(path).expect("a file"));
        }
    }
}

#[test]
fn every_target_is_one_of_the_fuzzers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    for (name, _) in TARGETS {
        assert!(folder.join(format!("{name}.rs")).exists(), "no fuzz target runs {name}");
    }
}
