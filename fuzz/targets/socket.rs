//! Bytes for `mainstay_hostile::socket::check`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mainstay_hostile::socket::check(bytes));
libfuzzer_sys::fuzz_mutator!(|bytes: &mut [u8], size: usize, most: usize, seed: u32| {
    mainstay_fuzz::mutate(bytes, size, most, seed)
});
