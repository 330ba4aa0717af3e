//! Frames written out by hand: what each means, and that it is what we write.

use mqtt_sn_gateway::codec::{
    Connect, DecodeError, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode,
    Subscribe, SubscribeTopic, WillTopic, decode, decode_message, frame_length,
};

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .map(|octet| u8::from_str_radix(octet, 16).expect("two hex digits"))
        .collect()
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = vec![0; packet.encoded_len()];
    let written = packet.encode(&mut out).expect("the buffer has the length asked for");
    assert_eq!(written, out.len());
    out
}

/// The frame means the packet, and the packet is written as the frame.
#[track_caller]
fn valid_packet(frame: &[u8], packet: Packet<'_>) {
    assert_eq!(decode(frame), Ok(packet));
    assert_eq!(encoded(&packet), frame);
    assert_eq!(frame_length(frame), Ok(Some(frame.len())));
    for end in 0..frame.len() {
        assert!(decode(&frame[..end]).is_err(), "{} cut to {end} octets", packet.message.name());
    }
    let mut longer = frame.to_vec();
    longer.push(0);
    assert!(decode(&longer).is_err(), "{} with an octet behind it", packet.message.name());
}

/// As [`valid_packet`], without a forwarder.
#[track_caller]
fn valid(text: &str, message: Message<'_>) {
    let frame = hex(text);
    valid_packet(&frame, Packet { forwarder: None, message });
    assert_eq!(decode_message(&frame), Ok(message));
    assert_eq!(message.type_code(), if frame[0] == 1 { frame[3] } else { frame[1] });
}

/// The frame means the message, but we would write it as `canonical`.
#[track_caller]
fn accepted(text: &str, message: Message<'_>, canonical: &str) {
    let packet = Packet { forwarder: None, message };
    assert_eq!(decode(&hex(text)), Ok(packet));
    assert_eq!(encoded(&packet), hex(canonical));
    assert_ne!(hex(text), hex(canonical), "use `valid`");
}

#[track_caller]
fn refused(text: &str, error: DecodeError) {
    assert_eq!(decode(&hex(text)), Err(error));
}

fn normal(id: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos: Qos::Zero,
        retain: false,
        topic: PublishTopic::Normal(id),
        msg_id: 0,
        data: b"1",
    }
}

#[test]
fn v01_to_v04_discovery() {
    valid("05 00 07 04 B0", Message::Advertise { gateway_id: 7, duration: 1200 });
    valid("03 01 01", Message::SearchGw { radius: 1 });
    valid("03 02 07", Message::GwInfo { gateway_id: 7, address: &[] });
    valid("06 02 07 02 12 34", Message::GwInfo { gateway_id: 7, address: &[0x02, 0x12, 0x34] });
}

#[test]
fn v05_to_v07_and_v46_connect() {
    valid(
        "0F 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31",
        Message::Connect(Connect {
            will: false,
            clean_session: true,
            protocol_id: 1,
            duration: 60,
            client_id: b"sensor-01",
        }),
    );
    valid(
        "08 04 0C 01 01 2C 6E 31",
        Message::Connect(Connect {
            will: true,
            clean_session: true,
            protocol_id: 1,
            duration: 300,
            client_id: b"n1",
        }),
    );
    valid("03 05 00", Message::ConnAck { code: ReturnCode::ACCEPTED });
    valid("03 05 01", Message::ConnAck { code: ReturnCode::CONGESTION });
}

#[test]
fn v08_to_v12_will() {
    valid("02 06", Message::WillTopicReq);
    valid(
        "0A 07 30 73 2F 31 2F 6C 77 74",
        Message::WillTopic(Some(WillTopic { qos: Qos::One, retain: true, topic: b"s/1/lwt" })),
    );
    valid("02 07", Message::WillTopic(None));
    valid("02 08", Message::WillMsgReq);
    valid("06 09 67 6F 6E 65", Message::WillMsg { message: b"gone" });
}

