//! What was on a line, piece by piece: frames, what they say, and what is none of them. For people
//! who look at a capture, and for [`guess`](super::guess()).

mod aquila;
mod hubs;
mod loralink;
mod rh_serial;
mod xbee;

use super::{Decoder, Discarded, Framing, Packing, slip};
use crate::codec::{decode, frame_length, type_name};
use crate::hub;
use crate::time::Time;
use aquila::AquilaLine;
use hubs::HubLine;
use loralink::LoraLine;
use rh_serial::RhLine;
use xbee::XbeeLine;

/// A piece of what was on a line. Pieces follow each other without gaps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Piece {
    /// Octets before it.
    pub at: usize,
    /// Its own octets.
    pub length: usize,
    /// What it is.
    pub what: What,
}

/// What a piece is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// A whole frame.
    Frame(Frame),
    /// A whole frame, but what is in it is nothing that this framing has: why, in words.
    Unreadable(String),
    /// No frame, or one that is of no use.
    Noise(Fault),
    /// The beginning of a frame, and then the capture ends.
    Rest,
}

/// What a frame holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// What it says beside the packet: addresses, signal, what became of another frame. In words,
    /// empty if there is nothing to say.
    pub says: String,
    /// The MQTT-SN packet in it, not checked; frames between host and radio have none.
    pub packet: Option<Vec<u8>>,
}

/// Why octets are no frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// No frame begins so, it has octets that it cannot have, or its checksum is wrong.
    Damaged,
    /// It is longer than a packet can be.
    Overlong,
    /// Another frame began before it was whole.
    CutOff,
}

/// Takes a capture apart, with packets of at most `max_packet` octets.
pub fn pieces(framing: Framing, max_packet: usize, octets: &[u8], each: &mut dyn FnMut(Piece)) {
    let cutter = Cutter { at: 0, noise: None, each };
    match framing {
        Framing::Slip => {
            delimited(Plain::new(Packing::Slip, max_packet), slip::END, octets, cutter);
        }
        Framing::Cobs => {
            delimited(Plain::new(Packing::Cobs, max_packet), hub::DELIMITER, octets, cutter);
        }
        Framing::Length => back_to_back(max_packet, octets, cutter),
        Framing::Xbee => {
            let (mode, sender) = xbee::spoken(max_packet, octets);
            running(XbeeLine::new(mode, sender, max_packet), octets, cutter);
        }
        Framing::Hub => delimited(HubLine::new(max_packet), hub::DELIMITER, octets, cutter),
        Framing::RhSerial => running(RhLine::new(max_packet), octets, cutter),
        Framing::LoraLink => running(LoraLine::new(max_packet), octets, cutter),
        Framing::Aquila => delimited(AquilaLine::new(max_packet), slip::END, octets, cutter),
    }
}

/// Takes frames apart.
trait Dissect {
    /// Takes octets, and gives each frame that is whole to `each`, with its octets on the line if it
    /// need not end with the last one of these.
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What));

    /// What was thrown away so far.
    fn discarded(&self) -> Discarded;
}

/// Frames that end with an octet which is nowhere else.
fn delimited(mut dissector: impl Dissect, end: u8, octets: &[u8], mut cutter: Cutter<'_>) {
    let mut fed = 0;
    for frame in octets.split_inclusive(|octet| *octet == end) {
        let before = dissector.discarded();
        let mut found = None;
        dissector.feed(frame, &mut |_, what| found = Some(what));
        fed += frame.len();
        // Everything up to the end belongs together.
        if let Some(what) = found {
            cutter.cut(fed, what);
        } else if let Some(fault) = fault(&before, &dissector.discarded()) {
            cutter.cut(fed, What::Noise(fault));
        }
    }
    cutter.cut(octets.len(), What::Rest);
}

/// Frames that say where they begin.
fn running(mut dissector: impl Dissect, octets: &[u8], mut cutter: Cutter<'_>) {
    let mut found = Vec::new();
    for (fed, octet) in (1..).zip(octets) {
        let before = dissector.discarded();
        dissector.feed(std::slice::from_ref(octet), &mut |length, what| found.push((length, what)));
        let after = dissector.discarded();
        if let Some(fault) = fault(&before, &after) {
            let lost = after.octets.saturating_sub(before.octets);
            let new = (after.damaged, after.overlong, after.cut_off)
                != (before.damaged, before.overlong, before.cut_off);
            cutter.lose(usize::try_from(lost).unwrap_or(usize::MAX), fault, new);
        }
        // What is looked through again may have noise between frames: it is shown in front of them.
        for (length, what) in found.drain(..) {
            let to = length.map_or(fed, |length| cutter.next().saturating_add(length).min(fed));
            cutter.cut(to, what);
        }
    }
    cutter.cut(octets.len(), What::Rest);
}

