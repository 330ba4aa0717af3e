//! Requests, one after the other: REGISTER and PUBLISH, SUBSCRIBE, UNSUBSCRIBE.
//!
//! ```text
//! REGISTER  ──▶ ◀── REGACK         unless the topic id is known
//! PUBLISH   ──▶ ◀── PUBACK         QoS 1
//! PUBLISH   ──▶ ◀── PUBREC         QoS 2
//! PUBREL    ──▶ ◀── PUBCOMP
//! SUBSCRIBE ──▶ ◀── SUBACK
//! ```

use super::{
    Client, Event, MOST_NAMES, MOST_REQUESTS, Phase, Publication, Refusal, RequestId, Topic,
};
use crate::codec::{Message, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic};
use crate::time::Time;

/// A request and how far it is.
#[derive(Debug)]
pub(super) enum Request {
    Publish { publication: Publication, step: Step },
    Subscribe { topic: Topic, qos: Qos, msg_id: Option<u16> },
    Unsubscribe { topic: Topic, msg_id: Option<u16> },
}

/// How far a publication is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing was sent. `registered_anew` if the gateway did not know the topic id before.
    Begin { registered_anew: bool },
    /// REGISTER was sent.
    Registering { msg_id: u16, registered_anew: bool },
    /// PUBLISH was sent.
    Published { msg_id: u16, registered_anew: bool },
    /// PUBREC came, PUBREL was sent (QoS 2).
    Released { msg_id: u16 },
}

impl Client {
    /// Publishes at QoS 0, 1 or 2; registers the topic before if need be.
    pub fn publish(&mut self, now: Time, publication: Publication) -> RequestId {
        let step = Step::Begin { registered_anew: false };
        self.request(now, Request::Publish { publication, step })
    }

    /// Subscribes.
    pub fn subscribe(&mut self, now: Time, topic: Topic, qos: Qos) -> RequestId {
        self.request(now, Request::Subscribe { topic, qos, msg_id: None })
    }

    /// Unsubscribes.
    pub fn unsubscribe(&mut self, now: Time, topic: Topic) -> RequestId {
        self.request(now, Request::Unsubscribe { topic, msg_id: None })
    }

