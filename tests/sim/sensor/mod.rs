//! A model of a device with a correct MQTT-SN 1.2 client, written from the specification. Its
//! habits, drawn from the seed, are those of client stacks in the field.

mod receive;
mod requests;
mod script;
mod sleep;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqtt_sn_gateway::codec::Message;
use mqtt_sn_gateway::time::Time;

use crate::ledger::{Ledger, MsgNo};
use crate::places::{Place, generation};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::stacks::{FIELD, STANDARD, Stack};
use crate::topics::Topic;

pub use requests::{Pending, Request, Work, bytes};
pub use script::{Doing, Order};

/// What kind of client it is.
#[derive(Clone, Debug)]
pub struct Habits {
    /// CleanSession in every CONNECT; otherwise only after a reboot.
    pub clean: bool,
    pub will: bool,
    /// QoS 1 and 2 publications at once; the specification allows one.
    pub pipeline: usize,
    /// Sets DUP on a retransmission; some stacks do not.
    pub sets_dup: bool,
    /// Seconds.
    pub keep_alive: u16,
    pub retry: Duration,
    /// N_retry.
    pub retries: u8,
    /// A reboot gives it another address.
    pub wanders: bool,
    /// Message ids begin at 1 after a reboot, not at random.
    pub counts_from_one: bool,
    /// The stack it is built on.
    pub stack: &'static Stack,
    /// Sleeps between times (MQTT-SN 1.2 §6.14).
    pub sleeps: bool,
    /// PINGREQ from sleep carries the client id.
    pub pings_by_name: bool,
    /// Goes to sleep with requests unanswered.
    pub rude: bool,
    /// Its address changes while it sleeps or is away.
    pub roams: bool,
    pub forwarded: bool,
    pub two_links: bool,
}

impl Habits {
    /// One of the many kinds.
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            clean: rng.chance(650),
            will: rng.chance(400),
            pipeline: rng.pick(&[1, 1, 1, 4]),
            sets_dup: rng.chance(700),
            keep_alive: rng.between(30, 90) as u16,
            retry: Duration::from_secs(rng.between(8, 15)),
            retries: rng.between(3, 5) as u8,
            wanders: rng.chance(300),
            counts_from_one: rng.chance(500),
            stack: &STANDARD,
            sleeps: false,
            pings_by_name: true,
            rude: false,
            roams: false,
            forwarded: false,
            two_links: false,
        }
    }

    /// The rest, in worlds that have more kinds.
    fn settle(&mut self, plan: &Plan, rng: &mut Rng) {
        let people = &plan.people;
        self.sleeps = rng.chance(people.sleepers);
        self.pings_by_name = rng.chance(800);
        self.rude = rng.chance(200);
        self.roams = rng.chance(people.roamers);
        self.forwarded = rng.chance(people.forwarded);
        self.two_links = rng.chance(people.two_links);
        if plan.weather.is_roaming() {
            self.wanders &= plan.may_move(self.clean);
            self.roams &= plan.may_move(self.clean);
            self.two_links &= plan.may_move(self.clean);
        }
        if rng.chance(people.stacks) {
            let stack = &FIELD[rng.below(FIELD.len() as u64) as usize];
            self.stack = stack;
            self.pipeline = stack.pipeline;
            self.sets_dup = stack.sets_dup;
            self.keep_alive = stack.keep_alive;
            self.retry = Duration::from_secs(stack.retry);
            self.retries = stack.retries;
            self.sleeps &= stack.sleeps;
            self.roams |= stack.moves_after_sleep && self.sleeps && plan.may_move(self.clean);
        }
        // Only its id says who it is when it comes from elsewhere.
        self.pings_by_name |= self.roams;
    }
}

/// Where it is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Silent, deaf; connects at that time.
    Off { until: Time },
    /// CONNECT or the will dialogue is under way.
    Connecting,
    /// Connected, as far as it knows.
    Online,
    /// Asleep, deaf; does something at that time.
    Asleep { until: Time },
    /// Awake between PINGREQ and PINGRESP.
    Napping,
    /// Asleep, but has something to say and waits for the answers.
    Murmuring,
}

/// What happened to it that the oracle wants to know.
#[derive(Clone, Debug)]
pub enum Report {
    /// The application got a message.
    Received { payload: Vec<u8>, topic: String, qos: u8, life: u32 },
    /// The gateway promised that this publication is safe.
    Acknowledged { message: MsgNo },
}

/// What a call to the sensor needs and leaves behind.
pub struct Io<'a> {
    pub now: Time,
    pub ledger: &'a mut Ledger,
    /// Datagrams for the gateway.
    pub frames: Vec<Vec<u8>>,
    /// A place that somebody left and that is free again, if it moves now.
    pub offer: Option<Place>,
    /// A place that it left.
    pub left: Option<Place>,
    pub reports: Vec<Report>,
}

