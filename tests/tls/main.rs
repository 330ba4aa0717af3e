//! The way to the broker by TLS and WebSocket, and from one broker to another: the real program, a
//! real mosquitto, certificates that are made here, and a device whose messages have to arrive.

mod certificates;
mod failover;
mod reach;
#[path = "../e2e/rig/mod.rs"]
mod rig;
mod scheme;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use crate::rig::{Device, Gateway, Listener, configuration, free_tcp_port, publish};
use crate::support::certificates::Issued;
use crate::support::mosquitto::Mosquitto;

/// A mosquitto with a second listener. The first one is for the world, as ever.
struct Broker {
    mosquitto: Mosquitto,
    port: u16,
}

impl Broker {
    /// `listener` is lines of configuration for the second listener.
    fn start(listener: &str) -> Self {
        let port = free_tcp_port();
        let mosquitto = rig::mosquitto(&format!("listener {port} 127.0.0.1\n{listener}\n"));
        Self { mosquitto, port }
    }

    /// By TLS, with this certificate.
    fn with_tls(issued: &Issued, more: &str) -> Self {
        Self::start(&tls_lines(issued, more))
    }

    fn world(&self) -> SocketAddr {
        self.mosquitto.address()
    }

    /// The second listener.
    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.port)
    }
}

fn tls_lines(issued: &Issued, more: &str) -> String {
    let (certificate, key) = (issued.certificate.display(), issued.key.display());
    format!("certfile {certificate}\nkeyfile {key}\n{more}")
}

/// A gateway with these lines under [upstream.tls].
fn gateway(url: &str, upstream: &str, tls: &str) -> Gateway {
    Gateway::start(&configuration(url, upstream, &format!("[upstream.tls]\n{tls}\n")))
}

/// A message goes from a device to the world, and one the other way.
#[track_caller]
fn exchange(gateway: &Gateway, world: SocketAddr) {
    let listener = Listener::start(world, &["up/#"]);
    let mut device = Device::connected(gateway.link(), "device");
    let topic = device.register("up/reading").unwrap();
    device.subscribe_to("down/#", Qos::One);
    // Longer than a record of TLS and a frame of ours together with others.
    let long = "x".repeat(20_000);
    assert_eq!(device.publish(topic, Qos::Two, &long), ReturnCode::ACCEPTED);
    assert_eq!(device.publish(topic, Qos::One, "21.5"), ReturnCode::ACCEPTED);
    let heard = listener.until("21.5");
    assert_eq!(heard.iter().map(|heard| heard.payload.len()).collect::<Vec<_>>(), [20_000]);
    publish(world, "down/command", &long, 1);
    publish(world, "down/command", "on", 1);
    let received = device.receive_until("on");
    assert_eq!(received.iter().map(|one| one.payload.len()).collect::<Vec<_>>(), [20_000]);
}
