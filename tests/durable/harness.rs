//! A gateway whose state survives it, devices that speak messages, a broker that does what it is
//! told, and a disk.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use mqtt_sn_gateway::codec::{Encapsulation, Message, Packet as Frame, decode};
use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::core::{
    Address, Cursor, DeviceRoom, Drop, Effect, Limit, LinkId, LinkSettings, Settings, Signal,
};
use mqtt_sn_gateway::engine::Engine;
use mqtt_sn_gateway::mqtt::{self as session, Spool, Version};
use mqtt_sn_gateway::store::commit::{Commit, CommitSettings, Outcome, SyncMode};
use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::journal::Journal;
use mqtt_sn_gateway::time::Time;

use crate::disk::Disk;
use crate::messages::*;
use crate::mqtt::{self, Packet, Publish};
use crate::notices::tell;
use crate::own_lines::Own;

/// How long a change may stay unwritten that nobody waits for.
pub const LAZY: Duration = Duration::from_secs(1);

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

/// The gateway between two ends of its process, and everything around it.
pub struct World {
    /// What it is started with, the next time.
    pub settings: Settings,
    pub mqtt: session::Settings,
    pub now: Time,
    pub disk: Disk,
    /// Commits are written, and said to be, as soon as the gateway gives them away. If not, see
    /// [`Self::commit`].
    pub writes: bool,
    /// The broker answers everything at once, granting and accepting all.
    pub obliging: bool,
    /// How packets of devices are heard.
    pub signal: Signal,
    pub engine: Engine,
    journal: Journal<Disk>,
    lives: u64,
    /// Given away, and not written.
    under_way: Option<Commit>,
    /// Written, and the gateway does not know.
    outcome: Option<Outcome>,
    inboxes: BTreeMap<Device, Vec<Vec<u8>>>,
    notices: Vec<String>,
    /// The stream to the broker is open.
    open: bool,
    stream: Vec<u8>,
    sent: Vec<Packet>,
    /// The broker's answers that are due.
    due: Vec<Vec<u8>>,
    next_id: u16,
    /// The other connections.
    pub own: Own,
}

pub fn settings() -> Settings {
    Settings {
        predefined: vec![(5, "predefined/five".into()), (6, "predefined/six".into())],
        links: vec![LinkSettings { name: "one".into(), ..LinkSettings::default() }],
        advertise_interval: Duration::ZERO,
        ..Settings::default()
    }
}

fn open(disk: &Disk, lives: u64) -> (Journal<Disk>, Option<Image>) {
    let opened = Journal::open_salted(disk.clone(), SyncMode::Batch, lives);
    let (journal, image, _) = opened.expect("a journal that is whole");
    (journal, image)
}

/// Commits leave as soon as somebody waits for them.
fn commits() -> CommitSettings {
    CommitSettings { records: 1, time: Duration::ZERO, ..CommitSettings::default() }
}

impl World {
    /// A gateway that begins with nothing, beside a 3.1.1 broker that it has not reached.
    pub fn offline() -> Self {
        Self::begin(Version::V311, settings(), Spool::default())
    }

    /// The same with other settings.
    pub fn begin(version: Version, settings: Settings, spool: Spool) -> Self {
        // As the broker's session would be: it goes on from the start.
        let mqtt = session::Settings {
            version,
            clean_start: false,
            keep_alive: Duration::ZERO,
            spool: Some(spool),
            ..session::Settings::default()
        };
        let disk = Disk::default();
        let (journal, image) = open(&disk, 0);
        assert_eq!(image, None);
        let now = Time(1_000_000_000);
        let engine = Engine::durable(settings.clone(), mqtt.clone(), commits(), 7, now, None);
        let mut world = Self {
            settings,
            mqtt,
            now,
            disk,
            writes: true,
            obliging: false,
            signal: Signal::default(),
            engine,
            journal,
            lives: 0,
            under_way: None,
            outcome: None,
            inboxes: BTreeMap::new(),
            notices: Vec::new(),
            open: false,
            stream: Vec::new(),
            sent: Vec::new(),
            due: Vec::new(),
            next_id: 0,
            own: Own::default(),
        };
        world.flush();
        world
    }

    /// With a 3.1.1 broker that answers nothing by itself.
    pub fn new() -> Self {
        let mut world = Self::offline();
        world.broker_up(false);
        world
    }

