//! docs/hub/mqtt_sn_hub.h, compiled here, and the module `hub` agree on every octet; and
//! docs/hub/example_hub.c does what docs/hub.md says.

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mqtt_sn_gateway::hub::{
    Address, DecodeError, Destination, FrameDecoder, FrameError, FrameWriter, Hello, Message,
    Outcome, Received, Send, Text, decode, encode, frame_len_max,
};
use tempfile::TempDir;

#[path = "support/random.rs"]
mod random;

use random::Random;

/// A C program of the test's, and where it is.
struct Program {
    _directory: TempDir,
    path: PathBuf,
}

impl Program {
    fn compile(sources: &[&str]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("program");
        let output = Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-o"])
            .arg(&path)
            .arg("-I")
            .arg(root.join("docs/hub"))
            .args(sources.iter().map(|source| root.join(source)))
            .output()
            .unwrap_or_else(|error| {
                panic!("`cc`, the C compiler that Rust links with, is needed for this: {error}")
            });
        assert!(
            output.status.success(),
            "cc refuses {sources:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { _directory: directory, path }
    }

    /// What it makes of the input.
    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let output = std::thread::scope(|scope| {
            // Otherwise both might wait for the other to read.
            scope.spawn(move || stdin.write_all(input).expect("it reads everything"));
            child.wait_with_output().expect("it ends")
        });
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        output.stdout
    }

    fn lines(&self, arguments: &[&str], input: &[u8]) -> Vec<String> {
        let output = String::from_utf8(self.run(arguments, input)).expect("text");
        output.lines().map(str::to_owned).collect()
    }
}

fn driver() -> Program {
    Program::compile(&["tests/hub_c/driver.c"])
}

