//! Two programs that we did not write read what our encoder writes and see the same fields, and
//! one of them builds frames that our decoder must read the same way.
//!
//! `tests/setup.sh` installs scapy and tshark; `MQTT_SN_SKIP_WITNESS=1` does without them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mqtt_sn_gateway::codec::{
    Connect, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe,
    SubscribeTopic, WillTopic, decode,
};

type Fields = BTreeMap<String, String>;

const PYTHON_MISSING: i32 = 3;

fn skipped() -> bool {
    let skip = std::env::var("MQTT_SN_SKIP_WITNESS").is_ok_and(|value| value == "1");
    if skip {
        println!("skipped: MQTT_SN_SKIP_WITNESS=1, scapy and tshark were not asked");
    }
    skip
}

/// Runs `tests/witness/witness.py` and returns what it prints.
fn witness(verb: &str, input: String) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = root.join(".venv/bin/python");
    let python = if venv.exists() { venv } else { "python3".into() };
    let how = "run tests/setup.sh, or set MQTT_SN_SKIP_WITNESS=1 to go without";
    let mut child = Command::new(&python)
        .arg(root.join("tests/witness/witness.py"))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: {how}", python.display()));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A program that ends early says why on stderr.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program can be waited for");
    let written = writer.join().expect("the writer does not panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => written.expect("all of the input was read"),
        Some(PYTHON_MISSING) => panic!("a witness is missing ({}): {how}", errors.trim()),
        _ => panic!("witness.py {verb}: {}\n{errors}", output.status),
    }
    String::from_utf8(output.stdout).expect("the output is ASCII")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").expect("a string takes everything");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("two hex digits")
        })
        .collect()
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = vec![0; packet.encoded_len()];
    packet.encode(&mut out).expect("the buffer has the length asked for");
    out
}

