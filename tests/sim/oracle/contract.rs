//! What one sensor was promised, as seen at the gateway's boundary.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mqtt_sn_gateway::codec::ReturnCode;
use mqtt_sn_gateway::time::Time;

use super::{SLACK, Verdict};
use crate::ledger::MsgNo;
use crate::plan::Rules;
use crate::stacks::{STANDARD, Stack};
use crate::wire::matches;

/// State of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Link {
    /// No connection, or it ended.
    Down,
    /// CONNECT has arrived; `was_up` if it may have been a repetition.
    Connecting { was_up: bool },
    /// CONNACK has left.
    Up,
    /// It said DISCONNECT with a duration, or its PINGRESP has left.
    Asleep,
    /// Between PINGREQ and PINGRESP.
    Awake,
}

/// A subscription.
#[derive(Clone, Debug, Default)]
pub struct Sub {
    /// Messages may be sent because of it.
    pub may: bool,
    /// Messages must be sent because of it.
    pub must: bool,
    /// The highest QoS that may have been granted.
    pub qos: u8,
    /// The lowest.
    pub sure: u8,
    /// It was in force when a persistent session went away.
    pub kept: bool,
    /// When the SUBACK left; what the broker distributed before need not come.
    pub since: Time,
}

/// Not yet.
pub const NEVER: Time = Time(u64::MAX);

/// A SUBSCRIBE that brings the messages that are retained at that moment.
#[derive(Clone, Debug)]
pub struct Right {
    pub filter: String,
    /// The gateway has asked the broker since.
    pub asked: bool,
    /// When the broker answered: what is retained later does not come because of it.
    pub settled: Option<Time>,
}

/// A SUBSCRIBE or UNSUBSCRIBE by message id.
#[derive(Clone, Debug)]
pub struct SubRequest {
    pub filter: String,
    /// Requested QoS; `None` for UNSUBSCRIBE.
    pub qos: Option<u8>,
    pub form: crate::topics::Form,
    pub answered: bool,
    /// Something crossed it: its answer proves nothing.
    pub disturbed: bool,
    pub connects: u32,
    /// When it arrived last.
    pub at: Time,
    /// The broker could not be asked when it came.
    pub broker_away: bool,
}

/// A QoS 1 or 2 PUBLISH of the gateway.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub message: Option<MsgNo>,
    pub qos: u8,
    pub sends: u32,
    /// The sensor has it.
    pub acked: bool,
    /// The exchange is not over.
    pub open: bool,
    /// PUBREL was sent.
    pub released: bool,
    /// PUBCOMP has come; a late PUBREC gets its PUBREL all the same.
    pub done: bool,
}

/// The last CONNECT.
#[derive(Clone, Debug)]
pub struct ConnectSeen {
    pub bytes: Vec<u8>,
    pub at: Time,
    pub clean: bool,
    pub will: bool,
    /// It cannot be taken for a repetition of the one before.
    pub surely_new: bool,
}

/// A DISCONNECT that has not been answered.
#[derive(Clone, Copy, Debug)]
pub struct Parting {
    /// The will that it dismissed.
    pub will: Option<MsgNo>,
    /// How often it came.
    pub copies: u32,
}

