//! The client against a gateway played by hand.

mod sleep;

use super::*;
use crate::codec::{Connect, Publish, PublishTopic, Subscribe, SubscribeTopic, WillTopic, decode};

const ACCEPTED: ReturnCode = ReturnCode::ACCEPTED;

/// A client with a clock, and what it said.
struct Bench {
    client: Client,
    now: Time,
}

impl Bench {
    fn new(options: Options) -> Self {
        Self { client: Client::new(options), now: Time(1_000) }
    }

    fn connected() -> Self {
        let mut bench = Self::new(Options::default());
        bench.client.connect(bench.now);
        bench.sent_name("CONNECT");
        bench.gateway(&Message::ConnAck { code: ACCEPTED });
        assert_eq!(bench.client.poll_event(), Some(Event::Connected));
        bench
    }

    fn gateway(&mut self, message: &Message<'_>) {
        self.client.handle_datagram(self.now, &encode(message).unwrap()).unwrap();
    }

    /// The client sends exactly this and nothing else.
    fn sent(&mut self, expected: &Message<'_>) {
        let datagram = self.client.poll_transmit().expect("a datagram");
        assert_eq!(decode(&datagram).unwrap().message, *expected);
        assert_eq!(self.client.poll_transmit(), None);
    }

    fn sent_name(&mut self, name: &str) -> Vec<u8> {
        let datagram = self.client.poll_transmit().expect("a datagram");
        assert_eq!(decode(&datagram).unwrap().message.name(), name);
        datagram
    }

    fn silent(&mut self) {
        assert_eq!(self.client.poll_transmit(), None);
    }

    fn event(&mut self, expected: Event) {
        assert_eq!(self.client.poll_event(), Some(expected));
    }

    fn no_event(&mut self) {
        assert_eq!(self.client.poll_event(), None);
    }

    /// Lets time pass until the client wants to do something, and lets it.
    fn wait(&mut self) -> Duration {
        let before = self.now;
        self.now = self.client.next_timeout().expect("a timer");
        self.client.handle_timeout(self.now);
        self.now.since(before)
    }

    fn publish(&mut self, topic: &str, qos: Qos) -> RequestId {
        let topic = Topic::Name(topic.into());
        self.client
            .publish(self.now, Publication { topic, payload: b"x".to_vec(), qos, retain: false })
    }

    /// Learns a topic id by subscribing.
    fn subscribe(&mut self, topic: &str, topic_id: u16) {
        let id = self.client.subscribe(self.now, Topic::Name(topic.into()), Qos::Two);
        let datagram = self.sent_name("SUBSCRIBE");
        let Message::Subscribe(Subscribe { msg_id, .. }) = decode(&datagram).unwrap().message
        else {
            unreachable!()
        };
        self.gateway(&Message::SubAck { qos: Qos::Two, topic_id, msg_id, code: ACCEPTED });
        self.event(Event::Subscribed(id, Ok(Qos::Two)));
    }
}

fn publish(topic: PublishTopic, qos: Qos, msg_id: u16, dup: bool) -> Message<'static> {
    Message::Publish(Publish { dup, qos, retain: false, topic, msg_id, data: b"x" })
}

fn message(topic: Topic, qos: Qos) -> Event {
    Event::Message(Incoming { topic, payload: b"x".to_vec(), qos, retain: false })
}

#[test]
fn a_will_is_handed_over_before_the_connection() {
    let will = Will { topic: "w/t".into(), payload: b"gone".to_vec(), qos: Qos::One, retain: true };
    let options =
        Options { client_id: "me".into(), will: Some(will), keep_alive: 30, ..Options::default() };
    let mut bench = Bench::new(options);
    bench.client.connect(bench.now);
    bench.sent(&Message::Connect(Connect {
        will: true,
        clean_session: true,
        protocol_id: 1,
        duration: 30,
        client_id: b"me",
    }));
    bench.gateway(&Message::WillTopicReq);
    let topic = WillTopic { qos: Qos::One, retain: true, topic: b"w/t" };
    bench.sent(&Message::WillTopic(Some(topic)));
    // The gateway did not get it.
    bench.wait();
    bench.sent(&Message::WillTopic(Some(topic)));
    bench.gateway(&Message::WillMsgReq);
    bench.sent(&Message::WillMsg { message: b"gone" });
    assert!(!bench.client.is_connected());
    bench.gateway(&Message::ConnAck { code: ACCEPTED });
    bench.event(Event::Connected);
    bench.silent();
}

