//! The gateway's other boundary: MQTT packets to and from the broker.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_sn_gateway::time::Time;

use super::contract::Right;
use super::{Oracle, Verdict};
use crate::ledger::MsgNo;
use crate::wire::{Ack, Packet, Publish};

/// The connection and what is in flight on it.
#[derive(Default)]
pub struct Upstream {
    /// CONNACK has arrived.
    pub connected: bool,
    receive_maximum: usize,
    /// Publications of the gateway by packet id.
    up: BTreeMap<u16, (Option<MsgNo>, u8)>,
    /// Those of lives that have ended: they may be repeated, at QoS 1 also as something new.
    former: BTreeMap<u16, (Option<MsgNo>, u8)>,
    /// When the broker last answered for a filter, and whether it took it.
    answers: BTreeMap<String, (Time, bool)>,
    /// Those that were sent on this connection.
    quota: BTreeSet<u16>,
    /// SUBSCRIBEs by packet id.
    asking: BTreeMap<u16, Vec<(String, u8)>>,
    /// Publications of the broker by packet id.
    pub down: BTreeMap<u16, Fed>,
    /// Filters by subscription identifier (MQTT 5).
    pub filters: BTreeMap<u32, String>,
    /// Filters that the broker was ever asked for.
    asked: BTreeSet<String>,
    /// Those of lives that ended before it was written down.
    pub orphans: BTreeSet<String>,
    /// Filters that the broker ever granted, with the highest QoS.
    granted: BTreeMap<String, u8>,
    /// Sessions that the broker forgot.
    pub losses: u32,
    /// Messages from the broker so far.
    pub feeds: u64,
}

/// A QoS 1 or 2 PUBLISH of the broker that the gateway has not acknowledged.
#[derive(Clone, Debug)]
pub struct Fed {
    pub message: Option<MsgNo>,
    /// The subscriptions that this copy is for, where the broker says so.
    pub filters: Vec<String>,
    pub retain: bool,
}

impl Upstream {
    /// A subscription of a sensor must have one at the broker behind it, at least while there is
    /// a broker to ask.
    pub fn backs(&self, prefix: &str, filter: &str, qos: u8) -> Verdict {
        let filter = format!("{prefix}{filter}");
        match self.granted.get(&filter) {
            Some(granted) if *granted >= qos => Ok(()),
            _ if !self.connected => Ok(()),
            Some(granted) => Err(format!("the broker granted QoS {granted} only")),
            None => Err(format!("the broker never granted {filter:?}")),
        }
    }
}

impl Upstream {
    /// When the broker last answered for a filter, and whether it took it.
    pub fn answered(&self, prefix: &str, filter: &str) -> (Time, bool) {
        self.answers.get(&format!("{prefix}{filter}")).copied().unwrap_or_default()
    }

    /// A new life knows only of what was written: everything at QoS 2, and what was kept at QoS 1.
    pub fn forget_unwritten(&mut self) {
        self.former = std::mem::take(&mut self.up);
        let two = self.former.iter().filter(|(_, (_, qos))| *qos == 2);
        self.up = two.map(|(id, entry)| (*id, *entry)).collect();
    }

    /// It may believe that it has sent this.
    pub fn may_repeat(&mut self, packet_id: u16, message: Option<MsgNo>, qos: u8) {
        self.former.insert(packet_id, (message, qos));
    }
}

impl Oracle {
    /// The life of the gateway ends: of some filters nobody will know that the broker has them.
    pub(super) fn abandon_filters(&mut self) {
        let asked = std::mem::take(&mut self.upstream.asked);
        let lost = asked.into_iter().filter(|filter| !self.is_written_down(filter));
        let lost: Vec<String> = lost.collect();
        self.upstream.orphans.extend(lost);
    }

    /// The connection to the broker ended.
    pub fn broker_closed(&mut self) {
        self.upstream.connected = false;
        self.upstream.asking.clear();
        // The gateway answers for it, perhaps after a while.
        let requests = self.contracts.iter_mut().flat_map(|one| one.requests.values_mut());
        requests.filter(|r| !r.answered).for_each(|request| request.broker_away = true);
    }

