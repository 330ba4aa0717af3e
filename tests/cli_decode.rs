//! `decode`, seen from outside: hex, text files, captures of every kind, and damaged ones.

mod common;

use std::fs;
use std::io::Write;

use common::{Ended, run, run_with};

const PUBLISH: &[u8] = b"\x0B\x0C\x00\x00\x11\x00\x0021.5";
const PUBLISH_WORDS: &str = "PUBLISH: topic id 17, QoS 0, 4 bytes \"21.5\"";

#[test]
fn hex_is_explained() {
    for arguments in [
        &["decode", "0b0c000011000032312e35"][..],
        &["decode", "0B 0C 00 00 11 00 00 32 31 2E 35"],
        &["decode", "0x0b:0x0c:00:00:11:00:00:32:31:2e:35"],
        &["decode", "0b", "0c", "00", "00", "11", "00", "00", "32", "31", "2e", "35"],
    ] {
        let ended = run(arguments);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert_eq!(ended.out, format!("{PUBLISH_WORDS}\n"));
    }
    let ended = run(&["decode", "0216", "0217", "01000416"]);
    assert_eq!(ended.out, "PINGREQ\nPINGRESP\nPINGREQ (long form)\n");
}

#[test]
fn lines_come_back_with_their_comments() {
    let text = b"# a session\n\n02 16 # are you there?\r\n02:17\nxyz\n02 16 FF # one too many\n";
    let ended = run_with(&["decode"], text);
    assert_eq!(
        ended.out,
        "# a session\n\n\
         PINGREQ  # are you there?\n\
         PINGRESP\n\
         not a packet: \"xyz\" is not hex\n\
         malformed: Length says 2 octets, but 3 arrived  # one too many\n"
    );
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert_eq!(run_with(&["decode", "-"], b"0216").out, "PINGREQ\n");
}

#[test]
fn files_are_told_from_hex() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("packets.txt");
    fs::write(&path, "02 16\n02 17 # no line end").expect("written");
    let path = path.to_str().expect("UTF-8");
    let ended = run(&["decode", path, "0218"]);
    assert_eq!(ended.out, "PINGREQ\nPINGRESP  # no line end\nDISCONNECT\n");

    let ended = run(&["decode", "no-such-file"]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.starts_with("error: cannot open no-such-file: "), "{}", ended.err);
}

#[test]
fn what_was_on_a_line_is_taken_apart() {
    let text = "# a line\nC0 02 16 C0 C0 02\n17 C0 # over two lines\n00 C0 03 16 00 00 C0\n\
                DB 01 C0 02 18";
    let expected = "     0     4  PINGREQ\n     4     4  PINGRESP\n     \
                    8     2  malformed: Length 0 is less than the header itself\n    \
                    10     5  malformed: Length says 3 octets, but 4 arrived\n    \
                    15     3  noise, or a damaged frame: DB 01 C0\n    \
                    18     2  no whole frame: 02 18\n";
    let ended = run_with(&["decode", "--framing", "slip"], text.as_bytes());
    assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 1));

    // In arguments, in a file, and as it is.
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, octets: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, octets).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let octets = [0xC0, 2, 0x16, 0xC0, 0xC0, 2, 0x17, 0xC0];
    let (hex, raw) = (file("a.txt", b"c00216c0:c00217c0"), file("a.bin", &octets));
    for arguments in [&["C0 02 16 C0", "C0", "02", "17", "C0"][..], &[&hex], &["--raw", &raw]] {
        let ended = run(&[&["decode", "--framing", "slip"], arguments].concat());
        let expected = "     0     4  PINGREQ\n     4     4  PINGRESP\n";
        assert_eq!((ended.out.as_str(), ended.err.as_str(), ended.code), (expected, "", 0));
    }
    let ended = run(&["decode", "--framing", "slip", &raw]);
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    assert!(ended.err.contains("is not hex; if these are the octets themselves, add --raw"));
    let capture = file("a.pcap", &pcap(1, &[vec![1]], false, false));
    let ended = run(&["decode", "--framing", "slip", &capture]);
    assert!(ended.code == 1 && ended.err.contains("leave out --framing"), "{}", ended.err);
}