#[test]
fn connect_is_repeated_and_then_given_up() {
    let mut bench = Bench::new(Options::default());
    bench.client.connect(bench.now);
    for _ in 0..4 {
        bench.sent_name("CONNECT");
        bench.no_event();
        assert_eq!(bench.wait(), Duration::from_secs(10));
    }
    bench.silent();
    bench.event(Event::Lost(Loss::NoAnswer("CONNECT")));
    assert_eq!(bench.client.next_timeout(), None);
}

#[test]
fn a_refused_connection_is_lost() {
    let mut bench = Bench::new(Options::default());
    bench.client.connect(bench.now);
    bench.gateway(&Message::ConnAck { code: ReturnCode::CONGESTION });
    bench.event(Event::Lost(Loss::Refused(ReturnCode::CONGESTION)));
    assert_eq!(bench.client.next_timeout(), None);
}

#[test]
fn a_topic_is_registered_once_and_qos_1_repeated_with_dup() {
    let mut bench = Bench::connected();
    let first = bench.publish("a/b", Qos::One);
    let second = bench.publish("a/b", Qos::Zero);
    bench.sent(&Message::Register { topic_id: 0, msg_id: 1, topic: b"a/b" });
    bench.gateway(&Message::RegAck { topic_id: 7, msg_id: 1, code: ACCEPTED });
    bench.sent(&publish(PublishTopic::Normal(7), Qos::One, 2, false));
    for _ in 0..2 {
        bench.wait();
        bench.sent(&publish(PublishTopic::Normal(7), Qos::One, 2, true));
    }
    // Answers to something else.
    bench.gateway(&Message::PubAck { topic_id: 7, msg_id: 9, code: ACCEPTED });
    bench.gateway(&Message::RegAck { topic_id: 8, msg_id: 2, code: ACCEPTED });
    bench.gateway(&Message::PubComp { msg_id: 2 });
    bench.silent();
    bench.no_event();
    // Some gateways do not repeat the topic id.
    bench.gateway(&Message::PubAck { topic_id: 0, msg_id: 2, code: ACCEPTED });
    bench.event(Event::Published(first, Ok(())));
    bench.sent(&publish(PublishTopic::Normal(7), Qos::Zero, 0, false));
    bench.event(Event::Published(second, Ok(())));
    assert_eq!(bench.client.pending(), 0);
}

#[test]
fn qos_2_goes_out_in_two_halves() {
    let mut bench = Bench::connected();
    let id = bench.publish("ab", Qos::Two);
    bench.sent(&publish(PublishTopic::Short(*b"ab"), Qos::Two, 1, false));
    bench.wait();
    bench.sent(&publish(PublishTopic::Short(*b"ab"), Qos::Two, 1, true));
    bench.gateway(&Message::PubRec { msg_id: 1 });
    bench.sent(&Message::PubRel { msg_id: 1 });
    // The first PUBREC was on its way twice.
    bench.gateway(&Message::PubRec { msg_id: 1 });
    bench.silent();
    bench.wait();
    bench.sent(&Message::PubRel { msg_id: 1 });
    bench.gateway(&Message::PubComp { msg_id: 1 });
    bench.event(Event::Published(id, Ok(())));
    bench.gateway(&Message::PubComp { msg_id: 1 });
    bench.no_event();
}

#[test]
fn requests_wait_for_each_other_and_for_the_connection() {
    let mut bench = Bench::new(Options::default());
    bench.publish("ab", Qos::One);
    bench.client.subscribe(bench.now, Topic::Name("#".into()), Qos::One);
    bench.silent();
    bench.client.connect(bench.now);
    bench.sent_name("CONNECT");
    bench.silent();
    bench.gateway(&Message::ConnAck { code: ACCEPTED });
    bench.sent_name("PUBLISH");
    bench.silent();
    bench.gateway(&Message::PubAck { topic_id: 0, msg_id: 1, code: ACCEPTED });
    bench.sent_name("SUBSCRIBE");
    bench.silent();
}

#[test]
fn an_id_that_the_gateway_forgot_is_registered_anew_once() {
    let mut bench = Bench::connected();
    bench.subscribe("a/b", 7);
    let id = bench.publish("a/b", Qos::One);
    bench.sent(&publish(PublishTopic::Normal(7), Qos::One, 2, false));
    let code = ReturnCode::INVALID_TOPIC_ID;
    bench.gateway(&Message::PubAck { topic_id: 7, msg_id: 2, code });
    bench.sent(&Message::Register { topic_id: 0, msg_id: 3, topic: b"a/b" });
    bench.gateway(&Message::RegAck { topic_id: 8, msg_id: 3, code: ACCEPTED });
    bench.sent(&publish(PublishTopic::Normal(8), Qos::One, 4, false));
    bench.gateway(&Message::PubAck { topic_id: 8, msg_id: 4, code });
    bench.event(Event::Published(id, Err(Refusal::Gateway("PUBLISH", code))));
    bench.silent();
}

