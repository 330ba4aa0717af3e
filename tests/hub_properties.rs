//! What holds for every message of a hub, and for every line, however bad.

use std::num::NonZeroU8;

use mqtt_sn_gateway::hub::{
    Address, BufferTooSmall, Destination, Discarded, FrameDecoder, FrameWriter, Hello, Message,
    Outcome, Received, Send, Text, buffer_len, decode, encode, frame_len_max,
};
use proptest::prelude::*;

#[path = "support/random.rs"]
mod random;

use random::Random;

fn address() -> impl Strategy<Value = Address> {
    prop::collection::vec(any::<u8>(), 0..=8)
        .prop_map(|octets| Address::new(&octets).expect("a short address"))
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|mut text| {
        text.retain(|c| !c.is_control());
        while text.len() > 32 {
            text.pop();
        }
        text
    })
}

/// Octets in which zeros, and runs without them, are as long as they like.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![1 => Just(0), 1 => any::<u8>(), 4 => 1..=255_u8];
    let run = prop_oneof![
        prop::collection::vec(octet, 0..100),
        (any::<u8>(), 0..600_usize).prop_map(|(octet, length)| vec![octet; length]),
    ];
    prop::collection::vec(run, 0..4).prop_map(|runs| runs.concat())
}

/// Raw material: enough for the fields of any message.
#[derive(Clone, Debug)]
struct Material {
    variant: usize,
    octets: [u8; 4],
    flag: bool,
    numbers: (u16, u16, u32),
    address: Address,
    texts: [String; 2],
    packet: Vec<u8>,
}

impl Material {
    fn message(&self) -> Message<'_> {
        let [a, b, c, d] = self.octets;
        let packet = self.packet.as_slice();
        match self.variant {
            0 => Message::HelloRequest { version: a },
            1 => Message::Send(Send {
                sequence: NonZeroU8::new(a),
                to: if self.flag {
                    Destination::Broadcast
                } else {
                    Destination::Device(self.address)
                },
                packet,
            }),
            2 => Message::Hello(Hello {
                version: a,
                started: self.flag,
                max_packet: self.numbers.0,
                queue: b,
                duty_cycle: self.numbers.1,
                bit_rate: self.numbers.2,
                address_len: c % 9,
                address: self.address,
                name: Text::new(&self.texts[0]).expect("a short name"),
                radio: Text::new(&self.texts[1]).expect("a short name"),
            }),
            3 => Message::Received(Received {
                from: self.address,
                broadcast: self.flag,
                rssi: (d != 0).then_some(-i16::from(d)),
                lqi: NonZeroU8::new(c),
                packet,
            }),
            4 => Message::Result {
                sequence: NonZeroU8::new(a).unwrap_or(NonZeroU8::MAX),
                outcome: Outcome(b),
            },
            _ => Message::Busy { milliseconds: self.numbers.2 },
        }
    }
}

fn material() -> impl Strategy<Value = Material> {
    let fields = (0..6_usize, any::<[u8; 4]>(), any::<bool>(), any::<(u16, u16, u32)>());
    (fields, address(), [text(), text()], packet()).prop_map(
        |((variant, octets, flag, numbers), address, texts, packet)| Material {
            variant,
            octets,
            flag,
            numbers,
            address,
            texts,
            packet,
        },
    )
}

/// Feeds a line, and checks that every octet of it is accounted for.
fn frames(line: &[u8], size: usize) -> (Vec<Vec<u8>>, Discarded) {
    let mut decoder = FrameDecoder::new(vec![0; size]);
    let (mut found, mut errors) = (Vec::new(), 0);
    // Octets since the last delimiter, in frames that were whole, and delimiters.
    let (mut open, mut whole, mut delimiters) = (0, 0, 0);
    for octet in line {
        match decoder.push(*octet) {
            Some(Ok(contents)) => {
                found.push(contents.to_vec());
                whole += open;
            }
            Some(Err(_)) => errors += 1,
            None => {}
        }
        if *octet == 0 {
            delimiters += 1;
            open = 0;
        } else {
            open += 1;
        }
    }
    decoder.reset();
    let discarded = decoder.discarded();
    assert_eq!(whole + delimiters + discarded.octets, line.len() as u64);
    let Discarded { stuffing, too_short, crc, too_long, .. } = discarded;
    assert_eq!(stuffing + too_short + crc + too_long, errors);
    (found, discarded)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn a_message_comes_out_as_it_went_in(material in material()) {
        let message = material.message();
        let mut line = vec![0xEE; 4_000];
        let length = encode(&message, &mut line).expect("room");
        let packet = match message {
            Message::Send(_) | Message::Received(_) => material.packet.len(),
            _ => 0,
        };
        prop_assert!(length <= frame_len_max(buffer_len(packet)));
        prop_assert!(line[length..].iter().all(|octet| *octet == 0xEE));
        line.truncate(length);
        prop_assert_eq!(line.iter().filter(|octet| **octet == 0).count(), 2);
        prop_assert_eq!((line[0], line[length - 1]), (0, 0));
        for room in [0, 1, length / 2, length - 1] {
            let short = encode(&message, &mut vec![0; room]);
            prop_assert_eq!(short, Err(BufferTooSmall { needed: length }));
        }
        let (found, _) = frames(&line, buffer_len(packet));
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(decode(&found[0]), Ok(message));
    }

    #[test]
    fn any_octets_are_accounted_for(
        line in prop::collection::vec(prop_oneof![1 => Just(0), 3 => 1..6_u8, 3 => any::<u8>()], 0..400),
        size in 0..40_usize,
    ) {
        let (found, _) = frames(&line, size);
        prop_assert!(found.iter().all(|contents| contents.len() + 2 <= size));
        for contents in found {
            let _ = decode(&contents);
        }
    }
}

