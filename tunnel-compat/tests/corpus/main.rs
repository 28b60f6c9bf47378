//! Replays what the fuzzer collected in `fuzz/corpus/tunnel`.

mod target;

use std::{fs, path::Path};

#[test]
#[expect(clippy::print_stderr, reason = "tells which file it was, should it fail")]
fn every_file_of_the_corpus_passes_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/tunnel");
    let files: Vec<_> = fs::read_dir(folder).expect("it is in the repository").collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.expect("it is in the repository").path();
        eprintln!("{}", path.display());
        target::decode(&fs::read(path).expect("a file"));
    }
}