    /// The gateway sends a packet to the broker.
    ///
    /// # Errors
    /// When it must not.
    pub fn packet_up(&mut self, now: Time, packet: &Packet) -> Verdict {
        match packet {
            Packet::Publish(publish) => self.published_upstream(now, publish),
            Packet::Subscribe { id, filters, sub_id } => {
                if let (Some(sub_id), Some((filter, _))) = (sub_id, filters.first()) {
                    self.upstream.filters.insert(*sub_id, filter.clone());
                }
                if self.upstream.up.contains_key(id) {
                    return Err(format!("packet id {id} of SUBSCRIBE is in use"));
                }
                for (filter, _) in filters {
                    self.upstream.asked.insert(filter.clone());
                    self.rights(filter, |right| right.asked = true);
                }
                let asked = filters.iter().map(|(filter, options)| (filter.clone(), options & 3));
                self.upstream.asking.insert(*id, asked.collect());
                Ok(())
            }
            Packet::Ack { kind: Ack::PubAck | Ack::PubRec, id, .. } => {
                if let Packet::Ack { kind: Ack::PubRec, code: 0, .. } = packet {
                    self.has_received(*id)?;
                }
                let down = &mut self.upstream.down;
                let fed = if packet_ends(packet) { down.remove(id) } else { down.get(id).cloned() };
                match fed {
                    Some(fed) => self.released_upstream(now, *id, &fed),
                    None => Err(format!("acknowledges packet id {id}, which it never got")),
                }
            }
            Packet::Ack { kind: Ack::PubRel, id, .. } => self.has_release(*id),
            Packet::Ack { kind: Ack::PubComp, id, .. } => {
                self.upstream.down.remove(id);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Everybody's rights to what is retained under a filter as the broker knows it.
    fn rights(&mut self, filter: &str, change: impl Fn(&mut Right)) {
        let Some(name) = filter.strip_prefix(self.prefix) else { return };
        for contract in &mut self.contracts {
            contract
                .retained_rights
                .iter_mut()
                .filter(|right| right.filter == name)
                .for_each(&change);
        }
    }

    /// The broker answered for a filter. Who subscribed while it was away was accepted without
    /// asking, and may now have less than that, or nothing.
    fn settled_upstream(&mut self, now: Time, filter: &str, code: u8) {
        let Some(name) = filter.strip_prefix(self.prefix) else { return };
        for contract in &mut self.contracts {
            if let Some(sub) = contract.subs.get_mut(name) {
                if code > 2 {
                    sub.must = false;
                    sub.kept = false;
                } else {
                    sub.sure = sub.sure.min(code);
                    sub.since = sub.since.min(now);
                }
            }
        }
    }

    fn published_upstream(&mut self, now: Time, publish: &Publish) -> Verdict {
        let message = self.identify(&publish.topic, &publish.payload)?;
        if let Some(message) = message {
            let app = self.ledger.get(message);
            let topic = format!("{}{}", self.prefix, app.topic.name);
            if publish.topic != topic {
                return Err(format!(
                    "message {message} goes to {:?}, not {topic:?}",
                    publish.topic
                ));
            }
            if i16::from(publish.qos) != i16::from(app.qos.max(0)) || publish.retain != app.retain {
                return Err(format!("message {message} goes up changed: {publish:?}"));
            }
            self.will_published(now, message)?;
        }
        if publish.qos == 0 {
            return Ok(());
        }
        let entry = (message, publish.qos);
        if let (2, Some(message)) = (publish.qos, message) {
            self.has_request(message, publish.id)?;
        }
        // It does not write down whether it came to send what it had written down.
        let repeats = self.upstream.former.remove(&publish.id) == Some(entry)
            || (self.stored.is_some() && publish.qos == 2);
        if repeats && publish.dup {
            self.upstream.up.entry(publish.id).or_insert(entry);
        }
        let known = self.upstream.up.get(&publish.id);
        if publish.dup != known.is_some() || known.is_some_and(|known| *known != entry) {
            return Err(format!(
                "packet id {} in flight as {known:?}, now {publish:?}",
                publish.id
            ));
        }
        self.upstream.up.insert(publish.id, entry);
        self.upstream.quota.insert(publish.id);
        if self.upstream.quota.len() > self.upstream.receive_maximum {
            return Err("more in flight than the broker's Receive Maximum".into());
        }
        Ok(())
    }

    /// A packet from the broker reaches the gateway.
    pub fn packet_down(&mut self, now: Time, packet: &Packet) {
        let upstream = &mut self.upstream;
        match packet {
            Packet::ConnAck { present, code: 0, receive_maximum } => {
                upstream.connected = true;
                upstream.quota.clear();
                upstream.receive_maximum = receive_maximum.map_or(usize::MAX, usize::from);
                if !present {
                    upstream.up.clear();
                    upstream.former.clear();
                    upstream.down.clear();
                }
            }
            Packet::Publish(publish) => self.fed(now, publish),
            Packet::Ack { kind, id, code } => {
                let over = *kind == Ack::PubAck || *kind == Ack::PubComp || *code >= 0x80;
                let known = upstream.up.get(id).copied();
                if over {
                    upstream.up.remove(id);
                    upstream.quota.remove(id);
                }
                if let Some((Some(message), _)) = known {
                    if *code < 0x80 {
                        self.owned(message);
                    } else {
                        self.refused(message);
                    }
                }
            }
            Packet::SubAck { id, codes } => {
                let asked = upstream.asking.remove(id).unwrap_or_default();
                for ((filter, _), code) in asked.into_iter().zip(codes) {
                    self.rights(&filter, |right| {
                        // A refusal brings nothing: what is retained comes when somebody asks for
                        // the filter again.
                        if right.asked && *code <= 2 {
                            right.settled.get_or_insert(now);
                        }
                    });
                    self.settled_upstream(now, &filter, *code);
                    let upstream = &mut self.upstream;
                    upstream.answers.insert(filter.clone(), (now, *code <= 2));
                    if *code <= 2 {
                        let granted = upstream.granted.entry(filter).or_default();
                        *granted = (*granted).max(*code);
                    }
                }
            }
            _ => {}
        }
    }
}

/// PUBACK ends an exchange, PUBREC goes on.
fn packet_ends(packet: &Packet) -> bool {
    match packet {
        Packet::Ack { kind: Ack::PubAck, .. } => true,
        Packet::Ack { kind: Ack::PubRec, code, .. } => *code >= 0x80,
        _ => false,
    }
}