    fn request(&mut self, now: Time, request: Request) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if self.requests.len() >= MOST_REQUESTS {
            self.refuse(id, &request, Refusal::TooMany);
            return id;
        }
        self.requests.push_back((id, request));
        self.continue_requests(now);
        id
    }

    /// Sends what the first request needs, if nothing is waited for.
    pub(super) fn continue_requests(&mut self, now: Time) {
        while self.phase == Phase::Connected && self.awaited.is_none() {
            let Some((id, mut request)) = self.requests.pop_front() else { return };
            let outcome = match &mut request {
                Request::Publish { publication, step } => {
                    self.begin_publish(now, publication, step)
                }
                Request::Subscribe { topic, qos, msg_id } => {
                    self.begin_subscribe(now, topic, Some(*qos), msg_id)
                }
                Request::Unsubscribe { topic, msg_id } => {
                    self.begin_subscribe(now, topic, None, msg_id)
                }
            };
            match outcome {
                Progress::Sent => self.requests.push_front((id, request)),
                Progress::Done => self.events.push_back(Event::Published(id, Ok(()))),
                Progress::TooLarge => self.refuse(id, &request, Refusal::TooLarge),
            }
        }
    }

    fn begin_publish(&mut self, now: Time, publication: &Publication, step: &mut Step) -> Progress {
        if let Step::Released { msg_id } = *step {
            // The connection was made anew in between.
            self.awaited = self.await_answer(now, &Message::PubRel { msg_id });
            return Progress::Sent;
        }
        let (repeated, registered_anew) = match *step {
            Step::Begin { registered_anew } | Step::Registering { registered_anew, .. } => {
                (None, registered_anew)
            }
            Step::Published { msg_id, registered_anew } => (Some(msg_id), registered_anew),
            Step::Released { .. } => (None, false),
        };
        let Some(topic) = self.publish_topic(&publication.topic) else {
            let Topic::Name(name) = &publication.topic else { return Progress::TooLarge };
            let msg_id = self.next_msg_id();
            let register = Message::Register { topic_id: 0, msg_id, topic: name.as_bytes() };
            self.awaited = self.await_answer(now, &register);
            *step = Step::Registering { msg_id, registered_anew };
            return self.sent();
        };
        if matches!(publication.qos, Qos::Zero | Qos::MinusOne) {
            let message = publish_message(publication, Qos::Zero, topic, 0, false);
            let Ok(datagram) = super::encode(&message) else { return Progress::TooLarge };
            self.last_sent = now;
            self.outbox.push_back(datagram);
            return Progress::Done;
        }
        let msg_id = repeated.unwrap_or_else(|| self.next_msg_id());
        let dup = repeated.is_some();
        let message = publish_message(publication, publication.qos, topic, msg_id, dup);
        self.awaited = self.await_answer(now, &message);
        *step = Step::Published { msg_id, registered_anew };
        self.sent()
    }

    fn begin_subscribe(
        &mut self,
        now: Time,
        topic: &Topic,
        qos: Option<Qos>,
        open: &mut Option<u16>,
    ) -> Progress {
        let msg_id = self.next_msg_id();
        *open = Some(msg_id);
        let topic = match topic {
            Topic::Predefined(id) => SubscribeTopic::Predefined(*id),
            Topic::Name(name) => match name.as_bytes() {
                &[a, b] if self.is_short([a, b]) => SubscribeTopic::Short([a, b]),
                name => SubscribeTopic::Name(name),
            },
        };
        let message = match qos {
            Some(qos) => Message::Subscribe(Subscribe { dup: false, qos, msg_id, topic }),
            None => Message::Unsubscribe { msg_id, topic },
        };
        self.awaited = self.await_answer(now, &message);
        self.sent()
    }

    fn sent(&self) -> Progress {
        if self.awaited.is_some() { Progress::Sent } else { Progress::TooLarge }
    }

    /// How a topic stands in a PUBLISH; `None` if it has to be registered.
    fn publish_topic(&self, topic: &Topic) -> Option<PublishTopic> {
        match topic {
            Topic::Name(name) => match name.as_bytes() {
                &[a, b] if self.is_short([a, b]) => Some(PublishTopic::Short([a, b])),
                _ => {
                    let known = self.names.iter().find(|(_, known)| *known == name);
                    known.map(|(id, _)| PublishTopic::Normal(*id))
                }
            },
            Topic::Predefined(id) => Some(PublishTopic::Predefined(*id)),
        }
    }

    fn is_short(&self, name: [u8; 2]) -> bool {
        self.options.short_topics && is_short(name)
    }

    /// The gateway's answer to REGISTER.
    pub(super) fn on_regack(&mut self, now: Time, topic_id: u16, msg_id: u16, code: ReturnCode) {
        let Some((id, Request::Publish { publication, step })) = self.requests.front_mut() else {
            return;
        };
        let Step::Registering { msg_id: open, registered_anew } = *step else { return };
        if open != msg_id {
            return;
        }
        let id = *id;
        if code == ReturnCode::ACCEPTED && topic_id != 0 && topic_id != u16::MAX {
            *step = Step::Begin { registered_anew };
            if let Topic::Name(name) = publication.topic.clone() {
                self.learn(topic_id, name);
            }
            self.awaited = None;
            self.continue_requests(now);
        } else {
            self.fail_first(now, id, Refusal::Gateway("REGISTER", code));
        }
    }

    /// The end of a publication at QoS 1, or a refusal at any QoS (§6.6).
    pub(super) fn on_puback(&mut self, now: Time, topic_id: u16, msg_id: u16, code: ReturnCode) {
        let open = match self.requests.front_mut() {
            Some((id, Request::Publish { publication, step })) => match *step {
                Step::Published { msg_id: open, registered_anew } if open == msg_id => {
                    Some((*id, publication, step, registered_anew))
                }
                _ => None,
            },
            _ => None,
        };
        let Some((id, publication, step, registered_anew)) = open else {
            if code != ReturnCode::ACCEPTED {
                self.events.push_back(Event::Rejected { topic_id, code });
            }
            return;
        };
        if let Topic::Name(name) = publication.topic.clone()
            && code == ReturnCode::INVALID_TOPIC_ID
            && !registered_anew
        {
            // The gateway has forgotten the id: register once more, then believe it.
            *step = Step::Begin { registered_anew: true };
            self.names.retain(|_, known| *known != name);
            self.awaited = None;
            self.continue_requests(now);
        } else if code != ReturnCode::ACCEPTED {
            self.fail_first(now, id, Refusal::Gateway("PUBLISH", code));
        } else if publication.qos == Qos::One {
            self.finish_first(now, Event::Published(id, Ok(())));
        }
    }

    /// QoS 2, first half.
    pub(super) fn on_pubrec(&mut self, now: Time, msg_id: u16) {
        let Some((_, Request::Publish { publication, step })) = self.requests.front_mut() else {
            return;
        };
        let ours = match *step {
            Step::Published { msg_id: open, .. } => open == msg_id && publication.qos == Qos::Two,
            // A repetition: the timer takes care of PUBREL.
            _ => false,
        };
        if ours {
            *step = Step::Released { msg_id };
            self.awaited = self.await_answer(now, &Message::PubRel { msg_id });
        }
    }

    /// QoS 2, the end.
    pub(super) fn on_pubcomp(&mut self, now: Time, msg_id: u16) {
        if let Some((id, Request::Publish { step: Step::Released { msg_id: open }, .. })) =
            self.requests.front()
            && *open == msg_id
        {
            let id = *id;
            self.finish_first(now, Event::Published(id, Ok(())));
        }
    }

    /// The gateway's answer to SUBSCRIBE.
    pub(super) fn on_suback(
        &mut self,
        now: Time,
        granted: Qos,
        topic_id: u16,
        msg_id: u16,
        code: ReturnCode,
    ) {
        let Some((id, Request::Subscribe { topic, msg_id: open, .. })) = self.requests.front()
        else {
            return;
        };
        if *open != Some(msg_id) {
            return;
        }
        let (id, topic) = (*id, topic.clone());
        if code != ReturnCode::ACCEPTED {
            self.fail_first(now, id, Refusal::Gateway("SUBSCRIBE", code));
            return;
        }
        if let Topic::Name(name) = topic
            && topic_id != 0
            && topic_id != u16::MAX
            && !name.contains(['+', '#'])
        {
            self.learn(topic_id, name);
        }
        self.finish_first(now, Event::Subscribed(id, Ok(granted)));
    }

    /// The gateway's answer to UNSUBSCRIBE.
    pub(super) fn on_unsuback(&mut self, now: Time, msg_id: u16) {
        if let Some((id, Request::Unsubscribe { msg_id: open, .. })) = self.requests.front()
            && *open == Some(msg_id)
        {
            let id = *id;
            self.finish_first(now, Event::Unsubscribed(id));
        }
    }

    /// Keeps what a topic id means. False if there is no room.
    pub(super) fn learn(&mut self, topic_id: u16, name: String) -> bool {
        if self.names.len() >= MOST_NAMES && !self.names.contains_key(&topic_id) {
            return false;
        }
        match self.names.get(&topic_id) {
            Some(known) if *known == name => return true,
            Some(known) => self.events.push_back(Event::TopicIdReused {
                topic_id,
                before: known.clone(),
                now: name.clone(),
            }),
            None => {}
        }
        let before = self.names.iter().find(|(_, known)| **known == name).map(|(id, _)| *id);
        if let Some(before) = before {
            let (topic, now) = (name.clone(), topic_id);
            self.events.push_back(Event::TopicIdChanged { topic, before, now });
        }
        self.names.insert(topic_id, name);
        true
    }

    fn finish_first(&mut self, now: Time, event: Event) {
        self.awaited = None;
        self.requests.pop_front();
        self.events.push_back(event);
        self.continue_requests(now);
    }

    fn fail_first(&mut self, now: Time, id: RequestId, refusal: Refusal) {
        self.awaited = None;
        if let Some((_, request)) = self.requests.pop_front() {
            self.refuse(id, &request, refusal);
        }
        self.continue_requests(now);
    }

    fn refuse(&mut self, id: RequestId, request: &Request, refusal: Refusal) {
        self.events.push_back(match request {
            Request::Publish { .. } => Event::Published(id, Err(refusal)),
            Request::Subscribe { .. } => Event::Subscribed(id, Err(refusal)),
            Request::Unsubscribe { .. } => Event::Unsubscribed(id),
        });
    }
}

