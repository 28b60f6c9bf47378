//! `resume` of `p2p::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| p2p_fuzz::run("resume", bytes));
