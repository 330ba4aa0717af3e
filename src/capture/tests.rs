//! Captures as files, read by a reader of the test's own.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tempfile::TempDir;

use super::pcapng::{MAGIC, STATISTICS_LEN, whole_blocks};
use super::writer::ROOM;
use super::*;
use crate::core::{Address, LinkId, Signal};
use crate::transport::udp::UdpAddress;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Blocks with their types; nothing but whole blocks.
fn blocks(file: &[u8]) -> Vec<(u32, &[u8])> {
    let mut rest = file;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let length = word(4) as usize;
        assert!(length.is_multiple_of(4) && length >= 12);
        assert_eq!(word(length - 4) as usize, length, "the length stands at both ends");
        found.push((word(0), &rest[8..length - 4]));
        rest = &rest[length..];
    }
    found
}

/// The interface, the flags, the comment and the frame of a packet.
fn parts(body: &[u8]) -> (u32, u32, String, &[u8]) {
    let word = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
    let captured = word(12) as usize;
    let mut options = &body[20 + captured.next_multiple_of(4)..];
    let (mut flags, mut comment) = (0, String::new());
    loop {
        let half = |at: usize| u16::from_le_bytes([options[at], options[at + 1]]);
        let (code, length) = (half(0), usize::from(half(2)));
        let value = &options[4..4 + length];
        match code {
            0 => break,
            1 => comment = String::from_utf8(value.to_vec()).expect("UTF-8"),
            2 => flags = u32::from_le_bytes(value.try_into().unwrap()),
            other => panic!("option {other}"),
        }
        options = &options[4 + length.next_multiple_of(4)..];
    }
    (word(0), flags, comment, &body[20..20 + captured])
}

fn wires() -> Vec<Wire> {
    let udp = Network::Udp(IpAddr::from([127, 0, 0, 1]));
    let wire = |name: &str, kind, network| Wire { name: name.to_owned(), kind, network };
    vec![
        wire("udp 127.0.0.1:10000", "udp", udp),
        wire("serial /dev/ttyUSB0", "serial", Network::Radio(1)),
    ]
}

fn udp_device() -> Address {
    UdpAddress::new(SocketAddr::from(([192, 0, 2, 1], 5000)), None).encode()
}

fn packet<'a>(link: u16, device: Option<&'a Address>, octets: &'a [u8]) -> Packet<'a> {
    let signal = Signal::default();
    Packet { link: LinkId(link), device, received: true, signal, octets, client: None }
}

/// Begins a capture to a path.
fn start(path: &Path, choice: Choice) -> Recorder {
    let sink = Sink::named(path).expect("a place for it");
    Recorder::start(Setup { sink, choice }, wires()).expect("a thread")
}

/// Waits until everything is written.
fn finish(recorder: &mut Recorder, why: &str) -> Report {
    recorder.end(why);
    wait(recorder)
}

fn wait(recorder: &mut Recorder) -> Report {
    let done = recorder.done().expect("the first to ask");
    // The sender says nothing; it goes.
    let _ = done.blocking_recv();
    recorder.report()
}

#[test]
fn a_file_has_all_that_there_is_to_know() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.pcapng");
    let mut recorder = start(&path, Choice::default());
    let (device, radio) = (udp_device(), Address::new(&[0x05]).unwrap());
    recorder
        .packet(&Packet { client: Some("meter \"7\""), ..packet(0, Some(&device), &[2, 0x16]) });
    let loud = Signal { rssi: Some(-71), lqi: Some(9) };
    let forwarded = [5, 0xFE, 0, 0xAB, 0x01, 2, 0x17];
    let answer = packet(1, Some(&radio), &forwarded);
    recorder.packet(&Packet { received: false, signal: loud, ..answer });
    recorder.packet(&Packet { received: false, ..packet(1, None, &[5, 0, 1, 0, 60]) });
    recorder.packet(&packet(7, Some(&radio), b"a link that is not there"));
    recorder.hand_over();
    let report = finish(&mut recorder, "enough");
    assert_eq!((report.packets, report.dropped, report.active), (3, 0, false));
    assert_eq!(report.stopped_because.as_deref(), Some("enough"));
    let file = fs::read(&path).unwrap();
    assert_eq!(file.len() as u64, report.bytes);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let blocks = blocks(&file);
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [0x0A0D_0D0A, 1, 1, 6, 6, 6, 5, 5]);
    let (interface, flags, comment, frame) = parts(blocks[3].1);
    assert_eq!((interface, flags), (0, 1));
    assert_eq!(comment, "udp 127.0.0.1:10000, address 192.0.2.1:5000, client \"meter \\\"7\\\"\"");
    assert_eq!(frame[frame.len() - 2..], [2, 0x16]);
    let (interface, flags, comment, frame) = parts(blocks[4].1);
    assert_eq!((interface, flags), (1, 2));
    assert_eq!(comment, "serial /dev/ttyUSB0, address 05, node ab01, RSSI -71 dBm, LQI 9");
    assert_eq!(frame[40 + 8..], forwarded);
    let (_, _, comment, _) = parts(blocks[5].1);
    assert_eq!(comment, "serial /dev/ttyUSB0, to everybody");
}