#[test]
fn the_lines_of_a_hub_say_what_the_radio_says() {
    // Examples of docs/hub.md.
    let ended = run(&[
        "decode",
        "--framing",
        "hub",
        "-v",
        "00 03 01 82 02 47 07 01 05 02 16 55 09 00",
        "00 07 01 83 07 01 E6 37 00",
        "00 05 02 16 F6 65 00",
    ]);
    assert_eq!(
        ended.out,
        "     0    14  RECEIVED from 05, -71 dBm: PINGREQ\n    \
         0  02                         Length: 2, short form\n    \
         1  16                         MsgType: PINGREQ (0x16)\n    \
         14     9  RESULT of 7: acknowledged\n    \
         23     7  not understood: hub protocol version 2 is not known: 00 05 02 16 F6 65 00\n"
    );
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let line = "7E 00 06 88 01 41 50 00 02 E3 \
                7E 00 0E 90 00 13 A2 00 40 A1 B2 C3 1A 2B 01 02 16 06 \
                7E 00 07 8B 07 1A 2B 00 00 00 28 00 55 FF 7E 00 0E 90 00";
    let ended = run(&["decode", "--framing", "xbee", line]);
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tools.md");
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.contains(&format!("```text\n{}```", ended.out)), "{}", ended.out);
}

#[test]
fn a_framing_is_found_by_trying_all() {
    let slip = "C0 02 16 C0 C0 02 17 C0";
    let cobs = "00 05 02 16 F6 65 00 00 05 02 18 17 AB 00";
    let length = "02 16 02 17 03 01 00";
    let xbee = "7E 00 0E 90 00 13 A2 00 40 A1 B2 C3 1A 2B 01 02 16 06";
    let rh_serial = "10 02 01 02 10 10 00 02 16 10 03 45 08";
    let loralink = "7E 00 09 05 FF C4 00 09 40 02 16 D6";
    let aquila = "C0 50 DB DC 07 FE 01 01 00 02 16 5D C7 C0";
    for (framing, line) in [
        ("slip", slip),
        ("cobs", cobs),
        ("length", length),
        ("xbee", xbee),
        ("rh-serial", rh_serial),
        ("loralink", loralink),
        ("aquila", aquila),
    ] {
        let ended = run(&["decode", "--framing", "auto", line]);
        let words = format!("the arguments: framing {framing} fits 100 % of the octets\n");
        assert_eq!((ended.err.as_str(), ended.code), (words.as_str(), 0));
        assert!(ended.out.starts_with("     0 ") && ended.out.contains("PINGREQ\n"));

        // Without a framing the packets are none, and it is said why.
        let ended = run(&["decode", line]);
        assert_eq!(ended.code, 1);
        let words = format!("serial line: try --framing {framing} (100 %");
        assert!(ended.err.contains(&words), "{}", ended.err);
    }
    let ended = run_with(&["decode"], &[0xC0, 2, 0x16, 0xC0]);
    assert!(ended.err.contains("try --raw --framing slip (100 %"), "{}", ended.err);
    let ended = run_with(&["decode", "--raw"], &[0xC0, 2, 0x16, 0xC0]);
    assert_eq!(ended.out, "     0     4  PINGREQ\n");
    for (input, words) in [
        ("48 65 6C 6C 6F 2C 20 77 6F 72 6C 64 21", "no framing fits at least half"),
        ("00", "no framing fits at least half"),
        ("# nothing", "nothing was on the line"),
    ] {
        let ended = run_with(&["decode", "--framing", "auto"], input.as_bytes());
        assert_eq!((ended.code, ended.out.as_str()), (1, ""));
        assert!(ended.err.contains(words), "{}", ended.err);
    }
    let ended = run(&["decode", "03 16 00 00"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""), "nothing that it looks like");
}

#[test]
fn fields_are_shown_on_demand() {
    let ended = run(&["decode", "-v", "07 0D 00 99 00 03 02"]);
    assert_eq!(
        ended.out,
        "PUBACK: rejected: invalid topic id, topic id 153, msg id 3\n    \
         0  07                         Length: 7, short form\n    \
         1  0D                         MsgType: PUBACK (0x0D)\n    \
         2  00 99                      TopicId: 153 (0x0099)\n    \
         4  00 03                      MsgId: 3 (0x0003)\n    \
         6  02                         ReturnCode: rejected: invalid topic id\n"
    );
}