fn parse_fields<'a>(words: impl Iterator<Item = &'a str>) -> Fields {
    words
        .map(|word| {
            let (key, value) = word.split_once('=').expect("key=value");
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// Collects the fields of a packet in the words of the script.
#[derive(Default)]
struct Expected(Fields);

impl Expected {
    fn number(&mut self, key: &str, value: impl Into<u64>) {
        self.0.insert(key.to_owned(), value.into().to_string());
    }

    fn octets(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), hex(value));
        }
    }

    /// Flags as the whole octet is to be read: what the message does not use is 0.
    fn flags(&mut self, dup: bool, qos: Qos, retain: bool, topic_id_type: u8) {
        self.number("dup", dup);
        self.number("qos", qos_bits(qos));
        self.number("retain", retain);
        self.number("will", false);
        self.number("clean_session", false);
        self.number("topic_id_type", topic_id_type);
    }

    fn will(&mut self, will: Option<WillTopic<'_>>) {
        if let Some(will) = will {
            self.flags(false, will.qos, will.retain, 0);
            self.octets("topic", will.topic);
        }
    }

    fn filter(&mut self, dup: bool, qos: Qos, msg_id: u16, topic: SubscribeTopic<'_>) {
        self.number("msg_id", msg_id);
        let topic_id_type = match topic {
            SubscribeTopic::Name(name) => {
                self.octets("topic", name);
                0
            }
            SubscribeTopic::Predefined(id) => {
                self.number("topic_id", id);
                1
            }
            SubscribeTopic::Short(name) => {
                self.octets("topic", &name);
                2
            }
            SubscribeTopic::Reserved => 3,
        };
        self.flags(dup, qos, false, topic_id_type);
    }

    fn acknowledgement(&mut self, topic_id: u16, msg_id: u16, code: ReturnCode) {
        self.number("topic_id", topic_id);
        self.number("msg_id", msg_id);
        self.number("return_code", code.0);
    }

    fn message(&mut self, message: Message<'_>) {
        match message {
            Message::Advertise { gateway_id, duration } => {
                self.number("gateway_id", gateway_id);
                self.number("duration", duration);
            }
            Message::SearchGw { radius } => self.number("radius", radius),
            Message::GwInfo { gateway_id, address } => {
                self.number("gateway_id", gateway_id);
                self.octets("address", address);
            }
            Message::Connect(connect) => {
                self.flags(false, Qos::Zero, false, 0);
                self.number("will", connect.will);
                self.number("clean_session", connect.clean_session);
                self.number("protocol_id", connect.protocol_id);
                self.number("duration", connect.duration);
                self.octets("client_id", connect.client_id);
            }
            Message::ConnAck { code }
            | Message::WillTopicResp { code }
            | Message::WillMsgResp { code } => self.number("return_code", code.0),
            Message::WillTopicReq
            | Message::WillMsgReq
            | Message::PingResp
            | Message::Disconnect { duration: None } => {}
            Message::WillTopic(will) | Message::WillTopicUpd(will) => self.will(will),
            Message::WillMsg { message } | Message::WillMsgUpd { message } => {
                self.octets("data", message);
            }
            Message::Register { topic_id, msg_id, topic } => {
                self.number("topic_id", topic_id);
                self.number("msg_id", msg_id);
                self.octets("topic", topic);
            }
            Message::RegAck { topic_id, msg_id, code }
            | Message::PubAck { topic_id, msg_id, code } => {
                self.acknowledgement(topic_id, msg_id, code);
            }
            Message::Publish(publish) => {
                // Both tools show the two characters of a short name as a number.
                let (topic_id_type, topic_id) = match publish.topic {
                    PublishTopic::Normal(id) => (0, id),
                    PublishTopic::Predefined(id) => (1, id),
                    PublishTopic::Short(name) => (2, u16::from_be_bytes(name)),
                    PublishTopic::Reserved(id) => (3, id),
                };
                self.flags(publish.dup, publish.qos, publish.retain, topic_id_type);
                self.number("topic_id", topic_id);
                self.number("msg_id", publish.msg_id);
                self.octets("data", publish.data);
            }
            Message::PubComp { msg_id }
            | Message::PubRec { msg_id }
            | Message::PubRel { msg_id }
            | Message::UnsubAck { msg_id } => self.number("msg_id", msg_id),
            Message::Subscribe(subscribe) => {
                self.filter(subscribe.dup, subscribe.qos, subscribe.msg_id, subscribe.topic);
            }
            Message::SubAck { qos, topic_id, msg_id, code } => {
                self.flags(false, qos, false, 0);
                self.acknowledgement(topic_id, msg_id, code);
            }
            Message::Unsubscribe { msg_id, topic } => {
                self.filter(false, Qos::Zero, msg_id, topic);
            }
            Message::PingReq { client_id } => self.octets("client_id", client_id),
            Message::Disconnect { duration: Some(duration) } => self.number("duration", duration),
        }
    }
}

fn qos_bits(qos: Qos) -> u8 {
    match qos {
        Qos::Zero => 0,
        Qos::One => 1,
        Qos::Two => 2,
        Qos::MinusOne => 3,
    }
}

fn expected(packet: &Packet<'_>) -> Fields {
    let mut expected = Expected::default();
    if let Some(forwarder) = packet.forwarder {
        expected.number("forwarder_type", 0xFE_u8);
        expected.0.insert("forwarder_name".to_owned(), "Encapsulated_message".to_owned());
        expected.number("forwarder_length", u64::try_from(forwarder.encoded_len()).expect("small"));
        expected.number("forwarder_radius", forwarder.radius);
        expected.octets("forwarder_node_id", forwarder.node_id);
    }
    let message = packet.message;
    expected.number("type", message.type_code());
    expected.0.insert("name".to_owned(), message.name().to_owned());
    expected.number("length", u64::try_from(message.encoded_len()).expect("small"));
    expected.message(message);
    expected.0
}

/// What tshark 4.0 is known to get wrong. A version that does better is right too.
struct Defects {
    /// Fields that it may leave out.
    unseen: Vec<&'static str>,
    /// What it may find wrong although nothing is.
    complaints: Vec<String>,
}

