//! The way down: the right message to the right sensor under the right topic, in order, as often
//! as promised, and acknowledged to the broker last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mqtt_sn_gateway::codec::{Publish, PublishTopic, ReturnCode};
use mqtt_sn_gateway::time::Time;

use super::contract::{Exchange, Link, NEVER};
use super::upstream::Fed;
use super::{Oracle, Verdict, level};
use crate::ledger::MsgNo;
use crate::topics::predefined;
use crate::wire;

/// A message on its way down.
#[derive(Debug, Default)]
pub struct Descent {
    /// Publications at the broker: how often subscribers may get it.
    pub publications: u32,
    /// When it was published first.
    distributed_at: Time,
    /// Place in the order in which the broker sent messages.
    first_feed: u64,
    last_feed: u64,
    feeds: u32,
    first_feed_at: Time,
    /// Copies that came long after the first: nobody can remember messages for ever to tell a copy
    /// from an equal message.
    late_copies: u32,
    /// At QoS 1 the broker may repeat what it sent.
    repeated_feeds: u32,
    /// Sensors whose subscriptions covered it when it came, with the highest QoS due to them.
    live: BTreeMap<usize, u8>,
    /// The same, when it came as a retained message.
    retained: BTreeMap<usize, u8>,
    /// Sensors that must get it.
    pub expected: BTreeMap<usize, Expected>,
    /// Sensors that have acknowledged it.
    acked_by: BTreeSet<usize>,
    /// Sensors that must get it at QoS 0; counted on calm days.
    pub expected_unacknowledged: BTreeSet<usize>,
    /// Sleepers that must get it at QoS 0 in their next window, and since when.
    pub owed_asleep: BTreeMap<usize, Time>,
    /// Times it was sent, repetitions not counted: live and retained.
    pub sent: BTreeMap<usize, (u32, u32)>,
    /// Of the live ones, those at QoS 0 and 1.
    sent_below_two: BTreeMap<usize, u32>,
    /// CONNECTs of the sensor when it was sent first.
    connects: BTreeMap<usize, u32>,
    /// Lives of the gateway that had ended when it came for the sensor first.
    crashes: BTreeMap<usize, u32>,
    /// When it was retained first.
    pub retained_at: Option<Time>,
    /// Sensors that just subscribed and must get it as a retained message, or as it was published if
    /// that comes late: by which filter, and how often they had got it before.
    pub retained_due: BTreeMap<usize, (String, u32)>,
}

/// Copies of one message for several subscriptions may be told apart only within some time.
const COPIES_APART: Duration = Duration::from_secs(9);

/// A sensor that has not answered for so long may have been given up as a holder.
const PROMPT: Duration = Duration::from_secs(9);

impl Descent {
    /// The QoS at which it waits for a sensor, at most.
    pub fn due_to(&self, sensor: usize) -> u8 {
        let due = [&self.live, &self.retained].map(|seen| seen.get(&sensor));
        due.into_iter().flatten().copied().max().unwrap_or_default()
    }

    /// How often a subscriber may get it.
    fn allowed_copies(&self, blurred: bool) -> u32 {
        if blurred { self.feeds } else { self.publications + self.late_copies }
    }
}

/// A delivery that must happen.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The sensor has it.
    pub acked: bool,
    /// CONNECTs of the sensor when the message came. For one that went away since, the gateway
    /// keeps the message but need not make the broker wait.
    connects: u32,
    /// Nothing else stood in its way when it came: of what has to wait the gateway holds back a few
    /// acknowledgements only.
    first: bool,
    /// When it came.
    since: Time,
    /// When a copy came that is for this sensor.
    pub at: Time,
    /// The gateway that had it is gone, and only the broker can send it again.
    pub up_to_broker: bool,
    /// Sessions that the broker had forgotten when it came last.
    pub losses: u32,
}

impl Oracle {
    /// The broker distributes a publication (of the gateway or of somebody else).
    pub fn distributed(&mut self, now: Time, message: MsgNo) {
        let retain = self.ledger.get(message).retain;
        let descent = self.descents.entry(message).or_default();
        if descent.publications == 0 {
            descent.distributed_at = now;
        }
        descent.publications += 1;
        if retain {
            descent.retained_at.get_or_insert(now);
        }
        if retain {
            let topic = self.ledger.get(message).topic.name.clone();
            self.retained_replaced(&topic, message);
        }
    }

