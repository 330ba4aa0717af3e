//! The world: gateway, radio, sensors, broker and everybody else, in one thread and in simulated
//! time. Something happens, the gateway is stepped, the judge looks.

use bytes::BytesMut;
use mqtt_sn_gateway::codec::{Message, ReturnCode, decode as decode_datagram};
use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::core::{ClientRule, Effect, LinkSettings, Pacing, Profile, Settings, Signal};
use mqtt_sn_gateway::engine::Engine;
use mqtt_sn_gateway::time::Time;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::disk::DiskPlan;
use crate::ledger::{Ledger, Origin};
use crate::liars::Liar;
use crate::machine::Machine;
use crate::network::Network;
use crate::oracle::{Oracle, Verdict};
use crate::places::{self, Place};
use crate::plan::{Plan, Weather};
use crate::rng::Rng;
use crate::sensor::{Doing, Io, Report, Sensor};
use crate::slow::{Key, Lines, SlowPlan};
use crate::stacks::FIELD;
use crate::tamper::{Datagram, Tamper};
use crate::tcp::{Item, Pipe};
use crate::topics;
use crate::trace::{Trace, show, show_packet};
use crate::wire::{Level, Packet, decode};

/// Steps on one millisecond after which the gateway counts as spinning.
const SPIN: u32 = 2_000;

/// An address that somebody left is free again after this many milliseconds: nothing of its former
/// owner is still on the air.
const QUARANTINE: u64 = 10_000;

/// What can happen.
pub(crate) enum Event {
    /// From a sensor, or from a liar.
    ToGateway {
        origin: Option<usize>,
        from: Place,
        bytes: Vec<u8>,
    },
    ToSensor {
        to: Place,
        sent_at: Time,
        bytes: Vec<u8>,
    },
    Wake(usize),
    Act(usize),
    Lie(usize),
    Outside,
    Pipes,
    Open,
    Trouble,
    /// A commit reaches the disk, in which life of the gateway, and how long the rest takes.
    Write {
        life: u32,
        after: u64,
    },
    Written {
        life: u32,
    },
    Crash,
    Restart,
    Ailment,
    /// A slow link has sent a packet, or goes on.
    Line {
        key: Key,
        life: u32,
    },
    /// A device loses its connection.
    Parted {
        key: Key,
        life: u32,
    },
    /// It may have one again.
    Back {
        key: Key,
    },
}

/// The connection to the broker.
pub(crate) struct Tcp {
    pub open: bool,
    pub to_broker: Pipe,
    pub to_gateway: Pipe,
    pub stalled_until: Time,
    /// When a stall ended last; a keep-alive may run out because of one.
    pub last_trouble: Time,
    /// What the gateway said in its CONNECT.
    pub level: Level,
    pub clean: bool,
    pub said: Vec<u8>,
    pub heard: Vec<u8>,
    pub input: BytesMut,
}

/// A world.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) clock: Clock<Event>,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    /// The gateway; between two lives what is left of the one before.
    pub(crate) engine: Engine,
    pub(crate) machine: Machine,
    pub(crate) tamper: Box<dyn Tamper>,
    pub(crate) network: Network,
    /// What waits to be sent, where links are slow.
    pub(crate) lines: Option<Lines>,
    pub(crate) broker: Broker,
    pub(crate) tcp: Tcp,
    pub(crate) sensors: Vec<Sensor>,
    liars: Vec<Liar>,
    /// Places that were left, and since when.
    vacant: Vec<(Time, Place)>,
    pub(crate) oracle: Oracle,
    /// Faults and doings go on.
    pub(crate) lively: bool,
    pub(crate) spin: (Time, u32),
    /// Steps of the gateway.
    pub steps: u64,
}

/// The gateway's settings in this world.
pub(crate) fn settings(plan: &Plan) -> Settings {
    let rules = &plan.rules;
    let link = |number: usize| LinkSettings {
        name: format!("link-{number}").into(),
        pacing: plan.slow.as_ref().map_or(Pacing::Never, |slow| slow.pacing[number]),
        ..LinkSettings::default()
    };
    let profiles = FIELD.iter().filter_map(|stack| {
        let profile = Profile::named(stack.profile)?;
        Some(ClientRule {
            id: format!("{}-*", stack.prefix).into(),
            profile,
            ..ClientRule::default()
        })
    });
    Settings {
        topic_prefix: plan.topic_prefix.into(),
        predefined: topics::PREDEFINED.iter().map(|(id, name)| (*id, (*name).into())).collect(),
        links: (0..places::LINKS).map(link).collect(),
        retry_interval: rules.retry,
        retry_count: rules.retries,
        keep_alive_tolerance_permille: rules.keep_alive_permille,
        sleep_tolerance_permille: rules.sleep_permille,
        takeover: rules.takeover,
        keep_session_on_wake: rules.keep_on_wake,
        queue_qos0_messages: rules.queue_qos0,
        rules: profiles.collect(),
        max_buffered_messages: rules.most_messages,
        max_buffered_bytes: rules.most_bytes,
        max_buffered_bytes_total: rules.most_bytes_total,
        session_expiry: rules.expiry,
        durable: plan.disk.durable,
        ..Settings::default()
    }
}

