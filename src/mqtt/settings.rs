//! Settings of an MQTT session, already checked.

use std::time::Duration;

use crate::core::upstream::MqttQos;

/// Protocol version spoken to the broker.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Version {
    /// 5 first, 3.1.1 if the broker refuses it or hangs up on it.
    #[default]
    Auto,
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// The connection's will: what the broker publishes when the gateway is gone.
#[derive(Clone, Debug)]
pub struct Will {
    /// Topic name.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Box<[u8]>,
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
}

/// Settings of a `Session`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// MQTT client id, not empty.
    pub client_id: Box<str>,
    /// Protocol version.
    pub version: Version,
    /// Discard what the broker remembers of us when the first connection is made. Reconnections
    /// within one life of the session never do.
    pub clean_start: bool,
    /// The session ends with each connection: every CONNECT asks for a new one.
    pub volatile: bool,
    /// How long the broker keeps the session after a loss (MQTT 5), whole seconds.
    pub session_expiry: Duration,
    /// Keep-alive, whole seconds, up to 65,535; zero turns it off.
    pub keep_alive: Duration,
    /// How long the broker may take for its CONNACK.
    pub connect_timeout: Duration,
    /// User name.
    pub username: Option<Box<str>>,
    /// Password.
    pub password: Option<Box<[u8]>>,
    /// Will.
    pub will: Option<Will>,
    /// How many unacknowledged QoS 1 and 2 messages we take from the broker at once (MQTT 5
    /// Receive Maximum), at least 1.
    pub receive_maximum: u16,
    /// Longest packet taken from the broker, octets.
    pub max_packet_in: u32,
    /// Most unacknowledged publications towards the broker at once; the broker may lower it.
    pub max_inflight: u16,
    /// Most QoS 1 and 2 requests waiting for the window or the connection.
    pub max_queued: usize,
    /// Most octets of requests in flight and waiting.
    pub max_queued_bytes: usize,
    /// Acknowledge messages in the order in which they came, as MQTT 3.1.1 §4.6 has it. Right for
    /// a connection that serves one device. On a connection that serves many it would let one slow
    /// device hold up all others, so it is off by default; brokers take either order.
    pub acknowledge_in_order: bool,
    /// Say with each publication whose it is: user properties `client-id` and `link` (MQTT 5), and `rssi`
    /// where its packet had one.
    pub user_properties: bool,
    /// Publications survive the process; `None` if they do not.
    pub spool: Option<Spool>,
}

/// Publications that are kept for a broker that is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spool {
    /// Most octets: topic and payload of each, and [`Self::OVERHEAD`].
    pub max_bytes: u64,
    /// What is older is thrown away.
    pub max_age: Duration,
    /// Keep QoS 0 too.
    pub qos0: bool,
}

impl Spool {
    /// What a publication counts beyond topic and payload, octets.
    pub const OVERHEAD: usize = 64;
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            max_age: Duration::from_secs(7 * 24 * 3600),
            qos0: false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_id: "gateway".into(),
            version: Version::Auto,
            clean_start: true,
            volatile: false,
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            keep_alive: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            username: None,
            password: None,
            will: None,
            receive_maximum: 1_000,
            max_packet_in: 1024 * 1024,
            max_inflight: 1_000,
            max_queued: 10_000,
            max_queued_bytes: 16 * 1024 * 1024,
            acknowledge_in_order: false,
            user_properties: false,
            spool: None,
        }
    }
}