#[test]
fn v13_to_v15_register() {
    valid(
        "0E 0A 00 00 00 01 73 2F 31 2F 74 65 6D 70",
        Message::Register { topic_id: 0, msg_id: 1, topic: b"s/1/temp" },
    );
    valid(
        "07 0B 00 11 00 01 00",
        Message::RegAck { topic_id: 0x0011, msg_id: 1, code: ReturnCode::ACCEPTED },
    );
    valid(
        "0D 0A 00 12 00 A1 73 2F 31 2F 63 6D 64",
        Message::Register { topic_id: 0x0012, msg_id: 0x00A1, topic: b"s/1/cmd" },
    );
}

#[test]
fn v16_to_v25_publish() {
    valid(
        "0B 0C 00 00 11 00 00 32 31 2E 35",
        Message::Publish(Publish { data: b"21.5", ..normal(0x0011) }),
    );
    valid(
        "0B 0C B0 00 11 00 02 32 31 2E 35",
        Message::Publish(Publish {
            dup: true,
            qos: Qos::One,
            retain: true,
            topic: PublishTopic::Normal(0x0011),
            msg_id: 2,
            data: b"21.5",
        }),
    );
    valid(
        "07 0D 00 11 00 02 00",
        Message::PubAck { topic_id: 0x0011, msg_id: 2, code: ReturnCode::ACCEPTED },
    );
    valid(
        "07 0D 00 99 00 03 02",
        Message::PubAck { topic_id: 0x0099, msg_id: 3, code: ReturnCode::INVALID_TOPIC_ID },
    );
    valid(
        "0A 0C 41 00 05 00 04 41 42 43",
        Message::Publish(Publish {
            dup: false,
            qos: Qos::Two,
            retain: false,
            topic: PublishTopic::Predefined(5),
            msg_id: 4,
            data: b"ABC",
        }),
    );
    valid("04 0F 00 04", Message::PubRec { msg_id: 4 });
    valid("04 10 00 04", Message::PubRel { msg_id: 4 });
    valid("04 0E 00 04", Message::PubComp { msg_id: 4 });
    valid(
        "08 0C 62 61 62 00 00 31",
        Message::Publish(Publish {
            qos: Qos::MinusOne,
            topic: PublishTopic::Short(*b"ab"),
            ..normal(0)
        }),
    );
    valid(
        "07 0C 71 00 05 00 00",
        Message::Publish(Publish {
            dup: false,
            qos: Qos::MinusOne,
            retain: true,
            topic: PublishTopic::Predefined(5),
            msg_id: 0,
            data: b"",
        }),
    );
}

#[test]
fn v26_to_v31_subscribe() {
    valid(
        "0C 12 20 00 05 73 2F 2B 2F 63 6D 64",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::One,
            msg_id: 5,
            topic: SubscribeTopic::Name(b"s/+/cmd"),
        }),
    );
    valid(
        "08 13 20 00 00 00 05 00",
        Message::SubAck { qos: Qos::One, topic_id: 0, msg_id: 5, code: ReturnCode::ACCEPTED },
    );
    valid(
        "07 12 41 00 06 00 05",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::Two,
            msg_id: 6,
            topic: SubscribeTopic::Predefined(5),
        }),
    );
    valid(
        "07 12 02 00 07 61 62",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::Zero,
            msg_id: 7,
            topic: SubscribeTopic::Short(*b"ab"),
        }),
    );
    valid(
        "0C 14 00 00 08 73 2F 2B 2F 63 6D 64",
        Message::Unsubscribe { msg_id: 8, topic: SubscribeTopic::Name(b"s/+/cmd") },
    );
    valid("04 15 00 08", Message::UnsubAck { msg_id: 8 });
}

#[test]
fn v32_to_v36_ping_and_disconnect() {
    valid("02 16", Message::PingReq { client_id: b"" });
    valid("0B 16 73 65 6E 73 6F 72 2D 30 31", Message::PingReq { client_id: b"sensor-01" });
    valid("02 17", Message::PingResp);
    valid("02 18", Message::Disconnect { duration: None });
    valid("04 18 01 2C", Message::Disconnect { duration: Some(300) });
}

#[test]
fn v37_to_v41_will_update() {
    valid(
        "0A 1A 10 73 2F 31 2F 6C 77 32",
        Message::WillTopicUpd(Some(WillTopic { qos: Qos::Zero, retain: true, topic: b"s/1/lw2" })),
    );
    valid("02 1A", Message::WillTopicUpd(None));
    valid("03 1B 00", Message::WillTopicResp { code: ReturnCode::ACCEPTED });
    valid("05 1C 62 79 65", Message::WillMsgUpd { message: b"bye" });
    valid("03 1D 03", Message::WillMsgResp { code: ReturnCode::NOT_SUPPORTED });
}

