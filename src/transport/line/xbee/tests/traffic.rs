//! Packets to and fro, and what the module says of them.

use super::*;

const ENDPOINTS: Endpoints =
    Endpoints { source: 0xE6, destination: 0xE8, cluster: SERIAL_DATA, profile: DIGI };
const SHORT_ONLY: Node = Node { long: NO_LONG, short: 0x2233 };

#[test]
fn packets_come_with_address_and_strength() {
    for mode in Mode::ALL {
        let mut rig = Rig::answered(mode, ZIGBEE);
        let own = long(DEVICE).to_vec();
        let short = vec![0x22, 0x33];
        for (from, manner, address, rssi) in [
            (DEVICE, Manner::Usual, &own, None),
            (DEVICE, Manner::Explicit(ENDPOINTS), &own, None),
            (DEVICE, Manner::Legacy, &own, Some(-60)),
            (SHORT_ONLY, Manner::Usual, &short, None),
            (SHORT_ONLY, Manner::Legacy, &short, Some(-60)),
        ] {
            rig.hear_packet(from, manner, PINGREQ);
            assert_eq!(rig.heard(), [(address.clone(), rssi, PINGREQ.to_vec())], "{manner:?}");
        }
    }
}

#[test]
fn answers_go_in_the_same_kind_of_frames() {
    let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
    let swapped = Endpoints { source: 0xE8, destination: 0xE6, ..ENDPOINTS };
    let other = Node { long: 0x0013_A200_7E7D_1113, short: 0x5566 };
    let device = (DEVICE, long(DEVICE).to_vec());
    let other = (other, long(other).to_vec());
    let short = (SHORT_ONLY, vec![0x22, 0x33]);
    let no_short = |node: Node| Node { short: NO_SHORT, ..node };
    for ((from, address), heard, answered, to) in [
        (&device, Manner::Usual, Manner::Usual, device.0),
        (&device, Manner::Explicit(ENDPOINTS), Manner::Explicit(swapped), device.0),
        (&other, Manner::Legacy, Manner::Legacy, no_short(other.0)),
        (&short, Manner::Usual, Manner::Usual, short.0),
        (&short, Manner::Legacy, Manner::Legacy, short.0),
    ] {
        rig.hear_packet(*from, heard, PINGREQ);
        let frame = rig.sent(address, PINGRESP);
        let (node, manner, id) = destination(&frame);
        assert_eq!((node, manner), (to, answered));
        assert!(frame.ends_with(PINGRESP));
        rig.hear_status(id, 0);
    }
    assert_eq!(rig.counts(), [5, 0, 0]);
}

#[test]
fn the_last_short_address_is_used_until_it_fails() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    let address = long(DEVICE);
    let to = |rig: &mut Rig, status: u8| {
        let frame = rig.sent(&address, PINGRESP);
        let (node, _, id) = destination(&frame);
        assert_eq!(node.long, DEVICE.long);
        rig.hear_status(id, status);
        node.short
    };
    assert_eq!(to(&mut rig, 0), NO_SHORT, "nobody knows it");
    assert_eq!(to(&mut rig, 0), 0x1A2B, "the status said it");
    rig.hear_packet(Node { short: 0x0101, ..DEVICE }, Manner::Usual, PINGREQ);
    assert_eq!(to(&mut rig, 0x21), 0x0101);
    assert_eq!(to(&mut rig, 0x24), NO_SHORT, "the network is asked");
    rig.hear_packet(Node { short: 0x0202, ..DEVICE }, Manner::Usual, PINGREQ);
    // Another one has it now.
    let other = Node { long: 0x0013_A200_0000_0002, short: 0x0202 };
    rig.hear_packet(other, Manner::Usual, PINGREQ);
    assert_eq!(to(&mut rig, 0), NO_SHORT);
    // It has introduced itself.
    let mut data = vec![0x95];
    data.extend([&long(other)[..], &[0xFF, 0xFE, 2, 0x03, 0x03], &address].concat());
    data.extend(b"kit\n\"chen\0\xFF\xFE\x01\x01");
    rig.notes();
    rig.hear_frame(&data);
    assert_eq!(rig.note().1, format!("{SHOWN} has introduced itself as \"kit?\"chen\""));
    assert_eq!(to(&mut rig, 0), 0x0303);
}

#[test]
fn statuses_come_in_any_order_or_not_at_all() {
    let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
    let nodes: Vec<[u8; 8]> = (1..=5_u64).map(u64::to_be_bytes).collect();
    for (node, id) in nodes.iter().zip(1..=4) {
        assert_eq!(destination(&rig.sent(node, PINGRESP)).2, id);
    }
    assert!(!rig.station.is_ready(), "four are under way");
    for (id, status) in [(3, 0), (9, 0), (1, 0x21), (0, 0), (3, 0)] {
        rig.hear_status(id, status);
    }
    assert_eq!(rig.counts(), [1, 1, 0], "others are nobody's");
    let (kind, text) = rig.note();
    assert_eq!(kind, NoteKind::Undelivered);
    let expected = "2 octets to 0000000000000001: no acknowledgement through the network (21)";
    assert_eq!(text, expected);

    rig.wait(4_999);
    assert_eq!((rig.counts(), rig.notes()), ([1, 1, 0], vec![]));
    rig.wait(1);
    assert_eq!(rig.counts(), [1, 1, 2]);
    assert_eq!(rig.notes().len(), 2);
    // Is it in another mode?
    let question = rig.written().remove(0);
    assert_eq!(question, [8, 1, b'A', b'P']);
    rig.answer(*b"AP", Some(&[2]));
    rig.hear_status(2, 0);
    rig.hear_status(4, 0);
    assert_eq!(rig.counts(), [1, 1, 2], "they are late");
    assert_eq!(destination(&rig.sent(&nodes[4], PINGRESP)).2, 5, "numbers go on");
    assert_eq!((rig.written().len(), rig.notes().len()), (0, 0));
}

