//! A gateway, a clock, devices that speak hex or messages, and a broker that does what it is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Encapsulation, Message, Packet, decode};
use mqtt_sn_gateway::core::upstream::{
    DeliveryId, LineId, LineSetup, MqttQos, Refusal, Token, UpstreamEvent,
};
use mqtt_sn_gateway::core::{
    Address, Denial, DeviceRoom, Drop, Effect, Effects, Gateway, Limit, LinkId, LinkSettings,
    Notice, Place, Settings, Signal, Span, Stats, Subject,
};
use mqtt_sn_gateway::time::Time;

pub use crate::conversations::*;
pub use crate::messages::*;

/// The default retry interval (T_retry) of the gateway.
pub const RETRY: Duration = Duration::from_secs(10);

pub fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|octet| u8::from_str_radix(octet, 16).expect("two hex digits"))
        .collect()
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Where a device is. Copies mean the same device.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Device {
    link: u16,
    address: Vec<u8>,
    node: Option<Vec<u8>>,
}

/// The device at address `number` of the first link.
pub fn device(number: u32) -> Device {
    Device { link: 0, address: number.to_be_bytes().to_vec(), node: None }
}

impl Device {
    pub fn on_link(self, link: u16) -> Self {
        Self { link, ..self }
    }

    /// The node behind the forwarder at this address.
    pub fn node(self, id: &[u8]) -> Self {
        Self { node: Some(id.to_vec()), ..self }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}/{:?}", self.link, self.address, self.node.as_deref().unwrap_or(&[]))
    }
}

/// What the gateway asked of the broker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Up {
    Publish {
        token: Token,
        qos: MqttQos,
        retain: bool,
        topic: String,
        payload: Vec<u8>,
    },
    Subscribe {
        token: Token,
        filter: String,
        qos: MqttQos,
        id: u32,
        retained: bool,
    },
    Unsubscribe {
        token: Token,
        filter: String,
    },
    Acknowledge(DeliveryId),
    /// A client's own connection: to be made, or made anew.
    Open(LineSetup),
    /// To be closed when all is delivered.
    Close {
        abort: bool,
    },
    /// The client is forgotten.
    Forget,
}

/// A message from the broker, with what most tests want as defaults.
#[derive(Clone, Debug)]
pub struct Down<'a> {
    pub delivery: Option<u64>,
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: MqttQos,
    pub retain: bool,
    /// Seconds.
    pub expiry: Option<u32>,
    pub ids: &'a [u32],
}

impl<'a> Down<'a> {
    pub fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        let (qos, expiry, ids) = (MqttQos::Zero, None, &[][..]);
        Self { delivery: None, topic, payload, qos, retain: false, expiry, ids }
    }

    pub fn expires(self, seconds: u32) -> Self {
        Self { expiry: Some(seconds), ..self }
    }

    pub fn qos1(self, delivery: u64) -> Self {
        Self { qos: MqttQos::One, delivery: Some(delivery), ..self }
    }

    pub fn qos2(self, delivery: u64) -> Self {
        Self { qos: MqttQos::Two, delivery: Some(delivery), ..self }
    }

    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    pub fn ids(self, ids: &'a [u32]) -> Self {
        Self { ids, ..self }
    }
}

pub struct World {
    pub gateway: Gateway,
    pub now: Time,
    fx: Effects,
    inboxes: BTreeMap<Device, Vec<Vec<u8>>>,
    broadcasts: Vec<(u16, Vec<u8>)>,
    /// By which connection, and what.
    up: Vec<(LineId, Up)>,
    notices: Vec<String>,
    /// The broker answers everything at once, granting and accepting all.
    pub obliging: bool,
    /// How packets of devices are heard.
    pub signal: Signal,
    /// How strongly the packets of what was published were received.
    pub rssi: Vec<Option<i16>>,
}

impl World {
    /// A gateway with these settings, and a connected broker that answers nothing by itself.
    pub fn with(settings: Settings) -> Self {
        let mut world = Self::offline(settings);
        world.broker_up(false);
        world
    }

