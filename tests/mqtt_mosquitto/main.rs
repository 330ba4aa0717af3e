//! Our session against a real mosquitto, in both versions.

mod client;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashSet};

use client::Client;
use mqtt_sn_gateway::core::upstream::{MqttQos, Refusal, Token};
use mqtt_sn_gateway::mqtt::{Settings, Version, Will};
use support::mosquitto::Mosquitto;

const BOTH: [Version; 2] = [Version::V311, Version::V5];
const QOS: [MqttQos; 3] = [MqttQos::Zero, MqttQos::One, MqttQos::Two];

#[test]
fn every_qos_both_ways() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in BOTH {
        let mut client = Client::connected(&broker, "every-qos", version);
        client.subscribe(1, "a/#", MqttQos::Two, 7, true);
        for (token, qos) in (10..).zip(QOS) {
            client.publish(token, "a/b", qos, false);
        }
        client.until(|client| client.messages.len() == 3 && client.outcomes.len() == 2).unwrap();
        assert_eq!(client.outcomes, BTreeMap::from([(11, Ok(())), (12, Ok(()))]));
        let ids = if version == Version::V5 { vec![7] } else { vec![] };
        for qos in QOS {
            let message = client.messages.iter().find(|message| message.qos == qos).unwrap();
            assert_eq!((message.topic.as_str(), message.retain), ("a/b", false));
            assert_eq!(message.ids, ids);
        }
        client.until(|client| client.session.stats().incoming == 0).unwrap();
        client.granted.clear();
        let now = client.now();
        client.session.unsubscribe(now, Token(2), "a/#").unwrap();
        client.until(|client| client.granted.contains_key(&2)).unwrap();
        client.publish(20, "a/b", MqttQos::One, false);
        client.until(|client| client.outcomes.contains_key(&20)).unwrap();
        client.for_a_while();
        assert_eq!(client.messages.len(), 3);
        client.leave();
    }
}

#[test]
fn auto_settles_on_mqtt_5() {
    let Some(broker) = Mosquitto::start("") else { return };
    let mut client = Client::connected(&broker, "auto", Version::Auto);
    client.subscribe(1, "a", MqttQos::One, 9, true);
    client.publish(2, "a", MqttQos::One, false);
    client.until(|client| client.messages.len() == 1).unwrap();
    assert_eq!(client.messages[0].ids, [9]);
}

#[test]
fn a_session_outlives_its_connection() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in BOTH {
        let mut other = Client::connected(&broker, "other", version);
        let mut client = Client::connected(&broker, "sleeper", version);
        assert_eq!(client.connected, [false]);
        client.subscribe(1, "s", MqttQos::Two, 1, true);
        // Two messages that are not acknowledged before the connection goes.
        client.acknowledge = false;
        other.publish(100, "s", MqttQos::One, false);
        other.publish(101, "s", MqttQos::Two, false);
        other.until(|other| other.outcomes.len() == 2).unwrap();
        client.until(|client| client.messages.len() == 2).unwrap();
        client.drop_connection();
        // One of them is acknowledged without a connection. More messages come meanwhile.
        let now = client.now();
        client.session.acknowledge(now, client.messages[1].delivery.unwrap(), false);
        other.publish(102, "s", MqttQos::One, false);
        other.publish(103, "s", MqttQos::Two, false);
        other.until(|other| other.outcomes.len() == 4).unwrap();
        client.connect().unwrap();
        assert_eq!(client.connected, [false, true]);
        client.until(|client| client.messages.len() == 4).unwrap();
        client.for_a_while();
        assert_eq!(client.payloads(), ["100", "101", "102", "103"], "each of them once");
        assert_eq!(client.session.stats().duplicates_dropped, 2);
        for message in client.messages.clone() {
            let now = client.now();
            client.session.acknowledge(now, message.delivery.unwrap(), false);
        }
        client.until(|client| client.session.stats().incoming == 0).unwrap();
        client.leave();
        other.leave();
    }
}

#[test]
fn a_clean_start_discards_what_the_broker_remembers() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in BOTH {
        let mut first = Client::connected(&broker, "clean", version);
        first.subscribe(1, "c", MqttQos::One, 1, true);
        first.leave();
        let mut other = Client::connected(&broker, "other", version);
        other.publish(100, "c", MqttQos::One, false);
        other.until(|other| other.outcomes.len() == 1).unwrap();
        let mut second = Client::connected(&broker, "clean", version);
        assert_eq!(second.connected, [false]);
        second.for_a_while();
        assert_eq!(second.payloads(), [""; 0]);
        second.leave();
        // Without it, the session of the second is still there.
        let settings = Settings {
            client_id: "clean".into(),
            version,
            clean_start: false,
            ..Settings::default()
        };
        let mut third = Client::new(&broker, settings);
        third.connect().unwrap();
        assert_eq!(third.connected, [true]);
    }
}

