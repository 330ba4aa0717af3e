//! Any octets on the line of a hub, and in a frame of one.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_hub.rs"]
mod check_hub;

fuzz_target!(|octets: &[u8]| {
    let _ = check_hub::check_contents(octets);
    let _ = check_hub::check_line(octets);
});
