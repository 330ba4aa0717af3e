//! `pub` and `sub` against a gateway played by hand: what they send, what they answer, what they
//! print, and how they end.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Ended, gateway};
use mqtt_sn_gateway::codec::{
    Connect, Message, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, WillTopic,
    decode,
};

const ACCEPTED: ReturnCode = ReturnCode::ACCEPTED;

/// The gateway.
struct Peer {
    socket: UdpSocket,
    client: Option<SocketAddr>,
}

impl Peer {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // Only so that a failing test ends.
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self { socket, client: None }
    }

    fn address(&self) -> String {
        self.socket.local_addr().expect("an address").to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (command, rest) = arguments.split_first().expect("a command");
        let mut program = gateway();
        program.args([command, "--gateway", &self.address(), "-i", "me"]).args(rest);
        program
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("it starts")
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("a datagram in time");
        self.client = Some(from);
        buffer.truncate(length);
        buffer
    }

    #[track_caller]
    fn expect(&mut self, expected: &Message<'_>) {
        let datagram = self.receive();
        assert_eq!(decode(&datagram).expect("a packet").message, *expected);
    }

    fn send(&self, message: &Message<'_>) {
        let mut datagram = vec![0; message.encoded_len()];
        message.encode(&mut datagram).expect("it fits");
        self.socket.send_to(&datagram, self.client.expect("a client")).expect("sent");
    }

    fn accept(&mut self) {
        let datagram = self.receive();
        assert_eq!(decode(&datagram).expect("a packet").message.name(), "CONNECT");
        self.send(&Message::ConnAck { code: ACCEPTED });
    }

    fn goodbye(&mut self) {
        self.expect(&Message::Disconnect { duration: None });
        self.send(&Message::Disconnect { duration: None });
    }

    /// Accepts whatever comes, if something comes.
    fn serve(&mut self) {
        let mut buffer = [0; 2048];
        let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return };
        self.client = Some(from);
        match decode(&buffer[..length]).expect("a packet").message {
            Message::Connect(_) => self.send(&Message::ConnAck { code: ACCEPTED }),
            Message::Subscribe(Subscribe { qos, msg_id, .. }) => {
                self.send(&Message::SubAck { qos, topic_id: 0, msg_id, code: ACCEPTED });
            }
            Message::Disconnect { .. } => self.send(&Message::Disconnect { duration: None }),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn accept_subscription(&mut self, topic: SubscribeTopic<'_>, msg_id: u16, topic_id: u16) {
        let qos = Qos::Two;
        self.expect(&Message::Subscribe(Subscribe { dup: false, qos, msg_id, topic }));
        self.send(&Message::SubAck { qos, topic_id, msg_id, code: ACCEPTED });
    }
}

fn ended(child: Child) -> Ended {
    child.wait_with_output().expect("it ends").into()
}

#[track_caller]
fn ended_well(child: Child, out: &str) {
    let ended = ended(child);
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (0, "", out));
}

fn publish(
    topic: PublishTopic,
    qos: Qos,
    msg_id: u16,
    dup: bool,
    data: &'static [u8],
) -> Message<'static> {
    Message::Publish(Publish { dup, qos, retain: false, topic, msg_id, data })
}

#[test]
fn a_message_is_published_after_its_topic_is_registered() {
    let mut peer = Peer::new();
    let child = peer.start(&["pub", "-t", "a/b", "-m", "21.5", "-q", "1", "-k", "7"]);
    peer.expect(&Message::Connect(Connect {
        will: false,
        clean_session: true,
        protocol_id: 1,
        duration: 7,
        client_id: b"me",
    }));
    peer.send(&Message::ConnAck { code: ACCEPTED });
    peer.expect(&Message::Register { topic_id: 0, msg_id: 1, topic: b"a/b" });
    peer.send(&Message::RegAck { topic_id: 9, msg_id: 1, code: ACCEPTED });
    peer.expect(&publish(PublishTopic::Normal(9), Qos::One, 2, false, b"21.5"));
    peer.send(&Message::PubAck { topic_id: 9, msg_id: 2, code: ACCEPTED });
    peer.goodbye();
    ended_well(child, "");
}