/// Frames around a UDP payload.
mod frames {
    pub fn udp(payload: &[u8], from: u16, to: u16) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 8).expect("a small datagram");
        let mut datagram = Vec::new();
        for word in [from, to, length, 0] {
            datagram.extend(word.to_be_bytes());
        }
        datagram.extend(payload);
        datagram
    }

    pub fn ipv4(datagram: &[u8]) -> Vec<u8> {
        let length = u16::try_from(datagram.len() + 20).expect("a small packet");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(datagram);
        packet
    }

    /// With a hop-by-hop header in front of the datagram.
    pub fn ipv6(datagram: &[u8]) -> Vec<u8> {
        let length = u16::try_from(datagram.len() + 8).expect("a small packet");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 64]);
        for last in [1, 2] {
            packet.extend([0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(datagram);
        packet
    }

    pub fn ethernet(packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend(ether_type(packet));
        frame.extend(packet);
        // Short frames are filled up; the IP packet says where it ends.
        frame.resize(frame.len().max(60), 0);
        frame
    }

    pub fn vlan(packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x81, 0, 0, 7]);
        frame.extend(ether_type(packet));
        frame.extend(packet);
        frame
    }

    pub fn cooked(packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 14];
        frame.extend(ether_type(packet));
        frame.extend(packet);
        frame
    }

    pub fn cooked_2(packet: &[u8]) -> Vec<u8> {
        let mut frame = ether_type(packet).to_vec();
        frame.extend([0; 18]);
        frame.extend(packet);
        frame
    }

    pub fn loopback(packet: &[u8]) -> Vec<u8> {
        [&[2, 0, 0, 0], packet].concat()
    }

    fn ether_type(packet: &[u8]) -> [u8; 2] {
        if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xDD] }
    }
}

/// A classic capture with one record a frame, a millisecond apart.
fn pcap(link_type: u32, frames: &[Vec<u8>], big_endian: bool, nanos: bool) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut file = word(if nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
    for value in [0x0004_0002, 0, 0, 65_535, link_type] {
        file.extend(word(value));
    }
    for (number, frame) in frames.iter().enumerate() {
        let length = u32::try_from(frame.len()).expect("a small frame");
        let number = u32::try_from(number).expect("few frames");
        let fraction = number * if nanos { 1_000_000 } else { 1_000 };
        for value in [1_700_000_000, fraction, length, length] {
            file.extend(word(value));
        }
        file.extend(frame);
    }
    file
}

/// A pcapng capture: a section, an interface with nanoseconds, a block to be passed over, and the
/// frames as enhanced packets, the last one as a simple packet.
fn pcapng(link_type: u16, frames: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |block_type: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let length = word(u32::try_from(padded + 12).expect("a small block"));
        let mut block = [&word(block_type)[..], &length, body].concat();
        block.resize(8 + padded, 0);
        block.extend(length);
        block
    };
    let section = [&word(0x1A2B_3C4D)[..], &half(1), &half(0), &[0xFF; 8]].concat();
    let mut interface = [&half(link_type)[..], &half(0), &word(0)].concat();
    interface.extend([&half(9)[..], &half(1), &[9, 0, 0, 0], &half(0), &half(0)].concat());
    let mut file = block(0x0A0D_0D0A, &section);
    file.extend(block(1, &interface));
    file.extend(block(4, b"names"));
    let (last, frames) = frames.split_last().expect("frames");
    for (number, frame) in frames.iter().enumerate() {
        let length = word(u32::try_from(frame.len()).expect("a small frame"));
        let time = 0x1000_0000_0000_u64 + u64::try_from(number).expect("few") * 1_000_000;
        let high = word(u32::try_from(time >> 32).expect("the upper half"));
        let low = word((time & 0xFFFF_FFFF) as u32);
        file.extend(block(6, &[&word(0)[..], &high, &low, &length, &length, frame].concat()));
    }
    let length = word(u32::try_from(last.len()).expect("a small frame"));
    file.extend(block(3, &[&length[..], last].concat()));
    file
}

fn decode_file(name: &str, octets: &[u8], more: &[&str]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    fs::write(&path, octets).expect("written");
    let path = path.to_str().expect("UTF-8");
    run(&[&["decode", path], more].concat())
}

fn two_packets() -> [Vec<u8>; 2] {
    let up = frames::udp(PUBLISH, 5000, 1883);
    let down = frames::udp(b"\x02\x17", 1883, 5000);
    [frames::ipv4(&up), frames::ipv6(&down)]
}

const UP: &str = "192.0.2.1:5000 → 192.0.2.2:1883  PUBLISH: topic id 17, QoS 0, 4 bytes \"21.5\"";
const DOWN: &str = "[2001:db8::1]:1883 → [2001:db8::2]:5000  PINGRESP";