fn tshark_defects(packet: &Packet<'_>) -> Defects {
    // It has names of its own for the types, and shows no flags where it thinks they have no use.
    let mut unseen = vec!["name", "forwarder_name"];
    unseen.extend_from_slice(match packet.message {
        Message::Publish(_) => &["will", "clean_session"],
        Message::Connect(_) => &["dup", "qos", "retain"],
        Message::WillTopic(_)
        | Message::WillTopicUpd(_)
        | Message::Subscribe(_)
        | Message::SubAck { .. }
        | Message::Unsubscribe { .. } => &["dup", "qos", "retain", "will", "clean_session"],
        _ => &[],
    });
    let mut complaints = Vec::new();
    let gives_up = || "Malformed_Packet_(Exception_occurred)".to_owned();
    if let Some(forwarder) = packet.forwarder {
        // It takes the node id for a number of one to four octets, and stops if there are none.
        let len = forwarder.node_id.len();
        if !(1..=4).contains(&len) {
            complaints.push(format!("Trying_to_fetch_an_unsigned_integer_with_length_{len}"));
        }
        if len == 0 {
            complaints.push(gives_up());
            unseen.extend(["type", "length", "client_id", "data", "duration", "protocol_id"]);
            unseen.extend(["topic_id_type", "will", "clean_session"]);
        }
    }
    match packet.message {
        // It does not know the empty forms.
        Message::WillTopic(None) | Message::WillTopicUpd(None) => complaints.push(gives_up()),
        // It takes octets for text, which ends at the first NUL.
        Message::Subscribe(Subscribe { topic: SubscribeTopic::Predefined(_), .. })
        | Message::Unsubscribe { topic: SubscribeTopic::Predefined(_), .. }
        | Message::Publish(_)
        | Message::WillMsg { .. }
        | Message::WillMsgUpd { .. } => complaints.push("Trailing_stray_characters".to_owned()),
        _ => {}
    }
    Defects { unseen, complaints }
}

/// Whether `seen` is `ours` but for known defects of the tool.
fn agrees(ours: &Fields, seen: &Fields, defects: &Defects) -> bool {
    let may_be_missing = |key: &String| defects.unseen.contains(&key.as_str());
    let may_complain =
        |text: &str| text.split(';').all(|one| defects.complaints.iter().any(|known| known == one));
    ours.keys().all(|key| seen.contains_key(key) || may_be_missing(key))
        && seen.iter().all(|(key, value)| match ours.get(key) {
            Some(ours) => ours == value,
            None => key == "complaint" && may_complain(value),
        })
}

