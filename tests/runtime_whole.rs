//! The whole gateway on real sockets: a device on one side, a broker on the other.

#![cfg(feature = "embedded-broker")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use mqtt_sn_gateway::config::{Broker, Config, UdpLink};
use mqtt_sn_gateway::runtime;
use mqtt_sn_gateway::upstream::Server;

const WAIT: Duration = Duration::from_secs(10);

fn free_tcp() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn free_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn remote(port: u16) -> Broker {
    Broker::Remote(Server { host: "localhost".into(), port, ..Server::default() })
}

fn link(listen: SocketAddr) -> UdpLink {
    UdpLink {
        listen: listen.into(),
        advertise_to: Vec::new(),
        groups: Vec::new(),
        retry_interval: None,
        receive_buffer: 1024 * 1024,
    }
}

/// With a state of its own, which stays in the build directory: the gateway of a test runs as long
/// as its process.
fn config(listen: SocketAddr, name: &str) -> Config {
    let state_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("runtime_whole_{name}"));
    let _ = std::fs::remove_dir_all(&state_dir);
    let mut config = Config { udp: vec![link(listen)], state_dir, ..Config::default() };
    config.admin.listen = None;
    config.upstream.reconnect_min = Duration::from_millis(20);
    config.upstream.reconnect_max = Duration::from_millis(50);
    config
}

/// Runs for the rest of the test's process.
fn start(config: Config) {
    std::thread::spawn(move || runtime::run(&config, None, None));
}

struct Device(UdpSocket);

impl Device {
    /// Repeats CONNECT until the gateway is there.
    fn connect(gateway: SocketAddr, id: &[u8]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(gateway).unwrap();
        let device = Self(socket);
        let mut connect = vec![6 + id.len() as u8, 0x04, 0x04, 0x01, 0, 60];
        connect.extend_from_slice(id);
        device.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let accepted = (0..200).any(|_| {
            let mut answer = [0; 16];
            let sent = device.0.send(&connect).is_ok();
            if sent && device.0.recv(&mut answer).is_ok_and(|_| answer[..3] == [3, 0x05, 0]) {
                return true;
            }
            // As long as nobody listens the system says so at once.
            std::thread::sleep(Duration::from_millis(20));
            false
        });
        assert!(accepted, "no CONNACK");
        device.0.set_read_timeout(Some(WAIT)).unwrap();
        device
    }

    fn send(&self, packet: &[u8]) {
        self.0.send(packet).unwrap();
    }