/// Why something was thrown away, if anything was.
fn fault(before: &Discarded, after: &Discarded) -> Option<Fault> {
    if after.overlong > before.overlong {
        Some(Fault::Overlong)
    } else if after.cut_off > before.cut_off {
        Some(Fault::CutOff)
    } else if after.octets > before.octets {
        Some(Fault::Damaged)
    } else {
        None
    }
}

/// Packets that nothing delimits. On a line a pause ends what was taken for a packet by mistake. A
/// capture has no pauses, so a packet has to be a good one here, or another has to follow it.
fn back_to_back(max_packet: usize, octets: &[u8], mut cutter: Cutter<'_>) {
    let mut at = 0;
    // What may be the beginning of a packet, unless there is a good one behind it.
    let mut open = None;
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        match frame_length(rest) {
            Ok(Some(length)) if length <= max_packet => match rest.split_at_checked(length) {
                Some((packet, next))
                    if decode(packet).is_ok() || begins(packet) && begins(next) =>
                {
                    cutter.cut(at, What::Noise(Fault::Damaged));
                    at += length;
                    cutter.cut(at, self::packet(packet));
                    open = None;
                    continue;
                }
                None if begins(rest) => open = open.or(Some(at)),
                _ => {}
            },
            Ok(None) => open = open.or(Some(at)),
            _ => {}
        }
        at += 1;
    }
    cutter.cut(open.unwrap_or(at), What::Noise(Fault::Damaged));
    cutter.cut(at, What::Rest);
}

/// Whether a packet may begin so, or nothing comes any more.
fn begins(octets: &[u8]) -> bool {
    match *octets {
        [] => true,
        [0x01, _, _, msg_type, ..] | [_, msg_type, ..] => type_name(msg_type).is_some(),
        [_] => false,
    }
}

/// Cuts the octets into pieces.
struct Cutter<'a> {
    /// Where the next piece begins.
    at: usize,
    /// Octets of noise from there on, which may go on.
    noise: Option<(usize, Fault)>,
    each: &'a mut dyn FnMut(Piece),
}

impl Cutter<'_> {
    /// What is there from the last piece to here, if anything is.
    fn cut(&mut self, to: usize, what: What) {
        self.end_noise();
        self.give(to, what);
    }

    /// So many octets are noise; whether it is a new one.
    fn lose(&mut self, octets: usize, fault: Fault, new: bool) {
        match &mut self.noise {
            Some((length, _)) if !new => *length = length.saturating_add(octets),
            _ => {
                self.end_noise();
                self.noise = Some((octets, fault));
            }
        }
    }

    /// Where what comes after the noise begins.
    fn next(&self) -> usize {
        self.at.saturating_add(self.noise.map_or(0, |(length, _)| length))
    }

    fn end_noise(&mut self) {
        if let Some((_, fault)) = self.noise {
            let to = self.next();
            self.noise = None;
            self.give(to, What::Noise(fault));
        }
    }

    fn give(&mut self, to: usize, what: What) {
        if to > self.at {
            (self.each)(Piece { at: self.at, length: to - self.at, what });
            self.at = to;
        }
    }
}

/// A frame with nothing but a packet.
fn packet(packet: &[u8]) -> What {
    What::Frame(Frame { says: String::new(), packet: Some(packet.to_vec()) })
}

/// Framings that have nothing but packets.
struct Plain(Decoder);

impl Plain {
    fn new(packing: Packing, max_packet: usize) -> Self {
        Self(Decoder::new(packing, max_packet, u32::MAX))
    }
}