impl World {
    /// The world of `seed`.
    pub fn new(seed: u64, weather: Weather, tamper: Box<dyn Tamper>) -> Self {
        let mut rng = Rng::new(seed);
        let mut plan = Plan::draw(&mut rng, weather);
        // What is drawn for the disk changes nothing else in the world of a seed.
        let mut hidden = Rng::new(!seed);
        plan.disk = DiskPlan::draw(&mut hidden, weather, plan.duration);
        plan.slow = SlowPlan::draw(&mut hidden, weather);
        plan.tells = Rng::new(seed.rotate_left(7)).chance(500);
        Self::of(plan, rng, hidden, tamper)
    }

    /// The world of a plan.
    pub(crate) fn of(plan: Plan, mut rng: Rng, hidden: Rng, tamper: Box<dyn Tamper>) -> Self {
        let clock = Clock::new(rng.fork());
        let (machine, engine) = Machine::new(&plan, hidden, clock.now());
        rng.next();
        if tamper.lies_about_syncs() {
            machine.disk.lie();
        }
        let mut world = Self {
            engine,
            machine,
            network: Network::new(plan.radio.clone(), rng.fork()),
            lines: plan.slow.clone().map(|slow| Lines::new(slow, rng.clone().fork())),
            broker: Broker::new(plan.broker.clone(), rng.fork()),
            tcp: Tcp {
                open: false,
                to_broker: Pipe::default(),
                to_gateway: Pipe::default(),
                stalled_until: Time(0),
                last_trouble: Time(0),
                level: plan.broker.level,
                clean: true,
                said: Vec::new(),
                heard: Vec::new(),
                input: BytesMut::new(),
            },
            sensors: Vec::new(),
            liars: Vec::new(),
            vacant: Vec::new(),
            oracle: Oracle::new(&plan),
            trace: Trace::new(std::env::var_os("SIM_SEED").is_some()),
            tamper,
            lively: true,
            spin: (Time(0), 0),
            steps: 0,
            clock,
            rng,
            plan,
        };
        world.populate();
        world
    }

    fn populate(&mut self) {
        for number in 0..self.plan.sensors {
            let start = Time(self.clock.now().0 + self.rng.between(2_000, 8_000));
            let sensor = Sensor::new(number, start, &self.plan, &mut self.rng);
            self.oracle.introduce(number, &sensor.client_id());
            self.clock.at(start, Event::Wake(number));
            let first = start.0 + self.rng.below(self.plan.pace);
            self.clock.at(Time(first), Event::Act(number));
            self.sensors.push(sensor);
        }
        self.clock.after(self.rng.between(0, 500), Event::Open);
        self.clock.after(5_000, Event::Outside);
        if self.plan.broker.trouble_every > 0 {
            self.clock.after(self.plan.broker.trouble_every, Event::Trouble);
        }
        for number in 0..self.plan.people.liars {
            self.liars.push(Liar::new(number, self.rng.fork()));
            self.clock.after(3_000, Event::Lie(number));
        }
        self.plan_machine();
        let plan = &self.plan;
        self.trace.line(self.clock.now(), || format!("{plan:?}"));
    }

    /// The present in seconds, for reports.
    pub fn now(&self) -> f64 {
        self.clock.now().0 as f64 / 1_000.0
    }