#[test]
fn only_what_was_asked_for_is_taken() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.pcapng");
    let choice = Choice {
        client: Some("meter-*".to_owned()),
        link: Some("serial *".to_owned()),
        ..Choice::default()
    };
    let mut recorder = start(&path, choice);
    let device = udp_device();
    for (link, client) in [
        (0, Some("meter-1")),
        (1, Some("meter-2")),
        (1, Some("lamp")),
        (1, None),
        (1, Some("meter-")),
    ] {
        recorder.packet(&Packet { client, ..packet(link, Some(&device), &[2, 0x16]) });
    }
    assert_eq!(finish(&mut recorder, "enough").packets, 2);
    let file = fs::read(&path).unwrap();
    let blocks = blocks(&file);
    let comments: Vec<String> =
        blocks.iter().filter(|(kind, _)| *kind == 6).map(|(_, body)| parts(body).2).collect();
    assert!(comments[0].ends_with("\"meter-2\"") && comments[1].ends_with("\"meter-\""));
    // The link that is not wanted is not described, and the other is number 0.
    assert_eq!(blocks.iter().filter(|(kind, _)| *kind == 1).count(), 1);
}

#[test]
fn a_file_does_not_become_larger_than_asked_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.pcapng");
    let choice = Choice { max_bytes: Some(LEAST_BYTES), ..Choice::default() };
    let mut recorder = start(&path, choice);
    let device = udp_device();
    let octets = [7; 1_000];
    for _ in 0..100 {
        recorder.packet(&packet(0, Some(&device), &octets));
        recorder.hand_over();
    }
    assert!(!recorder.is_open());
    let report = wait(&mut recorder);
    assert_eq!(report.stopped_because.as_deref(), Some("it has reached its largest size"));
    let file = fs::read(&path).unwrap();
    let least = LEAST_BYTES - 1_200;
    assert!((least..=LEAST_BYTES).contains(&(file.len() as u64)), "{}", file.len());
    assert_eq!(blocks(&file).iter().filter(|(kind, _)| *kind == 6).count() as u64, report.packets);
    assert_eq!(blocks(&file).iter().filter(|(kind, _)| *kind == 5).count(), 2);
}

#[test]
fn what_there_is_no_room_for_is_left_out_and_counted() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Nobody reads it yet.
    let mut recorder = start(&path, Choice::default());
    let device = udp_device();
    let octets = [7; 10_000];
    let many = 2 * ROOM / octets.len();
    for number in 0..many {
        recorder.packet(&packet(0, Some(&device), &octets));
        if number % 10 == 0 {
            recorder.hand_over();
        }
    }
    recorder.hand_over();
    let report = recorder.report();
    assert!(report.packets > 100 && report.dropped > 100);
    assert_eq!(report.packets + report.dropped, many as u64);
    assert!(report.bytes <= ROOM as u64);
    // Now somebody does, until its end.
    let (sender, read) = mpsc::channel();
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        File::open(path).unwrap().read_to_end(&mut octets).unwrap();
        sender.send(octets).unwrap();
    });
    let end = Instant::now() + PATIENCE;
    while recorder.report().written == 0 {
        assert!(Instant::now() < end, "nothing is written");
        std::thread::sleep(Duration::from_millis(10));
    }
    let report = finish(&mut recorder, "enough");
    let file = read.recv().unwrap();
    let blocks = blocks(&file);
    assert_eq!(blocks.iter().filter(|(kind, _)| *kind == 6).count() as u64, report.packets);
    // Interface, moment, its own moment, and what came and was left out.
    let statistics = blocks.iter().find(|(kind, _)| *kind == 5).unwrap().1;
    let number = |at: usize| u64::from_le_bytes(statistics[at..at + 8].try_into().unwrap());
    assert_eq!((number(28), number(40)), (many as u64, report.dropped));
}

#[test]
fn a_disk_without_room_ends_it_with_a_reason() {
    let mut recorder = start(Path::new("/dev/full"), Choice::default());
    let report = wait(&mut recorder);
    let why = report.stopped_because.expect("a reason");
    assert!(why.contains("the disk is full"), "{why}");
    let device = udp_device();
    recorder.packet(&packet(0, Some(&device), &[2, 0x16]));
    recorder.hand_over();
    assert!(!recorder.is_open());
    assert_eq!(recorder.report().packets, 0);
}