#[test]
fn v42_and_v43_encapsulation() {
    valid_packet(
        &hex("05 FE 01 12 34 02 16"),
        Packet {
            forwarder: Some(Encapsulation { radius: 1, node_id: &[0x12, 0x34] }),
            message: Message::PingReq { client_id: b"" },
        },
    );
    valid_packet(
        &hex("0B FE 00 00 12 4B 00 01 02 03 04 08 04 04 01 00 3C 6E 31"),
        Packet {
            forwarder: Some(Encapsulation {
                radius: 0,
                node_id: &[0x00, 0x12, 0x4B, 0x00, 0x01, 0x02, 0x03, 0x04],
            }),
            message: Message::Connect(Connect {
                will: false,
                clean_session: true,
                protocol_id: 1,
                duration: 60,
                client_id: b"n1",
            }),
        },
    );
}

#[test]
fn v44_and_v45_long_form() {
    accepted("01 00 04 16", Message::PingReq { client_id: b"" }, "02 16");

    let text = format!("01 01 09 0C 20 00 11 00 05{}", " 55".repeat(256));
    let message = Message::Publish(Publish {
        dup: false,
        qos: Qos::One,
        retain: false,
        topic: PublishTopic::Normal(0x0011),
        msg_id: 5,
        data: &[0x55; 256],
    });
    assert_eq!(message.encoded_len(), 265);
    valid(&text, message);
}

#[test]
fn m01_to_m06_framing() {
    refused("01", DecodeError::TruncatedHeader);
    refused("00 16", DecodeError::BadLength { length: 0 });
    refused("01 00 03 16", DecodeError::BadLength { length: 3 });
    refused(
        "10 04 04 01 00 3C 73 65 6E 73 6F 72 2D 30 31",
        DecodeError::LengthMismatch { length: 16, received: 15 },
    );
    refused("02 16 FF", DecodeError::LengthMismatch { length: 2, received: 3 });
    refused("05 04 04 01 00", DecodeError::BodyTooShort { msg_type: 0x04 });
}

#[test]
fn m07_to_m09_connects_that_get_an_answer() {
    let connect =
        Connect { will: false, clean_session: true, protocol_id: 1, duration: 60, client_id: b"" };
    valid("06 04 04 01 00 3C", Message::Connect(connect));
    valid(
        "08 04 04 02 00 3C 6E 31",
        Message::Connect(Connect { protocol_id: 2, client_id: b"n1", ..connect }),
    );
    valid(
        &format!("1E 04 04 01 00 3C{}", " 61".repeat(24)),
        Message::Connect(Connect { client_id: &[0x61; 24], ..connect }),
    );
}

#[test]
fn m10_to_m12_reserved_types_and_short_publish() {
    refused("03 03 00", DecodeError::ReservedType { msg_type: 0x03 });
    refused("02 19", DecodeError::ReservedType { msg_type: 0x19 });
    refused("06 0C 00 00 11 00", DecodeError::BodyTooShort { msg_type: 0x0C });
}

/// The receiver answers these or drops them by what it knows of the sender; it has to read them.
#[test]
fn m13_to_m16_publishes_that_are_judged_later() {
    valid(
        "08 0C 60 00 11 00 00 31",
        Message::Publish(Publish { qos: Qos::MinusOne, ..normal(0x0011) }),
    );
    valid(
        "08 0C 03 00 11 00 00 31",
        Message::Publish(Publish { topic: PublishTopic::Reserved(0x0011), ..normal(0) }),
    );
    valid("08 0C 20 00 11 00 00 31", Message::Publish(Publish { qos: Qos::One, ..normal(0x0011) }));
    valid("08 0C 00 00 00 00 00 31", Message::Publish(normal(0x0000)));
    valid("08 0C 00 FF FF 00 00 31", Message::Publish(normal(0xFFFF)));
}

