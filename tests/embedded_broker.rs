//! The built-in broker, by raw MQTT 3.1.1 packets.

#![cfg(feature = "embedded-broker")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use mqtt_sn_gateway::upstream::embedded;

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn connect(address: SocketAddr, id: u8) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, id]).unwrap();
    assert_eq!(take(&mut stream, 4), [0x20, 2, 0, 0], "CONNACK");
    stream
}

fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn it_accepts_connections_once_started_and_carries_messages() {
    let address = free_address();
    embedded::start(address).unwrap();
    let mut subscriber = connect(address, b's');
    subscriber.write_all(&[0x82, 8, 0, 1, 0, 3, b'a', b'/', b'b', 0]).unwrap();
    assert_eq!(take(&mut subscriber, 5), [0x90, 3, 0, 1, 0], "SUBACK");
    let mut publisher = connect(address, b'p');
    publisher.write_all(&[0x30, 7, 0, 3, b'a', b'/', b'b', b'h', b'i']).unwrap();
    assert_eq!(take(&mut subscriber, 9), [0x30, 7, 0, 3, b'a', b'/', b'b', b'h', b'i']);

    // The longest payload that a device can send.
    let topic = b"\0\x03a/b";
    let length = topic.len() + 65_000;
    let mut packet = vec![
        0x30,
        (length & 0x7F) as u8 | 0x80,
        ((length >> 7) & 0x7F) as u8 | 0x80,
        (length >> 14) as u8,
    ];
    packet.extend_from_slice(topic);
    packet.resize(4 + length, b'x');
    publisher.write_all(&packet).unwrap();
    assert_eq!(take(&mut subscriber, packet.len()), packet);
}

#[test]
fn an_address_in_use_is_said_so() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let error = embedded::start(address).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot start the built-in broker on tcp {address}: another program uses that port, \
             perhaps a broker of your own; to use it set `url = \"mqtt://{address}\"` under \
             [upstream], or choose another port for `listen` under [embedded_broker]"
        )
    );
}

/// Whether the broker sends a copy for each subscription of one client that matches, as most do,
/// or one in all, as MQTT 3.1.1 §3.3.5 leaves to it. The gateway copes with both; this only pins
/// down what the built-in one does.
#[test]
fn overlapping_subscriptions_get_a_copy_each() {
    let address = free_address();
    embedded::start(address).unwrap();
    let mut subscriber = connect(address, b's');
    for (id, filter) in [(1, b"a/b"), (2, b"a/#"), (3, b"a/+")] {
        subscriber.write_all(&[0x82, 8, 0, id, 0, 3, filter[0], filter[1], filter[2], 0]).unwrap();
        assert_eq!(take(&mut subscriber, 5), [0x90, 3, 0, id, 0], "SUBACK");
    }
    let mut publisher = connect(address, b'p');
    publisher.write_all(&[0x30, 6, 0, 3, b'a', b'/', b'b', b'1']).unwrap();
    publisher.write_all(&[0x30, 6, 0, 3, b'a', b'/', b'b', b'2']).unwrap();
    let mut copies = Vec::new();
    subscriber.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut packet = [0; 8];
    while subscriber.read_exact(&mut packet).is_ok() {
        copies.push(packet[7]);
    }
    copies.sort_unstable();
    assert_eq!(copies, b"111222");
}
