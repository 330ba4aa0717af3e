//! Lines without IO.

use super::*;

fn settings(framing: Framing) -> Settings {
    Settings::new(framing)
}

/// PUBLISH of QoS 1 with this message id, 100 octets.
fn publish(msg_id: u16) -> Vec<u8> {
    let [high, low] = msg_id.to_be_bytes();
    [&[100, 0x0C, 0x20, 0, 1, high, low][..], &[7; 93]].concat()
}

const PUBACK: [u8; 7] = [7, 0x0D, 0, 1, 0, 9, 0];

/// Simulated seconds of a line that always has something to send. Octets written, and how long each
/// answer waited, milliseconds.
fn run(line: &mut Line, seconds: u64) -> (usize, Vec<u64>) {
    let (mut out, mut written, mut waited) = (BytesMut::new(), 0, Vec::new());
    let (mut now, mut msg_id) = (Time(1_000), 0_u16);
    let mut asked: Option<Time> = None;
    while now < Time(1_000 + seconds * 1_000) {
        while line.room() > 0 {
            msg_id = msg_id.wrapping_add(1);
            line.push(Some(&Address::NONE), &publish(msg_id));
        }
        if asked.is_none() && now.0 % 100 < 25 {
            line.push(Some(&Address::NONE), &PUBACK);
            asked = Some(now);
        }
        line.poll_output(now, &mut out);
        written += out.len();
        if out.windows(2).any(|two| two == [7, 0x0D])
            && let Some(at) = asked.take()
        {
            waited.push(now.0 - at.0);
        }
        out.clear();
        let next = line.next_timeout(now).expect("something waits");
        // The loop may be late.
        now = Time(next.0.max(now.0) + 7);
    }
    (written, waited)
}

#[test]
fn a_line_is_full_and_answers_overtake() {
    let mut line = Line::new(&settings(Framing::Length));
    line.opened(Time(0));
    let (written, waited) = run(&mut line, 60);
    assert!((57_600 * 6 * 98 / 100..=57_600 * 6 + 400).contains(&written), "{written}");
    assert!(waited.len() > 300);
    // A frame of 17 ms that is under way, and the loop that is late.
    assert!(waited.iter().all(|waited| *waited < 40), "{waited:?}");
    let stats = line.stats();
    assert_eq!((stats.overflow_drops, stats.unsendable), (0, 0));
}

#[test]
fn the_queue_has_a_bound_and_is_dropped_with_the_line() {
    let mut line = Line::new(&settings(Framing::Slip));
    let mut out = BytesMut::new();
    line.push(Some(&Address::NONE), &PUBACK);
    line.poll_output(Time(0), &mut out);
    assert_eq!((line.stats().away_drops, out.len(), line.next_timeout(Time(0))), (1, 0, None));
    line.opened(Time(0));
    for msg_id in 0..1_000 {
        line.push(Some(&Address::NONE), &publish(msg_id));
    }
    let taken = 4 * 5_760 / 100;
    assert_eq!(line.stats().overflow_drops, 1_000 - taken);
    assert_eq!(line.room(), 0);
    line.closed();
    assert_eq!((line.stats().away_drops, line.room()), (1 + taken, 0));
    line.opened(Time(10));
    line.poll_output(Time(10), &mut out);
    assert!(out.is_empty());
}

#[test]
fn a_device_that_begins_anew_is_not_sent_what_waited() {
    let mut line = Line::new(&settings(Framing::Length));
    line.opened(Time(0));
    line.push(Some(&Address::NONE), &publish(1));
    line.push(Some(&Address::NONE), &publish(1));
    line.recall(&Address::NONE, &[]);
    line.push(None, &PUBACK);
    let mut out = BytesMut::new();
    line.poll_output(Time(0), &mut out);
    assert_eq!((&out[..], line.stats().merged), (&PUBACK[..], 1));
}
