use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::frame;
use super::*;
use crate::capture::{Choice, Network, Packet, Recorder, Setup, Sink, Wire, Wrapping};
use crate::core::{Address, LinkId, Signal};
use crate::transport::udp::UdpAddress;

/// Reads a whole capture; counts its records and looks into each.
fn read(file: &[u8]) -> io::Result<usize> {
    let Ok(magic) = <[u8; 4]>::try_from(file.get(..4).unwrap_or(&[])) else { return Ok(0) };
    if !is_capture(magic) {
        return Ok(0);
    }
    let mut reader = Reader::new(magic, &file[4..])?;
    let mut count = 0;
    while let Some(record) = reader.next()? {
        frame::parse(record.link_type, &record.frame);
        count += 1;
    }
    Ok(count)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An IPv6 packet with a fragment header, so that a mutation reaches every branch.
fn packet() -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 18, 44, 64];
    packet.extend([1; 32]);
    packet.extend([17, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend([0x13, 0x88, 0x07, 0x5B, 0, 10, 0, 0, 2, 0x16]);
    packet
}

fn classic() -> Vec<u8> {
    let mut file = words(&[0xA1B2_C3D4, 0x0004_0002, 0, 0, 65_535, 101]);
    for _ in 0..3 {
        let length = u32::try_from(packet().len()).unwrap();
        file.extend(words(&[1, 2, length, length]));
        file.extend(packet());
    }
    file
}

fn next_generation() -> Vec<u8> {
    let mut file = words(&[0x0A0D_0D0A, 28, 0x1A2B_3C4D, 1, !0, !0, 28]);
    file.extend(words(&[1, 32, 101, 0, 0x0001_0009, 6, 0, 32]));
    let length = u32::try_from(packet().len()).unwrap();
    let padding = packet().len().next_multiple_of(4) - packet().len();
    for _ in 0..2 {
        let block = u32::try_from(packet().len() + padding + 32).unwrap();
        file.extend(words(&[6, block, 0, 0, 5, length, length]));
        file.extend([packet(), vec![0; padding]].concat());
        file.extend(words(&[block]));
    }
    let block = u32::try_from(packet().len() + padding + 16).unwrap();
    file.extend(words(&[3, block, length]));
    file.extend([packet(), vec![0; padding]].concat());
    file.extend(words(&[block]));
    file
}

#[test]
fn good_captures_are_read_to_the_end() {
    assert_eq!(read(&classic()).unwrap(), 3);
    assert_eq!(read(&next_generation()).unwrap(), 3);
    let packet = packet();
    let parsed = frame::parse(101, &packet);
    assert!(matches!(parsed, frame::Content::Udp(udp) if udp.cut && udp.payload == [2, 0x16]));
}

#[test]
fn every_truncation_is_an_end_or_an_error() {
    for file in [classic(), next_generation()] {
        for length in 0..file.len() {
            if let Ok(count) = read(&file[..length]) {
                assert!(count < 3);
            }
        }
    }
}

#[test]
fn no_mutation_can_harm() {
    let mut seed = 0xD1B5_4A32_D192_ED03_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    let mut errors = 0;
    for round in 0..40_000 {
        let mut file = if round % 2 == 0 { classic() } else { next_generation() };
        for _ in 0..1 + next() % 4 {
            let at = 4 + next() % (file.len() - 4);
            file[at] = [0, 1, 0x7F, 0x80, 0xFF, next() as u8][next() % 6];
        }
        errors += usize::from(read(&file).is_err());
    }
    assert!(errors > 1_000, "the mutations hardly touch the format: {errors}");
}

/// A capture as the gateway writes it: packets with their links, ways and clients.
fn ours(wrapping: Wrapping, packets: &[(u16, bool, String, Vec<u8>)]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.pcapng");
    let sink = Sink::named(&path).unwrap();
    let wire = |name: &str, network| Wire { name: name.to_owned(), kind: "any", network };
    let udp = Network::Udp([127, 0, 0, 1].into());
    let wires = vec![wire("udp", udp), wire("serial", Network::Radio(1))];
    let choice = Choice { wrapping, ..Choice::default() };
    let mut recorder = Recorder::start(Setup { sink, choice }, wires).unwrap();
    let peer = UdpAddress::new(SocketAddr::from(([192, 0, 2, 1], 5000)), None).encode();
    let radio = Address::new(&[5]).unwrap();
    for (link, received, client, octets) in packets {
        recorder.packet(&Packet {
            link: LinkId(*link),
            device: Some(if *link == 0 { &peer } else { &radio }),
            received: *received,
            signal: Signal::default(),
            octets,
            client: Some(client),
        });
    }
    recorder.end("enough");
    let done = recorder.done().unwrap();
    let wait = async { tokio::time::timeout(Duration::from_secs(30), done).await };
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let waited = builder.enable_time().build().unwrap().block_on(wait);
    // The sender says nothing; it goes.
    assert!(waited.is_ok(), "it is not written");
    std::fs::read(path).unwrap()
}

proptest! {
    #[test]
    fn what_the_gateway_writes_is_what_is_read(
        pdu in any::<bool>(),
        packets in prop::collection::vec(
            (0_u16..2, any::<bool>(), "\\PC{1,20}", prop::collection::vec(any::<u8>(), 0..80)),
            0..12,
        ),
    ) {
        let wrapping = if pdu { Wrapping::Pdu } else { Wrapping::Udp };
        let file = ours(wrapping, &packets);
        let mut reader = Reader::new(file[..4].try_into().unwrap(), &file[4..]).unwrap();
        for (link, received, client, octets) in &packets {
            let record = reader.next().unwrap().expect("a packet");
            let remarks = record.remarks;
            prop_assert_eq!(remarks.inbound, Some(*received));
            let name = if *link == 0 { "udp" } else { "serial" };
            prop_assert_eq!(remarks.interface.as_deref(), Some(name));
            let comment = remarks.comment.expect("a comment");
            prop_assert!(comment.ends_with(&format!("client {client:?}")), "{}", comment);
            match frame::parse(record.link_type, &record.frame) {
                frame::Content::Udp(udp) if !pdu => prop_assert_eq!(udp.payload, octets),
                frame::Content::MqttSn(udp) if pdu => prop_assert_eq!(udp.payload, octets),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn what_was_changed_on_the_way_does_no_harm(
        pdu in any::<bool>(),
        changes in prop::collection::vec((4_usize..1_000, any::<u8>()), 1..8),
        length in 0_usize..1_000,
    ) {
        let packets: Vec<_> =
            (0..3).map(|link| (link % 2, true, "someone".to_owned(), vec![2, 0x16])).collect();
        let wrapping = if pdu { Wrapping::Pdu } else { Wrapping::Udp };
        let mut file = ours(wrapping, &packets);
        for (at, value) in changes {
            let at = 4 + at % (file.len() - 4);
            file[at] = value;
        }
        let _ = read(&file);
        file.truncate(length);
        let _ = read(&file);
    }

    #[test]
    fn any_octets_are_read_or_refused(
        octets in prop::collection::vec(any::<u8>(), 0..200),
        link_type in any::<u16>(),
    ) {
        let _ = read(&[&SECTION[..], &octets].concat());
        let _ = read(&[&[0xA1, 0xB2, 0xC3, 0xD4][..], &octets].concat());
        for link_type in [link_type, 252] {
            frame::parse(link_type, &octets);
        }
    }
}