#[test]
fn a_wrong_password_is_said_clearly() {
    let directory = tempfile::tempdir().unwrap();
    let passwords = directory.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["alice", "right"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("mosquitto_passwd is not installed: this test has tested nothing");
        return;
    }
    let extra = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let Some(broker) = Mosquitto::start(&extra) else { return };
    for (version, text) in [
        (Version::V311, "the broker does not authorize this connection"),
        (Version::V5, "the broker does not authorize this connection"),
        (Version::Auto, "the broker does not authorize this connection"),
    ] {
        let settings = |password: &[u8]| Settings {
            version,
            username: Some("alice".into()),
            password: Some(password.into()),
            ..Settings::default()
        };
        let error = Client::new(&broker, settings(b"wrong")).connect().unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(error.to_string().contains("check username and password"), "{error}");
        assert!(error.needs_attention());
        Client::new(&broker, settings(b"right")).connect().unwrap();
    }
}

#[test]
fn the_will_is_published_when_the_connection_goes_and_not_after_a_disconnect() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in BOTH {
        let mut watcher = Client::connected(&broker, "watcher", version);
        watcher.subscribe(1, "will", MqttQos::One, 1, true);
        let settings = Settings {
            client_id: "mortal".into(),
            version,
            will: Some(Will {
                topic: "will".into(),
                payload: Box::from(&b"offline"[..]),
                qos: MqttQos::One,
                retain: false,
            }),
            ..Settings::default()
        };
        let mut client = Client::new(&broker, settings);
        client.connect().unwrap();
        client.leave();
        watcher.for_a_while();
        assert_eq!(watcher.payloads(), [""; 0], "neither wiping nor leaving publishes the will");
        client.connect().unwrap();
        client.drop_connection();
        watcher.until(|watcher| watcher.payloads() == ["offline"]).unwrap();
        watcher.leave();
    }
}

/// Traffic to itself at QoS 1 and 2, with connections that go in the middle of it.
///
/// Every connection lives until mosquitto has sent again what it has to. If it goes before, twice in
/// a row, mosquitto 2.0 forgets that it owes a PUBREL, sends PUBLISH instead, and breaks QoS 2.
#[test]
fn nothing_is_lost_or_doubled_when_connections_go() {
    let Some(broker) = Mosquitto::start(UNBOUNDED) else { return };
    for version in BOTH {
        let mut client = Client::connected(&broker, "traffic", version);
        client.subscribe(0, "t/#", MqttQos::Two, 1, true);
        let mut token = 0;
        for round in 0..10 {
            traffic(&mut client, &mut token, 150);
            if round < 9 {
                client.drop_connection();
                traffic(&mut client, &mut token, 10);
                client.connect().unwrap();
                client.subscribe(1_000_000 + round, "barrier", MqttQos::Zero, 2, false);
            }
        }
        let repetitions = everything_arrived(&mut client, token);
        assert_eq!(client.connected, [&[false][..], &[true; 9]].concat());
        assert_eq!(repetitions[1], 0, "QoS 2 is exactly once");
        client.leave();
    }
}

/// The same through restarts of the broker that keep its sessions.
///
/// QoS 2 is not checked for repetitions: after a restart mosquitto 2.0 sends PUBLISH again although
/// it had sent PUBREL, when the PUBCOMP did not reach it before.
#[test]
fn nothing_is_lost_through_restarts_of_the_broker() {
    for version in BOTH {
        let Some(mut broker) = Mosquitto::start(UNBOUNDED) else { return };
        let mut client = Client::connected(&broker, "traffic", version);
        client.subscribe(0, "t/#", MqttQos::Two, 1, true);
        let mut token = 0;
        for round in 0..4 {
            traffic(&mut client, &mut token, 300);
            if round < 3 {
                broker.stop();
                while client.turn().is_ok() {}
                traffic(&mut client, &mut token, 10);
                broker.restart();
                client.connect().unwrap();
            }
        }
        everything_arrived(&mut client, token);
        assert_eq!(client.connected, [false, true, true, true]);
    }
}

/// mosquitto keeps as much as there is.
const UNBOUNDED: &str = "max_queued_messages 0\nmax_inflight_messages 0";

fn traffic(client: &mut Client, token: &mut u64, messages: u64) {
    for _ in 0..messages {
        *token += 1;
        let (topic, qos) =
            if token.is_multiple_of(2) { ("t/1", MqttQos::One) } else { ("t/2", MqttQos::Two) };
        client.publish(*token, topic, qos, false);
        if token.is_multiple_of(50) && client.stream.is_some() {
            client.turn().unwrap();
        }
    }
}

