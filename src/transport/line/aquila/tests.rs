use super::super::bench::{Bench, join, settings};
use super::*;
use crate::transport::framing::Framing;

const PINGREQ: [u8; 2] = [2, 0x16];
const KEY: Key = Key([0xC0; 16]);

fn network() -> AquilaSettings {
    AquilaSettings { pan_id: 3, key: Key::NONE, pairing: false }
}

fn aquila(aquila: AquilaSettings) -> Bench<Aquila> {
    let settings = Settings { aquila, ..settings(Framing::Aquila, 200) };
    Bench::new(Aquila::new(&settings, 9 << 56))
}

/// One whose bridge is set up.
fn running() -> Bench<Aquila> {
    let mut bench = aquila(network());
    bench.hear(&frame(&[0, 0, 2, CONFIG]));
    bench.wait(300);
    bench.hear(&frame(&[0, 0, 2, ACK]));
    assert_eq!(bench.said(NoteKind::Found), ["a bridge with PAN id 3, not encrypted"]);
    bench.written();
    bench
}

fn frame(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(content, &mut out);
    out
}

fn config(pan_id: u8, key: Key) -> Vec<u8> {
    frame(&[&[0x13, 2, pan_id][..], &key.0].concat())
}

const ACKED: [u8; 4] = [0, 0, 2, 1];
const REFUSED_IT: [u8; 4] = [0, 0, 2, 0];

#[test]
fn the_bridge_is_set_up_when_it_has_started() {
    let mut bench = aquila(AquilaSettings { pan_id: 0xC0, key: KEY, ..network() });
    assert!(!bench.station.is_ready());
    // What it says when it has started, and too early for it.
    bench.hear(&frame(&ACKED));
    bench.wait(2_199);
    assert_eq!(bench.written(), [0_u8; 0]);
    bench.wait(1);
    assert_eq!(bench.written(), config(0xC0, KEY));
    assert!(!bench.station.is_ready());
    bench.wait(300);
    assert_eq!(bench.written(), frame(&[3, 3, 0]));
    assert!(!bench.station.is_ready());
    bench.hear(&frame(&ACKED));
    assert!(bench.station.is_ready());
    assert_eq!(bench.said(NoteKind::Found), ["a bridge with PAN id 192, encrypted"]);
}

#[test]
fn a_bridge_that_asks_is_set_up_at_once_and_again() {
    let mut bench = running();
    bench.send(&[0, 5], &PINGREQ).unwrap();
    bench.written();
    bench.hear(&frame(&ACKED[..3]));
    bench.hear(&frame(&[0, 0, 2, CONFIG]));
    // What it says at its start is no answer to what it has forgotten.
    bench.hear(&frame(&ACKED));
    assert_eq!(bench.written(), [config(3, Key::NONE), frame(&[3, 3, 0])].concat());
    bench.hear(&frame(&ACKED));
    assert!(bench.station.is_ready());
    assert_eq!(bench.counts(), [0, 0, 1, 0]);
}

#[test]
fn an_old_bridge_refuses_the_key() {
    for (key, expected) in [(KEY, 1), (Key::NONE, 0)] {
        let mut bench = aquila(AquilaSettings { key, ..network() });
        bench.wait(2_200);
        bench.hear(&frame(&REFUSED_IT));
        bench.hear(&frame(&ACKED));
        let notes = bench.notes();
        let troubles = notes.iter().filter(|note| note.kind == NoteKind::Trouble).count();
        assert_eq!(troubles, expected, "{notes:?}");
        assert!(bench.station.is_ready());
    }
}