    /// As [`Self::with`], but the broker has not been reached yet.
    pub fn offline(settings: Settings) -> Self {
        let now = Time(1_000_000);
        Self {
            gateway: Gateway::new(settings, 7, now),
            now,
            fx: Effects::new(),
            inboxes: BTreeMap::new(),
            broadcasts: Vec::new(),
            up: Vec::new(),
            notices: Vec::new(),
            obliging: false,
            signal: Signal::default(),
            rssi: Vec::new(),
        }
    }

    pub fn new() -> Self {
        Self::with(settings())
    }

    /// A broker that answers everything at once.
    pub fn obliging() -> Self {
        let mut world = Self::new();
        world.obliging = true;
        world
    }

    // Devices.

    pub fn send_bytes(&mut self, from: &Device, bytes: &[u8]) {
        let address = Address::new(&from.address).expect("a short address");
        let link = LinkId(from.link);
        let signal = self.signal;
        self.gateway.handle_datagram(self.now, link, &address, signal, bytes, &mut self.fx);
        self.settle();
    }

    pub fn send_hex(&mut self, from: &Device, text: &str) {
        self.send_bytes(from, &hex(text));
    }

    pub fn send(&mut self, from: &Device, message: Message<'_>) {
        let bytes = encode(from, message);
        self.send_bytes(from, &bytes);
    }

    /// A link has room for so many octets of messages from now on.
    pub fn room(&mut self, link: u16, octets: impl Into<Option<u32>>) {
        self.gateway.set_link_room(self.now, LinkId(link), octets.into(), &mut self.fx);
        self.settle();
    }

    /// A device with a connection of its own takes so many octets of messages from now on.
    pub fn here(&mut self, device: &Device, octets: u32) {
        self.tell(device, Some(DeviceRoom { octets, largest: usize::MAX }));
    }

    /// Its connection is gone.
    pub fn gone(&mut self, device: &Device) {
        self.tell(device, None);
    }

    pub fn tell(&mut self, device: &Device, room: Option<DeviceRoom>) {
        let address = Address::new(&device.address).expect("a short address");
        let link = LinkId(device.link);
        self.gateway.set_device_room(self.now, link, &address, room, &mut self.fx);
        self.settle();
    }

    /// What a device was sent since it was last looked at.
    pub fn received(&mut self, device: &Device) -> Vec<Vec<u8>> {
        self.inboxes.remove(device).unwrap_or_default()
    }

    /// The device was sent exactly these messages since it was last looked at.
    #[track_caller]
    pub fn expect(&mut self, device: &Device, messages: &[Message<'_>]) {
        let received = self.received(device);
        let wanted: Vec<Vec<u8>> = messages.iter().map(|m| encode(device, *m)).collect();
        if received != wanted {
            let received: Vec<String> = received.iter().map(|bytes| explain(bytes)).collect();
            panic!("expected {messages:#?}\nreceived {received:#?}");
        }
    }

    #[track_caller]
    pub fn expect_hex(&mut self, device: &Device, frames: &[&str]) {
        let received = self.received(device);
        let wanted: Vec<Vec<u8>> = frames.iter().map(|frame| hex(frame)).collect();
        let explained: Vec<String> = received.iter().map(|bytes| explain(bytes)).collect();
        assert_eq!(received, wanted, "received {explained:#?}");
    }

    #[track_caller]
    pub fn silence(&mut self, device: &Device) {
        self.expect(device, &[]);
    }

    /// Nobody was sent anything.
    #[track_caller]
    pub fn silence_everywhere(&mut self) {
        assert_eq!(std::mem::take(&mut self.inboxes), BTreeMap::new());
    }

    /// The device sends and gets exactly these answers.
    #[track_caller]
    pub fn exchange(&mut self, device: &Device, message: Message<'_>, answers: &[Message<'_>]) {
        self.silence(device);
        self.send(device, message);
        self.expect(device, answers);
    }

