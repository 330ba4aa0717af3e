//! Slow links: what the gateway sends waits in a line until the radio has time for it. The gateway is
//! told how much room there is for messages, in steps, and is not to send one without. Where each device
//! has a connection of its own, each has such a line (`devices.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqtt_sn_gateway::core::{Address, DeviceRoom, LinkId, Pacing};
use mqtt_sn_gateway::time::Time;

use crate::oracle::Verdict;
use crate::places::{self, LINKS, Place};
use crate::plan::Weather;
use crate::rng::Rng;
use crate::world::{Event, World};

/// How slow links are.
#[derive(Clone, Debug)]
pub struct SlowPlan {
    /// Who says what there is room for.
    pub pacing: [Pacing; LINKS],
    /// Octets in a second.
    rate: u64,
    /// Octets of messages that may wait.
    most: u64,
    /// Room is told in steps of so many octets.
    step: u64,
    /// Permille of packets after which the radio stands still for some seconds, and of those the ones
    /// where it is gone, for so many milliseconds at most.
    stalls: u64,
    absences: u64,
    pub absence: u64,
    /// A device keeps its connection for so many milliseconds at most.
    pub stay: u64,
}

/// A radio that stands still does so for so many milliseconds at most.
const STALL: u64 = 8_000;
/// Octets of answers that may wait; more are lost.
const ANSWERS: u64 = 500;
/// For how long the gateway need not be told again how much room there is, when that is the same.
const FRESH: Duration = Duration::from_millis(500);
/// Longer than any packet.
const LARGEST: usize = 1_000;

impl SlowPlan {
    /// The links of a seed, if they are slow.
    pub fn draw(rng: &mut Rng, weather: Weather) -> Option<Self> {
        if !weather.has_slow_links() {
            return None;
        }
        let rate = rng.pick(&[150, 400, 1_000, 6_000]);
        let most = rng.pick(&[60, 300, 1_000]).min(rate);
        let plan = Self {
            pacing: [Pacing::Link; LINKS],
            rate,
            most,
            step: rng.pick(&[1, 20, most]),
            stalls: rng.pick(&[0, 5, 30]),
            absences: rng.pick(&[0, 500]),
            absence: rng.pick(&[10_000, 100_000]),
            stay: 0,
        };
        if !weather.has_connections() {
            return Some(plan);
        }
        let other = [Pacing::Device, Pacing::Device, Pacing::Link, Pacing::Never];
        Some(Self {
            pacing: [Pacing::Device, rng.pick(&other)],
            absence: rng.pick(&[1_000, 10_000, 60_000, 100_000]),
            stay: rng.pick(&[5_000, 30_000, 60_000, 300_000]),
            ..plan
        })
    }
}

/// Which line: that of a link, without an address, or that of a device.
pub(crate) type Key = (u16, Vec<u8>);

/// What a link has not sent yet.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Which of the lines that have been: what happens to a former one is over.
    pub life: u32,
    queue: VecDeque<Packet>,
    /// Octets of messages and of answers among it.
    messages: u64,
    answers: u64,
    /// The radio is at work on the first, or stands still.
    busy: bool,
    /// There is no room, however little waits: the radio, or the connection, is gone.
    pub away: bool,
    /// The gateway knows how much room there is since then.
    told: Option<Time>,
}

impl Line {
    pub fn new(life: u32, away: bool) -> Self {
        Self { life, away, ..Self::default() }
    }

    fn room(&self, plan: &SlowPlan) -> u32 {
        let left = if self.away { 0 } else { plan.most.saturating_sub(self.messages) };
        (left / plan.step * plan.step) as u32
    }
}

#[derive(Debug)]
struct Packet {
    to: Place,
    bytes: Vec<u8>,
    /// On the link, with the forwarder's header.
    octets: u64,
    is_message: bool,
    sent_at: Time,
}

/// All links.
pub struct Lines {
    pub(crate) plan: SlowPlan,
    pub(crate) rng: Rng,
    pub(crate) lines: BTreeMap<Key, Line>,
    /// Lines that there have been.
    pub(crate) lives: u32,
    /// Longest message so far.
    longest: u64,
}

impl Lines {
    /// Links of this kind, with nothing to send.
    pub fn new(plan: SlowPlan, rng: Rng) -> Self {
        let whole = (0..).zip(&plan.pacing).filter(|(_, pacing)| **pacing == Pacing::Link);
        let lines = whole.map(|(link, _)| ((link, Vec::new()), Line::default())).collect();
        Self { plan, rng, lines, lives: 0, longest: 0 }
    }

    /// No more faults, and quick enough that everything comes to rest.
    pub fn heal(&mut self) {
        self.plan = SlowPlan { rate: 20_000, most: 1_000, stalls: 0, ..self.plan };
        self.forget_told();
    }

    /// The gateway knows nothing, or nothing that is true still.
    pub fn forget_told(&mut self) {
        self.lines.values_mut().for_each(|line| line.told = None);
    }

