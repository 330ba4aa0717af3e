//! A hundred thousand clients: they can be looked at, and devices are served meanwhile. What it takes is printed
//! for people: `cargo test --release --test e2e admin::crowd -- --nocapture`

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{Encapsulation, Message, PublishTopic, Qos};

use super::http::get;
use super::start;
use crate::rig::{Rig, connect_packet};

const CLIENTS: u32 = 100_000;
/// CONNECTs under way at once.
const WINDOW: u32 = 200;

/// All of them are nodes behind one forwarder.
fn connect_all(rig: &Rig) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(rig.gateway.link()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    for first in (0..CLIENTS).step_by(WINDOW as usize) {
        let mut open: Vec<u32> = (first..first + WINDOW).collect();
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

#[test]
fn looking_at_a_hundred_thousand_clients() {
    let (rig, admin) = start(&format!("[sessions]\nmax_clients = {}\n", CLIENTS + 10));
    connect_all(&rig);
    let mut device = rig.device("probe");
    for (what, path) in [
        ("scrape", "/metrics"),
        ("a page of 100", "/api/v1/clients"),
        ("a filter that fits one", "/api/v1/clients?q=client-099999"),
        ("a filter that fits none", "/api/v1/clients?state=asleep"),
        ("one client", "/api/v1/clients/client-050000"),
    ] {
        let mut times: Vec<Duration> = Vec::new();
        // Meanwhile a device is served; how long it waits shows what the loop is kept from.
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let asked = std::thread::spawn(move || {
                let start = Instant::now();
                assert_eq!(get(admin, path).status, 200);
                start.elapsed()
            });
            while !asked.is_finished() {
                let start = Instant::now();
                device.publish(PublishTopic::Short(*b"ab"), Qos::Zero, "x");
                device.ping();
                longest = longest.max(start.elapsed());
            }
            times.push(asked.join().unwrap());
        }
        times.sort();
        println!(
            "{what:24} median {:?}, longest {:?}; a ping beside it at most {longest:?}",
            times[10], times[19]
        );
    }
}