#[test]
fn refusals_end_a_request_and_the_next_begins() {
    let mut bench = Bench::connected();
    let topic = bench.publish("a/b", Qos::One);
    let other = bench.client.subscribe(bench.now, Topic::Predefined(5), Qos::One);
    bench.sent_name("REGISTER");
    let code = ReturnCode::CONGESTION;
    bench.gateway(&Message::RegAck { topic_id: 0, msg_id: 1, code });
    bench.event(Event::Published(topic, Err(Refusal::Gateway("REGISTER", code))));
    bench.sent(&Message::Subscribe(Subscribe {
        dup: false,
        qos: Qos::One,
        msg_id: 2,
        topic: SubscribeTopic::Predefined(5),
    }));
    let code = ReturnCode::INVALID_TOPIC_ID;
    bench.gateway(&Message::SubAck { qos: Qos::Zero, topic_id: 0, msg_id: 2, code });
    bench.event(Event::Subscribed(other, Err(Refusal::Gateway("SUBSCRIBE", code))));
    // At QoS 0 a refusal comes when the request is over.
    let id = bench.publish("ab", Qos::Zero);
    bench.sent_name("PUBLISH");
    bench.event(Event::Published(id, Ok(())));
    bench.client.disconnect(bench.now);
    bench.gateway(&Message::PubAck { topic_id: 0x6162, msg_id: 0, code });
    bench.event(Event::Rejected { topic_id: 0x6162, code });
}

#[test]
fn what_fits_into_no_packet_is_refused_here() {
    let mut bench = Bench::connected();
    let long = "a".repeat(65_530);
    let id = bench.publish(&long, Qos::One);
    bench.event(Event::Published(id, Err(Refusal::TooLarge)));
    let id = bench.client.subscribe(bench.now, Topic::Name(long), Qos::One);
    bench.event(Event::Subscribed(id, Err(Refusal::TooLarge)));
    bench.silent();
    assert_eq!(bench.client.pending(), 0);
}

#[test]
fn messages_come_under_the_names_that_were_agreed() {
    let mut bench = Bench::connected();
    bench.subscribe("a/b", 7);
    bench.gateway(&publish(PublishTopic::Normal(7), Qos::Zero, 0, false));
    bench.event(message(Topic::Name("a/b".into()), Qos::Zero));
    bench.silent();
    bench.gateway(&publish(PublishTopic::Normal(8), Qos::One, 3, false));
    bench.sent(&Message::PubAck { topic_id: 8, msg_id: 3, code: ReturnCode::INVALID_TOPIC_ID });
    bench.no_event();
    bench.gateway(&Message::Register { topic_id: 8, msg_id: 4, topic: b"c/d" });
    bench.sent(&Message::RegAck { topic_id: 8, msg_id: 4, code: ACCEPTED });
    bench.gateway(&publish(PublishTopic::Normal(8), Qos::One, 3, true));
    bench.sent(&Message::PubAck { topic_id: 8, msg_id: 3, code: ACCEPTED });
    bench.event(message(Topic::Name("c/d".into()), Qos::One));
    bench.gateway(&publish(PublishTopic::Short(*b"xy"), Qos::Zero, 0, false));
    bench.event(message(Topic::Name("xy".into()), Qos::Zero));
    bench.gateway(&publish(PublishTopic::Predefined(5), Qos::Zero, 0, false));
    bench.event(message(Topic::Predefined(5), Qos::Zero));
    for (topic_id, name) in [(0, &b"e"[..]), (9, b""), (9, b"\xFF")] {
        bench.gateway(&Message::Register { topic_id, msg_id: 5, topic: name });
        let code = ReturnCode::NOT_SUPPORTED;
        bench.sent(&Message::RegAck { topic_id, msg_id: 5, code });
    }
}

