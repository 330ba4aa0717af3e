//! Diaries of clients, and what is told as it happens.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{Message, PublishTopic, Qos, ReturnCode};
use serde_json::Value;

use super::http::{get, get_until, request, send};
use super::start;
use crate::rig::{Device, PATIENCE};

/// What a timeline says, a line an entry.
fn lines(timeline: &Value) -> Vec<String> {
    let entries = timeline["entries"].as_array().expect("entries");
    let line = |entry: &Value| {
        let text = entry["text"].as_str().expect("a text");
        match entry["direction"].as_str() {
            Some("in") => format!("< {text}"),
            Some(_) => format!("> {text}"),
            None => format!("* {text}"),
        }
    };
    entries.iter().map(line).collect()
}

/// A stream of events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(admin: SocketAddr, query: &str) -> Self {
        let request = format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        let mut reader = BufReader::new(send(admin, request.as_bytes()));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a head"), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Self(reader)
    }

    /// The next event; `None` at the end. Sizes of chunks are lines like others here, and no event
    /// begins like one.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut kind = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(name) = line.strip_prefix("event: ") {
                kind = Some(name.trim().to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((kind.take()?, serde_json::from_str(data).expect("JSON")));
            }
        }
    }

    #[track_caller]
    fn wait(&mut self, what: &str, mut right: impl FnMut(&str, &Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let Some((kind, data)) = self.next() else { break };
            if right(&kind, &data) {
                return data;
            }
        }
        panic!("{what} was not told");
    }
}

#[test]
fn a_device_has_a_history() {
    let (rig, admin) = start("[topics]\n7 = \"sensors/seven\"\n");
    let mut device = rig.device("meter");
    let topic = device.register("sensors/one").unwrap();
    assert_eq!(device.publish(topic, Qos::One, "21.5"), ReturnCode::ACCEPTED);
    assert_eq!(
        device.publish(PublishTopic::Predefined(9), Qos::One, "x"),
        ReturnCode::INVALID_TOPIC_ID
    );
    device.send_octets(&[9, 9, 9]);
    device.disconnect();
    let path = "/api/v1/clients/meter/timeline";
    // The record of the client went with its clean session, what is known of it did not.
    let answer = get_until(admin, path, |answer| answer.body.contains("disconnected"));
    let lines = lines(&answer.json());
    let place = |part: &str| {
        let found = lines.iter().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part:?} in {lines:#?}"))
    };
    let story = [
        "< CONNECT: client \"meter\"",
        "* client \"meter\" connected from",
        "> CONNACK: accepted",
        "< REGISTER: \"sensors/one\"",
        "> REGACK: accepted",
        "< PUBLISH: topic id",
        "> PUBACK: accepted",
        "* refused PUBLISH of predefined topic id 9 of client \"meter\"",
        "> PUBACK: rejected: invalid topic id",
        "< not MQTT-SN: ",
        "< DISCONNECT",
        "* client \"meter\" disconnected",
    ];
    let places: Vec<usize> = story.iter().map(|part| place(part)).collect();
    assert!(places.is_sorted(), "{lines:#?}");
    let entry = &answer.json()["entries"][places[5]];
    assert!(entry["topic_id"].is_u64() && entry["predefined"] == false, "{entry}");
    assert_eq!(entry["address"], device.address().to_string());
    assert_eq!(get(admin, "/api/v1/clients/meter").status, 404);
    rig.stop();
}

#[test]
fn one_who_is_refused_and_one_who_is_nobody_leave_traces() {
    let rest = "[access]\ndefault = \"deny\"\n[[client]]\nid = \"good\"\nallow = true\n";
    let (rig, admin) = start(rest);
    let mut stranger = Device::new(rig.gateway.link());
    assert_eq!(stranger.connect("bad"), ReturnCode::NOT_SUPPORTED);
    let mut stranger = Device::new(rig.gateway.link());
    stranger.send(&Message::Register { topic_id: 0, msg_id: 1, topic: b"a" });
    stranger.wait("DISCONNECT", |m| matches!(m, Message::Disconnect { .. }).then_some(()));
    let of = |path: &str| lines(&get(admin, path).json());
    let bad = of("/api/v1/clients/bad/timeline");
    assert!(bad[0].starts_with("< CONNECT: client \"bad\""), "{bad:#?}");
    assert!(bad.iter().any(|line| line.starts_with("* refused CONNECT \"bad\"")), "{bad:#?}");
    assert!(bad.contains(&"> CONNACK: rejected: not supported".to_owned()), "{bad:#?}");
    let strangers = of("/api/v1/strangers");
    let sent = strangers.iter().any(|line| line.starts_with("> DISCONNECT"));
    assert!(sent && strangers.iter().any(|line| line.contains("REGISTER from")), "{strangers:#?}");
    assert_eq!(get(admin, "/api/v1/clients/other/timeline").status, 404);
    rig.stop();
}

