//! Feeds the fuzzer's inputs as an exported log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flint_sim::strangers::log(bytes));