#[test]
fn what_is_not_answered_is_sent_again() {
    let mut peer = Peer::new();
    let child =
        peer.start(&["pub", "-t", "ab", "-m", "x", "-q", "2", "--retry", "50ms", "-r", "-c"]);
    for _ in 0..2 {
        peer.expect(&Message::Connect(Connect {
            will: false,
            clean_session: false,
            protocol_id: 1,
            duration: 60,
            client_id: b"me",
        }));
    }
    peer.send(&Message::ConnAck { code: ACCEPTED });
    let message = |dup| {
        let topic = PublishTopic::Short(*b"ab");
        Message::Publish(Publish { dup, qos: Qos::Two, retain: true, topic, msg_id: 1, data: b"x" })
    };
    // A slow test machine may make it ask for the connection once more.
    let first = loop {
        let datagram = peer.receive();
        match decode(&datagram).expect("a packet").message {
            Message::Connect(_) => {}
            _ => break datagram,
        }
    };
    assert_eq!(decode(&first).expect("a packet").message, message(false));
    peer.expect(&message(true));
    peer.send(&Message::PubRec { msg_id: 1 });
    // PUBREL comes until it is answered; what was on its way before may come first.
    let mut releases = 0;
    while releases < 2 {
        match decode(&peer.receive()).expect("a packet").message {
            Message::PubRel { msg_id: 1 } => releases += 1,
            Message::Publish(_) => peer.send(&Message::PubRec { msg_id: 1 }),
            other => panic!("{other:?}"),
        }
    }
    peer.send(&Message::PubComp { msg_id: 1 });
    loop {
        match decode(&peer.receive()).expect("a packet").message {
            Message::PubRel { msg_id: 1 } => {}
            Message::Disconnect { duration: None } => break,
            other => panic!("{other:?}"),
        }
    }
    peer.send(&Message::Disconnect { duration: None });
    ended_well(child, "");
}

#[test]
fn qos_minus_one_needs_no_connection() {
    let mut peer = Peer::new();
    let child = peer.start(&["pub", "-T", "5", "-n", "-q", "-1", "-r"]);
    assert_eq!(peer.receive(), b"\x07\x0C\x71\x00\x05\x00\x00");
    ended_well(child, "");
    let child = peer.start(&["pub", "-t", "ab", "-m", "-3", "-q", "-1"]);
    assert_eq!(peer.receive(), b"\x09\x0C\x62ab\x00\x00-3");
    ended_well(child, "");
}

#[test]
fn a_device_behind_a_forwarder_hears_what_is_for_its_node() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "ab", "-q", "2", "-C", "1", "--forwarder", "0x0102"]);
    let behind = |node: &[u8], message: &Message<'_>| {
        let mut packet = vec![0; message.encoded_len()];
        message.encode(&mut packet).expect("it fits");
        [&[3 + node.len() as u8, 0xFE, 0], node, &packet].concat()
    };
    let subscribe =
        Subscribe { dup: false, qos: Qos::Two, msg_id: 1, topic: SubscribeTopic::Short(*b"ab") };
    assert_eq!(peer.receive()[..5], [5, 0xFE, 0, 1, 2]);
    let client = peer.client.expect("a client");
    let send = |peer: &Peer, datagram: &[u8]| peer.socket.send_to(datagram, client).expect("sent");
    // For others, who may be on the same line.
    peer.send(&Message::ConnAck { code: ReturnCode::NOT_SUPPORTED });
    let refused = Message::ConnAck { code: ReturnCode::NOT_SUPPORTED };
    send(&peer, &behind(&[1], &refused));
    send(&peer, &behind(&[1, 2], &Message::ConnAck { code: ACCEPTED }));
    assert_eq!(peer.receive(), behind(&[1, 2], &Message::Subscribe(subscribe)));
    let accepted = Message::SubAck { qos: Qos::Two, topic_id: 0, msg_id: 1, code: ACCEPTED };
    send(&peer, &behind(&[1, 2], &accepted));
    let message = publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, false, b"mine");
    send(&peer, &behind(&[1, 2, 3], &message));
    send(&peer, &behind(&[1, 2], &message));
    assert_eq!(peer.receive(), behind(&[1, 2], &Message::Disconnect { duration: None }));
    send(&peer, &behind(&[1, 2], &Message::Disconnect { duration: None }));
    ended_well(child, "mine\n");
}

