//! Links that tell the gateway something else than the room that they have.

use super::{Tamper, Weather, is_found_in};

/// There is always room.
struct Boaster;

impl Tamper for Boaster {
    fn room(&self, octets: u32) -> u32 {
        octets.max(1_000_000)
    }
}

#[test]
fn room_that_is_not_there_is_found() {
    is_found_in(Weather::SlowLinks, || Boaster, &["of messages wait on link"]);
}

/// There is never any room.
struct Miser;

impl Tamper for Miser {
    fn room(&self, _: u32) -> u32 {
        0
    }
}

#[test]
fn messages_that_never_have_their_turn_are_found() {
    is_found_in(Weather::SlowLinks, || Miser, &["no rest", "never got"]);
}
