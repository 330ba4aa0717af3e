//! Capture files, classic pcap and pcapng, read record by record. Every length in them is foreign
//! input: nothing is allocated on its word alone.

use std::io::{self, Read};

/// Longest record that is believed, octets: what capturing tools use as their own limit.
const LONGEST_RECORD: usize = 262_144;

/// Longest block of a pcapng file that is believed, octets.
const LONGEST_BLOCK: usize = 16 * 1024 * 1024;

/// Most interfaces of a pcapng section that are remembered.
const MOST_INTERFACES: usize = 1_024;

/// A record of the file: one captured frame.
pub(super) struct Record {
    /// Time of capture, nanoseconds since the epoch of the file; `None` where the file has none.
    pub(super) nanos: Option<u64>,
    /// Link type of the interface, as the pcap registry numbers them.
    pub(super) link_type: u16,
    /// The frame, as much of it as was captured.
    pub(super) frame: Vec<u8>,
}

/// Whether a file begins like a capture.
pub(super) fn is_capture(magic: [u8; 4]) -> bool {
    Classic::flavour(magic).is_some() || magic == SECTION
}

/// First octets of a pcapng file, the same in both byte orders.
const SECTION: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

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
        Ok(Some(Record { nanos: Some(nanos), link_type: self.link_type, frame }))
    }
}

/// The format of Wireshark.
#[derive(Default)]
struct NextGeneration {
    order: Order,
    interfaces: Vec<Interface>,
}

/// An interface of a section.
#[derive(Clone, Copy)]
struct Interface {
    link_type: u16,
    snap_len: u32,
    /// Ticks in a second.
    ticks: u64,
}

/// Block types.
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

impl NextGeneration {
    /// Reads a section header whose block type is already taken.
    fn section(&mut self, input: &mut impl Read) -> io::Result<()> {
        let mut head = [0; 8];
        input.read_exact(&mut head).map_err(|error| cut(error, "the head of a section"))?;
        self.order = match head {
            [.., 0x1A, 0x2B, 0x3C, 0x4D] => Order { big_endian: true },
            [.., 0x4D, 0x3C, 0x2B, 0x1A] => Order { big_endian: false },
            _ => return Err(damaged("a section without its byte-order mark".to_owned())),
        };
        self.interfaces.clear();
        let length = self.order.u32(&head, 0) as usize;
        let rest = Self::body_length(length)?.checked_sub(4);
        let rest = rest.ok_or_else(|| damaged(format!("a section head of {length} octets")))?;
        // Version, section length, options, and the length once more.
        read_vec(input, rest + 4)?;
        Ok(())
    }

    /// Octets between the two lengths of a block.
    fn body_length(length: usize) -> io::Result<usize> {
        match length.checked_sub(12) {
            Some(body) if length.is_multiple_of(4) && length <= LONGEST_BLOCK => Ok(body),
            _ => Err(damaged(format!("a block of {length} octets"))),
        }
    }

