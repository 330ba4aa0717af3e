//! What the API says, as JSON. `docs/openapi.json` describes it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::figures::{JoinFigures, LinkFigures, UpstreamState};
use super::why;
use crate::capture::{API_BYTES, Report};
use crate::config::Changes;
use crate::core::{Address, ClientView, LinkId, Stats};
use crate::runtime::Direction;
use crate::time::{Time, Utc};
use crate::transport::hex::lower_hex;
use crate::transport::udp::Shown;

/// Most subscriptions, and most topics, of one client that are listed.
pub const LISTED: usize = 1_000;
/// Places of the topic table that are looked at for one answer.
const NAMES: u32 = 1_000;

/// A client in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// Client id.
    pub id: String,
    /// `active`, `asleep`, `awake`, `connecting` or `gone`.
    pub state: &'static str,
    /// Name of its link, as in the log.
    pub link: Option<String>,
    /// Where it is, or was last.
    pub address: Option<String>,
    /// Its node behind a forwarder, in hexadecimal.
    pub node: Option<String>,
    /// Signal strength of its last packet, dBm.
    pub rssi: Option<i16>,
    /// When it connected last.
    pub connected_at: String,
    /// The last sign of it.
    pub last_heard: String,
    /// When it is up again, as it has announced.
    pub sleeps_until: Option<String>,
    /// Messages that wait for it.
    pub waiting: usize,
}

/// Everything that is known of a client.
#[derive(Clone, Debug, Serialize)]
pub struct ClientDetails {
    /// What a list says.
    #[serde(flatten)]
    pub client: Client,
    /// Seconds; 0 if it wants none.
    pub keep_alive: u64,
    /// The session ends with the connection.
    pub clean_session: bool,
    /// Link quality of its last packet, in the radio's own measure.
    pub lqi: Option<u8>,
    /// Profile of its client stack.
    pub profile: &'static str,
    /// Where the rule for it was written.
    pub rule: Option<String>,
    /// It has a connection to the broker of its own.
    pub transparent: bool,
    /// Octets of the messages that wait.
    pub waiting_bytes: usize,
    /// Why nothing is heard of it, if nothing is.
    pub silent_because: Option<String>,
    /// Why messages wait for it, if some do.
    pub waiting_because: Option<String>,
    /// Topic of its will, without prefix.
    pub will_topic: Option<String>,
    /// Number of subscriptions and topic ids, of which no more than [`LISTED`] each are listed.
    pub subscription_count: usize,
    /// See above.
    pub topic_count: usize,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Its normal topic ids.
    pub topics: Vec<Topic>,
}

/// How the gateway stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// When it began to serve devices.
    pub started: String,
    /// Clients by state.
    pub clients: ClientCounts,
    /// Messages that wait for clients.
    pub waiting: Waiting,
    /// Octets of publications that are kept for the broker.
    pub spooled_bytes: u64,
    /// Shared connections to the broker, the main one first.
    pub upstream: Vec<Upstream>,
}

/// Clients by state.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClientCounts {
    /// All that have a session.
    pub total: u64,
    /// Connected.
    pub connected: u64,
    /// Asleep, or awake to collect their messages.
    pub asleep: u64,
    /// In the middle of their will dialogues.
    pub connecting: u64,
}

/// Messages that wait.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waiting {
    /// Their number.
    pub messages: u64,
    /// Their octets.
    pub bytes: u64,
}

/// A shared connection to the broker.
#[derive(Clone, Debug, Serialize)]
pub struct Upstream {
    /// The broker has accepted it.
    pub connected: bool,
    /// Which broker it is open to.
    pub broker: Option<String>,
    /// What was last in the way, if it is not connected.
    pub trouble: Option<String>,
}

impl Status {
    /// As the loop sees it, without the name.
    #[must_use]
    pub fn new(
        stats: &Stats,
        started: SystemTime,
        spooled_bytes: u64,
        upstream: Vec<UpstreamState>,
    ) -> Self {
        let started = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started = Time(0).after(started);
        Self {
            name: String::new(),
            version: env!("CARGO_PKG_VERSION"),
            started: rfc3339(started),
            clients: ClientCounts {
                total: stats.clients,
                connected: stats.connected,
                asleep: stats.asleep,
                connecting: stats.handshakes,
            },
            waiting: Waiting { messages: stats.buffered, bytes: stats.buffered_bytes },
            spooled_bytes,
            upstream: upstream.into_iter().map(Upstream::from).collect(),
        }
    }
}

