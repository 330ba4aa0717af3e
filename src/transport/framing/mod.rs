//! Packets on a line that has none: where one begins and ends in a stream of octets.
//!
//! Pure: fed with octets and the time. Whatever comes in, no more than one packet is kept.

pub mod aquila;
mod cobs;
mod escaped;
mod guess;
pub(in crate::transport) mod hub;
mod length;
pub mod loralink;
#[cfg(test)]
mod noise;
mod pieces;
pub mod rh_serial;
mod slip;
pub mod xbee;

use std::fmt;
use std::time::Duration;

use crate::time::Time;
pub use guess::{Guess, guess};
pub use pieces::{Fault, Frame, Piece, What, pieces};

/// How packets are put on a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Framing {
    /// RFC 1055, one MQTT-SN packet a frame.
    #[default]
    Slip,
    /// COBS, one MQTT-SN packet with a CRC-16 a frame.
    Cobs,
    /// MQTT-SN packets back to back, told apart by their own lengths.
    Length,
    /// API frames of Digi's XBee modules.
    Xbee,
    /// Our own format for radio hubs.
    Hub,
    /// RadioHead's RH_Serial.
    RhSerial,
    /// The LoRa modems that Paho's gateway calls LoRaLink.
    LoraLink,
    /// Aquila's bridges.
    Aquila,
}

impl Framing {
    /// Words of the configuration.
    pub const WORDS: [(&'static str, Self); 8] = [
        ("slip", Self::Slip),
        ("cobs", Self::Cobs),
        ("length", Self::Length),
        ("xbee", Self::Xbee),
        ("hub", Self::Hub),
        ("rh-serial", Self::RhSerial),
        ("loralink", Self::LoraLink),
        ("aquila", Self::Aquila),
    ];
}

/// Those framings that have frames for packets and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    /// [`Framing::Slip`].
    Slip,
    /// [`Framing::Cobs`].
    Cobs,
    /// [`Framing::Length`].
    Length,
}

impl Packing {
    /// Appends a packet as it goes on the line.
    pub fn encode(self, packet: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Slip => slip::encode(packet, out),
            Self::Cobs => cobs::encode(packet, out),
            Self::Length => out.extend_from_slice(packet),
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(_, framing)| framing == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// What a decoder has thrown away since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Discarded {
    /// Octets on the line, all reasons together.
    pub octets: u64,
    /// Frames with a wrong CRC or with stuffing that does not exist, or runs of octets that no packet begins with.
    pub damaged: u64,
    /// Packets that are longer than allowed.
    pub overlong: u64,
    /// Packets whose rest did not come in time.
    pub cut_off: u64,
}

/// Finds the packets in what comes from a line.
#[derive(Debug)]
pub struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    Slip(slip::Decoder),
    Cobs(cobs::Decoder),
    Length(length::Decoder),
}

impl Decoder {
    /// For packets of at most `max_packet` octets, on a line with so many bits a second.
    #[must_use]
    pub fn new(packing: Packing, max_packet: usize, baud: u32) -> Self {
        Self(match packing {
            Packing::Slip => Kind::Slip(slip::Decoder::new(max_packet)),
            Packing::Cobs => Kind::Cobs(cobs::Decoder::new(max_packet)),
            Packing::Length => Kind::Length(length::Decoder::new(max_packet, gap(baud))),
        })
    }

    /// For packets back to back, as [`Packing::Length`], where the rest of a packet that has begun comes
    /// within `gap`.
    #[cfg(feature = "ble")]
    pub(in crate::transport) fn stream(max_packet: usize, gap: Duration) -> Self {
        Self(Kind::Length(length::Decoder::new(max_packet, gap)))
    }

    /// Takes what has come at this time and gives each packet that is complete to `each`.
    pub fn feed(&mut self, now: Time, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        match &mut self.0 {
            Kind::Slip(decoder) => decoder.feed(octets, each),
            Kind::Cobs(decoder) => decoder.feed(octets, each),
            Kind::Length(decoder) => decoder.feed(now, octets, each),
        }
    }

    /// Forgets a packet that has begun: what comes now is from another opening of the line.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Kind::Slip(decoder) => decoder.reset(),
            Kind::Cobs(decoder) => decoder.reset(),
            Kind::Length(decoder) => decoder.reset(),
        }
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        match &self.0 {
            Kind::Slip(decoder) => decoder.discarded(),
            Kind::Cobs(decoder) => decoder.discarded(),
            Kind::Length(decoder) => decoder.discarded(),
        }
    }
}

/// Bits on a line for an octet: start, eight bits, stop.
pub(crate) const BITS_PER_OCTET: u32 = 10;

/// How long a line may be silent within a packet: 100 ms, and the time of what a port may hold
/// back before it hands it over.
fn gap(baud: u32) -> Duration {
    /// Octets: the receive buffers of usual ports, twice.
    const HELD_BACK: u32 = 32;
    Duration::from_millis(100)
        + Duration::from_secs((HELD_BACK * BITS_PER_OCTET).into()) / baud.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_lines_have_longer_gaps() {
        assert_eq!(gap(0), Duration::from_millis(320_100));
        assert_eq!(gap(9_600).as_millis(), 133);
        assert_eq!(gap(4_000_000).as_millis(), 100);
    }

    /// What goes out of one end comes in at the other, whatever is in it.
    #[test]
    fn what_is_encoded_is_decoded() {
        for (word, framing) in Framing::WORDS {
            assert_eq!(framing.to_string(), word);
        }
        for packing in [Packing::Slip, Packing::Cobs, Packing::Length] {
            let mut line = Vec::new();
            let mut packets = Vec::new();
            for length in [2_usize, 3, 100, 255] {
                // WILLMSG, which can be anything.
                let mut packet = vec![length as u8, 0x09];
                packet.extend((2..length).map(|at| [0xC0, 0xDB, 0xDC, 0xDD, 0][at % 5]));
                packing.encode(&packet, &mut line);
                packets.push(packet);
            }
            let mut decoder = Decoder::new(packing, 255, 57_600);
            let mut found: Vec<Vec<u8>> = Vec::new();
            decoder.feed(Time(0), &line, &mut |packet| found.push(packet.to_vec()));
            assert_eq!(found, packets, "{packing:?}");
            assert_eq!(decoder.discarded(), Discarded::default());
        }
    }
}
