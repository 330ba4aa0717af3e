//! What a sensor does with a datagram from the gateway.

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos, ReturnCode, WillTopic, decode};
use mqtt_sn_gateway::time::Time;

use super::{Io, Phase, Report, Request, Sensor, T_WAIT, Work};
use crate::topics::{Form, predefined};

impl Sensor {
    /// A datagram that the gateway sent at `sent_at`.
    pub fn receive(&mut self, io: &mut Io<'_>, sent_at: Time, datagram: &[u8]) {
        if matches!(self.phase, Phase::Off { .. } | Phase::Asleep { .. }) {
            return;
        }
        let Ok(packet) = decode(datagram) else { return };
        self.nap_goes_on(io.now, &packet.message);
        match packet.message {
            Message::ConnAck { code } => self.connack(io, code),
            Message::WillTopicReq => self.will_topic(io),
            Message::WillMsgReq => self.will_msg(io),
            Message::RegAck { topic_id, msg_id, code } => self.regack(io, topic_id, msg_id, code),
            Message::PubAck { topic_id, msg_id, code } => self.puback(io, topic_id, msg_id, code),
            Message::PubRec { msg_id } => self.pubrec(io, msg_id),
            Message::PubComp { msg_id } => {
                let done = self.finish(msg_id, |r| matches!(r, Request::Release { .. }));
                if let Some(Request::Release { message }) = done.map(|p| p.request) {
                    io.reports.push(Report::Acknowledged { message });
                }
            }
            Message::SubAck { topic_id, msg_id, code, .. } => {
                self.suback(io, topic_id, msg_id, code);
            }
            Message::UnsubAck { msg_id } => {
                self.finish(msg_id, |request| matches!(request, Request::Unsubscribe(_)));
            }
            Message::PingResp => {
                self.finish(0, |request| matches!(request, Request::Ping));
                if self.phase == Phase::Napping
                    && self.finish(0, |request| matches!(request, Request::Nap)).is_some()
                {
                    self.doze(io.now);
                }
            }
            Message::PingReq { .. } if self.is_listening() => {
                self.say(io, &Message::PingResp);
            }
            Message::Disconnect { .. } => self.disconnected(io),
            // Echoes from before this connection: the radio's doing, not the gateway's.
            _ if sent_at < self.connect_began || !self.is_listening() => {}
            Message::Register { .. } if !self.habits.stack.answers_register => {}
            Message::Register { topic_id, msg_id, topic } => {
                let name = String::from_utf8_lossy(topic).into_owned();
                let full = self.ids.len() >= self.habits.stack.slots;
                if full && !self.ids.contains_key(&name) {
                    return;
                }
                self.learn(name, topic_id);
                let code = ReturnCode::ACCEPTED;
                self.say(io, &Message::RegAck { topic_id, msg_id, code });
            }
            Message::Publish(publish) => self.publication(io, sent_at, &publish),
            Message::PubRel { msg_id } => {
                self.receiving.remove(&msg_id);
                self.released.insert(msg_id, io.now);
                self.say(io, &Message::PubComp { msg_id });
            }
            _ => {}
        }
        match self.phase {
            Phase::Online => self.pump(io),
            Phase::Murmuring => self.murmur(io),
            _ => {}
        }
    }

    fn learn(&mut self, name: String, id: u16) {
        self.names.insert(id, name.clone());
        self.ids.insert(name, id);
    }

    fn connack(&mut self, io: &mut Io<'_>, code: ReturnCode) {
        if self.phase != Phase::Connecting {
            return;
        }
        if code == ReturnCode::ACCEPTED {
            self.connected(io);
        } else {
            self.lose(io.now, T_WAIT);
        }
    }

    fn will_topic(&mut self, io: &mut Io<'_>) {
        let Some(will) = self.will else { return };
        let known = |r: &Request| matches!(r, Request::Connect | Request::WillTopic);
        if self.phase != Phase::Connecting || self.finish(0, known).is_none() {
            return;
        }
        let app = io.ledger.get(will).clone();
        let qos = [Qos::Zero, Qos::One, Qos::Two][app.qos as usize];
        let topic = app.topic.name.as_bytes();
        let answer = Message::WillTopic(Some(WillTopic { qos, retain: app.retain, topic }));
        self.start(io, Request::WillTopic, 0, &answer);
    }

    fn will_msg(&mut self, io: &mut Io<'_>) {
        let Some(will) = self.will else { return };
        let known = |r: &Request| matches!(r, Request::WillTopic | Request::WillMsg);
        if self.phase != Phase::Connecting || self.finish(0, known).is_none() {
            return;
        }
        let message = io.ledger.get(will).payload.clone();
        self.start(io, Request::WillMsg, 0, &Message::WillMsg { message: &message });
    }

    fn regack(&mut self, io: &mut Io<'_>, topic_id: u16, msg_id: u16, code: ReturnCode) {
        let done = self.finish(msg_id, |request| matches!(request, Request::Register(_)));
        let Some(Request::Register(name)) = done.map(|p| p.request) else { return };
        match code {
            ReturnCode::ACCEPTED => self.learn(name, topic_id),
            ReturnCode::CONGESTION => self.hold = io.now.after(T_WAIT),
            // Nothing can be published there.
            _ => self.todo.retain(|work| match work {
                Work::Publish(message) => io.ledger.get(*message).topic.name != name,
                _ => true,
            }),
        }
    }

