//! Capture files, classic pcap and pcapng, read record by record. Every length in them is foreign
//! input: nothing is allocated on its word alone.

mod next;

use std::io::{self, Read};
use std::rc::Rc;

use next::{NextGeneration, SECTION};

/// Longest record that is believed, octets: what capturing tools use as their own limit.
const LONGEST_RECORD: usize = 262_144;

/// A record of the file: one captured frame.
pub(super) struct Record {
    /// Time of capture, nanoseconds since the epoch of the file; `None` where the file has none.
    pub(super) nanos: Option<u64>,
    /// Link type of the interface, as the pcap registry numbers them.
    pub(super) link_type: u16,
    /// The frame, as much of it as was captured.
    pub(super) frame: Vec<u8>,
    /// What else the file says of it.
    pub(super) remarks: Remarks,
}

/// What a file may say of a frame.
#[derive(Default)]
pub(super) struct Remarks {
    /// Name of the interface.
    pub(super) interface: Option<Rc<str>>,
    /// It came in, or it went out.
    pub(super) inbound: Option<bool>,
    pub(super) comment: Option<String>,
}

/// Whether a file begins like a capture.
pub(super) fn is_capture(magic: [u8; 4]) -> bool {
    Classic::flavour(magic).is_some() || magic == SECTION
}

/// Reads a capture. `next` gives one record after the other.
pub(super) struct Reader<R> {
    input: R,
    format: Format,
}

enum Format {
    Classic(Classic),
    Next(Box<NextGeneration>),
}

impl<R: Read> Reader<R> {
    /// Reads the head of a capture whose first four octets are already taken from `input`.
    pub(super) fn new(magic: [u8; 4], mut input: R) -> io::Result<Self> {
        let format = match Classic::flavour(magic) {
            Some((big_endian, nanos)) => {
                let mut head = [0; 20];
                input.read_exact(&mut head).map_err(|error| cut(error, "its head"))?;
                let order = Order { big_endian };
                let link_type = order.u32(&head, 16) as u16;
                Format::Classic(Classic { order, nanos, link_type })
            }
            None => {
                let mut format = NextGeneration::default();
                format.section(&mut input)?;
                Format::Next(Box::new(format))
            }
        };
        Ok(Self { input, format })
    }

    /// The next record; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        match &mut self.format {
            Format::Classic(format) => format.next(&mut self.input),
            Format::Next(format) => format.next(&mut self.input),
        }
    }
}

/// Byte order of the numbers in a file.
#[derive(Clone, Copy, Default)]
struct Order {
    big_endian: bool,
}

impl Order {
    /// Four octets at an offset; zero beyond the end.
    fn u32(self, octets: &[u8], at: usize) -> u32 {
        let part = octets.get(at..at.saturating_add(4)).and_then(|part| part.try_into().ok());
        let part: [u8; 4] = part.unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(part) } else { u32::from_le_bytes(part) }
    }

    /// Two octets at an offset; zero beyond the end.
    fn u16(self, octets: &[u8], at: usize) -> u16 {
        let part = octets.get(at..at.saturating_add(2)).and_then(|part| part.try_into().ok());
        let part: [u8; 2] = part.unwrap_or_default();
        if self.big_endian { u16::from_be_bytes(part) } else { u16::from_le_bytes(part) }
    }
}

/// The format of libpcap.
struct Classic {
    order: Order,
    /// Fractions of a second are nanoseconds, not microseconds.
    nanos: bool,
    link_type: u16,
}

impl Classic {
    /// Byte order (big-endian?) and fraction (nanoseconds?) that the magic number stands for.
    fn flavour(magic: [u8; 4]) -> Option<(bool, bool)> {
        match magic {
            [0xA1, 0xB2, 0xC3, 0xD4] => Some((true, false)),
            [0xD4, 0xC3, 0xB2, 0xA1] => Some((false, false)),
            [0xA1, 0xB2, 0x3C, 0x4D] => Some((true, true)),
            [0x4D, 0x3C, 0xB2, 0xA1] => Some((false, true)),
            _ => None,
        }
    }

    fn next(&self, input: &mut impl Read) -> io::Result<Option<Record>> {
        let mut head = [0; 16];
        if !read_or_end(input, &mut head)? {
            return Ok(None);
        }
        let length = self.order.u32(&head, 8) as usize;
        if length > LONGEST_RECORD {
            return Err(damaged(format!("a record of {length} octets")));
        }
        let frame = read_vec(input, length)?;
        let fraction = u64::from(self.order.u32(&head, 4)) * if self.nanos { 1 } else { 1_000 };
        let nanos = u64::from(self.order.u32(&head, 0)) * 1_000_000_000 + fraction;
        let link_type = self.link_type;
        Ok(Some(Record { nanos: Some(nanos), link_type, frame, remarks: Remarks::default() }))
    }
}

/// Fills the buffer; false if the input had ended before the first octet.
fn read_or_end(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(cut(io::ErrorKind::UnexpectedEof.into(), "a record")),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads so many octets; memory grows with what really comes.
fn read_vec(input: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    input.by_ref().take(length as u64).read_to_end(&mut octets)?;
    if octets.len() < length {
        return Err(cut(io::ErrorKind::UnexpectedEof.into(), "a record"));
    }
    Ok(octets)
}

fn cut(error: io::Error, place: &str) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return damaged_with(error.kind(), format!("the capture ends in the middle of {place}"));
    }
    error
}

fn damaged(what: String) -> io::Error {
    damaged_with(io::ErrorKind::InvalidData, format!("the capture is damaged: {what}"))
}

fn damaged_with(kind: io::ErrorKind, text: String) -> io::Error {
    io::Error::new(kind, text)
}

#[cfg(test)]
mod tests;
