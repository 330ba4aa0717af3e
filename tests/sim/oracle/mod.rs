//! The judge. It watches the gateway at its two boundaries only: datagrams that reach it and leave
//! it, MQTT packets that reach it and leave it. From those it keeps its own idea of what every
//! sensor was promised, and stops the world at the first promise that is broken.
//!
//! Where the protocol leaves the gateway a choice (is this CONNECT a repetition or a reboot?) it
//! keeps two ideas: what the gateway *may* do and what it *must* do.

mod contract;
mod crash;
mod down;
mod end;
mod moves;
mod room;
mod session;
mod sleep;
mod stored;
mod up;
mod upstream;
mod weight;
mod wills;

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Publish, Qos, ReturnCode, decode};
use mqtt_sn_gateway::mqtt::Version;
use mqtt_sn_gateway::time::Time;

use crate::ledger::{Ledger, MsgNo};
use crate::places::{Place, is_liar};
use crate::plan::{Plan, Rules, Weather};
use crate::sensor::Report;
use crate::topics;

use contract::{Contract, Link};
use stored::Stored;
use up::Ascent;
use upstream::Upstream;
use wills::Will;

pub use down::Descent;

/// A broken promise, in words.
pub type Verdict = Result<(), String>;

/// Silence beyond what is tolerated plus this must have made the gateway act.
pub const SLACK: Duration = Duration::from_secs(10);

/// The judge of one world.
pub struct Oracle {
    /// When the gateway last sent something.
    now: Time,
    pub ledger: Ledger,
    weather: Weather,
    /// Checks to look past: what `SIM_SKIP` names, separated by commas.
    skip: String,
    /// No faults, nobody leaves: QoS 0 has to arrive too.
    strict: bool,
    /// Links are slow: the broker does not wait for who waits for them.
    slow: bool,
    /// The broker sends a copy for each subscription.
    copies: bool,
    /// It does, and nothing tells the copies apart.
    blurred_copies: bool,
    prefix: &'static str,
    rules: Rules,
    contracts: Vec<Contract>,
    /// Whose datagrams from a place are, as the gateway must see it.
    bound: BTreeMap<Place, usize>,
    /// What the datagram was that the gateway got last, until it has been answered.
    step: Option<sleep::Step>,
    /// By place: PINGREQs there that may have been those of sleepers who come, not answered yet.
    coming: BTreeMap<Place, sleep::Step>,
    ascents: BTreeMap<MsgNo, Ascent>,
    descents: BTreeMap<MsgNo, Descent>,
    upstream: Upstream,
    wills: BTreeMap<MsgNo, Will>,
    /// What is on the gateway's disk, if anything is to be.
    stored: Option<Stored>,
    /// Lives of the gateway that have ended.
    crashes: u32,
    /// How long an answer may take that does not have to wait for the broker.
    prompt: Duration,
    /// Receipts at QoS 2 by sensor applications: message, sensor, life.
    receipts: BTreeMap<(MsgNo, usize, u32), u32>,
    /// Sensor and filter of SUBSCRIBEs that arrived since somebody looked.
    pub new_subscriptions: Vec<(usize, String)>,
}

impl Oracle {
    /// A judge for `plan`.
    pub fn new(plan: &Plan) -> Self {
        let calm = plan.weather == Weather::Calm;
        let slow_disk = plan.disk.durable && plan.disk.latency.1 >= 1_000;
        let contract = |number| {
            let mut contract = Contract::new(number, &plan.rules);
            contract.slow_disk = slow_disk;
            contract.slow_link = plan.slow.is_some();
            contract
        };
        Self {
            now: Time(0),
            ledger: Ledger::default(),
            weather: plan.weather,
            skip: std::env::var("SIM_SKIP").unwrap_or_default(),
            strict: calm && !plan.comings_and_goings,
            slow: plan.slow.is_some(),
            copies: plan.broker.copies,
            blurred_copies: plan.broker.copies && plan.version != Version::V5,
            prefix: plan.topic_prefix,
            rules: plan.rules.clone(),
            contracts: (0..plan.sensors).map(contract).collect(),
            bound: BTreeMap::new(),
            step: None,
            coming: BTreeMap::new(),
            ascents: BTreeMap::new(),
            descents: BTreeMap::new(),
            upstream: Upstream::default(),
            wills: BTreeMap::new(),
            stored: plan.disk.durable.then(Stored::default),
            crashes: 0,
            prompt: Duration::from_millis(4 * plan.disk.latency.1)
                + 4 * plan.disk.commits.time
                + Duration::from_secs(1),
            receipts: BTreeMap::new(),
            new_subscriptions: Vec::new(),
        }
    }