/// T_WAIT of these sensors; the specification says five minutes, which only makes runs longer.
pub const T_WAIT: Duration = Duration::from_secs(20);

/// A device.
pub struct Sensor {
    pub number: usize,
    pub habits: Habits,
    pub phase: Phase,
    /// Where it is.
    pub place: Place,
    moves: u8,
    client_id: String,
    /// Subscriptions that it wants to have.
    pub wanted: Vec<(Topic, u8)>,
    todo: VecDeque<Work>,
    pending: Vec<Pending>,
    /// Publications of a persistent session that the last connection did not finish.
    suspended: Vec<Pending>,
    /// Topic ids as the gateway told them.
    ids: BTreeMap<String, u16>,
    names: BTreeMap<u16, String>,
    /// QoS 2 receptions that await PUBREL.
    receiving: BTreeMap<u16, ()>,
    /// When a QoS 2 message id was last released; older copies are the radio's echo.
    released: BTreeMap<u16, Time>,
    last_id: u16,
    /// No requests before this (congestion).
    hold: Time,
    last_sent: Time,
    last_ping: Time,
    connect_began: Time,
    /// Count of sessions begun clean, for "exactly once".
    life: u32,
    fresh: bool,
    rebooted: bool,
    last_connect_clean: bool,
    will: Option<MsgNo>,
    sleep: sleep::Sleep,
    rng: Rng,
}

impl Sensor {
    /// A device that wakes up at `until`.
    pub fn new(number: usize, until: Time, plan: &Plan, rng: &mut Rng) -> Self {
        let mut habits = Habits::draw(rng);
        let last_id = rng.next() as u16;
        let mut rng = rng.fork();
        if !plan.weather.is_plain() {
            habits.settle(plan, &mut rng);
        }
        let last_id = habits.stack.first_id.map_or(last_id, |first| first - 1);
        let home = generation(0, false, habits.forwarded);
        Self {
            number,
            phase: Phase::Off { until },
            place: [number as u8, home],
            moves: 0,
            client_id: format!("{}-{number}", habits.stack.prefix),
            sleep: sleep::Sleep::new(plan),
            habits,
            wanted: Vec::new(),
            todo: VecDeque::new(),
            pending: Vec::new(),
            suspended: Vec::new(),
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            receiving: BTreeMap::new(),
            released: BTreeMap::new(),
            last_id,
            hold: Time(0),
            last_sent: Time(0),
            last_ping: Time(0),
            connect_began: Time(0),
            life: 0,
            fresh: true,
            rebooted: true,
            last_connect_clean: true,
            will: None,
            rng,
        }
    }

    /// Its address.
    pub fn address(&self) -> Place {
        self.place
    }

    /// Its client id.
    pub fn client_id(&self) -> String {
        self.client_id.clone()
    }

    /// It gets another address: a new one of its own, or one that somebody left.
    fn move_on(&mut self, io: &mut Io<'_>) {
        self.moves = self.moves.wrapping_add(1);
        let second = self.habits.two_links && self.moves % 2 == 1;
        let own = [self.number as u8, generation(self.moves, second, self.habits.forwarded)];
        let plain = !self.habits.forwarded && !self.habits.two_links;
        let place = io.offer.take().filter(|_| plain).unwrap_or(own);
        io.left = Some(std::mem::replace(&mut self.place, place));
    }

