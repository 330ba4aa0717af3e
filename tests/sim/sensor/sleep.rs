//! Sleep (MQTT-SN 1.2 §6.14): DISCONNECT(d), naps with PINGREQ, what a sleeper does between.

use std::time::Duration;

use mqtt_sn_gateway::codec::Message;
use mqtt_sn_gateway::time::Time;

use super::{Io, Phase, Request, Sensor, Work};
use crate::ledger::MsgNo;
use crate::plan::Plan;
use crate::topics::Form;

/// Naps without an answer after which it gives the session up.
const FAILED_NAPS: u8 = 3;

/// What a sleeper knows of its sleep.
#[derive(Debug)]
pub struct Sleep {
    /// Shortest and longest, seconds.
    range: (u64, u64),
    /// The gateway keeps clean sessions of sleepers that wake.
    kept: bool,
    /// Announced last, seconds.
    duration: u64,
    /// It has a session asleep.
    asleep: bool,
    /// The next CONNECT is to wake it.
    waking: bool,
    failed: u8,
    /// It heard from the gateway last.
    since: Time,
    /// The world has healed: naps come soon, and whoever has work wakes up.
    pub home: bool,
}

impl Sleep {
    pub fn new(plan: &Plan) -> Self {
        Self {
            range: plan.people.sleep,
            kept: plan.rules.keep_on_wake,
            duration: 0,
            asleep: false,
            waking: false,
            failed: 0,
            since: Time(0),
            home: false,
        }
    }

    /// Whether the CONNECT that it sends now finds its session as it was.
    pub fn wakes(&self, now: Time) -> bool {
        // Who oversleeps knows that.
        self.waking && self.kept && now.since(self.since) < Duration::from_secs(self.duration)
    }

    /// It does not sleep any longer.
    pub fn over(&mut self) {
        self.asleep = false;
        self.waking = false;
        self.failed = 0;
    }
}

impl Sensor {
    /// How long to sleep, seconds.
    pub(super) fn draw_sleep(&mut self) -> u16 {
        let (low, high) = self.sleep.range;
        self.rng.between(low, high) as u16
    }

    /// DISCONNECT with a duration, when nothing is open any more or nobody cares.
    pub(super) fn pump_sleep(&mut self, io: &mut Io<'_>, seconds: u16) -> bool {
        if !self.pending.is_empty() && !self.habits.rude {
            return false;
        }
        if self.is_pending(|request| matches!(request, Request::Goodbye)) {
            // Both answers look the same, and on the way the two may change places.
            return false;
        }
        for pending in std::mem::take(&mut self.pending).into_iter().rev() {
            match pending.request {
                Request::Publish { .. } | Request::Release { .. } => {
                    self.suspended.insert(0, pending);
                }
                Request::Subscribe(topic, qos) => self.todo.push_back(Work::Subscribe(topic, qos)),
                Request::Unsubscribe(topic) => self.todo.push_back(Work::Unsubscribe(topic)),
                _ => {}
            }
        }
        self.sleep.duration = seconds.into();
        let goodnight = Message::Disconnect { duration: Some(seconds) };
        self.start(io, Request::Sleep, 0, &goodnight);
        true
    }

    /// Falls asleep (again).
    pub(super) fn doze(&mut self, now: Time) {
        self.pending.clear();
        self.sleep.asleep = true;
        self.sleep.failed = 0;
        self.sleep.since = now;
        let seconds = self.sleep.duration * 1_000;
        let nap = self.rng.between(seconds / 4, seconds * 9 / 10);
        let nap = if self.sleep.home { nap.min(self.rng.between(5_000, 20_000)) } else { nap };
        self.phase = Phase::Asleep { until: now.after(Duration::from_millis(nap)) };
    }

    /// Its naps stop for longer than the gateway may tolerate, or a little less.
    pub(super) fn oversleep(&mut self, now: Time) {
        let seconds = self.sleep.duration * self.rng.between(8, 35) / 10;
        self.phase = Phase::Asleep { until: now.after(Duration::from_secs(seconds)) };
    }

    /// Time to wake up.
    pub(super) fn rouse(&mut self, io: &mut Io<'_>) {
        if self.habits.roams && !self.sleep.home && self.rng.chance(300) {
            self.move_on(io);
        }
        let busy = !self.todo.is_empty() || !self.suspended.is_empty();
        let lot = self.rng.below(100);
        match lot {
            _ if busy && (self.sleep.home || lot < 50) => self.wake_up(io),
            0..60 => self.nap(io),
            _ if self.sleep.home => self.nap(io),
            60..75 => self.wake_up(io),
            75..85 => {
                let seconds = self.draw_sleep();
                self.sleep.duration = seconds.into();
                self.phase = Phase::Napping;
                let goodnight = Message::Disconnect { duration: Some(seconds) };
                self.start(io, Request::Sleep, 0, &goodnight);
            }
            _ => {
                self.phase = Phase::Murmuring;
                self.murmur_something(io);
            }
        }
    }

    fn wake_up(&mut self, io: &mut Io<'_>) {
        self.sleep.waking = true;
        self.connect(io);
    }

    fn nap(&mut self, io: &mut Io<'_>) {
        self.phase = Phase::Napping;
        let id = self.client_id();
        let client_id = if self.habits.pings_by_name { id.as_bytes() } else { &[] };
        self.start(io, Request::Nap, 0, &Message::PingReq { client_id });
    }

    /// Whatever comes but PINGRESP starts T_retry again.
    pub(super) fn nap_goes_on(&mut self, now: Time, message: &Message<'_>) {
        if self.phase != Phase::Napping || matches!(message, Message::PingResp) {
            return;
        }
        let due = now.after(self.habits.retry);
        let naps = self.pending.iter_mut().filter(|p| matches!(p.request, Request::Nap));
        naps.for_each(|nap| nap.due = due);
    }

    /// No PINGRESP after N_retry: sleeps on regardless.
    pub(super) fn nap_failed(&mut self, now: Time) {
        let failed = self.sleep.failed + 1;
        if failed >= FAILED_NAPS {
            return self.lose(now, Duration::from_secs(1));
        }
        let since = self.sleep.since;
        self.doze(now);
        self.sleep.since = since;
        self.sleep.failed = failed;
    }

    /// Something to publish, said from sleep.
    fn murmur_something(&mut self, io: &mut Io<'_>) {
        let own = self.ids.keys().filter(|name| !name.starts_with("liar/"));
        let known: Vec<String> = own.cloned().collect();
        let name = match known.len() as u64 {
            0 => "ab".to_owned(),
            count => known[self.rng.below(count) as usize].clone(),
        };
        let topic = crate::topics::Topic::new(&name);
        let qos = self.rng.below(3).min(self.habits.stack.max_qos.into()) as i8;
        let message: MsgNo = self.draw_message(io, topic.clone(), qos);
        let unknown = topic.form == Form::Name && !self.ids.contains_key(&topic.name);
        let full = !self.suspended.is_empty();
        if unknown || full || !self.pump_publish(io, message) {
            self.todo.push_back(Work::Publish(message));
        }
        self.murmur(io);
    }

    /// Back to sleep once everything is answered.
    pub(super) fn murmur(&mut self, now: &mut Io<'_>) {
        if self.phase == Phase::Murmuring && self.pending.is_empty() {
            self.doze(now.now);
        }
    }
}