#[test]
fn classic_captures_of_every_link_are_read() {
    type Frame = fn(&[u8]) -> Vec<u8>;
    let links: [(u32, Frame); 7] = [
        (1, frames::ethernet),
        (1, frames::vlan),
        (113, frames::cooked),
        (276, frames::cooked_2),
        (101, <[u8]>::to_vec),
        (0, frames::loopback),
        (108, frames::loopback),
    ];
    for (link_type, frame) in links {
        for (big_endian, nanos) in [(false, false), (true, false), (false, true), (true, true)] {
            let frames = two_packets().map(|packet| frame(&packet));
            let ended = decode_file("x.pcap", &pcap(link_type, &frames, big_endian, nanos), &[]);
            assert_eq!((ended.code, ended.err.as_str()), (0, ""), "link {link_type}");
            let expected = format!("     1     0.000000  {UP}\n     2     0.001000  {DOWN}\n");
            assert_eq!(ended.out, expected, "link {link_type}");
        }
    }
}

#[test]
fn captures_of_the_next_generation_are_read() {
    for big_endian in [false, true] {
        let [up, down] = two_packets().map(|packet| frames::ethernet(&packet));
        let file = pcapng(1, &[up.clone(), down, up], big_endian);
        // Two sections in a row are one file too.
        let file = [file.clone(), file].concat();
        let ended = run_with(&["decode"], &file);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        let lines: Vec<&str> = ended.out.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], format!("     1     0.000000  {UP}"));
        assert_eq!(lines[1], format!("     2     0.001000  {DOWN}"));
        assert_eq!(lines[2], format!("     3            -  {UP}"));
        assert_eq!(lines[3], format!("     4     0.000000  {UP}"));
    }
}

/// As the tools of Wireshark write them: an interface with a name, and packets with flags and a comment.
fn named_pcapng(
    link_type: u16,
    frame: &[u8],
    flags: u32,
    comment: &str,
    big_endian: bool,
) -> Vec<u8> {
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let padded = |octets: &[u8]| {
        let mut octets = octets.to_vec();
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    };
    let option = |code: u16, value: &[u8]| {
        let length = half(u16::try_from(value.len()).expect("a short value"));
        [&half(code)[..], &length, &padded(value)].concat()
    };
    let block = |kind: u32, body: &[u8]| {
        let length = word(u32::try_from(body.len() + 12).expect("a small block"));
        [&word(kind)[..], &length, body, &length].concat()
    };
    let section = [&word(0x1A2B_3C4D)[..], &half(1), &half(0), &[0xFF; 8]].concat();
    let interface = [&half(link_type)[..], &half(0), &word(0), &option(2, b"wlan0")].concat();
    let length = word(u32::try_from(frame.len()).expect("a small frame"));
    let head = [word(0), word(1), word(5_000), length, length].concat();
    let options = [option(1, comment.as_bytes()), option(2, &word(flags)), option(0, b"")].concat();
    let packet = [head, padded(frame), options].concat();
    [block(0x0A0D_0D0A, &section), block(1, &interface), block(5, &[0; 12]), block(6, &packet)]
        .concat()
}

#[test]
fn what_a_capture_says_of_a_packet_is_shown() {
    let [up, _] = two_packets();
    for big_endian in [false, true] {
        for (flags, comment, way, remark) in [
            (1, "why?", "in   ", "wlan0: why?"),
            (2, "wlan0, address 05", "out  ", "wlan0, address 05"),
            (0, "", "", "wlan0"),
            // A terminal is not to obey it.
            (0, "a\n\u{1b}[31mb", "", "wlan0: a[31mb"),
        ] {
            let file = named_pcapng(101, &up, flags, comment, big_endian);
            let ended = decode_file("x.pcapng", &file, &[]);
            let expected = format!("     1     0.000000  {way}{UP}  # {remark}\n");
            assert_eq!((ended.out.as_str(), ended.err.as_str()), (expected.as_str(), ""));
        }
    }
}