/// One packet a case; the caller keeps the octets that they borrow.
fn packets<'a>(text: &'a [u8], node_ids: &[&'a [u8]]) -> Vec<Packet<'a>> {
    const CODES: [u8; 5] = [0, 1, 2, 3, 0x80];
    const QOS: [Qos; 4] = [Qos::MinusOne, Qos::Zero, Qos::One, Qos::Two];
    let mut messages = vec![
        Message::Advertise { gateway_id: 7, duration: 1200 },
        Message::Advertise { gateway_id: 255, duration: 65_535 },
        Message::SearchGw { radius: 0 },
        Message::SearchGw { radius: 255 },
        Message::GwInfo { gateway_id: 7, address: &[] },
        Message::GwInfo { gateway_id: 7, address: &[0x02, 0x12, 0x34] },
        Message::WillTopicReq,
        Message::WillTopic(None),
        Message::WillMsgReq,
        Message::WillTopicUpd(None),
        Message::PingReq { client_id: b"" },
        Message::PingReq { client_id: b"sensor-01" },
        Message::PingResp,
        Message::Disconnect { duration: None },
        Message::Disconnect { duration: Some(0) },
        Message::Disconnect { duration: Some(300) },
    ];
    for code in CODES.map(ReturnCode) {
        messages.extend([
            Message::ConnAck { code },
            Message::RegAck { topic_id: 0x0011, msg_id: 0x1234, code },
            Message::PubAck { topic_id: 0x0099, msg_id: 0xABCD, code },
            Message::WillTopicResp { code },
            Message::WillMsgResp { code },
        ]);
    }
    for msg_id in [1, 0x00FF, 0x0100, 0xFFFF] {
        messages.extend([
            Message::PubComp { msg_id },
            Message::PubRec { msg_id },
            Message::PubRel { msg_id },
            Message::UnsubAck { msg_id },
            Message::Register { topic_id: 0, msg_id, topic: b"s/1/temp" },
            Message::Register { topic_id: 0x0012, msg_id, topic: "grüße/1".as_bytes() },
        ]);
        for topic in [
            SubscribeTopic::Name(b"s/+/cmd"),
            SubscribeTopic::Predefined(5),
            SubscribeTopic::Short(*b"ab"),
        ] {
            messages.push(Message::Unsubscribe { msg_id, topic });
            messages.extend([Qos::Zero, Qos::One, Qos::Two].into_iter().flat_map(|qos| {
                [false, true].map(|dup| Message::Subscribe(Subscribe { dup, qos, msg_id, topic }))
            }));
        }
    }
    for (will, clean_session) in [(false, false), (false, true), (true, false), (true, true)] {
        messages.push(Message::Connect(Connect {
            will,
            clean_session,
            protocol_id: 1,
            duration: 60,
            client_id: b"sensor-01",
        }));
    }
    for qos in QOS {
        for retain in [false, true] {
            let will = Some(WillTopic { qos, retain, topic: b"s/1/lwt" });
            messages.extend([Message::WillTopic(will), Message::WillTopicUpd(will)]);
            for topic in [
                PublishTopic::Normal(0x0011),
                PublishTopic::Predefined(0xFFFE),
                PublishTopic::Short(*b"ab"),
            ] {
                messages.extend([false, true].map(|dup| {
                    Message::Publish(Publish { dup, qos, retain, topic, msg_id: 2, data: b"21.5" })
                }));
            }
        }
        messages.push(Message::SubAck {
            qos,
            topic_id: 0x0012,
            msg_id: 5,
            code: ReturnCode::ACCEPTED,
        });
    }
    messages.extend([
        Message::WillMsg { message: &EVERY_OCTET },
        Message::WillMsgUpd { message: &EVERY_OCTET },
        Message::Publish(Publish {
            dup: false,
            qos: Qos::Zero,
            retain: false,
            topic: PublishTopic::Normal(1),
            msg_id: 0,
            data: &EVERY_OCTET,
        }),
    ]);
    // Every variable field on both sides of the change of Length form.
    for len in [0, 1, 200, 247, 248, 249, 250, 251, 252, 253, 254, 255, 256, 1000] {
        let text = &text[..len];
        messages.push(Message::Publish(Publish {
            dup: false,
            qos: Qos::One,
            retain: false,
            topic: PublishTopic::Normal(1),
            msg_id: 9,
            data: text,
        }));
        if len > 0 {
            messages.extend([
                Message::GwInfo { gateway_id: 1, address: text },
                Message::Connect(Connect {
                    will: false,
                    clean_session: true,
                    protocol_id: 1,
                    duration: 0,
                    client_id: text,
                }),
                Message::WillTopic(Some(WillTopic { qos: Qos::Zero, retain: false, topic: text })),
                Message::WillMsg { message: text },
                Message::Register { topic_id: 1, msg_id: 1, topic: text },
                Message::Subscribe(Subscribe {
                    dup: false,
                    qos: Qos::One,
                    msg_id: 1,
                    topic: SubscribeTopic::Name(text),
                }),
                Message::Unsubscribe { msg_id: 1, topic: SubscribeTopic::Name(text) },
                Message::PingReq { client_id: text },
                Message::WillTopicUpd(Some(WillTopic {
                    qos: Qos::Zero,
                    retain: false,
                    topic: text,
                })),
                Message::WillMsgUpd { message: text },
            ]);
        }
    }
    let encapsulated = node_ids.iter().enumerate().flat_map(|(index, node_id)| {
        let radius = u8::try_from(index % 4).expect("small");
        let forwarder = Some(Encapsulation { radius, node_id });
        [
            Message::PingReq { client_id: b"" },
            Message::Connect(Connect {
                will: true,
                clean_session: false,
                protocol_id: 1,
                duration: 300,
                client_id: b"n1",
            }),
            Message::WillMsg { message: &text[..300] },
        ]
        .map(|message| Packet { forwarder, message })
    });
    messages
        .iter()
        .map(|&message| Packet { forwarder: None, message })
        .chain(encapsulated)
        .collect()
}

static EVERY_OCTET: [u8; 256] = {
    let mut octets = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        octets[octet] = octet as u8;
        octet += 1;
    }
    octets
};