fn hex(octets: &[u8]) -> String {
    if octets.is_empty() {
        return ".".to_owned();
    }
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut out = [0; 1_200];
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

/// What the driver has to say of the octets of a line.
fn expected(line: &[u8], size: usize) -> Vec<String> {
    let mut decoder = FrameDecoder::new(vec![0; size]);
    let mut said = Vec::new();
    for octet in line {
        match decoder.push(*octet) {
            None => {}
            Some(Ok(contents)) => said.push(described(contents)),
            Some(Err(error)) => said.push(format!(
                "damage {}",
                match error {
                    FrameError::Stuffing => -1,
                    FrameError::TooShort => -2,
                    FrameError::Crc => -3,
                    FrameError::TooLong => -4,
                }
            )),
        }
    }
    said
}

fn described(contents: &[u8]) -> String {
    let says = match decode(contents) {
        Ok(Message::HelloRequest { version }) => format!("1 {version}"),
        Ok(Message::Send(send)) => {
            let (broadcast, to) = match send.to {
                Destination::Broadcast => (1, Address::default()),
                Destination::Device(to) => (0, to),
            };
            let sequence = send.sequence.map_or(0, u8::from);
            let (to, packet) = (hex(to.octets()), hex(send.packet));
            format!("2 {sequence} {broadcast} {to} {packet}")
        }
        Err(DecodeError::Version { .. }) => "-1 ".to_owned(),
        // A hub takes no notice of what hubs say.
        _ if contents.get(1).is_some_and(|msg_type| msg_type & 0x80 != 0) => "-2 ".to_owned(),
        Err(DecodeError::UnknownType { .. }) => "-2 ".to_owned(),
        Err(DecodeError::TooShort { .. }) => "-3 ".to_owned(),
        Err(DecodeError::BadAddress { .. }) => "-4 ".to_owned(),
        other => panic!("{other:?}"),
    };
    format!("frame {says} {}", hex(contents))
}

/// One message of either side, now and then one that is none.
fn contents(random: &mut Random) -> Vec<u8> {
    let msg_type = [1, 2, 2, 2, 2, 0x81, 0x82, 0x83, 0x84, random.octet()][random.below(10)];
    let version = if random.below(20) == 0 { random.octet() } else { 1 };
    let mut contents = vec![version, msg_type];
    if msg_type == 2 && random.below(8) > 0 {
        contents.extend([random.octet(), random.octet() & 1]);
        let length = [0, 1, 2, 8, random.below(10)][random.below(5)];
        contents.push(length as u8);
        contents.extend(random.octets(length));
    }
    let length = [0, 1, 5, 60, random.below(600)][random.below(5)];
    contents.extend(random.octets(length));
    contents.truncate([usize::MAX, usize::MAX, random.below(8)][random.below(3)]);
    contents
}

#[test]
fn what_c_reads_is_what_rust_reads() {
    let driver = driver();
    let mut random = Random(0x4855_4220_5245_4144);
    let mut seen = [0; 7];
    for size in [0, 1, 2, 3, 10, 34, 75, 256, 700] {
        let mut line = Vec::new();
        for _ in 0..2_000 {
            let mut frame = framed(&contents(&mut random));
            match random.below(8) {
                0 => frame.truncate(random.below(frame.len())),
                1 => {
                    let at = random.below(frame.len());
                    frame[at] ^= 1 << random.below(8);
                }
                2 => {
                    let at = random.below(frame.len());
                    frame[at] = random.octet();
                }
                3 => drop(frame.remove(random.below(frame.len()))),
                4 => {
                    let length = random.below(20);
                    frame.extend(random.octets(length));
                }
                // Delimiters that frames share.
                5 => drop(frame.pop()),
                _ => {}
            }
            line.extend(frame);
        }
        let wanted = expected(&line, size);
        let said = driver.lines(&["decode", &size.to_string()], &line);
        for (number, (said, wanted)) in said.iter().zip(&wanted).enumerate() {
            assert_eq!(said, wanted, "line {number}, with a buffer of {size}");
        }
        assert_eq!(said.len(), wanted.len());
        let kinds =
            ["frame 1 ", "frame 2 ", "frame -", "damage -1", "damage -2", "damage -3", "damage -4"];
        for (count, kind) in seen.iter_mut().zip(kinds) {
            *count += said.iter().filter(|line| line.starts_with(kind)).count();
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

/// A message of a hub, and how the driver is told to write it.
fn from_hub(random: &mut Random, packet: &mut Vec<u8>, each: &mut dyn FnMut(&Message<'_>, String)) {
    const NAMES: [&str; 5] =
        ["", "attic", "Dachboden, Süd", "n", "12345678901234567890123456789012"];
    let short = |random: &mut Random| {
        let length = random.below(9);
        Address::new(&random.octets(length)).expect("a short address")
    };
    match random.below(5) {
        0 => {
            let sequence = NonZeroU8::new(random.octet()).unwrap_or(NonZeroU8::MAX);
            let outcome = Outcome(random.octet());
            let told = format!("T {sequence} {}", outcome.0);
            each(&Message::Result { sequence, outcome }, told);
        }
        1 => {
            let milliseconds = (random.next() as u32) >> random.below(32);
            each(&Message::Busy { milliseconds }, format!("B {milliseconds}"));
        }
        2 => {
            let hello = Hello {
                version: 1,
                started: random.below(2) > 0,
                max_packet: random.next() as u16 >> random.below(16),
                queue: random.octet(),
                duty_cycle: random.next() as u16 >> random.below(16),
                bit_rate: random.next() as u32 >> random.below(32),
                address_len: random.below(9) as u8,
                address: short(random),
                name: Text::new(NAMES[random.below(5)]).expect("a name"),
                radio: Text::new(NAMES[random.below(5)]).expect("a name"),
            };
            let Hello { max_packet, queue, duty_cycle, bit_rate, address_len, .. } = hello;
            let numbers = format!("{max_packet} {queue} {duty_cycle} {bit_rate} {address_len}");
            let texts = [hello.name, hello.radio].map(|text| hex(text.as_str().as_bytes()));
            let own = hex(hello.address.octets());
            let started = u8::from(hello.started);
            let told = format!("H {started} {numbers} {own} {} {}", texts[0], texts[1]);
            each(&Message::Hello(hello), told);
        }
        _ => {
            let length = [2, 60, 254, random.below(700)][random.below(4)];
            packet.clear();
            packet.extend(random.octets(length));
            if random.below(2) > 0 {
                packet.iter_mut().for_each(|octet| *octet |= 1);
            }
            let dbm = -(random.below(300) as i16);
            let received = Received {
                from: short(random),
                broadcast: random.below(2) > 0,
                rssi: (dbm != 0).then_some(dbm),
                lqi: NonZeroU8::new(random.octet()),
                packet,
            };
            let (broadcast, lqi) = (u8::from(received.broadcast), received.lqi.map_or(0, u8::from));
            let (from, packet) = (hex(received.from.octets()), hex(received.packet));
            let told = format!("R {broadcast} {dbm} {lqi} {from} {packet}");
            each(&Message::Received(received), told);
        }
    }
}

#[test]
fn what_c_writes_is_what_rust_writes() {
    let driver = driver();
    let mut random = Random(0x4855_4220_5752_4954);
    for size in [0, 1, 2, 3, 9, 14, 94, 273, 1_000] {
        let (mut told, mut wanted) = (String::new(), Vec::new());
        let mut packet = Vec::new();
        for _ in 0..2_000 {
            from_hub(&mut random, &mut packet, &mut |message, line| {
                let _ = writeln!(told, "{line}");
                let mut out = vec![0; size];
                wanted.push(match encode(message, &mut out) {
                    Ok(length) => hex(&out[..length]),
                    Err(error) => {
                        assert!(error.needed > size && frame(message).len() == error.needed);
                        "-".to_owned()
                    }
                });
            });
        }
        let written = driver.lines(&["encode", &size.to_string()], told.as_bytes());
        for ((written, wanted), told) in written.iter().zip(&wanted).zip(told.lines()) {
            assert_eq!(written, wanted, "{told}, with room for {size}");
        }
        assert_eq!(written.len(), wanted.len());
        assert!(size < 9 || written.iter().filter(|line| *line != "-").count() > 100);
    }
}

/// What Rust has a type for, so that it cannot be written.
#[test]
fn c_does_not_write_what_cannot_be() {
    let long = hex(&[b'n'; 33]);
    let told = [
        format!("H 1 60 1 0 0 1 . {long} .\n"),
        format!("H 1 60 1 0 0 1 . . {long}\n"),
        format!("H 1 60 1 0 0 1 {} . .\n", hex(&[1; 9])),
        format!("R 0 0 0 {} 0216\n", hex(&[1; 9])),
    ];
    assert_eq!(driver().lines(&["encode", "1000"], told.concat().as_bytes()), ["-"; 4]);
}

/// The macros of the header.
#[test]
fn buffers_that_c_declares_are_long_enough() {
    let sizes = driver().lines(&["sizes"], &[]);
    assert_eq!(sizes.len(), 1_001);
    for (length, line) in sizes.iter().enumerate() {
        let (buffer, frame) = line.split_once(' ').expect("two numbers");
        assert_eq!(buffer, (length + 15).max(34).to_string());
        assert_eq!(frame, frame_len_max(length + 14).max(94).to_string());
    }
}

/// What the example hub says to these octets.
fn hub_says(hub: &Program, line: &[u8]) -> Vec<String> {
    let mut decoder = FrameDecoder::new([0; 300]);
    let mut said = Vec::new();
    for octet in hub.run(&[], line) {
        if let Some(frame) = decoder.push(octet) {
            let message = decode(frame.expect("a frame")).expect("a message");
            assert!(message.is_from_hub());
            said.push(match message {
                Message::Hello(hello) => {
                    assert_eq!(
                        (hello.name.as_str(), hello.queue, hello.max_packet),
                        ("attic", 1, 60)
                    );
                    if hello.started { "started" } else { "hello" }.to_owned()
                }
                Message::Received(packet) => {
                    assert_eq!(packet.rssi, Some(-71));
                    format!("{} from {}", hex(packet.packet), hex(packet.from.octets()))
                }
                Message::Result { sequence, outcome } => format!("{sequence} {}", outcome.kind()),
                Message::Busy { milliseconds } => format!("busy {milliseconds}"),
                other => panic!("{other:?}"),
            });
        }
    }
    said
}

#[test]
fn the_example_is_a_hub() {
    let hub = Program::compile(&["docs/hub/example_hub.c", "tests/hub_c/board.c"]);
    let send = |sequence, to: Option<&[u8]>, packet: &[u8]| {
        let sequence = NonZeroU8::new(sequence);
        let device = |octets| Destination::Device(Address::new(octets).expect("short"));
        let to = to.map_or(Destination::Broadcast, device);
        frame(&Message::Send(Send { sequence, to, packet }))
    };
    let hello = frame(&Message::HelloRequest { version: 1 });
    assert_eq!(hub_says(&hub, &[]), ["started"]);
    let mut damaged = send(3, Some(&[5]), &[2, 0x17]);
    damaged[8] ^= 1;
    for (line, says) in [
        (hello.clone(), &["hello"][..]),
        (send(1, Some(&[5]), &[2, 0x17]), &["1 acknowledged", "0217 from 05"]),
        (send(0, Some(&[6]), &[2, 0x17]), &["0217 from 06"]),
        (send(2, None, &[3, 1, 0]), &["2 sent"]),
        (send(255, Some(&[9]), &[2, 0x17]), &["255 no_answer"]),
        (send(4, Some(&[8]), &[2, 0x17]), &["busy 36000", "4 acknowledged", "0217 from 08"]),
        (send(5, Some(&[1, 2]), &[2, 0x17]), &["5 no_such_device"]),
        (send(6, Some(&[5]), &[7; 60]), &["6 acknowledged", &format!("{} from 05", hex(&[7; 60]))]),
        (send(7, Some(&[5]), &[7; 61]), &["7 too_long"]),
        // It would take more room than the hub has, so that its number is not known.
        (send(8, Some(&[5; 8]), &[7; 61]), &[]),
        (damaged, &[]),
        (b"noise".to_vec(), &[]),
        (frame(&Message::Busy { milliseconds: 1 }), &[]),
        (framed(&[1, 0x70, 1, 2, 3]), &[]),
        (framed(&[2, 2, 1, 0, 0, 2, 0x17]), &[]),
    ] {
        // Whatever came before it, the next frame is understood.
        let line = [&line[..], &hello].concat();
        let said = hub_says(&hub, &line);
        let wanted = [&["started"], says, &["hello"]].concat();
        assert_eq!(said, wanted, "{}", hex(&line));
    }
}