#[test]
fn qos_2_comes_in_exactly_once() {
    let mut bench = Bench::connected();
    bench.subscribe("a/b", 7);
    for dup in [false, true, true] {
        bench.gateway(&publish(PublishTopic::Normal(7), Qos::Two, 3, dup));
        bench.sent(&Message::PubRec { msg_id: 3 });
    }
    bench.event(message(Topic::Name("a/b".into()), Qos::Two));
    bench.no_event();
    for _ in 0..2 {
        bench.gateway(&Message::PubRel { msg_id: 3 });
        bench.sent(&Message::PubComp { msg_id: 3 });
    }
    // A repetition that its PUBREL has overtaken on the way.
    bench.gateway(&publish(PublishTopic::Normal(7), Qos::Two, 3, true));
    bench.sent(&Message::PubRec { msg_id: 3 });
    bench.no_event();
    // The id is free for the next message.
    bench.gateway(&publish(PublishTopic::Normal(7), Qos::Two, 3, false));
    bench.event(message(Topic::Name("a/b".into()), Qos::Two));
}

#[test]
fn qos_2_is_remembered_through_a_reconnection_without_clean_session() {
    let mut bench = Bench::new(Options { clean_session: false, ..Options::default() });
    for expected in [1, 0] {
        bench.client.connect(bench.now);
        bench.sent_name("CONNECT");
        bench.gateway(&Message::ConnAck { code: ACCEPTED });
        bench.event(Event::Connected);
        bench.gateway(&publish(PublishTopic::Short(*b"ab"), Qos::Two, 3, false));
        bench.sent(&Message::PubRec { msg_id: 3 });
        let messages = std::iter::from_fn(|| bench.client.poll_event()).count();
        assert_eq!(messages, expected);
    }
}

#[test]
fn silence_is_filled_with_pings_and_a_dead_gateway_found() {
    let mut bench = Bench::connected();
    assert_eq!(bench.wait(), Duration::from_secs(45));
    bench.sent(&Message::PingReq { client_id: &[] });
    bench.gateway(&Message::PingResp);
    bench.wait();
    for _ in 0..4 {
        bench.sent(&Message::PingReq { client_id: &[] });
        bench.no_event();
        bench.wait();
    }
    bench.event(Event::Lost(Loss::NoAnswer("PINGREQ")));
    bench.silent();

    let mut bench = Bench::connected();
    bench.gateway(&Message::PingReq { client_id: &[] });
    bench.sent(&Message::PingResp);
    let mut quiet = Bench::new(Options { keep_alive: 0, ..Options::default() });
    quiet.client.connect(quiet.now);
    quiet.gateway(&Message::ConnAck { code: ACCEPTED });
    assert_eq!(quiet.client.next_timeout(), None);
}

#[test]
fn what_was_open_is_repeated_after_a_reconnection() {
    let mut bench = Bench::connected();
    let first = bench.publish("ab", Qos::Two);
    let second = bench.publish("ab", Qos::One);
    bench.sent(&publish(PublishTopic::Short(*b"ab"), Qos::Two, 1, false));
    bench.gateway(&Message::PubRec { msg_id: 1 });
    bench.sent(&Message::PubRel { msg_id: 1 });
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Lost(Loss::Ended));
    bench.client.connect(bench.now);
    bench.sent_name("CONNECT");
    bench.gateway(&Message::ConnAck { code: ACCEPTED });
    bench.event(Event::Connected);
    bench.sent(&Message::PubRel { msg_id: 1 });
    bench.gateway(&Message::PubComp { msg_id: 1 });
    bench.event(Event::Published(first, Ok(())));
    bench.sent(&publish(PublishTopic::Short(*b"ab"), Qos::One, 2, false));
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Lost(Loss::Ended));
    bench.client.connect(bench.now);
    bench.sent_name("CONNECT");
    bench.gateway(&Message::ConnAck { code: ACCEPTED });
    bench.sent(&publish(PublishTopic::Short(*b"ab"), Qos::One, 2, true));
    bench.event(Event::Connected);
    bench.gateway(&Message::PubAck { topic_id: 0, msg_id: 2, code: ACCEPTED });
    bench.event(Event::Published(second, Ok(())));
}

#[test]
fn leaving_is_answered_or_not_but_ends() {
    let mut bench = Bench::connected();
    bench.client.disconnect(bench.now);
    bench.sent(&Message::Disconnect { duration: None });
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Disconnected);
    assert_eq!(bench.client.next_timeout(), None);

    let mut bench = Bench::connected();
    bench.client.disconnect(bench.now);
    for _ in 0..4 {
        bench.sent_name("DISCONNECT");
        assert_eq!(bench.wait(), Duration::from_secs(1));
    }
    bench.event(Event::Disconnected);
}

