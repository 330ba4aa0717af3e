//! A serial line, made of a pseudo-terminal, with a radio at its end: devices find it by UDP, and it
//! frames what they say with code of its own.

use std::collections::HashMap;
use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::Flock;

use super::pty::{Plugged, Port};

/// A line that can be unplugged.
pub struct Line {
    port: Port,
    framing: &'static str,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    radio: Option<JoinHandle<()>>,
}

impl Line {
    /// A line that is plugged in.
    pub fn new(framing: &'static str) -> Self {
        let line = Self::unplugged(framing);
        line.plug();
        line
    }

    /// One that is not.
    pub fn unplugged(framing: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let (port, stop) = (Port::new(), Arc::new(AtomicBool::new(false)));
        let radio = {
            let (far, stop) = (port.far(), Arc::clone(&stop));
            std::thread::spawn(move || run(framing, &socket, &far, &stop))
        };
        Self { port, framing, address, stop, radio: Some(radio) }
    }

    /// Where devices find the radio.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the gateway knows the line by.
    pub fn device(&self) -> PathBuf {
        self.port.device()
    }

    /// Its `[[serial]]`.
    pub fn table(&self) -> String {
        let device = self.device();
        format!("[[serial]]\ndevice = \"{}\"\nframing = \"{}\"\n\n", device.display(), self.framing)
    }

    /// Plugs it in: another terminal under the same name.
    pub fn plug(&self) {
        self.port.plug();
    }

    pub fn unplug(&self) {
        self.port.unplug();
    }

    /// Holds the device as another program does that wants it for itself.
    pub fn lock(&self) -> Flock<File> {
        self.port.lock()
    }

    /// Puts octets on the line as they are.
    pub fn noise(&self, octets: &[u8]) {
        self.port.far().lock().unwrap().as_mut().expect("it is plugged in").write(octets);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.radio.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the radio");
    }
}

/// The radio: from devices to the line and back. Packets for devices behind a forwarder find them by
/// the node id.
fn run(framing: &str, socket: &UdpSocket, far: &Plugged, stop: &AtomicBool) {
    let mut devices: HashMap<Vec<u8>, SocketAddr> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        let mut far = far.lock().unwrap();
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            idle = false;
            let packet = &buffer[..length];
            devices.insert(node(packet).to_vec(), from);
            // What is sent to a line that is unplugged is lost.
            if let Some(pty) = &mut *far {
                pty.write(&frame(framing, packet));
            }
        }
        if let Some(pty) = &mut *far
            && pty.read()
        {
            idle = false;
            while let Some(packet) = next(framing, &mut pty.rest) {
                if let Some(device) = devices.get(node(&packet)) {
                    socket.send_to(&packet, device).unwrap();
                }
            }
        }
        drop(far);
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a forwarder knows its device by; nothing without one.
pub fn node(packet: &[u8]) -> &[u8] {
    match *packet {
        [length, 0xFE, ..] => &packet[3..length.into()],
        _ => &[],
    }
}

fn frame(framing: &str, packet: &[u8]) -> Vec<u8> {
    match framing {
        "length" => return packet.to_vec(),
        "cobs" => return cobs(packet),
        _ => {}
    }
    // As simple devices do: no END in front.
    let mut line = Vec::new();
    for octet in packet {
        match octet {
            0xC0 => line.extend([0xDB, 0xDC]),
            0xDB => line.extend([0xDB, 0xDD]),
            other => line.push(*other),
        }
    }
    line.push(0xC0);
    line
}

/// Contents in pieces that a 0 ends, or that are 254 long; no delimiter in front.
pub fn cobs(packet: &[u8]) -> Vec<u8> {
    let mut contents = [packet, &crc(packet).to_be_bytes()].concat();
    // The last piece ends, too.
    contents.push(0);
    let mut line = Vec::new();
    let mut rest = &contents[..];
    while !rest.is_empty() {
        let length = rest.iter().position(|octet| *octet == 0).unwrap().min(254);
        line.push(length as u8 + 1);
        line.extend(&rest[..length]);
        // The 0 that was only added needs no piece of its own behind a full one.
        let skipped = if length == 254 && rest.len() > 255 { 254 } else { length + 1 };
        rest = &rest[skipped..];
    }
    line.push(0);
    line
}

pub fn uncobs(frame: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    let mut at = 0;
    while at < frame.len() {
        let end = at + usize::from(frame[at]);
        contents.extend(&frame[at + 1..end]);
        if frame[at] != 255 && end < frame.len() {
            contents.push(0);
        }
        at = end;
    }
    let packet = &contents[..contents.len() - 2];
    assert_eq!(contents[packet.len()..], crc(packet).to_be_bytes());
    packet.to_vec()
}

fn crc(octets: &[u8]) -> u16 {
    !octets.iter().fold(0xFFFF, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

/// The next packet that is whole.
fn next(framing: &str, line: &mut Vec<u8>) -> Option<Vec<u8>> {
    if framing == "length" {
        return next_packet(line);
    }
    if framing == "cobs" {
        loop {
            let end = line.iter().position(|octet| *octet == 0)?;
            let frame: Vec<u8> = line.drain(..=end).take(end).collect();
            if !frame.is_empty() {
                return Some(uncobs(&frame));
            }
        }
    }
    loop {
        let end = line.iter().position(|octet| *octet == 0xC0)?;
        let frame: Vec<u8> = line.drain(..=end).take(end).collect();
        if !frame.is_empty() {
            let mut octets = frame.into_iter();
            let mut packet = Vec::new();
            while let Some(octet) = octets.next() {
                packet.push(match octet {
                    0xDB => match octets.next() {
                        Some(0xDC) => 0xC0,
                        Some(0xDD) => 0xDB,
                        other => panic!("0xDB is followed by {other:?}"),
                    },
                    plain => plain,
                });
            }
            return Some(packet);
        }
    }
}

/// The next packet that is whole, by the length that it begins with.
pub fn next_packet(line: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut length = length(line)?;
    if line.get(1) == Some(&0xFE) {
        length += self::length(&line[length.min(line.len())..])?;
    }
    (line.len() >= length).then(|| line.drain(..length).collect())
}

fn length(line: &[u8]) -> Option<usize> {
    match *line {
        [1, high, low, ..] => Some(u16::from_be_bytes([high, low]).into()),
        [1] | [1, _] | [] => None,
        [length, ..] => Some(length.into()),
    }
}