    /// The last lines of the trace.
    pub fn tail(&self) -> String {
        self.trace.tail()
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// At the first broken promise.
    pub fn run_for(&mut self, ms: u64) -> Verdict {
        let end = Time(self.clock.now().0 + ms);
        loop {
            let event_at = self.clock.next_at().filter(|at| *at <= end);
            let timer = self.engine.next_timeout().filter(|at| *at <= end && self.machine.alive);
            match (event_at, timer) {
                (None, None) => break,
                (event, Some(timer)) if event.is_none_or(|event| timer <= event) => {
                    self.clock.advance(timer);
                    self.timer()?;
                    self.tell_room()?;
                }
                _ => {
                    if let Some(event) = self.clock.pop(end) {
                        self.happens(event)?;
                        self.tell_room()?;
                    }
                }
            }
        }
        self.clock.advance(end);
        Ok(())
    }

    fn timer(&mut self) -> Verdict {
        let now = self.clock.now();
        if self.spin.0 == now {
            self.spin.1 += 1;
            if self.spin.1 > SPIN {
                return Err("the gateway's timers spin".into());
            }
        } else {
            self.spin = (now, 0);
        }
        self.engine.timeout(now);
        if let Some((_, error)) = self.engine.take_ended() {
            self.gave_up(&error.to_string())?;
        }
        self.drain(None)
    }

    fn happens(&mut self, event: Event) -> Verdict {
        let now = self.clock.now();
        match event {
            Event::ToGateway { origin, from, bytes } => self.datagram_arrives(origin, from, &bytes),
            Event::ToSensor { to, sent_at, bytes } => {
                let Some(sensor) = self.sensors.iter().position(|one| one.address() == to) else {
                    return Ok(());
                };
                self.trace.line(now, || format!("      ▸ s{sensor} {}", show(&bytes)));
                self.with_sensor(sensor, |one, io| one.receive(io, sent_at, &bytes))
            }
            Event::Wake(sensor) => {
                if self.sensors[sensor].next_wake() > now {
                    return Ok(());
                }
                self.with_sensor(sensor, |one, io| one.wake(io))
            }
            Event::Act(sensor) if self.lively => {
                let pause = self.rng.between(1, 2 * self.plan.pace);
                self.clock.after(pause, Event::Act(sensor));
                let doing = self.sensors[sensor].draw(self.plan.comings_and_goings);
                self.do_it(sensor, doing)
            }
            Event::Outside if self.lively => {
                self.clock.after(self.rng.between(1, 2 * self.plan.pace), Event::Outside);
                let topic = topics::publishable(&mut self.rng, self.plan.sensors);
                let (qos, retain) = (self.rng.below(3) as u8, self.rng.chance(150));
                self.outside(topic, qos, retain)
            }
            Event::Pipes => self.pipes(),
            Event::Open => self.open(),
            Event::Trouble if self.lively => self.trouble(),
            Event::Lie(liar) if self.lively => self.lie(liar),
            Event::Write { life, after } => self.write_commit(life, after),
            Event::Written { life } => self.commit_written(life),
            Event::Crash if self.lively => self.crash_due(),
            Event::Line { key, life } => {
                self.line_moves(key, life);
                Ok(())
            }
            Event::Parted { key, life } if self.lively => {
                self.parted(key, life);
                Ok(())
            }
            Event::Back { key } => {
                self.back(key);
                Ok(())
            }
            Event::Restart => self.restart(),
            Event::Ailment if self.lively => {
                self.ailment();
                Ok(())
            }
            Event::Act(_) | Event::Outside | Event::Trouble | Event::Lie(_) => Ok(()),
            Event::Crash | Event::Ailment | Event::Parted { .. } => Ok(()),
        }
    }

    pub(crate) fn do_it(&mut self, sensor: usize, doing: Doing) -> Verdict {
        let sensors = self.plan.sensors;
        if matches!(doing, Doing::Goodbye | Doing::Reboot | Doing::Outage | Doing::Sleep) {
            self.trace.line(self.clock.now(), || format!("s{sensor} {doing:?}"));
        }
        self.with_sensor(sensor, |one, io| one.act(io, doing, sensors))
    }

    /// Some other client of the broker publishes.
    pub(crate) fn outside(&mut self, topic: topics::Topic, qos: u8, retain: bool) -> Verdict {
        let now = self.clock.now();
        let name = format!("{}{}", self.plan.topic_prefix, topic.name);
        let filler = self.rng.between(1, 30) as usize;
        let message = self.oracle.ledger.create(Origin::Outside, topic, qos as i8, retain, filler);
        let payload = self.oracle.ledger.get(message).payload.clone();
        self.trace
            .line(now, || format!("outside publishes {message} on {name:?} q{qos} r{retain}"));
        self.oracle.distributed(now, message);
        self.broker.publish(&name, &payload, qos, retain);
        self.flush_broker();
        Ok(())
    }

    /// A hostile peer says something.
    fn lie(&mut self, liar: usize) -> Verdict {
        self.clock.after(self.rng.between(100, self.plan.pace), Event::Lie(liar));
        let now = self.clock.now();
        let ids: Vec<String> = self.sensors.iter().map(Sensor::client_id).collect();
        let active: Vec<String> = self
            .sensors
            .iter()
            .filter(|one| self.oracle.is_active(now, one.number))
            .map(Sensor::client_id)
            .collect();
        let never = self.plan.rules.takeover == mqtt_sn_gateway::core::Takeover::Never;
        let one = &mut self.liars[liar];
        let (from, bytes) = (one.place(), one.says(&ids, &active, never));
        self.datagram_arrives(None, from, &bytes)
    }

    /// A datagram reaches the gateway.
    fn datagram_arrives(&mut self, origin: Option<usize>, from: Place, bytes: &[u8]) -> Verdict {
        let now = self.clock.now();
        self.trace.line(now, || match origin {
            Some(sensor) => format!("s{sensor} {from:?} ▸ gateway {}", show(bytes)),
            None => format!("liar {from:?} ▸ gateway {}", show(bytes)),
        });
        if !self.machine.alive {
            self.trace.line(now, || "      nobody is there".into());
            return Ok(());
        }
        if !self.has_connection(from)? {
            self.trace.line(now, || "      without a connection".into());
            return Ok(());
        }
        let mut forged = Vec::new();
        if self.tamper.incoming(from, bytes, &mut forged) {
            let replaced = self.tamper.replaced(from, bytes);
            self.reach_gateway(from, replaced.as_deref().unwrap_or(bytes));
        }
        let refused = self.refuses(from);
        self.oracle.arrives(now, origin, from, bytes, refused)?;
        for (sensor, filter) in std::mem::take(&mut self.oracle.new_subscriptions) {
            self.owe_retained(sensor, &filter);
        }
        self.drain(origin)?;
        self.emit(forged, None)?;
        for (from, bytes) in self.tamper.injected() {
            self.reach_gateway(from, &bytes);
            self.drain(None)?;
        }
        self.oracle.step_ends(now)
    }

    fn reach_gateway(&mut self, from: Place, bytes: &[u8]) {
        let (link, address, wrapped) = places::to_gateway(from, bytes);
        self.engine.datagram(self.clock.now(), link, &address, Signal::default(), &wrapped);
    }

    /// Whether the gateway is about to refuse somebody's CONNECT.
    fn refuses(&self, place: Place) -> bool {
        let effects = self.engine.outgoing();
        effects.items().iter().any(|effect| {
            let Effect::Send { link, to, bytes, .. } = effect else { return false };
            let Ok((to, bytes)) = places::from_gateway(*link, to, effects.bytes(*bytes)) else {
                return false;
            };
            let message = decode_datagram(&bytes).map(|packet| packet.message);
            let refusal = |code: ReturnCode| code != ReturnCode::ACCEPTED;
            to == place && matches!(message, Ok(Message::ConnAck { code }) if refusal(code))
        })
    }

    /// On good days a new subscriber is owed what the broker retains.
    fn owe_retained(&mut self, sensor: usize, filter: &str) {
        let faultless = self.oracle.is_strict() || !self.lively;
        // Where little may wait, the oldest at QoS 0 give way.
        let narrow = self.plan.rules.is_narrow();
        if !faultless || narrow || filter.starts_with(topics::FORBIDDEN) {
            return;
        }
        let wire = format!("{}{filter}", self.plan.topic_prefix);
        for (_, retained) in self.broker.retained(&wire) {
            if let Some(message) = self.oracle.ledger.identify(&retained.payload) {
                self.oracle.retained_for(sensor, filter, message);
            }
        }
    }

    /// Calls a sensor, carries its datagrams, tells the judge.
    pub(crate) fn with_sensor(
        &mut self,
        sensor: usize,
        call: impl FnOnce(&mut Sensor, &mut Io<'_>),
    ) -> Verdict {
        let now = self.clock.now();
        let ledger: &mut Ledger = &mut self.oracle.ledger;
        let free = |(left, _): &&(Time, Place)| left.0 + QUARANTINE < now.0;
        let offer = self.vacant.iter().find(free).map(|(_, place)| *place);
        let offer = offer.filter(|_| self.plan.people.reuse);
        let (frames, reports) = (Vec::new(), Vec::new());
        let mut io = Io { now, ledger, frames, reports, offer, left: None };
        let one = &mut self.sensors[sensor];
        call(one, &mut io);
        let (frames, reports): (Vec<Vec<u8>>, Vec<Report>) = (io.frames, io.reports);
        if let Some(left) = io.left {
            self.vacant.retain(|(_, place)| Some(*place) != offer || io.offer.is_some());
            self.vacant.push((now, left));
            let place = one.address();
            self.trace.line(now, || format!("s{sensor} moves from {left:?} to {place:?}"));
        }
        let from = one.address();
        let wake = one.next_wake();
        if wake < Time(u64::MAX) {
            self.clock.at(wake.max(Time(now.0 + 1)), Event::Wake(sensor));
        }
        for frame in frames {
            for arrival in self.network.carry(&frame) {
                let bytes = arrival.bytes;
                let origin = Some(sensor);
                self.clock.after(arrival.delay, Event::ToGateway { origin, from, bytes });
            }
        }
        for report in reports {
            self.oracle.reports(sensor, report)?;
        }
        Ok(())
    }

    /// Takes what the gateway wants to send. `cause` is the sensor whose datagram it got.
    pub(crate) fn drain(&mut self, cause: Option<usize>) -> Verdict {
        self.steps += 1;
        let mut datagrams: Vec<Datagram> = Vec::new();
        let effects = self.engine.outgoing();
        for effect in effects.items() {
            if let Effect::Send { link, to, bytes, .. } = effect {
                let (place, bytes) = places::from_gateway(*link, to, effects.bytes(*bytes))?;
                if usize::from(place[0]) >= self.sensors.len() && !places::is_liar(place) {
                    return Err(format!("a datagram for {to:?}, which nobody has"));
                }
                datagrams.push((place, bytes));
            }
        }
        self.engine.clear();
        self.tamper.outgoing(&mut datagrams);
        self.emit(datagrams, cause)?;
        self.take_output()?;
        self.take_commit();
        Ok(())
    }

    fn emit(&mut self, datagrams: Vec<Datagram>, cause: Option<usize>) -> Verdict {
        let now = self.clock.now();
        let mut replies = 0;
        for (to, bytes) in &datagrams {
            let sensor = self.sensors.iter().position(|one| one.address() == *to);
            self.trace.line(now, || match sensor {
                Some(sensor) => format!("gateway ▸ s{sensor} {to:?} {}", show(bytes)),
                None => format!("gateway ▸ {to:?} {}", show(bytes)),
            });
        }
        for (to, bytes) in datagrams {
            self.oracle.sends(now, to, &bytes)?;
            let publish = bytes.get(if bytes[0] == 1 { 3 } else { 1 }) == Some(&0x0C);
            if let (Some(cause), false) = (cause, publish) {
                replies += 1;
                if replies > 3 {
                    return Err(format!("{replies} replies to one datagram of sensor {cause}"));
                }
            }
            self.send_on(to, bytes)?;
        }
        Ok(())
    }

    /// A datagram of the gateway is on the air.
    pub(crate) fn carry(&mut self, to: Place, bytes: &[u8], sent_at: Time) {
        for arrival in self.network.carry(bytes) {
            let bytes = arrival.bytes;
            self.clock.after(arrival.delay, Event::ToSensor { to, sent_at, bytes });
        }
    }

    /// Octets for the broker: the judge reads along.
    fn take_output(&mut self) -> Verdict {
        let now = self.clock.now();
        let Some(output) = self.engine.broker_output(LineId::MAIN) else { return Ok(()) };
        if output.is_empty() {
            return Ok(());
        }
        let bytes = output.split().to_vec();
        if !self.tcp.open {
            return Ok(());
        }
        self.tcp.said.extend_from_slice(&bytes);
        while let Some(packet) = decode(&mut self.tcp.said, self.tcp.level)? {
            self.trace.line(now, || format!("gateway ▸ broker {}", show_packet(&packet)));
            if let Packet::Connect(connect) = &packet {
                self.tcp.level = connect.level;
                self.tcp.clean = connect.clean;
            }
            let verdict = self.oracle.packet_up(now, &packet);
            verdict.map_err(|error| format!("to the broker: {error}: {packet:?}"))?;
        }
        let latency = self.latency();
        let at = self.tcp.to_broker.push(now, latency, Item::Bytes(bytes));
        self.clock.at(at, Event::Pipes);
        Ok(())
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let (low, high) = self.plan.broker.latency;
        self.rng.between(low, high)
    }
}
