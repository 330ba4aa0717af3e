//! Sleeping.

use super::*;

const PUBLISH: Message<'static> = Message::Publish(Publish {
    dup: false,
    qos: Qos::One,
    retain: false,
    topic: PublishTopic::Short(*b"ab"),
    msg_id: 3,
    data: b"x",
});

const WAKE: Message<'static> = Message::PingReq { client_id: b"client" };

fn asleep() -> Bench {
    let mut bench = Bench::connected();
    bench.client.sleep(bench.now, 30);
    bench.sent(&Message::Disconnect { duration: Some(30) });
    assert!(!bench.client.is_asleep());
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Asleep);
    assert!(bench.client.is_asleep() && bench.client.has_session());
    bench
}

fn collecting() -> Bench {
    let mut bench = asleep();
    bench.client.collect(bench.now);
    bench.sent(&WAKE);
    bench
}

#[test]
fn asleep_nothing_is_heard_and_nothing_due() {
    let mut bench = asleep();
    assert_eq!(bench.client.next_timeout(), None);
    for message in [
        PUBLISH,
        Message::Register { topic_id: 5, msg_id: 1, topic: b"a" },
        Message::PingReq { client_id: b"" },
        Message::PingResp,
        Message::Disconnect { duration: None },
        Message::PubAck { topic_id: 0, msg_id: 1, code: ReturnCode::CONGESTION },
    ] {
        bench.gateway(&message);
    }
    bench.client.handle_timeout(bench.now.after(Duration::from_secs(1_000_000)));
    bench.silent();
    bench.no_event();
    assert!(bench.client.is_asleep());
}

#[test]
fn messages_that_cross_the_disconnect_are_taken() {
    let mut bench = Bench::connected();
    bench.client.sleep(bench.now, 30);
    bench.sent_name("DISCONNECT");
    bench.gateway(&PUBLISH);
    bench.sent(&Message::PubAck { topic_id: 0x6162, msg_id: 3, code: ACCEPTED });
    bench.event(message(Topic::Name("ab".into()), Qos::One));
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Asleep);
}

#[test]
fn going_to_sleep_is_repeated_and_without_an_answer_all_is_lost() {
    let mut bench = Bench::connected();
    bench.client.sleep(bench.now, 30);
    for _ in 0..4 {
        bench.sent(&Message::Disconnect { duration: Some(30) });
        bench.no_event();
        assert_eq!(bench.wait(), Duration::from_secs(10));
    }
    bench.event(Event::Lost(Loss::NoAnswer("DISCONNECT")));
    assert_eq!(bench.client.repetitions(), 3);
    assert!(!bench.client.has_session());
    // Without a connection there is nobody to tell.
    bench.client.sleep(bench.now, 30);
    bench.client.collect(bench.now);
    bench.silent();
}

#[test]
fn what_has_waited_is_collected() {
    let mut bench = collecting();
    bench.gateway(&Message::Register { topic_id: 5, msg_id: 1, topic: b"a/b" });
    bench.sent(&Message::RegAck { topic_id: 5, msg_id: 1, code: ACCEPTED });
    bench.gateway(&publish(PublishTopic::Normal(5), Qos::Two, 2, false));
    bench.sent(&Message::PubRec { msg_id: 2 });
    bench.event(message(Topic::Name("a/b".into()), Qos::Two));
    bench.gateway(&Message::PubRel { msg_id: 2 });
    bench.sent(&Message::PubComp { msg_id: 2 });
    bench.gateway(&publish(PublishTopic::Normal(5), Qos::Zero, 0, false));
    bench.event(message(Topic::Name("a/b".into()), Qos::Zero));
    bench.silent();
    bench.no_event();
    bench.gateway(&Message::PingResp);
    bench.event(Event::Collected);
    assert!(bench.client.is_asleep());
    assert_eq!(bench.client.next_timeout(), None);
    // And the next time, without another DISCONNECT.
    bench.client.collect(bench.now);
    bench.sent(&WAKE);
    bench.gateway(&Message::PingResp);
    bench.event(Event::Collected);
}

#[test]
fn the_wait_begins_anew_with_everything_that_comes() {
    let mut bench = collecting();
    for _ in 0..3 {
        assert_eq!(bench.wait(), Duration::from_secs(10));
        bench.sent(&WAKE);
    }
    bench.now = bench.now.after(Duration::from_secs(9));
    bench.gateway(&PUBLISH);
    bench.sent_name("PUBACK");
    bench.event(message(Topic::Name("ab".into()), Qos::One));
    for _ in 0..3 {
        assert_eq!(bench.wait(), Duration::from_secs(10));
        bench.sent(&WAKE);
    }
    assert_eq!(bench.wait(), Duration::from_secs(10));
    bench.silent();
    bench.event(Event::NotCollected);
    assert!(bench.client.is_asleep());
    assert_eq!(bench.client.next_timeout(), None);
}

#[test]
fn a_gateway_that_forgot_the_sleeper_says_so() {
    let mut bench = collecting();
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Lost(Loss::Ended));
    assert_eq!(bench.client.next_timeout(), None);
}

#[test]
fn waking_to_stay_keeps_the_session_and_goes_on_with_what_was_open() {
    let mut bench = Bench::connected();
    bench.subscribe("a/b", 7);
    let id = bench.publish("a/b", Qos::One);
    bench.sent(&publish(PublishTopic::Normal(7), Qos::One, 2, false));
    bench.client.sleep(bench.now, 30);
    bench.sent_name("DISCONNECT");
    // It comes too late to be heard as what it is; DISCONNECT is waited for all the same.
    bench.gateway(&Message::PubAck { topic_id: 7, msg_id: 2, code: ACCEPTED });
    bench.wait();
    bench.sent_name("DISCONNECT");
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Asleep);
    bench.publish("a/b", Qos::Zero);
    bench.silent();
    bench.client.wake(bench.now);
    bench.sent(&Message::Connect(Connect {
        will: false,
        clean_session: false,
        protocol_id: 1,
        duration: 60,
        client_id: b"client",
    }));
    bench.gateway(&Message::ConnAck { code: ACCEPTED });
    bench.event(Event::Connected);
    bench.sent(&publish(PublishTopic::Normal(7), Qos::One, 2, true));
    bench.gateway(&Message::PubAck { topic_id: 7, msg_id: 2, code: ACCEPTED });
    bench.event(Event::Published(id, Ok(())));
    bench.sent(&publish(PublishTopic::Normal(7), Qos::Zero, 0, false));
}

#[test]
fn a_sleeper_changes_its_mind_and_says_goodbye() {
    let mut bench = asleep();
    bench.client.sleep(bench.now, 300);
    bench.sent(&Message::Disconnect { duration: Some(300) });
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Asleep);
    // A sleep of no length would be a goodbye.
    bench.client.sleep(bench.now, 0);
    bench.sent(&Message::Disconnect { duration: Some(1) });
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Asleep);
    bench.client.disconnect(bench.now);
    bench.sent(&Message::Disconnect { duration: None });
    bench.gateway(&Message::Disconnect { duration: None });
    bench.event(Event::Disconnected);
    assert!(!bench.client.has_session());
}