/// 1000 printable characters, and node ids of several lengths.
fn material() -> (Vec<u8>, Vec<Vec<u8>>) {
    let text = (b'!'..=b'~').cycle().take(1000).collect();
    let node_ids = [0, 1, 2, 4, 5, 8, 252].map(|len| (1..=len).collect()).to_vec();
    (text, node_ids)
}

#[test]
fn scapy_and_tshark_see_what_we_mean() {
    if skipped() {
        return;
    }
    let (text, node_ids) = material();
    let node_ids: Vec<_> = node_ids.iter().map(Vec::as_slice).collect();
    let packets = packets(&text, &node_ids);
    let input = packets.iter().enumerate().fold(String::new(), |mut input, (index, packet)| {
        writeln!(input, "{index} {}", hex(&encode(packet))).expect("a string takes everything");
        input
    });

    let output = witness("read", input);
    let mut differences = String::new();
    let mut lines = output.lines();
    for (index, packet) in packets.iter().enumerate() {
        let ours = expected(packet);
        let none = Defects { unseen: Vec::new(), complaints: Vec::new() };
        for (tool, defects) in [("scapy", none), ("tshark", tshark_defects(packet))] {
            let mut words = lines.next().expect("two lines for each frame").split(' ');
            assert_eq!(words.next(), Some(index.to_string().as_str()));
            assert_eq!(words.next(), Some(tool));
            let seen = parse_fields(words);
            if !agrees(&ours, &seen, &defects) {
                writeln!(differences, "{tool} {packet:?}\n  ours {ours:?}\n  seen {seen:?}")
                    .expect("a string takes everything");
            }
        }
    }
    assert_eq!(lines.next(), None);
    assert!(differences.is_empty(), "{differences}");
    println!("scapy and tshark agree on {} frames", packets.len());
}

#[test]
fn we_read_and_write_what_scapy_builds() {
    if skipped() {
        return;
    }
    let (text, node_ids) = material();
    let node_ids: Vec<_> = node_ids.iter().map(Vec::as_slice).collect();
    let packets = packets(&text, &node_ids);
    let input = packets.iter().enumerate().fold(String::new(), |mut input, (index, packet)| {
        write!(input, "{index}").expect("a string takes everything");
        for (key, value) in expected(packet) {
            write!(input, " {key}={value}").expect("a string takes everything");
        }
        input.push('\n');
        input
    });

    let output = witness("build", input);
    let mut lines = output.lines();
    for (index, packet) in packets.iter().enumerate() {
        let line = lines.next().expect("a line for each packet");
        let (number, frame) = line.split_once(' ').expect("id and hex");
        assert_eq!(number, index.to_string());
        let frame = unhex(frame);
        assert_eq!(decode(&frame), Ok(*packet), "built by scapy: {}", hex(&frame));
        assert_eq!(hex(&encode(packet)), hex(&frame), "{packet:?}");
    }
    assert_eq!(lines.next(), None);
}
