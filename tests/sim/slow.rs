//! Slow links: what the gateway sends waits in a line until the radio has time for it. The gateway is
//! told how much room there is for messages, in steps, and is not to send one without.

use std::collections::VecDeque;

use mqtt_sn_gateway::core::LinkId;
use mqtt_sn_gateway::time::Time;

use crate::oracle::Verdict;
use crate::places::{self, LINKS, Place};
use crate::plan::Weather;
use crate::rng::Rng;
use crate::world::{Event, World};

/// How slow links are.
#[derive(Clone, Debug)]
pub struct SlowPlan {
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
    absence: u64,
}

/// A radio that stands still does so for so many milliseconds at most.
const STALL: u64 = 8_000;
/// Octets of answers that may wait; more are lost.
const ANSWERS: u64 = 500;

impl SlowPlan {
    /// The links of a seed, if they are slow.
    pub fn draw(rng: &mut Rng, weather: Weather) -> Option<Self> {
        if !weather.has_slow_links() {
            return None;
        }
        let rate = rng.pick(&[150, 400, 1_000, 6_000]);
        let most = rng.pick(&[60, 300, 1_000]).min(rate);
        Some(Self {
            rate,
            most,
            step: rng.pick(&[1, 20, most]),
            stalls: rng.pick(&[0, 5, 30]),
            absences: rng.pick(&[0, 500]),
            absence: rng.pick(&[10_000, 100_000]),
        })
    }
}

/// What a link has not sent yet.
#[derive(Debug, Default)]
struct Line {
    queue: VecDeque<Packet>,
    /// Octets of messages and of answers among it.
    messages: u64,
    answers: u64,
    /// The radio is at work on the first, or stands still.
    busy: bool,
    /// There is no room, however little waits: the radio is gone.
    away: bool,
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
    plan: SlowPlan,
    rng: Rng,
    lines: [Line; LINKS],
    /// Longest message so far.
    longest: u64,
}

impl Lines {
    /// Links of this kind, with nothing to send.
    pub fn new(plan: SlowPlan, rng: Rng) -> Self {
        Self { plan, rng, lines: Default::default(), longest: 0 }
    }

    /// No more faults, and quick enough that everything comes to rest.
    pub fn heal(&mut self) {
        self.plan = SlowPlan { rate: 20_000, most: 1_000, stalls: 0, ..self.plan };
    }

    fn room(&self, link: usize) -> u32 {
        let line = &self.lines[link];
        let left = if line.away { 0 } else { self.plan.most.saturating_sub(line.messages) };
        (left / self.plan.step * self.plan.step) as u32
    }
}

impl World {
    /// Tells the gateway how much room its links have, and takes what comes of it.
    pub(crate) fn tell_room(&mut self) -> Verdict {
        if self.lines.is_none() || !self.machine.alive {
            return Ok(());
        }
        for link in 0..LINKS {
            let Some(lines) = &self.lines else { break };
            let room = self.tamper.room(lines.room(link));
            self.engine.link_room(self.clock.now(), LinkId(link as u16), Some(room));
            self.drain(None)?;
        }
        Ok(())
    }

    /// A datagram of the gateway is to go out. It is on the air at once where links are not slow.
    pub(crate) fn send_on(&mut self, to: Place, bytes: Vec<u8>) -> Verdict {
        let sent_at = self.clock.now();
        let Some(lines) = &mut self.lines else {
            self.carry(to, &bytes, sent_at);
            return Ok(());
        };
        let (LinkId(link), _, wrapped) = places::to_gateway(to, &bytes);
        let (link, octets) = (usize::from(link), wrapped.len() as u64);
        let kind = bytes.get(if bytes[0] == 1 { 3 } else { 1 });
        let is_message = matches!(kind, Some(0x0A | 0x0C));
        let most = lines.plan.most;
        let line = &mut lines.lines[link];
        if is_message {
            lines.longest = lines.longest.max(octets);
            line.messages += octets;
            // The last one may be longer than the room.
            if line.messages > most + lines.longest {
                return Err(format!(
                    "{} octets of messages wait on link {link}, which has room for {most}",
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
            self.clock.after(octets * 1_000 / lines.plan.rate, Event::Line { link });
        }
        Ok(())
    }

    /// The radio is done with a packet, or stands still no longer.
    pub(crate) fn line_moves(&mut self, link: usize) {
        let Some(lines) = &mut self.lines else { return };
        let line = &mut lines.lines[link];
        if std::mem::take(&mut line.away) || !lines.rng.chance(lines.plan.stalls) {
            let packet = line.queue.pop_front();
            let next = line.queue.front().map(|packet| packet.octets * 1_000 / lines.plan.rate);
            line.busy = next.is_some();
            if let Some(next) = next {
                self.clock.after(next, Event::Line { link });
            }
            let Some(packet) = packet else { return };
            let waits = if packet.is_message { &mut line.messages } else { &mut line.answers };
            *waits -= packet.octets;
            self.carry(packet.to, &packet.bytes, packet.sent_at);
            return;
        }
        let away = lines.rng.chance(lines.plan.absences);
        let pause = lines.rng.between(1, if away { lines.plan.absence } else { STALL });
        if away {
            // Nothing is there for whoever comes back.
            *line = Line { busy: true, away, ..Line::default() };
        }
        let now = self.clock.now();
        self.trace.line(now, || format!("link {link} stands still for {pause} ms, gone: {away}"));
        self.clock.after(pause, Event::Line { link });
    }
}
