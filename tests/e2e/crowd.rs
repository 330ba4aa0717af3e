//! Many devices at once.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{Message, Packet, Publish, PublishTopic, Qos, ReturnCode, decode};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::rig::{PATIENCE, Rig, Upstream, connect_packet};

const DEVICES: usize = 2_000;
/// Longer than the gateway needs, so that what comes again was lost.
const RETRY: Duration = Duration::from_secs(3);

#[test]
fn two_thousand_devices_connect_and_publish_at_once() {
    // One socket each; the usual limit is 1,024 files.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = DEVICES as u64 + 512;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).unwrap();
    }
    let rig = Rig::start(Upstream::Mqtt5, "", "[topics]\n7 = \"crowd/reading\"\n");
    let world = rig.listener(&["crowd/reading"]);
    let mut crowd: Vec<Member> = (0..DEVICES).map(|number| Member::new(&rig, number)).collect();
    all_answered(&mut crowd, |member, message| {
        matches!(message, Message::ConnAck { code: ReturnCode::ACCEPTED }).then(|| member.publish())
    });
    all_answered(&mut crowd, |_, message| {
        matches!(message, Message::PubAck { msg_id: 1, code: ReturnCode::ACCEPTED, .. })
            .then(Vec::new)
    });
    rig.publish("crowd/reading", "end", 2);
    let mut payloads: Vec<_> = world.until("end").into_iter().map(|heard| heard.payload).collect();
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads.len(), DEVICES, "one reading of each");
    rig.stop();
}

struct Member {
    socket: UdpSocket,
    number: usize,
    request: Vec<u8>,
    answered: bool,
}

impl Member {
    fn new(rig: &Rig, number: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket each; see `ulimit -n`");
        socket.connect(rig.gateway.link()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let id = format!("member-{number}");
        let request = encode(Message::Connect(connect_packet(&id, true, 60, false)));
        Self { socket, number, request, answered: false }
    }

    fn publish(&self) -> Vec<u8> {
        encode(Message::Publish(Publish {
            dup: false,
            qos: Qos::One,
            retain: false,
            topic: PublishTopic::Predefined(7),
            msg_id: 1,
            data: format!("reading of {}", self.number).as_bytes(),
        }))
    }
}

fn encode(message: Message<'_>) -> Vec<u8> {
    let packet = Packet { forwarder: None, message };
    let mut octets = vec![0; packet.encoded_len()];
    packet.encode(&mut octets).unwrap();
    octets
}

/// Everybody sends its request, again if need be, until everybody has the answer. `answers` gives the
/// next request for an answer.
fn all_answered(crowd: &mut [Member], answers: impl Fn(&Member, &Message<'_>) -> Option<Vec<u8>>) {
    let deadline = Instant::now() + PATIENCE;
    let mut again = Instant::now();
    for member in &mut *crowd {
        member.answered = false;
    }
    let mut buffer = [0; 2_048];
    loop {
        if Instant::now() >= again {
            for member in crowd.iter().filter(|member| !member.answered) {
                member.socket.send(&member.request).unwrap();
            }
            again = Instant::now() + RETRY;
        }
        let mut missing = 0;
        for member in &mut *crowd {
            while !member.answered {
                match member.socket.recv(&mut buffer) {
                    Ok(length) => {
                        let packet = decode(&buffer[..length]).unwrap();
                        if let Some(next) = answers(member, &packet.message) {
                            member.request = next;
                            member.answered = true;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("member {}: {error}", member.number),
                }
            }
            missing += usize::from(!member.answered);
        }
        if missing == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{missing} have no answer");
        std::thread::sleep(Duration::from_millis(1));
    }
}