#[test]
fn without_a_connection_only_some_topics_can_be_used() {
    let publication =
        |topic| Publication { topic, payload: b"x".to_vec(), qos: Qos::MinusOne, retain: true };
    let unconnected = |topic| Client::publish_unconnected(&publication(topic));
    assert_eq!(unconnected(Topic::Predefined(5)), Ok(b"\x08\x0C\x71\x00\x05\x00\x00x".to_vec()));
    assert_eq!(unconnected(Topic::Name("ab".into())), Ok(b"\x08\x0C\x72ab\x00\x00x".to_vec()));
    for name in ["abc", "a", "a#", "é/"] {
        assert_eq!(unconnected(Topic::Name(name.into())), Err(UnconnectedError::Topic), "{name}");
    }
    // Two octets are what counts, not two characters.
    assert!(unconnected(Topic::Name("é".into())).is_ok());
}

#[test]
fn the_last_message_id_is_followed_by_the_first() {
    let mut bench = Bench::connected();
    bench.client.last_msg_id = u16::MAX - 1;
    for expected in [u16::MAX, 1, 2] {
        assert_eq!(bench.client.next_msg_id(), expected);
    }
}

#[test]
fn topic_names_do_not_grow_without_bound() {
    let mut bench = Bench::connected();
    for topic_id in 1..=10_001 {
        bench.gateway(&Message::Register { topic_id, msg_id: 1, topic: b"t" });
        let code = if topic_id <= 10_000 { ACCEPTED } else { ReturnCode::CONGESTION };
        bench.sent(&Message::RegAck { topic_id, msg_id: 1, code });
    }
    assert_eq!(bench.client.names.len(), MOST_NAMES);
}

#[test]
fn requests_that_wait_do_not_grow_without_bound() {
    let mut bench = Bench::new(Options::default());
    let ids: Vec<_> = (0..MOST_REQUESTS + 1).map(|_| bench.publish("ab", Qos::One)).collect();
    bench.event(Event::Published(*ids.last().unwrap(), Err(Refusal::TooMany)));
    bench.no_event();
    assert_eq!(bench.client.pending(), MOST_REQUESTS);
}

#[test]
fn changes_of_topic_ids_are_reported() {
    let mut bench = Bench::connected();
    bench.subscribe("a/b", 7);
    let mut register = |topic_id, topic: &str| {
        bench.gateway(&Message::Register { topic_id, msg_id: 1, topic: topic.as_bytes() });
        bench.sent(&Message::RegAck { topic_id, msg_id: 1, code: ACCEPTED });
        bench.client.poll_event()
    };
    assert_eq!(register(7, "a/b"), None);
    let changed = Event::TopicIdChanged { topic: "a/b".into(), before: 7, now: 8 };
    assert_eq!(register(8, "a/b"), Some(changed));
    let reused = Event::TopicIdReused { topic_id: 7, before: "a/b".into(), now: "c".into() };
    assert_eq!(register(7, "c"), Some(reused));
    assert_eq!(register(9, "d"), None);
}

#[test]
fn an_answer_to_a_request_does_not_answer_the_goodbye_or_the_connection() {
    let mut bench = Bench::connected();
    bench.publish("ab", Qos::One);
    bench.sent_name("PUBLISH");
    bench.client.connect(bench.now);
    bench.sent_name("CONNECT");
    bench.gateway(&Message::PubAck { topic_id: 0, msg_id: 1, code: ACCEPTED });
    bench.no_event();
    bench.wait();
    bench.sent_name("CONNECT");
}

#[test]
fn no_datagram_of_a_gateway_can_harm() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..200 {
        let mut bench = Bench::connected();
        for _ in 0..100 {
            match next() % 10 {
                0 => drop(bench.publish("a/b", [Qos::Zero, Qos::One, Qos::Two][round % 3])),
                1 => bench.client.handle_timeout(bench.now.after(Duration::from_secs(next() % 60))),
                2 if !bench.client.is_connected() => bench.client.connect(bench.now),
                3 => bench.client.sleep(bench.now, 10),
                4 => bench.client.collect(bench.now),
                5 if next() % 4 == 0 => bench.client.wake(bench.now),
                _ => {
                    let length = 2 + next() % 8;
                    let mut datagram: Vec<u8> = (0..length).map(|_| next() as u8).collect();
                    datagram[0] = length as u8;
                    datagram[1] %= 0x20;
                    // Small ids, so that some of them are ours.
                    datagram.iter_mut().skip(2).for_each(|octet| *octet %= 4);
                    let _ = bench.client.handle_datagram(bench.now, &datagram);
                }
            }
            while bench.client.poll_transmit().is_some() {}
            while bench.client.poll_event().is_some() {}
        }
    }
}
