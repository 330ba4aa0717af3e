//! What holds for every message and for every string of octets.

use mqtt_sn_gateway::codec::{
    BufferTooSmall, Connect, DecodeError, Encapsulation, MAX_MESSAGE_LEN, MAX_NODE_ID_LEN, Message,
    Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic, WillTopic, decode,
    decode_message, frame_length,
};
use proptest::prelude::*;

const VARIANTS: usize = 27;

/// Raw material of a message: enough for the fields of any variant.
#[derive(Clone, Debug)]
struct Material {
    variant: usize,
    a: u16,
    b: u16,
    octet: u8,
    choice: u8,
    qos: Qos,
    flags: [bool; 2],
    tail: Vec<u8>,
}

impl Material {
    fn message(&self) -> Message<'_> {
        let (topic_id, msg_id) = (self.a, self.b);
        let code = ReturnCode(self.octet);
        let [first, second] = self.flags;
        let tail = self.tail.as_slice();
        let filter = match self.choice % 4 {
            0 => SubscribeTopic::Name(tail),
            1 => SubscribeTopic::Predefined(topic_id),
            2 => SubscribeTopic::Short(topic_id.to_be_bytes()),
            _ => SubscribeTopic::Reserved,
        };
        let topic = match self.choice % 4 {
            0 => PublishTopic::Normal(topic_id),
            1 => PublishTopic::Predefined(topic_id),
            2 => PublishTopic::Short(topic_id.to_be_bytes()),
            _ => PublishTopic::Reserved(topic_id),
        };
        let will =
            (!tail.is_empty()).then_some(WillTopic { qos: self.qos, retain: first, topic: tail });
        match self.variant {
            0 => Message::Advertise { gateway_id: self.octet, duration: self.a },
            1 => Message::SearchGw { radius: self.octet },
            2 => Message::GwInfo { gateway_id: self.octet, address: tail },
            3 => Message::Connect(Connect {
                will: first,
                clean_session: second,
                protocol_id: self.octet,
                duration: self.a,
                client_id: tail,
            }),
            4 => Message::ConnAck { code },
            5 => Message::WillTopicReq,
            6 => Message::WillTopic(will),
            7 => Message::WillMsgReq,
            8 => Message::WillMsg { message: tail },
            9 => Message::Register { topic_id, msg_id, topic: tail },
            10 => Message::RegAck { topic_id, msg_id, code },
            11 => Message::Publish(Publish {
                dup: first,
                qos: self.qos,
                retain: second,
                topic,
                msg_id,
                data: tail,
            }),
            12 => Message::PubAck { topic_id, msg_id, code },
            13 => Message::PubComp { msg_id },
            14 => Message::PubRec { msg_id },
            15 => Message::PubRel { msg_id },
            16 => {
                Message::Subscribe(Subscribe { dup: first, qos: self.qos, msg_id, topic: filter })
            }
            17 => Message::SubAck { qos: self.qos, topic_id, msg_id, code },
            18 => Message::Unsubscribe { msg_id, topic: filter },
            19 => Message::UnsubAck { msg_id },
            20 => Message::PingReq { client_id: tail },
            21 => Message::PingResp,
            22 => Message::Disconnect { duration: first.then_some(self.a) },
            23 => Message::WillTopicUpd(will),
            24 => Message::WillTopicResp { code },
            25 => Message::WillMsgUpd { message: tail },
            _ => Message::WillMsgResp { code },
        }
    }
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::MinusOne), Just(Qos::Zero), Just(Qos::One), Just(Qos::Two)]
}

/// Mostly short, often around the change of Length form, sometimes long.
fn tail() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..40),
        3 => prop::collection::vec(any::<u8>(), 240..260),
        1 => prop::collection::vec(any::<u8>(), 0..2000),
    ]
}

fn material() -> impl Strategy<Value = Material> {
    (0..VARIANTS, any::<(u16, u16)>(), any::<(u8, u8)>(), qos(), any::<[bool; 2]>(), tail())
        .prop_map(|(variant, (a, b), (octet, choice), qos, flags, tail)| Material {
            variant,
            a,
            b,
            octet,
            choice,
            qos,
            flags,
            tail,
        })
}

fn forwarder() -> impl Strategy<Value = Option<(u8, Vec<u8>)>> {
    prop::option::of((0..=3_u8, prop::collection::vec(any::<u8>(), 0..=MAX_NODE_ID_LEN)))
}

