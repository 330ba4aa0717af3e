use super::*;
use crate::codec::decode;

/// Steps out of packets in hex with their seconds, `<` from the device and `>` to it.
fn titles(story: &[(u64, char, &[u8])]) -> Vec<&'static str> {
    let step = |(seconds, direction, packet): &(u64, char, &'static [u8])| Step {
        time: Time(seconds * 1_000),
        sent: *direction == '>',
        message: decode(packet).expect("a packet").message,
    };
    // What is told of the packets does not outlive them.
    let steps: Vec<Step<'_>> = story
        .iter()
        .map(|(seconds, direction, packet)| {
            step(&(*seconds, *direction, Box::leak(packet.to_vec().into_boxed_slice())))
        })
        .collect();
    of(&steps).into_iter().map(|hint| hint.title).collect()
}

const CONNECT: &[u8] = b"\x07\x04\x04\x01\x00\x3Cm";
const CONNACK: &[u8] = b"\x03\x05\x00";
const PINGREQ: &[u8] = b"\x02\x16";
const PINGRESP: &[u8] = b"\x02\x17";
const REGISTER_IN: &[u8] = b"\x07\x0A\x00\x00\x00\x01a";
const REGISTER: &[u8] = b"\x07\x0A\x00\x01\x00\x01a";
const REGACK: &[u8] = b"\x07\x0B\x00\x01\x00\x01\x00";
const PUBLISH: &[u8] = b"\x08\x0C\x20\x00\x01\x00\x07x";
const PUBACK: &[u8] = b"\x07\x0D\x00\x01\x00\x07\x00";
const PUBACK_INVALID: &[u8] = b"\x07\x0D\x00\x01\x00\x07\x02";

#[test]
fn a_healthy_day_gives_no_hint() {
    let mut day =
        vec![(0, '<', CONNECT), (0, '>', CONNACK), (1, '<', REGISTER_IN), (1, '>', REGACK)];
    for minute in 1..50 {
        day.extend([(60 * minute, '<', PUBLISH), (60 * minute, '>', PUBACK)]);
        day.extend([(60 * minute + 30, '<', PINGREQ), (60 * minute + 30, '>', PINGRESP)]);
        day.extend([(60 * minute + 40, '>', PUBLISH), (60 * minute + 41, '<', PUBACK)]);
    }
    assert_eq!(titles(&day), [""; 0]);
    // A device that is restarted by hand a few times.
    let restarts = [(0, '<', CONNECT), (0, '>', CONNACK), (500, '<', CONNECT), (500, '>', CONNACK)];
    assert_eq!(titles(&restarts), [""; 0]);
}

#[test]
fn answers_that_do_not_arrive() {
    let story: Vec<_> =
        (0..4).flat_map(|n| [(10 * n, '<', CONNECT), (10 * n, '>', CONNACK)]).collect();
    assert_eq!(titles(&story), ["It connects again and again"]);
    let refused = [(0, '<', CONNECT), (10, '<', CONNECT), (20, '<', CONNECT), (30, '<', CONNECT)];
    assert_eq!(titles(&refused), [""; 0], "they were not even sent");
}

#[test]
fn the_ping_counter_of_asymcute() {
    let story: Vec<_> = (0..4)
        .flat_map(|n| {
            [
                (45 * n, '<', CONNECT),
                (45 * n, '>', CONNACK),
                (45 * n + 1, '<', PUBLISH),
                (45 * n + 1, '>', PUBACK),
            ]
        })
        .collect();
    assert_eq!(titles(&story), ["It starts over when its first ping is due"]);
}

#[test]
fn what_a_device_leaves_unanswered() {
    let three = |packet| [(1, '>', packet), (11, '>', packet), (21, '>', packet)];
    assert_eq!(titles(&three(REGISTER)), ["It does not answer REGISTER"]);
    assert_eq!(titles(&three(PUBLISH)), ["It does not acknowledge messages"]);
    let late = [&three(PUBLISH)[..], &[(22, '<', PUBACK)]].concat();
    assert_eq!(titles(&late), [""; 0]);
}

#[test]
fn topic_ids_that_one_side_does_not_know() {
    let here =
        [(1, '>', PUBLISH), (1, '<', PUBACK_INVALID), (2, '>', PUBLISH), (2, '<', PUBACK_INVALID)];
    assert_eq!(titles(&here), ["It does not know the topic ids of its session"]);
    let there: Vec<_> =
        (0..3).flat_map(|n| [(n, '<', PUBLISH), (n, '>', PUBACK_INVALID)]).collect();
    assert_eq!(titles(&there), ["It uses topic ids that it was not given"]);
    let mended = [&there[..], &[(4, '<', REGISTER_IN)]].concat();
    assert_eq!(titles(&mended), [""; 0]);
}

#[test]
fn messages_that_are_repeated_for_nothing() {
    let story: Vec<_> = (0..4).flat_map(|n| [(n, '<', PUBLISH), (n, '>', PUBACK)]).collect();
    assert_eq!(titles(&story), ["It repeats messages that were acknowledged"]);
}