#[test]
fn packets_go_one_by_one() {
    let mut bench = running();
    bench.send(&[0, 1], &[2, 0x17]).unwrap();
    assert_eq!(bench.written(), [0xC0, 5, 0xFE, 1, 1, 0, 2, 0x17, 0xE9, 0xB0, 0xC0]);
    assert!(!bench.station.is_ready());
    bench.hear(&frame(&ACKED));
    bench.send(&[], &PINGREQ).unwrap();
    assert_eq!(bench.written(), frame(&[5, 0xFE, 1, 0xFF, 0, 2, 0x16]));
    bench.hear(&frame(&REFUSED_IT));
    bench.send(&[1, 2], &PINGREQ).unwrap();
    assert_eq!(bench.written(), frame(&[5, 0xFE, 1, 2, 1, 2, 0x16]));
    bench.wait(4_999);
    assert!(!bench.station.is_ready());
    bench.wait(1);
    assert!(bench.station.is_ready());
    assert_eq!(bench.counts(), [1, 1, 1, 0]);
    let said = bench.said(NoteKind::Undelivered);
    let expected = ["to 00FF: refused by the bridge", "to 0102: the bridge said nothing in 5 s"];
    assert_eq!(said, expected);
    // Late, and for nothing.
    bench.hear(&frame(&ACKED));
    assert_eq!(bench.counts(), [1, 1, 1, 0]);
    for wrong in [&[0, 0][..], &[0, 255], &[255, 255], &[1], &[1, 2, 3]] {
        assert_eq!(bench.send(wrong, &PINGREQ), Err(Unsendable::BadAddress), "{wrong:?}");
    }
    assert_eq!(bench.send(&[0, 1], &[0; 55]), Err(Unsendable::TooLong));
    bench.send(&[0, 1], &[0; 54]).unwrap();
}

#[test]
fn devices_are_heard() {
    let mut bench = running();
    bench.hear(&[0xC0, 0x50, 0xDB, 0xDC, 7, 0xFE, 1, 1, 0, 2, 0x16, 0x5D, 0xC7, 0xC0]);
    // The length says anything; LQI is RSSI once more; RSSI is not known.
    bench.hear(&frame(&[0xB5, 0xB5, 0, 0xFE, 1, 2, 1, 2, 0x16]));
    bench.hear(&frame(&[9, 0, 99, 0xFE, 1, 253, 0, 2, 0x16]));
    let mut copy = aquila(network());
    for wrong in [[0, 0], [255, 0], [255, 255]] {
        let [low, high] = wrong;
        copy.hear(&frame(&[0xB5, 0xB5, 7, 0xFE, 1, low, high, 2, 0x16]));
    }
    copy.hear(&frame(&[0, 0, 2, 9]));
    copy.hear(&frame(&[0, 0, 7, 0xFE, 1, 0]));
    assert_eq!(copy.packets(), []);
    assert_eq!(copy.station.discarded().octets, 3 * 9 + 4 + 6);
    let signals = [(Some(-64), Some(0x50)), (Some(-75), None), (None, Some(9))];
    let signals = signals.map(|(rssi, lqi)| Signal { rssi, lqi });
    assert_eq!(bench.signals(), signals);
    bench.hear(&frame(&[0xB5, 0xB5, 7, 0xFE, 1, 2, 1, 2, 0x16]));
    assert_eq!(bench.packets(), [(vec![1, 2], PINGREQ.to_vec())]);
}

#[test]
fn a_bridge_that_says_nothing() {
    let mut bench = aquila(network());
    bench.wait(2_200 + 300 + 5_000);
    assert_eq!(bench.said(NoteKind::Trouble).len(), 1);
    // It is tried nevertheless, and set up again from time to time.
    let mut written = Vec::new();
    for _ in 0..8 {
        while !bench.station.is_ready() {
            bench.wait(100);
        }
        bench.send(&[0, 1], &PINGREQ).unwrap();
        bench.wait(5_000);
        written.extend(bench.written());
    }
    let times = |frame: Vec<u8>| written.windows(frame.len()).filter(|some| *some == frame).count();
    let packets = times(frame(&[5, 0xFE, 1, 1, 0, 2, 0x16]));
    assert_eq!((packets, times(config(3, Key::NONE)) > 2), (8, true));
    assert_eq!(bench.counts(), [0, 0, 8, 0]);
    assert_eq!(bench.said(NoteKind::Trouble), [""; 0], "once is enough");
    // It comes to life.
    while !bench.station.is_ready() {
        bench.wait(100);
    }
    bench.send(&[0, 1], &PINGREQ).unwrap();
    bench.hear(&frame(&ACKED));
    assert_eq!(bench.counts(), [1, 0, 8, 0]);
}

#[test]
fn the_key_is_not_shown() {
    let bench = aquila(AquilaSettings { key: Key([0xAB; 16]), ..network() });
    let shown = format!("{:?}", bench.station);
    assert!(shown.contains("(hidden)") && !shown.contains("171"), "{shown}");
}

