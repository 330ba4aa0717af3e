//! COBS (consistent overhead byte stuffing): octets without a 0, which ends the frame.
//!
//! A frame is made of blocks: one octet that counts itself and what follows it in the block, at most
//! 255, then octets that are none of them 0. Between two blocks a 0 is left out, except after a
//! block of 255.

use super::crc16;
use super::error::{BufferTooSmall, FrameError};

/// What a frame begins with, and what ends it.
pub const DELIMITER: u8 = 0;
/// Octets of the CRC.
pub const CRC_LEN: usize = 2;
/// The longest block, with the octet that counts it.
const BLOCK_MAX: u8 = 0xFF;
/// Octets of contents in the longest block.
const BLOCK_CONTENTS: usize = 254;

/// Octets on the line of the longest frame with so many octets of contents: delimiters, CRC and
/// what COBS adds.
#[must_use]
pub const fn frame_len_max(contents: usize) -> usize {
    let stuffed = contents.saturating_add(CRC_LEN);
    stuffed.saturating_add(stuffed / BLOCK_CONTENTS).saturating_add(3)
}

/// Writes one frame: 0, contents and CRC in COBS, 0.
///
/// ```
/// use mqtt_sn_gateway::hub::FrameWriter;
///
/// let mut line = [0; 10];
/// let mut writer = FrameWriter::new(&mut line);
/// writer.push(&[0x02]);
/// writer.push(&[0x16]);
/// assert_eq!(writer.finish(), Ok(7));
/// assert_eq!(line[..7], [0x00, 0x05, 0x02, 0x16, 0xF6, 0x65, 0x00]);
/// ```
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut [u8],
    /// Octets that are written, or would be if `out` were long enough.
    length: usize,
    /// Where the octet goes that counts this block.
    count_at: usize,
    count: u8,
    crc: u16,
}

impl<'a> FrameWriter<'a> {
    /// A frame at the front of `out`, without contents yet.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        let mut writer = Self { out, length: 0, count_at: 0, count: 0, crc: crc16::START };
        writer.put(DELIMITER);
        writer.begin_block();
        writer
    }

    /// More contents.
    pub fn push(&mut self, contents: &[u8]) {
        for octet in contents {
            self.crc = crc16::add(self.crc, *octet);
            self.stuff(*octet);
        }
    }

    /// Ends the frame and returns its length in octets.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if it does not fit; what is written is no frame then.
    pub fn finish(mut self) -> Result<usize, BufferTooSmall> {
        for octet in (!self.crc).to_be_bytes() {
            self.stuff(octet);
        }
        self.end_block();
        self.put(DELIMITER);
        if self.length > self.out.len() {
            return Err(BufferTooSmall { needed: self.length });
        }
        Ok(self.length)
    }

    fn stuff(&mut self, octet: u8) {
        if self.count == BLOCK_MAX {
            self.end_block();
            self.begin_block();
        }
        if octet == DELIMITER {
            self.end_block();
            self.begin_block();
        } else {
            self.put(octet);
            self.count = self.count.saturating_add(1);
        }
    }

    fn begin_block(&mut self) {
        self.count_at = self.length;
        self.count = 1;
        self.put(self.count);
    }

    fn end_block(&mut self) {
        if let Some(at) = self.out.get_mut(self.count_at) {
            *at = self.count;
        }
    }

    fn put(&mut self, octet: u8) {
        if let Some(at) = self.out.get_mut(self.length) {
            *at = octet;
        }
        self.length = self.length.saturating_add(1);
    }
}

/// What a decoder has thrown away since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Discarded {
    /// Octets on the line, all reasons together, without delimiters.
    pub octets: u64,
    /// Frames that are no COBS.
    pub stuffing: u64,
    /// Frames with nothing in front of a CRC.
    pub too_short: u64,
    /// Frames with a wrong CRC.
    pub crc: u64,
    /// Frames with contents that do not fit into the buffer.
    pub too_long: u64,
}

