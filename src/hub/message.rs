//! The vocabulary: one variant a message, and the values in them, legal by type.

use core::fmt;
use core::num::NonZeroU8;

use super::cobs::CRC_LEN;

/// The version of the protocol that this is, and the highest that there is.
pub const VERSION: u8 = 1;
/// Octets of the longest address.
pub const ADDRESS_LEN_MAX: usize = 8;
/// Octets of the longest name.
pub const TEXT_LEN_MAX: usize = 32;
/// Octets in front of the packet, at most, in the two messages that carry one.
pub const PACKET_HEADER_MAX: usize = 6 + ADDRESS_LEN_MAX;
/// Octets of contents of any other message, at most, in this version and in later ones.
pub const OTHER_CONTENTS_MAX: usize = 200;

/// Types. Those with bit 7 come from the hub, so nobody takes its own echo for an answer.
pub(super) mod msg_type {
    pub(in super::super) const HELLO_REQUEST: u8 = 0x01;
    pub(in super::super) const SEND: u8 = 0x02;
    pub(in super::super) const HELLO: u8 = 0x81;
    pub(in super::super) const RECEIVED: u8 = 0x82;
    pub(in super::super) const RESULT: u8 = 0x83;
    pub(in super::super) const BUSY: u8 = 0x84;
}

/// Octets of a [`FrameDecoder`](super::FrameDecoder)'s buffer which has room for everything, if no
/// packet is longer than `max_packet`.
#[must_use]
pub const fn buffer_len(max_packet: usize) -> usize {
    let with_packet = max_packet.saturating_add(PACKET_HEADER_MAX);
    let contents = if with_packet > OTHER_CONTENTS_MAX { with_packet } else { OTHER_CONTENTS_MAX };
    contents.saturating_add(CRC_LEN)
}

/// What goes over the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message<'a> {
    /// The gateway asks who is there; [`Hello`](Self::Hello) is the answer. What the hub was given
    /// before has no result any more.
    HelloRequest {
        /// The highest version that the gateway speaks.
        version: u8,
    },
    /// The gateway has a packet for the radio.
    Send(Send<'a>),
    /// The hub says what it is: when it has started, and when it is asked.
    Hello(Hello<'a>),
    /// The hub has received a packet.
    Received(Received<'a>),
    /// What became of a packet, once for each that has a sequence number.
    Result {
        /// The packet's.
        sequence: NonZeroU8,
        /// What became of it.
        outcome: Outcome,
    },
    /// The hub takes no packets for so long, or does again if `milliseconds` is 0.
    Busy {
        /// From now on.
        milliseconds: u32,
    },
}

impl Message<'_> {
    /// The type on the line.
    #[must_use]
    pub const fn type_code(&self) -> u8 {
        match self {
            Self::HelloRequest { .. } => msg_type::HELLO_REQUEST,
            Self::Send(_) => msg_type::SEND,
            Self::Hello(_) => msg_type::HELLO,
            Self::Received(_) => msg_type::RECEIVED,
            Self::Result { .. } => msg_type::RESULT,
            Self::Busy { .. } => msg_type::BUSY,
        }
    }

    /// Whether it is one that hubs send. Otherwise gateways do.
    #[must_use]
    pub const fn is_from_hub(&self) -> bool {
        self.type_code() & 0x80 != 0
    }
}

/// A packet for the radio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Send<'a> {
    /// Names the packet in its [`Message::Result`]; no result is wanted without one.
    pub sequence: Option<NonZeroU8>,
    /// Who is to hear it.
    pub to: Destination,
    /// One MQTT-SN packet.
    pub packet: &'a [u8],
}

/// Who is to hear a packet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Destination {
    /// Everybody in reach.
    Broadcast,
    /// The device with this address.
    Device(Address),
}