/// One sensor as the gateway must see it.
pub struct Contract {
    pub number: usize,
    pub client_id: String,
    pub stack: &'static Stack,
    pub rules: Rules,
    /// What is promised to it may wait for seconds.
    pub slow_disk: bool,
    /// Packets may come long after they were sent.
    pub slow_link: bool,
    /// As announced last.
    pub sleep: Duration,
    /// When it said so.
    pub asleep_since: Time,
    /// When the present window was opened, and when PINGREQ came last.
    pub window: (Time, Time),
    /// PINGREQs that came before the one in front was answered.
    pub more_pings: u32,
    /// The connection that is being made began as a sleeper's.
    pub slept: bool,
    /// It finds its session as it was.
    pub kept_on_wake: bool,
    /// When it began to wake up by CONNECT.
    pub wake_began: Time,
    /// When a request with this message id came last.
    pub asked: BTreeMap<u16, Time>,
    /// What may wait for it at the gateway, with octets.
    pub backlog: Vec<(MsgNo, usize)>,
    pub link: Link,
    /// It said DISCONNECT, for good or for a while, and that has not been answered.
    pub parting: Option<Parting>,
    /// What has to be answered soon, and since when.
    pub owed_answer: Option<(Time, &'static str)>,
    pub address: Option<[u8; 2]>,
    pub previous_address: Option<[u8; 2]>,
    pub connect: Option<ConnectSeen>,
    /// Something other than CONNECT has arrived since the last CONNACK.
    pub heard_since_connack: bool,
    pub keep_alive: Duration,
    pub last_heard: Time,
    /// The same, the time before.
    pub heard_before: Time,
    /// When the connection ended, at the earliest.
    pub gone_since: Time,
    /// The gateway may have given it up.
    pub doubtful: bool,
    /// Since when, at the earliest.
    pub doubt_since: Time,
    pub clean: bool,
    /// A CONNECT with CleanSession came since the last CONNACK.
    pub wiped: bool,
    /// It was found on the disk in a new life.
    pub surely_wiped: bool,
    /// CONNECTs so far.
    pub connects: u32,
    /// CONNECTs with CleanSession so far, counting possible repetitions.
    pub epoch: u32,
    /// The same, not counting them.
    pub sure_epoch: u32,
    pub subs: BTreeMap<String, Sub>,
    pub requests: BTreeMap<u16, SubRequest>,
    /// REGISTERs of the sensor.
    pub registers: BTreeMap<u16, String>,
    /// Topic ids of this session; whether the sensor can know it.
    ids: BTreeMap<u16, (String, bool)>,
    names: BTreeMap<String, u16>,
    /// Ids of the session before, if it may still be the session.
    old_ids: BTreeMap<u16, String>,
    /// Names whose ids it was to be told by an answer that may never have left: one that waited for
    /// the disk when that failed or the life of the gateway ended. The gateway may use the id all the
    /// same; that the sensor does not know it heals that.
    pub half_told: BTreeSet<String>,
    /// REGISTER of the gateway that awaits its REGACK.
    pub offered: Option<(u16, u16, u32)>,
    /// The last one that was answered: a repetition may have waited behind a promise meanwhile.
    pub taken: Option<(u16, u16)>,
    /// Publications of the sensor by message id, with the epoch.
    pub up: BTreeMap<u16, (MsgNo, u32)>,
    pub down: BTreeMap<u16, Exchange>,
    /// When the gateway last repeated something to it.
    pub hesitated: Time,
    /// When a message for it last came from the broker.
    pub fed_at: Time,
    /// It is known which exchanges are open; a CONNECT that may be a repetition blurs that.
    pub counts_exchanges: bool,
    pub will: Option<MsgNo>,
    pub new_will: Option<MsgNo>,
    /// What entitles it to retained messages.
    pub retained_rights: Vec<Right>,
    /// Retained messages sent in this session.
    pub retained_sent: BTreeMap<MsgNo, u32>,
    /// Last message sent, by topic and QoS: its place in the order of the broker.
    pub order: BTreeMap<(String, u8), u64>,
}

impl Contract {
    /// Nothing promised yet.
    pub fn new(number: usize, rules: &Rules) -> Self {
        Self {
            number,
            client_id: String::new(),
            stack: &STANDARD,
            rules: rules.clone(),
            slow_disk: false,
            slow_link: false,
            sleep: Duration::ZERO,
            asleep_since: Time(0),
            window: (Time(0), Time(0)),
            more_pings: 0,
            slept: false,
            kept_on_wake: false,
            wake_began: Time(0),
            asked: BTreeMap::new(),
            backlog: Vec::new(),
            link: Link::Down,
            parting: None,
            owed_answer: None,
            address: None,
            previous_address: None,
            connect: None,
            heard_since_connack: false,
            keep_alive: Duration::ZERO,
            last_heard: Time(0),
            heard_before: Time(0),
            gone_since: Time(0),
            doubtful: false,
            doubt_since: Time(0),
            clean: true,
            wiped: false,
            surely_wiped: false,
            connects: 0,
            epoch: 0,
            sure_epoch: 0,
            subs: BTreeMap::new(),
            requests: BTreeMap::new(),
            registers: BTreeMap::new(),
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            old_ids: BTreeMap::new(),
            half_told: BTreeSet::new(),
            offered: None,
            taken: None,
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            hesitated: Time(0),
            fed_at: Time(0),
            counts_exchanges: true,
            will: None,
            new_will: None,
            retained_rights: Vec::new(),
            retained_sent: BTreeMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// Certainly connected and in touch.
    pub fn living(&self, now: Time) -> bool {
        self.link == Link::Up && !self.doubtful && now.since(self.last_heard) < self.keep_alive
    }

    /// Asleep or awake to collect its messages.
    pub fn sleeps(&self) -> bool {
        matches!(self.link, Link::Asleep | Link::Awake)
    }

    /// It tries to wake up; if that comes to nothing, it is still asleep.
    pub fn half_awake(&self) -> bool {
        self.slept && matches!(self.link, Link::Connecting { .. })
    }

    /// Certainly asleep or awake, and not overdue.
    pub fn dozing(&self, now: Time) -> bool {
        self.sleeps() && !self.doubtful && now.since(self.last_heard) < self.least_silence()
    }

    /// Silence after which the gateway may take it for lost.
    pub fn least_silence(&self) -> Duration {
        if self.sleeps() || self.half_awake() {
            let tolerated = self.sleep * self.rules.sleep_permille / 1_000;
            return tolerated.max(self.sleep + Duration::from_secs(1));
        }
        self.keep_alive
    }

    /// Silence after which the gateway must have taken it for lost. While it is awake the gateway
    /// tries for a while before it counts its sleep.
    pub fn most_silence(&self) -> Duration {
        if self.sleeps() || self.half_awake() {
            let tries = self.rules.retry * (u32::from(self.rules.retries) + 1);
            return self.least_silence() + tries + SLACK;
        }
        self.keep_alive * self.rules.keep_alive_permille / 1_000 + SLACK
    }

    /// Not connected, or silent for so long that the gateway must know.
    pub fn surely_gone(&self, now: Time) -> bool {
        self.link == Link::Down || now.since(self.last_heard) >= self.most_silence()
    }

    /// Certainly not here, but with a session that is kept.
    pub fn kept(&self, now: Time) -> bool {
        let persistent =
            !self.clean && !self.wiped && self.connect.as_ref().is_some_and(|c| !c.clean);
        persistent && !self.may_have_expired(now)
    }

    /// Whether a kept session may be over by now.
    pub fn may_have_expired(&self, now: Time) -> bool {
        if self.link == Link::Down {
            return now.since(self.gone_since) >= self.rules.expiry;
        }
        if self.doubtful && now.since(self.doubt_since) >= self.rules.expiry {
            return true;
        }
        now.since(self.last_heard) >= self.rules.expiry + self.least_silence()
    }

    /// Highest QoS of the subscriptions that may cover `topic`.
    pub fn may_qos(&self, topic: &str) -> Option<u8> {
        let hits = self.subs.iter().filter(|(filter, sub)| sub.may && matches(filter, topic));
        hits.map(|(_, sub)| sub.qos).max()
    }

    /// Highest QoS of the subscriptions that certainly cover a message that the broker distributed
    /// at `distributed`. With `copy_for`, only if the copy is for at least one of them.
    pub fn must_qos(
        &self,
        topic: &str,
        distributed: Time,
        copy_for: Option<&[String]>,
    ) -> Option<u8> {
        let away = self.link == Link::Down;
        let subs = self.subs.iter().filter(|(_, sub)| sub.must || (away && sub.kept));
        let subs = subs.filter(|(_, sub)| sub.since < distributed);
        let hits = subs.filter(|(filter, _)| matches(filter, topic));
        let meant = |filter: &String| copy_for.is_none_or(|names| names.contains(filter));
        let (meant, qos) = hits.fold((false, None), |(any, best), (filter, sub)| {
            (any || meant(filter), best.max(Some(sub.sure)))
        });
        qos.filter(|_| meant)
    }

    /// The subscriptions that may cover `topic`, for reports.
    pub fn covering(&self, topic: &str) -> Vec<(&String, &Sub)> {
        let covering = self.subs.iter().filter(|(filter, sub)| sub.may && matches(filter, topic));
        covering.collect()
    }

    /// Whether a copy of a message that is for these subscriptions (or for nobody knows which) is
    /// the one that this sensor gets. With several that could be it, nobody can say.
    pub fn waits_for(&self, filters: &[String], topic: &str) -> bool {
        let mut covering =
            self.subs.iter().filter(|(filter, sub)| sub.may && matches(filter, topic));
        match (covering.next(), covering.next()) {
            (Some((only, _)), None) => filters.is_empty() || filters.contains(only),
            _ => filters.is_empty(),
        }
    }

    /// Transactions of the gateway that await an answer.
    pub fn open_exchanges(&self) -> usize {
        let publishes = self.down.values().filter(|exchange| exchange.open).count();
        publishes + usize::from(self.offered.is_some())
    }

    /// Closes every exchange: the connection they belonged to is over.
    pub fn abandon_exchanges(&mut self) {
        self.offered = None;
        self.taken = None;
        for exchange in self.down.values_mut() {
            exchange.open = false;
        }
    }

    /// Topic ids begin anew; the old ones live on if that is not sure.
    pub fn forget_ids(&mut self, sure: bool) {
        let old = std::mem::take(&mut self.ids);
        self.names.clear();
        if sure {
            self.old_ids.clear();
        } else {
            // It may not be sure several times in a row.
            self.old_ids.extend(old.into_iter().map(|(id, (name, _))| (id, name)));
        }
    }

    /// The gateway ties an id to a name.
    pub fn announce(&mut self, id: u16, name: &str, known: bool) -> Verdict {
        if id == 0 || id == u16::MAX {
            return Err("a reserved topic id".into());
        }
        if let Some((other, _)) = self.ids.get(&id).filter(|(other, _)| other != name) {
            return Err(format!("topic id {id} was {other:?} and becomes {name:?}"));
        }
        if let Some(other) = self.names.get(name).filter(|other| **other != id) {
            return Err(format!("{name:?} had topic id {other} and gets {id}"));
        }
        self.names.insert(name.to_owned(), id);
        let entry = self.ids.entry(id).or_insert_with(|| (name.to_owned(), false));
        entry.1 |= known;
        if known {
            self.half_told.remove(name);
        }
        Ok(())
    }

    /// A CONNECT that goes on with the session comes while the broker is asked for subscriptions. Their
    /// SUBACKs do not leave within a will dialogue. Who takes no REGISTER can be told the ids by nothing
    /// else, so the gateway tries them.
    pub fn subacks_are_lost(&mut self) {
        if !self.stack.answers_register {
            let asked = self.requests.values().filter(|r| r.qos.is_some() && !r.answered);
            let names = asked.map(|request| &request.filter).filter(|name| !self.knows(name));
            let names: Vec<String> = names.cloned().collect();
            self.half_told.extend(names);
        }
    }

    /// Answers that wait for the disk may not leave any more.
    pub fn answers_are_lost(&mut self) {
        let asked = self.requests.values().filter(|r| r.qos.is_some() && !r.answered);
        let names = asked.map(|request| &request.filter).chain(self.registers.values());
        let names: Vec<String> = names.filter(|name| !self.knows(name)).cloned().collect();
        self.half_told.extend(names);
    }

    /// The name behind a normal id that the gateway uses in a PUBLISH.
    pub fn resolve(&self, id: u16) -> Result<String, String> {
        match (self.ids.get(&id), self.old_ids.get(&id)) {
            (Some((name, true)), _) | (None, Some(name)) => Ok(name.clone()),
            (Some((name, false)), Some(old)) if name == old => Ok(name.clone()),
            (Some((name, false)), _) => {
                Err(format!("topic id {id} ({name:?}) was not acknowledged by the sensor yet"))
            }
            (None, None) => Err(format!("topic id {id} was never announced")),
        }
    }

    /// The gateway sends REGISTER.
    /// `here`: to where it is now, and not where it was before its CONNECT.
    pub fn register_sent(
        &mut self,
        now: Time,
        (id, msg_id): (u16, u16),
        topic: &[u8],
        here: bool,
    ) -> Verdict {
        if msg_id == 0 {
            return Err("message id 0".into());
        }
        let name = std::str::from_utf8(topic).map_err(|_| "topic name is not UTF-8")?;
        if name.is_empty() || name.contains(['#', '+']) {
            return Err("REGISTER of something that is no topic name".into());
        }
        self.announce(id, name, false)?;
        // Nor does what waited when a CONNECT ended its session begin anything.
        if !here || self.wiped || self.taken == Some((msg_id, id)) {
            return Ok(());
        }
        self.half_told.remove(name);
        match &mut self.offered {
            Some((offered, _, sends)) if *offered == msg_id => *sends += 1,
            offered => {
                let replaced = offered.replace((msg_id, id, 1));
                // The id of what is in flight was disowned: the same exchange, from the start.
                if let Some(exchange) = self.down.get_mut(&msg_id) {
                    exchange.open = false;
                }
                let publishing = self.down.values().any(|exchange| exchange.open);
                let second = replaced.is_some() || publishing;
                if second && self.counts_exchanges && self.living(now) {
                    let open = self.down.iter().filter(|(_, exchange)| exchange.open);
                    let open: Vec<_> = open.collect();
                    return Err(format!("a second exchange at once, after {replaced:?}, {open:?}"));
                }
            }
        }
        self.tire(now);
        Ok(())
    }

    /// After a CONNECT the gateway must tell every id again (§6.10); who does not understand that
    /// keeps them.
    pub fn unconfirm_ids(&mut self) {
        if self.stack.answers_register {
            self.ids.values_mut().for_each(|(_, known)| *known = false);
        }
    }

    /// Whether the sensor surely knows an id for `name`.
    pub fn knows(&self, name: &str) -> bool {
        let id = self.names.get(name).and_then(|id| self.ids.get(id));
        id.is_some_and(|(_, known)| *known)
    }

    /// REGISTER was repeated as often as it may be: at QoS 0 the message may be given up.
    pub fn tired_of_register(&self) -> bool {
        let retries = u32::from(self.rules.retries);
        // After a repeated CONNECT the one before it counts as the first.
        let retries = retries.saturating_sub(u32::from(self.slow_link));
        self.offered.is_some_and(|(_, _, sends)| sends > retries)
    }

    /// The name that was told it in vain so often that at QoS 1 and 2, too, the message may be given up:
    /// the gateway says four times the usual tries, for who is heard from otherwise.
    pub fn gives_up_on(&self) -> Option<&str> {
        let tries = 4 * u32::from(self.rules.retries) + 1 - self.unseen_tries();
        let (_, id, _) = self.offered.filter(|(_, _, sends)| *sends >= tries)?;
        self.ids.get(&id).map(|(name, _)| name.as_str())
    }

    /// Topic ids that it may have.
    pub fn topics(&self) -> usize {
        self.ids.len() + self.old_ids.len()
    }

    /// REGACK arrives.
    pub fn register_answered(&mut self, id: u16, msg_id: u16, code: ReturnCode) {
        if self.offered.is_some_and(|(offered, of, _)| offered == msg_id && of == id) {
            self.offered = None;
            self.taken = Some((msg_id, id));
        }
        if code == ReturnCode::ACCEPTED
            && let Some((_, known)) = self.ids.get_mut(&id)
        {
            *known = true;
        }
    }

    /// The gateway answers a REGISTER.
    pub fn regack_sent(&mut self, id: u16, msg_id: u16, code: ReturnCode) -> Verdict {
        let name = self.registers.get(&msg_id).cloned();
        let name = name.ok_or("REGACK for a message id that the sensor never used")?;
        if code == ReturnCode::ACCEPTED { self.announce(id, &name, true) } else { Ok(()) }
    }

    /// Nothing is under way that a message would have to wait for.
    pub fn is_at_leisure(&self) -> bool {
        let asking = self.requests.values().any(|r| r.qos.is_some() && !r.answered);
        !asking && self.offered.is_none() && self.down.values().all(|exchange| !exchange.open)
    }

    /// The gateway sends it something that only goes to those that it knows: whatever doubt there
    /// was, it is gone, and so is what was in flight before. If it goes to a place that the sensor has
    /// left, its CONNECT was lost in a crash: what it says from where it is now is not heard, and it may
    /// be given up at any time.
    pub fn goes_on(&mut self, now: Time, msg_id: u16, here: bool) {
        let doubtful = self.doubtful;
        self.doubtful &= !here;
        if doubtful {
            let others = self.down.iter_mut().filter(|(other, _)| **other != msg_id);
            others.for_each(|(_, exchange)| exchange.open = false);
            self.tire(now);
        }
    }

    /// After its last retransmission the gateway may take the sensor for lost.
    pub fn tire(&mut self, now: Time) {
        let repeated = |sends: u32| sends > 1;
        if self.offered.is_some_and(|(_, _, sends)| repeated(sends))
            || self.down.values().any(|exchange| exchange.open && repeated(exchange.sends))
        {
            self.hesitated = now;
        }
        if self.sleeps() {
            // Only its window ends.
            return;
        }
        let retries = u32::from(self.rules.retries).saturating_sub(self.unseen_tries());
        let tired = |sends: u32| sends > retries;
        // By a slow link the last answer may have come when the gateway had just given the sensor up: it
        // goes on with the exchange after the next CONNECT.
        let counts = |it: &Exchange| it.open || (self.slow_link && (it.acked || it.released));
        if self.offered.is_some_and(|(_, _, sends)| tired(sends))
            || self.down.values().any(|exchange| counts(exchange) && tired(exchange.sends))
        {
            self.doubt(self.last_heard);
        }
    }

    /// The last try may be waiting for a slow disk, or was made before a CONNECT that is repeated.
    fn unseen_tries(&self) -> u32 {
        u32::from(self.slow_disk || self.slow_link)
    }

    /// The gateway may have given it up at `since` or later.
    pub fn doubt(&mut self, since: Time) {
        if !std::mem::replace(&mut self.doubtful, true) {
            self.doubt_since = since;
        }
    }
}