/// A device that asks, with its random octet.
fn asks(device: u8) -> Vec<u8> {
    frame(&[0xB5, 0xB5, 8, 3, 2, 0, 0, 3, 3, device])
}

#[test]
fn devices_are_paired_if_that_is_wanted() {
    let mut bench = aquila(AquilaSettings { pairing: true, key: KEY, ..network() });
    assert_eq!(bench.said(NoteKind::Trouble).len(), 1, "it is dangerous");
    bench.hear(&asks(1));
    bench.hear(&frame(&[0, 0, 2, CONFIG]));
    bench.wait(300);
    assert_eq!(bench.written(), [config(3, KEY), frame(&[3, 3, 1])].concat());
    bench.hear(&frame(&ACKED));
    assert!(!bench.station.is_ready(), "nothing else is sent");
    // The tenth address is the first, and the eleventh was heard.
    bench.hear(&frame(&[0xB5, 0xB5, 7, 0xFE, 1, 11, 0, 2, 0x16]));
    let answer = |device: u8, address: u8| {
        frame(&[&[7, 3, 3, 0, 0, 21, 3, device, address, 3][..], &KEY.0].concat())
    };
    for (device, address) in [(0xC0, 10), (0xC0, 10), (7, 12), (8, 13)] {
        bench.hear(&asks(device));
        // While it is answered.
        bench.hear(&asks(99));
        assert_eq!(bench.written(), answer(device, address));
        bench.hear(&frame(&ACKED));
    }
    bench.wait(31_000);
    bench.hear(&asks(8));
    assert_eq!(bench.written(), answer(8, 14));
    assert_eq!(bench.said(NoteKind::Found).len(), 5);
    bench.hear(&frame(&REFUSED_IT));
    assert_eq!(bench.said(NoteKind::Undelivered).len(), 1);
    // Until all are given away.
    let mut troubles = 0;
    for device in 0..=255 {
        bench.hear(&asks(device));
        bench.hear(&frame(&ACKED));
        troubles += bench.said(NoteKind::Trouble).len();
    }
    let written = bench.written();
    let last = answer(247, 9);
    assert!(written.ends_with(&last), "{:x?}", &written[written.len() - last.len()..]);
    assert_eq!(troubles, 1);
}

#[test]
fn nobody_is_paired_if_it_is_not_wanted() {
    let mut bench = running();
    for device in 0..=255 {
        bench.hear(&asks(device));
    }
    assert_eq!((bench.written(), bench.notes()), (vec![], vec![]));
    assert_eq!(bench.station.discarded().octets, 256 * 10);
}

#[test]
fn both_ends() {
    let (mut gateway, mut bridge) = (aquila(network()), Bench::new(AquilaBridge::new(200)));
    join(&mut gateway, &mut bridge);
    gateway.wait(300);
    join(&mut gateway, &mut bridge);
    assert!(gateway.station.is_ready());
    for from in [[0, 1], [0, 253], [0xC0, 0xDB]] {
        bridge.send(&from, &PINGREQ).unwrap();
    }
    for wrong in [&[][..], &[0, 255], &[0, 0], &[7]] {
        assert_eq!(bridge.send(wrong, &PINGREQ), Err(Unsendable::BadAddress), "{wrong:?}");
    }
    assert_eq!(bridge.send(&[0, 1], &[0; 55]), Err(Unsendable::TooLong));
    join(&mut gateway, &mut bridge);
    let heard: Vec<_> = gateway.packets().into_iter().map(|(from, _)| from).collect();
    assert_eq!(heard, [[0, 1], [0, 253], [0xC0, 0xDB]]);
    for to in [&[0xC0, 0xDB][..], &[], &[0, 9]] {
        gateway.send(to, &PINGREQ).unwrap();
        join(&mut gateway, &mut bridge);
    }
    let expected = [[0xC0, 0xDB], [0, 0xFF], [0, 9]].map(|to| (to.to_vec(), PINGREQ.to_vec()));
    assert_eq!((bridge.packets(), gateway.counts()), (expected.to_vec(), [3, 0, 0, 0]));
}