    /// A datagram reaches the gateway; `origin` is the sensor that sent it, if a sensor did.
    /// `refused`: it was a CONNECT, and the gateway refuses it.
    ///
    /// # Errors
    /// When the gateway must not refuse.
    pub fn arrives(
        &mut self,
        now: Time,
        origin: Option<usize>,
        from: Place,
        bytes: &[u8],
        refused: bool,
    ) -> Verdict {
        self.step = None;
        self.coming.remove(&from);
        self.answers_are_prompt(now)?;
        let Ok(packet) = decode(bytes) else { return Ok(()) };
        let message = packet.message;
        if let Message::Connect(connect) = &message {
            let Some(sensor) = self.named(connect.client_id) else {
                return self.strange_connect(now, from, refused);
            };
            if refused {
                return self.refusal(now, sensor, from);
            }
            if is_liar(from) {
                return Err(format!("a liar gets the session of sensor {sensor}"));
            }
            self.displaces(now, sensor, from);
            self.heard(now, sensor);
            self.connect_arrives(now, sensor, from, connect, bytes);
            return Ok(());
        }
        if let Message::PingReq { client_id } = message {
            self.ping_arrives(now, from, client_id);
            return Ok(());
        }
        let bound = self.bound.get(&from).copied();
        if let (Message::Publish(publish), Some(sensor)) = (&message, bound.or(origin)) {
            self.publish_arrives(now, sensor, publish);
        }
        // What comes from an address that the client left is a stranger's.
        let Some(sensor) = bound.filter(|sensor| self.contracts[*sensor].address == Some(from))
        else {
            return Ok(());
        };
        self.heard(now, sensor);
        self.request_is_due(now, sensor, &message);
        match message {
            Message::WillMsg { message } => self.will_arrives(sensor, message),
            Message::Disconnect { duration } => {
                self.disconnect_arrives(now, sensor, from, duration.unwrap_or(0));
            }
            Message::Register { msg_id, topic, .. } => {
                let name = String::from_utf8_lossy(topic).into_owned();
                self.contracts[sensor].registers.insert(msg_id, name);
            }
            Message::RegAck { topic_id, msg_id, code } => {
                self.contracts[sensor].register_answered(topic_id, msg_id, code);
            }
            Message::Subscribe(subscribe) => self.subscribe_arrives(now, sensor, &subscribe),
            Message::Unsubscribe { msg_id, topic } => {
                self.unsubscribe_arrives(now, sensor, msg_id, &topic);
            }
            // Not after a DISCONNECT: the connection that these belong to is over.
            _ if self.contracts[sensor].link == Link::Down => {}
            Message::PubAck { msg_id, code, .. } => self.puback_arrives(sensor, msg_id, code),
            Message::PubRec { msg_id } => self.pubrec_arrives(sensor, msg_id),
            Message::PubComp { msg_id } => self.pubcomp_arrives(sensor, msg_id),
            _ => {}
        }
        Ok(())
    }

    /// The gateway sends a datagram to a place.
    ///
    /// # Errors
    /// When it must not.
    pub fn sends(&mut self, now: Time, to: Place, bytes: &[u8]) -> Verdict {
        self.now = now;
        let packet = decode(bytes)
            .map_err(|error| format!("it sent octets that are no message ({error:?})"))?;
        if self.to_foreigner(to, &packet.message) {
            return Ok(());
        }
        self.ping_is_answered(now, to, &packet.message);
        let Some(sensor) = self.bound.get(&to).copied() else {
            return self.to_stranger(to, &packet.message);
        };
        self.suits(sensor, bytes.len(), &packet.message)
            .and_then(|()| self.is_awaited(now, sensor, &packet.message))
            .map_err(|error| format!("to sensor {sensor}: {error}: {:?}", packet.message))?;
        let verdict = self.judge(now, sensor, to, &packet.message);
        if let Message::Register { msg_id, .. } | Message::Publish(Publish { msg_id, .. }) =
            packet.message
        {
            let here = self.contracts[sensor].address == Some(to);
            self.contracts[sensor].goes_on(now, msg_id, here);
            if self.contracts[sensor].tired_of_register() {
                self.forgive_unacknowledged(sensor);
            }
            self.forgive_registered(sensor);
        }
        verdict.map_err(|error| format!("to sensor {sensor}: {error}: {:?}", packet.message))
    }