    /// The messages that were retained on this topic before may not have reached new subscribers.
    fn retained_replaced(&mut self, topic: &str, by: MsgNo) {
        for (message, descent) in &mut self.descents {
            if *message != by && self.ledger.get(*message).topic.name == topic {
                descent.retained_due.clear();
            }
        }
    }

    /// `sensor` subscribes to `filter` while the broker retains `message`.
    pub fn retained_for(&mut self, sensor: usize, filter: &str, message: MsgNo) {
        let contract = &self.contracts[sensor];
        if contract.link != Link::Up {
            return;
        }
        // What it is being sent as published is not sent once more.
        let mut exchanges = contract.down.values();
        if exchanges.any(|exchange| !exchange.acked && exchange.message == Some(message)) {
            return;
        }
        let app = self.ledger.get(message);
        if !self.contracts[sensor].has_use_for(&app.topic.name, app.payload.len()) {
            return;
        }
        let descent = self.descents.entry(message).or_default();
        let before = descent.sent.get(&sensor).map_or(0, |(live, kept)| live + kept);
        descent.retained_due.insert(sensor, (filter.to_owned(), before));
    }

    /// `sensor` is not owed what it would have got for these filters.
    pub(super) fn cancel_retained(&mut self, sensor: usize, of: impl Fn(&str) -> bool) {
        for descent in self.descents.values_mut() {
            if descent.retained_due.get(&sensor).is_some_and(|(filter, _)| of(filter)) {
                descent.retained_due.remove(&sensor);
            }
        }
    }

    pub(super) fn cancel_expectations(&mut self, sensor: usize, covered: impl Fn(&str) -> bool) {
        for (message, descent) in &mut self.descents {
            if covered(&self.ledger.get(*message).topic.name) {
                if descent.expected.get(&sensor).is_some_and(|expected| !expected.acked) {
                    descent.expected.remove(&sensor);
                }
                descent.expected_unacknowledged.remove(&sensor);
                descent.owed_asleep.remove(&sensor);
            }
        }
    }

    /// At QoS 0 nothing is kept for those that are away.
    pub(super) fn forgive_unacknowledged(&mut self, sensor: usize) {
        for descent in self.descents.values_mut() {
            descent.owed_asleep.remove(&sensor);
            descent.expected_unacknowledged.remove(&sensor);
            descent.retained_due.remove(&sensor);
        }
    }

    /// The first message under a name whose REGISTER nobody answers may be given up.
    pub(super) fn forgive_registered(&mut self, sensor: usize) {
        let contract = &mut self.contracts[sensor];
        let Some(name) = contract.gives_up_on().map(str::to_owned) else { return };
        let mut waiting = contract.backlog.iter().map(|(message, _)| *message);
        let first = waiting.find(|message| {
            let descent = self.descents.get(message);
            let expected = descent.and_then(|descent| descent.expected.get(&sensor));
            expected.is_some_and(|expected| !expected.acked)
                && self.ledger.get(*message).topic.name == name
        });
        if let Some(descent) = first.and_then(|message| self.descents.get_mut(&message)) {
            descent.expected.remove(&sensor);
        }
    }