#[test]
fn messages_come_from_many_places() {
    let mut peer = Peer::new();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), b"\x00file\n").expect("written");
    let path = file.path().to_str().expect("UTF-8");
    /// Arguments, standard input, messages.
    type Case<'a> = (&'a [&'a str], &'a [u8], &'a [&'static [u8]]);
    let cases: [Case<'_>; 4] = [
        (&["-f", path], b"", &[b"\x00file\n"]),
        (&["-s"], b"all\nof it\n", &[b"all\nof it\n"]),
        (&["-n"], b"", &[b""]),
        (&["-l"], b"one\r\n\nthree", &[b"one", b"", b"three"]),
    ];
    for (arguments, input, messages) in cases {
        let mut command = peer.command(&[&["pub", "-T", "7"], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("standard input");
        std::io::Write::write_all(&mut stdin, input).expect("written");
        drop(stdin);
        peer.accept();
        for message in messages {
            peer.expect(&publish(PublishTopic::Predefined(7), Qos::Zero, 0, false, message));
        }
        peer.goodbye();
        ended_well(child, "");
    }
}

#[test]
fn a_large_message_goes_out_in_one_piece_and_a_larger_one_not_at_all() {
    let mut peer = Peer::new();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("UTF-8");
    std::fs::write(file.path(), vec![0x55; 60_000]).expect("written");
    let child = peer.start(&["pub", "-T", "7", "-f", path, "-q", "1"]);
    peer.accept();
    let datagram = peer.receive();
    assert_eq!(datagram.len(), 60_009);
    peer.send(&Message::PubAck { topic_id: 7, msg_id: 1, code: ACCEPTED });
    peer.goodbye();
    ended_well(child, "");

    std::fs::write(file.path(), vec![0x55; 65_499]).expect("written");
    let ended = ended(peer.start(&["pub", "-T", "7", "-f", path]));
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("error: a message has at most 65498 bytes"), "{}", ended.err);
}

#[test]
fn a_will_is_told_when_asked_for() {
    let mut peer = Peer::new();
    let child = peer.start(&[
        "pub",
        "-t",
        "ab",
        "-n",
        "--will-topic",
        "w",
        "--will-payload",
        "gone",
        "--will-qos",
        "1",
        "--will-retain",
    ]);
    peer.expect(&Message::Connect(Connect {
        will: true,
        clean_session: true,
        protocol_id: 1,
        duration: 60,
        client_id: b"me",
    }));
    peer.send(&Message::WillTopicReq);
    let will = WillTopic { qos: Qos::One, retain: true, topic: b"w" };
    peer.expect(&Message::WillTopic(Some(will)));
    peer.send(&Message::WillMsgReq);
    peer.expect(&Message::WillMsg { message: b"gone" });
    peer.send(&Message::ConnAck { code: ACCEPTED });
    peer.expect(&publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, false, b""));
    peer.goodbye();
    ended_well(child, "");
}

