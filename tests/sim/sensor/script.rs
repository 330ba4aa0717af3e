//! What a sensor's application does all day.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos};
use mqtt_sn_gateway::time::Time;

use super::{Io, Phase, Sensor, Work};
use crate::ledger::{MsgNo, Origin};
use crate::topics::{Form, Topic, publishable, subscribable};

/// Work that may wait in a sensor; beyond it the application holds its breath.
const BACKLOG: usize = 8;

/// Something to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doing {
    Publish,
    /// QoS −1, also without a connection.
    Shout,
    Subscribe,
    Unsubscribe,
    Goodbye,
    Reboot,
    /// Sleep, with DISCONNECT(duration).
    Sleep,
    /// Out of reach for a while: shorter or longer than the gateway's patience.
    Outage,
}

/// Something special to do.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Publish(&'static str, i8),
    Subscribe(&'static str, u8),
    Unsubscribe(&'static str),
    Sleep(u16),
    Goodbye,
}

impl Sensor {
    /// Draws the next thing to do.
    pub fn draw(&mut self, comings_and_goings: bool) -> Doing {
        if self.habits.sleeps && self.phase == Phase::Online && self.rng.chance(350) {
            return Doing::Sleep;
        }
        match self.rng.below(if comings_and_goings { 110 } else { 100 }) {
            0..55 => Doing::Publish,
            55..62 => Doing::Shout,
            62..88 => Doing::Subscribe,
            88..100 => Doing::Unsubscribe,
            100..105 => Doing::Goodbye,
            105..107 => Doing::Reboot,
            _ => Doing::Outage,
        }
    }

    /// Its application wants something special.
    pub fn order(&mut self, io: &mut Io<'_>, order: Order) {
        let work = match order {
            Order::Publish(name, qos) => {
                let message = self.draw_message(io, Topic::new(name), qos);
                Work::Publish(message)
            }
            Order::Subscribe(name, qos) => Work::Subscribe(Topic::new(name), qos),
            Order::Unsubscribe(name) => Work::Unsubscribe(Topic::new(name)),
            Order::Sleep(seconds) => Work::Sleep(seconds),
            Order::Goodbye => Work::Goodbye,
        };
        self.add(work);
        if self.phase == Phase::Online {
            self.pump(io);
        }
    }

    /// Does it.
    pub fn act(&mut self, io: &mut Io<'_>, doing: Doing, sensors: usize) {
        match doing {
            Doing::Publish if self.todo.len() < BACKLOG => {
                let topic = publishable(&mut self.rng, sensors);
                let qos = self.rng.below(3).min(self.habits.stack.max_qos.into()) as i8;
                if topic.name.len() > self.habits.stack.longest_name {
                    return;
                }
                let message = self.draw_message(io, topic, qos);
                self.add(Work::Publish(message));
            }
            Doing::Shout => self.shout(io),
            Doing::Subscribe if self.todo.len() < BACKLOG => {
                let topic = subscribable(&mut self.rng, self.number);
                let qos = (self.rng.below(3) as u8).min(self.habits.stack.max_qos);
                let unknown =
                    self.habits.stack.refuses_flags && matches!(topic.form, Form::Predefined(_));
                if topic.name.len() > self.habits.stack.longest_name || unknown {
                    return;
                }
                self.add(Work::Subscribe(topic, qos));
            }
            Doing::Unsubscribe if self.todo.len() < BACKLOG && !self.wanted.is_empty() => {
                let (topic, _) = self.rng.pick(&self.wanted);
                self.add(Work::Unsubscribe(topic));
            }
            Doing::Sleep if self.phase == Phase::Online => {
                let seconds = self.draw_sleep();
                self.add(Work::Sleep(seconds));
            }
            Doing::Goodbye if self.phase == Phase::Online => self.add(Work::Goodbye),
            // A reboot lasts longer than datagrams stay on the air.
            Doing::Reboot => {
                let pause = Duration::from_millis(self.rng.between(4_000, 20_000));
                self.reboot(io, pause);
            }
            Doing::Outage if !matches!(self.phase, Phase::Off { .. }) => {
                let keep_alive = u64::from(self.habits.keep_alive);
                let seconds = self.rng.between(5, keep_alive * 3);
                if let Phase::Asleep { .. } = self.phase {
                    // Oversleeps, or only comes late.
                    return self.oversleep(io.now);
                }
                self.lose(io.now, Duration::from_secs(seconds));
            }
            _ => {}
        }
        if self.phase == Phase::Online {
            self.pump(io);
        }
    }

    /// Ends its wanderings: connects soon if it is away.
    pub fn come_home(&mut self, now: Time) {
        self.sleep.home = true;
        if let Phase::Off { until } | Phase::Asleep { until } = &mut self.phase {
            *until = (*until).min(now.after(Duration::from_secs(5)));
        }
    }

    /// Ends its life, with or without a word.
    pub fn retire(&mut self, io: &mut Io<'_>, vanish: bool) {
        if !vanish && !matches!(self.phase, Phase::Off { .. } | Phase::Connecting) {
            self.say(io, &Message::Disconnect { duration: None });
        }
        self.phase = Phase::Off { until: Time(u64::MAX) };
    }

    /// Subscribes to everything on its list once more.
    pub fn refresh(&mut self, io: &mut Io<'_>) {
        for (topic, qos) in self.wanted.clone() {
            self.add(Work::Subscribe(topic, qos));
        }
        self.pump(io);
    }

    pub(super) fn draw_message(&mut self, io: &mut Io<'_>, topic: Topic, qos: i8) -> MsgNo {
        let retain = self.rng.chance(150);
        let filler = if self.rng.chance(100) { self.rng.between(200, 600) } else { 3 };
        let filler = if self.habits.stack.longest_packet < 700 { filler.min(9) } else { filler };
        io.ledger.create(Origin::Sensor(self.number), topic, qos, retain, filler as usize)
    }

    pub(super) fn draw_will(&mut self, io: &mut Io<'_>) -> MsgNo {
        let topic = Topic::new(&format!("dev/{}/state", self.number));
        let qos = self.rng.below(3).min(self.habits.stack.max_qos.into()) as i8;
        let retain = self.rng.chance(300);
        io.ledger.create(Origin::Will(self.number), topic, qos, retain, 0)
    }

    /// MQTT-SN 1.2 §6.8: short and predefined topics only.
    fn shout(&mut self, io: &mut Io<'_>) {
        if matches!(self.phase, Phase::Off { .. } | Phase::Asleep { .. }) {
            return;
        }
        let name = self.rng.pick(&["ab", "pre/one", "cd", "pre/two"]);
        let topic = Topic::new(name);
        let message = self.draw_message(io, topic, -1);
        let app = io.ledger.get(message).clone();
        let topic = match app.topic.form {
            Form::Predefined(id) => PublishTopic::Predefined(id),
            _ => {
                let octets = app.topic.name.as_bytes();
                PublishTopic::Short([octets[0], octets[1]])
            }
        };
        let retain = app.retain;
        let (dup, qos, msg_id) = (false, Qos::MinusOne, 0);
        let shout = Publish { dup, qos, retain, topic, msg_id, data: &app.payload };
        self.say(io, &Message::Publish(shout));
    }
}
