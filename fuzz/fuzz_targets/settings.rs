//! Feeds the fuzzer's inputs as a configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flint_sim::strangers::settings(bytes));