#[test]
fn refusals_are_told_in_words() {
    let mut peer = Peer::new();
    let child = peer.start(&["pub", "-t", "a/b", "-m", "x"]);
    peer.receive();
    peer.send(&Message::ConnAck { code: ReturnCode::CONGESTION });
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert!(end.err.contains("refused the connection: congestion"), "{}", end.err);

    let long = "x".repeat(24);
    let mut command = gateway();
    command.args(["pub", "--gateway", &peer.address(), "-i", &long, "-t", "a", "-n"]);
    let child = command.spawn().expect("it starts");
    peer.receive();
    peer.send(&Message::ConnAck { code: ReturnCode::NOT_SUPPORTED });
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert!(end.err.contains("up to 23 bytes only"), "{}", end.err);

    let child = peer.start(&["pub", "-t", "a/b", "-m", "x"]);
    peer.accept();
    peer.receive();
    peer.send(&Message::RegAck { topic_id: 0, msg_id: 1, code: ReturnCode::NOT_SUPPORTED });
    peer.goodbye();
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert!(
        end.err.starts_with("error: the gateway refused REGISTER: not supported"),
        "{}",
        end.err
    );

    // At QoS 0 it can only come while we are leaving.
    let child = peer.start(&["pub", "-T", "7", "-m", "x"]);
    peer.accept();
    peer.receive();
    let code = ReturnCode::INVALID_TOPIC_ID;
    peer.send(&Message::PubAck { topic_id: 7, msg_id: 0, code });
    peer.goodbye();
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert!(end.err.contains("invalid topic id (is it predefined there?)"), "{}", end.err);

    let child = peer.start(&["pub", "-T", "7", "-m", "x", "-q", "1"]);
    peer.accept();
    peer.receive();
    peer.send(&Message::Disconnect { duration: None });
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert!(end.err.contains("ended the connection"), "{}", end.err);
}

#[test]
fn a_gateway_that_is_not_there_is_named() {
    let peer = Peer::new();
    for command in [&["pub", "-t", "a", "-m", "x"][..], &["sub", "-t", "a"]] {
        let end = ended(peer.start(&[command, &["--retry", "20ms", "--retries", "1"]].concat()));
        assert_eq!(end.code, 1);
        let expected =
            format!("error: no answer from {} after 2 tries, 20ms apart", peer.address());
        assert!(end.err.starts_with(&expected), "{}", end.err);
    }
    let address = peer.address();
    drop(peer);
    let end = common::run(&["pub", "--gateway", &address, "-t", "a", "-m", "x"]);
    assert_eq!(end.code, 1);
    assert_eq!(
        end.err,
        format!(
            "error: nothing listens on UDP {address}: is the gateway running, and is this its \
             address?\n"
        )
    );
    let end = common::run(&["pub", "--gateway", "no.such.host.invalid", "-t", "a", "-m", "x"]);
    assert_eq!(end.code, 1);
    assert!(end.err.contains("cannot look up the gateway no.such.host.invalid"), "{}", end.err);
}

#[test]
fn what_comes_is_printed_once_and_under_its_name() {
    let mut peer = Peer::new();
    let child =
        peer.start(&["sub", "-t", "a/+", "-t", "xy", "-T", "5", "-v", "-q", "2", "-C", "4"]);
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Name(b"a/+"), 1, 0);
    peer.accept_subscription(SubscribeTopic::Short(*b"xy"), 2, 0);
    peer.accept_subscription(SubscribeTopic::Predefined(5), 3, 5);
    peer.send(&Message::Register { topic_id: 12, msg_id: 1, topic: b"a/b" });
    peer.expect(&Message::RegAck { topic_id: 12, msg_id: 1, code: ACCEPTED });
    for dup in [false, true] {
        peer.send(&publish(PublishTopic::Normal(12), Qos::Two, 2, dup, b"once"));
        peer.expect(&Message::PubRec { msg_id: 2 });
    }
    peer.send(&Message::PubRel { msg_id: 2 });
    peer.expect(&Message::PubComp { msg_id: 2 });
    peer.send(&publish(PublishTopic::Normal(13), Qos::One, 3, false, b"unknown"));
    let code = ReturnCode::INVALID_TOPIC_ID;
    peer.expect(&Message::PubAck { topic_id: 13, msg_id: 3, code });
    peer.send(&publish(PublishTopic::Short(*b"xy"), Qos::One, 4, false, b"short"));
    peer.expect(&Message::PubAck { topic_id: 0x7879, msg_id: 4, code: ACCEPTED });
    peer.send(&Message::PingReq { client_id: b"" });
    peer.expect(&Message::PingResp);
    peer.socket.send_to(b"garbage", peer.client.expect("a client")).expect("sent");
    peer.send(&publish(PublishTopic::Predefined(5), Qos::Zero, 0, false, b"known"));
    peer.send(&publish(PublishTopic::Short(*b"xy"), Qos::Zero, 0, false, b""));
    peer.goodbye();
    ended_well(child, "a/b once\nxy short\n#5 known\nxy \n");
}

