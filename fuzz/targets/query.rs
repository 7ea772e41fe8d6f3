//! Bytes for `mainstay_hostile::query::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_hostile::query::check(bytes));
