//! CRC-16 with the polynomial of CCITT, 0x1021, most significant bit first, nothing reflected. Two
//! formats on serial lines have it, with different starts and ends.

/// Start of hub frames and of framing `cobs`: CRC-16/GENIBUS, which is inverted at the end and whose
/// check value is 0xD64E. A zero too many changes it, in front of a frame and behind it; where it is
/// not inverted, one behind the CRC does not, and a delimiter with one wrong bit is just that.
pub const START: u16 = 0xFFFF;

/// What [`START`] has become after any octets and their right CRC, the high octet first.
pub const RESIDUE: u16 = 0x1D0F;

/// Start of CRC-16/XMODEM, whose check value is 0x31C3.
pub const START_XMODEM: u16 = 0;

/// The CRC after `octets`, if it was `crc` before them; nothing is inverted yet.
///
/// ```
/// use mqtt_sn_gateway::hub::crc16::{RESIDUE, START, START_XMODEM, crc16};
///
/// assert_eq!(!crc16(START, b"123456789"), 0xD64E);
/// assert_eq!(crc16(START, b"123456789\xD6\x4E"), RESIDUE);
/// assert_eq!(crc16(START_XMODEM, b"123456789"), 0x31C3);
/// ```
#[must_use]
pub const fn crc16(crc: u16, octets: &[u8]) -> u16 {
    let (mut crc, mut octets) = (crc, octets);
    while let [first, rest @ ..] = octets {
        crc = add(crc, *first);
        octets = rest;
    }
    crc
}

/// The CRC after one more octet. Four bits at a time: 32 octets of table.
#[expect(clippy::indexing_slicing, reason = "four bits, sixteen entries")]
pub(super) const fn add(crc: u16, octet: u8) -> u16 {
    let [high, low] = crc.to_be_bytes();
    let crc = u16::from_be_bytes([high ^ octet, low]);
    let crc = crc << 4 ^ TABLE[(crc >> 12) as usize];
    crc << 4 ^ TABLE[(crc >> 12) as usize]
}

/// What four bits that are shifted out leave behind.
const TABLE: [u16; 16] = [
    0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7, //
    0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit.
    fn by_bits(start: u16, octets: &[u8]) -> u16 {
        let mut crc = start;
        for octet in octets {
            crc ^= u16::from(*octet) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            }
        }
        crc
    }

    #[test]
    fn the_table_is_the_definition() {
        for start in [START, START_XMODEM, 0x1234] {
            for octet in 0..=255 {
                assert_eq!(crc16(start, &[octet]), by_bits(start, &[octet]));
                let long = [octet, 0, octet ^ 0x5A, 0xFF, octet];
                assert_eq!(crc16(start, &long), by_bits(start, &long));
            }
        }
    }
}
