use super::*;
use crate::transport::framing::noise::Noise;

type Frame = (Header, Vec<u8>);

fn header(to: u8, from: u8, id: u8, flags: u8) -> Header {
    Header { to, from, id, flags }
}

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<Frame> {
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |header, payload| found.push((header, payload.to_vec())));
    }
    found
}

fn frame(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(header, payload, &mut out);
    assert_eq!(out.len(), header.encoded_len(payload));
    out
}

/// PINGREQ from 2 to 1, with an id that is stuffed.
const VECTOR: [u8; 13] = [0x10, 2, 1, 2, 0x10, 0x10, 0, 2, 0x16, 0x10, 3, 0x45, 0x08];

#[test]
fn the_octets_are_those_of_radiohead() {
    assert_eq!(frame(header(1, 2, 0x10, 0), &[2, 0x16]), VECTOR);
    let found = decode(&mut Decoder::new(2), &[&VECTOR]);
    assert_eq!(found, [(header(1, 2, 0x10, 0), vec![2, 0x16])]);
}

#[test]
fn the_check_value() {
    let mut crc = Mcrf4xx::START;
    b"123456789".iter().for_each(|octet| crc.add(*octet));
    assert_eq!(crc.value(), 0x6F91);
}

#[test]
fn any_split_gives_the_same() {
    let mut line = b"boot\x10".to_vec();
    line.extend_from_slice(&VECTOR);
    line.extend(frame(header(1, 3, 1, 0x80), &[]));
    // An escape that does not exist, the end of a frame that is missing, a wrong FCS, one too long.
    line.extend([0x10, 2, 1, 2, 3, 0, 0x10, 9]);
    line.extend([0x10, 2, 1, 2, 3, 0, 5]);
    line.extend_from_slice(&VECTOR);
    let mut wrong = VECTOR;
    wrong[7] ^= 1;
    line.extend(wrong);
    line.extend(frame(header(1, 2, 3, 4), &[0x10; 7]));
    line.extend(frame(header(255, 0x10, 3, 0), &[0x10, 2, 0x10, 3, 0x10, 0x10]));
    let expected = [
        (header(1, 2, 0x10, 0), vec![2, 0x16]),
        (header(1, 3, 1, 0x80), vec![]),
        (header(1, 2, 0x10, 0), vec![2, 0x16]),
        (header(255, 0x10, 3, 0), vec![0x10, 2, 0x10, 3, 0x10, 0x10]),
    ];
    let octets = 5 + 8 + 7 + 13 + 8 + 14 + 2;
    let discarded = Discarded { octets, damaged: 3, overlong: 1, cut_off: 1 };
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
fn too_short_for_a_header() {
    let mut fcs = Mcrf4xx::START;
    [1, 2, 3, DLE, ETX].iter().for_each(|octet| fcs.add(*octet));
    let [high, low] = fcs.value().to_be_bytes();
    let mut decoder = Decoder::new(60);
    assert_eq!(decode(&mut decoder, &[&[0x10, 2, 1, 2, 3, 0x10, 3, high, low]]), []);
    assert_eq!(decoder.discarded().damaged, 1);
}

#[test]
fn a_frame_that_begins_in_a_false_fcs_is_found() {
    let mut line = vec![0x10, 2, 1, 2, 3, 0, 0x10, 3];
    line.extend(VECTOR);
    assert_eq!(decode(&mut Decoder::new(60), &[&line]).len(), 1);
    line.insert(8, 0x55);
    assert_eq!(decode(&mut Decoder::new(60), &[&line]).len(), 1);
}

#[test]
fn an_endless_frame_takes_no_room() {
    let mut decoder = Decoder::new(60);
    assert_eq!(decode(&mut decoder, &[&[0x10, 2]]), []);
    for _ in 0..1_000 {
        assert_eq!(decode(&mut decoder, &[&[0x55; 1_000]]), []);
    }
    assert!(decoder.frame.capacity() < 200);
    let discarded = Discarded { octets: 1_000_002, damaged: 0, overlong: 1, cut_off: 0 };
    assert_eq!(decode(&mut decoder, &[&VECTOR]).len(), 1);
    assert_eq!(decoder.discarded(), discarded);
}

#[test]
fn another_opening_begins_anew() {
    let mut decoder = Decoder::new(60);
    assert_eq!(decode(&mut decoder, &[&VECTOR[..9]]), []);
    decoder.reset();
    assert_eq!(decode(&mut decoder, &[&VECTOR[9..], &VECTOR]).len(), 1);
    assert_eq!(decoder.discarded().octets, 13);
}

/// One bit in a hundred octets is wrong, and there is noise between frames: what is whole arrives
/// as it was sent, and every octet is accounted for. The seed is fixed: one frame in 65,536 of the
/// damaged ones would pass.
#[test]
fn a_bad_line_loses_frames_and_changes_none() {
    let mut noise = Noise(7);
    let mut decoder = Decoder::new(60);
    let (mut sent, mut clean, mut given) = (Vec::new(), Vec::new(), 0_u64);
    let mut found = Vec::new();
    let mut fed = 0;
    for number in 0..20_000_u32 {
        let payload = noise.packet(1 + (number as usize % 60));
        let head = header(1, number.to_be_bytes()[3], noise.octet(), 0);
        let mut line = frame(head, &payload);
        let damaged = noise.damage(&mut line);
        if !damaged {
            clean.push(sent.len());
        }
        sent.push((head, payload));
        if number % 3 == 0 {
            line.extend(noise.packet(number as usize % 9));
        }
        fed += line.len() as u64;
        decoder.feed(&line, &mut |header, payload| {
            found.push((header, payload.to_vec()));
            given += frame(header, payload).len() as u64;
        });
    }
    // In order, and each of them one that was sent.
    let mut rest = sent.iter();
    assert!(found.iter().all(|found| rest.any(|sent| sent == found)));
    // A frame that is whole is lost only if what is before it has taken its beginning.
    assert!(found.len() > clean.len() * 97 / 100, "{} of {}", found.len(), clean.len());
    assert!(clean.len() > 10_000 && clean.len() < 19_000, "{}", clean.len());
    assert_eq!(fed, given + decoder.raw + decoder.discarded().octets);
    assert!(decoder.frame.capacity() <= 128);
}
