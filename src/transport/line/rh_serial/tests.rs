use super::super::bench::{Bench, join, settings};
use super::*;
use crate::transport::framing::Framing;
use crate::transport::framing::rh_serial::Decoder;

const PINGREQ: [u8; 2] = [2, 0x16];

fn station(address: u8, reliable: bool) -> Bench<RhSerial> {
    let settings = settings(Framing::RhSerial, 60);
    let rh_serial = RhSettings { address, reliable };
    Bench::new(RhSerial::new(&Settings { rh_serial, ..settings }, 77))
}

fn frame(to: u8, from: u8, id: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(Header { to, from, id, flags }, payload, &mut out);
    out
}

/// What was written, as frames.
fn frames(bench: &mut Bench<RhSerial>) -> Vec<(Header, Vec<u8>)> {
    let (mut decoder, mut found) = (Decoder::new(251), Vec::new());
    decoder.feed(&bench.written(), &mut |header, payload| found.push((header, payload.to_vec())));
    assert_eq!(decoder.discarded(), Discarded::default());
    found
}

/// The one frame that was written.
fn one(bench: &mut Bench<RhSerial>) -> (Header, Vec<u8>) {
    let mut all = frames(bench);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn from(address: u8, packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (vec![address], packet.to_vec())
}

#[test]
fn what_is_for_us_or_for_all_is_taken() {
    let mut bench = station(1, false);
    for (to, sender) in [(1, 2), (255, 3), (4, 5), (1, 255), (255, 1), (0, 6)] {
        bench.hear(&frame(to, sender, 0, 0, &PINGREQ));
    }
    assert_eq!(bench.packets(), [from(2, &PINGREQ), from(3, &PINGREQ)]);
    assert_eq!(bench.written(), [0_u8; 0]);
    // Everything but the two, of ten octets each and a `10` that is none.
    let discarded = Discarded { octets: 4 * 12, ..Discarded::default() };
    assert_eq!(bench.station.discarded(), discarded);
    assert_eq!(bench.notes(), []);
    bench.hear(&frame(4, 1, 0, 0, &PINGREQ));
    bench.hear(&frame(4, 1, 1, 0, &PINGREQ));
    assert_eq!(bench.said(NoteKind::Trouble).len(), 1);
}

#[test]
fn datagrams_have_addresses_and_ids_that_go_round() {
    let mut bench = station(1, false);
    let mut ids = Vec::new();
    for _ in 0..600 {
        bench.send(&[9], &PINGREQ).unwrap();
        let (header, payload) = one(&mut bench);
        assert_eq!((header.to, header.from, header.flags, &*payload), (9, 1, 0, &PINGREQ[..]));
        ids.push(header.id);
    }
    assert!(!ids.contains(&0));
    assert!(ids.windows(2).all(|two| two[1] == two[0].checked_add(1).unwrap_or(1)));
    bench.send(&[], &PINGREQ).unwrap();
    assert_eq!(one(&mut bench).0.to, 255);
    for wrong in [&[255][..], &[1], &[1, 2], &[0; 8]] {
        assert_eq!(bench.send(wrong, &PINGREQ), Err(Unsendable::BadAddress), "{wrong:?}");
    }
    assert_eq!(bench.send(&[9], &[0; 61]), Err(Unsendable::TooLong));
    assert_eq!(bench.station.largest(), 60);
    assert_eq!(bench.written(), [0_u8; 0]);
}

#[test]
fn what_is_received_is_acknowledged_and_given_once() {
    let mut bench = station(1, true);
    bench.hear(&frame(1, 7, 42, 0, &PINGREQ));
    let ack = (Header { to: 7, from: 1, id: 42, flags: 0x80 }, b"!".to_vec());
    assert_eq!(one(&mut bench), ack);
    // Its acknowledgement was lost; the older library does not say that it repeats.
    bench.wait(1_900);
    bench.hear(&frame(1, 7, 42, 0, &PINGREQ));
    bench.wait(20_000);
    bench.hear(&frame(1, 7, 42, 0x40, &PINGREQ));
    assert_eq!(frames(&mut bench), [ack.clone(), ack.clone()]);
    assert_eq!(bench.packets(), [from(7, &PINGREQ)]);
    // Another one, the same one from another, the same id with something else, the same much later.
    bench.hear(&frame(1, 7, 43, 0, &PINGREQ));
    bench.hear(&frame(1, 8, 43, 0, &PINGREQ));
    bench.hear(&frame(1, 7, 43, 0, &[2, 0x17]));
    bench.wait(5_001);
    bench.hear(&frame(1, 7, 43, 0, &[2, 0x17]));
    assert_eq!((bench.packets().len(), frames(&mut bench).len()), (4, 4));
    // To all: no acknowledgement.
    bench.hear(&frame(255, 7, 44, 0, &PINGREQ));
    assert_eq!((bench.packets().len(), bench.written().len()), (1, 0));
}

/// RHDatagram has id 0 in everything, and a sensor may say the same twice.
#[test]
fn datagrams_that_have_no_ids_are_no_repetitions() {
    let mut bench = station(1, true);
    for _ in 0..3 {
        bench.hear(&frame(1, 7, 0, 0, &PINGREQ));
    }
    assert_eq!(bench.packets().len(), 3);
    bench.hear(&frame(1, 7, 0, 0x40, &PINGREQ));
    assert_eq!(bench.packets().len(), 0);
}

#[test]
fn a_datagram_is_repeated_until_it_is_acknowledged() {
    let mut bench = station(1, true);
    bench.send(&[7], &PINGREQ).unwrap();
    let (first, payload) = one(&mut bench);
    assert_eq!((first.flags, &*payload), (0, &PINGREQ[..]));
    bench.wait(199);
    assert_eq!(frames(&mut bench), []);
    bench.wait(210);
    assert_eq!(one(&mut bench), (Header { flags: 0x40, ..first }, PINGREQ.to_vec()));
    // Not the one that is waited for.
    for (to, sender, id) in [(1, 8, first.id), (1, 7, first.id ^ 1), (2, 7, first.id)] {
        bench.hear(&frame(to, sender, id, 0x80, b"!"));
    }
    assert_eq!(bench.counts(), [0, 0, 0, 1]);
    // Any payload will do, and once is enough.
    bench.hear(&frame(1, 7, first.id, 0x80, b""));
    bench.hear(&frame(1, 7, first.id, 0x80, b"!"));
    assert_eq!((bench.counts(), bench.station.next_timeout()), ([1, 0, 0, 1], None));
    assert_eq!(bench.packets(), []);
    // To all: nobody acknowledges.
    bench.send(&[], &PINGREQ).unwrap();
    assert_eq!(bench.station.next_timeout(), None);
}

#[test]
fn nobody_acknowledges() {
    let mut bench = station(1, true);
    for number in 1..=5 {
        bench.send(&[7], &PINGREQ).unwrap();
        bench.wait(2_000);
        assert_eq!(frames(&mut bench).len(), 4);
        assert_eq!(bench.counts(), [0, 0, number, 3 * number]);
        let notes = bench.notes();
        assert_eq!(notes[0].kind, NoteKind::Undelivered);
        assert!(notes[0].text.starts_with("to 07: no acknowledgement"), "{notes:?}");
        // Said once.
        assert_eq!(notes.len(), 1 + usize::from(number == 4), "{notes:?}");
    }
    // Not if one did.
    bench.open();
    bench.send(&[7], &PINGREQ).unwrap();
    let (first, _) = one(&mut bench);
    bench.hear(&frame(1, 7, first.id, 0x80, b"!"));
    for _ in 0..5 {
        bench.send(&[8], &PINGREQ).unwrap();
        bench.wait(2_000);
    }
    assert_eq!(bench.said(NoteKind::Trouble), [""; 0]);
}

#[test]
fn one_for_a_device_and_several_devices_at_once() {
    let mut bench = station(1, true);
    let devices = [7, 8].map(|device| Address::new(&[device]).unwrap());
    let takes = |bench: &Bench<RhSerial>| devices.map(|to| bench.station.takes(To::One(&to)));
    assert_eq!(takes(&bench), [true, true]);
    bench.send(&[7], &PINGREQ).unwrap();
    let (first, _) = one(&mut bench);
    assert_eq!((takes(&bench), bench.station.takes(To::All)), ([false, true], true));
    bench.send(&[8], &PINGREQ).unwrap();
    bench.send(&[], &PINGREQ).unwrap();
    assert_eq!(takes(&bench), [false, false]);
    bench.hear(&frame(1, 7, first.id, 0x80, b"!"));
    assert_eq!(takes(&bench), [true, false]);
    bench.wait(2_000);
    assert_eq!(takes(&bench), [true, true]);
    assert_eq!((bench.counts(), bench.station.next_timeout()), ([1, 0, 1, 3], None));
}

#[test]
fn what_is_under_way_has_a_bound() {
    let mut bench = station(1, true);
    let mut sent = 0;
    while bench.station.is_ready() {
        bench.send(&[10 + sent], &PINGREQ).unwrap();
        sent += 1;
    }
    assert_eq!((sent, frames(&mut bench).len()), (8, 8));
    // What was under way when the line was closed is over.
    bench.open();
    assert!(bench.station.is_ready());
    assert_eq!((bench.counts()[2], bench.station.next_timeout()), (8, None));
}

#[test]
fn a_device_that_waits_for_acknowledgements_is_told_of() {
    let mut bench = station(1, false);
    let acks = [frame(1, 7, 42, 0x80, b"!"), frame(1, 7, 43, 0x80, b"!")].concat();
    let repeated = [frame(1, 7, 42, 0, &PINGREQ), frame(1, 7, 42, 0, &PINGREQ)].concat();
    for (signs, packets) in [(acks, 0), (repeated, 2)] {
        bench.open();
        bench.hear(&signs);
        assert_eq!(bench.packets().len(), packets);
        let said = bench.said(NoteKind::Trouble);
        assert!(said.len() == 1 && said[0].contains("reliable = true"), "{said:?}");
    }
    // One that says the same twice.
    bench.open();
    bench.hear(&frame(1, 8, 0, 0, &PINGREQ).repeat(2));
    assert_eq!((bench.packets().len(), bench.notes()), (2, vec![]));
}

/// Both ends are ours, and the line loses a quarter of what is said.
#[test]
fn two_ends_of_a_bad_line() {
    let (mut gateway, mut device) = (station(1, true), station(7, true));
    let (mut sent, mut heard, mut random) = (0_u8, Vec::new(), 1_u32);
    while sent < 200 || gateway.station.next_timeout().is_some() {
        let seven = Address::new(&[7]).unwrap();
        if sent < 200 && gateway.station.takes(To::One(&seven)) {
            gateway.send(&[7], &[3, 0, sent]).unwrap();
            sent += 1;
        }
        for _ in 0..4 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (there, back) = (gateway.written(), device.written());
            if random >> 24 & 3 != 0 {
                device.hear(&there);
            }
            if random >> 16 & 3 != 0 {
                gateway.hear(&back);
            }
        }
        heard.extend(device.packets());
        gateway.wait(50);
        device.wait(50);
    }
    let numbers: Vec<u8> = heard.iter().map(|(_, packet)| packet[2]).collect();
    let [delivered, _, unanswered, repeated] = gateway.counts();
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "in order, and once");
    assert!(repeated > 20 && delivered > 180, "{delivered} {repeated}");
    assert_eq!(delivered + unanswered, 200);
    assert!(numbers.len() as u64 >= delivered, "acknowledged is delivered");
    join(&mut gateway, &mut device);
    assert_eq!(gateway.packets(), []);
}
