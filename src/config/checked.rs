//! The configuration after every check: what the rest of the program works with.
//!
//! Nothing here can be out of range: [`super::load`] is the only way to get one from a file, and it
//! refuses what does not fit.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::home::HomeAssistant;
use crate::core::OWN_TOPICS;
use crate::core::upstream::MqttQos;
use crate::mqtt::Version;
use crate::store::commit::CommitSettings;
use crate::transport::ble;
use crate::transport::framing::Framing;
use crate::transport::line;
use crate::transport::serial::FlowControl;
use crate::upstream::{Server, TlsSettings};
use crate::{core, mqtt};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// MQTT client id and part of the status topics: 1 to 64 octets, no `/`, `+`, `#`, no control
    /// characters.
    pub name: Box<str>,
    /// GwId in ADVERTISE and GWINFO, 1..=255.
    pub gateway_id: u8,
    /// Where the state is kept: a directory that need not exist yet. Relative to the working
    /// directory.
    pub state_dir: PathBuf,
    /// The connection to the broker.
    pub upstream: Upstream,
    /// The built-in broker; used only if [`Upstream::brokers`] names it.
    pub embedded_broker: EmbeddedBroker,
    /// Sessions of the devices.
    pub sessions: Sessions,
    /// Gateway advertisement and discovery (MQTT-SN 1.2 §6.1).
    pub discovery: Discovery,
    /// Predefined topics of every client, ascending by id; ids 1..=65,534.
    pub topics: Vec<(u16, Box<str>)>,
    /// UDP listeners. The index is the link's number. There is one, or a link of another kind.
    pub udp: Vec<UdpLink>,
    /// Serial lines, each device once. Their numbers go on from those of the UDP listeners.
    pub serial: Vec<SerialLink>,
    /// Bluetooth adapters. Their numbers go on from those of the serial lines.
    pub ble: Vec<BleLink>,
    /// What applies to clients by their id and link; the first that matches. Patterns are not empty,
    /// and none is covered by one before it.
    pub clients: Vec<core::ClientRule>,
    /// Clients that none of these matches are turned away.
    pub deny_by_default: bool,
    /// When the state is written, and what a write is worth. Records 1..=10,000, and 1 if each commit
    /// is written at once.
    pub store: CommitSettings,
    /// Status topics.
    pub status: Status,
    /// Discovery by Home Assistant.
    pub home_assistant: HomeAssistant,
    /// The admin interface.
    pub admin: Admin,
    /// Logging.
    pub log: Log,
}

/// `[upstream]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Brokers in the order in which they are tried; at least one.
    pub brokers: Vec<Broker>,
    /// Each device has its own connection to the broker, unless a `[[client]]` says otherwise.
    pub transparent: bool,
    /// Protocol version spoken to the broker.
    pub version: Version,
    /// User name.
    pub username: Option<Box<str>>,
    /// Password, from `password` or from the file that `password_file` names.
    pub password: Option<Secret>,
    /// Where the password came from, if it was a file.
    pub password_file: Option<PathBuf>,
    /// Keep-alive, whole seconds, 1 to 65,535.
    pub keep_alive: Duration,
    /// In front of every topic and filter on the way up; may be empty.
    pub topic_prefix: Box<str>,
    /// How long name resolution, connecting, the handshakes of TLS and WebSocket and the broker's
    /// CONNACK may take, each.
    pub connect_timeout: Duration,
    /// First pause after a lost or refused connection.
    pub reconnect_min: Duration,
    /// Longest pause, not below [`Self::reconnect_min`].
    pub reconnect_max: Duration,
    /// Say with each publication whose it is (MQTT 5).
    pub user_properties: bool,
    /// Connections that clients share, 1 to 64.
    pub connections: u16,
    /// How often the brokers before the one in use are tried again; zero means never.
    pub failback_interval: Duration,
    /// TLS. Its files have been read once, to see whether they can be used.
    pub tls: TlsSettings,
    /// What is kept while the broker is away.
    pub spool: mqtt::Spool,
}

/// One place where a broker may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Broker {
    /// The broker inside the program.
    Embedded,
    /// One outside.
    Remote(Server),
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Remote(server) => server.fmt(f),
        }
    }
}

/// A value that must not be shown. `Debug` and `Display` hide it.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Wraps the octets.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        Self(octets.into())
    }

    /// The octets, for the one who really needs them.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// `[embedded_broker]`.
