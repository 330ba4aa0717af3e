//! What is asked when the line has been opened, and what follows from the answers.

use super::*;

const PROBE: [u8; 8] = [0x7E, 0, 4, 8, 1, 0x41, 0x50, 0x65];

fn asked(frame: &[u8]) -> [u8; 2] {
    match ToModule::parse(frame) {
        Some(ToModule::Command { command, value: &[], .. }) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_finds_the_mode_and_asks_the_rest() {
    for mode in Mode::ALL {
        let mut rig = Rig::new(mode);
        assert_eq!(rig.out.octets, PROBE);
        assert!(!rig.station.is_ready());
        assert_eq!(rig.station.largest(), usize::MAX);
        rig.answer(*b"AP", Some(&[mode.number()]));
        assert!(rig.station.is_ready(), "the rest can wait");
        rig.answer_all(ZIGBEE);
        assert_eq!(rig.station.next_timeout(), None);
        let text = format!(
            "XBee 0013A200417D117E, firmware 4060, hardware 2E4E, API mode {}, network 1234, channel \
             0C, largest payload 84",
            mode.number()
        );
        assert_eq!(rig.note(), (NoteKind::Found, text));
        assert_eq!(rig.station.largest(), 84);
        assert_eq!(rig.send(&long(DEVICE), &[0; 85]), Err(Unsendable::TooLong));
        assert_eq!(rig.station.discarded(), Discarded::default());

        // The same module again is no news.
        rig.open();
        assert!(!rig.station.is_ready());
        rig.answer_all(ZIGBEE);
        assert_eq!(rig.notes(), []);
    }
}

#[test]
fn series_1_knows_less() {
    let mut rig = Rig::new(Mode::Plain);
    rig.answer_all(SERIES_1);
    let (_, text) = rig.note();
    assert!(text.ends_with("network 3332, channel 0C, largest payload 100"), "{text}");
    let broadcast = rig.sent(&[], &[3, 1, 0]);
    assert_eq!(broadcast, [0, 1, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 3, 1, 0]);
    // Nobody has been heard from.
    assert_eq!(rig.sent(&long(DEVICE), PINGRESP)[..3], [0, 2, 0]);
    assert_eq!(rig.sent(&[0x12, 0x34], PINGRESP), [1, 3, 0x12, 0x34, 0, 2, 0x17]);
}

/// AO=2 means one thing to 802.15.4 firmware, and another to Zigbee's.
#[test]
fn legacy_output_is_told_by_firmware() {
    for (version, is_legacy) in [([0x20, 0x0D], true), ([0x10, 0x12], false)] {
        let mut rig = Rig::new(Mode::Escaped);
        rig.answer(*b"AP", Some(&[2]));
        assert!(!rig.station.takes(To::All), "nobody knows which frames");
        rig.hear_packet(DEVICE, Manner::Legacy, PINGREQ);
        assert!(rig.takes(&long(DEVICE)) && !rig.takes(&[0, 1]));
        rig.answer(*b"AO", Some(&[2]));
        rig.answer(*b"VR", Some(&version));
        rig.answer(*b"NP", Some(&[0, 0x74]));
        rig.written();
        let frame = rig.sent(&[], PINGREQ);
        assert_eq!(destination(&frame).1 == Manner::Legacy, is_legacy);
        assert_eq!(rig.station.largest(), 116);
    }
}

#[test]
fn a_module_that_does_not_answer_the_rest_is_used_all_the_same() {
    let mut rig = Rig::new(Mode::Escaped);
    rig.answer(*b"AP", Some(&[2]));
    rig.written();
    rig.wait(1_000);
    assert_eq!(rig.written().iter().map(|frame| asked(frame)).collect::<Vec<_>>(), [*b"AO"]);
    // Answers that were not asked for, and of no use.
    rig.answer(*b"SL", Some(&[1, 2, 3, 4]));
    rig.answer(*b"AO", Some(&[]));
    rig.answer(*b"VR", Some(&[1; 9]));
    assert!(rig.station.takes(To::All), "whatever it is");
    rig.wait(60_000);
    assert_eq!(rig.station.next_timeout(), None);
    let written = rig.written();
    let questions: Vec<_> = written.iter().map(|frame| asked(frame)).collect();
    assert_eq!(questions.iter().filter(|question| **question == *b"CH").count(), 2);
    assert_eq!(rig.note().1, "XBee, API mode 2");
    assert_eq!(rig.station.largest(), usize::MAX);
}

#[test]
fn a_silent_module_is_asked_for_ever_and_the_log_says_why_once() {
    let mut rig = Rig::new(Mode::Escaped);
    rig.wait(3_749);
    assert_eq!((rig.written().len(), rig.notes()), (4, vec![]));
    rig.wait(1);
    let (kind, text) = rig.note();
    assert_eq!(kind, NoteKind::Trouble);
    for part in ["answers no AT command", "AP=0", "57600 baud", "set AP=2", "XCTU"] {
        assert!(text.contains(part), "{text}");
    }
    rig.wait(600_000);
    let questions = rig.written().len();
    assert!((300..500).contains(&questions), "{questions}: sixteen at once, twice a minute");
    assert_eq!(rig.notes(), []);
    assert!(!rig.station.is_ready());

    // Somebody has set AP.
    rig.answer(*b"AP", Some(&[2]));
    assert!(rig.station.is_ready());
    rig.answer_all(ZIGBEE);
    assert_eq!(rig.note().0, NoteKind::Found);
}

/// A module that is switched on late need not wait for its turn.
#[test]
fn a_module_that_speaks_is_asked_soon() {
    let mut rig = Rig::new(Mode::Plain);
    rig.wait(300_000);
    rig.written();
    rig.hear_modem_status(0);
    assert_eq!(rig.written().len(), 0);
    rig.wait(500);
    assert_eq!(rig.written().len(), 16);
    rig.answer(*b"AP", Some(&[1]));
    assert!(rig.station.is_ready());
}

#[test]
fn a_transparent_module_is_recognised_by_what_comes() {
    let mut rig = Rig::new(Mode::Escaped);
    rig.hear(&[9, 0x04, 0x04, 1, 0, 60, b'a', b'b', b'c']);
    rig.wait(900);
    assert_eq!(rig.notes(), [], "it may have been the end of a frame");
    rig.hear(&[9, 0x04, 0x04, 1]);
    assert_eq!(rig.notes(), []);
    rig.hear(&[0, 60, b'a', b'b', b'c']);
    let (kind, text) = rig.note();
    assert_eq!(kind, NoteKind::Trouble);
    assert!(text.contains("transparent mode (AP=0)") && text.contains("AP=2"), "{text}");
    rig.hear(&[9, 0x04, 0x04, 1, 0, 60, b'a', b'b', b'c']);
    rig.wait(60_000);
    assert_eq!(rig.notes(), [], "that was said");
    assert_eq!(rig.heard(), []);
    assert_eq!(rig.station.discarded().octets, 27);
}

/// Packets in frames are no sign of transparent mode, but nobody is listened to before the mode is
/// known: in the wrong one a payload could pass for a frame.
#[test]
fn before_the_mode_is_known_nobody_is_heard() {
    let mut rig = Rig::new(Mode::Plain);
    // As a hostile node would have it.
    let mut fake = Vec::new();
    write_answer(1, *b"AP", 0, &[2], &mut fake);
    let mut payload = vec![30, 0x0C];
    encode(Mode::Escaped, &fake, &mut payload);
    rig.hear_packet(DEVICE, Manner::Usual, &payload);
    rig.hear_packet(DEVICE, Manner::Usual, PINGREQ);
    assert!(!rig.station.is_ready());
    assert_eq!((rig.heard(), rig.notes()), (vec![], vec![]));
    rig.answer(*b"AP", Some(&[1]));
    assert!(rig.station.is_ready());
    rig.hear_packet(DEVICE, Manner::Usual, &payload);
    assert_eq!(rig.heard(), [(long(DEVICE).to_vec(), None, payload)]);
    rig.answer_all(ZIGBEE);
    assert!(rig.note().1.contains("API mode 1"));
}

#[test]
fn what_is_no_mode_is_not_believed() {
    let mut rig = Rig::new(Mode::Plain);
    for wrong in [Some(&[4][..]), Some(&[]), Some(&[0, 2]), Some(&[1, 2]), None] {
        rig.answer(*b"AP", wrong);
        assert!(!rig.station.is_ready(), "{wrong:?}");
    }
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    rig.hear_modem_status(0);
    rig.wait(100);
    rig.written();
    rig.answer(*b"AP", Some(&[4]));
    rig.answer(*b"AP", None);
    assert_eq!(rig.written().len(), 0, "it is asked again later");
    rig.wait(250);
    assert_eq!(rig.written(), [[8, 1, b'A', b'P']]);
}

/// Whatever was on the line before the answer, and however it is cut.
#[test]
fn the_answer_is_found_in_noise() {
    let mut answer = Vec::new();
    write_answer(1, *b"AP", 0, &[2], &mut answer);
    let mut line = vec![0x7E, 0, 90, 0x90, 1, 2, 0x7E, 0, 0x55, 0x7D];
    encode(Mode::Plain, &answer, &mut line);
    for split in 0..line.len() {
        let mut rig = Rig::new(Mode::Escaped);
        rig.hear(&line[..split]);
        rig.wait(10);
        rig.hear(&line[split..]);
        // The ear for mode 1 still waits for the rest of what was no frame.
        rig.wait(500);
        rig.answer(*b"AP", Some(&[2]));
        assert!(rig.station.is_ready(), "{split}");
    }
}
