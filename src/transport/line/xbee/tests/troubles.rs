//! Modules that restart, change, or are not as they should be.

use super::*;

#[test]
fn a_module_that_restarts_is_asked_again() {
    for status in [0, 1] {
        let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
        rig.sent(&long(DEVICE), PINGRESP);
        rig.sent(&[], PINGRESP);
        rig.hear_modem_status(status);
        assert_eq!(rig.counts(), [0, 0, 2], "they are lost");
        let kind = if status == 0 { NoteKind::Found } else { NoteKind::Trouble };
        assert_eq!(rig.note().0, kind);
        // One that restarts all the time is not asked all the time.
        for _ in 0..100 {
            rig.hear_modem_status(status);
        }
        assert_eq!(rig.written().len(), 0);
        rig.wait(100);
        assert!(rig.station.is_ready(), "meanwhile it has the mode that it had");
        assert!(rig.takes(&long(DEVICE)));
        // Somebody has changed two things.
        rig.notes();
        rig.answer_all(SERIES_1);
        assert!(rig.note().1.contains("firmware 10ED"));
        assert_eq!(rig.station.largest(), 100);
    }
}

#[test]
fn another_mode_after_a_restart_is_taken_up() {
    for (mode, other) in [(Mode::Plain, Mode::Escaped), (Mode::Escaped, Mode::Plain)] {
        let mut rig = Rig::answered(mode, ZIGBEE);
        rig.mode = other;
        rig.hear_modem_status(0);
        rig.wait(100);
        rig.notes();
        // The question was understood in both.
        rig.out.octets.clear();
        rig.ear = Ear::new(other, Sender::Host, 1_024, 57_600);
        rig.answer(*b"AP", Some(&[other.number()]));
        rig.answer_all(ZIGBEE);
        assert!(rig.note().1.contains(&format!("API mode {}", other.number())));
        let special = Node { long: 0x0013_A200_7E7D_1113, short: NO_SHORT };
        rig.hear_packet(special, Manner::Usual, PINGREQ);
        assert_eq!(rig.heard().len(), 1);
        rig.sent(&long(special), PINGRESP);
    }
}

/// Somebody has switched the API off. Statuses stop, then everything does.
#[test]
fn a_module_that_falls_silent_is_found_out() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    rig.sent(&long(DEVICE), PINGRESP);
    rig.wait(5_000);
    assert_eq!(rig.note().0, NoteKind::Undelivered);
    assert!(rig.station.is_ready());
    rig.wait(3_750);
    assert!(!rig.station.is_ready(), "nobody knows its mode");
    let (kind, text) = rig.note();
    assert_eq!(kind, NoteKind::Trouble);
    assert!(text.contains("answers no AT command"));
    rig.hear(&[2, 0x16]);
    assert_eq!(rig.note().0, NoteKind::Trouble, "and that it is transparent");
    rig.written();
    rig.wait(40_000);
    rig.answer_all(ZIGBEE);
    assert!(rig.station.is_ready());
    assert_eq!(rig.note().0, NoteKind::Found);
}

#[test]
fn a_module_that_tells_nothing_of_packets_is_doubted_now_and_then() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    let mut questions = 0;
    for _ in 0..12 {
        rig.sent(&long(DEVICE), PINGRESP);
        rig.wait(5_000);
        let asked = rig.written();
        questions += asked.len();
        for _ in asked {
            rig.answer(*b"AP", Some(&[1]));
        }
        rig.notes();
        rig.hear_packet(DEVICE, Manner::Usual, PINGREQ);
    }
    assert_eq!((questions, rig.counts()), (6, [0, 0, 12]));
}

#[test]
fn failures_are_told_in_words() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    for (status, words, kind) in [
        (0x01, "no acknowledgement from the radio", NoteKind::Undelivered),
        (0x02, "channel was busy", NoteKind::Undelivered),
        (0x15, "no such endpoint", NoteKind::Undelivered),
        (0x18, "no buffer", NoteKind::Undelivered),
        (0x21, "through the network", NoteKind::Undelivered),
        (0x22, "joined no network; give it the same ID", NoteKind::Trouble),
        (0x23, "own address", NoteKind::Undelivered),
        (0x24, "does not know its address", NoteKind::Undelivered),
        (0x25, "no route", NoteKind::Undelivered),
        (0x26, "passed the broadcast on", NoteKind::Undelivered),
        (0x31, "software", NoteKind::Undelivered),
        (0x32, "out of resources", NoteKind::Undelivered),
        (0x74, "too large for the radio; use shorter", NoteKind::Trouble),
        (0xEE, "the module says so", NoteKind::Undelivered),
    ] {
        let id = destination(&rig.sent(&long(DEVICE), PINGRESP)).2;
        rig.hear_status(id, status);
        let (found, text) = rig.note();
        assert_eq!(found, kind, "{text}");
        assert!(text.starts_with(&format!("2 octets to {SHOWN}: ")), "{text}");
        assert!(text.contains(words) && text.ends_with(&format!("({status:02X})")), "{text}");
    }
    assert_eq!(rig.station.largest(), 84, "74 changes nothing");
    let id = destination(&rig.sent(&[], PINGRESP)).2;
    rig.hear_status(id, 0x02);
    assert!(rig.note().1.starts_with("2 octets to everybody: "));
}

/// The air is nobody's fault: a node is not doubted for it.
#[test]
fn a_busy_channel_is_not_held_against_a_node() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    for status in [0x02, 0x18, 0x32, 0x74, 0x22] {
        let id = destination(&rig.sent(&long(DEVICE), PINGRESP)).2;
        rig.hear_status(id, status);
    }
    rig.sent(&long(DEVICE), PINGRESP);
    assert!(rig.takes(&long(DEVICE)));
    assert_eq!(rig.out.take_unreachable(), None);
}

#[test]
fn what_happens_to_the_module_is_told() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    for (status, kind, words) in [
        (0x03, NoteKind::Trouble, "lost its network (03). It looks for it again"),
        (0x0D, NoteKind::Trouble, "supply voltage"),
        (0x90, NoteKind::Trouble, "radio stack has failed (90)"),
        (0x07, NoteKind::Found, "key was changed (07)"),
        (0x60, NoteKind::Found, "no words for (60)"),
    ] {
        rig.hear_modem_status(status);
        let (found, text) = rig.note();
        assert_eq!(found, kind);
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(rig.station.next_timeout(), None);
    // It may have found another network.
    for status in [0x02, 0x06] {
        rig.hear_modem_status(status);
        rig.wait(100);
        rig.notes();
        rig.answer_all(ZIGBEE);
        assert_eq!((rig.notes(), rig.station.next_timeout()), (vec![], None));
    }
}

/// What a hostile network can have a module say takes no memory: nodes without end, statuses that
/// nobody waits for, names.
#[test]
fn nothing_from_the_line_piles_up() {
    let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
    let mut random = 1_u32;
    for number in 0..30_000_u64 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let octets = random.to_be_bytes();
        let node =
            Node { long: number | 1 << 40, short: u16::from_be_bytes([octets[0], octets[1]]) };
        match octets[2] % 4 {
            0 => rig.hear_packet(node, Manner::Usual, PINGREQ),
            1 => rig.hear_status(octets[0], octets[1]),
            2 => rig.hear_modem_status(octets[0]),
            _ => rig.hear(&octets),
        }
        rig.heard();
        assert!(rig.notes().len() <= 16 && rig.out.octets.len() <= 64);
        rig.out.octets.clear();
    }
    assert!(rig.out.take_unreachable().is_none());
}
