//! Blocks of pcapng (draft-ietf-opsawg-pcapng), little-endian, put behind what is in a buffer.

/// First octets of a file, the same in both byte orders.
pub const MAGIC: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

/// Longest text of an option, octets; more is cut off.
const LONGEST_TEXT: usize = 2_048;

const SECTION: u32 = 0x0A0D_0D0A;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Octets of a block from [`statistics`].
pub(super) const STATISTICS_LEN: u64 = 64;

/// Which way a packet went, as the flags of a packet say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    /// From a device.
    In = 1,
    /// To a device.
    Out = 2,
}

/// The head of a file. `comment` is for whoever opens it.
pub(super) fn section(out: &mut Vec<u8>, comment: &str) {
    block(out, SECTION, |out| {
        out.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        // Version 1.0; how long the section is nobody knows yet.
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        option(out, 1, |out| out.extend_from_slice(comment.as_bytes()));
        option(out, 2, |out| out.extend_from_slice(std::env::consts::ARCH.as_bytes()));
        option(out, 3, |out| out.extend_from_slice(std::env::consts::OS.as_bytes()));
        let program = concat!("mqtt-sn-gateway ", env!("CARGO_PKG_VERSION"));
        option(out, 4, |out| out.extend_from_slice(program.as_bytes()));
        end(out);
    });
}

/// An interface; they are numbered in this order. Its moments are microseconds.
pub(super) fn interface(out: &mut Vec<u8>, link_type: u16, name: &str, description: &str) {
    block(out, INTERFACE, |out| {
        out.extend_from_slice(&u32::from(link_type).to_le_bytes());
        // No limit to what is kept of a packet.
        out.extend_from_slice(&[0; 4]);
        option(out, 2, |out| out.extend_from_slice(name.as_bytes()));
        option(out, 3, |out| out.extend_from_slice(description.as_bytes()));
        option(out, 9, |out| out.push(6));
        end(out);
    });
}

/// Head of a packet.
pub(super) struct Head {
    /// Number of its interface.
    pub(super) interface: u32,
    /// Microseconds since 1970.
    pub(super) micros: u64,
    pub(super) direction: Direction,
}

/// A packet. `frame` writes what there is of it and returns how many octets are left out at its end.
pub(super) fn packet(
    out: &mut Vec<u8>,
    head: &Head,
    frame: impl FnOnce(&mut Vec<u8>) -> u32,
    comment: impl FnOnce(&mut Vec<u8>),
) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend_from_slice(&head.interface.to_le_bytes());
        moment(out, head.micros);
        let lengths = out.len();
        out.extend_from_slice(&[0; 8]);
        let left_out = frame(out);
        let captured = length(out.len().saturating_sub(lengths).saturating_sub(8));
        put_at(out, lengths, &captured.to_le_bytes());
        put_at(out, lengths.saturating_add(4), &captured.saturating_add(left_out).to_le_bytes());
        pad(out);
        option(out, 1, comment);
        option(out, 2, |out| out.extend_from_slice(&(head.direction as u32).to_le_bytes()));
        end(out);
    });
}

/// What an interface had in all: packets that came to be captured, and those of them that were left out.
pub(super) fn statistics(
    out: &mut Vec<u8>,
    interface: u32,
    micros: u64,
    received: u64,
    dropped: u64,
) {
    block(out, STATISTICS, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        moment(out, micros);
        option(out, 3, |out| moment(out, micros));
        option(out, 4, |out| out.extend_from_slice(&received.to_le_bytes()));
        option(out, 5, |out| out.extend_from_slice(&dropped.to_le_bytes()));
        end(out);
    });
}

/// Octets at the front of `blocks` that are whole blocks.
pub(super) fn whole_blocks(blocks: &[u8]) -> usize {
    let mut at = 0_usize;
    loop {
        let head = blocks.get(at..).and_then(|rest| rest.first_chunk::<8>());
        let Some([_, _, _, _, length @ ..]) = head else { return at };
        let next = at.saturating_add(u32::from_le_bytes(*length) as usize);
        // One of zero length is none of ours.
        if next <= at || next > blocks.len() {
            return at;
        }
        at = next;
    }
}

/// A moment: the higher half first, whatever the byte order.
fn moment(out: &mut Vec<u8>, micros: u64) {
    out.extend_from_slice(&((micros >> 32) as u32).to_le_bytes());
    out.extend_from_slice(&(micros as u32).to_le_bytes());
}

/// A block: its type, its length, a body, and the length once more.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    // Where a block begins in a file is a multiple of four, too: all of them are that long.
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let whole = length(out.len().saturating_sub(start).saturating_add(4));
    put_at(out, start.saturating_add(4), &whole.to_le_bytes());
    out.extend_from_slice(&whole.to_le_bytes());
}

/// An option: its code, its length, the value, filled up to four octets. Text that is too long is cut
/// between two characters.
fn option(out: &mut Vec<u8>, code: u16, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let start = out.len();
    value(out);
    let mut len = out.len().saturating_sub(start);
    if len > LONGEST_TEXT {
        len = LONGEST_TEXT;
        // An octet of this form continues a character of UTF-8.
        while len > 0 && out.get(start.saturating_add(len)).is_some_and(|octet| octet >> 6 == 2) {
            len = len.saturating_sub(1);
        }
        out.truncate(start.saturating_add(len));
    }
    // It is no longer than LONGEST_TEXT.
    put_at(out, start.saturating_sub(2), &(len as u16).to_le_bytes());
    pad(out);
}

/// The end of the options.
fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
}

/// Blocks are appended to whole blocks only, so that what is filled up is the place in the buffer.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn put_at(out: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(place) = out.get_mut(at..at.saturating_add(octets.len())) {
        place.copy_from_slice(octets);
    }
}

/// Frames end at 64 KiB and a bit.
fn length(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}
