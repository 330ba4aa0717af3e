//! Any octets on the line of an XBee module, and as a script of what happens there.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_xbee.rs"]
mod check_xbee;

fuzz_target!(|octets: &[u8]| {
    let _ = check_xbee::check_line(octets);
    let _ = check_xbee::check_script(octets);
});
