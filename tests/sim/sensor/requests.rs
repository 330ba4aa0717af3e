//! What a sensor asks of the gateway: one transaction at a time (or a few), retransmitted
//! T_retry × N_retry (MQTT-SN 1.2 §6.13).

use std::time::Duration;

use mqtt_sn_gateway::codec::{Message, Publish, PublishTopic, Qos, Subscribe, SubscribeTopic};
use mqtt_sn_gateway::time::Time;

use super::{Io, Phase, Sensor};
use crate::ledger::MsgNo;
use crate::topics::{Form, Topic};

/// Work to be done, in order.
#[derive(Clone, Debug)]
pub enum Work {
    Publish(MsgNo),
    Subscribe(Topic, u8),
    Unsubscribe(Topic),
    Goodbye,
    /// For so many seconds.
    Sleep(u16),
}

/// A request that awaits its reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    Connect,
    WillTopic,
    WillMsg,
    Register(String),
    Publish {
        message: MsgNo,
        qos: u8,
    },
    Release {
        message: MsgNo,
    },
    Subscribe(Topic, u8),
    Unsubscribe(Topic),
    Ping,
    /// PINGREQ from sleep.
    Nap,
    Goodbye,
    Sleep,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Pending {
    pub request: Request,
    pub msg_id: u16,
    pub frame: Vec<u8>,
    pub due: Time,
    /// Retransmissions left.
    pub left: u8,
}

impl Sensor {
    /// Sends something that nobody answers.
    pub(super) fn say(&mut self, io: &mut Io<'_>, message: &Message<'_>) {
        self.last_sent = io.now;
        io.frames.push(bytes(message));
    }

    /// Sends a request and guards it.
    pub(super) fn start(
        &mut self,
        io: &mut Io<'_>,
        request: Request,
        msg_id: u16,
        message: &Message<'_>,
    ) {
        self.start_frame(io, request, msg_id, bytes(message));
    }

    /// The same with octets.
    pub(super) fn start_frame(
        &mut self,
        io: &mut Io<'_>,
        request: Request,
        msg_id: u16,
        frame: Vec<u8>,
    ) {
        self.last_sent = io.now;
        io.frames.push(frame.clone());
        let due = io.now.after(self.habits.retry);
        let left = match request {
            Request::Connect if self.habits.stack.connects_once => 0,
            Request::Goodbye | Request::Sleep if self.habits.stack.insists_on_goodbye => u8::MAX,
            _ => self.habits.retries,
        };
        self.pending.push(Pending { request, msg_id, frame, due, left });
    }

    /// Sends a request once more.
    pub(super) fn send_again(&mut self, io: &mut Io<'_>, pending: &mut Pending) {
        if self.habits.sets_dup && matches!(pending.request, Request::Publish { .. }) {
            let flags = if pending.frame[0] == 1 { 4 } else { 2 };
            pending.frame[flags] |= 0x80;
        }
        pending.due = io.now.after(self.habits.retry);
        self.last_sent = io.now;
        io.frames.push(pending.frame.clone());
    }

    /// Retransmits what is due; gives up after N_retry.
    pub(super) fn retransmit(&mut self, io: &mut Io<'_>) {
        let mut pending = std::mem::take(&mut self.pending);
        let (now, mut exhausted) = (io.now, None);
        for one in pending.iter_mut().filter(|one| one.due <= now) {
            match one.left.checked_sub(1) {
                Some(left) => {
                    one.left = left;
                    self.send_again(io, one);
                }
                None => exhausted = Some(one.request.clone()),
            }
        }
        self.pending = pending;
        let pause = Duration::from_millis(self.rng.between(500, 8_000));
        match exhausted {
            None => {}
            Some(Request::Nap) => self.nap_failed(io.now),
            Some(_) => self.lose(io.now, pause),
        }
    }

    /// The pending request of this kind and id, taken out.
    pub(super) fn finish(
        &mut self,
        msg_id: u16,
        kind: impl Fn(&Request) -> bool,
    ) -> Option<Pending> {
        let at = self.pending.iter().position(|p| p.msg_id == msg_id && kind(&p.request))?;
        Some(self.pending.remove(at))
    }

    pub(super) fn is_pending(&self, kind: impl Fn(&Request) -> bool) -> bool {
        self.pending.iter().any(|pending| kind(&pending.request))
    }