/// A packet from the radio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Received<'a> {
    /// The device that has sent it: what goes to this address reaches it.
    pub from: Address,
    /// It was sent to everybody, not to this hub.
    pub broadcast: bool,
    /// Strength of the signal in dBm, -255 to -1; `None` if it is not known. The nearest of these
    /// values is written for others.
    pub rssi: Option<i16>,
    /// Quality of the link as the radio has it, the larger the better; `None` if it is not known.
    pub lqi: Option<NonZeroU8>,
    /// One MQTT-SN packet.
    pub packet: &'a [u8],
}

/// What a hub is, and what it can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hello<'a> {
    /// The highest version that the hub speaks.
    pub version: u8,
    /// It has just started: what it was given before is lost. Otherwise it was asked.
    pub started: bool,
    /// Octets of the longest MQTT-SN packet that the radio carries. 0: not known.
    pub max_packet: u16,
    /// Packets that the hub takes before it has reported what became of the first of them. 0: it
    /// reports nothing.
    pub queue: u8,
    /// How much of the time it may send, in units of 0.1 ‰: 100 is 1 %. 0: no limit.
    pub duty_cycle: u16,
    /// Bits a second on air. 0: not known.
    pub bit_rate: u32,
    /// Octets of a device's address.
    pub address_len: u8,
    /// The hub's own address, empty if it has none.
    pub address: Address,
    /// What its owner calls it.
    pub name: Text<'a>,
    /// The kind of radio, such as "RFM69HCW, 868.3 MHz".
    pub radio: Text<'a>,
}

/// What became of a packet. Values that are not named here are failures.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Outcome(pub u8);

impl Outcome {
    /// It is out; whether anybody has heard it is not known.
    pub const SENT: Self = Self(0);
    /// The device's radio has acknowledged it.
    pub const ACKNOWLEDGED: Self = Self(1);
    /// The device's radio has not acknowledged it.
    pub const NO_ANSWER: Self = Self(2);
    /// Others were sending all the time.
    pub const CHANNEL_BUSY: Self = Self(3);
    /// It is longer than what the radio carries.
    pub const TOO_LONG: Self = Self(4);
    /// The hub has used up the time that it may send.
    pub const DUTY_CYCLE: Self = Self(5);
    /// There is no device with this address.
    pub const NO_SUCH_DEVICE: Self = Self(6);
    /// The hub had no room for it.
    pub const QUEUE_FULL: Self = Self(7);
    /// The radio has failed.
    pub const RADIO_FAILED: Self = Self(8);

    /// Whether it went out and nothing is known to have gone wrong.
    #[must_use]
    pub const fn is_sent(self) -> bool {
        matches!(self, Self::SENT | Self::ACKNOWLEDGED)
    }

    /// A label for metrics, whatever the value is.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::SENT => "sent",
            Self::ACKNOWLEDGED => "acknowledged",
            Self::NO_ANSWER => "no_answer",
            Self::CHANNEL_BUSY => "channel_busy",
            Self::TOO_LONG => "too_long",
            Self::DUTY_CYCLE => "duty_cycle",
            Self::NO_SUCH_DEVICE => "no_such_device",
            Self::QUEUE_FULL => "queue_full",
            Self::RADIO_FAILED => "radio_failed",
            _ => "other",
        }
    }
}

/// The address of a device or a hub: 0 to [`ADDRESS_LEN_MAX`] octets that mean something to the
/// radio alone. Two are the same only if they have the same length.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Address {
    length: u8,
    /// Those beyond `length` are 0.
    octets: [u8; ADDRESS_LEN_MAX],
}

impl Address {
    /// `None` if it is too long.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut address = Self::default();
        address.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        address.length = u8::try_from(octets.len()).ok()?;
        Some(address)
    }

    /// As the radio has it.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length.into()).unwrap_or_default()
    }
}

/// A name for people: at most [`TEXT_LEN_MAX`] octets of UTF-8 without control characters.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    /// `None` if it is too long or has control characters.
    #[must_use]
    pub fn new(text: &'a str) -> Option<Self> {
        let legal = text.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control);
        legal.then_some(Self(text))
    }

    /// The characters.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