#[test]
fn output_can_be_bare_and_old_messages_left_out() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "ab", "-N", "-R", "-q", "2", "-C", "2"]);
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 1, 0);
    let topic = PublishTopic::Short(*b"ab");
    let old = Publish { dup: false, qos: Qos::Zero, retain: true, topic, msg_id: 0, data: b"old" };
    peer.send(&Message::Publish(old));
    for data in [&b"one"[..], b"two"] {
        peer.send(&publish(topic, Qos::Zero, 0, false, data));
    }
    peer.goodbye();
    ended_well(child, "onetwo");
}

#[test]
fn names_of_two_characters_can_be_treated_as_any_other() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "ab", "--no-short", "-q", "2", "-C", "1"]);
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Name(b"ab"), 1, 3);
    peer.send(&publish(PublishTopic::Normal(3), Qos::Zero, 0, false, b"x"));
    peer.goodbye();
    ended_well(child, "x\n");
}

#[test]
fn refused_subscriptions_end_it_if_none_is_left() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "a/b", "-t", "c/d", "-C", "1"]);
    peer.accept();
    for msg_id in [1, 2] {
        peer.receive();
        let code = ReturnCode::NOT_SUPPORTED;
        peer.send(&Message::SubAck { qos: Qos::Zero, topic_id: 0, msg_id, code });
    }
    peer.goodbye();
    let end = ended(child);
    assert_eq!(end.code, 1);
    assert_eq!(end.err.matches("the gateway refused SUBSCRIBE: not supported").count(), 2);
    assert!(end.err.starts_with("error: a/b: "), "{}", end.err);
}

#[test]
fn time_can_be_limited() {
    let mut peer = Peer::new();
    peer.socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
    let words = "error: the time is up after 0 of 3 messages\n";
    let cases: [(&[&str], i32, &str); 2] = [(&[], 0, ""), (&["-C", "3"], 1, words)];
    for (arguments, code, words) in cases {
        let mut child = peer.start(&[&["sub", "-t", "ab", "-W", "300ms"], arguments].concat());
        // However far it gets in that time.
        while child.try_wait().expect("its state").is_none() {
            peer.serve();
        }
        let end = ended(child);
        assert_eq!((end.code, end.err.as_str()), (code, words));
    }
}

#[test]
fn a_gateway_that_forgot_us_is_joined_again() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "ab", "-q", "2", "-C", "1"]);
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 1, 0);
    peer.send(&Message::Disconnect { duration: None });
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 2, 0);
    peer.send(&publish(PublishTopic::Short(*b"ab"), Qos::Zero, 0, false, b"back"));
    peer.goodbye();
    let end = ended(child);
    assert_eq!((end.code, end.out.as_str()), (0, "back\n"));
    assert!(end.err.contains("ended the connection; connecting again"), "{}", end.err);
}

#[test]
fn signals_end_it_politely() {
    for signal in ["INT", "TERM"] {
        let mut peer = Peer::new();
        let child = peer.start(&["sub", "-t", "ab", "-q", "2"]);
        peer.accept();
        peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 1, 0);
        let sent =
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        peer.goodbye();
        ended_well(child, "");
    }
}

