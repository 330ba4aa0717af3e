//! The examples of docs/hub.md against the code, and numbers that the documentation gives.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU8;
use std::path::Path;
use std::process::Command;

use mqtt_sn_gateway::codec;
use mqtt_sn_gateway::hub::{
    Address, CRC_LEN, DecodeError, Destination, FrameDecoder, FrameError, FrameWriter, Hello,
    Message, OTHER_CONTENTS_MAX, Outcome, Received, Send, TEXT_LEN_MAX, Text, buffer_len, decode,
    encode, frame_len_max,
};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hub.md");
    fs::read_to_string(path).expect("docs/hub.md")
}

fn hex(octets: &[u8]) -> String {
    let each: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    each.join(" ")
}

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut out = [0; 400];
    let length = encode(message, &mut out).expect("room");
    out[..length].to_vec()
}

fn framed(contents: &[u8]) -> Vec<u8> {
    let mut out = vec![0; frame_len_max(contents.len())];
    let mut writer = FrameWriter::new(&mut out);
    writer.push(contents);
    let length = writer.finish().expect("room");
    out[..length].to_vec()
}

/// What is in the one frame.
fn contents(line: &[u8]) -> Vec<u8> {
    let mut decoder = FrameDecoder::new([0; 400]);
    let found: Vec<Vec<u8>> = line
        .iter()
        .filter_map(|octet| decoder.push(*octet).map(|frame| frame.expect("a frame").to_vec()))
        .collect();
    let [contents] = found.as_slice() else { panic!("{} frames", found.len()) };
    contents.clone()
}

fn address(octets: &[u8]) -> Address {
    Address::new(octets).expect("a short address")
}

fn text(text: &str) -> Text<'_> {
    Text::new(text).expect("a short name")
}

const XBEE: [u8; 8] = [0x00, 0x13, 0xA2, 0x00, 0x40, 0xA1, 0xB2, 0xC3];

/// In the order of the page.
fn examples() -> [Message<'static>; 12] {
    let number = |number| NonZeroU8::new(number);
    let attic = Hello {
        version: 1,
        started: true,
        max_packet: 60,
        queue: 1,
        duty_cycle: 100,
        bit_rate: 55_555,
        address_len: 1,
        address: address(&[1]),
        name: text("attic"),
        radio: text("RFM69HCW, 868.3 MHz"),
    };
    let silent = Hello {
        version: 1,
        started: false,
        max_packet: 255,
        queue: 0,
        duty_cycle: 0,
        bit_rate: 0,
        address_len: 0,
        address: Address::default(),
        name: Text::default(),
        radio: Text::default(),
    };
    let pingreq = Received {
        from: address(&[5]),
        broadcast: false,
        rssi: Some(-71),
        lqi: None,
        packet: &[0x02, 0x16],
    };
    let searchgw = Received {
        from: address(&XBEE),
        broadcast: true,
        rssi: Some(-90),
        lqi: number(200),
        packet: &[0x03, 0x01, 0x00],
    };
    let send =
        |sequence, to, packet| Message::Send(Send { sequence: number(sequence), to, packet });
    let result = |sequence, outcome| Message::Result {
        sequence: NonZeroU8::new(sequence).expect("not 0"),
        outcome,
    };
    [
        Message::HelloRequest { version: 1 },
        Message::Hello(attic),
        Message::Hello(silent),
        Message::Received(pingreq),
        Message::Received(searchgw),
        send(7, Destination::Device(address(&[5])), &[0x02, 0x17]),
        send(8, Destination::Broadcast, &[0x05, 0x00, 0x01, 0x03, 0x84]),
        send(0, Destination::Device(address(&XBEE)), &[0x02, 0x18]),
        result(7, Outcome::ACKNOWLEDGED),
        result(8, Outcome::DUTY_CYCLE),
        Message::Busy { milliseconds: 36_000 },
        Message::Busy { milliseconds: 0 },
    ]
}

#[test]
fn the_examples_of_the_documentation() {
    let page = page();
    let (_, table) = page.split_once("| example |").expect("the table of examples");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let examples = examples();
    assert_eq!(rows.len(), examples.len());
    for (row, message) in rows.iter().zip(&examples) {
        let line = frame(message);
        assert_eq!(row[2].trim_matches('`'), hex(&line), "{}", row[0]);
        assert_eq!(row[1], if message.is_from_hub() { "hub" } else { "gateway" }, "{}", row[0]);
        assert_eq!(decode(&contents(&line)).as_ref(), Ok(message), "{}", row[0]);
        let packet = match message {
            Message::Send(send) => send.packet,
            Message::Received(received) => received.packet,
            _ => continue,
        };
        let name = codec::decode_message(packet).expect("a packet").name();
        assert!(row[0].contains(&format!(": {name}")), "{}", row[0]);
    }
}

