//! The fuzzer's corpus, replayed in the ordinary tests, and a bounded number of mutations of it
//! that are the same in every run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mqtt_sn_gateway::codec::{DecodeError, type_name};

#[path = "../fuzz/check_decode.rs"]
mod check_decode;
#[cfg(feature = "gateway")]
#[path = "../fuzz/check_http.rs"]
mod check_http;
#[path = "../fuzz/check_hub.rs"]
mod check_hub;
#[cfg(feature = "mqtt")]
#[path = "../fuzz/check_journal.rs"]
mod check_journal;
#[cfg(feature = "gateway")]
#[path = "../fuzz/check_lines.rs"]
mod check_lines;
#[cfg(feature = "gateway")]
#[path = "../fuzz/check_radios.rs"]
mod check_radios;
#[cfg(feature = "gateway")]
#[path = "../fuzz/check_xbee.rs"]
mod check_xbee;
#[path = "support/random.rs"]
mod random;

use random::Random;

const MUTATIONS: usize = 200_000;
/// Longest input that a mutation makes.
const LENGTH_MAX: usize = 600;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("the directory can be listed").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let octets =
                fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, octets)
        })
        .collect()
}

/// What a set of inputs has reached: a test that reaches little proves little.
#[derive(Default)]
struct Reached {
    messages: BTreeSet<&'static str>,
    errors: BTreeSet<&'static str>,
    decoded: usize,
}

impl Reached {
    fn add(&mut self, octets: &[u8]) {
        match check_decode::check(octets) {
            Ok(packet) => {
                self.messages.insert(packet.message.name());
                self.decoded += 1;
            }
            Err(error) => {
                self.errors.insert(error.kind());
            }
        }
    }
}

fn mutate(octets: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = octets.len();
    let at = random.below(len);
    match random.below(9) {
        0 if len > 0 => octets[at] ^= 1 << random.below(8),
        1 if len > 0 => octets[at] = random.octet(),
        2 if len > 0 => octets[at] = [0x00, 0x01, 0x02, 0x7F, 0x80, 0xFE, 0xFF][random.below(7)],
        3 => octets.insert(random.below(len + 1), random.octet()),
        4 if len > 0 => drop(octets.remove(at)),
        5 => octets.truncate(at),
        6 => octets.extend_from_slice(other),
        7 => drop(octets.splice(at..at, other[random.below(other.len())..].iter().copied())),
        // Right framing around wrong contents.
        _ => {
            if let (Some(first), Ok(len)) = (octets.first_mut(), u8::try_from(len)) {
                *first = len;
            }
        }
    }
    octets.truncate(LENGTH_MAX);
}

/// Gives `count` inputs to `each`, the same in every run: files of the corpus, each of them mutated up to
/// `most` times.
fn mutations(
    corpus: &[(PathBuf, Vec<u8>)],
    seed: u64,
    count: usize,
    most: usize,
    mut each: impl FnMut(&[u8]),
) {
    let mut random = Random(seed);
    let mut octets = Vec::with_capacity(LENGTH_MAX);
    for _ in 0..count {
        octets.clear();
        octets.extend_from_slice(&corpus[random.below(corpus.len())].1);
        for _ in 0..=random.below(most) {
            let other = &corpus[random.below(corpus.len())].1;
            mutate(&mut octets, other, &mut random);
        }
        each(&octets);
    }
}

#[test]
fn the_corpus_holds_and_reaches_everything() {
    let mut reached = Reached::default();
    for (path, octets) in corpus("decode") {
        assert!(octets.len() <= 1024, "{}: keep the corpus small", path.display());
        reached.add(&octets);
    }
    let all_messages: BTreeSet<_> = (0..0xFE).filter_map(type_name).collect();
    assert_eq!(all_messages.len(), 27);
    assert_eq!(reached.messages, all_messages);
    assert_eq!(reached.errors, DecodeError::KINDS.iter().copied().collect());
}

#[test]
fn mutations_of_the_corpus_hold() {
    let corpus = corpus("decode");
    let mut reached = Reached::default();
    mutations(&corpus, 0x4D51_5454_2D53_4E31, MUTATIONS, 4, |octets| {
        reached.add(octets);
    });
    // Both sides of the decoder were under test.
    assert!(reached.decoded > MUTATIONS / 20, "only {} decoded", reached.decoded);
    assert!(reached.decoded < MUTATIONS * 19 / 20, "{} decoded", reached.decoded);
    assert_eq!(reached.messages.len(), 27);
    assert_eq!(reached.errors.len(), DecodeError::KINDS.len());
}

#[cfg(feature = "gateway")]
#[test]
fn connections_of_the_admin_interface_hold() {
    let corpus = corpus("http");
    let all: BTreeSet<u16> =
        corpus.iter().flat_map(|(_, octets)| check_http::check(octets)).collect();
    assert!(all.is_superset(&BTreeSet::from([200, 400, 403, 404, 405, 413, 503])), "{all:?}");
    let mut seen = BTreeSet::new();
    mutations(&corpus, 0x4854_5450_4854_5450, MUTATIONS / 50, 3, |octets| {
        seen.extend(check_http::check(octets));
    });
    assert!(seen.is_superset(&BTreeSet::from([200, 400, 403, 404, 503])), "{seen:?}");
}

/// What the octets are in a frame, and what as a line.
fn judge_hub(octets: &[u8]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    seen.insert(match check_hub::check_contents(octets) {
        Ok(message) => format!("message {:02X}", message.type_code()),
        Err(error) => error.kind().to_owned(),
    });
    let (frames, discarded) = check_hub::check_line(octets);
    for (count, what) in [
        (frames.len() as u64, "frame"),
        (discarded.stuffing, "stuffing"),
        (discarded.too_short, "short frame"),
        (discarded.crc, "crc"),
        (discarded.too_long, "long frame"),
    ] {
        if count > 0 {
            seen.insert(what.to_owned());
        }
    }
    seen
}