    fn judge(&mut self, now: Time, sensor: usize, to: [u8; 2], message: &Message<'_>) -> Verdict {
        match *message {
            Message::ConnAck { code } => self.connack_sent(now, sensor, to, code),
            Message::WillTopicReq | Message::WillMsgReq => self.prompt_sent(sensor),
            Message::Register { topic_id, msg_id, topic } => {
                self.deliverable(now, sensor, to)?;
                if !self.skips("register") {
                    self.has_topic(sensor, &String::from_utf8_lossy(topic))?;
                }
                let contract = &mut self.contracts[sensor];
                let here = contract.address == Some(to);
                contract.register_sent(now, (topic_id, msg_id), topic, here)
            }
            Message::RegAck { topic_id, msg_id, code } => {
                if code == ReturnCode::CONGESTION && self.disk_trouble() {
                    self.contracts[sensor].answers_are_lost();
                }
                self.contracts[sensor].regack_sent(topic_id, msg_id, code)?;
                let name = self.contracts[sensor].registers.get(&msg_id);
                match name.filter(|_| code == ReturnCode::ACCEPTED) {
                    // A predefined topic keeps its id anyway.
                    Some(name) if topics::predefined(topic_id) != Some(name) => {
                        self.has_topic(sensor, name)
                    }
                    _ => Ok(()),
                }
            }
            Message::Publish(publish) => {
                self.deliverable(now, sensor, to)?;
                self.publish_sent(now, sensor, &publish)
            }
            Message::PubAck { msg_id, code, .. } => self.puback_sent(sensor, msg_id, code),
            Message::PubRec { msg_id } => self.pubrec_sent(sensor, msg_id),
            Message::PubComp { msg_id } => self.pubcomp_sent(sensor, msg_id),
            Message::PubRel { msg_id } => self.pubrel_sent(now, sensor, msg_id),
            Message::SubAck { qos, topic_id, msg_id, code } => {
                self.suback_sent(now, sensor, qos, topic_id, msg_id, code)
            }
            Message::UnsubAck { msg_id } => self.unsuback_sent(sensor, msg_id),
            Message::PingResp => self.pingresp_sent(now, sensor),
            Message::PingReq { .. } => self.deliverable(now, sensor, to),
            Message::Disconnect { duration: None } => self.disconnect_sent(now, sensor, to),
            Message::GwInfo { .. } | Message::Advertise { .. } => Ok(()),
            _ => Err("a gateway does not send this".into()),
        }
    }

    /// Something happened to a sensor's application.
    ///
    /// # Errors
    /// When it must not have.
    pub fn reports(&mut self, sensor: usize, report: Report) -> Verdict {
        match report {
            Report::Received { payload, topic, qos, life } => {
                self.received(sensor, &payload, &topic, qos, life)
            }
            Report::Acknowledged { message } => self.promised(sensor, message),
        }
    }

    /// Whether a check is switched off, to look past a failure that is known.
    fn skips(&self, check: &str) -> bool {
        self.skip.split(',').any(|skipped| skipped == check)
    }

    /// Which message has this payload; the gateway's own status topics have none of ours.
    fn identify(&self, topic: &str, payload: &[u8]) -> Result<Option<MsgNo>, String> {
        let name = topic.strip_prefix(self.prefix).unwrap_or(topic);
        let liars = name.starts_with("liar/");
        if topic.starts_with("mqtt-sn-gateway/") || liars {
            return Ok(None);
        }
        match self.ledger.identify(payload) {
            Some(message) => Ok(Some(message)),
            None => Err(format!("a message on {topic:?} that nobody made: {payload:02x?}")),
        }
    }
}

impl Oracle {
    /// A sensor that is certainly connected and awake, for who wants to speak in its name.
    pub fn is_active(&self, now: Time, sensor: usize) -> bool {
        self.contracts[sensor].living(now)
    }
}

/// Wire QoS as MQTT counts it; −1 becomes 0 on the way up.
fn level(qos: Qos) -> u8 {
    match qos {
        Qos::MinusOne | Qos::Zero => 0,
        Qos::One => 1,
        Qos::Two => 2,
    }
}