/// Finds the frames in what comes from a line, octet by octet, and keeps the one that has begun in a
/// buffer of the caller's: `[u8; N]`, a `&mut [u8]` or a box. It needs room for the contents and
/// [`CRC_LEN`] octets.
///
/// ```
/// use mqtt_sn_gateway::hub::{FrameDecoder, FrameError};
///
/// let mut decoder = FrameDecoder::new([0; 8]);
/// for octet in [0x00, 0x05, 0x02, 0x16, 0xF6, 0x65] {
///     assert_eq!(decoder.push(octet), None);
/// }
/// assert_eq!(decoder.push(0x00), Some(Ok(&[0x02, 0x16][..])));
///
/// // What follows is whole again, whatever came before it.
/// assert_eq!(decoder.push(0x05), None);
/// assert_eq!(decoder.push(0x00), Some(Err(FrameError::Stuffing)));
/// ```
#[derive(Clone, Debug)]
pub struct FrameDecoder<B> {
    buffer: B,
    /// Octets of contents and CRC that have come.
    length: usize,
    /// Octets that this block still has.
    block: u8,
    /// A 0 stands between this block and the next one.
    zero: bool,
    crc: u16,
    /// Octets on the line since the last delimiter that are not yet counted as thrown away.
    raw: u64,
    /// The rest of this frame is of no use.
    skipping: bool,
    discarded: Discarded,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> FrameDecoder<B> {
    /// For a line that begins now. Contents of frames go into `buffer`.
    #[must_use]
    pub const fn new(buffer: B) -> Self {
        let discarded = Discarded { octets: 0, stuffing: 0, too_short: 0, crc: 0, too_long: 0 };
        Self {
            buffer,
            length: 0,
            block: 0,
            zero: false,
            crc: crc16::START,
            raw: 0,
            skipping: false,
            discarded,
        }
    }

    /// Takes the next octet of the line. If it ends a frame: its contents, without the CRC, which
    /// was right; or what is wrong with it. That a frame is too long is said as soon as it is.
    pub fn push(&mut self, octet: u8) -> Option<Result<&[u8], FrameError>> {
        if octet == DELIMITER {
            return self.end();
        }
        self.raw = self.raw.saturating_add(1);
        if self.skipping {
            self.throw_away();
            return None;
        }
        let fits = match self.block.checked_sub(1) {
            Some(rest) => {
                self.block = rest;
                self.keep(octet)
            }
            None => {
                let fits = !self.zero || self.keep(DELIMITER);
                self.block = octet.saturating_sub(1);
                self.zero = octet != BLOCK_MAX;
                fits
            }
        };
        if fits {
            return None;
        }
        self.skipping = true;
        self.throw_away();
        self.discarded.too_long = self.discarded.too_long.saturating_add(1);
        Some(Err(FrameError::TooLong))
    }

    /// Forgets a frame that has begun: what comes now is from another opening of the line.
    pub fn reset(&mut self) {
        self.throw_away();
        self.begin();
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.discarded
    }

    fn end(&mut self) -> Option<Result<&[u8], FrameError>> {
        // Nothing between two delimiters is no frame, and what was skipped has been counted.
        if self.raw == 0 {
            self.begin();
            return None;
        }
        let length = self.length;
        let error = match length.checked_sub(CRC_LEN) {
            _ if self.block > 0 => Some(FrameError::Stuffing),
            None | Some(0) => Some(FrameError::TooShort),
            Some(_) if self.crc != crc16::RESIDUE => Some(FrameError::Crc),
            Some(_) => None,
        };
        if let Some(error) = error {
            self.throw_away();
            self.begin();
            let counter = match error {
                FrameError::Stuffing => &mut self.discarded.stuffing,
                FrameError::TooShort => &mut self.discarded.too_short,
                FrameError::Crc => &mut self.discarded.crc,
                FrameError::TooLong => &mut self.discarded.too_long,
            };
            *counter = counter.saturating_add(1);
            return Some(Err(error));
        }
        self.begin();
        let contents = self.buffer.as_ref().get(..length.saturating_sub(CRC_LEN));
        contents.map(Ok)
    }

    fn begin(&mut self) {
        self.length = 0;
        self.block = 0;
        self.zero = false;
        self.crc = crc16::START;
        self.raw = 0;
        self.skipping = false;
    }

    /// Whether there was room for it.
    fn keep(&mut self, octet: u8) -> bool {
        let Some(at) = self.buffer.as_mut().get_mut(self.length) else { return false };
        *at = octet;
        self.length = self.length.saturating_add(1);
        self.crc = crc16::add(self.crc, octet);
        true
    }

    fn throw_away(&mut self) {
        self.discarded.octets = self.discarded.octets.saturating_add(self.raw);
        self.raw = 0;
    }
}