    /// With an MQTT 5 broker that answers nothing by itself.
    pub fn five() -> Self {
        let mut world = Self::begin(Version::V5, settings(), Spool::default());
        world.broker_up(false);
        world
    }

    /// A 3.1.1 broker that answers everything at once.
    pub fn obliging() -> Self {
        let mut world = Self::new();
        world.obliging = true;
        world
    }

    /// An MQTT 5 broker that does.
    pub fn obliging_five() -> Self {
        let mut world = Self::five();
        world.obliging = true;
        world
    }

    pub fn is_five(&self) -> bool {
        self.mqtt.version == Version::V5
    }

    // The process, and its disk.

    /// The process is killed, and another one goes on from what is on the disk. Whatever was not
    /// written is lost.
    pub fn restart(&mut self) {
        self.restart_after(Duration::ZERO);
    }

    /// The same, after a while.
    pub fn restart_after(&mut self, while_: Duration) {
        self.now = self.now.after(while_);
        self.lives += 1;
        let (journal, image) = open(&self.disk, self.lives);
        assert!(image.is_some(), "nothing was ever written");
        let (settings, mqtt) = (self.settings.clone(), self.mqtt.clone());
        self.engine = Engine::durable(settings, mqtt, commits(), 7 + self.lives, self.now, image);
        self.journal = journal;
        self.under_way = None;
        self.outcome = None;
        self.inboxes.clear();
        self.notices.clear();
        self.open = false;
        self.stream.clear();
        self.sent.clear();
        self.due.clear();
        self.own.end();
        self.settle();
    }

    /// Has everything written, whether somebody waits for it or not.
    pub fn flush(&mut self) {
        self.pass(LAZY);
    }

    /// Writes the next commit and says so. Gives whether there was one.
    pub fn commit(&mut self) -> bool {
        if !self.give() {
            return false;
        }
        self.write();
        self.acknowledge();
        true
    }

    /// The gateway gives a commit away, if it has one.
    pub fn give(&mut self) -> bool {
        let commit = self.engine.commit(self.now);
        let given = commit.is_some();
        if given {
            assert!(self.under_way.is_none(), "two at once");
            self.under_way = commit;
        }
        given
    }

    /// What was given away is written, or fails to be. The gateway does not know yet.
    #[track_caller]
    pub fn write(&mut self) {
        let commit = self.under_way.take().expect("a commit was given away");
        self.outcome = Some(self.journal.commit(&commit));
    }

    /// The gateway hears what became of it.
    #[track_caller]
    pub fn acknowledge(&mut self) {
        let outcome = self.outcome.take().expect("a commit was written");
        self.engine.committed(self.now, outcome);
        self.settle();
    }

    pub fn break_disk(&mut self) {
        self.disk.fail(io::ErrorKind::StorageFull, "no space left");
    }

    pub fn mend_disk(&mut self) {
        self.disk.mend();
    }

    /// The disk breaks, and the gateway finds out.
    pub fn fail_disk(&mut self) {
        self.break_disk();
        // Something that has to be written, of somebody that no test knows.
        let scout = device(0xFFFF);
        self.send(&scout, connect("scout", true, 0));
        assert!(self.engine.written().failing, "the disk is not needed");
        self.received(&scout);
        let notices = self.notices();
        assert!(notices.iter().any(|notice| notice.starts_with("store failed")), "{notices:?}");
    }

    // Devices.

    pub fn send(&mut self, from: &Device, message: Message<'_>) {
        let bytes = encode(from, message);
        let address = Address::new(&from.address).expect("a short address");
        self.engine.datagram(self.now, LinkId(from.link), &address, self.signal, &bytes);
        self.settle();
    }

    /// The first link has room for so many octets of messages.
    pub fn room(&mut self, octets: impl Into<Option<u32>>) {
        self.engine.link_room(self.now, LinkId(0), octets.into());
        self.settle();
    }

