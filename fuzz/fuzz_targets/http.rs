//! Any octets from a client of the admin interface.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_http.rs"]
mod check_http;

fuzz_target!(|octets: &[u8]| {
    let _ = check_http::check(octets);
});
