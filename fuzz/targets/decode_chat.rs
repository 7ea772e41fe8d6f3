//! Bytes for `mainstay_hostile::codec::chat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_hostile::codec::chat(bytes));