#[derive(Clone, Debug)]
pub struct EmbeddedBroker {
    /// TCP address, loopback only.
    pub listen: SocketAddr,
}

/// `[sessions]`.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// Most client records, connected or kept; 1..=1,000,000.
    pub max_clients: u32,
    /// Longest client id accepted, 1..=128 octets.
    pub max_client_id_length: usize,
    /// How long the gateway waits for a device's answer before it repeats itself.
    pub retry_interval: Duration,
    /// How often it repeats itself, 0..=100.
    pub retry_count: u8,
    /// Factor on a device's keep-alive before the device counts as lost, in thousandths,
    /// 1,000..=10,000.
    pub keep_alive_tolerance_permille: u32,
    /// The same factor on the announced sleep of a sleeping device, 1,000..=10,000.
    pub sleep_tolerance_permille: u32,
    /// Who may take over a client id that is in use.
    pub takeover: core::Takeover,
    /// A device that wakes by CONNECT keeps its session although it says CleanSession.
    pub keep_session_on_wake: bool,
    /// Accept PUBLISH without a connection (QoS −1).
    pub unauthenticated_publish: bool,
    /// Most topic ids per client, 1..=65,534.
    pub max_topics_per_client: u32,
    /// Most subscriptions per client, 1..=65,535.
    pub max_subscriptions_per_client: u32,
    /// Most messages waiting for one client, 1..=1,000,000.
    pub max_buffered_messages: u32,
    /// Most octets waiting for one client.
    pub max_buffered_bytes: usize,
    /// Most octets waiting for all clients together, not below
    /// [`Self::max_buffered_bytes`].
    pub max_buffered_bytes_total: usize,
    /// Keep QoS 0 messages for persistent sessions of devices that are away.
    pub queue_qos0_messages: bool,
    /// When a persistent session that nobody came back to ends; zero means never.
    pub session_expiry: Duration,
}

/// `[discovery]`.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Period of ADVERTISE, whole seconds up to 65,535; zero turns it off.
    pub advertise_interval: Duration,
    /// Answer SEARCHGW with GWINFO.
    pub answer_search: bool,
}

/// One `[[udp]]`.
#[derive(Clone, Debug)]
pub struct UdpLink {
    /// Where it listens. Port 0 lets the system choose.
    pub listen: Endpoint,
    /// Where ADVERTISE goes: broadcast or multicast addresses, or single hosts.
    pub advertise_to: Vec<Endpoint>,
    /// Multicast groups joined, with the port on which SEARCHGW is expected.
    pub groups: Vec<Endpoint>,
    /// Overrides [`Sessions::retry_interval`].
    pub retry_interval: Option<Duration>,
    /// Receive buffer asked of the system, octets.
    pub receive_buffer: usize,
}

/// One `[[serial]]`.
#[derive(Clone, Debug)]
pub struct SerialLink {
    /// Path of the device, absolute.
    pub device: Box<str>,
    /// The device that is written to, if it is another one.
    pub send_device: Option<Box<str>>,
    /// What is spoken on it and how fast.
    pub line: line::Settings,
    /// How the ends tell each other to wait.
    pub flow_control: FlowControl,
    /// How long the device is left alone after it was opened.
    pub open_delay: Duration,
    /// Overrides [`Sessions::retry_interval`].
    pub retry_interval: Option<Duration>,
    /// Where the key of the network came from, if it was a file.
    pub key_file: Option<PathBuf>,
}

impl SerialLink {
    /// With the defaults.
    #[must_use]
    pub fn new(device: &str) -> Self {
        Self {
            device: device.into(),
            send_device: None,
            line: line::Settings::new(Framing::default()),
            flow_control: FlowControl::default(),
            open_delay: Duration::ZERO,
            retry_interval: None,
            key_file: None,
        }
    }
}

/// One `[[ble]]`.
#[derive(Clone, Debug, Default)]
pub struct BleLink {
    /// How the adapter is used.
    pub settings: ble::Settings,
    /// Overrides [`Sessions::retry_interval`].
    pub retry_interval: Option<Duration>,
}

impl BleLink {
    /// What it is called in logs and rules: `ble hci0`, or `ble` if it takes whichever there is.
    #[must_use]
    pub fn name(&self) -> String {
        self.settings.adapter.as_ref().map_or("ble".to_owned(), |adapter| format!("ble {adapter}"))
    }
}

