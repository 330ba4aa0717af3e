//! A bridge of Aquila.

use super::radio::{Doing, Modem, Radio};
use super::{start_with, wait_for};

#[derive(Default)]
struct Bridge {
    rest: Vec<u8>,
    /// PAN id and key, since it was given them.
    network: Option<Vec<u8>>,
    pairing: bool,
    /// Of so many packets it refuses one; 0 for none.
    refuses: u32,
    packets: u32,
    /// What it was answered for devices that want to be paired.
    paired: Vec<Vec<u8>>,
}

/// Polynomial division, bit by bit.
fn crc(octets: &[u8]) -> [u8; 2] {
    let bits =
        octets.iter().chain(&[0, 0]).flat_map(|octet| (0..8).rev().map(move |n| octet >> n & 1));
    let mut rest = 0_u32;
    for bit in bits {
        rest = rest << 1 | u32::from(bit);
        if rest > 0xFFFF {
            rest ^= 0x1_1021;
        }
    }
    (rest as u16).to_le_bytes()
}

fn frame(content: &[u8]) -> Vec<u8> {
    let mut line = vec![0xC0];
    for octet in content.iter().chain(&crc(content)) {
        match octet {
            0xC0 => line.extend([0xDB, 0xDC]),
            0xDB => line.extend([0xDB, 0xDD]),
            other => line.push(*other),
        }
    }
    line.push(0xC0);
    line
}

/// The next frame of the gateway that is whole. The firmware wants both ENDs. After a restart the rest of
/// one may be in front.
fn next(line: &mut Vec<u8>) -> Option<Vec<u8>> {
    let begin = line.iter().position(|octet| *octet == 0xC0)?;
    line.drain(..begin);
    while line.starts_with(&[0xC0, 0xC0]) {
        line.remove(0);
    }
    let end = line.iter().skip(1).position(|octet| *octet == 0xC0)? + 1;
    let inner: Vec<u8> = line.drain(..=end).skip(1).take(end - 1).collect();
    let (mut content, mut octets) = (Vec::new(), inner.into_iter());
    while let Some(octet) = octets.next() {
        content.push(match octet {
            0xDB => match octets.next() {
                Some(0xDC) => 0xC0,
                Some(0xDD) => 0xDB,
                other => panic!("DB is followed by {other:02x?}"),
            },
            plain => plain,
        });
    }
    let sum = content.split_off(content.len() - 2);
    assert_eq!(sum, crc(&content));
    Some(content)
}

impl Bridge {
    fn say(kind: u8, doing: &mut Doing) {
        doing.line[0].extend(frame(&[0, 0, 2, kind]));
    }
}

impl Modem for Bridge {
    fn start(&mut self, doing: &mut Doing) {
        let Self { refuses, .. } = *self;
        *self = Self { refuses, ..Self::default() };
        doing.line[0].extend(b"\r\n");
        Self::say(1, doing);
        Self::say(2, doing);
    }

    fn hear(&mut self, _: usize, octets: &[u8], doing: &mut Doing) {
        self.rest.extend_from_slice(octets);
        while let Some(content) = next(&mut self.rest) {
            match *content.as_slice() {
                [0x13, 2, ref network @ ..] => {
                    assert_eq!(network.len(), 17);
                    self.network = Some(network.to_vec());
                }
                [3, 3, pairing @ 0..=1] => {
                    self.pairing = pairing == 1;
                    Self::say(1, doing);
                }
                [7, 3, 3, 0, 0, ref answer @ ..] => {
                    assert!(self.pairing);
                    self.paired.push(answer.to_vec());
                    Self::say(1, doing);
                }
                [5, 0xFE, 1, to, 0, ref packet @ ..] => {
                    assert!(!self.pairing && packet.len() <= 54);
                    self.packets += 1;
                    let refused = self.refuses != 0 && self.packets.is_multiple_of(self.refuses);
                    if self.network.is_some() && !refused {
                        doing.devices.push((to, packet.to_vec()));
                        Self::say(1, doing);
                    } else {
                        Self::say(0, doing);
                    }
                }
                ref other => panic!("{other:02x?}"),
            }
        }
    }

    fn send(&mut self, from: u8, packet: &[u8], doing: &mut Doing) {
        assert!(packet.len() <= 54);
        // What comes by radio without a network, or in the network of pairing, is not heard.
        if self.network.is_some() && !self.pairing {
            let head = [0xB0, 0xB0, 5 + packet.len() as u8, 0xFE, 1, from, 0];
            doing.line[0].extend(frame(&[&head[..], packet].concat()));
        }
    }
}

const NETWORK: &str = "framing = \"aquila\"\npan_id = 192\n\
                       key = \"c0db000102030405060708090a0b0c0d\"\nretry_interval = \"2s\"";

fn start(refuses: u32) -> Radio<Bridge> {
    Radio::new(Bridge { refuses, ..Bridge::default() })
}

#[test]
fn a_whole_day() {
    let radio = start(0);
    let (gateway, _mosquitto, broker) = start_with(&radio.table(NETWORK), "");
    wait_for(&gateway, "a bridge with PAN id 192, encrypted");
    let network = [192, 0xC0, 0xDB, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
    assert_eq!(radio.with(|bridge, _| bridge.network.clone()), Some(network.to_vec()));
    super::radios::a_whole_day(&radio, [1, 0xC0, 253], &gateway, broker);
    let shown = gateway.log.all().concat();
    assert!(!shown.to_ascii_lowercase().contains("c0db"), "the key is in the log");
}

#[test]
fn a_bridge_that_is_restarted_or_unplugged() {
    let radio = start(0);
    let (gateway, _mosquitto, broker) = start_with(&radio.table(NETWORK), "");
    super::radios::restarts(&radio, 5, &gateway, broker);
}

/// What the radio could not send is sent again by MQTT-SN.
#[test]
fn a_bridge_that_refuses() {
    let radio = start(3);
    let (mut gateway, _mosquitto, broker) = start_with(&radio.table(NETWORK), "");
    super::radios::losses(&radio, &mut gateway, broker);
}

#[test]
fn devices_are_paired() {
    let radio = start(0);
    let (gateway, _mosquitto, _) =
        start_with(&radio.table(&format!("{NETWORK}\npairing = true")), "");
    wait_for(&gateway, "pairing is on");
    wait_for(&gateway, "It pairs devices and does nothing else");
    radio.with(|_, doing| {
        doing.line[0].extend(frame(&[0xB0, 0xB0, 8, 3, 2, 0, 0, 3, 3, 0xDB]));
    });
    wait_for(&gateway, "a device was given address");
    let paired = radio.with(|bridge, _| bridge.paired.clone());
    let [answer] = paired.as_slice() else { panic!("{paired:02x?}") };
    let (head, network) = answer.split_at(4);
    assert_eq!((head[0], head[1], head[2]), (21, 3, 0xDB));
    assert!((1..=253).contains(&head[3]));
    assert_eq!(network[..3], [192, 0xC0, 0xDB]);
    assert_eq!(network.len(), 17);
    let shown = gateway.log.all().concat();
    assert!(!shown.to_ascii_lowercase().contains("c0db"), "the key is in the log");
}