    pub(super) fn new_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let mut all = self.pending.iter().chain(&self.suspended);
            if self.last_id != 0 && !all.any(|pending| pending.msg_id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Adds work.
    pub fn add(&mut self, work: Work) {
        self.todo.push_back(work);
    }

    /// Starts as much of the work as the protocol allows at once.
    pub(super) fn pump(&mut self, io: &mut Io<'_>) {
        while self.phase == Phase::Online && self.hold <= io.now {
            let Some(work) = self.todo.front().cloned() else { return };
            if self.is_pending(|request| matches!(request, Request::Sleep)) {
                return;
            }
            let started = match work {
                Work::Publish(message) => self.pump_publish(io, message),
                Work::Subscribe(topic, qos) => self.pump_subscribe(io, topic, qos),
                Work::Unsubscribe(topic) => self.pump_unsubscribe(io, topic),
                Work::Goodbye => {
                    let free = self.pending.is_empty();
                    if free {
                        let bye = Message::Disconnect { duration: None };
                        self.start(io, Request::Goodbye, 0, &bye);
                    }
                    free
                }
                Work::Sleep(seconds) => self.pump_sleep(io, seconds),
            };
            if !started {
                return;
            }
            self.todo.pop_front();
        }
    }

    pub(super) fn pump_publish(&mut self, io: &mut Io<'_>, message: MsgNo) -> bool {
        let app = io.ledger.get(message).clone();
        let topic = match app.topic.form {
            Form::Predefined(id) => PublishTopic::Predefined(id),
            Form::Short => PublishTopic::Short(short(&app.topic.name)),
            Form::Name => match self.ids.get(&app.topic.name) {
                Some(id) => PublishTopic::Normal(*id),
                None => {
                    self.register(io, &app.topic.name);
                    return false;
                }
            },
        };
        let busy = |request: &Request| {
            matches!(request, Request::Publish { .. } | Request::Release { .. })
        };
        let outstanding = self.pending.iter().filter(|p| busy(&p.request)).count();
        if app.qos > 0 && outstanding >= self.habits.pipeline {
            return false;
        }
        let qos = match app.qos {
            0 => Qos::Zero,
            1 => Qos::One,
            _ => Qos::Two,
        };
        let numbered = app.qos > 0 || self.habits.stack.id_at_qos0;
        let msg_id = if numbered { self.new_id() } else { 0 };
        let publish = Message::Publish(Publish {
            dup: false,
            qos,
            retain: app.retain,
            topic,
            msg_id,
            data: &app.payload,
        });
        if app.qos > 0 {
            let qos = app.qos as u8;
            self.start(io, Request::Publish { message, qos }, msg_id, &publish);
        } else {
            self.say(io, &publish);
        }
        true
    }

    fn register(&mut self, io: &mut Io<'_>, name: &str) {
        let under_way = |request: &Request| matches!(request, Request::Register(_));
        if self.pending.iter().filter(|p| under_way(&p.request)).count()
            < self.habits.stack.parallel
            && !self.is_pending(|request| *request == Request::Register(name.to_owned()))
        {
            let msg_id = self.new_id();
            let register = Message::Register { topic_id: 0, msg_id, topic: name.as_bytes() };
            self.start(io, Request::Register(name.to_owned()), msg_id, &register);
        }
    }

    /// Another one has to wait: for room, or for one about the same filter.
    fn subscribing(&self, topic: &Topic) -> bool {
        let mut open = 0;
        for pending in &self.pending {
            match &pending.request {
                Request::Subscribe(other, _) | Request::Unsubscribe(other) => {
                    if other == topic {
                        return true;
                    }
                    open += 1;
                }
                _ => {}
            }
        }
        open >= self.habits.stack.parallel
    }

    /// Some stacks send what their buffer has.
    fn pad(&self, mut frame: Vec<u8>, form: Form) -> Vec<u8> {
        if self.habits.stack.spare_octets && form != Form::Name && frame.len() < 250 {
            frame.extend_from_slice(&[0; 3]);
            frame[0] += 3;
        }
        frame
    }

    fn pump_subscribe(&mut self, io: &mut Io<'_>, topic: Topic, qos: u8) -> bool {
        if self.subscribing(&topic) {
            return false;
        }
        let msg_id = self.new_id();
        let requested = [Qos::Zero, Qos::One, Qos::Two][usize::from(qos)];
        let name = topic.name.clone();
        let topic_field = tail(&topic.form, &name);
        let subscribe = Message::Subscribe(Subscribe {
            dup: false,
            qos: requested,
            msg_id,
            topic: topic_field,
        });
        self.wanted.retain(|(other, _)| *other != topic);
        self.wanted.push((topic.clone(), qos));
        let frame = self.pad(bytes(&subscribe), topic.form);
        self.start_frame(io, Request::Subscribe(topic, qos), msg_id, frame);
        true
    }

    fn pump_unsubscribe(&mut self, io: &mut Io<'_>, topic: Topic) -> bool {
        if self.subscribing(&topic) {
            return false;
        }
        let msg_id = self.new_id();
        let name = topic.name.clone();
        let unsubscribe = Message::Unsubscribe { msg_id, topic: tail(&topic.form, &name) };
        self.wanted.retain(|(other, _)| *other != topic);
        let frame = self.pad(bytes(&unsubscribe), topic.form);
        self.start_frame(io, Request::Unsubscribe(topic), msg_id, frame);
        true
    }
}

fn tail<'a>(form: &Form, name: &'a str) -> SubscribeTopic<'a> {
    match form {
        Form::Name => SubscribeTopic::Name(name.as_bytes()),
        Form::Predefined(id) => SubscribeTopic::Predefined(*id),
        Form::Short => SubscribeTopic::Short(short(name)),
    }
}

fn short(name: &str) -> [u8; 2] {
    let octets = name.as_bytes();
    [octets[0], octets[1]]
}

/// The octets of a message.
pub fn bytes(message: &Message<'_>) -> Vec<u8> {
    let mut buffer = vec![0; message.encoded_len()];
    message.encode(&mut buffer).expect("the buffer has the length that was asked for");
    buffer
}
