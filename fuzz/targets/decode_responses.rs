//! Bytes for `mainstay_hostile::codec::responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_hostile::codec::responses(bytes));
