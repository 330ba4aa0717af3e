//! What the cases need: the real gateway, a real broker, devices, and the world beyond the broker.
//! `tests/survive` uses it too.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test uses its part")]

mod crowd;
mod device;
mod gateway;
mod lines;
mod world;

use std::net::SocketAddr;
use std::time::Duration;

pub use crowd::connect_crowd;
pub use device::{Device, Received, Way, connect_packet, received};
pub use gateway::{Gateway, configuration, free_tcp_port, program, steady_configuration};
pub use lines::Lines;
pub use world::{Heard, Listener, heard, keep_for, publish, publish_lines, publish_retained};

use crate::support::mosquitto::Mosquitto;

/// How long something that must happen may take. Only what never happens takes that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the gateway forwards to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// mosquitto over MQTT 5.
    Mqtt5,
    /// mosquitto over MQTT 3.1.1.
    Mqtt311,
    /// The broker inside the program.
    BuiltIn,
}

/// A gateway and its broker.
pub struct Rig {
    // Dropped first, so that its log does not end in a lost broker.
    pub gateway: Gateway,
    pub mosquitto: Option<Mosquitto>,
    broker: SocketAddr,
}

impl Rig {
    /// Starts both, connected with each other. `upstream` is lines of that table, `rest` is whole
    /// tables.
    #[track_caller]
    pub fn start(kind: Upstream, upstream: &str, rest: &str) -> Self {
        let version = match kind {
            Upstream::Mqtt5 => "5",
            Upstream::Mqtt311 => "3.1.1",
            Upstream::BuiltIn => return Self::start_built_in(upstream, rest),
        };
        let mosquitto = mosquitto("");
        let broker = mosquitto.address();
        let upstream = format!("version = \"{version}\"\n{upstream}");
        let url = format!("mqtt://{broker}");
        let gateway = Gateway::start(&configuration(&url, &upstream, rest));
        gateway.wait_for_broker(1);
        Self { gateway, mosquitto: Some(mosquitto), broker }
    }

    #[track_caller]
    fn start_built_in(upstream: &str, rest: &str) -> Self {
        let broker = SocketAddr::from(([127, 0, 0, 1], free_tcp_port()));
        let rest = format!("[embedded_broker]\nlisten = \"{broker}\"\n\n{rest}");
        let gateway = Gateway::start(&configuration("embedded", upstream, &rest));
        gateway.wait_for_broker(1);
        Self { gateway, mosquitto: None, broker }
    }

    /// Where the world finds the broker.
    pub fn broker(&self) -> SocketAddr {
        self.broker
    }

    /// The broker, to stop and start.
    pub fn mosquitto(&mut self) -> &mut Mosquitto {
        self.mosquitto.as_mut().expect("a rig with mosquitto")
    }

    /// A connected device.
    #[track_caller]
    pub fn device(&self, id: &str) -> Device {
        Device::connected(self.gateway.link(), id)
    }

    /// Somebody in the world who listens.
    #[track_caller]
    pub fn listener(&self, filters: &[&str]) -> Listener {
        Listener::start(self.broker, filters)
    }

    /// A message from the world.
    #[track_caller]
    pub fn publish(&self, topic: &str, payload: &str, qos: u8) {
        publish(self.broker, topic, payload, qos);
    }

    /// SIGTERM, and nothing to complain about.
    #[track_caller]
    pub fn stop(mut self) {
        assert_eq!(self.gateway.terminate(), 0, "exit code after SIGTERM");
    }
}

/// A mosquitto of our own. It drops nothing for a slow or absent listener.
#[track_caller]
pub fn mosquitto(extra: &str) -> Mosquitto {
    Mosquitto::start(&format!("max_queued_messages 0\n{extra}"))
        .expect("mosquitto is not installed; tests/setup.sh does it")
}

/// Makes each case a test with mosquitto over both versions of MQTT and with the built-in broker.
macro_rules! with_every_broker {
    ($($case:ident),+ $(,)?) => {
        crate::rig::with_mosquitto!($($case),+);
        mod built_in {
            use crate::rig::Upstream;
            $(#[test] fn $case() { super::$case(Upstream::BuiltIn); })+
        }
    };
}

/// Makes each case a test with mosquitto over both versions of MQTT.
macro_rules! with_mosquitto {
    ($($case:ident),+ $(,)?) => {
        mod mqtt_5 {
            use crate::rig::Upstream;
            $(#[test] fn $case() { super::$case(Upstream::Mqtt5); })+
        }
        mod mqtt_3_1_1 {
            use crate::rig::Upstream;
            $(#[test] fn $case() { super::$case(Upstream::Mqtt311); })+
        }
    };
}

pub(crate) use {with_every_broker, with_mosquitto};
