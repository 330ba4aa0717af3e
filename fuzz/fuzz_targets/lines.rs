//! Any octets on a line, whatever its framing is.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_lines.rs"]
mod check_lines;

fuzz_target!(|octets: &[u8]| {
    check_lines::check(octets);
});