    /// In which line a packet to or from a place waits, if there are any on its link.
    pub(crate) fn key(&self, place: Place) -> Option<Key> {
        let (LinkId(link), address, _) = places::to_gateway(place, &[]);
        match self.plan.pacing[usize::from(link)] {
            Pacing::Never => None,
            Pacing::Link => Some((link, Vec::new())),
            Pacing::Device => Some((link, address.octets().to_vec())),
        }
    }
}

impl World {
    /// Tells the gateway how much room its links and devices have, and takes what comes of it.
    pub(crate) fn tell_room(&mut self) -> Verdict {
        let Some(lines) = self.lines.as_ref().filter(|_| self.machine.alive) else { return Ok(()) };
        // It is told in each turn; what it was told just now, and is true still, would change nothing.
        let now = self.clock.now();
        let fresh = |line: &Line| line.told.is_some_and(|at| now.since(at) < FRESH);
        let due = lines.lines.iter().filter(|(_, line)| !fresh(line));
        let keys: Vec<Key> = due.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.tell_room_of(&key)?;
        }
        Ok(())
    }

    pub(crate) fn tell_room_of(&mut self, key: &Key) -> Verdict {
        let (now, link) = (self.clock.now(), LinkId(key.0));
        let Some(lines) = &mut self.lines else { return Ok(()) };
        let Some(line) = lines.lines.get_mut(key) else { return Ok(()) };
        line.told = Some(now);
        let octets = self.tamper.room(line.room(&lines.plan));
        if lines.plan.pacing[usize::from(key.0)] == Pacing::Device {
            let address = Address::new(&key.1).expect("it was one");
            let there = self.tamper.there(!line.away);
            let room = there.then_some(DeviceRoom { octets, largest: LARGEST });
            self.engine.device_room(now, link, &address, room);
        } else {
            self.engine.link_room(now, link, Some(octets));
        }
        self.drain(None)
    }

    /// A datagram of the gateway is to go out. It is on the air at once where links are not slow.
    pub(crate) fn send_on(&mut self, to: Place, bytes: Vec<u8>) -> Verdict {
        let sent_at = self.clock.now();
        let key = self.lines.as_ref().and_then(|lines| lines.key(to));
        let (Some(lines), Some(key)) = (&mut self.lines, key) else {
            self.carry(to, &bytes, sent_at);
            return Ok(());
        };
        let octets = places::to_gateway(to, &bytes).2.len() as u64;
        let kind = bytes.get(if bytes[0] == 1 { 3 } else { 1 });
        let is_message = matches!(kind, Some(0x0A | 0x0C));
        let most = lines.plan.most;
        let own = lines.plan.pacing[usize::from(key.0)] == Pacing::Device;
        let Some(line) = lines.lines.get_mut(&key).filter(|line| !(own && line.away)) else {
            // What had to be written down may come too late.
            let late = self.plan.disk.durable;
            return if (is_message || kind == Some(&0x10)) && !late {
                Err(format!("a message for a device without a connection, {to:?}"))
            } else {
                Ok(())
            };
        };
        line.told = None;
        if is_message {
            lines.longest = lines.longest.max(octets);
            line.messages += octets;
            // The last one may be longer than the room.
            if line.messages > most + lines.longest {
                return Err(format!(
                    "{} octets of messages wait on link {key:?}, which has room for {most}",
                    line.messages
                ));
            }
        } else if line.answers + octets > ANSWERS || line.away {
            return Ok(());
        } else {
            line.answers += octets;
        }
        line.queue.push_back(Packet { to, bytes, octets, is_message, sent_at });
        if !std::mem::replace(&mut line.busy, true) {
            let life = line.life;
            self.clock.after(octets * 1_000 / lines.plan.rate, Event::Line { key, life });
        }
        Ok(())
    }

    /// The radio is done with a packet, or stands still no longer.
    pub(crate) fn line_moves(&mut self, key: Key, life: u32) {
        let Some(lines) = &mut self.lines else { return };
        let own = lines.plan.pacing[usize::from(key.0)] == Pacing::Device;
        let Some(line) = lines.lines.get_mut(&key).filter(|line| line.life == life) else { return };
        line.told = None;
        if std::mem::take(&mut line.away) || !lines.rng.chance(lines.plan.stalls) {
            let packet = line.queue.pop_front();
            let next = line.queue.front().map(|packet| packet.octets * 1_000 / lines.plan.rate);
            line.busy = next.is_some();
            if let Some(next) = next {
                self.clock.after(next, Event::Line { key, life });
            }
            let Some(packet) = packet else { return };
            let waits = if packet.is_message { &mut line.messages } else { &mut line.answers };
            *waits -= packet.octets;
            self.carry(packet.to, &packet.bytes, packet.sent_at);
            return;
        }
        let away = !own && lines.rng.chance(lines.plan.absences);
        let pause = lines.rng.between(1, if away { lines.plan.absence } else { STALL });
        if away {
            // Nothing is there for whoever comes back.
            *line = Line { busy: true, away, life, ..Line::default() };
        }
        let now = self.clock.now();
        self.trace.line(now, || format!("link {key:?} stands still for {pause} ms, gone: {away}"));
        self.clock.after(pause, Event::Line { key, life });
    }
}
