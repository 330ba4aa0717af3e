//! Connections, subscriptions and topic ids: how the contract with a sensor changes.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Connect, Qos, ReturnCode, Subscribe, SubscribeTopic};
use mqtt_sn_gateway::core::Takeover;
use mqtt_sn_gateway::time::Time;

use super::contract::{ConnectSeen, Link, NEVER, Right, Sub, SubRequest};
use super::{Oracle, Verdict, level};
use crate::places::Place;
use crate::topics::{Form, predefined};
use crate::wire::matches;

/// Within this time an identical CONNECT may be a repetition (MQTT-SN 1.2 does not say; sensors
/// here give up a CONNECT after at most 6 × 15 s).
const REPETITION: Duration = Duration::from_secs(100);

/// A SUBSCRIBE that is repeated after this may count as a new one (the gateway says 60 s).
const ECHO: Duration = Duration::from_secs(50);

impl Oracle {
    /// Any message from the sensor's address.
    pub(super) fn heard(&mut self, now: Time, sensor: usize) {
        let contract = &mut self.contracts[sensor];
        let silence = now.since(contract.last_heard);
        if contract.link != Link::Down && silence >= contract.least_silence() {
            contract.doubt(contract.last_heard.after(contract.least_silence()));
        }
        if contract.may_have_expired(now) {
            self.session_expires(sensor);
        }
        self.note_silence(now, sensor);
        let contract = &mut self.contracts[sensor];
        contract.heard_before = std::mem::replace(&mut contract.last_heard, now);
        contract.owed_answer = None;
        contract.heard_since_connack = true;
    }

    pub(super) fn connect_arrives(
        &mut self,
        now: Time,
        sensor: usize,
        from: [u8; 2],
        connect: &Connect<'_>,
        bytes: &[u8],
    ) {
        let contract = &mut self.contracts[sensor];
        let moved = contract.address != Some(from);
        let repetition = contract
            .connect
            .as_ref()
            .is_some_and(|last| !moved && last.bytes == bytes && now.since(last.at) < REPETITION);
        let same = contract.connect.as_ref().is_some_and(|last| !moved && last.bytes == bytes);
        contract.connect = Some(ConnectSeen {
            bytes: bytes.to_vec(),
            at: now,
            clean: connect.clean_session,
            will: connect.will,
            surely_new: !repetition,
        });
        if moved {
            contract.previous_address = contract.address.replace(from);
        }
        contract.connects += 1;
        contract.parting = None;
        let connecting = matches!(contract.link, Link::Connecting { .. });
        let asleep = contract.sleeps();
        contract.slept = asleep || (connecting && contract.slept);
        let again = !connect.clean_session || (contract.clean && contract.rules.keep_on_wake);
        // A dialogue that takes too long ends, and with it perhaps the session.
        let patience = contract.rules.retry * contract.rules.retries.into();
        let prompt = now.since(contract.wake_began) < patience;
        contract.kept_on_wake = if asleep {
            contract.wake_began = now;
            again && !contract.doubtful
        } else {
            connecting && contract.kept_on_wake && prompt && (same || !connect.clean_session)
        };
        // Another CONNECT with CleanSession in the dialogue does not come from a sleeper. After it, it may.
        contract.slept &= asleep || same || !connect.clean_session || !prompt;
        let kept_on_wake = contract.kept_on_wake;
        contract.keep_alive = Duration::from_secs(connect.duration.into());
        contract.link = Link::Connecting { was_up: contract.link != Link::Down && !asleep };
        contract.abandon_exchanges();
        // One that comes late, while the CONNACK waits for the disk, takes back nothing.
        if !repetition || self.stored.is_none() {
            contract.new_will = None;
        }
        if connect.will && !connect.clean_session {
            contract.subacks_are_lost();
        }
        for request in contract.requests.values_mut() {
            request.disturbed = true;
        }
        // The order of what was sent but not acknowledged begins anew.
        contract.order.clear();
        let doubtful = (contract.slept || contract.doubtful) && !kept_on_wake;
        if kept_on_wake {
            return;
        }
        if connect.clean_session {
            contract.epoch += 1;
            contract.sure_epoch += u32::from(!repetition);
            contract.wiped = true;
            if !repetition && !contract.slept {
                // A late PUBREC of the session before still gets its PUBREL.
                contract.down.values_mut().for_each(|exchange| exchange.done = true);
            }
        }
        if doubtful {
            self.forgive_unacknowledged(sensor);
        }
        let contract = &mut self.contracts[sensor];
        // A clean session may have ended in silence before this CONNECT.
        if connect.clean_session || contract.clean {
            for sub in contract.subs.values_mut() {
                sub.must = false;
                sub.kept = false;
            }
            self.cancel_expectations(sensor, |_| true);
        }
    }