    /// A device with a connection of its own has room for so many octets of messages; `None`: it has
    /// none any longer.
    pub fn device_room(&mut self, device: &Device, octets: Option<u32>) {
        let address = Address::new(&device.address).expect("a short address");
        let room = octets.map(|octets| DeviceRoom { octets, largest: usize::MAX });
        self.engine.device_room(self.now, LinkId(device.link), &address, room);
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

    // Time.

    pub fn pass(&mut self, by: Duration) {
        let end = self.now.after(by);
        self.settle();
        for _ in 0..1_000_000 {
            match self.engine.next_timeout() {
                Some(at) if at <= end && self.now < end => {
                    self.now = at.max(Time(self.now.0 + 1)).min(end);
                    self.engine.timeout(self.now);
                    assert!(self.engine.take_ended().is_none(), "the broker is there");
                    self.settle();
                }
                _ => {
                    self.now = end;
                    return self.settle();
                }
            }
        }
        panic!("timers do not come to an end");
    }

    // The broker.

    /// The gateway connects, and the broker accepts.
    pub fn broker_up(&mut self, session_present: bool) {
        self.broker_up_with(session_present, 2);
    }

    /// The same for an MQTT 5 broker that takes no higher QoS.
    pub fn broker_up_with(&mut self, session_present: bool, maximum_qos: u8) {
        self.open_stream();
        let sent = self.sent();
        assert!(matches!(sent.as_slice(), [Packet::Connect { clean: false, .. }]), "{sent:?}");
        self.say(mqtt::connack(self.is_five(), session_present, maximum_qos));
    }

    /// Opens the stream to the broker, no more.
    pub fn open_stream(&mut self) {
        assert!(!self.open, "it is connected");
        self.open = true;
        self.engine.broker_open(self.now, LineId::MAIN);
        self.settle();
    }

    pub fn broker_down(&mut self) {
        self.open = false;
        self.stream.clear();
        self.due.clear();
        self.engine.broker_closed(self.now, LineId::MAIN);
        self.settle();
    }

    /// The broker says something; gives whether the gateway keeps the connection.
    pub fn say(&mut self, bytes: Vec<u8>) -> bool {
        assert!(self.open, "there is no connection");
        let mut input = BytesMut::from(&bytes[..]);
        let kept = self.engine.broker_input(self.now, LineId::MAIN, &mut input).is_ok();
        self.settle();
        kept
    }

    /// A message of the broker at this QoS; gives its packet id.
    pub fn deliver(&mut self, topic: &str, payload: &[u8], qos: u8) -> u16 {
        let message = self.message(topic, payload, qos);
        self.say_publish(&message);
        message.id
    }

    /// A message with a packet id of its own, to be given to [`Self::say_publish`].
    pub fn message(&mut self, topic: &str, payload: &[u8], qos: u8) -> Publish {
        self.next_id += 1;
        let id = if qos > 0 { self.next_id } else { 0 };
        let (topic, payload) = (topic.into(), payload.into());
        Publish { qos, topic, id, payload, ..Publish::default() }
    }

    pub fn say_publish(&mut self, message: &Publish) {
        assert!(self.say(mqtt::publish(self.is_five(), message)));
    }

    /// What the gateway said to the broker since that was last looked at.
    pub fn sent(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.sent)
    }

    /// The gateway said exactly this to the broker.
    #[track_caller]
    pub fn expect_up(&mut self, packets: &[Packet]) {
        assert_eq!(self.sent(), packets);
    }

    /// The one PUBLISH that it said, and nothing else.
    #[track_caller]
    pub fn published(&mut self) -> Publish {
        match <[Packet; 1]>::try_from(self.sent()) {
            Ok([Packet::Publish(publish)]) => publish,
            other => panic!("expected one PUBLISH, got {other:?}"),
        }
    }

    /// Payloads of all that it published, as text, and nothing else was said.
    #[track_caller]
    pub fn payloads_up(&mut self) -> Vec<String> {
        let payload = |packet| match packet {
            Packet::Publish(publish) => String::from_utf8(publish.payload).expect("text"),
            other => panic!("expected PUBLISH, got {other:?}"),
        };
        self.sent().into_iter().map(payload).collect()
    }

    /// The one SUBSCRIBE that it said: packet id, filter, identifier.
    #[track_caller]
    pub fn subscribed(&mut self) -> (u16, String, Option<u32>) {
        match <[Packet; 1]>::try_from(self.sent()) {
            Ok([Packet::Subscribe { id, filter, identifier, .. }]) => (id, filter, identifier),
            other => panic!("expected one SUBSCRIBE, got {other:?}"),
        }
    }

    /// The broker grants a subscription.
    pub fn grant(&mut self, id: u16, qos: u8) {
        assert!(self.say(mqtt::suback(self.is_five(), id, qos)));
    }

    /// The broker ends one.
    pub fn ungrant(&mut self, id: u16) {
        assert!(self.say(mqtt::unsuback(self.is_five(), id)));
    }

