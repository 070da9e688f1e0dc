//! See `levi-fuzz`, which says what is checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| levi_fuzz::check("stored_list", input));
