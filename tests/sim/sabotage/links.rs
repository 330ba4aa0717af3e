//! Links and devices that tell the gateway something else than the room that they have.

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

#[test]
fn room_that_a_device_does_not_have_is_found() {
    is_found_in(Weather::Devices, || Boaster, &["of messages wait on link"]);
}

#[test]
fn messages_that_a_device_never_has_room_for_are_found() {
    is_found_in(Weather::Devices, || Miser, &["no rest", "never got"]);
}

/// Nobody says that a connection is gone.
struct Optimist;

impl Tamper for Optimist {
    fn room(&self, octets: u32) -> u32 {
        octets.max(1)
    }

    fn there(&self, _: bool) -> bool {
        true
    }
}

#[test]
fn a_message_for_a_device_that_is_away_is_found() {
    is_found_in(Weather::Devices, || Optimist, &["for a device without a connection"]);
}

/// Nobody says that there is one.
struct Pessimist;

impl Tamper for Pessimist {
    fn there(&self, _: bool) -> bool {
        false
    }
}

#[test]
fn connections_that_are_never_known_are_found() {
    is_found_in(Weather::Devices, || Pessimist, &["no rest", "never got"]);
}