/// A node that cannot be reached takes one place, and such nodes together take half of them.
#[test]
fn nobody_waits_for_who_is_away() {
    let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
    let away: Vec<[u8; 8]> = (1..=3_u64).map(u64::to_be_bytes).collect();
    for node in &away {
        let id = destination(&rig.sent(node, PINGRESP)).2;
        rig.hear_status(id, 0x24);
        assert_eq!(rig.out.take_unreachable(), None, "once can be chance");
    }
    rig.sent(&away[0], PINGRESP);
    assert!(!rig.takes(&away[0]) && rig.takes(&away[1]));
    rig.sent(&away[1], PINGRESP);
    assert!(!rig.takes(&away[2]) && rig.takes(&long(DEVICE)));
    for _ in 0..50 {
        let id = destination(&rig.sent(&long(DEVICE), PINGRESP)).2;
        rig.hear_status(id, 0);
    }
    rig.wait(5_000);
    assert_eq!(rig.counts(), [50, 3, 2]);
    let mut unreachable: Vec<Address> = std::iter::from_fn(|| rig.out.take_unreachable()).collect();
    unreachable.sort_by_key(|address| address.octets().to_vec());
    let expected = [Address::new(&away[0]).unwrap(), Address::new(&away[1]).unwrap()];
    assert_eq!(unreachable, expected);
    assert_eq!(rig.written().len(), 1, "it is asked for its mode");
    // It is back.
    let node = Node { long: 1, short: 7 };
    rig.hear_packet(node, Manner::Usual, PINGREQ);
    rig.sent(&away[0], PINGRESP);
    assert!(rig.takes(&away[0]));
}

#[test]
fn one_node_has_half_of_the_window() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    rig.sent(&long(DEVICE), PINGRESP);
    rig.sent(&long(DEVICE), PINGRESP);
    assert!(!rig.takes(&long(DEVICE)) && rig.takes(&[0, 1]));
    assert!(rig.station.takes(To::All));
    let frame = rig.sent(&[], &[3, 1, 0]);
    let everybody = Node { long: BROADCAST, short: NO_SHORT };
    assert_eq!(destination(&frame), (everybody, Manner::Usual, 3));
    assert_eq!(frame[12..14], [0, 0], "as far as it gets, without options");
    rig.sent(&[], &[3, 1, 0]);
    assert!(!rig.station.is_ready());
}

#[test]
fn addresses_of_other_lines_are_refused() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    for wrong in [&[1][..], &[0xFF, 0xFF], &[0xFF, 0xFE], &[0xFF; 8], &[0; 7], &[1; 39]] {
        assert_eq!(rig.send(wrong, PINGRESP), Err(Unsendable::BadAddress), "{wrong:?}");
    }
    let everybody = BROADCAST.to_be_bytes();
    assert_eq!(rig.send(&everybody, PINGRESP), Err(Unsendable::BadAddress));
    assert_eq!((rig.written().len(), rig.counts()), (0, [0, 0, 0]));
    assert!(rig.station.is_ready());
}

#[test]
fn frames_that_carry_nothing_are_skipped_and_counted() {
    let mut rig = Rig::answered(Mode::Escaped, ZIGBEE);
    let mut expected = 0;
    let zdo = Endpoints { destination: 0, profile: 0, ..ENDPOINTS };
    let sample = Endpoints { cluster: 0x0092, ..ENDPOINTS };
    let nobody = Node { long: NO_LONG, short: NO_SHORT };
    for (from, manner, length) in [
        (DEVICE, Manner::Explicit(zdo), 20),
        (DEVICE, Manner::Explicit(sample), 20),
        (nobody, Manner::Usual, 14),
        (Node { long: BROADCAST, ..DEVICE }, Manner::Usual, 14),
        (Node { short: 0xFFFD, ..nobody }, Manner::Legacy, 7),
    ] {
        rig.hear_packet(from, manner, PINGREQ);
        expected += length;
    }
    rig.notes();
    for _ in 0..3 {
        rig.hear_frame(&[0x92, 1, 2, 3]);
        rig.hear_frame(&[0x8B, 1]);
        expected += 6;
    }
    let notes: Vec<String> = rig.notes().into_iter().map(|note| note.text).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("type 92 (samples of its inputs)"), "{notes:?}");
    assert_eq!(rig.heard(), []);
    let Discarded { octets, damaged, .. } = rig.station.discarded();
    assert_eq!((octets, damaged), (expected, 3));
}

#[test]
fn packets_longer_than_the_settings_allow_are_no_packets() {
    let mut rig = Rig::answered(Mode::Plain, ZIGBEE);
    rig.station.talk.max_packet = 32;
    rig.hear_packet(DEVICE, Manner::Usual, &[33; 33]);
    rig.hear_packet(DEVICE, Manner::Usual, &[32; 32]);
    assert_eq!(rig.heard(), [(long(DEVICE).to_vec(), None, vec![32; 32])]);
    assert_eq!(rig.station.discarded().overlong, 1);
}