    /// A PUBLISH from the broker reaches the gateway.
    pub(super) fn fed(&mut self, now: Time, publish: &wire::Publish) {
        let message = match publish.topic.strip_prefix(self.prefix) {
            Some(_) => self.ledger.identify(&publish.payload),
            None => None,
        };
        let known = publish.sub_ids.iter().filter_map(|id| self.upstream.filters.get(id));
        let names = known.filter_map(|filter| filter.strip_prefix(self.prefix));
        let filters: Vec<String> = names.map(str::to_owned).collect();
        if publish.qos > 0 {
            let (filters, retain) = (filters.clone(), publish.retain);
            self.upstream.down.insert(publish.id, Fed { message, filters, retain });
        }
        // A copy that says what it is for obliges to nothing else: the others may still come, or be
        // lost with the broker's session.
        let marked = !publish.sub_ids.is_empty();
        let copy_for = (self.copies && marked).then_some(filters.as_slice());
        let Some(message) = message else { return };
        let topic = self.ledger.get(message).topic.name.clone();
        self.upstream.feeds += 1;
        let size = topic.len() + publish.payload.len();
        let crowded = self.backlogs() + size > self.rules.most_bytes_total
            // What was acknowledged just before a crash waits again, and takes room.
            || (self.slow && self.crashes > 0 && self.rules.is_narrow());
        let descent = self.descents.entry(message).or_default();
        if descent.first_feed == 0 && !publish.retain {
            descent.first_feed = self.upstream.feeds;
            descent.first_feed_at = now;
        }
        // At QoS 2 a repetition has the same packet id, and is known for it.
        let repeated = publish.dup && publish.qos == 2;
        if !publish.retain && !repeated && now.since(descent.first_feed_at) >= COPIES_APART {
            descent.late_copies += 1;
        }
        descent.last_feed = self.upstream.feeds;
        // What the broker repeats, the gateway may have settled before the connection broke.
        // Nor does a further copy that nothing marks as one: the first was for everybody, also for
        // whom the gateway had just lost.
        let settled = (publish.dup || self.blurred_copies && !marked) && descent.feeds > 0;
        descent.feeds += 1;
        descent.repeated_feeds += u32::from(publish.dup);
        let mut evicted = Vec::new();
        for contract in &mut self.contracts {
            let sensor = contract.number;
            if contract.may_qos(&topic).is_some() && !contract.makes_room(message, size, crowded) {
                evicted.push(sensor);
            }
            let mut alone = true;
            if let Some(qos) = contract.may_qos(&topic) {
                descent.crashes.entry(sensor).or_insert(self.crashes);
                alone = std::mem::replace(&mut contract.fed_at, now) < now;
                let seen = if publish.retain { &mut descent.retained } else { &mut descent.live };
                let due = seen.entry(sensor).or_default();
                *due = (*due).max(qos.min(publish.qos));
            }
            let (false, Some(qos)) =
                (publish.retain, contract.must_qos(&topic, descent.distributed_at, copy_for))
            else {
                continue;
            };
            // Marked copies are for those whose filters they name.
            let meant = !marked || filters.iter().any(|name| contract.subs.contains_key(name));
            if let (true, Some(expected)) = (meant, descent.expected.get_mut(&sensor)) {
                // What a former life had, this one has only now.
                let before = if expected.up_to_broker { NEVER } else { expected.at };
                expected.at = before.min(now);
                expected.up_to_broker = false;
                expected.losses = self.upstream.losses;
            }
            let at = if meant { now } else { NEVER };
            let here = contract.living(now) || contract.dozing(now);
            if settled || !(here || contract.kept(now)) || evicted.contains(&sensor) {
                continue;
            }
            let qos = qos.min(publish.qos).min(contract.stack.max_qos);
            if !contract.has_use_for(&topic, publish.payload.len()) {
                continue;
            }
            if qos > 0 {
                let acked = descent.acked_by.contains(&sensor);
                let first = contract.living(now)
                    && contract.counts_exchanges
                    && contract.is_at_leisure()
                    && alone;
                let (connects, since) = (contract.connects, now);
                let (up_to_broker, losses) = (false, self.upstream.losses);
                let expected = Expected { acked, connects, first, since, at, up_to_broker, losses };
                descent.expected.entry(sensor).or_insert(expected);
            } else if here {
                descent.expected_unacknowledged.insert(sensor);
                if contract.dozing(now) {
                    let owed = descent.owed_asleep.entry(sensor).or_insert(at);
                    *owed = at.min(*owed);
                }
            }
        }
        for sensor in evicted {
            self.forgive_unacknowledged(sensor);
            for descent in self.descents.values_mut() {
                descent.retained_due.remove(&sensor);
            }
        }
    }