impl From<UpstreamState> for Upstream {
    fn from(state: UpstreamState) -> Self {
        let trouble = state.trouble.filter(|_| !state.connected);
        Self { connected: state.connected, broker: state.broker, trouble }
    }
}

/// A subscription of a client.
#[derive(Clone, Debug, Serialize)]
pub struct Subscription {
    /// The filter, without prefix.
    pub filter: String,
    /// What it was granted.
    pub qos: u8,
    /// The predefined topic id by which it was named.
    pub predefined_id: Option<u16>,
}

/// A topic id of a client.
#[derive(Clone, Debug, Serialize)]
pub struct Topic {
    /// The id.
    pub id: u16,
    /// The topic, without prefix.
    pub name: String,
    /// The client is known to know the id.
    pub confirmed: bool,
}

/// A part of the topic names.
#[derive(Clone, Debug, Serialize)]
pub struct TopicNames {
    /// Predefined topic ids of everybody.
    pub predefined: Vec<PredefinedTopic>,
    /// Names in use.
    pub topics: Vec<TopicName>,
    /// Where to go on.
    pub next: Option<u32>,
}

/// A predefined topic id.
#[derive(Clone, Debug, Serialize)]
pub struct PredefinedTopic {
    /// The id.
    pub id: u16,
    /// Its topic.
    pub name: String,
}

/// A topic name that somebody has an id of, or that a message waits under.
#[derive(Clone, Debug, Serialize)]
pub struct TopicName {
    /// The name, without prefix.
    pub name: String,
    /// How many topic ids, subscriptions and waiting messages use it.
    pub uses: u32,
}

/// A link.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Its name, as in the log.
    pub name: String,
    /// `udp`, `serial` or `ble`.
    pub kind: &'static str,
    /// Its socket, device or adapter is there.
    pub up: bool,
    /// From devices.
    pub received: Traffic,
    /// To devices.
    pub sent: Traffic,
    /// Packets dropped at the link, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Octets received that were no packets.
    pub discarded_bytes: Option<u64>,
    /// Devices with a connection of their own.
    pub devices: Option<usize>,
    /// Whether devices that were never here may join, on links that ask that.
    pub permit_join: Option<PermitJoin>,
}

/// Whether devices that were never here may join a link.
#[derive(Clone, Debug, Serialize)]
pub struct PermitJoin {
    /// They may.
    pub open: bool,
    /// Until when, if that has an end.
    pub until: Option<String>,
    /// Devices that are remembered.
    pub known: u64,
}

/// Packets and octets.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

/// What a reload did.
#[derive(Clone, Debug, Serialize)]
pub struct Reloaded {
    /// Keys and tables that changed and count from now on.
    pub taken: Vec<String>,
    /// Keys that changed and need a restart, with the values that stay in force until then.
    pub kept: BTreeMap<String, String>,
}

/// How the capture stands, or how the last one ended.
#[derive(Clone, Debug, Serialize)]
pub struct Capture {
    /// It runs.
    pub active: bool,
    /// Name of its file, or where else it goes.
    pub file: Option<String>,
    /// When it began.
    pub started: Option<String>,
    /// Packets in it.
    pub packets: u64,
    /// Its octets.
    pub bytes: u64,
    /// Packets that are missing in it, as the disk was too slow.
    pub dropped: u64,
    /// Where it ends; without end if there is none.
    pub max_bytes: Option<u64>,
    /// Pattern for clients.
    pub client: Option<String>,
    /// Pattern for links.
    pub link: Option<String>,
    /// Why it ended.
    pub stopped_because: Option<String>,
}

impl From<Option<Report>> for Capture {
    fn from(report: Option<Report>) -> Self {
        let Some(report) = report else {
            return Self {
                active: false,
                file: None,
                started: None,
                packets: 0,
                bytes: 0,
                dropped: 0,
                max_bytes: Some(API_BYTES),
                client: None,
                link: None,
                stopped_because: None,
            };
        };
        let started = report.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started = Time(u64::try_from(started.as_millis()).unwrap_or(u64::MAX));
        Self {
            active: report.active,
            file: Some(report.name),
            started: Some(rfc3339(started)),
            packets: report.packets,
            bytes: report.bytes,
            dropped: report.dropped,
            max_bytes: report.choice.max_bytes,
            client: report.choice.client,
            link: report.choice.link,
            stopped_because: report.stopped_because,
        }
    }
}

