//! Any octets on the line of a radio.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_radios.rs"]
mod check_radios;

fuzz_target!(|octets: &[u8]| {
    check_radios::check(octets);
});