/// A frame that nobody else has: its number is in it.
fn numbered(number: u32, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let length = [0, 3, 20, random.below(300)][random.below(4)];
    let contents = [&number.to_be_bytes()[..], &random.octets(length)].concat();
    let mut line = vec![0; frame_len_max(contents.len())];
    let mut writer = FrameWriter::new(&mut line);
    writer.push(&contents);
    let length = writer.finish().expect("room");
    line.truncate(length);
    (contents, line)
}

/// What a line does to a frame; whether it has done anything.
type Damage = fn(&mut Vec<u8>, &mut Random) -> bool;

/// One bit of a hundred is wrong.
fn wrong_bits(frame: &mut Vec<u8>, random: &mut Random) -> bool {
    let mut wrong = false;
    for octet in frame {
        for bit in 0..8 {
            if random.below(100) == 0 {
                *octet ^= 1 << bit;
                wrong = true;
            }
        }
    }
    wrong
}

/// One octet of a hundred is missing, as when nobody has read the port in time.
fn lost_octets(frame: &mut Vec<u8>, random: &mut Random) -> bool {
    let length = frame.len();
    // Of two delimiters in a row one may be missing without harm.
    let kept: Vec<u8> =
        frame.iter().copied().filter(|octet| *octet == 0 || random.below(100) > 0).collect();
    *frame = kept;
    frame.len() != length
}

/// It breaks off, and noise comes after it.
fn cut_and_noise(frame: &mut Vec<u8>, random: &mut Random) -> bool {
    if random.below(3) > 0 {
        return false;
    }
    frame.truncate(random.below(frame.len() - 1));
    let length = random.below(40);
    frame.extend(random.octets(length));
    true
}

/// Exactly the frames that the line has left alone are delivered: none that is damaged, and none is
/// lost because of another one. One of 65536 damaged frames has the right CRC by chance; there is
/// none among these.
#[test]
fn what_is_damaged_is_never_delivered() {
    let damages: [(&str, Damage); 3] = [
        ("wrong bits", wrong_bits),
        ("lost octets", lost_octets),
        ("cut off, and noise", cut_and_noise),
    ];
    for (what, damage) in damages {
        let mut random = Random(0x4855_425F_4E4F_4953);
        let (mut line, mut intact) = (Vec::new(), Vec::new());
        let mut damaged = 0;
        for number in 0..20_000 {
            let (contents, mut frame) = numbered(number, &mut random);
            if damage(&mut frame, &mut random) {
                damaged += 1;
            } else {
                intact.push(contents);
            }
            line.extend(frame);
        }
        assert!(damaged > 5_000 && intact.len() > 500, "{what}: {damaged}, {}", intact.len());
        let (found, discarded) = frames(&line, 400);
        assert_eq!(found.len(), intact.len(), "{what}");
        assert!(found == intact, "{what}");
        assert!(discarded.stuffing > 0 && discarded.crc > 0, "{what}: {discarded:?}");
    }
}

/// Each bit of a line alone, delimiters and counts of blocks among them.
#[test]
fn one_wrong_bit_is_always_noticed() {
    let mut random = Random(0x4855_425F_4F4E_4531);
    for round in 0..100 {
        let sent: Vec<_> = (0..3).map(|number| numbered(round * 3 + number, &mut random)).collect();
        let line: Vec<u8> = sent.iter().flat_map(|(_, frame)| frame.iter().copied()).collect();
        for at in 0..line.len() {
            let mut ends = sent.iter().scan(0, |end, (_, frame)| {
                *end += frame.len();
                Some(*end)
            });
            let hit = ends.position(|end| at < end).expect("in one of them");
            for bit in 0..8 {
                let mut line = line.clone();
                line[at] ^= 1 << bit;
                let others = (0..3).filter(|number| *number != hit).map(|number| &sent[number].0);
                assert!(frames(&line, 400).0.iter().eq(others), "round {round}: {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn noise_is_no_frame() {
    let mut random = Random(0x4855_425F_4E4F_4953);
    for zeros in [0, 10, 3] {
        let mut line = random.octets(1_000_000);
        if zeros > 0 {
            line.iter_mut().for_each(|octet| {
                if random.below(zeros) == 0 {
                    *octet = 0;
                }
            });
        }
        let (found, discarded) = frames(&line, buffer_len(60));
        assert_eq!(found, [[0_u8; 0]; 0]);
        assert!(discarded.octets > 500_000);
        let (contents, frame) = numbered(1, &mut random);
        line.extend(frame);
        assert_eq!(frames(&line, buffer_len(300)).0, [contents]);
    }
}