#[test]
fn m17_to_m19_registers_that_get_an_answer() {
    valid(
        "09 0A 00 00 00 0B 73 2F 23",
        Message::Register { topic_id: 0, msg_id: 0x000B, topic: b"s/#" },
    );
    valid("06 0A 00 00 00 0B", Message::Register { topic_id: 0, msg_id: 0x000B, topic: b"" });
    valid(
        "08 0A 00 00 00 0C C3 28",
        Message::Register { topic_id: 0, msg_id: 0x000C, topic: &[0xC3, 0x28] },
    );
}

#[test]
fn m20_to_m22_subscribes_that_get_an_answer() {
    accepted(
        "07 12 03 00 09 61 62",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::Zero,
            msg_id: 9,
            topic: SubscribeTopic::Reserved,
        }),
        "05 12 03 00 09",
    );
    valid(
        "08 12 60 00 0A 61 2F 62",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::MinusOne,
            msg_id: 0x000A,
            topic: SubscribeTopic::Name(b"a/b"),
        }),
    );
    valid(
        "05 12 00 00 0D",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::Zero,
            msg_id: 0x000D,
            topic: SubscribeTopic::Name(b""),
        }),
    );
}

#[test]
fn m23_and_m24_disconnect_and_will_without_content() {
    refused("03 18 01", DecodeError::BodyTooShort { msg_type: 0x18 });
    accepted("03 07 00", Message::WillTopic(None), "02 07");
    accepted("03 1A 30", Message::WillTopicUpd(None), "02 1A");
}

#[test]
fn m25_m26_and_m29_encapsulation() {
    refused("05 FE 00 12 34", DecodeError::EmptyEncapsulation);
    refused("04 FE 00 AA 04 FE 00 BB 02 16", DecodeError::NestedEncapsulation);
    refused("02 FE", DecodeError::BadEncapsulation);
    // The inner encapsulation alone, with a Length that covers all of it.
    refused("04 FE 00 AA 04 FE 00 BB", DecodeError::NestedEncapsulation);
    refused("02 FE 02 16", DecodeError::BadEncapsulation);
    refused("00 FE 02 16", DecodeError::BadEncapsulation);
    refused("03 FE", DecodeError::LengthMismatch { length: 3, received: 2 });
    refused("06 FE 00 12 34", DecodeError::LengthMismatch { length: 6, received: 5 });
    // The encapsulation has no long form.
    refused("01 00 05 FE 00 02 16", DecodeError::BadEncapsulation);
    refused("01 00 07 FE 00 02 16", DecodeError::BadEncapsulation);
    // What is inside is framed as strictly as what is not.
    refused("03 FE 00 02 16 FF", DecodeError::LengthMismatch { length: 2, received: 3 });
    refused("03 FE 00 02", DecodeError::TruncatedHeader);
    refused("03 FE 00 00 16", DecodeError::BadLength { length: 0 });
    assert_eq!(decode_message(&hex("03 FE 00")), Err(DecodeError::NestedEncapsulation));
    assert_eq!(decode_message(&hex("03 FE 00 02 16")), Err(DecodeError::NestedEncapsulation));
}

#[test]
fn m27_m28_and_m30_acknowledgements() {
    refused("06 0D 00 11 00 02", DecodeError::BodyTooShort { msg_type: 0x0D });
    refused("03 17 00", DecodeError::BodyTooLong { msg_type: 0x17 });
    refused("02 05", DecodeError::BodyTooShort { msg_type: 0x05 });
}

#[test]
fn fixed_sizes_are_exact() {
    for (frame, msg_type) in [
        ("06 00 07 04 B0 00", 0x00),
        ("04 01 01 00", 0x01),
        ("04 05 00 00", 0x05),
        ("03 06 00", 0x06),
        ("03 08 00", 0x08),
        ("08 0B 00 11 00 01 00 00", 0x0B),
        ("08 0D 00 11 00 02 00 00", 0x0D),
        ("05 0E 00 04 00", 0x0E),
        ("05 0F 00 04 00", 0x0F),
        ("05 10 00 04 00", 0x10),
        ("09 13 20 00 00 00 05 00 00", 0x13),
        ("05 15 00 08 00", 0x15),
        ("05 18 01 2C 00", 0x18),
        ("04 1B 00 00", 0x1B),
        ("04 1D 00 00", 0x1D),
    ] {
        refused(frame, DecodeError::BodyTooLong { msg_type });
    }
    for (frame, msg_type) in [
        ("04 00 07 04", 0x00),
        ("02 01", 0x01),
        ("02 02", 0x02),
        ("05 0A 00 00 00", 0x0A),
        ("06 0B 00 11 00 01", 0x0B),
        ("03 0E 00", 0x0E),
        ("03 0F 00", 0x0F),
        ("03 10 00", 0x10),
        ("04 12 20 00", 0x12),
        ("05 12 01 00 06", 0x12),
        ("06 12 02 00 06 61", 0x12),
        ("07 13 20 00 00 00 05", 0x13),
        ("04 14 00 00", 0x14),
        ("06 14 01 00 06 00", 0x14),
        ("03 15 00", 0x15),
        ("02 1B", 0x1B),
        ("02 1D", 0x1D),
    ] {
        refused(frame, DecodeError::BodyTooShort { msg_type });
    }
}