#[test]
fn lines_of_hubs_hold() {
    let corpus = corpus("hub");
    let all: BTreeSet<_> = corpus.iter().flat_map(|(_, octets)| judge_hub(octets)).collect();
    assert_eq!(all.len(), 6 + 6 + 5, "{all:?}");
    let (mut seen, mut whole) = (BTreeSet::new(), 0);
    mutations(&corpus, 0x4855_4255_4255_4231, MUTATIONS / 10, 3, |octets| {
        let judged = judge_hub(octets);
        whole += usize::from(judged.contains("frame"));
        seen.extend(judged);
    });
    assert_eq!(seen, all);
    assert!((MUTATIONS / 100..MUTATIONS / 11).contains(&whole), "{whole} with a frame");
}

#[cfg(feature = "gateway")]
#[test]
fn lines_of_xbee_modules_hold() {
    let judge = |octets: &[u8]| {
        let mut reached = check_xbee::check_line(octets);
        reached.extend(check_xbee::check_script(octets));
        reached
    };
    let corpus = corpus("xbee");
    let all: BTreeSet<_> = corpus.iter().flat_map(|(_, octets)| judge(octets)).collect();
    assert_eq!(all.len(), 12 + 7, "{all:?}");
    let (mut seen, mut packets) = (BTreeSet::new(), 0);
    mutations(&corpus, 0x5842_4545_5842_4531, MUTATIONS / 10, 3, |octets| {
        let judged = judge(octets);
        packets += usize::from(judged.contains("packet"));
        seen.extend(judged);
    });
    assert_eq!(seen, all);
    assert!((MUTATIONS / 100..MUTATIONS / 11).contains(&packets), "{packets} with a packet");
}

#[cfg(feature = "gateway")]
#[test]
fn lines_of_any_framing_hold() {
    let corpus = corpus("lines");
    let all: BTreeSet<_> =
        corpus.iter().flat_map(|(_, octets)| check_lines::check(octets)).collect();
    for framing in mqtt_sn_gateway::transport::framing::Framing::WORDS.map(|(word, _)| word) {
        assert!(all.contains(&format!("frame of {framing}")), "{framing}: {all:?}");
        assert!(all.contains(&format!("like {framing}")), "{framing}: {all:?}");
    }
    let mut seen = BTreeSet::new();
    mutations(&corpus, 0x4C49_4E45_4C49_4E31, MUTATIONS / 10, 3, |octets| {
        seen.extend(check_lines::check(octets));
    });
    assert!(seen.is_superset(&all), "{seen:?}");
}

/// What the octets are as a file, and what as records.
#[cfg(feature = "mqtt")]
fn judge(octets: &[u8]) -> [&'static str; 2] {
    use mqtt_sn_gateway::store::journal::OpenError;

    let file = match check_journal::check_file(octets) {
        Ok(opened) if opened.gap => "file with a gap",
        Ok(opened) if opened.cut > 0 => "torn file",
        Ok(_) => "file",
        Err(OpenError::Damaged { at: 0, .. }) => "file without a header",
        Err(OpenError::Damaged { .. }) => "damaged file",
        Err(OpenError::Foreign) => "foreign file",
        Err(OpenError::Newer { .. }) => "newer file",
        Err(OpenError::Storage(trouble)) => panic!("{trouble}"),
    };
    match check_journal::check_records(octets) {
        Ok(_) => [file, "records"],
        Err(_) => [file, "no records"],
    }
}

#[cfg(feature = "mqtt")]
#[test]
fn journals_hold() {
    let corpus = corpus("journal");
    let mut seen: BTreeSet<_> = corpus.iter().flat_map(|(_, octets)| judge(octets)).collect();
    assert_eq!(seen.len(), 9, "{seen:?}");
    seen.clear();
    mutations(&corpus, 0x4A4F_5552_4E41_4C31, MUTATIONS / 10, 3, |octets| {
        seen.extend(judge(octets));
    });
    assert!(seen.len() >= 8, "{seen:?}");
}

/// What the octets are as the line of a radio.
#[cfg(feature = "gateway")]
fn judge_radio(octets: &[u8]) -> BTreeSet<String> {
    let seen = check_radios::check(octets);
    let discarded = seen.discarded;
    let counts = [
        (seen.packets as u64, "packets"),
        (seen.sent as u64, "sent"),
        (seen.results, "results"),
        (discarded.octets, "octets"),
        (discarded.damaged, "damaged"),
        (discarded.overlong, "overlong"),
        (discarded.cut_off, "cut off"),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(_, what)| format!("{} {what}", seen.station)).collect()
}

/// Packets, answers and damage of every kind at every station, but that SLIP knows no frames that are
/// cut off, that results come of radios only, and that no messages go out while devices are paired.
#[cfg(feature = "gateway")]
#[test]
fn lines_of_radios_hold() {
    let corpus = corpus("radios");
    let all: BTreeSet<_> = corpus.iter().flat_map(|(_, octets)| judge_radio(octets)).collect();
    let lacking = ["1 results", "5 results", "6 results", "4 results", "4 sent"];
    let lacking = lacking.into_iter().chain(["3 cut off", "4 cut off", "6 cut off"]);
    assert_eq!(all.len(), 7 * check_radios::STATIONS - lacking.count(), "{all:?}");
    let mut seen = BTreeSet::new();
    mutations(&corpus, 0x5241_4449_4F53_4F4E, MUTATIONS / 10, 3, |octets| {
        seen.extend(judge_radio(octets));
    });
    assert_eq!(seen, all);
}
