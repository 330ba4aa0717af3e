//! A hub with our own format, by code of its own.

use std::collections::VecDeque;

use mqtt_sn_gateway::codec::Qos;

use super::line::{cobs, uncobs};
use super::radio::{ALL, Doing, Modem, Radio};
use super::{logged, start_with, wait_for};
use crate::rig::{Device, publish, received};

/// Packets that it takes before it has reported on the first.
const QUEUE: usize = 2;
/// Octets of the longest packet.
const ROOM: usize = 60;

pub struct Hub {
    rest: Vec<u8>,
    /// It answers HELLO REQUEST.
    answers: bool,
    /// Numbers of packets that are on the air.
    sending: VecDeque<u8>,
    /// Of so many packets one is not acknowledged; 0 for none.
    fails: u32,
    packets: u32,
    most_at_once: usize,
    /// Turns until a packet is off the air.
    turns: u32,
    asked: u32,
}

impl Hub {
    pub fn new(fails: u32) -> Self {
        Self {
            rest: Vec::new(),
            answers: true,
            sending: VecDeque::new(),
            fails,
            packets: 0,
            most_at_once: 0,
            turns: 0,
            asked: 0,
        }
    }

    fn say(contents: &[u8], doing: &mut Doing) {
        doing.line[0].push(0);
        doing.line[0].extend(cobs(contents));
    }

    fn hello(started: u8, doing: &mut Doing) {
        let fields = [1, 0x81, 1, started, 0, ROOM as u8, QUEUE as u8, 0, 0, 0, 0, 0, 0, 1, 1, 99];
        Self::say(&[&fields[..], b"\x05attic\x05RFM69"].concat(), doing);
    }
}

impl Modem for Hub {
    fn start(&mut self, doing: &mut Doing) {
        self.rest.clear();
        self.sending.clear();
        doing.line[0].extend(b"\r\nbooting\r\n");
        if self.answers {
            Self::hello(1, doing);
        }
    }

    fn hear(&mut self, _: usize, octets: &[u8], doing: &mut Doing) {
        self.rest.extend_from_slice(octets);
        while let Some(end) = self.rest.iter().position(|octet| *octet == 0) {
            let frame: Vec<u8> = self.rest.drain(..=end).take(end).collect();
            if frame.is_empty() {
                continue;
            }
            match *uncobs(&frame) {
                [1, 1, 1] => {
                    self.asked += 1;
                    if self.answers {
                        self.sending.clear();
                        Self::hello(0, doing);
                    }
                }
                [1, 2, number, flags, ref rest @ ..] => {
                    assert!(self.answers, "packets before HELLO");
                    let (to, packet) = match (flags, rest) {
                        (1, [0, packet @ ..]) => (ALL, packet),
                        (0, [1, to, packet @ ..]) => (*to, packet),
                        other => panic!("{other:02x?}"),
                    };
                    assert!(packet.len() <= ROOM && number != 0);
                    assert!(!self.sending.contains(&number));
                    self.packets += 1;
                    if self.fails == 0 || !self.packets.is_multiple_of(self.fails) {
                        doing.devices.push((to, packet.to_vec()));
                    }
                    self.sending.push_back(number);
                    assert!(self.sending.len() <= QUEUE, "more than the hub takes");
                    self.most_at_once = self.most_at_once.max(self.sending.len());
                }
                ref other => panic!("{other:02x?}"),
            }
        }
    }

    fn send(&mut self, from: u8, packet: &[u8], doing: &mut Doing) {
        let head = [1, 0x82, 0, 71, 0, 1, from];
        Self::say(&[&head[..], packet].concat(), doing);
    }

    fn tick(&mut self, doing: &mut Doing) {
        self.turns += 1;
        if self.turns.is_multiple_of(3)
            && let Some(number) = self.sending.pop_front()
        {
            let failed = self.fails != 0 && self.packets.is_multiple_of(self.fails);
            Self::say(&[1, 0x83, number, if failed { 2 } else { 1 }], doing);
        }
    }
}

const TABLE: &str = "framing = \"hub\"\nretry_interval = \"2s\"";

#[test]
fn a_whole_day() {
    let radio = Radio::new(Hub::new(0));
    let (mut gateway, _mosquitto, broker) = start_with(&radio.table(TABLE), "");
    wait_for(&gateway, "hub \"attic\", RFM69, address 63, packets of up to 60 octets");
    super::radios::a_whole_day(&radio, [1, 0, 254], &gateway, broker);
    assert!(radio.with(|hub, _| hub.most_at_once) <= QUEUE);
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "and failed with 0, said nothing of 0"), 1);
}

#[test]
fn a_hub_that_is_restarted_or_unplugged() {
    let radio = Radio::new(Hub::new(0));
    let (gateway, _mosquitto, broker) = start_with(&radio.table(TABLE), "");
    super::radios::restarts(&radio, 5, &gateway, broker);
}

/// What does not arrive is sent again by MQTT-SN, and the operator can read how often.
#[test]
fn packets_that_are_not_acknowledged() {
    let radio = Radio::new(Hub::new(3));
    let (mut gateway, _mosquitto, broker) = start_with(&radio.table(TABLE), "");
    super::radios::losses(&radio, &mut gateway, broker);
}

/// A hub that is slow to start, and one that is busy: what is for devices waits.
#[test]
fn what_is_sent_waits_for_the_hub() {
    let mut silent = Hub::new(0);
    silent.answers = false;
    let radio = Radio::new(silent);
    let (gateway, _mosquitto, broker) = start_with(&radio.table(TABLE), "");
    wait_for(&gateway, "listening for MQTT-SN on serial");
    let address = radio.device(5);
    // CONNECT is taken, its answer waits.
    let device = std::thread::spawn(move || Device::connected(address, "device"));
    wait_for(&gateway, "\"device\" connected");
    radio.with(|hub, doing| {
        hub.answers = true;
        Hub::hello(1, doing);
    });
    let mut device = device.join().unwrap();
    device.subscribe_to("down", Qos::One);
    radio.with(|_, doing| Hub::say(&[1, 0x84, 0, 0, 0x4E, 0x20], doing));
    let before = radio.with(|hub, _| hub.packets);
    publish(broker, "down", "later", 1);
    wait_for_publication(&gateway);
    assert_eq!(radio.with(|hub, _| hub.packets), before);
    radio.with(|_, doing| Hub::say(&[1, 0x84, 0, 0, 0, 0], doing));
    assert_eq!(device.receive(), received("down", "later", Qos::One));
}

/// Nothing in the log tells that a publication has come; two answers of the gateway to its other side do.
fn wait_for_publication(gateway: &crate::rig::Gateway) {
    for _ in 0..2 {
        let before = logged(gateway, "SIGHUP");
        gateway.hang_up();
        gateway.log.wait("an answer to SIGHUP", |lines| {
            let now = lines.iter().filter(|line| line.contains("SIGHUP")).count();
            (now > before).then_some(())
        });
    }
}
