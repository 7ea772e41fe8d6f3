//! Bytes for `mainstay_hostile::form::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_hostile::form::check(bytes));