/// The headings, and the table of outcomes.
#[test]
fn types_and_outcomes_are_those_of_the_documentation() {
    let page = page();
    let types: BTreeSet<u8> = examples().iter().map(Message::type_code).collect();
    let headings: BTreeSet<u8> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|heading| u8::from_str_radix(&heading[..2], 16).expect("a type"))
        .collect();
    assert_eq!(headings, types);
    for msg_type in 0..=255 {
        let known = decode(&[1, msg_type]) != Err(DecodeError::UnknownType { msg_type });
        assert_eq!(known, types.contains(&msg_type));
    }
    let (_, outcomes) = page.split_once("\n| outcome |").expect("the table of outcomes");
    let rows = outcomes.lines().skip(2).take_while(|line| line.starts_with('|'));
    let numbers: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1).map(str::trim)).collect();
    let mut known: Vec<String> = (0..=255)
        .filter(|outcome| Outcome(*outcome).kind() != "other")
        .map(|outcome| outcome.to_string())
        .collect();
    known.push("other".to_owned());
    assert_eq!(numbers, known);
    let fine: Vec<u8> = (0..=255).filter(|outcome| Outcome(*outcome).is_sent()).collect();
    assert_eq!(fine, [0, 1]);
}

/// Lengths that firmware authors are told.
#[test]
fn buffers_are_as_long_as_the_documentation_says() {
    let long = "n".repeat(TEXT_LEN_MAX);
    let Message::Hello(hello) = examples()[1] else { panic!("a hello") };
    let (name, radio) = (text(&long), text(&long));
    let (max_packet, bit_rate) = (0x0101, 0x0101_0101);
    let hello = Hello { name, radio, max_packet, bit_rate, address: address(&[1; 8]), ..hello };
    let line = frame(&Message::Hello(hello));
    assert_eq!(line.len(), 94);
    assert!(contents(&line).len() < OTHER_CONTENTS_MAX);
    for length in 0..=1_000 {
        let packet = vec![1; length];
        let to = Destination::Device(address(&XBEE));
        let send = Message::Send(Send { sequence: NonZeroU8::new(1), to, packet: &packet });
        let (from, rssi) = (address(&XBEE), Some(-1));
        let received =
            Received { from, broadcast: true, rssi, lqi: NonZeroU8::new(1), packet: &packet };
        let mut out = vec![0; length + 19 + (length + 16) / 254];
        let received = encode(&Message::Received(received), &mut out).expect("as documented");
        assert!(out.len() - received <= 1, "{length}: {received} of {}", out.len());
        let sent = encode(&send, &mut out).expect("shorter by one");
        // A buffer as documented takes it, and one that is an octet shorter does not.
        let mut fits = FrameDecoder::new(vec![0; length + 15]);
        let mut short = FrameDecoder::new(vec![0; length + 14]);
        let frames = |decoder: &mut FrameDecoder<Vec<u8>>| {
            out[..sent].iter().filter(|octet| matches!(decoder.push(**octet), Some(Ok(_)))).count()
        };
        assert_eq!((frames(&mut fits), frames(&mut short)), (1, 0));
        assert!(buffer_len(length) >= length + 16);
    }
    assert_eq!(buffer_len(0), OTHER_CONTENTS_MAX + CRC_LEN);
    assert_eq!(buffer_len(usize::MAX), usize::MAX);
}

/// What a later version may add does not disturb this one.
#[test]
fn what_is_not_known_yet_is_not_looked_at() {
    for message in examples() {
        let mut grown = contents(&frame(&message));
        match message {
            Message::Send(_) => grown[3] |= 0xFE,
            Message::Received(_) => grown[2] |= 0xFE,
            Message::Hello(_) => {
                grown[3] |= 0xFE;
                grown.extend_from_slice(&[9, 0, 255]);
            }
            _ => grown.extend_from_slice(&[9, 0, 255]),
        }
        assert_eq!(decode(&contents(&framed(&grown))), Ok(message));
        grown[0] = 2;
        assert_eq!(decode(&grown), Err(DecodeError::Version { version: 2 }));
    }
    assert_eq!(decode(&[1, 0x85, 1]), Err(DecodeError::UnknownType { msg_type: 0x85 }));
}