/// Octets that get past the framing more often than chance would let them.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let framed =
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, body)| {
            let length = u8::try_from(body.len() + 2).expect("short");
            [&[length, kind % 0x1F][..], &body].concat()
        });
    let long = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, body)| {
        let length = u8::try_from(body.len() + 4).expect("short");
        [&[1, 0, length, kind % 0x1F][..], &body].concat()
    });
    let encapsulated = (prop::collection::vec(any::<u8>(), 0..12), any::<u8>(), any::<u8>())
        .prop_map(|(inner, outer, ctrl)| [&[outer % 12, 0xFE, ctrl][..], &inner].concat());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..400), framed, long, encapsulated]
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = vec![0; packet.encoded_len()];
    let written = packet.encode(&mut out).expect("the buffer has the length asked for");
    assert_eq!(written, out.len(), "encoded_len is what encode writes");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_reads_back_equal(material in material(), forwarder in forwarder()) {
        let message = material.message();
        let forwarder =
            forwarder.as_ref().map(|(radius, node_id)| Encapsulation { radius: *radius, node_id });
        let packet = Packet { forwarder, message };
        let frame = encode(&packet);
        prop_assert_eq!(decode(&frame), Ok(packet));
        prop_assert_eq!(frame_length(&frame), Ok(Some(frame.len())));

        let header = forwarder.map_or(0, |forwarder| forwarder.encoded_len());
        let bare = &frame[header..];
        prop_assert_eq!(decode_message(bare), Ok(message));
        prop_assert_eq!(bare.len() > 255, bare[0] == 1, "the short form as far as it reaches");
        prop_assert_eq!(bare[if bare[0] == 1 { 3 } else { 1 }], message.type_code());
    }

    #[test]
    fn a_buffer_that_is_too_small_stays_as_it_was(material in material(), cut in any::<prop::sample::Index>()) {
        let message = material.message();
        let needed = message.encoded_len();
        let mut out = vec![0xA5; cut.index(needed)];
        prop_assert_eq!(message.encode(&mut out), Err(BufferTooSmall { needed }));
        prop_assert!(out.iter().all(|&octet| octet == 0xA5));
    }

    #[test]
    fn nothing_is_written_behind_the_message(material in material()) {
        let message = material.message();
        let needed = message.encoded_len();
        let mut out = vec![0xA5; needed + 8];
        prop_assert_eq!(message.encode(&mut out), Ok(needed));
        prop_assert!(out[needed..].iter().all(|&octet| octet == 0xA5));
    }

    #[test]
    fn whatever_decodes_is_written_so_that_it_decodes_equal(octets in octets()) {
        if let Ok(packet) = decode(&octets) {
            let frame = encode(&packet);
            prop_assert!(frame.len() <= octets.len(), "the canonical form is the shortest");
            prop_assert_eq!(decode(&frame), Ok(packet));
            prop_assert_eq!(frame_length(&octets), Ok(Some(octets.len())));
        }
    }

    #[test]
    fn a_stream_tells_the_length_of_its_first_packet(material in material(), forwarder in forwarder(), more in octets()) {
        let message = material.message();
        let forwarder =
            forwarder.as_ref().map(|(radius, node_id)| Encapsulation { radius: *radius, node_id });
        let frame = encode(&Packet { forwarder, message });
        let stream = [frame.as_slice(), &more].concat();
        prop_assert_eq!(frame_length(&stream), Ok(Some(frame.len())));
        for end in 0..frame.len() {
            let told = frame_length(&stream[..end]);
            prop_assert!(told == Ok(None) || told == Ok(Some(frame.len())), "{:?}", told);
        }
    }
}

fn publish(data: &[u8]) -> Message<'_> {
    Message::Publish(Publish {
        dup: false,
        qos: Qos::Zero,
        retain: false,
        topic: PublishTopic::Normal(1),
        msg_id: 0,
        data,
    })
}

#[test]
fn the_length_form_changes_between_255_and_256() {
    let data = [7; 249];
    let mut out = [0; 300];

    let last_short = publish(&data[..248]);
    assert_eq!(last_short.encode(&mut out), Ok(255));
    assert_eq!(out[..3], [255, 0x0C, 0]);
    assert_eq!(decode_message(&out[..255]), Ok(last_short));

    let first_long = publish(&data);
    assert_eq!(first_long.encode(&mut out), Ok(258));
    assert_eq!(out[..5], [1, 1, 2, 0x0C, 0]);
    assert_eq!(decode_message(&out[..258]), Ok(first_long));

    // The same messages in the long form where some encoders begin with it already.
    for len in [0, 1, 246, 247, 248] {
        let data = &data[..len];
        let total = u16::try_from(len + 9).expect("short");
        let [high, low] = total.to_be_bytes();
        let frame = [&[1, high, low, 0x0C, 0, 0, 1, 0, 0][..], data].concat();
        assert_eq!(decode_message(&frame), Ok(publish(data)));
        assert_eq!(frame_length(&frame), Ok(Some(frame.len())));
    }
}