    /// The gateway acknowledges a message to the broker.
    pub(super) fn released_upstream(&mut self, now: Time, id: u16, fed: &Fed) -> Verdict {
        let Some(message) = fed.message.filter(|_| !fed.retain) else { return Ok(()) };
        let Some(descent) = self.descents.get(&message) else { return Ok(()) };
        let mut others = self.upstream.down.iter().filter(|(other, _)| **other != id);
        // What the gateway published twice, because the connection broke, comes twice as well.
        let several = self.copies || descent.publications > 1;
        if several && others.any(|(_, other)| other.message == fed.message) {
            // Another copy is still held back.
            return Ok(());
        }
        let topic = &self.ledger.get(message).topic.name;
        let waiting = descent.expected.iter().filter(|(_, expected)| !expected.acked);
        for (sensor, expected) in waiting {
            let contract = &self.contracts[*sensor];
            if self.stored.is_some() && !self.skips("disk") {
                let here = contract.living(now) || contract.dozing(now) || contract.kept(now);
                let owed = here && !contract.doubtful && contract.waits_for(&fed.filters, topic);
                if owed && !self.keeps_for(*sensor, message) {
                    return Err(format!(
                        "message {message} is acknowledged to the broker, sensor {sensor} has not \
                         got it and it is not on the disk, subscribed by {:?}",
                        contract.covering(topic)
                    ));
                }
                continue;
            }
            let stayed = contract.connects == expected.connects;
            if stayed
                && !self.slow
                && contract.living(now)
                && expected.first
                && expected.since > contract.hesitated
                && now.since(expected.since) < PROMPT.min(self.rules.retry)
                && contract.waits_for(&fed.filters, topic)
            {
                return Err(format!(
                    "message {message} is acknowledged to the broker before sensor {sensor} did, \
                     subscribed by {:?}",
                    contract.covering(topic)
                ));
            }
        }
        Ok(())
    }

    pub(super) fn publish_sent(
        &mut self,
        now: Time,
        sensor: usize,
        publish: &Publish<'_>,
    ) -> Verdict {
        let qos = level(publish.qos);
        if (publish.msg_id == 0) != (qos == 0) {
            return Err("message id and QoS do not go together".into());
        }
        let topic = match publish.topic {
            PublishTopic::Normal(id) => {
                let typeless = self.contracts[sensor].stack.refuses_flags;
                match predefined(id).filter(|_| typeless) {
                    Some(name) => name.to_owned(),
                    None => match self.contracts[sensor].resolve(id) {
                        Ok(name) => name,
                        Err(error) => self.half_told(sensor, publish.data).ok_or(error)?,
                    },
                }
            }
            PublishTopic::Predefined(id) => {
                predefined(id).ok_or("an unknown predefined id")?.to_owned()
            }
            PublishTopic::Short(two) => String::from_utf8_lossy(&two).into_owned(),
            PublishTopic::Reserved(_) => return Err("a reserved topic type".into()),
        };
        let message = self.identify(&topic, publish.data)?;
        if message.is_some_and(|message| self.ledger.get(message).topic.name != topic) {
            return Err(format!("the message belongs to another topic than {topic:?}"));
        }
        if qos == 2 {
            self.has_outbound(sensor, publish.msg_id, false)?;
        }
        if qos > 0 && !self.new_exchange(now, sensor, publish, message)? {
            return Ok(());
        }
        if let Some(at) = message.and_then(|message| self.descents.get(&message)) {
            self.in_window(sensor, at.first_feed_at)?;
        }
        match message {
            Some(message) => self.delivery(sensor, message, qos, publish.retain, &topic),
            None => Ok(()),
        }
    }

    /// The topic of a message if the sensor may have been told its id, as far as the gateway knows.
    fn half_told(&self, sensor: usize, payload: &[u8]) -> Option<String> {
        let name = &self.ledger.get(self.ledger.identify(payload)?).topic.name;
        self.contracts[sensor].half_told.contains(name).then(|| name.clone())
    }

    /// Books a QoS 1 or 2 PUBLISH; false if it is a repetition.
    fn new_exchange(
        &mut self,
        now: Time,
        sensor: usize,
        publish: &Publish<'_>,
        message: Option<MsgNo>,
    ) -> Result<bool, String> {
        let qos = level(publish.qos);
        let contract = &mut self.contracts[sensor];
        if let Some(exchange) = contract.down.get_mut(&publish.msg_id) {
            let same = exchange.message == message && exchange.qos == qos;
            // Without the flag only what it has not acknowledged can be meant.
            let dup =
                publish.dup || (contract.stack.refuses_flags && !exchange.acked && !exchange.done);
            // An acknowledgement may cross an "invalid topic id" for an earlier copy; before PUBREL
            // once more does no harm.
            if same && dup && (!exchange.acked || !exchange.released) {
                exchange.sends += 1;
                // An acknowledgement may have come while this waited behind a promise.
                // Or what waited belongs to a session that is over.
                exchange.open = !exchange.done && !contract.wiped && (qos == 2 || !exchange.acked);
                contract.tire(now);
                return Ok(false);
            }
            if exchange.open && contract.counts_exchanges {
                return Err(format!("message id {} is still in use", publish.msg_id));
            }
        }
        // The answer to a REGISTER of a former life may have come while that of this life waited.
        if self.slow && self.crashes > 0 {
            contract.offered = contract.offered.filter(|(id, ..)| *id != publish.msg_id);
        }
        let living = contract.living(now);
        let open = !contract.wiped;
        let (acked, released, done, sends) = (false, false, false, 1);
        let exchange = Exchange { message, qos, sends, acked, open, released, done };
        contract.down.insert(publish.msg_id, exchange);
        if living && contract.counts_exchanges && contract.open_exchanges() > 1 {
            return Err("a second exchange at once".into());
        }
        Ok(true)
    }

