//! LoRa modems of Paho's gateway.

use std::collections::VecDeque;

use mqtt_sn_gateway::codec::Qos;

use super::radio::{Doing, Modem, Radio};
use super::radios::Up;
use super::{logged, start_with};
use crate::rig::{Device, publish, received};

/// One modem, or two.
#[derive(Default)]
struct Modems {
    pair: bool,
    rest: Vec<u8>,
    /// What it says of the next packets, 80 to 82, if that is not "sent"; 0 is nothing.
    results: VecDeque<u8>,
    /// Packets that came while another one was under way.
    eager: u32,
    /// What it says is held back, and so long.
    slow: u32,
    held_back: VecDeque<(u32, Vec<u8>)>,
}

/// A frame from the modem. Its address is that of the device, or 0.
fn frame(address: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, payload.len() as u8 + 7, address, 0xFF, 0x9C, 0xFF, 0xFB, kind];
    body.extend_from_slice(payload);
    let sum = body[2..].iter().map(|octet| u32::from(*octet)).sum::<u32>();
    body.push((0xFF - (sum & 0xFF)) as u8);
    let mut line = vec![0x7E];
    for octet in body {
        match octet {
            0x7E => line.extend([0x7D, 0x5E]),
            0x7D => line.extend([0x7D, 0x5D]),
            0x11 => line.extend([0x7D, 0x31]),
            0x13 => line.extend([0x7D, 0x33]),
            other => line.push(other),
        }
    }
    line
}

/// The next frame of the gateway that is whole: address, type, payload. After a restart the rest of
/// one may be in front.
fn next(line: &mut Vec<u8>) -> Option<(u8, u8, Vec<u8>)> {
    let begin = line.iter().position(|octet| *octet == 0x7E)?;
    line.drain(..begin);
    let mut plain = Vec::new();
    let mut at = 1;
    while plain.len() < 2 || plain.len() < 2 + usize::from(plain[1]) {
        let octet = *line.get(at)?;
        assert!(![0x7E, 0x11, 0x13].contains(&octet), "{line:02x?}");
        if octet == 0x7D {
            plain.push(line.get(at + 1)? ^ 0x20);
            at += 2;
        } else {
            plain.push(octet);
            at += 1;
        }
    }
    line.drain(..at);
    let sum = plain[2..].iter().map(|octet| u32::from(*octet)).sum::<u32>();
    assert_eq!((plain[0], sum & 0xFF), (0, 0xFF), "{plain:02x?}");
    Some((plain[2], plain[3], plain[4..plain.len() - 1].to_vec()))
}

impl Modems {
    fn sends(&self) -> usize {
        usize::from(self.pair)
    }
}

impl Modem for Modems {
    fn start(&mut self, doing: &mut Doing) {
        self.rest.clear();
        self.held_back.clear();
        doing.line[0].extend(b"LoRaLink 1.0\r\n");
    }

    fn hear(&mut self, port: usize, octets: &[u8], doing: &mut Doing) {
        assert_eq!(port, self.sends(), "it is written to the modem that sends");
        self.rest.extend_from_slice(octets);
        while let Some((to, kind, packet)) = next(&mut self.rest) {
            assert_eq!(kind, 0x40);
            self.eager += u32::from(!self.held_back.is_empty());
            let result = self.results.pop_front().unwrap_or(0x80);
            if result == 0x80 {
                doing.devices.push((to, packet));
            }
            if result != 0 {
                self.held_back.push_back((self.slow, frame(0, result, &[])));
            }
        }
    }

    fn send(&mut self, from: u8, packet: &[u8], doing: &mut Doing) {
        // A modem asks for the time now and then.
        doing.line[0].extend(frame(from, 0x83, &[]));
        doing.line[0].extend(frame(from, 0x40, packet));
    }

    fn tick(&mut self, doing: &mut Doing) {
        if let Some((left, _)) = self.held_back.front_mut() {
            *left = left.saturating_sub(1);
        }
        if self.held_back.front().is_some_and(|(left, _)| *left == 0) {
            let frame = self.held_back.pop_front().map(|(_, frame)| frame);
            doing.line[self.sends()].extend(frame.unwrap_or_default());
        }
    }
}

fn pair(slow: u32) -> (Radio<Modems>, String) {
    let radio = Radio::new(Modems { pair: true, slow, ..Modems::default() });
    let send_device = format!("send_device = \"{}\"", radio.path(1).display());
    let table = radio.table(&format!("framing = \"loralink\"\n{send_device}"));
    (radio, table)
}

fn one() -> (Radio<Modems>, String) {
    let radio = Radio::new(Modems { slow: 5, ..Modems::default() });
    let table = radio.table("framing = \"loralink\"\nretry_interval = \"5s\"");
    (radio, table)
}

#[test]
fn a_whole_day_with_one_modem() {
    let (radio, table) = one();
    let (gateway, _mosquitto, broker) = start_with(&table, "");
    super::radios::a_whole_day(&radio, [1, 0x7E, 0x11], &gateway, broker);
    assert_eq!(radio.with(|modems, _| modems.eager), 0, "one packet is under way at a time");
}

#[test]
fn a_whole_day_with_two_modems() {
    let (radio, table) = pair(20);
    let (gateway, _mosquitto, broker) = start_with(&table, "");
    super::radios::a_whole_day(&radio, [254, 0x7D, 0x13], &gateway, broker);
    assert_eq!(radio.with(|modems, _| modems.eager), 0, "one packet is under way at a time");
}

#[test]
fn modems_that_are_restarted_or_unplugged() {
    let (radio, table) = pair(0);
    let (gateway, _mosquitto, broker) = start_with(&table, "[sessions]\nretry_interval = \"1s\"\n");
    super::radios::restarts(&radio, 5, &gateway, broker);
}

/// What the modem cannot send, or says nothing of, is sent again by MQTT-SN.
#[test]
fn a_channel_that_is_not_free() {
    let (radio, table) = one();
    let (mut gateway, _mosquitto, broker) = start_with(&table, "");
    let mut up = Up::new(broker);
    let mut device = Device::connected(radio.device(5), "device");
    device.subscribe_to("down", Qos::One);
    for result in [0x81, 0x82, 0] {
        radio.with(|modems, _| modems.results.push_back(result));
        publish(broker, "down", "not at once", 1);
        assert_eq!(device.receive(), received("down", "not at once", Qos::One));
    }
    up.publish(&mut device, "up", "up", (Qos::One, 1));
    device.disconnect();
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(&gateway, "and failed with 2, said nothing of 1;"), 1);
}