#[test]
fn the_longest_message_is_written_and_a_longer_one_refused() {
    let data = vec![7; 65_527];
    let mut out = vec![0; 70_000];

    let longest = publish(&data[..65_526]);
    assert_eq!(longest.encode(&mut out), Ok(MAX_MESSAGE_LEN));
    assert_eq!(out[..4], [1, 0xFF, 0xFF, 0x0C]);
    assert_eq!(decode_message(&out[..MAX_MESSAGE_LEN]), Ok(longest));

    let too_long = publish(&data);
    assert_eq!(too_long.encoded_len(), MAX_MESSAGE_LEN + 1);
    assert_eq!(too_long.encode(&mut out), Err(BufferTooSmall { needed: MAX_MESSAGE_LEN + 1 }));
    assert_eq!(
        decode_message(&out),
        Err(DecodeError::LengthMismatch { length: 65_535, received: 70_000 })
    );

    // The short fields of other messages overflow in the same way.
    let name = vec![b'a'; 65_532];
    let will = Message::WillMsg { message: &name };
    assert_eq!(will.encode(&mut out), Err(BufferTooSmall { needed: MAX_MESSAGE_LEN + 1 }));
}

#[test]
fn the_encapsulation_holds_252_octets_of_node_id() {
    let node_id = [9; MAX_NODE_ID_LEN + 1];
    let mut out = [0; 300];

    let longest = Encapsulation { radius: 0, node_id: &node_id[..MAX_NODE_ID_LEN] };
    assert_eq!(longest.encode(&mut out), Ok(255));
    assert_eq!(out[..4], [255, 0xFE, 0, 9]);

    let too_long = Encapsulation { radius: 0, node_id: &node_id };
    assert_eq!(too_long.encode(&mut out), Err(BufferTooSmall { needed: 256 }));
    let packet = Packet { forwarder: Some(too_long), message: Message::PingResp };
    assert_eq!(packet.encode(&mut out), Err(BufferTooSmall { needed: 258 }));

    // Room for the header, none for the message.
    let packet = Packet { forwarder: Some(longest), message: Message::PingResp };
    assert_eq!(packet.encode(&mut out[..256]), Err(BufferTooSmall { needed: 257 }));
    assert_eq!(packet.encode(&mut out[..257]), Ok(257));
}

#[test]
fn a_radius_that_ctrl_cannot_hold_becomes_its_widest() {
    let mut out = [0; 3];
    for (radius, ctrl) in [(0, 0), (1, 1), (3, 3), (4, 3), (255, 3)] {
        assert_eq!(Encapsulation { radius, node_id: &[] }.encode(&mut out), Ok(3));
        assert_eq!(out, [3, 0xFE, ctrl]);
    }
}

#[test]
fn a_will_without_a_topic_is_written_as_a_deletion() {
    let mut out = [0; 8];
    let will = Some(WillTopic { qos: Qos::One, retain: true, topic: b"" });
    assert_eq!(Message::WillTopic(will).encode(&mut out), Ok(2));
    assert_eq!(out[..2], [2, 0x07]);
    assert_eq!(Message::WillTopicUpd(will).encode(&mut out), Ok(2));
    assert_eq!(out[..2], [2, 0x1A]);
}

#[test]
fn a_stream_out_of_step_is_an_error() {
    for (prefix, error) in [
        (&[0][..], DecodeError::BadLength { length: 0 }),
        (&[1, 0, 3][..], DecodeError::BadLength { length: 3 }),
        (&[2, 0xFE][..], DecodeError::BadEncapsulation),
        (&[1, 0, 9, 0xFE][..], DecodeError::BadEncapsulation),
        (&[3, 0xFE, 0, 0][..], DecodeError::BadLength { length: 0 }),
        (&[3, 0xFE, 0, 3, 0xFE][..], DecodeError::NestedEncapsulation),
    ] {
        assert_eq!(frame_length(prefix), Err(error), "{prefix:02X?}");
    }
    for prefix in [&[][..], &[1], &[2], &[1, 0], &[1, 0, 9], &[3, 0xFE], &[4, 0xFE, 0, 2]] {
        assert_eq!(frame_length(prefix), Ok(None), "{prefix:02X?}");
    }
    assert_eq!(frame_length(&[7, 0x0C]), Ok(Some(7)));
    assert_eq!(frame_length(&[1, 2, 0, 0x0C]), Ok(Some(512)));
}
