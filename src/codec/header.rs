//! Framing and flag bits: Length in both forms, MsgType, Flags (MQTT-SN 1.2 §5.2, §5.3.4).

use super::error::DecodeError;
use super::message::Qos;

/// Longest message, in octets: what the 3-octet Length can say.
pub const MAX_MESSAGE_LEN: usize = 65_535;

/// Longest WirelessNodeId, in octets: the encapsulation's Length has one octet and counts itself,
/// MsgType and Ctrl.
pub const MAX_NODE_ID_LEN: usize = 252;

/// First octet of the long form: the next two octets hold the Length.
pub(super) const LONG_FORM: u8 = 0x01;
/// Longest message that the 1-octet Length can hold.
pub(super) const MAX_SHORT_LEN: usize = 255;
/// Length and MsgType in the short form.
pub(super) const SHORT_HEADER_LEN: usize = 2;
/// Length and MsgType in the long form.
pub(super) const LONG_HEADER_LEN: usize = 4;
/// Length, MsgType and Ctrl of the encapsulation, which has a short form only.
pub(super) const ENCAPSULATION_HEADER_LEN: usize = 3;
/// Broadcast radius in Ctrl of the encapsulation.
pub(super) const RADIUS_MASK: u8 = 0b11;

/// MsgType (§5.2.2).
pub(crate) mod msg_type {
    pub const ADVERTISE: u8 = 0x00;
    pub const SEARCHGW: u8 = 0x01;
    pub const GWINFO: u8 = 0x02;
    pub const CONNECT: u8 = 0x04;
    pub const CONNACK: u8 = 0x05;
    pub const WILLTOPICREQ: u8 = 0x06;
    pub const WILLTOPIC: u8 = 0x07;
    pub const WILLMSGREQ: u8 = 0x08;
    pub const WILLMSG: u8 = 0x09;
    pub const REGISTER: u8 = 0x0A;
    pub const REGACK: u8 = 0x0B;
    pub const PUBLISH: u8 = 0x0C;
    pub const PUBACK: u8 = 0x0D;
    pub const PUBCOMP: u8 = 0x0E;
    pub const PUBREC: u8 = 0x0F;
    pub const PUBREL: u8 = 0x10;
    pub const SUBSCRIBE: u8 = 0x12;
    pub const SUBACK: u8 = 0x13;
    pub const UNSUBSCRIBE: u8 = 0x14;
    pub const UNSUBACK: u8 = 0x15;
    pub const PINGREQ: u8 = 0x16;
    pub const PINGRESP: u8 = 0x17;
    pub const DISCONNECT: u8 = 0x18;
    pub const WILLTOPICUPD: u8 = 0x1A;
    pub const WILLTOPICRESP: u8 = 0x1B;
    pub const WILLMSGUPD: u8 = 0x1C;
    pub const WILLMSGRESP: u8 = 0x1D;
    pub const ENCAPSULATED: u8 = 0xFE;
}

/// Bits of the Flags octet (§5.3.4).
pub(crate) mod flag {
    pub const DUP: u8 = 0x80;
    pub const RETAIN: u8 = 0x10;
    pub const WILL: u8 = 0x08;
    pub const CLEAN_SESSION: u8 = 0x04;
    pub const TOPIC_ID_TYPE: u8 = 0x03;
    pub const TYPE_NORMAL: u8 = 0x00;
    pub const TYPE_PREDEFINED: u8 = 0x01;
    pub const TYPE_SHORT: u8 = 0x02;
    pub const TYPE_RESERVED: u8 = 0x03;
}