/// `[status]`.
#[derive(Clone, Debug)]
pub struct Status {
    /// Publish `mqtt-sn-gateway/<name>/status`.
    pub publish: bool,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where HTTP is served, if it is. Port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// Level, or a list of levels by part of the program, as `tracing_subscriber`'s `Targets`
    /// reads it: `info`, or `info,mqtt_sn_gateway::core=debug`. Already checked.
    pub level: Box<str>,
    /// How lines look.
    pub format: LogFormat,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Names of the links, by number.
    #[must_use]
    pub fn link_names(&self) -> Vec<String> {
        let udp = self.udp.iter().map(|link| format!("udp {}", link.listen));
        let serial = self.serial.iter().map(|link| format!("serial {}", link.device));
        udp.chain(serial).chain(self.ble.iter().map(BleLink::name)).collect()
    }

    /// What the core is told. One link for each `[[udp]]`, then for each `[[serial]]` and for each
    /// `[[ble]]`, in order.
    #[must_use]
    pub fn core_settings(&self) -> core::Settings {
        let sessions = &self.sessions;
        core::Settings {
            gateway_id: self.gateway_id,
            name: self.name.clone(),
            topic_prefix: self.upstream.topic_prefix.clone(),
            predefined: self.topics.clone(),
            links: self.link_settings(),
            max_clients: sessions.max_clients,
            max_client_id_length: sessions.max_client_id_length,
            retry_interval: sessions.retry_interval,
            retry_count: sessions.retry_count,
            keep_alive_tolerance_permille: sessions.keep_alive_tolerance_permille,
            sleep_tolerance_permille: sessions.sleep_tolerance_permille,
            takeover: sessions.takeover,
            keep_session_on_wake: sessions.keep_session_on_wake,
            queue_qos0_messages: sessions.queue_qos0_messages,
            rules: self.clients.clone(),
            deny_by_default: self.deny_by_default,
            unauthenticated_publish: sessions.unauthenticated_publish,
            max_topics_per_client: sessions.max_topics_per_client,
            max_subscriptions_per_client: sessions.max_subscriptions_per_client,
            max_buffered_messages: sessions.max_buffered_messages,
            max_buffered_bytes: sessions.max_buffered_bytes,
            max_buffered_bytes_total: sessions.max_buffered_bytes_total,
            session_expiry: sessions.session_expiry,
            advertise_interval: self.discovery.advertise_interval,
            answer_search: self.discovery.answer_search,
            connections: self.upstream.connections,
            transparent: self.upstream.transparent,
            // TCP, TLS and WebSocket, and then the CONNACK.
            broker_patience: self.upstream.connect_timeout * 2,
            durable: true,
            tell_states: self.status.publish,
            home_prefix: (self.home_assistant.enabled).then(|| self.home_assistant.prefix.clone()),
        }
    }

    fn link_settings(&self) -> Vec<core::LinkSettings> {
        let udp = self.udp.iter().map(|link| {
            (
                link.retry_interval,
                MAX_UDP_PAYLOAD,
                !link.advertise_to.is_empty(),
                core::Pacing::Never,
            )
        });
        // Everybody at the other end of a line hears what is said on it, and it is slow.
        let serial = self
            .serial
            .iter()
            .map(|link| (link.retry_interval, link.line.max_packet, true, core::Pacing::Link));
        // Each device has a connection of its own. Nobody looks for the gateway there.
        let ble = self.ble.iter().map(|link| {
            (link.retry_interval, link.settings.max_packet, false, core::Pacing::Device)
        });
        udp.chain(serial)
            .chain(ble)
            .zip(self.link_names())
            .map(|((retry_interval, max_packet, broadcast, pacing), name)| core::LinkSettings {
                name: name.into(),
                retry_interval,
                max_packet,
                broadcast,
                pacing,
            })
            .collect()
    }