    // What it knows.

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn limit(&self, limit: Limit) -> u64 {
        self.engine.gateway().stats().limits[limit as usize]
    }

    pub fn dropped(&self, why: Drop) -> u64 {
        self.engine.gateway().stats().dropped[why as usize]
    }

    /// Notices since they were last looked at, each in one line.
    pub fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// All that it knows, as a snapshot would tell it.
    pub fn image(&self) -> Image {
        image_of(&self.engine)
    }

    /// The image that a process would begin with now.
    pub fn image_on_disk(&self) -> Image {
        open(&self.disk, u64::MAX).1.expect("something was written")
    }

    /// What a gateway that goes on from an image would tell in a snapshot of its own.
    pub fn image_after(&self, image: Image) -> Image {
        let (settings, mqtt) = (self.settings.clone(), self.mqtt.clone());
        image_of(&Engine::durable(settings, mqtt, commits(), 99, self.now, Some(image)))
    }

    /// Takes away what the engine has left to do, until there is nothing.
    pub fn settle(&mut self) {
        loop {
            self.take_effects();
            self.take_stream();
            if self.serve_own() {
                continue;
            }
            let due = std::mem::take(&mut self.due);
            if !due.is_empty() {
                let mut input = BytesMut::from(&due.concat()[..]);
                self.engine
                    .broker_input(self.now, LineId::MAIN, &mut input)
                    .expect("what it says is valid");
            } else if self.writes && self.outcome.is_none() && self.give() {
                let commit = self.under_way.take().expect("it was given");
                let outcome = self.journal.commit(&commit);
                self.engine.committed(self.now, outcome);
            } else {
                return;
            }
        }
    }

    fn take_effects(&mut self) {
        let fx = self.engine.outgoing();
        for effect in fx.items() {
            let Effect::Send { link, to, bytes, .. } = *effect else { continue };
            let bytes = fx.bytes(bytes).to_vec();
            let packet = decode(&bytes).expect("what the gateway sends is valid");
            let node = packet.forwarder.map(|forwarder| forwarder.node_id.to_vec());
            let to = Device { link: link.0, address: to.octets().to_vec(), node };
            self.inboxes.entry(to).or_default().push(bytes);
        }
        self.notices.extend(fx.notices().iter().map(|notice| tell(fx, notice)));
        self.engine.clear();
    }

    fn take_stream(&mut self) {
        let output = self.engine.broker_output(LineId::MAIN).expect("it is always there").split();
        if !self.open {
            return;
        }
        self.stream.extend_from_slice(&output);
        let five = self.is_five();
        while let Some(packet) = mqtt::take(&mut self.stream, five) {
            if self.obliging {
                self.due.extend(answer(&packet, five));
            }
            self.sent.push(packet);
        }
    }
}

/// What a broker says that takes and grants everything.
pub fn answer(packet: &Packet, five: bool) -> Option<Vec<u8>> {
    Some(match *packet {
        Packet::Publish(Publish { qos: 1, id, .. }) => mqtt::puback(id),
        Packet::Publish(Publish { qos: 2, id, .. }) => mqtt::pubrec(id),
        Packet::Pubrel(id) => mqtt::pubcomp(id),
        Packet::Pubrec(id) => mqtt::pubrel(id),
        Packet::Subscribe { id, qos, .. } => mqtt::suback(five, id, qos),
        Packet::Unsubscribe { id, .. } => mqtt::unsuback(five, id),
        _ => return None,
    })
}

fn image_of(engine: &Engine) -> Image {
    let mut records = Vec::new();
    let mut place = 0;
    while engine.session().snapshot(&mut place, &mut records, usize::MAX) {}
    let mut cursor = Cursor::default();
    engine.gateway().snapshot(&mut cursor, &mut records, usize::MAX);
    assert!(cursor.is_at_end());
    let mut image = Image::default();
    image.apply_all(&records).expect("records of its own making");
    image
}

pub fn encode(device: &Device, message: Message<'_>) -> Vec<u8> {
    let forwarder = device.node.as_deref().map(|node_id| Encapsulation { radius: 0, node_id });
    let frame = Frame { forwarder, message };
    let mut bytes = vec![0; frame.encoded_len()];
    frame.encode(&mut bytes).expect("it fits");
    bytes
}

fn explain(bytes: &[u8]) -> String {
    format!("{:?}", decode(bytes))
}