    fn delivery(
        &mut self,
        sensor: usize,
        message: MsgNo,
        qos: u8,
        retain: bool,
        topic: &str,
    ) -> Verdict {
        let (skip_qos, skip_retained) = (self.skips("granted-qos"), self.skips("retained"));
        let contract = &mut self.contracts[sensor];
        let Some(descent) = self.descents.get_mut(&message) else {
            return Err(format!("message {message} did not come from the broker"));
        };
        // Who does not understand the flag gets retained messages without it.
        let unmarked = contract.stack.refuses_flags && descent.retained.contains_key(&sensor);
        let crashes = self.crashes - *descent.crashes.entry(sensor).or_insert(self.crashes);
        // That several copies are one message it knows for as long as it lives.
        let blurred = self.blurred_copies || (self.copies && crashes > 0);
        let copies = descent.allowed_copies(blurred);
        let had = descent.sent.get(&sensor).map_or(0, |(live, _)| *live);
        let live = descent.live.get(&sensor).filter(|due| qos <= **due && had < copies);
        let retain = retain || (unmarked && live.is_none());
        let covered = if retain { &descent.retained } else { &descent.live };
        let Some(due) = covered.get(&sensor) else {
            let kind = if retain { "retained " } else { "" };
            return Err(format!("{kind}message {message} on {topic:?} is not for this sensor"));
        };
        if qos > *due && !skip_qos {
            return Err(format!("QoS {qos} where {due} is due"));
        }
        if let (true, 0, Some(expected)) = (skip_qos, qos, descent.expected.get_mut(&sensor)) {
            expected.acked = true;
        }
        let connects = *descent.connects.entry(sensor).or_insert(contract.connects);
        if qos == 0 {
            contract.leaves(message);
        }
        let (live, kept) = descent.sent.entry(sensor).or_default();
        if retain {
            *kept += 1;
            let times = contract.retained_sent.entry(message).or_default();
            *times += 1;
            // A right counts if the broker was asked after the message was retained.
            let since = descent.retained_at.unwrap_or_default();
            let rights = contract.retained_rights.iter();
            let covering = rights.filter(|right| wire::matches(&right.filter, topic));
            let crashed = self.crashes > 0;
            let rights = covering
                .filter(|right| crashed || right.settled.is_none_or(|at| at >= since))
                .count();
            // A new life asks the broker again, and copies of what it sends then may be for anybody. What
            // waited for room is written down besides.
            let lives = self.crashes * (1 + u32::from(self.slow));
            let again = contract.connects - connects + lives;
            if *times > rights as u32 + again && !skip_retained {
                return Err(format!(
                    "retained message {message} for the {times}th time, subscribed {rights} times"
                ));
            }
            return Ok(());
        }
        *live += 1;
        let below = descent.sent_below_two.entry(sensor).or_default();
        *below += u32::from(qos < 2);
        // What a former life sent at QoS 0 or 1 may not be written down. A copy at QoS 2, or what a new
        // subscription brings, may follow it all the same.
        let forgotten = if crashes > 0 { *below } else { 0 };
        let allowed = match qos {
            2 => copies + forgotten,
            // Of each copy the acknowledgement may have come too late to be written down.
            1 => copies * (1 + crashes) + descent.repeated_feeds + contract.connects - connects,
            _ => copies + descent.repeated_feeds,
        };
        if *live > allowed {
            return Err(format!(
                "message {message} for the {live}th time, {allowed} allowed ({} publications)",
                descent.publications
            ));
        }
        if *live == 1 && qos > 0 {
            let place = contract.order.entry((topic.to_owned(), qos)).or_default();
            if descent.last_feed < *place {
                return Err(format!("message {message} on {topic:?} is overtaken"));
            }
            *place = descent.first_feed.max(*place);
        }
        Ok(())
    }

