#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    snel_tests::hostile::frames(bytes);
});
