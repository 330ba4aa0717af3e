//! What a device does with what is written to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::serial::line::{next_packet, node};

/// The program in a device.
pub enum Firmware {
    /// It sends back what it gets.
    Echo,
    /// It speaks MQTT-SN.
    Sensor(Bridge),
}

/// How packets become notifications.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// Each by itself, cut only if it does not fit.
    Whole,
    /// Into so many octets, the last one has what is left.
    Every(usize),
    /// So many packets in one.
    Together(usize),
}

/// Between the link and a [`crate::rig::Device`], which finds its end of it by UDP, or several behind
/// a forwarder.
pub struct Bridge {
    socket: Arc<UdpSocket>,
    /// By what the forwarder knows them by, nothing without one.
    devices: HashMap<Vec<u8>, SocketAddr>,
    pub cut: Cut,
    /// Packets of the device that wait for others.
    waiting: Vec<Vec<u8>>,
    /// What the gateway has written, up to the end of a packet.
    rest: Vec<u8>,
}

impl Bridge {
    pub fn new(socket: Arc<UdpSocket>) -> Self {
        Self {
            socket,
            devices: HashMap::new(),
            cut: Cut::Whole,
            waiting: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// A packet of the device; the notifications that it gives.
    pub fn send(&mut self, from: SocketAddr, packet: Vec<u8>) -> Vec<Vec<u8>> {
        self.devices.insert(node(&packet).to_vec(), from);
        match self.cut {
            Cut::Whole => vec![packet],
            Cut::Every(length) => packet.chunks(length).map(<[u8]>::to_vec).collect(),
            Cut::Together(count) => {
                self.waiting.push(packet);
                if self.waiting.len() < count {
                    return Vec::new();
                }
                vec![std::mem::take(&mut self.waiting).concat()]
            }
        }
    }
}

impl Firmware {
    /// Something was written; what is answered to it.
    pub fn hear(&mut self, octets: &[u8]) -> Vec<u8> {
        match self {
            Self::Echo => octets.to_vec(),
            Self::Sensor(bridge) => {
                bridge.rest.extend(octets);
                while let Some(packet) = next_packet(&mut bridge.rest) {
                    assert!(packet.len() >= 2, "a packet without a type");
                    if let Some(device) = bridge.devices.get(node(&packet)) {
                        bridge.socket.try_send_to(&packet, *device).unwrap();
                    }
                }
                Vec::new()
            }
        }
    }

    /// The link is gone, and with it what was not whole.
    pub fn forget(&mut self) {
        if let Self::Sensor(bridge) = self {
            bridge.rest.clear();
            bridge.waiting.clear();
        }
    }
}
