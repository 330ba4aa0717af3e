//! CONNECT, versions, keep-alive, the end of a connection; subscriptions.

use super::*;

#[test]
fn subscriptions_come_back_with_their_tokens_and_die_with_the_connection() {
    let mut client = Client::connected(v5());
    let now = client.now;
    let session = &mut client.session;
    session.subscribe(now, Token(1), "a/#", MqttQos::Two, 5, false).unwrap();
    session.subscribe(now, Token(2), "b", MqttQos::Zero, 6, true).unwrap();
    session.unsubscribe(now, Token(3), "c").unwrap();
    let sent = client.sent();
    assert_eq!(sent[4..12], [2, 0x0B, 5, 0, 3, b'a', b'/', b'#']);
    assert_eq!(sent[12], 0x22, "retain handling 2");
    let (one, two, three) = (sent[3], sent[16], sent[27]);
    client.input(&[0x90, 4, sent[15], two, 0, 0x87]).unwrap();
    client.input(&[0xB0, 4, sent[26], three, 0, 0]).unwrap();
    let answered = [Event::Subscribed(2, Err(Refusal::NotSupported)), Event::Unsubscribed(3)];
    assert_eq!(client.events(), answered);
    client.reconnect(true);
    client.events();
    client.input(&[0x90, 4, sent[2], one, 0, 0]).unwrap();
    assert_eq!(client.events(), [], "the SUBSCRIBE of an old connection is forgotten");
    assert_eq!(client.session.stats().packet_ids, 0);
}

#[test]
fn filters_that_brokers_hang_up_on_are_refused_here() {
    let mut client = Client::connected(v4());
    for filter in ["", "a/#/b", "a#", "a+/b", "a\0", &"x".repeat(70_000)] {
        let result = client.session.subscribe(client.now, Token(1), filter, MqttQos::One, 1, true);
        assert_eq!(result, Err(Refusal::NotSupported), "{:.10}", filter);
    }
    client.close();
    let result = client.session.subscribe(client.now, Token(1), "a", MqttQos::One, 1, true);
    assert_eq!(result, Err(Refusal::Congestion));
}

#[test]
fn an_idle_connection_is_pinged_and_a_silent_one_given_up() {
    let mut client = Client::connected(Settings { keep_alive: Duration::from_secs(10), ..v4() });
    assert_eq!(client.session.next_timeout(), Some(Time(5_000)));
    client.now = Time(5_000);
    client.session.handle_timeout(client.now).unwrap();
    assert_eq!(client.sent(), [0xC0, 0]);
    client.now = Time(7_000);
    client.input(&[0xD0, 0]).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(10_000)));
    client.now = Time(22_000);
    client.session.handle_timeout(client.now).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(27_000)));
    client.now = Time(27_000);
    let error = client.session.handle_timeout(client.now).unwrap_err();
    assert_eq!(error, ConnectionError::KeepAliveTimeout(Duration::from_secs(10)));
    client.close();
    assert_eq!(client.events(), [Event::Disconnected]);
    assert_eq!(client.session.next_timeout(), None);
}

#[test]
fn the_broker_chooses_the_keep_alive_in_mqtt_5() {
    let mut client = Client::new(v5());
    client.session.open(client.now);
    client.input(&[0x20, 6, 0, 0, 3, 0x13, 0, 3]).unwrap();
    assert_eq!(client.session.next_timeout(), Some(Time(1_500)));
}

#[test]
fn a_connack_that_does_not_come_is_an_error() {
    let mut client = Client::new(v4());
    client.session.open(Time(5));
    assert_eq!(client.session.next_timeout(), Some(Time(10_005)));
    client.session.handle_timeout(Time(10_004)).unwrap();
    let error = client.session.handle_timeout(Time(10_005)).unwrap_err();
    assert!(error.to_string().contains("did not answer CONNECT within 10s"), "{error}");
    client.close();
    assert_eq!(client.events(), []);
}

#[test]
fn auto_speaks_5_then_3_1_1_when_the_broker_refuses_5() {
    let settings = Settings { version: Version::Auto, clean_start: false, ..Settings::default() };
    for refusal in [&[0x20, 2, 0, 1][..], &[0x20, 3, 0, 0x84, 0]] {
        let mut client = Client::new(settings.clone());
        client.session.open(client.now);
        assert_eq!(client.sent()[8], 5);
        let error = client.input(refusal).unwrap_err();
        assert!(error.reopen_at_once(), "{error}");
        client.close();
        for _ in 0..2 {
            client.session.open(client.now);
            assert_eq!(client.sent()[8], 4);
            client.input(&[0x20, 2, 0, 0]).unwrap();
            client.close();
        }
    }
    let mut client = Client::new(settings);
    for version in [5, 4, 5] {
        client.session.open(client.now);
        assert_eq!(client.sent()[8], version, "hung up without a CONNACK");
        client.close();
    }
}

