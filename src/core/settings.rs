//! Everything the core can be told, already checked.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::policy::ClientRule;

/// Whether a client id that is in use may be taken over from another address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Takeover {
    /// At any time, as in MQTT: by CONNECT, and by PINGREQ when the client sleeps.
    #[default]
    Always,
    /// Not while the client is connected and awake at its address.
    AsleepOrLost,
    /// Never: a session goes on at the address where it was, until it ends.
    Never,
}

/// Settings of a `Gateway`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// GwId in ADVERTISE and GWINFO, 1..=255.
    pub gateway_id: u8,
    /// Name of the gateway; its own topics are below `mqtt-sn-gateway/<name>/`.
    pub name: Box<str>,
    /// Put in front of every topic and filter on the way up, taken away on the way down.
    pub topic_prefix: Box<str>,
    /// Predefined topics of every client; ids 1..=0xFFFE, each once.
    pub predefined: Vec<(u16, Box<str>)>,
    /// Links, indexed by `LinkId`.
    pub links: Vec<LinkSettings>,
    /// Most client records, connected or kept.
    pub max_clients: u32,
    /// Longest client id accepted, octets.
    pub max_client_id_length: usize,
    /// How long the gateway waits for a device's answer before it repeats itself.
    pub retry_interval: Duration,
    /// How often it repeats itself before the device counts as lost, up to 254.
    pub retry_count: u8,
    /// Keep-alive is multiplied by this many thousandths before a silent device is lost.
    pub keep_alive_tolerance_permille: u32,
    /// The same for the announced sleep of a sleeping client.
    pub sleep_tolerance_permille: u32,
    /// Who may take over a client id that is in use.
    pub takeover: Takeover,
    /// A sleeping client that wakes by CONNECT keeps its session although the CONNECT says
    /// CleanSession, when the one before said so too: many stacks repeat the one CONNECT they know.
    pub keep_session_on_wake: bool,
    /// Keep QoS 0 messages for persistent clients that are disconnected or lost.
    pub queue_qos0_messages: bool,
    /// What applies to clients by their ids and links; the first rule that matches.
    pub rules: Vec<ClientRule>,
    /// Clients that no rule matches may not connect, and QoS −1 is for clients only.
    pub deny_by_default: bool,
    /// Accept QoS −1.
    pub unauthenticated_publish: bool,
    /// Most topic ids per client.
    pub max_topics_per_client: u32,
    /// Most subscriptions per client.
    pub max_subscriptions_per_client: u32,
    /// Most messages waiting for one client.
    pub max_buffered_messages: u32,
    /// Most payload and topic octets waiting for one client.
    pub max_buffered_bytes: usize,
    /// Most octets waiting for all clients together.
    pub max_buffered_bytes_total: usize,
    /// A persistent session that nobody came back to ends after this; zero means never.
    pub session_expiry: Duration,
    /// Period of ADVERTISE; zero turns it off.
    pub advertise_interval: Duration,
    /// Answer SEARCHGW with GWINFO.
    pub answer_search: bool,
    /// Connections to the broker that clients share, at least 1.
    pub connections: u16,
    /// Each client has a connection of its own.
    pub transparent: bool,
    /// How long a client waits for the broker to accept its own connection.
    pub broker_patience: Duration,
    /// State survives the process: changes are recorded, and promises wait until they are written.
    pub durable: bool,
    /// The broker is told how each client stands, see [`Gateway::tell`](super::Gateway::tell).
    pub tell_states: bool,
    /// With that, how clients present themselves to Home Assistant, as their rules have it, below this topic.
    pub home_prefix: Option<Box<str>>,
}

impl Settings {
    /// Position of the rule for a client on a link. A link that is not known matches any pattern.
    #[must_use]
    pub fn rule_for(&self, id: &str, link: Option<&str>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(id, link))
    }
}

/// Who says what there is room for on a link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pacing {
    /// Nobody: it takes what it is given.
    #[default]
    Never,
    /// The link (see [`Gateway::set_link_room`](super::Gateway::set_link_room)), and until it does it has
    /// none.
    Link,
    /// Each device, by its own connection, which comes and goes (see
    /// [`Gateway::set_device_room`](super::Gateway::set_device_room)). Until then it is not there.
    Device,
}

/// What the core needs to know about a link.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// By which it is found again after a restart, whatever its number then.
    pub name: Box<str>,
    /// Overrides [`Settings::retry_interval`].
    pub retry_interval: Option<Duration>,
    /// Longest datagram that fits the link, octets.
    pub max_packet: usize,
    /// The link reaches everybody at once, so ADVERTISE is sent on it.
    pub broadcast: bool,
    /// Whether it says what it has room for.
    pub pacing: Pacing,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            name: "".into(),
            retry_interval: None,
            max_packet: 65_507,
            broadcast: false,
            pacing: Pacing::Never,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway_id: 1,
            name: "gateway".into(),
            topic_prefix: "".into(),
            predefined: Vec::new(),
            links: Vec::new(),
            max_clients: 10_000,
            max_client_id_length: 23,
            retry_interval: Duration::from_secs(10),
            retry_count: 3,
            keep_alive_tolerance_permille: 1_500,
            sleep_tolerance_permille: 1_500,
            takeover: Takeover::Always,
            keep_session_on_wake: true,
            queue_qos0_messages: false,
            rules: Vec::new(),
            deny_by_default: false,
            unauthenticated_publish: true,
            max_topics_per_client: 1_000,
            max_subscriptions_per_client: 100,
            max_buffered_messages: 1_000,
            max_buffered_bytes: 256 * 1024,
            max_buffered_bytes_total: 256 * 1024 * 1024,
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            advertise_interval: Duration::from_secs(15 * 60),
            answer_search: true,
            connections: 1,
            transparent: false,
            broker_patience: Duration::from_secs(20),
            durable: false,
            tell_states: false,
            home_prefix: None,
        }
    }
}