impl Dissect for Plain {
    fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Option<usize>, What)) {
        self.0.feed(Time(0), octets, &mut |found| each(None, packet(found)));
    }

    fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, max_packet: usize, octets: &[u8]) -> Vec<Piece> {
        let mut found = Vec::new();
        pieces(framing, max_packet, octets, &mut |piece| found.push(piece));
        found
    }

    fn frame(at: usize, length: usize, packet: &[u8]) -> Piece {
        let frame = Frame { says: String::new(), packet: Some(packet.to_vec()) };
        Piece { at, length, what: What::Frame(frame) }
    }

    fn noise(at: usize, length: usize, fault: Fault) -> Piece {
        Piece { at, length, what: What::Noise(fault) }
    }

    fn rest(at: usize, length: usize) -> Piece {
        Piece { at, length, what: What::Rest }
    }

    #[test]
    fn slip_is_cut_at_its_ends() {
        let line = [
            &[0xC0, 2, 0x16, 0xC0][..],
            &[2, 0x17, 0xC0],
            &[0xC0, 9, 0xDB, 1, 0xC0],
            &[0xC0, 0xC0, 3, 0xDB, 0xDC, 0xDB, 0xDD, 0xC0],
            &[1, 2, 3, 4, 5, 6, 0xC0],
            &[0xC0, 2],
        ];
        let expected = [
            frame(0, 4, &[2, 0x16]),
            frame(4, 3, &[2, 0x17]),
            noise(7, 5, Fault::Damaged),
            frame(12, 8, &[3, 0xC0, 0xDB]),
            noise(20, 7, Fault::Overlong),
            rest(27, 2),
        ];
        assert_eq!(cut(Framing::Slip, 5, &line.concat()), expected);
        assert_eq!(cut(Framing::Slip, 5, &[]), []);
        assert_eq!(cut(Framing::Slip, 5, &[1, 2, 3, 4, 5, 6]), [noise(0, 6, Fault::Overlong)]);
    }

    #[test]
    fn length_is_cut_by_its_lengths() {
        let line = [
            &[2, 0x16][..],
            &[0, 0xFF, 0xFF],
            // Malformed, but the next one begins where it ends.
            &[4, 1, 0, 0],
            &[3, 1, 0],
            &[1, 0, 9, 0x0C, 0, 0, 1, 0, 0],
            // Taken for the beginning of others.
            &[200, 0x0C, 200, 0xFE, 1, 0xFF],
            &[2, 0x17],
            &[0],
            &[5, 0xFE, 0, 7],
        ];
        let expected = [
            frame(0, 2, &[2, 0x16]),
            noise(2, 3, Fault::Damaged),
            frame(5, 4, &[4, 1, 0, 0]),
            frame(9, 3, &[3, 1, 0]),
            frame(12, 9, &[1, 0, 9, 0x0C, 0, 0, 1, 0, 0]),
            noise(21, 6, Fault::Damaged),
            frame(27, 2, &[2, 0x17]),
            noise(29, 1, Fault::Damaged),
            rest(30, 4),
        ];
        assert_eq!(cut(Framing::Length, 9, &line.concat()), expected);
        assert_eq!(cut(Framing::Length, 9, &[10, 0x0C]), [noise(0, 1, Fault::Damaged), rest(1, 1)]);
    }

    /// Whatever comes, no octet is forgotten and none is there twice.
    #[test]
    fn pieces_have_no_gaps() {
        let mut state = 7_u32;
        let mut octet = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            [(state >> 24) as u8, 0xC0, 0xDB, 0xDC, 0, (state >> 24) as u8 >> 4]
                [(state >> 16) as usize % 6]
        };
        // One of each framing, on either side of its delimiters.
        let good: [&[u8]; 7] = [
            &[0xC0, 2, 0x16, 0xC0],
            &[0, 5, 2, 0x16, 0xF6, 0x65, 0],
            &[3, 1, 0x84, 1, 1, 1, 3, 0x1F, 0x99, 0],
            &[0x7E, 0, 2, 0x8A, 6, 0x6F],
            &[0x10, 2, 1, 2, 0x10, 0x10, 0, 2, 0x16, 0x10, 3, 0x45, 8],
            &[0x7E, 0, 5, 5, 0x40, 2, 0x17, 0xA1],
            &[0xC0, 5, 0xFE, 1, 1, 0, 2, 0x17, 0xE9, 0xB0, 0xC0],
        ];
        for (_, framing) in Framing::WORDS {
            let mut frames = 0;
            for length in (0..200).chain(1_000..1_050) {
                let mut line: Vec<u8> = (0..length).map(|_| octet()).collect();
                line.splice(length / 2..length / 2, good.concat());
                let mut at = 0;
                for piece in cut(framing, 20, &line) {
                    assert_eq!(piece.at, at, "{framing}");
                    assert!(piece.length > 0, "{framing}");
                    at += piece.length;
                    frames += usize::from(matches!(piece.what, What::Frame(_)));
                }
                assert_eq!(at, line.len(), "{framing}");
            }
            assert!(frames > 20, "{framing}: {frames}");
        }
    }
}