#[test]
fn exported_pdus_are_read_whatever_their_ports_are() {
    let tag = |number: u8, value: &[u8]| {
        [&[0, number, 0, u8::try_from(value.len()).expect("short")][..], value].concat()
    };
    let pdu = |name: &[u8]| {
        let ends = [tag(20, &[192, 0, 2, 1]), tag(21, &[192, 0, 2, 2])].concat();
        let ports = [tag(25, &[0, 0, 0x13, 0x88]), tag(26, &[0, 0, 0x27, 0x10])].concat();
        [tag(12, name), ends, ports, tag(0, b""), PUBLISH.to_vec()].concat()
    };
    let ended = decode_file("x.pcapng", &named_pcapng(252, &pdu(b"mqttsn\0\0"), 0, "", true), &[]);
    let way = "192.0.2.1:5000 → 192.0.2.2:10000";
    assert_eq!(ended.out, format!("     1     0.000000  {way}  {PUBLISH_WORDS}  # wlan0\n"));
    let ended = decode_file("x.pcapng", &named_pcapng(252, &pdu(b"http"), 0, "", true), &[]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
}

#[test]
fn only_the_ports_asked_for_are_shown() {
    let frames = [
        frames::ipv4(&frames::udp(PUBLISH, 5000, 10_000)),
        frames::ipv4(&frames::udp(PUBLISH, 5000, 1883)),
        frames::ipv4(&frames::udp(b"\x02", 53, 5000)),
        b"no IP at all".to_vec(),
        Vec::new(),
    ];
    let file = pcap(101, &frames, false, false);
    assert_eq!(decode_file("x", &file, &[]).out.lines().count(), 1);
    let ended = decode_file("x", &file, &["--port", "10000"]);
    assert!(ended.out.starts_with("     1 ") && ended.out.ends_with(&format!("{PUBLISH_WORDS}\n")));
    let ended = decode_file("x", &file, &["--port", "10000", "--port", "53"]);
    assert_eq!((ended.code, ended.out.lines().count()), (1, 2));
    assert!(ended.out.contains("malformed: "), "{}", ended.out);
    let ended = decode_file("x", &file, &["--port", "1", "--port", "2"]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    let why = "none of its 3 UDP datagrams is from or to port 1, 2; --port names another";
    assert!(ended.err.contains(why), "{}", ended.err);
    let ended = decode_file("x", &pcap(101, &frames[3..], false, false), &[]);
    assert!(ended.err.contains("no UDP datagrams in this capture"), "{}", ended.err);
}

#[test]
fn parts_of_datagrams_are_not_taken_for_malformed_ones() {
    let whole = frames::ipv4(&frames::udp(PUBLISH, 5000, 1883));
    let cut = whole[..whole.len() - 3].to_vec();
    let mut first_fragment = whole.clone();
    first_fragment[6] = 0x20;
    let mut later_fragment = whole;
    later_fragment[7] = 1;
    let file = pcap(101, &[cut, first_fragment, later_fragment], false, false);
    let ended = decode_file("x.pcap", &file, &[]);
    assert_eq!(ended.code, 0);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.ends_with("only a part of the datagram was captured")));
}

#[test]
fn unknown_links_are_named_once() {
    let ended = decode_file("x.pcap", &pcap(195, &[vec![1], vec![2]], false, false), &[]);
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert_eq!(ended.err.matches("link type 195").count(), 1, "{}", ended.err);
}

#[test]
fn damaged_captures_end_with_a_word_and_no_harm() {
    let frames = two_packets().map(|packet| frames::ethernet(&packet));
    let whole = pcap(1, &frames, false, false);
    let cut = decode_file("x.pcap", &whole[..whole.len() - 1], &[]);
    assert_eq!(cut.code, 1);
    assert_eq!(cut.out.lines().count(), 1, "what came before is shown");
    assert!(cut.err.contains("after frame 1: the capture ends in the middle of"), "{}", cut.err);

    let mut huge = whole.clone();
    huge[32..36].fill(0xFF);
    let ended = decode_file("x.pcap", &huge, &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("damaged: a record of 4294967295 octets"), "{}", ended.err);

    let ended = decode_file("x.pcap", &whole[..10], &[]);
    assert!(ended.code == 1 && ended.err.contains("in the middle of its head"), "{}", ended.err);

    let next = pcapng(1, &frames, false);
    for (at, value) in [(4, 5), (4, 0xFF), (8, 0), (32, 3), (35, 0xFF)] {
        let mut broken = next.clone();
        broken[at] = value;
        let ended = decode_file("x.pcapng", &broken, &[]);
        assert_eq!(ended.code, 1, "{at}");
        assert!(ended.err.contains("the capture is damaged"), "{at}: {}", ended.err);
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut command = common::gateway();
    let mut child =
        command.arg("decode").stdin(std::process::Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("standard input");
    for _ in 0..10_000 {
        if stdin.write_all(b"02 16\n").is_err() {
            break;
        }
    }
    drop(stdin);
    let ended: Ended = child.wait_with_output().expect("ends").into();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}