#[test]
fn a_clean_start_wipes_with_a_connection_of_its_own() {
    for (settings, connack) in [(v4(), &[0x20, 2, 0, 0][..]), (v5(), &[0x20, 3, 0, 0, 0])] {
        let mut client = Client::new(Settings { clean_start: true, ..settings });
        client.publish(1, MqttQos::One).unwrap();
        for _ in 0..2 {
            // Also after an attempt that failed.
            client.close();
            client.session.open(client.now);
            assert_eq!(client.sent()[9] & 2, 2, "clean");
        }
        let error = client.input(connack).unwrap_err();
        assert_eq!(error, ConnectionError::SessionDiscarded);
        assert!(error.reopen_at_once());
        assert_eq!(client.sent(), [0xE0, 0]);
        client.close();
        assert_eq!(client.events(), [], "this one does not count");
        for _ in 0..2 {
            client.session.open(client.now);
            assert_eq!(client.sent()[9] & 2, 0);
            client.input(connack).unwrap();
            assert!(client.session.is_connected());
            client.close();
        }
        assert_eq!(client.session.stats().connects, 2);
    }
}

#[test]
fn a_session_that_should_be_gone_is_an_error() {
    let mut client = Client::new(Settings { clean_start: true, ..v5() });
    assert!(matches!(client.connect(true), Err(ConnectionError::Protocol(_))));
}

#[test]
fn refused_connections_say_what_to_do() {
    for (settings, connack, expected) in [
        (v4(), &[0x20, 2, 0, 4][..], "check username and password"),
        (v4(), &[0x20, 2, 0, 5], "does not authorize"),
        (v4(), &[0x20, 2, 0, 2], "client id"),
        (v4(), &[0x20, 2, 0, 3], "trying again later"),
        (v4(), &[0x20, 2, 0, 1], "set version = \"5\""),
        (v5(), b"\x20\x09\0\x86\x06\x1F\0\x03why", "saying \"why\""),
        (v5(), &[0x20, 3, 0, 0x89, 0], "server busy"),
        (v5(), &[0x20, 3, 0, 0x84, 0], "set version = \"3.1.1\""),
    ] {
        let mut client = Client::new(settings);
        client.session.open(client.now);
        client.sent();
        let error = client.input(connack).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(client.sent(), [0_u8; 0], "nothing is sent after a refusal");
        client.close();
        assert_eq!(client.events(), []);
    }
}

#[test]
fn a_disconnect_of_the_broker_says_why() {
    let mut client = Client::connected(v5());
    let error = client.input(&[0xE0, 1, 0x8E]).unwrap_err().to_string();
    assert!(error.contains("session taken over") && error.contains("its own name"), "{error}");
    let mut client = Client::connected(v4());
    assert!(client.input(&[0xE0, 0]).is_err());
}

#[test]
fn our_disconnect_is_clean_and_final() {
    for settings in [v4(), v5()] {
        let mut client = Client::connected(settings);
        client.publish(1, MqttQos::One).unwrap();
        client.sent();
        client.session.disconnect();
        assert_eq!(client.sent(), [0xE0, 0]);
        assert!(!client.session.is_connected());
        assert_eq!(client.publish(2, MqttQos::Zero), Err(Refusal::Congestion));
        client.input(b"\x30\x04\0\x01tx").unwrap();
        client.close();
        assert_eq!(client.events(), [Event::Disconnected]);
        client.close();
        assert_eq!(client.events(), [], "closed twice");
    }
}

#[test]
fn what_is_under_way_when_we_leave_goes_to_the_next_broker() {
    for settings in [v4(), v5()] {
        let mut client = Client::connected(settings);
        client.publish(1, MqttQos::One).unwrap();
        client.publish(2, MqttQos::Two).unwrap();
        let sent = client.sent();
        client.session.disconnect();
        client.sent();
        // Its answers come too late: who leaves does not listen any more.
        client.input(&[0x40, 2, sent[5], sent[6]]).unwrap();
        assert_eq!(client.events(), []);
        client.reconnect(false);
        let connected = client.events();
        assert_eq!(connected[0], Event::Disconnected, "{connected:?}");
        assert!(!connected.iter().any(|event| matches!(event, Event::Published(..))));
        let again = client.sent();
        assert_eq!((again[0], again.len()), (0x32, sent.len()), "as new: {again:02x?}");
        client.input(&[0x40, 2, again[5], again[6]]).unwrap();
        assert_eq!(client.events(), [Event::Published(1, Ok(()))]);
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 1_152, "{}", size_of::<Session>());
}
