//! Any octets as a datagram.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_decode.rs"]
mod check_decode;

fuzz_target!(|octets: &[u8]| {
    let _ = check_decode::check(octets);
});
