//! Runs a target by its name.

/// Hands `bytes` to the target of that name.
///
/// # Panics
/// If there is none, or if the target finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = p2p::fuzzing::TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(bytes);
}
