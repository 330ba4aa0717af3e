//! What has to hold for any octets on the line of an XBee module, and whatever happens there. Used by
//! the fuzzer and by the tests. It panics when it does not hold.

use std::collections::BTreeSet;

use bytes::BytesMut;
use mqtt_sn_gateway::core::Address;
use mqtt_sn_gateway::time::Time;
use mqtt_sn_gateway::transport::framing::Framing;
use mqtt_sn_gateway::transport::framing::xbee::{
    Decoder, FromModule, Manner, Mode, Sender, ToModule, encode,
};
use mqtt_sn_gateway::transport::line::{Line, Port, Settings};

/// Settings' longest packet, octets.
const MAX_PACKET: usize = 64;
/// Longest data of a frame: the longest payload of a radio, and its header.
const LONGEST: usize = 256 + 20;

/// What an input has reached.
pub type Reached = BTreeSet<&'static str>;

/// The octets are a line, in both modes and both directions. However it is cut, the frames are the
/// same; each octet is accounted for; a frame is found again when it is framed anew.
pub fn check_line(octets: &[u8]) -> Reached {
    let mut reached = Reached::new();
    for mode in Mode::ALL {
        for from in [Sender::Host, Sender::Module] {
            let frames = take_apart(mode, from, octets, octets.len().max(1));
            for size in [1, 7] {
                assert_eq!(take_apart(mode, from, octets, size), frames);
            }
            for data in &frames {
                assert!((1..=LONGEST).contains(&data.len()));
                let mut line = Vec::new();
                encode(mode, data, &mut line);
                assert_eq!(take_apart(mode, from, &line, 5), std::slice::from_ref(data));
                reached.insert(kind(from, data));
            }
        }
    }
    reached
}

fn take_apart(mode: Mode, from: Sender, line: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(mode, from, MAX_PACKET, 57_600);
    let mut found = Vec::new();
    for some in line.chunks(size) {
        decoder.feed(Time(0), some, &mut |data| found.push(data.to_vec()));
    }
    // What was kept for a frame that is not whole.
    decoder.reset();
    let delivered: u64 = found.iter().map(|data| data.len() as u64 + 4).sum();
    let accounted = delivered + decoder.discarded().octets;
    match mode {
        Mode::Plain => assert_eq!(accounted, line.len() as u64),
        // Escapes come on top.
        Mode::Escaped => assert!(accounted <= line.len() as u64),
    }
    found
}

/// What a frame is. Whatever is written for it reads back equal.
fn kind(from: Sender, data: &[u8]) -> &'static str {
    if from == Sender::Host {
        let Some(frame) = ToModule::parse(data) else { return "other frame of the host" };
        let mut again = Vec::new();
        frame.write(&mut again);
        // Options and radius are not kept.
        assert_eq!(again.len(), data.len());
        assert_eq!(ToModule::parse(&again), Some(frame));
        return match frame {
            ToModule::Transmit { .. } => "transmit",
            ToModule::Command { .. } => "command",
            ToModule::RemoteCommand { .. } => "remote command",
        };
    }
    match FromModule::parse(data) {
        Some(FromModule::Received { manner: Manner::Usual, .. }) => "received",
        Some(FromModule::Received { manner: Manner::Explicit(_), .. }) => "explicit",
        Some(FromModule::Received { manner: Manner::Legacy, .. }) => "legacy",
        Some(FromModule::Status { .. }) => "status",
        Some(FromModule::Answer { .. }) => "answer",
        Some(FromModule::ModemStatus(_)) => "modem status",
        Some(FromModule::Introduced { .. }) => "introduced",
        Some(FromModule::RemoteAnswer { .. }) | None => "other frame",
    }
}

/// The octets say what happens on a gateway's line to a module, see the arms.
pub fn check_script(octets: &[u8]) -> Reached {
    let mut reached = Reached::new();
    let mut line = Line::new(&Settings { max_packet: MAX_PACKET, ..Settings::new(Framing::Xbee) });
    let mut now = Time(1_000);
    let mut known: Vec<Address> = Vec::new();
    let mut rest = octets.iter().copied();
    line.opened(now);
    while let Some(what) = rest.next() {
        let mode = if what & 0x80 == 0 { Mode::Plain } else { Mode::Escaped };
        let number = rest.next().unwrap_or(0);
        match what & 7 {
            // Time goes by.
            0 => now.0 += u64::from(number) * 50,
            // Octets come.
            1 => {
                let some: Vec<u8> = rest.by_ref().take(number.into()).collect();
                feed(&mut line, now, &some, &mut known, &mut reached);
            }
            // The module tells its mode.
            2 => {
                let value = mode.number();
                let answer = [0x88, 1, b'A', b'P', 0, value];
                let mut some = Vec::new();
                encode(mode, &answer, &mut some);
                feed(&mut line, now, &some, &mut known, &mut reached);
            }
            // A packet is to be sent: to somebody known, to everybody, or to whoever it is.
            3 => {
                let packet = vec![number; usize::from(what >> 3 & 7) * 11 + 2];
                match known.get(usize::from(number & 3)) {
                    Some(to) => line.push(Some(to), &packet),
                    None if number & 0x80 == 0 => line.push(None, &packet),
                    None => {
                        let to: Vec<u8> = rest.by_ref().take(usize::from(what >> 3 & 15)).collect();
                        line.push(Address::new(&to).as_ref(), &packet);
                    }
                }
            }
            // The line is opened again.
            4 => {
                line.closed();
                line.opened(now);
            }
            // A frame comes.
            _ => {
                let data: Vec<u8> = rest.by_ref().take(usize::from(number & 63)).collect();
                let mut some = Vec::new();
                encode(mode, &data, &mut some);
                feed(&mut line, now, &some, &mut known, &mut reached);
            }
        }
        work(&mut line, now, &mut reached);
    }
    reached
}

fn feed(
    line: &mut Line,
    now: Time,
    octets: &[u8],
    known: &mut Vec<Address>,
    reached: &mut Reached,
) {
    let before = line.discarded();
    line.feed(now, Port::Main, octets, &mut |from, _, packet| {
        assert!(packet.len() <= MAX_PACKET);
        assert!(matches!(from.octets().len(), 2 | 8));
        if known.len() < 4 {
            known.push(*from);
        }
        reached.insert("packet");
    });
    let after = line.discarded();
    assert!(after.octets >= before.octets && after.damaged >= before.damaged);
    assert!(after.cut_off >= before.cut_off && after.overlong >= before.overlong);
}

fn work(line: &mut Line, now: Time, reached: &mut Reached) {
    let mut out = BytesMut::new();
    let before = *line.stats();
    line.poll_output(now, &mut out);
    assert!(out.len() <= 4 * 2 * (MAX_PACKET + 24) + 16 * 8 + 16);
    assert!(line.next_timeout(now).is_none_or(|next| next > now), "it would be called for ever");
    if line.stats().sent > before.sent {
        reached.insert("sent");
    }
    if line.stats().unsendable > before.unsendable {
        reached.insert("unsendable");
    }
    if line.stats().unreachable_drops > 0 {
        reached.insert("unreachable");
    }
    let outcomes = line.outcomes();
    for (count, what) in [
        (outcomes.delivered, "delivered"),
        (outcomes.failed, "failed"),
        (outcomes.unanswered, "unanswered"),
    ] {
        if count > 0 {
            reached.insert(what);
        }
    }
    assert!(line.take_notes().len() <= 16);
}
