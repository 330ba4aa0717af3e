use super::super::noise::Noise;
use super::*;

const PINGRESP_TO_1: [u8; 11] = [0xC0, 5, 0xFE, 1, 1, 0, 2, 0x17, 0xE9, 0xB0, 0xC0];
const PINGREQ_FROM_1: [u8; 14] =
    [0xC0, 0x50, 0xDB, 0xDC, 7, 0xFE, 1, 1, 0, 2, 0x16, 0x5D, 0xC7, 0xC0];

fn decode(decoder: &mut Decoder, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |content| found.push(content.to_vec()));
    }
    found
}

#[test]
fn the_octets_are_those_of_the_bridge() {
    let mut out = Vec::new();
    encode(&[5, 0xFE, 1, 1, 0, 2, 0x17], &mut out);
    assert_eq!(out, PINGRESP_TO_1);
    let content = [0x50, 0xC0, 7, 0xFE, 1, 1, 0, 2, 0x16];
    out.clear();
    encode(&content, &mut out);
    assert_eq!(out, PINGREQ_FROM_1);
    assert_eq!(decode(&mut Decoder::new(9), &[&PINGREQ_FROM_1]), [content]);
}

#[test]
fn any_split_gives_the_same() {
    let mut wrong = PINGREQ_FROM_1;
    wrong[9] ^= 1;
    let mut line = b"boot".to_vec();
    line.extend(PINGREQ_FROM_1);
    line.extend(wrong);
    line.extend([0xC0, 7, 0xC0]);
    line.extend(PINGREQ_FROM_1);
    for first in 0..=line.len() {
        for second in first..=line.len() {
            let mut decoder = Decoder::new(9);
            let pieces = [&line[..first], &line[first..second], &line[second..]];
            assert_eq!(decode(&mut decoder, &pieces).len(), 2, "{first} {second}");
            let expected = Discarded { octets: 4 + 12 + 1, damaged: 3, overlong: 0, cut_off: 0 };
            assert_eq!(decoder.discarded(), expected, "{first} {second}");
        }
    }
}

/// One bit in a hundred octets is wrong, and there is noise between frames. The seed is fixed: one
/// frame in 65,536 of the damaged ones would pass.
#[test]
fn a_bad_line_loses_frames_and_changes_none() {
    let mut noise = Noise(5);
    let mut decoder = Decoder::new(61);
    let (mut sent, mut clean, mut given, mut fed) = (Vec::new(), 0, 0, 0);
    let mut found: Vec<Vec<u8>> = Vec::new();
    for number in 0..20_000_usize {
        let content = noise.packet(2 + number % 60);
        let mut line = Vec::new();
        encode(&content, &mut line);
        clean += usize::from(!noise.damage(&mut line));
        if number % 3 == 0 {
            line.extend(noise.packet(number % 9));
        }
        sent.push(content);
        fed += line.iter().filter(|octet| **octet != 0xC0).count() as u64;
        decoder.feed(&line, &mut |content| {
            found.push(content.to_vec());
            let crc = xmodem(content).to_le_bytes();
            given += slip::inner_len(&[content, &crc].concat()) as u64;
        });
    }
    let mut rest = sent.iter();
    assert!(found.iter().all(|found| rest.any(|sent| sent == found)));
    assert!(found.len() > clean * 98 / 100, "{} of {clean}", found.len());
    assert!(clean > 10_000 && clean < 19_000, "{clean}");
    // ENDs are between frames.
    decoder.reset();
    assert_eq!(fed, given + decoder.discarded().octets);
}