    /// What the MQTT session is told. The will is the retained `offline` on the status topic.
    #[must_use]
    pub fn mqtt_settings(&self) -> mqtt::Settings {
        mqtt::Settings {
            client_id: self.name.clone(),
            version: self.upstream.version_in_effect(),
            keep_alive: self.upstream.keep_alive,
            connect_timeout: self.upstream.connect_timeout,
            username: self.upstream.username.clone(),
            password: self.upstream.password.as_ref().map(|secret| secret.reveal().into()),
            will: self.status.publish.then(|| mqtt::Will {
                topic: self.status_topic(),
                payload: (*b"offline").into(),
                qos: MqttQos::One,
                retain: true,
            }),
            // The built-in broker hangs up on an acknowledgement out of order.
            acknowledge_in_order: self.upstream.uses_embedded(),
            user_properties: self.upstream.user_properties,
            spool: Some(self.upstream.spool),
            ..mqtt::Settings::default()
        }
    }

    /// The topic on which the gateway says `online` and `offline`.
    #[must_use]
    pub fn status_topic(&self) -> Box<str> {
        format!("{OWN_TOPICS}{}/status", self.name).into()
    }
}

impl Upstream {
    /// Whether the built-in broker is one of the brokers.
    #[must_use]
    pub fn uses_embedded(&self) -> bool {
        self.brokers.contains(&Broker::Embedded)
    }

    /// Whether one of the brokers is spoken to by TLS.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        let by_tls =
            |broker: &Broker| matches!(broker, Broker::Remote(server) if server.scheme.has_tls());
        self.brokers.iter().any(by_tls)
    }

    /// The version to speak: the built-in broker knows only 3.1.1, so there is nothing to find out
    /// if it is the only one.
    fn version_in_effect(&self) -> Version {
        let only_embedded = self.brokers.iter().all(|broker| *broker == Broker::Embedded);
        if only_embedded && self.version == Version::Auto { Version::V311 } else { self.version }
    }
}

/// Longest payload of a UDP datagram over IPv4, octets.
const MAX_UDP_PAYLOAD: usize = 65_507;

/// `receive_buffer` of a `[[udp]]` that does not say.
pub(super) const DEFAULT_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// The defaults of everything except the links, of which there is no default: a configuration has
/// at least one.
impl Default for Config {
    fn default() -> Self {
        let core = core::Settings::default();
        let mqtt = mqtt::Settings::default();
        Self {
            name: core.name,
            gateway_id: core.gateway_id,
            state_dir: PathBuf::from("state"),
            upstream: Upstream {
                brokers: vec![Broker::Embedded],
                version: mqtt.version,
                username: None,
                password: None,
                password_file: None,
                keep_alive: mqtt.keep_alive,
                topic_prefix: core.topic_prefix,
                connect_timeout: mqtt.connect_timeout,
                reconnect_min: Duration::from_secs(1),
                reconnect_max: Duration::from_secs(60),
                user_properties: false,
                connections: 1,
                transparent: false,
                failback_interval: Duration::from_secs(300),
                tls: TlsSettings::default(),
                spool: mqtt::Spool::default(),
            },
            embedded_broker: EmbeddedBroker {
                listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883),
            },
            sessions: Sessions {
                max_clients: core.max_clients,
                max_client_id_length: core.max_client_id_length,
                retry_interval: core.retry_interval,
                retry_count: core.retry_count,
                keep_alive_tolerance_permille: core.keep_alive_tolerance_permille,
                sleep_tolerance_permille: core.sleep_tolerance_permille,
                takeover: core.takeover,
                keep_session_on_wake: core.keep_session_on_wake,
                unauthenticated_publish: core.unauthenticated_publish,
                max_topics_per_client: core.max_topics_per_client,
                max_subscriptions_per_client: core.max_subscriptions_per_client,
                max_buffered_messages: core.max_buffered_messages,
                max_buffered_bytes: core.max_buffered_bytes,
                max_buffered_bytes_total: core.max_buffered_bytes_total,
                queue_qos0_messages: core.queue_qos0_messages,
                session_expiry: core.session_expiry,
            },
            discovery: Discovery {
                advertise_interval: core.advertise_interval,
                answer_search: core.answer_search,
            },
            topics: Vec::new(),
            udp: Vec::new(),
            serial: Vec::new(),
            ble: Vec::new(),
            clients: core.rules,
            deny_by_default: core.deny_by_default,
            store: CommitSettings::default(),
            status: Status { publish: true },
            home_assistant: HomeAssistant::default(),
            admin: Admin { listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)) },
            log: Log { level: "info".into(), format: LogFormat::Text },
        }
    }
}
