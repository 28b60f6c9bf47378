//! Replays what the fuzzer collected in `fuzz/corpus`.

mod target;

use std::{fs, path::Path};

#[expect(clippy::print_stderr, reason = "tells which file it was, should it fail")]
fn replay(folder: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(folder);
    let files: Vec<_> = fs::read_dir(folder).expect("it is in the repository").collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.expect("it is in the repository").path();
        eprintln!("{}", path.display());
        target(&fs::read(path).expect("a file"));
    }
}

#[test]
fn every_frame_of_the_tunnels_corpus_passes_its_target() {
    replay("tunnel", target::decode);
}

#[test]
fn every_script_of_the_streams_corpus_passes_its_target() {
    replay("mux", target::mux);
}
