//! The counters in a few words: what was handled, and what was not.

use std::fmt::Write as _;

use crate::codec::DecodeError;
use crate::core::{Denial, Drop, Limit};
use crate::engine::Engine;

/// One line for the log. Counters that are zero are left out.
pub(super) fn summary(engine: &Engine) -> String {
    let core = engine.gateway().stats();
    let session = engine.session().stats();
    let received: u64 = core.received.iter().sum();
    let sent: u64 = engine.outgoing().sent().iter().sum();
    let mut text = format!(
        "{received} packets from devices, {sent} to them; {} clients, {} of them connected",
        core.clients, core.connected
    );
    if core.asleep > 0 {
        let _ = write!(text, ", {} asleep", core.asleep);
    }
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            let _ = write!(text, "; {count} {what}");
        }
    };
    say(session.published, "publications to the broker");
    say(session.received, "messages from it");
    say(core.retransmissions, "packets repeated to devices");
    say(core.duplicates, "repetitions from devices");
    say(core.wakes, "wakes of sleeping clients");
    say(core.wakes_unfinished, "wakes that ended without an answer");
    say(core.held_back, "waits of a message for room on its link");
    say(core.moved, "sessions moved to another address");
    say(core.lost, "clients lost");
    say(core.expired, "messages to clients expired");
    say(core.abandoned, "messages to clients given up");
    say(core.buffered, "messages waiting for clients");
    say(session.spooled_bytes, "octets of publications kept for the broker");
    say(core.wasted, "of these thrown away");
    let written = engine.written();
    say(written.commits, "writes to the state directory");
    say(written.bytes, "octets written there");
    say(written.failures, "times that nothing could be written there");
    list(&mut text, "not MQTT-SN", DecodeError::KINDS.iter().copied(), &core.malformed);
    list(&mut text, "dropped", Drop::ALL.iter().map(|kind| kind.label()), &core.dropped);
    list(&mut text, "refused by rules", Denial::ALL.iter().map(|kind| kind.label()), &core.denied);
    list(&mut text, "limits reached", Limit::ALL.iter().map(|kind| kind.label()), &core.limits);
    text
}

/// `; dropped: 3 stranger, 1 unexpected`, or nothing.
fn list<'a>(text: &mut String, what: &str, kinds: impl Iterator<Item = &'a str>, counts: &[u64]) {
    let mut first = true;
    for (kind, count) in kinds.zip(counts).filter(|(_, count)| **count > 0) {
        let before = if first { format!("; {what}:") } else { ",".to_owned() };
        first = false;
        let _ = write!(text, "{before} {count} {kind}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Address, LinkId, Signal};
    use crate::time::Time;
    use crate::{core, mqtt};

    #[test]
    fn says_what_was_not_taken_and_why() {
        let (core, mqtt) = (core::Settings::default(), mqtt::Settings::default());
        let mut engine = Engine::new(core, mqtt, 1, Time(0));
        let from = Address::new(&[1]).unwrap();
        for datagram in [&[0x02, 0x16][..], &[0x02, 0x16, 0xFF], &[0x01], &[0x02, 0x06]] {
            engine.datagram(Time(0), LinkId(0), &from, Signal::default(), datagram);
        }
        assert_eq!(
            summary(&engine),
            "2 packets from devices, 1 to them; 0 clients, 0 of them connected; not MQTT-SN: 1 \
             truncated_header, 1 length_mismatch; dropped: 1 wrong_direction, 1 stranger; "
                .trim_end_matches("; ")
        );
    }
}