/// What came of an attempt to send a request.
enum Progress {
    /// It is on its way and an answer is waited for.
    Sent,
    /// It is on its way and nothing comes back.
    Done,
    /// It fits into no packet.
    TooLarge,
}

/// The PUBLISH of a publication.
pub(super) fn publish_message(
    publication: &Publication,
    qos: Qos,
    topic: PublishTopic,
    msg_id: u16,
    dup: bool,
) -> Message<'_> {
    Message::Publish(Publish {
        dup,
        qos,
        retain: publication.retain,
        topic,
        msg_id,
        data: &publication.payload,
    })
}

/// How a topic stands in a PUBLISH that cannot be preceded by a REGISTER.
pub(super) fn short_or_predefined(topic: &Topic) -> Option<PublishTopic> {
    match topic {
        Topic::Predefined(id) => Some(PublishTopic::Predefined(*id)),
        Topic::Name(name) => match name.as_bytes() {
            &[a, b] if is_short([a, b]) => Some(PublishTopic::Short([a, b])),
            _ => None,
        },
    }
}

/// Wildcards need a subscription by name.
fn is_short(name: [u8; 2]) -> bool {
    !name.iter().any(|octet| b"+#".contains(octet))
}

/// Sets DUP for the repetition: PUBLISH has it (§6.13), SUBSCRIBE may (§5.3.4).
pub(super) fn mark_repeated(datagram: &mut [u8], name: &str) {
    if !matches!(name, "PUBLISH" | "SUBSCRIBE") {
        return;
    }
    let flags = if datagram.first() == Some(&1) { 4 } else { 2 };
    if let Some(flags) = datagram.get_mut(flags) {
        *flags |= 0x80;
    }
}
