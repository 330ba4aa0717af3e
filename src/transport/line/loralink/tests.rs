use super::super::bench::{Bench, join};
use super::*;

const PINGREQ: [u8; 2] = [2, 0x16];

fn link() -> Bench<LoraLink> {
    Bench::new(LoraLink::new(1_024))
}

fn from_modem(source: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FromModem { source, rssi: -107, snr: -4, kind, payload }.encode(&mut out);
    out
}

#[test]
fn devices_are_heard() {
    let mut bench = link();
    bench.hear(&[0x7E, 0, 9, 5, 0xFF, 0xC4, 0, 9, 0x40, 2, 0x16, 0xD6]);
    assert_eq!(bench.signals(), [Signal { rssi: Some(-60), lqi: None }]);
    for source in [1, 254, 0, 255] {
        bench.hear(&from_modem(source, PACKET, &PINGREQ));
    }
    let expected = [(vec![1], PINGREQ.to_vec()), (vec![254], PINGREQ.to_vec())];
    assert_eq!(bench.packets(), expected);
    assert_eq!(bench.station.discarded(), Discarded { octets: 24, ..Discarded::default() });
    // Time, parameters, reset, and what nobody knows.
    for kind in [0x83, 0x84, 0x85, 0x86, 0, 0x90] {
        bench.hear(&from_modem(5, kind, &[1, 2, 3]));
    }
    assert_eq!(bench.station.discarded().octets, 24 + 6 * 13);
    assert_eq!((bench.packets(), bench.notes(), bench.written()), (vec![], vec![], vec![]));
}

#[test]
fn one_packet_at_a_time() {
    let mut bench = link();
    bench.send(&[5], &[2, 0x17]).unwrap();
    assert_eq!(bench.written(), [0x7E, 0, 5, 5, 0x40, 2, 0x17, 0xA1]);
    for kind in [SENT, NO_FREE_CHANNEL, SEND_TIMEOUT] {
        assert!(!bench.station.is_ready());
        bench.wait(9_999);
        bench.hear(&from_modem(0, kind, &[]));
        bench.send(&[], &[2, 0x17]).unwrap();
        let written = bench.written();
        assert_eq!(written[3], 0xFF, "{written:?}");
    }
    assert_eq!(bench.counts(), [1, 2, 0, 0]);
    let said = bench.said(NoteKind::Undelivered);
    assert_eq!(said, ["to FF: no free channel (81)", "to FF: it was not sent in time (82)"]);
}

#[test]
fn answers_that_nobody_waits_for() {
    let mut bench = link();
    for kind in [SENT, NO_FREE_CHANNEL, SEND_TIMEOUT] {
        bench.hear(&from_modem(0, kind, &[9]));
    }
    assert!(bench.station.is_ready());
    assert_eq!((bench.counts(), bench.notes()), ([0; 4], vec![]));
}

#[test]
fn a_modem_that_says_nothing() {
    let mut bench = link();
    for number in 1..=5 {
        bench.send(&[5], &PINGREQ).unwrap();
        bench.wait(10_000);
        let notes = bench.notes();
        assert_eq!(notes[0].text, "to 05: the modem said nothing in 10 s");
        assert_eq!(notes.len(), 1 + usize::from(number == 3), "{notes:?}");
    }
    assert_eq!(bench.counts(), [0, 0, 5, 0]);
    // Opened again, it is said again; what was under way is over.
    bench.send(&[5], &PINGREQ).unwrap();
    bench.open();
    assert!(bench.station.is_ready());
    assert_eq!((bench.counts()[2], bench.station.next_timeout()), (6, None));
}

#[test]
fn what_cannot_be_sent() {
    let mut bench = link();
    for wrong in [&[0][..], &[255], &[1, 2]] {
        assert_eq!(bench.send(wrong, &PINGREQ), Err(Unsendable::BadAddress), "{wrong:?}");
    }
    assert_eq!(bench.station.largest(), 246);
    assert_eq!(bench.send(&[5], &[0; 247]), Err(Unsendable::TooLong));
    assert!(bench.station.is_ready() && bench.written().is_empty());
    bench.send(&[5], &[0; 246]).unwrap();
    assert_eq!(LoraLink::new(100).largest(), 100);
}

/// Frames of the two modems interleave at any octet.
#[test]
fn two_modems() {
    let mut bench = link();
    let (packet, sent) = (from_modem(5, PACKET, &PINGREQ), from_modem(0, SENT, &[]));
    for split in 0..=packet.len() {
        bench.send(&[5], &PINGREQ).unwrap();
        bench.hear_on(Port::Main, &packet[..split]);
        bench.hear_on(Port::Send, &sent);
        bench.hear_on(Port::Main, &packet[split..]);
        assert_eq!(bench.packets().len(), 1, "{split}");
        assert!(bench.station.is_ready(), "{split}");
    }
    assert_eq!(bench.station.discarded(), Discarded::default());
}

#[test]
fn both_ends() {
    let (mut gateway, mut modem) = (link(), Bench::new(LoraModem::new(200)));
    for from in [1, 0x7E, 254] {
        modem.send(&[from], &[3, 0, from]).unwrap();
    }
    assert_eq!(modem.send(&[], &PINGREQ), Err(Unsendable::BadAddress));
    assert_eq!(modem.send(&[0], &PINGREQ), Err(Unsendable::BadAddress));
    assert_eq!(modem.send(&[1], &[0; 201]), Err(Unsendable::TooLong));
    join(&mut modem, &mut gateway);
    let heard = gateway.packets();
    assert_eq!(heard.iter().map(|(from, _)| from[0]).collect::<Vec<_>>(), [1, 0x7E, 254]);
    for to in [&[0x7D][..], &[], &[9]] {
        gateway.send(to, &PINGREQ).unwrap();
        join(&mut modem, &mut gateway);
    }
    let expected = [0x7D, 0xFF, 9].map(|to| (vec![to], PINGREQ.to_vec()));
    assert_eq!((modem.packets(), gateway.counts()), (expected.to_vec(), [3, 0, 0, 0]));
}
