//! pcapng (draft-ietf-opsawg-pcapng): sections of blocks, in either byte order.

use std::io::{self, Read};
use std::rc::Rc;

use super::{Order, Record, Remarks, cut, damaged, read_or_end, read_vec};
use crate::capture::pcapng::MAGIC;

/// Longest block that is believed, octets.
const LONGEST_BLOCK: usize = 16 * 1024 * 1024;

/// Most interfaces of a section that are remembered.
const MOST_INTERFACES: usize = 1_024;

/// Longest name of an interface that is remembered, octets.
const LONGEST_NAME: usize = 256;

/// First octets of a file, the same in both byte orders.
pub(super) const SECTION: [u8; 4] = MAGIC;

/// The format of Wireshark.
#[derive(Default)]
pub(super) struct NextGeneration {
    order: Order,
    interfaces: Vec<Interface>,
}

/// An interface of a section.
struct Interface {
    link_type: u16,
    snap_len: u32,
    /// Ticks in a second.
    ticks: u64,
    name: Option<Rc<str>>,
}

/// Block types.
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

impl NextGeneration {
    /// Reads a section header whose block type is already taken.
    pub(super) fn section(&mut self, input: &mut impl Read) -> io::Result<()> {
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

    pub(super) fn next(&mut self, input: &mut impl Read) -> io::Result<Option<Record>> {
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
        let (mut ticks, mut name) = (1_000_000, None);
        for (code, value) in self.options(body.get(8..).unwrap_or(&[])) {
            match code {
                2 => {
                    let value = value.get(..LONGEST_NAME).unwrap_or(value);
                    name = Some(String::from_utf8_lossy(value).into());
                }
                9 => {
                    let resolution = value.first().copied().unwrap_or(6);
                    let exponent = u32::from(resolution & 0x7F);
                    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                    ticks = base.checked_pow(exponent).unwrap_or(u64::MAX);
                }
                _ => {}
            }
        }
        let (link_type, snap_len) = (self.order.u16(body, 0), self.order.u32(body, 4));
        self.interfaces.push(Interface { link_type, snap_len, ticks, name });
        Ok(())
    }

    /// Options: code, length, value padded to four octets; code 0 ends them, as do octets that are none.
    fn options<'a>(&self, mut octets: &'a [u8]) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let order = self.order;
        std::iter::from_fn(move || {
            let (code, length) = (order.u16(octets, 0), usize::from(order.u16(octets, 2)));
            let value = octets.get(4..)?.get(..length)?;
            octets = octets.get(4 + length.next_multiple_of(4)..).unwrap_or(&[]);
            (code != 0).then_some((code, value))
        })
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
        let remarks = Remarks { interface: interface.name.clone(), ..Remarks::default() };
        Some(Record { nanos: None, link_type: interface.link_type, frame, remarks })
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
        let mut remarks = Remarks { interface: interface.name.clone(), ..Remarks::default() };
        let options = body.get(20 + captured.next_multiple_of(4)..).unwrap_or(&[]);
        for (code, value) in self.options(options) {
            match code {
                1 => remarks.comment = Some(String::from_utf8_lossy(value).into_owned()),
                2 => {
                    remarks.inbound = match self.order.u32(value, 0) & 0b11 {
                        1 => Some(true),
                        2 => Some(false),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        Ok(Some(Record {
            nanos: u64::try_from(nanos).ok(),
            link_type: interface.link_type,
            frame: frame.to_vec(),
            remarks,
        }))
    }
}
