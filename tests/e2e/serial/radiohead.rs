//! Devices with RadioHead on one line, with RHReliableDatagram or RHDatagram.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::Qos;

use super::radio::{ALL, Doing, Modem, Radio};
use super::radios::Up;
use super::{logged, start_with, wait_for};
use crate::rig::{Device, publish, received};

const GATEWAY: u8 = 1;

/// All the devices. Each of them sends one datagram after the other.
#[derive(Default)]
struct Bus {
    reliable: bool,
    /// Of so many frames on the line one is lost, either way; 0 for none.
    loses: u32,
    frames: u32,
    rest: Vec<u8>,
    devices: HashMap<u8, Board>,
    /// Datagrams from the gateway that came again.
    repeated: u32,
}

#[derive(Default)]
struct Board {
    last_id: u8,
    seen: u8,
    queue: VecDeque<Vec<u8>>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    packet: Vec<u8>,
    again: Instant,
    left: u32,
}

fn add(fcs: u16, octet: u8) -> u16 {
    // As in avr-libc.
    let mut data = octet ^ fcs as u8;
    data ^= data << 4;
    (u16::from(data) << 8 | fcs >> 8) ^ u16::from(data >> 4) ^ u16::from(data) << 3
}

fn frame(head: [u8; 4], packet: &[u8]) -> Vec<u8> {
    let mut line = vec![0x10, 0x02];
    let mut fcs = 0xFFFF;
    for octet in head.iter().chain(packet) {
        line.extend(if *octet == 0x10 { vec![0x10, 0x10] } else { vec![*octet] });
        fcs = add(fcs, *octet);
    }
    fcs = add(add(fcs, 0x10), 0x03);
    line.extend([0x10, 0x03, (fcs >> 8) as u8, fcs as u8]);
    line
}

/// The next frame that is whole. After a restart the rest of one may be in front.
fn next(line: &mut Vec<u8>) -> Option<([u8; 4], Vec<u8>)> {
    let begin = line.windows(2).position(|two| two == [0x10, 0x02])?;
    line.drain(..begin);
    let (mut at, mut plain) = (2, Vec::new());
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (0x10, None) => return None,
            (0x10, Some(0x10)) => {
                plain.push(0x10);
                at += 2;
            }
            (0x10, Some(0x03)) => break,
            (0x10, Some(other)) => panic!("{other:02x} after DLE"),
            (octet, _) => {
                plain.push(*octet);
                at += 1;
            }
        }
    }
    let fcs = [*line.get(at + 2)?, *line.get(at + 3)?];
    let whole = plain.iter().chain(&[0x10, 0x03]).fold(0xFFFF, |fcs, octet| add(fcs, *octet));
    assert_eq!(whole.to_be_bytes(), fcs);
    line.drain(..at + 4);
    Some((plain[..4].try_into().unwrap(), plain[4..].to_vec()))
}

impl Bus {
    fn new(reliable: bool, loses: u32) -> Self {
        Self { reliable, loses, ..Self::default() }
    }

    fn is_lost(&mut self) -> bool {
        self.frames += 1;
        self.loses != 0 && self.frames.is_multiple_of(self.loses)
    }

    fn say(&mut self, head: [u8; 4], packet: &[u8], doing: &mut Doing) {
        if !self.is_lost() {
            doing.line[0].extend(frame(head, packet));
        }
    }

    fn listen(&mut self, head: [u8; 4], packet: Vec<u8>, doing: &mut Doing) {
        let [to, from, id, flags] = head;
        assert_eq!(from, GATEWAY);
        if self.is_lost() {
            return;
        }
        if to == ALL {
            doing.devices.push((ALL, packet));
            return;
        }
        let board = self.devices.entry(to).or_default();
        if flags & 0x80 != 0 {
            if id == board.last_id {
                board.under_way = None;
            }
            return;
        }
        if self.reliable {
            // RHReliableDatagram throws away what comes while it waits for an acknowledgement, but for
            // what it has seen.
            if board.under_way.is_some() && id != board.seen {
                return;
            }
            let again = std::mem::replace(&mut board.seen, id) == id;
            self.repeated += u32::from(again);
            self.say([GATEWAY, to, id, 0x80], b"!", doing);
            if again {
                return;
            }
        }
        doing.devices.push((to, packet));
    }
}

impl Modem for Bus {
    fn start(&mut self, _: &mut Doing) {
        self.rest.clear();
        self.devices.clear();
    }

    fn hear(&mut self, _: usize, octets: &[u8], doing: &mut Doing) {
        self.rest.extend_from_slice(octets);
        while let Some((head, packet)) = next(&mut self.rest) {
            self.listen(head, packet, doing);
        }
    }