    fn heard(&self) -> Vec<u8> {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    /// SUBSCRIBE with a short topic name. Repeated while the broker is away.
    fn subscribe(&self, id: u8, topic: &[u8; 2], qos: u8) {
        for _ in 0..100 {
            self.send(&[7, 0x12, qos << 5 | 0b10, 0, id, topic[0], topic[1]]);
            let answer = self.heard();
            assert_eq!((answer[1], answer[6]), (0x13, id), "SUBACK: {answer:02x?}");
            if answer[7] == 0 {
                assert_eq!(answer[2], qos << 5);
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never accepted");
    }
}

#[test]
fn a_reading_goes_through_the_built_in_broker_and_back_at_every_qos() {
    let gateway = free_udp();
    let mut config = config(gateway, "qos");
    config.embedded_broker.listen = free_tcp();
    start(config);
    let device = Device::connect(gateway, b"whole");
    // A topic for each QoS: the built-in broker delivers at the QoS of the subscription.
    device.subscribe(1, b"q0", 0);
    device.subscribe(2, b"q1", 1);
    device.subscribe(3, b"q2", 2);

    device.send(&[8, 0x0C, 0b10, b'q', b'0', 0, 0, b'0']);
    assert_eq!(device.heard(), [8, 0x0C, 0b10, b'q', b'0', 0, 0, b'0'], "QoS 0");

    // The order of the acknowledgement and of the message that comes back is open.
    device.send(&[8, 0x0C, 0b0010_0010, b'q', b'1', 0, 5, b'1']);
    let (mut acknowledged, mut delivered) = (false, false);
    while !(acknowledged && delivered) {
        let packet = device.heard();
        match packet[1] {
            0x0D => {
                assert_eq!(packet, [7, 0x0D, b'q', b'1', 0, 5, 0], "PUBACK");
                acknowledged = true;
            }
            0x0C => {
                assert_eq!(packet[7..], *b"1");
                let qos = packet[2] >> 5 & 0b11;
                assert_eq!(qos, 1, "PUBLISH at QoS 1: {packet:02x?}");
                device.send(&[7, 0x0D, b'q', b'1', packet[5], packet[6], 0]);
                delivered = true;
            }
            _ => panic!("{packet:02x?}"),
        }
    }

    device.send(&[8, 0x0C, 0b0100_0010, b'q', b'2', 0, 6, b'2']);
    let (mut completed, mut delivered) = (false, false);
    while !(completed && delivered) {
        let packet = device.heard();
        match packet[1] {
            0x0F => device.send(&[4, 0x10, 0, 6]),
            0x0E => {
                assert_eq!(packet, [4, 0x0E, 0, 6], "PUBCOMP");
                completed = true;
            }
            0x0C => device.send(&[4, 0x0F, packet[5], packet[6]]),
            0x10 => {
                device.send(&[4, 0x0E, packet[2], packet[3]]);
                delivered = true;
            }
            _ => panic!("{packet:02x?}"),
        }
    }
}

/// Reads one MQTT packet with a length below 128.
fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; usize::from(header[1])];
    stream.read_exact(&mut body).unwrap();
    [&header[..], &body].concat()
}

#[test]
fn two_links_share_one_connection_and_the_login_is_tried_again() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = broker.local_addr().unwrap();
    let (first, second) = (free_udp(), free_udp());
    let mut config = config(first, "links");
    config.udp.push(link(second));
    config.upstream.brokers = vec![remote(address.port())];
    config.upstream.version = mqtt_sn_gateway::mqtt::Version::V311;
    config.status.publish = false;
    start(config);
    // Refused, then let in. Before that comes the connection that ends the old session (MQTT
    // 3.1.1 §3.1.2.4), with CleanSession.
    let mut sessions = Vec::new();
    let mut stream = loop {
        let (mut stream, _) = broker.accept().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let connect = packet(&mut stream);
        assert_eq!(connect[0], 0x10, "CONNECT");
        let clean = connect[9] & 0b10 != 0;
        sessions.push(clean);
        match sessions.len() {
            1 => stream.write_all(&[0x20, 2, 0, 5]).unwrap(),
            _ => stream.write_all(&[0x20, 2, 0, 0]).unwrap(),
        }
        if !clean && sessions.len() > 1 {
            break stream;
        }
    };
    for gateway in [first, second] {
        let device = Device::connect(gateway, &[b'd', (gateway.port() % 26) as u8 + b'a']);
        device.send(&[8, 0x0C, 0b10, b'x', b'y', 0, 0, b'!']);
        assert_eq!(packet(&mut stream), [0x30, 5, 0, 2, b'x', b'y', b'!']);
    }
}

#[test]
fn errors_at_the_start_end_the_run_with_a_line() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut taken = config(holder.local_addr().unwrap(), "taken");
    taken.upstream.brokers = vec![remote(1)];
    let error = runtime::run(&taken, None, None).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on udp 127.0.0.1:"), "{error}");

    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut taken = config(free_udp(), "taken");
    taken.embedded_broker.listen = holder.local_addr().unwrap();
    let error = runtime::run(&taken, None, None).unwrap_err();
    assert!(error.to_string().starts_with("cannot start the built-in broker on tcp"), "{error}");
    // The state was let go of each time.
    taken.state_dir.push("missing/state");
    let error = runtime::run(&taken, None, None).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the state directory "), "{error}");
}