impl Client {
    /// `links` are the names of the links.
    #[must_use]
    pub fn new(view: &ClientView<'_>, links: &[impl AsRef<str>]) -> Self {
        let place = view.place();
        let name = |link: LinkId| Some(links.get(usize::from(link.0))?.as_ref().to_owned());
        Self {
            id: view.id().to_owned(),
            state: view.state().label(),
            link: view.link().and_then(name),
            address: place.map(|(address, _)| shown(&address)).filter(|text| !text.is_empty()),
            node: place.and_then(|(_, node)| node).map(lower_hex),
            rssi: view.signal().rssi,
            connected_at: rfc3339(view.connected_at()),
            last_heard: rfc3339(view.last_heard()),
            sleeps_until: view.sleeps_until().map(rfc3339),
            waiting: view.waiting(),
        }
    }
}

impl ClientDetails {
    /// `links` are the names of the links.
    #[must_use]
    pub fn new(view: &ClientView<'_>, links: &[String], now: Time) -> Self {
        Self {
            client: Client::new(view, links),
            keep_alive: view.keep_alive().as_secs(),
            clean_session: view.is_clean(),
            lqi: view.signal().lqi,
            profile: view.profile(),
            rule: Some(view.rule().to_owned()).filter(|rule| !rule.is_empty()),
            transparent: view.is_transparent(),
            waiting_bytes: view.waiting_bytes(),
            silent_because: why::silent(view, now),
            waiting_because: why::waiting(view, now),
            will_topic: view.will_topic().map(str::to_owned),
            subscription_count: view.subscription_count(),
            topic_count: view.topic_count(),
            subscriptions: (view.subscriptions().take(LISTED))
                .map(|subscription| Subscription {
                    filter: subscription.filter.to_owned(),
                    qos: subscription.qos as u8,
                    predefined_id: subscription.predefined,
                })
                .collect(),
            topics: (view.topics().take(LISTED))
                .map(|topic| Topic {
                    id: topic.id,
                    name: topic.name.to_owned(),
                    confirmed: topic.confirmed,
                })
                .collect(),
        }
    }
}

impl TopicNames {
    /// From a place on.
    #[must_use]
    pub fn new(gateway: &crate::core::Gateway, from: u32) -> Self {
        let (names, next) = gateway.topic_names(from, NAMES);
        let predefined = gateway.predefined_topics();
        let predefined = predefined.map(|(id, name)| PredefinedTopic { id, name: name.to_owned() });
        let names = names.into_iter();
        Self {
            predefined: predefined.collect(),
            topics: names.map(|(name, uses)| TopicName { name: name.to_owned(), uses }).collect(),
            next,
        }
    }
}

impl From<LinkFigures> for Link {
    fn from(link: LinkFigures) -> Self {
        let sum = |direction: &Direction| {
            direction.kinds().fold(Traffic::default(), |sum, (_, count)| Traffic {
                packets: sum.packets + count.packets,
                bytes: sum.bytes + count.octets,
            })
        };
        let traffic = link.traffic.as_ref();
        let mut dropped: BTreeMap<_, _> = link.dropped.into_iter().collect();
        dropped.extend(link.kernel_drops.map(|drops| ("kernel", drops)));
        Self {
            received: traffic.map(|traffic| sum(&traffic.received)).unwrap_or_default(),
            sent: traffic.map(|traffic| sum(&traffic.sent)).unwrap_or_default(),
            name: link.name,
            kind: link.kind,
            up: link.up,
            dropped,
            discarded_bytes: link.discarded,
            devices: link.devices,
            permit_join: link.join.map(PermitJoin::from),
        }
    }
}

impl From<JoinFigures> for PermitJoin {
    fn from(join: JoinFigures) -> Self {
        let until = |left| {
            let until = SystemTime::now() + left;
            let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            rfc3339(Time(0).after(since))
        };
        Self { open: join.open, until: join.left.map(until), known: join.known }
    }
}

impl From<Changes> for Reloaded {
    fn from(changes: Changes) -> Self {
        Self { taken: changes.taken.into_iter().collect(), kept: changes.kept }
    }
}

fn shown(address: &Address) -> String {
    Shown(address).to_string()
}

/// A moment in UTC, to the second, as `2026-11-27T15:06:39Z`.
pub(super) fn rfc3339(time: Time) -> String {
    Utc(time).to_string()
}

/// The same to the millisecond.
pub(super) fn rfc3339_millis(time: Time) -> String {
    let seconds = rfc3339(time);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), time.0 % 1_000)
}
