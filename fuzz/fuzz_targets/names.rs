//! Feeds the fuzzer's inputs as questions and answers of DNS.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flint_sim::strangers::names(bytes));
