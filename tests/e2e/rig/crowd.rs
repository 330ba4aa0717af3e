//! Many clients at once.

use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Encapsulation, Message};

use super::device::connect_packet;

/// CONNECTs under way at once.
const WINDOW: usize = 200;

/// Connects `client-000000` and so on. All of them are nodes behind one forwarder.
#[track_caller]
pub fn connect_crowd(gateway: SocketAddr, numbers: Range<u32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gateway).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for first in numbers.clone().step_by(WINDOW) {
        let mut open: Vec<u32> = (first..numbers.end).take(WINDOW).collect();
        while !open.is_empty() {
            for number in &open {
                socket.send(&packet(*number)).unwrap();
            }
            let mut buffer = [0; 64];
            while !open.is_empty()
                && let Ok(length) = socket.recv(&mut buffer)
            {
                let node = <[u8; 4]>::try_from(&buffer[3..length - 3]).expect("a node id");
                assert_eq!(buffer[length - 1], 0, "accepted");
                open.retain(|number| *number != u32::from_be_bytes(node));
            }
        }
    }
}

fn packet(number: u32) -> Vec<u8> {
    let id = format!("client-{number:06}");
    let message = Message::Connect(connect_packet(&id, true, 0, false));
    let node = number.to_be_bytes();
    let head = Encapsulation { radius: 0, node_id: &node };
    let mut octets = vec![0; head.encoded_len() + message.encoded_len()];
    head.encode(&mut octets).unwrap();
    message.encode(&mut octets[head.encoded_len()..]).unwrap();
    octets
}