    pub(super) fn prompt_sent(&mut self, sensor: usize) -> Verdict {
        let contract = &self.contracts[sensor];
        let asked = contract.connect.as_ref().is_some_and(|connect| connect.will);
        if matches!(contract.link, Link::Connecting { .. }) && asked {
            return Ok(());
        }
        Err("a will prompt that nobody asked for".into())
    }

    pub(super) fn connack_sent(
        &mut self,
        now: Time,
        sensor: usize,
        to: Place,
        code: ReturnCode,
    ) -> Verdict {
        let trouble = self.disk_trouble();
        let contract = &mut self.contracts[sensor];
        if code != ReturnCode::ACCEPTED {
            // Whether it was allowed was judged when the CONNECT came; unless it could not be
            // written down. Then the gateway may or may not take it for connected.
            // Or it waited behind somebody else's answer at the same forwarder; then it is still
            // where it was.
            // But not when somebody else is refused at a place that it has left.
            let late = self.stored.is_some()
                && contract.address == Some(to)
                && matches!(contract.link, Link::Connecting { .. });
            if late
                && !trouble
                && self.rules.takeover != Takeover::Always
                && let Some(before) = contract.previous_address.take()
            {
                contract.address = Some(before);
                // It was not heard from there.
                contract.last_heard = contract.heard_before;
            }
            if late {
                contract.link = Link::Connecting { was_up: true };
                contract.doubt(now);
            }
            return Ok(());
        }
        let Some(connect) = contract.connect.clone() else {
            return Err("CONNACK without CONNECT".into());
        };
        let was_up = match contract.link {
            Link::Up => return Ok(()),
            // It waited for the disk while the next DISCONNECT came.
            Link::Asleep | Link::Down if contract.parting.is_some() => return Ok(()),
            Link::Asleep | Link::Awake => return Err("CONNACK to a sleeper".into()),
            Link::Down => return Err("CONNACK after the connection ended".into()),
            Link::Connecting { was_up } => was_up,
        };
        if connect.will && contract.new_will.is_none() && !was_up {
            return Err("CONNACK before the will was told".into());
        }
        self.has_session(sensor)?;
        let contract = &mut self.contracts[sensor];
        contract.link = Link::Up;
        contract.doubtful = false;
        let wiped = std::mem::take(&mut contract.wiped);
        contract.surely_wiped = false;
        contract.counts_exchanges = connect.surely_new || !was_up;
        let doubtful_wake = std::mem::take(&mut contract.slept) && !contract.kept_on_wake;
        let kept_on_wake = std::mem::take(&mut contract.kept_on_wake);
        let blurred = doubtful_wake && contract.rules.keep_on_wake && contract.clean;
        if kept_on_wake {
            contract.unconfirm_ids();
        } else if connect.clean {
            let sure = (connect.surely_new || !was_up) && !blurred;
            contract.forget_ids(sure);
            if sure {
                contract.subs.clear();
                contract.retained_rights.clear();
                contract.retained_sent.clear();
            }
        } else {
            if contract.clean || wiped {
                // Whether a clean session outlives its connection is not said; and a CONNECT that
                // came to nothing may have ended the one before.
                contract.forget_ids(false);
            } else if connect.surely_new || !was_up {
                contract.unconfirm_ids();
            }
            for sub in contract.subs.values_mut().filter(|sub| sub.kept) {
                sub.must = true;
                sub.kept = false;
            }
        }
        contract.clean = connect.clean;
        contract.heard_since_connack = false;
        if blurred {
            self.will_in_doubt(sensor);
        }
        self.will_established(now, sensor, connect.clean && !kept_on_wake);
        Ok(())
    }

    /// A persistent session may have been forgotten.
    fn session_expires(&mut self, sensor: usize) {
        let contract = &mut self.contracts[sensor];
        contract.forget_ids(false);
        for sub in contract.subs.values_mut() {
            sub.must = false;
            sub.kept = false;
        }
        self.cancel_expectations(sensor, |_| true);
        self.will_in_doubt(sensor);
    }

    pub(super) fn ends(&mut self, now: Time, sensor: usize) {
        let contract = &mut self.contracts[sensor];
        if contract.link == Link::Down {
            return;
        }
        contract.link = Link::Down;
        contract.gone_since = now;
        contract.abandon_exchanges();
        let clean = contract.clean;
        // What it just subscribed to may come while it is away, and at QoS 0 is not kept.
        self.cancel_retained(sensor, |_| true);
        let contract = &mut self.contracts[sensor];
        for sub in contract.subs.values_mut() {
            sub.kept |= sub.must && !clean;
            sub.must = false;
        }
        for request in contract.requests.values_mut() {
            request.disturbed = true;
        }
        contract.slept = false;
        contract.kept_on_wake = false;
        if clean {
            contract.backlog.clear();
            self.cancel_expectations(sensor, |_| true);
        }
        self.forgive_unacknowledged(sensor);
    }

