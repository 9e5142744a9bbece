#![no_main]

// libFuzzer's hook ends the process at any panic; the reader is allowed to catch its decoder's. A
// panic that nobody catches still ends the process.
libfuzzer_sys::fuzz_target!(
    init: std::panic::set_hook(Box::new(|_| ())),
    |bytes: &[u8]| {
        snel_tests::hostile::parquet(bytes);
    }
);
