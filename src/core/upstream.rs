//! The words that the core and the MQTT session share. Tokens go in and come out: a completion is
//! never matched by its order.

use alloc::boxed::Box;

use crate::codec::Qos;

/// Names one request of the core to the broker. Opaque to the session; stale ones are ignored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Token(pub u64);

impl Token {
    /// Of a publication that nobody asked for. Its outcome shows that the broker has what was sent to it
    /// before. No request has it.
    pub const PROOF: Self = Self(1);
}

/// Names one QoS 1 or 2 message from the broker until the core is done with it. Opaque to the core.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct DeliveryId(pub u64);

/// Names one connection to the broker: a shared one by its number, or a client's own by the slot of
/// the client.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LineId(u32);

impl LineId {
    /// The first shared one. It carries what is nobody's: status, QoS −1.
    pub const MAIN: LineId = LineId(0);
    /// Set where a client has its own.
    const OWN: u32 = 1 << 31;

    /// The shared one with this number, from 0 on.
    #[must_use]
    pub const fn shared(number: u16) -> Self {
        Self(number as u32)
    }

    /// The one of the client in this slot.
    #[must_use]
    pub const fn own(slot: u32) -> Self {
        Self(slot | Self::OWN)
    }

    /// The slot of the client whose own it is.
    #[must_use]
    pub const fn slot(self) -> Option<u32> {
        if self.0 & Self::OWN == 0 { None } else { Some(self.0 & !Self::OWN) }
    }

    /// Whether it is a client's own.
    #[must_use]
    pub const fn is_own(self) -> bool {
        self.0 & Self::OWN != 0
    }

    /// As a number that [`Self::from_number`] takes back.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The other way round.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What the MQTT session of a client's own connection says to the broker in CONNECT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LineSetup {
    /// Client id.
    pub client_id: Box<str>,
    /// The session begins and ends with the connection.
    pub clean: bool,
    /// The client's will.
    pub will: Option<WillSetup>,
    /// User name and password, if they are not those of the shared connections.
    pub login: Option<Login>,
    /// The client is there; otherwise only what it has left is to be delivered.
    pub wanted: bool,
}

/// User name and password for the broker.
#[derive(Clone, Eq, PartialEq)]
pub struct Login {
    /// User name.
    pub username: Option<Box<str>>,
    /// Password.
    pub password: Option<Box<[u8]>>,
}

impl core::fmt::Debug for Login {
    /// Without the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A will in CONNECT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WillSetup {
    /// Topic name, with prefix.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Box<[u8]>,
    /// QoS.
    pub qos: MqttQos,
    /// Retain.
    pub retain: bool,
}

/// A delivery and the connection that it came by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// The connection.
    pub line: LineId,
    /// Which of its deliveries.
    pub id: DeliveryId,
}

/// QoS as MQTT has it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum MqttQos {
    /// At most once.
    #[default]
    Zero = 0,
    /// At least once.
    One = 1,
    /// Exactly once.
    Two = 2,
}

impl MqttQos {
    /// From MQTT-SN; `None` for QoS −1, which only PUBLISH without a connection has.
    #[must_use]
    pub fn from_sn(qos: Qos) -> Option<Self> {
        match qos {
            Qos::MinusOne => None,
            Qos::Zero => Some(Self::Zero),
            Qos::One => Some(Self::One),
            Qos::Two => Some(Self::Two),
        }
    }

    /// As MQTT-SN has it.
    #[must_use]
    pub fn to_sn(self) -> Qos {
        match self {
            Self::Zero => Qos::Zero,
            Self::One => Qos::One,
            Self::Two => Qos::Two,
        }
    }
}

/// Why the broker (or the session, on its behalf) did not do what was asked. The three kinds are
/// those that MQTT-SN 1.2 can tell a device.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Refusal {
    /// Not now: quota, full queue, broker away. Becomes return code 0x01.
    Congestion,
    /// Never: not authorised, malformed, too large. Becomes return code 0x03.
    NotSupported,
}

/// Why a publication of the spool was thrown away.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Waste {
    /// The broker refused it.
    Refused,
    /// It was too old.
    Expired,
}

/// What the MQTT session tells the core.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UpstreamEvent<'a> {
    /// The broker accepted the connection.
    Connected {
        /// The broker kept the session: its subscriptions still hold. If not, every subscription
        /// has to be made again (publications in flight are the session's own business).
        session_present: bool,
        /// The broker takes subscription identifiers and retain handling (MQTT 5).
        subscription_ids: bool,
        /// Highest QoS that the broker accepts in a publication.
        maximum_qos: MqttQos,
    },
    /// A client's own connection was refused, or cannot be made.
    Refused {
        /// Trying again is of no use: the broker does not want this client, or another has its id.
        never: bool,
    },
    /// A client's own connection is closed, as the core wished.
    Closed,
    /// The connection is gone. Publications already taken stay with the session and are sent
    /// again; SUBSCRIBE and UNSUBSCRIBE that were not answered are forgotten without an event.
    Disconnected,
    /// QoS 2 only: PUBREC arrived, the broker owns the message.
    Received {
        /// The request.
        token: Token,
    },
    /// PUBACK, PUBCOMP or a refusal: the request is over.
    Published {
        /// The request.
        token: Token,
        /// How it ended.
        outcome: Result<(), Refusal>,
    },
    /// The publication is in the spool: the gateway has taken it over from the client. The request is
    /// over, as far as the core is concerned.
    Kept {
        /// The request.
        token: Token,
    },
    /// A publication that the gateway had taken over did not reach the broker, and never will.
    Wasted {
        /// Topic name, with prefix.
        topic: &'a str,
        /// Why.
        why: Waste,
    },
    /// MQTT 5: why the broker is about to refuse something, in its words.
    Complaint {
        /// The packet that it refuses.
        what: &'static str,
        /// Topic name or filter.
        about: &'a str,
        /// Reason code.
        code: u8,
        /// Its name.
        name: &'static str,
        /// Reason string; often empty.
        said: &'a str,
    },
    /// SUBACK.
    Subscribed {
        /// The request.
        token: Token,
        /// Granted QoS, or why not.
        outcome: Result<MqttQos, Refusal>,
    },
    /// UNSUBACK, whatever its code.
    Unsubscribed {
        /// The request.
        token: Token,
    },
    /// A message. Exactly one of these per message at QoS 2, also across reconnections while the
    /// broker keeps the session; at QoS 1 a repetition is reported only after it was acknowledged.
    Message {
        /// To be given back in an acknowledgement; `None` at QoS 0.
        delivery: Option<DeliveryId>,
        /// Topic name.
        topic: &'a str,
        /// Payload.
        payload: &'a [u8],
        /// QoS of the delivery.
        qos: MqttQos,
        /// Set on messages that were retained when the subscription was made.
        retain: bool,
        /// MQTT 5: after so many seconds it is of no use any more.
        expiry: Option<u32>,
        /// MQTT 5: identifiers of the subscriptions it matched; empty otherwise.
        subscription_ids: &'a [u32],
    },
}