#[test]
fn what_is_wrong_is_said() {
    for message in examples() {
        let whole = contents(&frame(&message));
        let fields = match message {
            Message::Send(send) => whole.len() - send.packet.len(),
            Message::Received(received) => whole.len() - received.packet.len(),
            _ => whole.len(),
        };
        for length in 2..fields {
            let msg_type = Some(message.type_code());
            assert_eq!(decode(&whole[..length]), Err(DecodeError::TooShort { msg_type }));
        }
    }
    for contents in [&[][..], &[1]] {
        assert_eq!(decode(contents), Err(DecodeError::TooShort { msg_type: None }));
    }
    let long = DecodeError::BadAddress { length: 9 };
    assert_eq!(decode(&[1, 2, 7, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 0x16]), Err(long));
    assert_eq!(decode(&[1, 0x82, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 0x16]), Err(long));
    let one = DecodeError::BadAddress { length: 1 };
    assert_eq!(decode(&[1, 2, 7, 1, 1, 5, 2, 0x16]), Err(one), "a broadcast to one device");
    assert_eq!(decode(&[1, 0x83, 0, 0]), Err(DecodeError::BadSequence));

    let hello = contents(&frame(&examples()[1]));
    let at = hello.windows(5).position(|octets| octets == b"attic").expect("its name");
    for (position, octet) in [(at, 0xFF), (at + 1, b'\n'), (at + 2, 0x7F)] {
        let mut hello = hello.clone();
        hello[position] = octet;
        assert_eq!(decode(&hello), Err(DecodeError::BadText));
    }
    let mut wide = hello.clone();
    wide[at - 4] = 9;
    assert_eq!(decode(&wide), Err(long), "addresses of 9 octets");
    let mut named = hello[..at - 1].to_vec();
    named.push(33);
    named.extend_from_slice(&[b'n'; 33]);
    named.push(0);
    assert_eq!(decode(&named), Err(DecodeError::BadText));
    assert_eq!(Text::new(&"n".repeat(33)), None);
    assert_eq!(Text::new("a\u{85}"), None);
    assert_eq!(Address::new(&[0; 9]), None);
}

#[test]
fn strengths_that_do_not_exist_are_written_as_the_nearest() {
    let Message::Received(received) = examples()[3] else { panic!("a packet") };
    for (dbm, expected) in
        [(0, -1), (1, -1), (i16::MAX, -1), (-1, -1), (-255, -255), (-256, -255), (i16::MIN, -255)]
    {
        let line = frame(&Message::Received(Received { rssi: Some(dbm), ..received }));
        let expected = Message::Received(Received { rssi: Some(expected), ..received });
        assert_eq!(decode(&contents(&line)), Ok(expected));
    }
    let unknown = Message::Received(Received { rssi: None, ..received });
    assert_eq!(decode(&contents(&frame(&unknown))), Ok(unknown));
}

/// A packet with framing `cobs` is no message of a hub, and the other way round.
#[test]
fn the_framings_do_not_mistake_each_other() {
    for length in 2..70_000_usize {
        let packet = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length), _) => vec![length, 0x0C],
            (_, Ok(length)) if length < 0x8000 => {
                [&[1], &length.to_be_bytes()[..], &[0x0C]].concat()
            }
            // No line carries them.
            _ => continue,
        };
        match decode(&packet) {
            Err(DecodeError::Version { .. } | DecodeError::UnknownType { .. }) => {}
            Ok(message) => assert!(!message.is_from_hub()),
            Err(DecodeError::TooShort { msg_type: Some(msg_type) }) => assert!(msg_type < 0x80),
            other => panic!("{length}: {other:?}"),
        }
    }
    for message in examples().iter().filter(|message| message.is_from_hub()) {
        assert!(codec::decode(&contents(&frame(message))).is_err());
    }
}

/// Firmware takes the module along: it compiles with `core` and nothing else.
#[test]
fn the_module_stands_alone() {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hub/mod.rs");
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("firmware.rs");
    fs::write(&source, format!("#![no_std]\n#[path = {module:?}]\npub mod hub;\n"))
        .expect("a file");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "-Dwarnings", "--out-dir"])
        .args([directory.path(), &source])
        .output()
        .expect("rustc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn frames_that_are_none() {
    let whole = framed(b"abc");
    let stuffing = [0, 9, 1, 2, 0];
    let mut changed = whole.clone();
    changed[3] ^= 0x10;
    for (line, error) in [
        (&stuffing[..], FrameError::Stuffing),
        (&[1, 0], FrameError::TooShort),
        (&[2, 7, 0], FrameError::TooShort),
        (&[1, 1, 0], FrameError::TooShort),
        (&changed, FrameError::Crc),
        (&framed(&[7; 9]), FrameError::TooLong),
    ] {
        let mut decoder = FrameDecoder::new([0; 5]);
        let mut said: Vec<_> = Vec::new();
        for octet in line.iter().chain(&whole) {
            said.extend(decoder.push(*octet).map(|frame| frame.map(<[u8]>::to_vec)));
        }
        assert_eq!(said, [Err(error), Ok(b"abc".to_vec())]);
        let discarded = decoder.discarded();
        let counted = [discarded.stuffing, discarded.too_short, discarded.crc, discarded.too_long];
        assert_eq!(counted.iter().sum::<u64>(), 1);
        let delimiters = line.iter().filter(|octet| **octet == 0).count();
        assert_eq!(discarded.octets, (line.len() - delimiters) as u64);
    }
}
