//! What can be wrong with a frame, with what is in it, and with a buffer that it goes to.

use core::fmt;

/// Why octets between two delimiters are no frame. What the line or the hub has done to it, nobody
/// knows: it is thrown away and counted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FrameError {
    /// It ends within a block: no COBS, or cut off.
    Stuffing,
    /// Nothing is in front of the CRC, or not even a CRC is there.
    TooShort,
    /// The CRC is wrong.
    Crc,
    /// Its contents do not fit into the buffer.
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stuffing => "no COBS, or cut off",
            Self::TooShort => "too short for contents and a CRC",
            Self::Crc => "wrong CRC",
            Self::TooLong => "longer than allowed",
        })
    }
}

impl core::error::Error for FrameError {}

/// Why what is in a frame is no message of this version. The frame came over the line as it was
/// sent, so it is skipped and counted by [`kind`](Self::kind), and the line goes on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DecodeError {
    /// The first octet is no version that we have.
    Version {
        /// The version as received.
        version: u8,
    },
    /// A message that we do not know: of a later hub or gateway, or of its own.
    UnknownType {
        /// The type as received.
        msg_type: u8,
    },
    /// It ends before its fields are complete.
    TooShort {
        /// Its type, if that is there.
        msg_type: Option<u8>,
    },
    /// An address of more than [`ADDRESS_LEN_MAX`](super::ADDRESS_LEN_MAX) octets, or one where a
    /// broadcast has none.
    BadAddress {
        /// Its length as received.
        length: u8,
    },
    /// A name that is not UTF-8, has control characters or more than
    /// [`TEXT_LEN_MAX`](super::TEXT_LEN_MAX) octets.
    BadText,
    /// A result for sequence number 0, which no packet has.
    BadSequence,
}

impl DecodeError {
    /// The labels that [`kind`](Self::kind) can give, in the order of [`index`](Self::index).
    pub const KINDS: &'static [&'static str] =
        &["version", "unknown_type", "too_short", "bad_address", "bad_text", "bad_sequence"];

    /// A label for metrics: one of [`KINDS`](Self::KINDS), whatever the input was.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::UnknownType { .. } => "unknown_type",
            Self::TooShort { .. } => "too_short",
            Self::BadAddress { .. } => "bad_address",
            Self::BadText => "bad_text",
            Self::BadSequence => "bad_sequence",
        }
    }

    /// Position of [`kind`](Self::kind) in [`KINDS`](Self::KINDS), for an array of counters.
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::Version { .. } => 0,
            Self::UnknownType { .. } => 1,
            Self::TooShort { .. } => 2,
            Self::BadAddress { .. } => 3,
            Self::BadText => 4,
            Self::BadSequence => 5,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version { version } => write!(f, "hub protocol version {version} is not known"),
            Self::UnknownType { msg_type } => write!(f, "unknown hub message 0x{msg_type:02X}"),
            Self::TooShort { msg_type: Some(msg_type) } => {
                write!(f, "hub message 0x{msg_type:02X} ends before its fields are complete")
            }
            Self::TooShort { msg_type: None } => f.write_str("hub message without a type"),
            Self::BadAddress { length } => write!(f, "an address cannot have {length} octets"),
            Self::BadText => f.write_str("a name is not UTF-8, or too long, or not printable"),
            Self::BadSequence => f.write_str("a result for sequence number 0"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A frame does not fit into the buffer, which holds nothing useful now.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BufferTooSmall {
    /// Octets that the frame needs.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets are too many for the buffer", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_kind_has_its_own_place_in_the_list() {
        let all = [
            DecodeError::Version { version: 2 },
            DecodeError::UnknownType { msg_type: 0x7F },
            DecodeError::TooShort { msg_type: None },
            DecodeError::BadAddress { length: 9 },
            DecodeError::BadText,
            DecodeError::BadSequence,
        ];
        assert_eq!(all.len(), DecodeError::KINDS.len());
        for (position, error) in all.iter().enumerate() {
            assert_eq!(error.index(), position);
            assert_eq!(DecodeError::KINDS[position], error.kind());
        }
        assert_eq!(all[1].to_string(), "unknown hub message 0x7F");
    }
}