    /// PUBLISH, REGISTER and PINGREQ go to the connected, at the address of their last CONNECT.
    pub(super) fn deliverable(&self, now: Time, sensor: usize, to: Place) -> Verdict {
        let contract = &self.contracts[sensor];
        let here = contract.address == Some(to);
        let there = contract.previous_address == Some(to);
        match contract.link {
            Link::Up if here => Ok(()),
            Link::Connecting { was_up: true } if here || there => Ok(()),
            // What waited for the disk when its CONNECT came leaves in front of the CONNACK.
            Link::Connecting { .. } if here && contract.wiped && self.stored.is_some() => Ok(()),
            Link::Awake if here => contract.window_is_open(now),
            // It has not been told yet that it may stop listening.
            Link::Asleep | Link::Down if here && contract.parting.is_some() => Ok(()),
            Link::Asleep if here => Err("sent to a sleeper outside its window".into()),
            _ => Err(format!("sent to an address without a connection ({:?})", contract.link)),
        }
    }

    pub(super) fn subscribe_arrives(
        &mut self,
        now: Time,
        sensor: usize,
        subscribe: &Subscribe<'_>,
    ) {
        let Some((filter, form)) = named(&subscribe.topic) else { return };
        let qos = level(subscribe.qos);
        self.request_arrives(now, sensor, subscribe.msg_id, filter, form, Some(qos));
    }

    pub(super) fn unsubscribe_arrives(
        &mut self,
        now: Time,
        sensor: usize,
        msg_id: u16,
        topic: &SubscribeTopic<'_>,
    ) {
        let Some((filter, form)) = named(topic) else { return };
        self.request_arrives(now, sensor, msg_id, filter.clone(), form, None);
        self.cancel_expectations(sensor, |topic| matches(&filter, topic));
        self.cancel_retained(sensor, |due| due == filter);
    }

    fn request_arrives(
        &mut self,
        now: Time,
        sensor: usize,
        msg_id: u16,
        filter: String,
        form: Form,
        qos: Option<u8>,
    ) {
        let contract = &mut self.contracts[sensor];
        let connects = contract.connects;
        let known = contract
            .requests
            .get(&msg_id)
            .is_some_and(|old| old.filter == filter && old.qos == qos && old.connects == connects);
        // A CONNECT between the two may have been an echo.
        let echo = contract
            .requests
            .get(&msg_id)
            .is_some_and(|old| old.filter == filter && old.qos == qos && now.since(old.at) < ECHO);
        // What waits may now go out at QoS 0.
        let old = contract.subs.get(&filter);
        if old.is_some_and(|old| qos.is_some_and(|qos| qos < old.qos)) {
            self.cancel_expectations(sensor, |topic| matches(&filter, topic));
        }
        let contract = &mut self.contracts[sensor];
        let crosses = |old: &SubRequest| old.filter == filter && old.qos.is_some() != qos.is_some();
        for (_, old) in contract.requests.iter_mut().filter(|(id, _)| **id != msg_id) {
            if crosses(old) && (!old.answered || known) {
                old.disturbed = true;
            }
        }
        let sub = contract.subs.entry(filter.clone()).or_default();
        match qos {
            Some(qos) => {
                let lowered = sub.may && qos < sub.qos;
                sub.must &= !lowered;
                sub.may = true;
                sub.qos = sub.qos.max(qos);
                sub.sure = sub.sure.min(qos);
                // After a while, or after a goodnight, a repetition may count as a new request.
                let old = contract.requests.get_mut(&msg_id).filter(|_| known);
                let last = old.map(|old| std::mem::replace(&mut old.at, now));
                let new = |last: Time| now.since(last) >= ECHO || last <= contract.asleep_since;
                if last.is_none_or(new) {
                    let right = Right { filter: filter.clone(), asked: false, settled: None };
                    contract.retained_rights.push(right);
                }
                if !known && !echo {
                    self.new_subscriptions.push((sensor, filter.clone()));
                }
            }
            None => sub.must = false,
        }
        if let Some(old) = contract.requests.get_mut(&msg_id).filter(|_| known) {
            // A new life of the gateway may hear of it first when the broker is away.
            old.broker_away |= !self.upstream.connected;
        }
        if !known {
            let (answered, disturbed) = (false, false);
            let at = now;
            let broker_away = !self.upstream.connected;
            let request =
                SubRequest { filter, qos, form, answered, disturbed, connects, at, broker_away };
            contract.requests.insert(msg_id, request);
        }
    }