#[test]
fn every_other_type_is_reserved() {
    let reserved = [0x03, 0x11, 0x19, 0xFF].into_iter().chain(0x1E..=0xFD);
    for msg_type in reserved {
        assert_eq!(decode(&[2, msg_type]), Err(DecodeError::ReservedType { msg_type }));
    }
    assert_eq!(decode(&[]), Err(DecodeError::Empty));
    assert_eq!(decode(&[0]), Err(DecodeError::BadLength { length: 0 }));
    assert_eq!(decode(&[2]), Err(DecodeError::TruncatedHeader));
    assert_eq!(decode(&[1, 0]), Err(DecodeError::TruncatedHeader));
    assert_eq!(decode(&[1, 0, 4]), Err(DecodeError::TruncatedHeader));
    assert_eq!(decode(&[1, 0, 3]), Err(DecodeError::BadLength { length: 3 }));
}

#[test]
fn what_real_devices_send_is_understood() {
    // Octets behind a predefined or short topic, whose two octets are all that counts.
    accepted(
        "09 12 41 00 06 00 05 00 00",
        Message::Subscribe(Subscribe {
            dup: false,
            qos: Qos::Two,
            msg_id: 6,
            topic: SubscribeTopic::Predefined(5),
        }),
        "07 12 41 00 06 00 05",
    );
    accepted(
        "08 14 02 00 07 61 62 00",
        Message::Unsubscribe { msg_id: 7, topic: SubscribeTopic::Short(*b"ab") },
        "07 14 02 00 07 61 62",
    );
    // Flag bits that the message has no use for.
    accepted(
        "08 0C 0C 00 11 00 00 31",
        Message::Publish(normal(0x0011)),
        "08 0C 00 00 11 00 00 31",
    );
    accepted(
        "08 04 F7 01 00 3C 6E 31",
        Message::Connect(Connect {
            will: false,
            clean_session: true,
            protocol_id: 1,
            duration: 60,
            client_id: b"n1",
        }),
        "08 04 04 01 00 3C 6E 31",
    );
    accepted(
        "07 14 FD 00 08 00 05",
        Message::Unsubscribe { msg_id: 8, topic: SubscribeTopic::Predefined(5) },
        "07 14 01 00 08 00 05",
    );
    accepted(
        "08 13 BF 00 00 00 05 00",
        Message::SubAck { qos: Qos::One, topic_id: 0, msg_id: 5, code: ReturnCode::ACCEPTED },
        "08 13 20 00 00 00 05 00",
    );
    accepted(
        "04 07 AF 61",
        Message::WillTopic(Some(WillTopic { qos: Qos::One, retain: false, topic: b"a" })),
        "04 07 20 61",
    );
    // A message id where none is needed, and a sleep of no time.
    valid("08 0C 00 00 11 12 34 31", Message::Publish(Publish { msg_id: 0x1234, ..normal(0x11) }));
    valid("04 18 00 00", Message::Disconnect { duration: Some(0) });
    // Reserved bits of the encapsulation's Ctrl.
    let frame = hex("03 FE FE 02 16");
    let packet = decode(&frame).expect("reserved bits are ignored");
    assert_eq!(packet.forwarder, Some(Encapsulation { radius: 2, node_id: &[] }));
    assert_eq!(encoded(&packet), hex("03 FE 02 02 16"));
}