/// Waits for all outcomes and messages; returns how many came twice at QoS 1 and 2.
fn everything_arrived(client: &mut Client, last: u64) -> [usize; 2] {
    let count = |client: &Client| client.payloads().into_iter().collect::<HashSet<_>>().len();
    let expected = usize::try_from(last).unwrap();
    client.until(|client| client.outcomes.len() == expected && count(client) == expected).unwrap();
    client.for_a_while();
    assert!(client.outcomes.values().all(Result::is_ok));
    [MqttQos::One, MqttQos::Two].map(|qos| {
        let of_qos = client.messages.iter().filter(|message| message.qos == qos);
        let numbers: Vec<u64> = of_qos.map(|message| message.payload.parse().unwrap()).collect();
        let mut seen = HashSet::new();
        let first: Vec<u64> =
            numbers.iter().copied().filter(|&number| seen.insert(number)).collect();
        let wrong = first.windows(2).find(|pair| pair[0] > pair[1]);
        assert_eq!(wrong, None, "order at {qos:?} of {first:?}");
        numbers.len() - first.len()
    })
}

/// A broker that dies loses its sessions. Ours still ends every request, once.
#[test]
fn every_request_ends_once_when_the_broker_loses_its_sessions() {
    for version in BOTH {
        let Some(mut broker) = Mosquitto::start("") else { return };
        let mut client = Client::connected(&broker, "traffic", version);
        for round in 0..3_u64 {
            for number in 0..200 {
                client.publish(round * 1_000 + number, "t", QOS[1 + number as usize % 2], false);
            }
            client.turn().unwrap();
            broker.kill();
            while client.turn().is_ok() {}
            broker.restart();
            client.connect().unwrap();
        }
        client.until(|client| client.outcomes.len() == 600).unwrap();
        assert!(client.outcomes.values().all(Result::is_ok));
        assert!(client.session.stats().republished > 0);
    }
}

#[test]
fn what_the_broker_finds_too_large_is_refused_and_blocks_nothing() {
    let Some(broker) = Mosquitto::start("max_packet_size 2000") else { return };
    let large = vec![0; 3_000];
    let mut client = Client::connected(&broker, "large", Version::V5);
    let now = client.now();
    let refused = client.session.publish(now, Token(1), "t", &large, MqttQos::One, false);
    assert_eq!(refused, Err(Refusal::NotSupported));
    // 3.1.1 has no way to say so: the broker hangs up, again and again.
    let mut client = Client::connected(&broker, "large", Version::V311);
    let now = client.now();
    client.publish(1, "t", MqttQos::One, false);
    client.session.publish(now, Token(2), "t", &large, MqttQos::One, false).unwrap();
    client.publish(3, "t", MqttQos::One, false);
    for _ in 0..20 {
        if client.until(|client| client.outcomes.len() == 3).is_ok() {
            break;
        }
        client.connect().unwrap();
    }
    let expected = BTreeMap::from([(1, Ok(())), (2, Err(Refusal::NotSupported)), (3, Ok(()))]);
    assert_eq!(client.outcomes, expected);
}

/// What the gateway has to know about mosquitto 2.0, pinned down: how many copies come for
/// overlapping filters, and whom retained messages reach.
#[test]
fn overlapping_filters_and_retained_messages() {
    let Some(broker) = Mosquitto::start("") else { return };
    for version in BOTH {
        let mut other = Client::connected(&broker, "other", version);
        other.publish(1, "o/x", MqttQos::One, true);
        other.until(|other| other.outcomes.len() == 1).unwrap();
        let mut client = Client::connected(&broker, "overlap", version);
        client.subscribe(1, "o/#", MqttQos::Two, 11, true);
        client.until(|client| client.messages.len() == 1).unwrap();
        assert!(client.messages[0].retain, "the retained message comes with its flag");
        // The same filter again, as for a second device.
        client.subscribe(2, "o/#", MqttQos::Two, 11, true);
        client.until(|client| client.messages.len() == 2).unwrap();
        assert!(client.messages[1].retain);
        client.messages.clear();
        client.subscribe(3, "o/#", MqttQos::Two, 11, false);
        client.for_a_while();
        // Retain handling is of MQTT 5; 3.1.1 sends retained messages with every SUBSCRIBE.
        let expected = if version == Version::V5 { 0 } else { 1 };
        assert_eq!(client.messages.len(), expected);
        client.subscribe(4, "o/+", MqttQos::One, 12, false);
        client.for_a_while();
        client.messages.clear();
        other.publish(2, "o/x", MqttQos::Two, false);
        other.until(|other| other.outcomes.len() == 2).unwrap();
        client.until(|client| !client.messages.is_empty()).unwrap();
        client.for_a_while();
        let mut copies: Vec<_> =
            client.messages.iter().map(|message| (message.qos, message.ids.clone())).collect();
        copies.sort();
        // One copy in 3.1.1, at the QoS of one of the subscriptions and not always the highest; in
        // 5 a copy for each subscription.
        match version {
            Version::V5 => {
                let each = [(MqttQos::One, vec![12]), (MqttQos::Two, vec![11])];
                assert_eq!(copies, each);
            }
            _ => assert_eq!(copies.len(), 1),
        }
        println!("{version:?}: copies for overlapping filters: {copies:?}");
        client.leave();
        other.leave();
    }
}
