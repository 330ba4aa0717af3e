//! What can be wrong with bytes that come in, and with a buffer that they go out to.

use core::fmt;

use super::header::type_name;

/// Why a datagram is no MQTT-SN 1.2 message. Nothing can be answered to such a one: it is dropped
/// and counted by [`kind`](Self::kind).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DecodeError {
    /// No octets at all.
    Empty,
    /// It ends before Length and MsgType are complete.
    TruncatedHeader,
    /// Length is less than the header that it is part of (§5.2.1).
    BadLength {
        /// Length as received.
        length: u16,
    },
    /// Length is not the number of octets that arrived.
    LengthMismatch {
        /// Length as received, in octets.
        length: u16,
        /// Octets that arrived.
        received: usize,
    },
    /// MsgType is one of the reserved values (§5.2.2).
    ReservedType {
        /// MsgType as received.
        msg_type: u8,
    },
    /// The message ends before its fixed fields are complete.
    BodyTooShort {
        /// MsgType.
        msg_type: u8,
    },
    /// Octets follow the last field of a message of fixed size.
    BodyTooLong {
        /// MsgType.
        msg_type: u8,
    },
    /// A forwarder encapsulation without room for its Ctrl octet, or in the 3-octet Length form,
    /// which it does not have (§5.5).
    BadEncapsulation,
    /// A forwarder encapsulation with nothing in it.
    EmptyEncapsulation,
    /// A forwarder encapsulation where a message is expected: inside another one.
    NestedEncapsulation,
}

impl DecodeError {
    /// The labels that [`kind`](Self::kind) can give, in the order of [`index`](Self::index).
    pub const KINDS: &'static [&'static str] = &[
        "empty",
        "truncated_header",
        "bad_length",
        "length_mismatch",
        "reserved_type",
        "body_too_short",
        "body_too_long",
        "bad_encapsulation",
        "empty_encapsulation",
        "nested_encapsulation",
    ];

    /// A label for metrics: one of [`KINDS`](Self::KINDS), whatever the input was.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TruncatedHeader => "truncated_header",
            Self::BadLength { .. } => "bad_length",
            Self::LengthMismatch { .. } => "length_mismatch",
            Self::ReservedType { .. } => "reserved_type",
            Self::BodyTooShort { .. } => "body_too_short",
            Self::BodyTooLong { .. } => "body_too_long",
            Self::BadEncapsulation => "bad_encapsulation",
            Self::EmptyEncapsulation => "empty_encapsulation",
            Self::NestedEncapsulation => "nested_encapsulation",
        }
    }

    /// Position of [`kind`](Self::kind) in [`KINDS`](Self::KINDS), for an array of counters.
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::TruncatedHeader => 1,
            Self::BadLength { .. } => 2,
            Self::LengthMismatch { .. } => 3,
            Self::ReservedType { .. } => 4,
            Self::BodyTooShort { .. } => 5,
            Self::BodyTooLong { .. } => 6,
            Self::BadEncapsulation => 7,
            Self::EmptyEncapsulation => 8,
            Self::NestedEncapsulation => 9,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |msg_type| type_name(msg_type).unwrap_or("message");
        match *self {
            Self::Empty => f.write_str("empty datagram"),
            Self::TruncatedHeader => f.write_str("ends before Length and MsgType are complete"),
            Self::BadLength { length } => {
                write!(f, "Length {length} is less than the header itself")
            }
            Self::LengthMismatch { length, received } => {
                let what = if received < usize::from(length) { "only " } else { "" };
                write!(f, "Length says {length} octets, but {what}{received} arrived")
            }
            Self::ReservedType { msg_type } => write!(f, "reserved message type 0x{msg_type:02X}"),
            Self::BodyTooShort { msg_type } => {
                write!(f, "{} ends before its fixed fields are complete", name(msg_type))
            }
            Self::BodyTooLong { msg_type } => {
                write!(f, "{} has octets after its last field", name(msg_type))
            }
            Self::BadEncapsulation => f.write_str(
                "forwarder encapsulation without room for Ctrl, or with a 3-octet Length",
            ),
            Self::EmptyEncapsulation => f.write_str("forwarder encapsulation with nothing in it"),
            Self::NestedEncapsulation => {
                f.write_str("forwarder encapsulation inside another forwarder encapsulation")
            }
        }
    }
}

impl core::error::Error for DecodeError {}

/// A message does not fit: into the buffer, or, whatever the buffer, into what its Length field
/// can say ([`MAX_MESSAGE_LEN`](super::MAX_MESSAGE_LEN) octets, a node id of
/// [`MAX_NODE_ID_LEN`](super::MAX_NODE_ID_LEN)). Nothing has been written.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BufferTooSmall {
    /// Octets that the message needs.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets are too many for the buffer or for the Length field", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const ALL: [DecodeError; 10] = [
        DecodeError::Empty,
        DecodeError::TruncatedHeader,
        DecodeError::BadLength { length: 1 },
        DecodeError::LengthMismatch { length: 16, received: 15 },
        DecodeError::ReservedType { msg_type: 3 },
        DecodeError::BodyTooShort { msg_type: 0x0C },
        DecodeError::BodyTooLong { msg_type: 0x17 },
        DecodeError::BadEncapsulation,
        DecodeError::EmptyEncapsulation,
        DecodeError::NestedEncapsulation,
    ];

    #[test]
    fn every_kind_has_its_own_place_in_the_list() {
        assert_eq!(ALL.len(), DecodeError::KINDS.len());
        for (position, error) in ALL.iter().enumerate() {
            assert_eq!(error.index(), position);
            assert_eq!(DecodeError::KINDS[position], error.kind());
        }
    }

    #[test]
    fn errors_speak_in_words() {
        assert_eq!(ALL[3].to_string(), "Length says 16 octets, but only 15 arrived");
        assert_eq!(
            DecodeError::LengthMismatch { length: 2, received: 3 }.to_string(),
            "Length says 2 octets, but 3 arrived"
        );
        assert_eq!(ALL[4].to_string(), "reserved message type 0x03");
        assert_eq!(ALL[5].to_string(), "PUBLISH ends before its fixed fields are complete");
        assert_eq!(ALL[6].to_string(), "PINGRESP has octets after its last field");
    }
}