#[test]
fn its_time_ends_it_although_nothing_happens() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.pcapng");
    // Before the thread looks for the first time.
    let choice = Choice { time: Some(Duration::ZERO), ..Choice::default() };
    let mut recorder = start(&path, choice);
    let report = wait(&mut recorder);
    assert_eq!(report.stopped_because.as_deref(), Some("its time is over"));
    assert_eq!(blocks(&fs::read(&path).unwrap()).len(), 5);
    recorder.packet(&packet(0, Some(&udp_device()), &[2, 0x16]));
    recorder.hand_over();
    assert!(!recorder.is_open());
    assert_eq!(recorder.report().packets, 0);
}

#[test]
fn nothing_but_captures_is_overwritten() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("letter"), "Dear Sir,").unwrap();
    fs::write(path("short"), [MAGIC[0]]).unwrap();
    fs::write(path("empty"), "").unwrap();
    fs::write(path("old"), [&MAGIC[..], b"and more than that: it was long"].concat()).unwrap();
    fs::set_permissions(path("old"), Permissions::from_mode(0o640)).unwrap();
    for name in ["letter", "short"] {
        let error = Sink::named(&path(name)).unwrap_err();
        assert!(matches!(error, SinkError::NoCapture(_)), "{name}: {error}");
        assert!(error.to_string().contains("not overwritten"), "{error}");
    }
    assert_eq!(fs::read(path("letter")).unwrap(), b"Dear Sir,");
    assert!(matches!(Sink::named(directory.path()), Err(SinkError::Directory(_))));
    assert!(matches!(Sink::named(&path("no/where")), Err(SinkError::Open(..))));
    for name in ["empty", "old", "new"] {
        finish(&mut start(&path(name), Choice::default()), "enough");
        assert_eq!(blocks(&fs::read(path(name)).unwrap()).len(), 5, "{name}");
    }
    assert_eq!(fs::metadata(path("old")).unwrap().permissions().mode() & 0o777, 0o640);
    // Until it begins nothing is lost.
    let before = fs::read(path("old")).unwrap();
    drop(Sink::named(&path("old")).unwrap());
    assert_eq!(fs::read(path("old")).unwrap(), before);
}

/// A capture in the folder, from its beginning to its end, and its file.
fn captured(folder: &Folder) -> PathBuf {
    let sink = folder.begin(LEAST_BYTES).unwrap();
    let setup = Setup { sink, choice: Choice::default() };
    let mut recorder = Recorder::start(setup, wires()).unwrap();
    finish(&mut recorder, "enough").file.expect("a file of the folder")
}