/// The name that the specification gives to a MsgType (§5.2.2), `None` for a reserved one.
#[must_use]
pub const fn type_name(code: u8) -> Option<&'static str> {
    Some(match code {
        msg_type::ADVERTISE => "ADVERTISE",
        msg_type::SEARCHGW => "SEARCHGW",
        msg_type::GWINFO => "GWINFO",
        msg_type::CONNECT => "CONNECT",
        msg_type::CONNACK => "CONNACK",
        msg_type::WILLTOPICREQ => "WILLTOPICREQ",
        msg_type::WILLTOPIC => "WILLTOPIC",
        msg_type::WILLMSGREQ => "WILLMSGREQ",
        msg_type::WILLMSG => "WILLMSG",
        msg_type::REGISTER => "REGISTER",
        msg_type::REGACK => "REGACK",
        msg_type::PUBLISH => "PUBLISH",
        msg_type::PUBACK => "PUBACK",
        msg_type::PUBCOMP => "PUBCOMP",
        msg_type::PUBREC => "PUBREC",
        msg_type::PUBREL => "PUBREL",
        msg_type::SUBSCRIBE => "SUBSCRIBE",
        msg_type::SUBACK => "SUBACK",
        msg_type::UNSUBSCRIBE => "UNSUBSCRIBE",
        msg_type::UNSUBACK => "UNSUBACK",
        msg_type::PINGREQ => "PINGREQ",
        msg_type::PINGRESP => "PINGRESP",
        msg_type::DISCONNECT => "DISCONNECT",
        msg_type::WILLTOPICUPD => "WILLTOPICUPD",
        msg_type::WILLTOPICRESP => "WILLTOPICRESP",
        msg_type::WILLMSGUPD => "WILLMSGUPD",
        msg_type::WILLMSGRESP => "WILLMSGRESP",
        msg_type::ENCAPSULATED => "encapsulated message",
        _ => return None,
    })
}

impl Qos {
    /// The QoS of a Flags octet.
    #[inline]
    pub(crate) const fn from_flags(flags: u8) -> Self {
        match (flags >> 5) & 0b11 {
            0b00 => Self::Zero,
            0b01 => Self::One,
            0b10 => Self::Two,
            _ => Self::MinusOne,
        }
    }

    /// The QoS in its place in a Flags octet.
    #[inline]
    pub(super) const fn to_flags(self) -> u8 {
        match self {
            Self::Zero => 0b0000_0000,
            Self::One => 0b0010_0000,
            Self::Two => 0b0100_0000,
            Self::MinusOne => 0b0110_0000,
        }
    }
}

/// The header of a forwarder with which a datagram begins (§5.5), and what is behind it; `None` if there
/// is none, or not all of it.
#[must_use]
pub fn split_forwarder(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    match *datagram {
        [length, msg_type::ENCAPSULATED, ..] if usize::from(length) >= ENCAPSULATION_HEADER_LEN => {
            datagram.split_at_checked(length.into())
        }
        _ => None,
    }
}

/// MsgType of a datagram and what follows it, behind the header of a forwarder if there is one; nothing
/// else of it is checked. `None` if there is no MsgType.
#[cfg(feature = "gateway")]
#[inline]
pub(crate) fn peek(datagram: &[u8]) -> Option<(u8, &[u8])> {
    let message = split_forwarder(datagram).map_or(datagram, |(_, inner)| inner);
    match message {
        [LONG_FORM, _, _, msg_type, body @ ..] => Some((*msg_type, body)),
        [length, msg_type, body @ ..] if *length > LONG_FORM => Some((*msg_type, body)),
        _ => None,
    }
}

/// What the first octets of a message say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// The message's octets by its Length, this header included.
    pub length: usize,
    /// MsgType, not checked.
    pub msg_type: u8,
    /// Whether Length has the 3-octet form.
    pub long_form: bool,
}

impl Header {
    /// Reads Length and MsgType; `None` while `bytes` is too short to hold them.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        match *bytes {
            [LONG_FORM, high, low, ref rest @ ..] => {
                let length = u16::from_be_bytes([high, low]);
                if usize::from(length) < LONG_HEADER_LEN {
                    return Err(DecodeError::BadLength { length });
                }
                Ok(rest.first().map(|&msg_type| Self {
                    length: length.into(),
                    msg_type,
                    long_form: true,
                }))
            }
            [0, ..] => Err(DecodeError::BadLength { length: 0 }),
            [] | [_] | [LONG_FORM, _] => Ok(None),
            [length, msg_type, ..] => {
                Ok(Some(Self { length: length.into(), msg_type, long_form: false }))
            }
        }
    }
}
