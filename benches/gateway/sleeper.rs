//! The sleeper of the cases about many: four topics, two subscriptions, an id of 15 octets.

use crate::sn;

/// Topics that it registers, 26 to 30 octets each.
pub const TOPICS: [&str; 4] = ["temperature", "humidity", "battery", "status"];
/// The filter that all of them share.
pub const SHARED: &str = "plant/all/#";
/// How long it says that it will sleep, seconds: longer than any case.
pub const SLEEP: u16 = 36_000;

/// Client id.
pub fn id(number: usize) -> String {
    format!("sensor-{number:08}")
}

/// One of the names that it registers.
pub fn topic(number: usize, which: usize) -> String {
    format!("plant/{number:08}/{}", TOPICS[which % TOPICS.len()])
}

/// The name that it alone subscribes to.
pub fn command(number: usize) -> String {
    format!("plant/{number:08}/command")
}

/// What it says, in order, until it sleeps: the request and the type of its answer.
pub const STEPS: usize = 8;

/// Writes the request of one of the [`STEPS`]; returns the MsgType of the answer.
pub fn step(out: &mut Vec<u8>, number: usize, step: usize, clean: bool) -> u8 {
    match step {
        0 => {
            sn::connect_with(out, &id(number), clean, SLEEP);
            sn::CONNACK
        }
        1..=4 => {
            sn::register(out, step as u16, &topic(number, step - 1));
            sn::REGACK
        }
        5 => {
            sn::subscribe(out, 5, 1, &command(number));
            sn::SUBACK
        }
        6 => {
            sn::subscribe(out, 6, 1, SHARED);
            sn::SUBACK
        }
        _ => {
            sn::sleep(out, SLEEP);
            sn::DISCONNECT
        }
    }
}
