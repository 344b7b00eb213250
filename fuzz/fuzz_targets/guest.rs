//! Feeds the fuzzer's inputs as a guest's channel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flint_sim::strangers::guest(bytes));