#[test]
fn packets_can_be_watched() {
    let mut peer = Peer::new();
    let child = peer.start(&["pub", "-t", "ab", "-m", "x", "-d"]);
    peer.accept();
    peer.receive();
    peer.goodbye();
    let end = ended(child);
    assert_eq!((end.code, end.out.as_str()), (0, ""));
    let lines: Vec<&str> = end.err.lines().map(|line| &line[10..]).collect();
    assert_eq!(
        lines,
        [
            "→ CONNECT: client \"me\", keep-alive 60 s, clean session, no will",
            "← CONNACK: accepted",
            "→ PUBLISH: short topic \"ab\", QoS 0, 1 byte \"x\"",
            "→ DISCONNECT",
            "← DISCONNECT",
        ]
    );
}

#[test]
fn a_sleeping_subscriber_collects_what_has_waited() {
    let mut peer = Peer::new();
    let child = peer.start(&["sub", "-t", "ab", "-q", "2", "-C", "3", "--sleep", "1"]);
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 1, 0);
    peer.expect(&Message::Disconnect { duration: Some(1) });
    peer.send(&Message::Disconnect { duration: None });
    peer.expect(&Message::PingReq { client_id: b"me" });
    let topic = PublishTopic::Short(*b"ab");
    peer.send(&publish(topic, Qos::One, 7, false, b"first"));
    peer.expect(&Message::PubAck { topic_id: 0x6162, msg_id: 7, code: ACCEPTED });
    peer.send(&publish(topic, Qos::Zero, 0, false, b"second"));
    peer.send(&Message::PingResp);
    peer.expect(&Message::PingReq { client_id: b"me" });
    peer.send(&Message::PingResp);
    peer.expect(&Message::PingReq { client_id: b"me" });
    peer.send(&publish(topic, Qos::Zero, 0, false, b"third"));
    peer.goodbye();
    ended_well(child, "first\nsecond\nthird\n");
}

#[test]
fn a_sleeping_subscriber_goes_on_without_an_answer_and_joins_again_when_forgotten() {
    let mut peer = Peer::new();
    let retry = ["--retry", "300ms", "--retries", "0"];
    let child = peer
        .start(&[&["sub", "-t", "ab", "-q", "2", "-C", "1", "--sleep", "1"], &retry[..]].concat());
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 1, 0);
    peer.expect(&Message::Disconnect { duration: Some(1) });
    peer.send(&Message::Disconnect { duration: None });
    for _ in 0..2 {
        peer.expect(&Message::PingReq { client_id: b"me" });
    }
    peer.send(&Message::Disconnect { duration: None });
    peer.accept();
    peer.accept_subscription(SubscribeTopic::Short(*b"ab"), 2, 0);
    peer.expect(&Message::Disconnect { duration: Some(1) });
    let topic = PublishTopic::Short(*b"ab");
    peer.send(&publish(topic, Qos::Zero, 0, false, b"crossed"));
    peer.goodbye();
    let end = ended(child);
    assert_eq!((end.code, end.out.as_str()), (0, "crossed\n"));
    assert!(end.err.contains("the gateway did not answer; asleep again"), "{}", end.err);
    assert!(end.err.contains("ended the connection; connecting again"), "{}", end.err);
}

#[test]
fn a_publisher_can_leave_asleep() {
    let mut peer = Peer::new();
    let child = peer.start(&["pub", "-t", "ab", "-m", "x", "-c", "--sleep", "600"]);
    peer.receive();
    peer.send(&Message::ConnAck { code: ACCEPTED });
    peer.receive();
    peer.expect(&Message::Disconnect { duration: Some(600) });
    peer.send(&Message::Disconnect { duration: None });
    ended_well(child, "");

    let usage = |arguments: &[&str]| {
        let end = common::run(arguments);
        assert_eq!(end.code, 2, "{}", end.err);
        end.err
    };
    usage(&["pub", "-t", "ab", "-m", "x", "--sleep", "600"]);
    usage(&["sub", "-t", "ab", "--sleep", "0"]);
    let words = usage(&["pub", "-t", "ab", "-m", "x", "-i", "me", "-q", "-1", "--sleep", "9"]);
    assert!(words.contains("leave out --sleep"), "{words}");
}