    /// What was sent to all on a link.
    pub fn broadcasts(&mut self) -> Vec<(u16, Vec<u8>)> {
        std::mem::take(&mut self.broadcasts)
    }

    // Time.

    pub fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        // Step by step, as a runtime would; the wheel may ask for wake-ups in between.
        for _ in 0..1_000_000 {
            match self.gateway.next_timeout() {
                Some(at) if at <= end => {
                    self.now = at.max(Time(self.now.0 + 1)).min(end);
                    self.gateway.handle_timeout(self.now, &mut self.fx);
                    self.settle();
                    if self.now == end {
                        return;
                    }
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("timers do not come to an end");
    }

    // Broker.

    pub fn upstream(&mut self, event: UpstreamEvent<'_>) {
        self.upstream_by(LineId::MAIN, event);
    }

    pub fn upstream_by(&mut self, line: LineId, event: UpstreamEvent<'_>) {
        self.gateway.handle_upstream(self.now, line, event, &mut self.fx);
        self.settle();
    }

    /// The broker accepts a client's own connection, as MQTT 5 does.
    pub fn accept(&mut self, line: LineId, session_present: bool) {
        let (subscription_ids, maximum_qos) = (true, MqttQos::Two);
        let event = UpstreamEvent::Connected { session_present, subscription_ids, maximum_qos };
        self.upstream_by(line, event);
    }

    /// It does not, or cannot be reached.
    pub fn reject(&mut self, line: LineId, never: bool) {
        self.upstream_by(line, UpstreamEvent::Refused { never });
    }

    /// A client's own connection breaks.
    pub fn line_down(&mut self, line: LineId) {
        self.upstream_by(line, UpstreamEvent::Disconnected);
    }

    /// It is closed for good.
    pub fn line_closed(&mut self, line: LineId) {
        self.upstream_by(line, UpstreamEvent::Disconnected);
        self.upstream_by(line, UpstreamEvent::Closed);
    }

    /// Connects, as MQTT 5 does.
    pub fn broker_up(&mut self, session_present: bool) {
        self.upstream(UpstreamEvent::Connected {
            session_present,
            subscription_ids: true,
            maximum_qos: MqttQos::Two,
        });
    }

    /// Connects, as MQTT 3.1.1 does.
    pub fn old_broker_up(&mut self, session_present: bool) {
        self.upstream(UpstreamEvent::Connected {
            session_present,
            subscription_ids: false,
            maximum_qos: MqttQos::Two,
        });
    }

    pub fn broker_down(&mut self) {
        self.upstream(UpstreamEvent::Disconnected);
    }

    pub fn deliver(&mut self, down: &Down<'_>) {
        self.deliver_by(LineId::MAIN, down);
    }

    pub fn deliver_by(&mut self, line: LineId, down: &Down<'_>) {
        let event = UpstreamEvent::Message {
            delivery: down.delivery.map(DeliveryId),
            topic: down.topic,
            payload: down.payload,
            qos: down.qos,
            retain: down.retain,
            expiry: down.expiry,
            subscription_ids: down.ids,
        };
        self.upstream_by(line, event);
    }

    /// What was asked of the broker since it was last looked at.
    pub fn up(&mut self) -> Vec<Up> {
        self.up_by().into_iter().map(|(_, up)| up).collect()
    }

    /// The same, with the connection that each is for.
    pub fn up_by(&mut self) -> Vec<(LineId, Up)> {
        std::mem::take(&mut self.up)
    }

    /// A client's own connection is to be made, and nothing else was asked for.
    #[track_caller]
    pub fn opens(&mut self) -> (LineId, LineSetup) {
        match <[_; 1]>::try_from(self.up_by()) {
            Ok([(line, Up::Open(setup))]) => (line, setup),
            other => panic!("expected one connection to be made, got {other:?}"),
        }
    }

    /// Exactly this was asked for, by this connection.
    #[track_caller]
    pub fn expect_up(&mut self, line: LineId, up: Up) {
        assert_eq!(self.up_by(), [(line, up)]);
    }

    /// The one PUBLISH that was asked for: token, QoS, retain, topic, payload.
    #[track_caller]
    pub fn published(&mut self) -> (Token, MqttQos, bool, String, Vec<u8>) {
        match <[Up; 1]>::try_from(self.up()) {
            Ok([Up::Publish { token, qos, retain, topic, payload }]) => {
                (token, qos, retain, topic, payload)
            }
            other => panic!("expected one PUBLISH, got {other:?}"),
        }
    }

    /// Topics of all that was published.
    #[track_caller]
    pub fn published_topics(&mut self) -> Vec<String> {
        let topic = |up| match up {
            Up::Publish { topic, .. } => topic,
            other => panic!("expected PUBLISH, got {other:?}"),
        };
        self.up().into_iter().map(topic).collect()
    }

    /// Topics of what was published, whatever else was asked for.
    pub fn published_topics_among_all(&mut self) -> Vec<String> {
        let topic = |up| match up {
            Up::Publish { topic, .. } => Some(topic),
            _ => None,
        };
        self.up().into_iter().filter_map(topic).collect()
    }

    /// The one SUBSCRIBE that was asked for: token, filter, QoS, id, retained.
    #[track_caller]
    pub fn subscribed(&mut self) -> (Token, String, MqttQos, u32, bool) {
        match <[Up; 1]>::try_from(self.up()) {
            Ok([Up::Subscribe { token, filter, qos, id, retained }]) => {
                (token, filter, qos, id, retained)
            }
            other => panic!("expected one SUBSCRIBE, got {other:?}"),
        }
    }

    /// The one UNSUBSCRIBE that was asked for.
    #[track_caller]
    pub fn unsubscribed(&mut self) -> (Token, String) {
        match <[Up; 1]>::try_from(self.up()) {
            Ok([Up::Unsubscribe { token, filter }]) => (token, filter),
            other => panic!("expected one UNSUBSCRIBE, got {other:?}"),
        }
    }

    /// Deliveries acknowledged to the broker, and nothing else.
    #[track_caller]
    pub fn acknowledged(&mut self) -> Vec<u64> {
        let delivery = |up| match up {
            Up::Acknowledge(delivery) => delivery.0,
            other => panic!("expected acknowledgements, got {other:?}"),
        };
        self.up().into_iter().map(delivery).collect()
    }

    /// Deliveries acknowledged to the broker, whatever else was asked for.
    pub fn acknowledged_among_all(&mut self) -> Vec<u64> {
        let delivery = |up| match up {
            Up::Acknowledge(delivery) => Some(delivery.0),
            _ => None,
        };
        self.up().into_iter().filter_map(delivery).collect()
    }

    pub fn received_upstream(&mut self, token: Token) {
        self.upstream(UpstreamEvent::Received { token });
    }

    pub fn completed(&mut self, token: Token) {
        self.upstream(UpstreamEvent::Published { token, outcome: Ok(()) });
    }

    pub fn refused(&mut self, token: Token, refusal: Refusal) {
        self.upstream(UpstreamEvent::Published { token, outcome: Err(refusal) });
    }

    pub fn granted(&mut self, token: Token, qos: MqttQos) {
        self.upstream(UpstreamEvent::Subscribed { token, outcome: Ok(qos) });
    }

    pub fn not_granted(&mut self, token: Token, refusal: Refusal) {
        self.upstream(UpstreamEvent::Subscribed { token, outcome: Err(refusal) });
    }

    // What it knows.

    pub fn stats(&self) -> Stats {
        self.gateway.stats()
    }

    pub fn dropped(&self, why: Drop) -> u64 {
        self.stats().dropped[why as usize]
    }

    pub fn limit(&self, limit: Limit) -> u64 {
        self.stats().limits[limit as usize]
    }

    /// Refusals by rules, of one kind.
    pub fn denied(&self, denial: Denial) -> u64 {
        self.stats().denied[denial as usize]
    }

    /// Goes by other settings from now on.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.gateway.reconfigure(self.now, settings, &mut self.fx);
        self.settle();
    }

    /// An operator ends a client.
    pub fn kick(&mut self, id: &str) -> bool {
        let known = self.gateway.kick(self.now, id, &mut self.fx);
        self.settle();
        known
    }

    /// Notices since they were last looked at, each in one line.
    pub fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Takes the effects out.
    fn settle(&mut self) {
        let fx = std::mem::take(&mut self.fx);
        let text =
            |span: Span| String::from_utf8(fx.bytes(span).to_vec()).expect("topics are UTF-8");
        let mut events = Vec::new();
        for effect in fx.items() {
            match *effect {
                // The core alone keeps no promises waiting.
                Effect::Send { link, to, bytes, .. } | Effect::Promise { link, to, bytes, .. } => {
                    let bytes = fx.bytes(bytes).to_vec();
                    let packet = decode(&bytes).expect("what the gateway sends is valid");
                    let node = packet.forwarder.map(|forwarder| forwarder.node_id.to_vec());
                    let to = Device { link: link.0, address: to.octets().to_vec(), node };
                    self.inboxes.entry(to).or_default().push(bytes);
                }
                Effect::Broadcast { link, radius, bytes } => {
                    assert_eq!(radius, 0);
                    self.broadcasts.push((link.0, fx.bytes(bytes).to_vec()));
                }
                Effect::Publish { line, token, qos, retain, topic, payload, rssi, .. } => {
                    self.rssi.push(rssi);
                    let (topic, payload) = (text(topic), fx.bytes(payload).to_vec());
                    events.push((line, Up::Publish { token, qos, retain, topic, payload }));
                }
                Effect::Subscribe { line, token, filter, qos, id, retained } => {
                    let filter = text(filter);
                    events.push((line, Up::Subscribe { token, filter, qos, id, retained }));
                }
                Effect::Unsubscribe { line, token, filter } => {
                    events.push((line, Up::Unsubscribe { token, filter: text(filter) }));
                }
                Effect::Acknowledge { delivery, .. } => {
                    events.push((delivery.line, Up::Acknowledge(delivery.id)));
                }
                Effect::Open { line } => {
                    let setup = self.gateway.line_setup(line).expect("of a client that is there");
                    events.push((line, Up::Open(setup)));
                }
                Effect::Close { line, abort } => events.push((line, Up::Close { abort })),
                Effect::Forget { line } => events.push((line, Up::Forget)),
                Effect::Keep { .. } | Effect::Recall { .. } | Effect::Done => {}
            }
        }
        for notice in fx.notices() {
            self.notices.push(tell(&fx, notice));
        }
        self.fx = fx;
        self.fx.clear();
        self.up.extend(events.iter().cloned());
        if self.obliging {
            for (line, event) in events {
                self.oblige(line, &event);
            }
        }
    }

    fn oblige(&mut self, line: LineId, event: &Up) {
        match *event {
            Up::Publish { qos: MqttQos::Zero, .. } | Up::Acknowledge(_) | Up::Forget => {}
            Up::Open(_) => self.accept(line, false),
            Up::Close { .. } => self.line_closed(line),
            Up::Publish { token, qos, .. } => {
                if qos == MqttQos::Two {
                    self.received_upstream(token);
                }
                self.completed(token);
            }
            Up::Subscribe { token, qos, .. } => self.granted(token, qos),
            Up::Unsubscribe { token, .. } => self.upstream(UpstreamEvent::Unsubscribed { token }),
        }
    }
}

fn tell(fx: &Effects, notice: &Notice) -> String {
    let text = |span| String::from_utf8_lossy(fx.bytes(span)).into_owned();
    match notice {
        Notice::Malformed { error, .. } => format!("malformed: {}", error.kind()),
        Notice::Connected { client, resumed, .. } => {
            format!("connected: {}{}", text(*client), if *resumed { ", resumed" } else { "" })
        }
        Notice::Moved { client, .. } => format!("moved: {}", text(*client)),
        Notice::Contested { client, holder, rival } => {
            let (holder, rival) = (place(fx, holder), place(fx, rival));
            format!("contested: {}, held by {holder}, wanted by {rival}", text(*client))
        }
        Notice::Kicked { client, will } => format!("kicked: {}, will {will}", text(*client)),
        Notice::Disconnected { client } => format!("disconnected: {}", text(*client)),
        Notice::Lost { client, why, will } => {
            format!("lost: {}, {why:?}, will {will}", text(*client))
        }
        Notice::Expired { client, .. } => format!("expired: {}", text(*client)),
        Notice::Refused { client, operation, subject, code, rule, .. } => {
            let subject = match *subject {
                Subject::None => String::new(),
                Subject::Text(span) => text(span),
                Subject::TopicId(id) => format!("topic id {id}"),
                Subject::PredefinedId(id) => format!("predefined id {id}"),
            };
            let by = if rule.is_empty() { "" } else { " by " };
            let rule = text(*rule);
            format!("refused: {} {operation} {subject} {}{by}{rule}", text(*client), code.0)
        }
        Notice::Revoked { client, what, subject, rule, .. } => {
            let (client, subject, rule) = (text(*client), text(*subject), text(*rule));
            format!("revoked: {client} {what:?} {subject} by {rule}")
        }
        Notice::Stranger { packet, .. } => format!("stranger: {packet}"),
        Notice::Abandoned { client, topic, qos, why } => {
            format!("abandoned: {} {} {qos} {why}", text(*client), text(*topic))
        }
        Notice::LimitReached { client, limit } => {
            format!("limit: {} {}", text(*client), limit.label())
        }
        Notice::Complaint { what, about, code, said, .. } => {
            format!("complaint: {what} {} {code:#x} {}", text(*about), text(*said))
        }
        Notice::Wasted { topic, why } => format!("wasted: {} {why:?}", text(*topic)),
        Notice::StoreFailed { kind, error } => format!("store failed: {kind} {}", text(*error)),
        Notice::StoreRecovered { after } => format!("store recovered: {after:?}"),
        Notice::SubscriptionLost { filter } => format!("subscription lost: {}", text(*filter)),
        Notice::UnknownPredefined { client, id, topic } => {
            format!("unknown predefined: {} {id} {}", text(*client), text(*topic))
        }
        Notice::DropsAtPing { client, .. } => format!("drops at ping: {}", text(*client)),
        Notice::Asleep { client, duration } => format!("asleep: {} {duration}", text(*client)),
        Notice::Collected { client, messages, left } => {
            format!("collected: {} {messages}, {left} left", text(*client))
        }
    }
}

/// A place as [`Device`] displays itself.
fn place(fx: &Effects, place: &Place) -> String {
    let node = fx.bytes(place.node).to_vec();
    Device {
        link: place.link.0,
        address: place.address.octets().to_vec(),
        node: (!node.is_empty()).then_some(node),
    }
    .to_string()
}

pub fn encode(device: &Device, message: Message<'_>) -> Vec<u8> {
    let forwarder = device.node.as_deref().map(|node_id| Encapsulation { radius: 0, node_id });
    let packet = Packet { forwarder, message };
    let mut bytes = vec![0; packet.encoded_len()];
    packet.encode(&mut bytes).expect("it fits");
    bytes
}

pub fn explain(bytes: &[u8]) -> String {
    format!("{:?}", decode(bytes))
}

/// The settings of most tests: two predefined topics, no ADVERTISE.
pub fn settings() -> Settings {
    Settings {
        predefined: vec![(5, "predefined/five".into()), (6, "predefined/six".into())],
        links: vec![LinkSettings::default()],
        advertise_interval: Duration::ZERO,
        ..Settings::default()
    }
}

/// The first normal topic id with [`settings`].
pub const FIRST_ID: u16 = 7;
