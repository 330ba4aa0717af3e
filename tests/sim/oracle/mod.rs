//! The judge. It watches the gateway at its two boundaries only: datagrams that reach it and leave
//! it, MQTT packets that reach it and leave it. From those it keeps its own idea of what every
//! sensor was promised, and stops the world at the first promise that is broken.
//!
//! Where the protocol leaves the gateway a choice (is this CONNECT a repetition or a reboot?) it
//! keeps two ideas: what the gateway *may* do and what it *must* do.

mod contract;
mod down;
mod end;
mod session;
mod up;
mod upstream;
mod wills;

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Qos, decode};
use mqtt_sn_gateway::mqtt::Version;
use mqtt_sn_gateway::time::Time;

use crate::ledger::{Ledger, MsgNo};
use crate::plan::{Plan, Weather};
use crate::sensor::Report;

use contract::{Contract, Link};
use up::Ascent;
use upstream::Upstream;
use wills::Will;

pub use down::Descent;

/// A broken promise, in words.
pub type Verdict = Result<(), String>;

/// Retransmissions of the gateway towards a sensor before the sensor is lost (its default).
pub const GATEWAY_RETRIES: u32 = 3;

/// Silence beyond 1.5 × keep-alive plus this must have made the gateway act.
pub const SLACK: Duration = Duration::from_secs(10);

/// The judge of one world.
pub struct Oracle {
    pub ledger: Ledger,
    weather: Weather,
    /// Checks to look past: what `SIM_SKIP` names, separated by commas.
    skip: String,
    /// No faults, nobody leaves: QoS 0 has to arrive too.
    strict: bool,
    /// The broker sends a copy for each subscription.
    copies: bool,
    /// It does, and nothing tells the copies apart.
    blurred_copies: bool,
    prefix: &'static str,
    contracts: Vec<Contract>,
    ascents: BTreeMap<MsgNo, Ascent>,
    descents: BTreeMap<MsgNo, Descent>,
    upstream: Upstream,
    wills: BTreeMap<MsgNo, Will>,
    /// Receipts at QoS 2 by sensor applications: message, sensor, life.
    receipts: BTreeMap<(MsgNo, usize, u32), u32>,
    /// Sensor and filter of SUBSCRIBEs that arrived since somebody looked.
    pub new_subscriptions: Vec<(usize, String)>,
}

impl Oracle {
    /// A judge for `plan`.
    pub fn new(plan: &Plan) -> Self {
        let calm = plan.weather == Weather::Calm;
        Self {
            ledger: Ledger::default(),
            weather: plan.weather,
            skip: std::env::var("SIM_SKIP").unwrap_or_default(),
            strict: calm && !plan.comings_and_goings,
            copies: plan.broker.copies,
            blurred_copies: plan.broker.copies && plan.version != Version::V5,
            prefix: plan.topic_prefix,
            contracts: (0..plan.sensors).map(Contract::new).collect(),
            ascents: BTreeMap::new(),
            descents: BTreeMap::new(),
            upstream: Upstream::default(),
            wills: BTreeMap::new(),
            receipts: BTreeMap::new(),
            new_subscriptions: Vec::new(),
        }
    }

    /// A datagram reaches the gateway.
    ///
    /// # Errors
    /// Never so far: sensors are correct.
    pub fn arrives(&mut self, now: Time, sensor: usize, from: [u8; 2], bytes: &[u8]) -> Verdict {
        let Ok(packet) = decode(bytes) else { return Ok(()) };
        let message = packet.message;
        if let Message::Connect(connect) = &message {
            self.heard(now, sensor);
            self.connect_arrives(now, sensor, from, connect, bytes);
            return Ok(());
        }
        if let Message::Publish(publish) = &message {
            self.publish_arrives(now, sensor, publish);
        }
        // What comes from an address that the client left is a stranger's.
        if self.contracts[sensor].address != Some(from) {
            return Ok(());
        }
        self.heard(now, sensor);
        match message {
            Message::WillMsg { message } => self.will_arrives(sensor, message),
            Message::Disconnect { .. } => self.disconnect_arrives(sensor),
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

    /// The gateway sends a datagram to an address of `sensor`.
    ///
    /// # Errors
    /// When it must not.
    pub fn sends(&mut self, now: Time, sensor: usize, to: [u8; 2], bytes: &[u8]) -> Verdict {
        let packet = decode(bytes)
            .map_err(|error| format!("it sent octets that are no message ({error:?})"))?;
        let verdict = self.judge(now, sensor, to, &packet.message);
        verdict.map_err(|error| format!("to sensor {sensor}: {error}: {:?}", packet.message))
    }

    fn judge(&mut self, now: Time, sensor: usize, to: [u8; 2], message: &Message<'_>) -> Verdict {
        match *message {
            Message::ConnAck { code } => self.connack_sent(now, sensor, code),
            Message::WillTopicReq | Message::WillMsgReq => self.prompt_sent(sensor),
            Message::Register { topic_id, msg_id, topic } => {
                self.deliverable(sensor, to)?;
                self.contracts[sensor].register_sent(now, topic_id, msg_id, topic)
            }
            Message::RegAck { topic_id, msg_id, code } => {
                self.contracts[sensor].regack_sent(topic_id, msg_id, code)
            }
            Message::Publish(publish) => {
                self.deliverable(sensor, to)?;
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
            Message::PingResp => {
                // Only the connected get one: whatever doubt there was, it is gone.
                self.contracts[sensor].doubtful = false;
                Ok(())
            }
            Message::PingReq { .. } => self.deliverable(sensor, to),
            Message::Disconnect { duration: None } => {
                self.disconnect_sent(sensor);
                Ok(())
            }
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
        if topic.starts_with("mqtt-sn-gateway/") {
            return Ok(None);
        }
        match self.ledger.identify(payload) {
            Some(message) => Ok(Some(message)),
            None => Err(format!("a message on {topic:?} that nobody made: {payload:02x?}")),
        }
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