    pub(super) fn pubrel_sent(&mut self, now: Time, sensor: usize, msg_id: u16) -> Verdict {
        let done = self.contracts[sensor].down.get(&msg_id).is_none_or(|exchange| exchange.done);
        if !done {
            self.has_outbound(sensor, msg_id, true)?;
        }
        let contract = &mut self.contracts[sensor];
        match contract.down.get_mut(&msg_id) {
            Some(exchange) if exchange.qos == 2 && exchange.acked => {
                // Also one that was begun before the sensor went away and came back.
                exchange.open |= contract.link == Link::Up && !exchange.done;
                exchange.released = true;
                exchange.sends += 1;
                contract.tire(now);
                Ok(())
            }
            _ => Err("PUBREL without PUBREC".into()),
        }
    }

    pub(super) fn puback_arrives(&mut self, sensor: usize, msg_id: u16, code: ReturnCode) {
        if let Some(exchange) = self.contracts[sensor].down.get_mut(&msg_id) {
            exchange.open = false;
            if code == ReturnCode::NOT_SUPPORTED {
                let message = exchange.message;
                self.rejected(sensor, message);
                return;
            }
            if code == ReturnCode::ACCEPTED && exchange.qos == 1 {
                exchange.acked = true;
                exchange.sends = 0;
                self.acknowledged(sensor, msg_id);
            }
        }
    }

    pub(super) fn pubrec_arrives(&mut self, sensor: usize, msg_id: u16) {
        if let Some(exchange) = self.contracts[sensor].down.get_mut(&msg_id)
            && exchange.qos == 2
            && !exchange.acked
        {
            exchange.acked = true;
            exchange.sends = 0;
            self.acknowledged(sensor, msg_id);
        }
    }

    pub(super) fn pubcomp_arrives(&mut self, sensor: usize, msg_id: u16) {
        if let Some(exchange) = self.contracts[sensor].down.get_mut(&msg_id)
            && exchange.qos == 2
            && exchange.acked
        {
            exchange.open = false;
            exchange.done = true;
            exchange.sends = 0;
        }
    }

    fn acknowledged(&mut self, sensor: usize, msg_id: u16) {
        let message = self.contracts[sensor].down.get(&msg_id).and_then(|e| e.message);
        if let Some(message) = message {
            self.contracts[sensor].leaves(message);
        }
        if let Some(descent) = message.and_then(|message| self.descents.get_mut(&message)) {
            descent.acked_by.insert(sensor);
            if let Some(expected) = descent.expected.get_mut(&sensor) {
                expected.acked = true;
            }
        }
    }

    /// An application got a message.
    pub(super) fn received(
        &mut self,
        sensor: usize,
        payload: &[u8],
        topic: &str,
        qos: u8,
        life: u32,
    ) -> Verdict {
        let Some(message) = self.identify(topic, payload)? else { return Ok(()) };
        if self.ledger.get(message).topic.name != topic {
            return Err(format!("sensor {sensor} got message {message} as {topic:?}"));
        }
        let count = self.receipts.entry((message, sensor, life)).or_default();
        *count += u32::from(qos == 2);
        let descent = self.descents.get(&message);
        let retained = descent.and_then(|d| d.sent.get(&sensor)).map_or(0, |(_, kept)| *kept);
        let crashes = descent.and_then(|d| d.crashes.get(&sensor)).map_or(0, |c| self.crashes - c);
        let blurred = self.blurred_copies || (self.copies && crashes > 0);
        let copies = descent.map_or(0, |d| d.allowed_copies(blurred));
        if qos == 2 && *count > copies + retained {
            return Err(format!("sensor {sensor} got message {message} {count} times at QoS 2"));
        }
        Ok(())
    }

    /// The sensor does not want this message.
    fn rejected(&mut self, sensor: usize, message: Option<MsgNo>) {
        let Some(message) = message else { return };
        self.contracts[sensor].leaves(message);
        if let Some(descent) = self.descents.get_mut(&message) {
            descent.expected.remove(&sensor);
        }
    }

    /// Whether there is a connection or a sleep, as the gateway must see it.
    pub fn is_up(&self, sensor: usize) -> bool {
        self.contracts[sensor].link == Link::Up || self.contracts[sensor].sleeps()
    }
}