    pub(super) fn suback_sent(
        &mut self,
        now: Time,
        sensor: usize,
        granted: Qos,
        topic_id: u16,
        msg_id: u16,
        code: ReturnCode,
    ) -> Verdict {
        let trouble = self.disk_trouble();
        let contract = &mut self.contracts[sensor];
        if code == ReturnCode::CONGESTION && trouble {
            contract.answers_are_lost();
        }
        let Some(request) = contract.requests.get_mut(&msg_id) else {
            return Err("SUBACK for a message id that the sensor never used".into());
        };
        let Some(requested) = request.qos else {
            return Err("SUBACK for an UNSUBSCRIBE".into());
        };
        let first = !std::mem::replace(&mut request.answered, true);
        let request = request.clone();
        let filter = &request.filter;
        if code != ReturnCode::ACCEPTED {
            if self.strict && !filter.starts_with(crate::topics::FORBIDDEN) {
                return Err(format!("{filter:?} refused on a calm day"));
            }
            if first {
                contract.subs.entry(filter.clone()).or_default().must = false;
                self.cancel_retained(sensor, |due| due == filter);
            }
            let refused = request.filter;
            self.cancel_retained(sensor, |filter| filter == refused);
            return Ok(());
        }
        let qos = level(granted);
        if qos > requested {
            return Err(format!("granted QoS {qos}, requested was {requested}"));
        }
        match (request.form, filter.contains(['#', '+'])) {
            (Form::Name, false) => contract.announce(topic_id, filter, true)?,
            (Form::Name, true) if topic_id != 0 => {
                return Err("a topic id for a wildcard subscription".into());
            }
            (Form::Predefined(id), _) if topic_id != id => {
                return Err("another id than the predefined one".into());
            }
            _ => {}
        }
        // A repetition may come after an UNSUBSCRIBE.
        let stands = first || contract.subs.get(filter).is_some_and(|sub| sub.must);
        // A repetition is answered from memory, also after another SUBSCRIBE has changed the QoS; then
        // what is written down is the answer to that one.
        let others = contract.requests.iter().filter(|(id, _)| **id != msg_id);
        let superseded = others
            .filter(|(_, other)| other.filter == *filter && other.connects == request.connects)
            .any(|(_, other)| other.qos.is_some_and(|other| other != requested));
        if !request.disturbed && stands && (first || !superseded) {
            self.has_subscription(sensor, filter, Some(qos))?;
        }
        if !first {
            return Ok(());
        }
        if !request.broker_away {
            self.upstream.backs(self.prefix, filter, qos)?;
        }
        // While the broker is away it counts from the broker's own answer on.
        let asked = self.upstream.connected && !request.broker_away;
        let (answered_at, taken) = self.upstream.answered(self.prefix, filter);
        let answered = answered_at > request.at;
        let since = if asked || answered { now } else { NEVER };
        // Nor does it count if the broker came back and refused while this answer waited for the disk.
        let refused = request.broker_away && answered && !taken;
        let contract = &mut self.contracts[sensor];
        let must = (contract.link == Link::Up || contract.sleeps()) && !refused;
        let sub = contract.subs.entry(filter.clone()).or_default();
        if request.disturbed {
            sub.qos = sub.qos.max(qos);
        } else {
            *sub = Sub { may: true, must, qos, sure: qos, kept: false, since };
        }
        Ok(())
    }

    pub(super) fn unsuback_sent(&mut self, sensor: usize, msg_id: u16) -> Verdict {
        let contract = &mut self.contracts[sensor];
        let Some(request) = contract.requests.get_mut(&msg_id) else {
            return Err("UNSUBACK for a message id that the sensor never used".into());
        };
        if request.qos.is_some() {
            return Err("UNSUBACK for a SUBSCRIBE".into());
        }
        let first = !std::mem::replace(&mut request.answered, true);
        if first && !request.disturbed {
            let filter = request.filter.clone();
            contract.subs.remove(&filter);
            self.has_subscription(sensor, &filter, None)?;
        }
        Ok(())
    }
}

fn named(topic: &SubscribeTopic<'_>) -> Option<(String, Form)> {
    match topic {
        SubscribeTopic::Name(name) => {
            Some((String::from_utf8_lossy(name).into_owned(), Form::Name))
        }
        SubscribeTopic::Predefined(id) => {
            Some((predefined(*id)?.to_owned(), Form::Predefined(*id)))
        }
        SubscribeTopic::Short(two) => {
            Some((String::from_utf8_lossy(two).into_owned(), Form::Short))
        }
        SubscribeTopic::Reserved => None,
    }
}