#[test]
fn why_a_client_is_silent_and_why_messages_wait() {
    let (rig, admin) = start("");
    let mut device = rig.device("m");
    let of = || {
        let details = get(admin, "/api/v1/clients/m").json();
        let text = |key: &str| details[key].as_str().map(str::to_owned);
        (text("silent_because"), text("waiting_because"))
    };
    assert_eq!(of(), (None, None));
    device.subscribe_to("commands", Qos::One);
    device.sleep(600);
    let (silent, waiting) = of();
    assert!(silent.unwrap().starts_with("it sleeps until"));
    assert_eq!(waiting, None);
    rig.publish("commands", "on", 1);
    get_until(admin, "/api/v1/clients/m", |answer| answer.json()["waiting"] == 1);
    assert_eq!(
        of().1.as_deref(),
        Some("it sleeps; they are sent when it says PINGREQ, or connects")
    );
    device.connect_with("m", false, 60);
    // It does not answer.
    device.wait("PUBLISH", |m| {
        matches!(m, Message::Register { .. } | Message::Publish(_)).then_some(())
    });
    let (silent, waiting) = of();
    assert_eq!(silent, None);
    assert!(waiting.unwrap().contains("was sent once, and waits for"));
    rig.stop();
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let (rig, admin) = start("");
    let mut all = Events::open(admin, "");
    assert_eq!(all.next().unwrap().0, "hello");
    let mut one = Events::open(admin, "?client=second&kinds=packets");
    assert_eq!(one.next().unwrap().1["name"], "e2e");
    let mut states = Events::open(admin, "?kinds=states");
    states.next();
    let _first = rig.device("first");
    let mut second = rig.device("second");
    second.sleep(300);
    all.wait("CONNECT", |kind, data| {
        kind == "packet" && data["packet"] == "CONNECT" && data["client"] == "first"
    });
    all.wait("sleep", |kind, data| {
        kind == "note" && data["text"].as_str().unwrap().contains("sleeps")
    });
    let (kind, data) = one.next().unwrap();
    assert_eq!(
        (&*kind, &data["client"], &data["direction"]),
        ("packet", &"second".into(), &"in".into())
    );
    let client = states.wait("a state", |kind, data| kind == "client" && data["state"] == "asleep");
    assert_eq!(client["id"], "second");
    request(admin, "DELETE", "/api/v1/clients/second", "X-Requested-With: test\r\n", "");
    states.wait("the end", |kind, data| {
        assert_ne!(kind, "packet");
        kind == "removed" && data["id"] == "second"
    });
    // The gateway stops, and with it the streams: with an end, not with silence, which would be an error here.
    rig.stop();
    all.0.read_to_string(&mut String::new()).expect("an end");
}

#[test]
fn a_session_that_expires_is_told() {
    let (rig, admin) = start("[sessions]\nsession_expiry = \"1s\"\n");
    let mut states = Events::open(admin, "?kinds=states");
    let mut device = Device::new(rig.gateway.link());
    assert_eq!(device.connect_with("m", false, 60), ReturnCode::ACCEPTED);
    device.subscribe_to("commands", Qos::One);
    device.disconnect();
    states.wait("the end", |kind, data| kind == "removed" && data["id"] == "m");
    rig.gateway.log.wait_for(&["the session of client \"m\" has expired"]);
    rig.stop();
}

#[test]
fn those_who_do_not_read_hold_nobody_up() {
    let (rig, admin) = start("");
    let mut idle: Vec<Events> = (0..16).map(|_| Events::open(admin, "")).collect();
    let more = get(admin, "/api/v1/events");
    assert_eq!(more.status, 503, "{more:?}");
    assert!(more.body.contains("too many watch"), "{more:?}");
    let before = rig.gateway.memory();
    // More than fits between them and the gateway, from somebody who is nobody.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut device = rig.device("busy");
    for _ in 0..200 {
        for _ in 0..100 {
            stranger.send_to(&[0xFF; 8_000], rig.gateway.link()).unwrap();
        }
        device.ping();
    }
    assert_eq!(get(admin, "/healthz").status, 200);
    let grown = rig.gateway.memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} octets");
    // One that begins to read now hears how much it has missed.
    let missed = idle[0].wait("what was missed", |kind, _| kind == "missed");
    assert!(missed["count"].as_u64() > Some(0), "{missed}");
    drop(idle);
    // There is room again.
    let mut again = get_events_until_there_is_room(admin);
    assert_eq!(again.next().unwrap().0, "hello");
    rig.stop();
}

fn get_events_until_there_is_room(admin: SocketAddr) -> Events {
    let end = Instant::now() + PATIENCE;
    loop {
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        let mut stream = send(admin, request.as_bytes());
        let mut begin = [0; 12];
        if stream.read_exact(&mut begin).is_ok() && begin.ends_with(b"200") {
            return Events(BufReader::new(stream));
        }
        assert!(Instant::now() < end, "there is no room");
        std::thread::sleep(Duration::from_millis(50));
    }
}
