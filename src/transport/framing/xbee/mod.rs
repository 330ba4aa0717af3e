//! API frames of Digi's XBee modules, in both modes and both directions.
//!
//! A frame is `7E`, its length (two octets, of what is between length and checksum), its data, and FF
//! less the sum of the data. In mode 2 (AP=2) whatever follows the first octet is sent with escapes, so
//! that a 7E always begins a frame. In mode 1 a 7E may be anything.

mod escaped;
mod frames;
mod plain;
pub(in crate::transport) mod words;

pub use frames::{
    BROADCAST, Endpoints, FromModule, Manner, NO_LONG, NO_SHORT, Node, ToModule, write_answer,
    write_modem_status, write_received, write_status,
};

use super::Discarded;
use super::escaped::{BIT as FLIP, ESCAPE, START, put, sum as checksum};
use crate::time::Time;

/// Longest data of a frame that can be one, octets; a length above is noise.
const LONGEST: usize = 2_048;
/// Longest payload that radios carry, octets. Frames that long are understood as frames even if the
/// settings allow less, so that nobody takes their payload for frames.
const RADIO_PAYLOAD: usize = 256;
/// Longest header of a frame with a payload, octets.
const HEADER: usize = 20;

/// How frames are put on the line: the module's parameter AP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As they are; AP=1.
    Plain,
    /// With escapes; AP=2.
    Escaped,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Escaped];

    /// The mode with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| u64::from(mode.number()) == number)
    }

    /// 1 or 2.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Plain => 1,
            Self::Escaped => 2,
        }
    }
}

/// Who sends on a line; the types of frames tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// The gateway, or whoever else has a module.
    Host,
    /// The module.
    Module,
}

impl Sender {
    fn sends(self, frame_type: u8) -> bool {
        (frame_type & 0x80 != 0) == (self == Self::Module)
    }
}

/// Appends a frame with this data, at most 65,535 octets.
pub fn encode(mode: Mode, data: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let data = data.get(..length.into()).unwrap_or(data);
    match mode {
        Mode::Escaped => put(length, data, out),
        Mode::Plain => {
            out.push(START);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(data);
            out.push(checksum(data));
        }
    }
}

/// Finds frames of one sender in one mode.
#[derive(Debug)]
pub struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    Plain(plain::Decoder),
    Escaped(escaped::Decoder),
}

impl Decoder {
    /// For packets of at most `max_packet` octets, on a line with so many bits a second.
    #[must_use]
    pub fn new(mode: Mode, from: Sender, max_packet: usize, baud: u32) -> Self {
        let longest = (max_packet.max(RADIO_PAYLOAD) + HEADER).min(LONGEST);
        Self(match mode {
            Mode::Plain => Kind::Plain(plain::Decoder::new(from, longest, super::gap(baud))),
            Mode::Escaped => Kind::Escaped(escaped::Decoder::new(from, longest)),
        })
    }

    /// Takes what has come at this time and gives the data of each frame that is complete and has the
    /// right checksum to `each`.
    pub fn feed(&mut self, now: Time, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        match &mut self.0 {
            Kind::Plain(decoder) => decoder.feed(now, octets, each),
            Kind::Escaped(decoder) => decoder.feed(octets, each),
        }
    }

    /// Forgets a frame that has begun: what comes now is from another opening of the line.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Kind::Plain(decoder) => decoder.reset(),
            Kind::Escaped(decoder) => decoder.reset(),
        }
    }

    /// What was thrown away since this was last asked.
    pub fn take_discarded(&mut self) -> Discarded {
        std::mem::take(match &mut self.0 {
            Kind::Plain(decoder) => &mut decoder.discarded,
            Kind::Escaped(decoder) => &mut decoder.discarded,
        })
    }

    /// What was thrown away since that was last taken.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        match &self.0 {
            Kind::Plain(decoder) => decoder.discarded,
            Kind::Escaped(decoder) => decoder.discarded,
        }
    }
}

/// What the octets after a 7E say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Head {
    /// More is needed to say.
    Open,
    /// It was no beginning of a frame.
    Noise,
    /// Data of so many octets.
    Data(usize),
}

/// Looks at the octets after a 7E, without escapes.
fn head(octets: &[u8], from: Sender, longest: usize) -> Head {
    let [high, low, ref data @ ..] = *octets else { return Head::Open };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(1..=longest).contains(&length) || data.first().is_some_and(|kind| !from.sends(*kind)) {
        return Head::Noise;
    }
    Head::Data(length)
}

#[cfg(test)]
mod tests;
