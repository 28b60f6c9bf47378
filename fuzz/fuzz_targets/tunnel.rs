//! The legacy tunnel's frames.
#![no_main]

#[path = "../../tunnel-compat/tests/corpus/target.rs"]
#[allow(dead_code, reason = "the other target is another program's")]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::decode(bytes));
