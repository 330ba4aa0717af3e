//! Any octets as a journal, and as the records in one.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../check_journal.rs"]
mod check_journal;

fuzz_target!(|octets: &[u8]| {
    let _ = check_journal::check_file(octets);
    let _ = check_journal::check_records(octets);
});