    /// The receiver is on and there is a session.
    fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Online | Phase::Napping | Phase::Murmuring)
    }

    /// Nothing left to do, and connected or asleep.
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Online | Phase::Asleep { .. } | Phase::Napping)
            && self.todo.is_empty()
            && self.pending.iter().all(|p| matches!(p.request, Request::Ping | Request::Nap))
            && self.suspended.is_empty()
    }

    /// One line about what keeps it busy.
    pub fn describe(&self) -> String {
        format!(
            "sensor {} {:?}, to do {:?}, pending {:?}, suspended {:?}",
            self.number, self.phase, self.todo, self.pending, self.suspended
        )
    }

    /// When it wants to be woken.
    pub fn next_wake(&self) -> Time {
        match self.phase {
            Phase::Off { until } | Phase::Asleep { until } => return until,
            _ => {}
        }
        let online = self.phase == Phase::Online || self.phase == Phase::Connecting;
        let mut wake = if online { self.ping_due() } else { Time(u64::MAX) };
        if !self.todo.is_empty() && self.hold > self.last_sent {
            wake = wake.min(self.hold);
        }
        self.pending.iter().fold(wake, |wake, pending| wake.min(pending.due))
    }

    fn ping_due(&self) -> Time {
        let stack = self.habits.stack;
        let interval = Duration::from_secs(self.habits.keep_alive.into());
        let interval = if stack.pings_late { interval } else { interval * 3 / 4 };
        let last = if stack.pings_regardless { self.last_ping } else { self.last_sent };
        last.after(interval)
    }

    /// Time has come: connect, retransmit, ping, go on with the work.
    pub fn wake(&mut self, io: &mut Io<'_>) {
        match self.phase {
            Phase::Off { until } if until <= io.now => self.connect(io),
            Phase::Asleep { until } if until <= io.now => return self.rouse(io),
            Phase::Off { .. } | Phase::Asleep { .. } => return,
            _ => {}
        }
        self.retransmit(io);
        if self.phase == Phase::Online {
            let pinging = self.pending.iter().any(|p| matches!(p.request, Request::Ping));
            if self.ping_due() <= io.now && !pinging {
                self.last_ping = io.now;
                self.start(io, Request::Ping, 0, &Message::PingReq { client_id: &[] });
            }
            self.pump(io);
        }
    }

    /// Begins a connection.
    fn connect(&mut self, io: &mut Io<'_>) {
        let clean = self.habits.clean || self.rebooted;
        let kept = self.sleep.wakes(io.now) && clean == self.last_connect_clean;
        self.fresh = (clean || self.last_connect_clean) && !kept;
        self.sleep.over();
        if self.fresh {
            self.ids.clear();
            self.names.clear();
            self.receiving.clear();
            self.life += 1;
            self.give_up_suspended();
        }
        self.last_connect_clean = clean;
        self.rebooted = false;
        self.phase = Phase::Connecting;
        self.connect_began = io.now;
        self.will = None;
        if self.habits.will {
            self.will = Some(self.draw_will(io));
        }
        let id = self.client_id();
        let connect = Message::Connect(mqtt_sn_gateway::codec::Connect {
            will: self.will.is_some(),
            clean_session: clean,
            protocol_id: 1,
            duration: self.habits.keep_alive,
            client_id: id.as_bytes(),
        });
        self.start(io, Request::Connect, 0, &connect);
    }

    /// The session that these belonged to is over: at QoS 1 they are sent anew, at QoS 2 a second
    /// attempt could be a second message.
    fn give_up_suspended(&mut self) {
        for pending in std::mem::take(&mut self.suspended).into_iter().rev() {
            if let Request::Publish { message, qos: 1 } = pending.request {
                self.todo.push_front(Work::Publish(message));
            }
        }
    }

    /// CONNACK said yes.
    fn connected(&mut self, io: &mut Io<'_>) {
        self.phase = Phase::Online;
        self.last_ping = io.now;
        self.pending.clear();
        if self.fresh {
            for (topic, qos) in self.wanted.clone().into_iter().rev() {
                self.todo.push_front(Work::Subscribe(topic, qos));
            }
        }
        let suspended = std::mem::take(&mut self.suspended);
        for mut pending in suspended {
            pending.left = self.habits.retries;
            self.send_again(io, &mut pending);
            self.pending.push(pending);
        }
        self.pump(io);
    }

    /// The connection is over, without a word to the gateway; connects again after `pause`.
    fn lose(&mut self, now: Time, pause: Duration) {
        self.phase = Phase::Off { until: now.after(pause) };
        self.sleep.over();
        let persistent = !self.habits.clean && !self.last_connect_clean;
        for pending in std::mem::take(&mut self.pending).into_iter().rev() {
            match pending.request {
                // A persistent session goes on where it was (MQTT 3.1.1 §4.4).
                Request::Publish { .. } | Request::Release { .. } if persistent => {
                    self.suspended.insert(0, pending);
                }
                // At QoS 2 a second attempt could be a second message: whether the first came
                // through is unknown, so it is given up.
                Request::Publish { message, qos: 1 } => {
                    self.todo.push_front(Work::Publish(message));
                }
                Request::Subscribe(topic, qos) if persistent => {
                    self.todo.push_front(Work::Subscribe(topic, qos));
                }
                Request::Unsubscribe(topic) if persistent => {
                    self.todo.push_front(Work::Unsubscribe(topic));
                }
                Request::Unsubscribe(topic) => self.wanted.retain(|(other, _)| *other != topic),
                _ => {}
            }
        }
        self.todo.retain(|work| !matches!(work, Work::Goodbye | Work::Sleep(_)));
        if !persistent {
            // They are all made again once connected.
            self.todo.retain(|work| !matches!(work, Work::Subscribe(..)));
        }
    }

    /// Power cycle: what was in memory is gone, only the wish list is in flash.
    fn reboot(&mut self, io: &mut Io<'_>, pause: Duration) {
        self.phase = Phase::Off { until: io.now.after(pause) };
        self.sleep.over();
        self.rebooted = true;
        self.todo.clear();
        self.pending.clear();
        self.suspended.clear();
        self.released.clear();
        self.hold = Time(0);
        if self.habits.counts_from_one {
            self.last_id = 0;
        }
        if let Some(first) = self.habits.stack.first_id {
            self.last_id = first - 1;
        }
        if self.habits.wanders || self.habits.roams {
            self.move_on(io);
        }
    }
}
