//! Feeds the fuzzer's inputs as a delivery.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flint_sim::strangers::webhook(bytes));
