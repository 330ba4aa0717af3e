use super::super::noise::Noise;
use super::*;

const PINGRESP_TO_5: [u8; 9] = [0x7E, 0, 5, 5, 0x40, 2, 0x17, 0xA1, 0];
const PINGREQ_FROM_5: [u8; 12] = [0x7E, 0, 9, 5, 0xFF, 0xC4, 0, 9, 0x40, 2, 0x16, 0xD6];

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<(u8, i16, i16, u8, Vec<u8>)> {
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |frame, _| {
            let FromModem { source, rssi, snr, kind, payload } = frame;
            found.push((source, rssi, snr, kind, payload.to_vec()));
        });
    }
    found
}

fn frame(source: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FromModem { source, rssi: -60, snr: 9, kind, payload }.encode(&mut out);
    out
}

#[test]
fn the_octets_are_those_of_the_modem() {
    let mut out = Vec::new();
    ToModem { destination: 5, kind: PACKET, payload: &[2, 0x17] }.encode(&mut out);
    assert_eq!(out, PINGRESP_TO_5[..8]);
    assert_eq!(frame(5, PACKET, &[2, 0x16]), PINGREQ_FROM_5);
    let found = decode(&mut Decoder::new(2), &[&PINGREQ_FROM_5]);
    assert_eq!(found, [(5, -60, 9, PACKET, vec![2, 0x16])]);
    let mut found = Vec::new();
    HostDecoder::new(2).feed(&PINGRESP_TO_5, &mut |frame| {
        found.push((frame.destination, frame.kind, frame.payload.to_vec()));
    });
    assert_eq!(found, [(5, PACKET, vec![2, 0x17])]);
}

/// 7E, 7D, 11 and 13, in the sum and the length as well.
#[test]
fn what_begins_a_frame_is_escaped() {
    let payload = [0x7E, 0x7D, 0x11, 0x13, 0x5E, 0x20];
    let line = frame(0x7E, PACKET, &payload);
    assert_eq!(line[3..5], [0x7D, 0x5E]);
    assert!(line[1..].iter().all(|octet| ![0x7E, 0x11, 0x13].contains(octet)));
    let found = decode(&mut Decoder::new(6), &[&line]);
    assert_eq!(found, [(0x7E, -60, 9, PACKET, payload.to_vec())]);
    for length in 0..=250 {
        let line = frame(7, PACKET, &vec![7; length]);
        assert_eq!(decode(&mut Decoder::new(250), &[&line]).len(), 1, "{length}");
    }
}

#[test]
fn any_split_gives_the_same() {
    let mut line = b"boot".to_vec();
    line.extend(PINGREQ_FROM_5);
    line.extend(frame(9, SENT, &[]));
    // A wrong sum, an end that is missing, an escape that does not exist, one too short, one too long.
    let mut wrong = PINGREQ_FROM_5;
    wrong[10] ^= 4;
    line.extend(wrong);
    line.extend(&PINGREQ_FROM_5[..7]);
    line.extend([0x7E, 0, 9, 5, 0x7D, 0x42, 1, 2]);
    line.extend([0x7E, 0, 6, 1, 2]);
    line.extend(frame(1, PACKET, &[1; 7]));
    line.extend(frame(0x11, PACKET, &[0x7D; 6]));
    let expected = [
        (5, -60, 9, PACKET, vec![2, 0x16]),
        (9, -60, 9, SENT, vec![]),
        (0x11, -60, 9, PACKET, vec![0x7D; 6]),
    ];
    let octets = 4 + 12 + 7 + 8 + 5 + 17;
    let discarded = Discarded { octets, damaged: 4, overlong: 1, cut_off: 1 };
    for first in 0..=line.len() {
        for second in first..=line.len() {
            let mut decoder = Decoder::new(6);
            let pieces = [&line[..first], &line[first..second], &line[second..]];
            assert_eq!(decode(&mut decoder, &pieces), expected, "{first} {second}");
            assert_eq!(decoder.discarded(), discarded, "{first} {second}");
        }
    }
}

#[test]
fn another_opening_begins_anew() {
    let mut decoder = Decoder::new(60);
    assert_eq!(decode(&mut decoder, &[&PINGREQ_FROM_5[..9], &[0x7D]]), []);
    decoder.reset();
    assert_eq!(decode(&mut decoder, &[&PINGREQ_FROM_5[9..], &PINGREQ_FROM_5]).len(), 1);
    assert_eq!(decoder.discarded().octets, 13);
}

/// One bit in a hundred octets is wrong, and there is noise between frames. The sum has eight bits
/// and misses some: with this seed fewer than one in a hundred of the damaged frames.
#[test]
fn a_bad_line_loses_frames() {
    let mut noise = Noise(11);
    let mut decoder = Decoder::new(60);
    let (mut sent, mut clean, mut given, mut fed) = (Vec::new(), 0, 0_u64, 0);
    let mut found = Vec::new();
    for number in 0..20_000_usize {
        let payload = noise.packet(1 + number % 60);
        let source = noise.octet();
        let mut line = frame(source, PACKET, &payload);
        clean += usize::from(!noise.damage(&mut line));
        sent.push((source, payload));
        if number % 3 == 0 {
            line.extend(noise.packet(number % 9));
        }
        fed += line.len() as u64;
        decoder.feed(&line, &mut |frame, octets| {
            found.push((frame.source, frame.payload.to_vec()));
            given += octets;
        });
    }
    let (mut rest, mut wrong) = (sent.iter(), 0_u64);
    for found in &found {
        let mut ahead = rest.clone();
        if ahead.any(|sent| sent == found) {
            rest = ahead;
        } else {
            wrong += 1;
        }
    }
    let damaged = sent.len() - clean;
    assert!(found.len() > clean * 99 / 100, "{} of {clean}", found.len());
    assert!(wrong * 100 < damaged as u64, "{wrong} of {damaged}");
    assert!(clean > 10_000 && damaged > 1_000);
    assert_eq!(fed, given + decoder.0.kept() + decoder.discarded().octets);
}