fn names(directory: &TempDir) -> BTreeSet<OsString> {
    let folder = fs::read_dir(directory.path().join("captures")).unwrap();
    folder.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn the_folder_keeps_the_newest() {
    let directory = TempDir::new().unwrap();
    let folder = Folder::new(directory.path());
    assert_eq!(folder.newest().unwrap(), None);
    let mut made = Vec::new();
    for _ in 0..8 {
        made.push(captured(&folder));
        assert_eq!(folder.newest().unwrap(), made.last().cloned());
    }
    let there = made.iter().map(|path| path.exists()).collect::<Vec<_>>();
    assert_eq!(there, [false, false, false, true, true, true, true, true]);
    let last = made.last().unwrap();
    assert_eq!(fs::metadata(last).unwrap().permissions().mode() & 0o777, 0o600);
    // What is not ours is left alone, and no place for ours.
    let other = last.with_file_name("important.txt");
    fs::write(&other, "x").unwrap();
    let pipe = last.with_file_name("capture-zzz.pcapng");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(folder.newest().unwrap().as_ref(), Some(last));
    captured(&folder);
    assert!(other.exists() && pipe.exists());
}

#[test]
fn the_order_of_files_is_not_that_of_the_clock() {
    let directory = TempDir::new().unwrap();
    let folder = Folder::new(directory.path());
    let first = captured(&folder);
    // Made when the clock was right; now it is not.
    let name = |moment: &str| first.with_file_name(format!("capture-{moment}.pcapng"));
    let later: Vec<_> =
        (2..=4).map(|number| name(&format!("00000{number}-29991231T235959Z"))).collect();
    for path in &later {
        fs::write(path, "").unwrap();
    }
    let unnumbered = name("29991231T235959Z");
    fs::write(&unnumbered, "").unwrap();
    let new = captured(&folder);
    assert_eq!(folder.newest().unwrap().as_ref(), Some(&new));
    assert!(!unnumbered.exists() && first.exists());
    let newer = captured(&folder);
    assert!(new.exists() && newer.exists() && !first.exists() && later[0].exists());
}

#[test]
fn a_capture_that_there_is_no_room_for_costs_none() {
    let directory = TempDir::new().unwrap();
    let folder = Folder::new(directory.path());
    for _ in 0..5 {
        captured(&folder);
    }
    let before = names(&directory);
    let refused = folder.begin(u64::MAX / 2).unwrap_err();
    assert!(matches!(refused, FolderError::Full { .. }), "{refused}");
    assert_eq!(names(&directory), before);
}

#[test]
fn a_file_goes_if_its_capture_does_not_begin() {
    let directory = TempDir::new().unwrap();
    let folder = Folder::new(directory.path());
    captured(&folder);
    let before = names(&directory);
    let sink = folder.begin(LEAST_BYTES).unwrap();
    assert_eq!(names(&directory).len(), 2);
    drop(sink);
    let end = Instant::now() + PATIENCE;
    while names(&directory) != before {
        assert!(Instant::now() < end, "it stays");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn whole_blocks_are_found_in_what_was_written() {
    let mut octets = Vec::new();
    pcapng::section(&mut octets, "");
    let first = octets.len();
    pcapng::statistics(&mut octets, 0, 1, 2, 3);
    assert_eq!(octets.len() - first, STATISTICS_LEN as usize);
    for length in 0..=octets.len() {
        let expected = match length {
            length if length == octets.len() => length,
            length if length >= first => first,
            _ => 0,
        };
        assert_eq!(whole_blocks(&octets[..length]), expected, "{length}");
    }
    assert_eq!(whole_blocks(&[0; 64]), 0);
}

#[test]
fn a_file_that_cannot_grow_keeps_whole_blocks() {
    // A small file system would do, but to have one takes rights.
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.pcapng");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    file.write_all(&MAGIC).unwrap();
    // It was opened for reading: nothing can be written at all.
    let sink = Sink {
        place: sink::Place::File(File::open(&path).unwrap()),
        name: "a".to_owned(),
        kept: None,
        reserve: 0,
    };
    let setup = Setup { sink, choice: Choice::default() };
    let mut recorder = Recorder::start(setup, wires()).unwrap();
    let report = wait(&mut recorder);
    assert!(report.stopped_because.is_some() && report.written == 0, "{report:?}");
}

proptest! {
    #[test]
    fn whatever_comes_makes_whole_blocks(
        packets in prop::collection::vec((
            0_u16..3,
            prop::option::of(prop::collection::vec(any::<u8>(), 0..39)),
            prop::collection::vec(any::<u8>(), 0..300),
            prop::option::of("\\PC{0,40}"),
            any::<bool>(),
        ), 0..20),
        pdu in any::<bool>(),
    ) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("a.pcapng");
        let wrapping = if pdu { Wrapping::Pdu } else { Wrapping::Udp };
        let mut recorder = start(&path, Choice { wrapping, ..Choice::default() });
        let mut expected = Vec::new();
        for (link, device, octets, client, received) in &packets {
            let device = device.as_ref().and_then(|octets| Address::new(octets));
            let given = packet(*link, device.as_ref(), octets);
            recorder.packet(&Packet { client: client.as_deref(), received: *received, ..given });
            if *link < 2 {
                expected.push((u32::from(*link), 2 - u32::from(*received), octets));
            }
        }
        finish(&mut recorder, "enough");
        let file = fs::read(&path).unwrap();
        let found: Vec<_> = blocks(&file).into_iter().filter(|(kind, _)| *kind == 6).collect();
        prop_assert_eq!(found.len(), expected.len());
        for ((_, body), (interface, flags, octets)) in found.iter().zip(expected) {
            let (its_interface, its_flags, _, frame) = parts(body);
            prop_assert_eq!((its_interface, its_flags), (interface, flags));
            prop_assert!(frame.ends_with(octets));
        }
    }

    #[test]
    fn long_names_are_cut_between_characters(client in "[äöü€𝄞]{600,900}") {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("a.pcapng");
        let mut recorder = start(&path, Choice::default());
        let device = udp_device();
        recorder.packet(&Packet { client: Some(&client), ..packet(0, Some(&device), &[2, 0x16]) });
        finish(&mut recorder, "enough");
        let file = fs::read(&path).unwrap();
        let (_, _, comment, _) = parts(blocks(&file)[3].1);
        let (_, name) = comment.split_once("client \"").expect("a client");
        prop_assert!(client.starts_with(name.trim_end_matches('"')) && name.len() > 1_000);
    }
}
