//! Frames of Aquila's bridges: SLIP around a content and its CRC-16/XMODEM, least significant octet
//! first.

use super::{Discarded, slip};
use crate::hub::crc16::{START_XMODEM, crc16};

/// Octets of the CRC.
const CRC: usize = 2;

fn xmodem(content: &[u8]) -> u16 {
    crc16(START_XMODEM, content)
}

/// Appends a frame.
pub fn encode(content: &[u8], out: &mut Vec<u8>) {
    slip::encode(&[content, &xmodem(content).to_le_bytes()].concat(), out);
}

/// Takes frames apart.
#[derive(Debug)]
pub struct Decoder {
    slip: slip::Decoder,
    /// What SLIP was content with.
    discarded: Discarded,
}

impl Decoder {
    /// For contents of at most `longest` octets, without the CRC.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        let slip = slip::Decoder::new(longest.saturating_add(CRC));
        Self { slip, discarded: Discarded::default() }
    }

    /// Takes what has come and gives each content with a right CRC to `each`.
    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        let Self { slip, discarded } = self;
        slip.feed(octets, &mut |frame| match frame.split_last_chunk::<CRC>() {
            Some((content, crc)) if xmodem(content) == u16::from_le_bytes(*crc) => each(content),
            _ => {
                discarded.damaged += 1;
                discarded.octets += slip::inner_len(frame) as u64;
            }
        });
    }

    /// Forgets a frame that has begun.
    pub fn reset(&mut self) {
        self.slip.reset();
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        let slip = self.slip.discarded();
        Discarded {
            octets: slip.octets + self.discarded.octets,
            damaged: slip.damaged + self.discarded.damaged,
            ..slip
        }
    }
}

#[cfg(test)]
mod tests;