    fn next(&mut self, input: &mut impl Read) -> io::Result<Option<Record>> {
        loop {
            let mut block_type = [0; 4];
            if !read_or_end(input, &mut block_type)? {
                return Ok(None);
            }
            if block_type == SECTION {
                self.section(input)?;
                continue;
            }
            let mut length = [0; 4];
            input.read_exact(&mut length).map_err(|error| cut(error, "a block"))?;
            let length = Self::body_length(self.order.u32(&length, 0) as usize)?;
            let mut body = read_vec(input, length + 4)?;
            body.truncate(length);
            let record = match self.order.u32(&block_type, 0) {
                INTERFACE => {
                    self.interface(&body)?;
                    None
                }
                SIMPLE_PACKET => self.simple_packet(&body),
                ENHANCED_PACKET => self.enhanced_packet(&body)?,
                _ => None,
            };
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    fn interface(&mut self, body: &[u8]) -> io::Result<()> {
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(damaged(format!("more than {MOST_INTERFACES} interfaces")));
        }
        let mut ticks = 1_000_000;
        let mut options = body.get(8..).unwrap_or(&[]);
        // Each option: code, length, value padded to four octets; code 0 ends them.
        while options.len() >= 4 {
            let (code, length) = (self.order.u16(options, 0), self.order.u16(options, 2));
            let length = usize::from(length);
            if code == 0 {
                break;
            }
            if code == 9
                && let Some(resolution) = options.get(4)
            {
                let exponent = u32::from(resolution & 0x7F);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                ticks = base.checked_pow(exponent).unwrap_or(u64::MAX);
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
        }
        let (link_type, snap_len) = (self.order.u16(body, 0), self.order.u32(body, 4));
        self.interfaces.push(Interface { link_type, snap_len, ticks });
        Ok(())
    }

    fn simple_packet(&self, body: &[u8]) -> Option<Record> {
        let interface = self.interfaces.first()?;
        let original = self.order.u32(body, 0);
        let captured = match interface.snap_len {
            0 => original,
            snap_len => original.min(snap_len),
        };
        let data = body.get(4..)?;
        let frame = data.get(..captured as usize).unwrap_or(data).to_vec();
        Some(Record { nanos: None, link_type: interface.link_type, frame })
    }

    fn enhanced_packet(&self, body: &[u8]) -> io::Result<Option<Record>> {
        let number = self.order.u32(body, 0);
        let Some(interface) = self.interfaces.get(number as usize) else {
            return Err(damaged(format!("a packet of interface {number}, which is not described")));
        };
        let captured = self.order.u32(body, 12) as usize;
        let Some(frame) = body.get(20..).and_then(|data| data.get(..captured)) else {
            return Err(damaged(format!("a packet of {captured} octets in a smaller block")));
        };
        let stamp = u64::from(self.order.u32(body, 4)) << 32 | u64::from(self.order.u32(body, 8));
        let nanos = u128::from(stamp) * 1_000_000_000 / u128::from(interface.ticks.max(1));
        Ok(Some(Record {
            nanos: u64::try_from(nanos).ok(),
            link_type: interface.link_type,
            frame: frame.to_vec(),
        }))
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
mod tests {
    use super::super::frame;
    use super::*;

    /// Reads a whole capture; counts its records and looks into each.
    fn read(file: &[u8]) -> io::Result<usize> {
        let Ok(magic) = <[u8; 4]>::try_from(file.get(..4).unwrap_or(&[])) else { return Ok(0) };
        if !is_capture(magic) {
            return Ok(0);
        }
        let mut reader = Reader::new(magic, &file[4..])?;
        let mut count = 0;
        while let Some(record) = reader.next()? {
            frame::parse(record.link_type, &record.frame);
            count += 1;
        }
        Ok(count)
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// An IPv6 packet with a fragment header, so that a mutation reaches every branch.
    fn packet() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 18, 44, 64];
        packet.extend([1; 32]);
        packet.extend([17, 0, 0, 1, 0, 0, 0, 0]);
        packet.extend([0x13, 0x88, 0x07, 0x5B, 0, 10, 0, 0, 2, 0x16]);
        packet
    }

    fn classic() -> Vec<u8> {
        let mut file = words(&[0xA1B2_C3D4, 0x0004_0002, 0, 0, 65_535, 101]);
        for _ in 0..3 {
            let length = u32::try_from(packet().len()).unwrap();
            file.extend(words(&[1, 2, length, length]));
            file.extend(packet());
        }
        file
    }

    fn next_generation() -> Vec<u8> {
        let mut file = words(&[0x0A0D_0D0A, 28, 0x1A2B_3C4D, 1, !0, !0, 28]);
        file.extend(words(&[1, 32, 101, 0, 0x0001_0009, 6, 0, 32]));
        let length = u32::try_from(packet().len()).unwrap();
        let padding = packet().len().next_multiple_of(4) - packet().len();
        for _ in 0..2 {
            let block = u32::try_from(packet().len() + padding + 32).unwrap();
            file.extend(words(&[6, block, 0, 0, 5, length, length]));
            file.extend([packet(), vec![0; padding]].concat());
            file.extend(words(&[block]));
        }
        let block = u32::try_from(packet().len() + padding + 16).unwrap();
        file.extend(words(&[3, block, length]));
        file.extend([packet(), vec![0; padding]].concat());
        file.extend(words(&[block]));
        file
    }

    #[test]
    fn good_captures_are_read_to_the_end() {
        assert_eq!(read(&classic()).unwrap(), 3);
        assert_eq!(read(&next_generation()).unwrap(), 3);
        let packet = packet();
        let parsed = frame::parse(101, &packet);
        assert!(matches!(parsed, frame::Content::Udp(udp) if udp.cut && udp.payload == [2, 0x16]));
    }

    #[test]
    fn every_truncation_is_an_end_or_an_error() {
        for file in [classic(), next_generation()] {
            for length in 0..file.len() {
                if let Ok(count) = read(&file[..length]) {
                    assert!(count < 3);
                }
            }
        }
    }

    #[test]
    fn no_mutation_can_harm() {
        let mut seed = 0xD1B5_4A32_D192_ED03_u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize
        };
        let mut errors = 0;
        for round in 0..40_000 {
            let mut file = if round % 2 == 0 { classic() } else { next_generation() };
            for _ in 0..1 + next() % 4 {
                let at = 4 + next() % (file.len() - 4);
                file[at] = [0, 1, 0x7F, 0x80, 0xFF, next() as u8][next() % 6];
            }
            errors += usize::from(read(&file).is_err());
        }
        assert!(errors > 1_000, "the mutations hardly touch the format: {errors}");
    }
}
