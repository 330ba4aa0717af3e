//! What has to hold for any octets on a line with packets and nothing else (slip, cobs, length), and for
//! any capture that is taken apart. Used by the fuzzer and by the tests.

use std::collections::BTreeSet;

use mqtt_sn_gateway::time::Time;
use mqtt_sn_gateway::transport::framing::{
    Decoder, Discarded, Framing, Packing, What, guess, pieces,
};

/// Longest packet, octets.
const LONGEST: usize = 60;
/// No pause is longer than what ends a packet.
const NOW: Time = Time(1_000);

/// What octets have come to.
pub type Reached = BTreeSet<String>;

/// The octets are a line.
pub fn check(octets: &[u8]) -> Reached {
    let mut reached = Reached::new();
    for packing in [Packing::Slip, Packing::Cobs, Packing::Length] {
        let (packets, discarded) = take(packing, octets, octets.len().max(1));
        for size in [1, 3] {
            assert_eq!(take(packing, octets, size), (packets.clone(), discarded), "{packing:?}");
        }
        let taken: usize = packets.iter().map(Vec::len).sum();
        let thrown_away = usize::try_from(discarded.octets).expect("no more than came");
        // SLIP makes one octet of two, and delimiters are no part of anything.
        assert!(taken + thrown_away <= octets.len(), "{packing:?}");
        for packet in &packets {
            assert!((1..=LONGEST).contains(&packet.len()), "{packing:?}");
            let mut line = Vec::new();
            packing.encode(packet, &mut line);
            let again = take(packing, &line, 2);
            assert_eq!(again.0, std::slice::from_ref(packet), "{packing:?}");
            reached.insert(format!("{packing:?} packet"));
        }
        for (count, what) in [(discarded.damaged, "damaged"), (discarded.overlong, "overlong")] {
            if count > 0 {
                reached.insert(format!("{packing:?} {what}"));
            }
        }
    }
    for (word, framing) in Framing::WORDS {
        let mut at = 0;
        pieces(framing, LONGEST, octets, &mut |piece| {
            assert!(piece.at == at && piece.length > 0, "{word}");
            at += piece.length;
            if let What::Frame(frame) = &piece.what {
                assert!(frame.packet.as_ref().is_none_or(|packet| packet.len() <= octets.len()));
                reached.insert(format!("frame of {word}"));
            }
        });
        assert_eq!(at, octets.len(), "{word}");
    }
    if let Some(found) = guess(octets) {
        assert!((1..=100).contains(&found.percent));
        reached.insert(format!("like {}", found.framing));
    }
    reached
}

fn take(packing: Packing, octets: &[u8], size: usize) -> (Vec<Vec<u8>>, Discarded) {
    let mut decoder = Decoder::new(packing, LONGEST, 57_600);
    let mut packets = Vec::new();
    for piece in octets.chunks(size) {
        decoder.feed(NOW, piece, &mut |packet| packets.push(packet.to_vec()));
    }
    (packets, decoder.discarded())
}