    fn send(&mut self, from: u8, packet: &[u8], doing: &mut Doing) {
        assert!(packet.len() <= 60);
        if self.reliable {
            self.devices.entry(from).or_default().queue.push_back(packet.to_vec());
            return;
        }
        self.devices.entry(from).or_default();
        self.say([GATEWAY, from, 0, 0], packet, doing);
    }

    fn tick(&mut self, doing: &mut Doing) {
        let now = Instant::now();
        let mut says = Vec::new();
        for (address, board) in &mut self.devices {
            match &mut board.under_way {
                None => {
                    let Some(packet) = board.queue.pop_front() else { continue };
                    board.last_id = board.last_id.wrapping_add(1);
                    says.push(([GATEWAY, *address, board.last_id, 0], packet.clone()));
                    let again = now + Duration::from_millis(250);
                    board.under_way = Some(UnderWay { packet, again, left: 3 });
                }
                Some(UnderWay { left: 0, again, .. }) if *again <= now => board.under_way = None,
                Some(UnderWay { packet, again, left }) if *again <= now => {
                    *again = now + Duration::from_millis(250);
                    *left -= 1;
                    // As libraries before 2018: no flag says that it is sent again.
                    says.push(([GATEWAY, *address, board.last_id, 0], packet.clone()));
                }
                Some(_) => {}
            }
        }
        for (head, packet) in says {
            self.say(head, &packet, doing);
        }
    }
}

const RELIABLE: &str = "framing = \"rh-serial\"\nreliable = true\nretry_interval = \"2s\"";
const PLAIN: &str = "framing = \"rh-serial\"";

#[test]
fn a_whole_day() {
    for (reliable, table) in [(true, RELIABLE), (false, PLAIN)] {
        let radio = Radio::new(Bus::new(reliable, 0));
        let (gateway, _mosquitto, broker) = start_with(&radio.table(table), "");
        // 10 is the octet that is doubled.
        super::radios::a_whole_day(&radio, [2, 0x10, 254], &gateway, broker);
    }
}

/// One frame of five is lost, either way. Everything arrives, and nothing comes twice: RadioHead
/// repeats it, or MQTT-SN.
#[test]
fn a_bad_line() {
    let radio = Radio::new(Bus::new(true, 5));
    let (mut gateway, _mosquitto, broker) = start_with(&radio.table(RELIABLE), "");
    let mut up = Up::new(broker);
    let mut device = Device::connected(radio.device(7), "board");
    device.subscribe_to("down", Qos::One);
    for number in 0..10 {
        let data = number.to_string();
        up.publish(&mut device, "up", &data, (Qos::Two, 2));
        publish(broker, "down", &data, 1);
        assert_eq!(device.receive(), received("down", &data, Qos::One));
    }
    device.ping();
    assert!(radio.with(|bus, _| bus.repeated) > 0, "no acknowledgement of a device was lost");
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    let sums = gateway.log.all();
    let sum = sums.iter().find(|line| line.contains("the radio delivered")).expect("the sum");
    assert!(!sum.contains("; 0 were repeated"), "{sum}");
}

#[test]
fn boards_that_are_restarted_or_unplugged() {
    let radio = Radio::new(Bus::new(true, 0));
    let (gateway, _mosquitto, broker) = start_with(&radio.table(RELIABLE), "");
    super::radios::restarts(&radio, 7, &gateway, broker);
}

#[test]
fn a_board_that_waits_for_acknowledgements_is_told_of() {
    let radio = Radio::new(Bus::new(true, 0));
    let (gateway, _mosquitto, _) = start_with(&radio.table(PLAIN), "");
    // It throws away the CONNACK: it waits for something else.
    Device::new(radio.device(7)).send_octets(&[9, 0x04, 0x04, 1, 0, 60, b'b', b'o', b'a']);
    wait_for(&gateway, "07 uses RHReliableDatagram");
    assert_eq!(logged(&gateway, "set `reliable = true`"), 1);
}

/// What is for another address is nobody's business, and what is too long is not sent.
#[test]
fn addresses_and_lengths() {
    let radio = Radio::new(Bus::new(true, 0));
    let (gateway, _mosquitto, broker) = start_with(&radio.table(RELIABLE), "");
    let mut up = Up::new(broker);
    let mut device = Device::connected(radio.device(7), "board");
    device.register("up").unwrap();
    let packet = [9, 0x0C, 0x60, 0, 1, 0, 0, b'n', b'o'];
    radio.with(|_, doing| doing.line[0].extend(frame([2, 9, 1, 0], &packet)));
    up.publish(&mut device, "up", "mine", (Qos::One, 1));
    device.subscribe_to("down", Qos::One);
    publish(broker, "down", &"long".repeat(20), 1);
    publish(broker, "down", "short", 1);
    assert_eq!(device.receive(), received("down", "short", Qos::One));
    assert!(!device.dismissed);
    assert_eq!(logged(&gateway, "\"board\" connected"), 1);
}