    fn puback(&mut self, io: &mut Io<'_>, topic_id: u16, msg_id: u16, code: ReturnCode) {
        if code == ReturnCode::ACCEPTED {
            let one = |request: &Request| matches!(request, Request::Publish { qos: 1, .. });
            let done = self.finish(msg_id, one).map(|pending| pending.request);
            if let Some(Request::Publish { message, .. }) = done {
                io.reports.push(Report::Acknowledged { message });
            }
            return;
        }
        let any = |request: &Request| matches!(request, Request::Publish { .. });
        let refused = self.finish(msg_id, any).map(|pending| pending.request);
        if code == ReturnCode::INVALID_TOPIC_ID {
            self.names.remove(&topic_id);
            self.ids.retain(|_, id| *id != topic_id);
        }
        if code == ReturnCode::CONGESTION {
            self.hold = io.now.after(T_WAIT);
        }
        if let Some(Request::Publish { message, .. }) = refused {
            let form = io.ledger.get(message).topic.form;
            let again = match code {
                ReturnCode::CONGESTION => true,
                ReturnCode::INVALID_TOPIC_ID => form == Form::Name,
                _ => false,
            };
            if again {
                self.todo.push_front(Work::Publish(message));
            }
        }
    }

    fn pubrec(&mut self, io: &mut Io<'_>, msg_id: u16) {
        let two = |request: &Request| {
            matches!(request, Request::Publish { qos: 2, .. } | Request::Release { .. })
        };
        let Some(pending) = self.finish(msg_id, two) else { return };
        let message = match pending.request {
            Request::Publish { message, .. } | Request::Release { message } => message,
            _ => return,
        };
        self.start(io, Request::Release { message }, msg_id, &Message::PubRel { msg_id });
    }

    fn suback(&mut self, io: &mut Io<'_>, topic_id: u16, msg_id: u16, code: ReturnCode) {
        let done = self.finish(msg_id, |request| matches!(request, Request::Subscribe(..)));
        let Some(Request::Subscribe(topic, qos)) = done.map(|p| p.request) else { return };
        match code {
            ReturnCode::ACCEPTED => {
                if topic.form == Form::Name && !topic.is_wildcard() && topic_id != 0 {
                    self.learn(topic.name, topic_id);
                }
            }
            ReturnCode::CONGESTION => {
                self.hold = io.now.after(T_WAIT);
                self.todo.push_front(Work::Subscribe(topic, qos));
            }
            _ => self.wanted.retain(|(other, _)| *other != topic),
        }
    }

    fn disconnected(&mut self, io: &mut Io<'_>) {
        let pause = Duration::from_millis(self.rng.between(100, 20_000));
        if self.finish(0, |request| matches!(request, Request::Goodbye)).is_some() {
            self.lose(io.now, pause);
        } else if self.finish(0, |request| matches!(request, Request::Sleep)).is_some() {
            self.doze(io.now);
        } else if self.is_listening() && self.habits.stack.heeds_disconnect {
            self.lose(io.now, Duration::from_millis(100));
        }
    }

    fn publication(&mut self, io: &mut Io<'_>, sent_at: Time, publish: &Publish<'_>) {
        let msg_id = publish.msg_id;
        let (raw, name) = match publish.topic {
            // Who knows no types finds a predefined topic by its number alone.
            PublishTopic::Normal(id) if self.habits.stack.refuses_flags => {
                let known = self.names.get(&id).cloned();
                (id, known.or_else(|| predefined(id).map(str::to_owned)))
            }
            PublishTopic::Normal(id) => (id, self.names.get(&id).cloned()),
            PublishTopic::Predefined(id) => (id, predefined(id).map(str::to_owned)),
            PublishTopic::Short(two) => {
                (u16::from_be_bytes(two), String::from_utf8(two.to_vec()).ok())
            }
            PublishTopic::Reserved(id) => (id, None),
        };
        let flags = publish.dup
            || publish.retain
            || matches!(publish.topic, PublishTopic::Predefined(_))
            || publish.qos == Qos::Two;
        if self.habits.stack.refuses_flags && flags {
            let code = ReturnCode::NOT_SUPPORTED;
            self.say(io, &Message::PubAck { topic_id: raw, msg_id, code });
            return;
        }
        let Some(topic) = name else {
            let code = ReturnCode::INVALID_TOPIC_ID;
            self.say(io, &Message::PubAck { topic_id: raw, msg_id, code });
            return;
        };
        let echo = self.released.get(&msg_id).is_some_and(|released| sent_at <= *released);
        if publish.qos == Qos::Two && echo {
            return;
        }
        let repeated = publish.qos == Qos::Two && self.receiving.insert(msg_id, ()).is_some();
        if !repeated {
            let qos = match publish.qos {
                Qos::Zero | Qos::MinusOne => 0,
                Qos::One => 1,
                Qos::Two => 2,
            };
            let payload = publish.data.to_vec();
            io.reports.push(Report::Received { payload, topic, qos, life: self.life });
        }
        match publish.qos {
            Qos::Two if self.habits.stack.only_puback => {
                let code = ReturnCode::ACCEPTED;
                self.say(io, &Message::PubAck { topic_id: raw, msg_id, code });
            }
            Qos::One => {
                let code = ReturnCode::ACCEPTED;
                self.say(io, &Message::PubAck { topic_id: raw, msg_id, code });
            }
            Qos::Two => self.say(io, &Message::PubRec { msg_id }),
            Qos::Zero | Qos::MinusOne => {}
        }
    }
}
