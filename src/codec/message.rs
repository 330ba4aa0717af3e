//! The vocabulary: one variant a packet, fields as the wire has them.
//!
//! Values that a receiver must be able to *answer* (a name that is not UTF-8, a reserved topic id
//! type) are representable here; what nobody could answer is a `DecodeError`.

/// QoS as the two flag bits carry it (§5.3.4); `11` is QoS −1, publish without a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Qos {
    /// Without a connection, never acknowledged.
    MinusOne,
    /// At most once.
    Zero,
    /// At least once.
    One,
    /// Exactly once.
    Two,
}

/// `ReturnCode` (§5.3.10). Values above 3 are reserved; any non-zero value is a refusal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ReturnCode(pub u8);

impl ReturnCode {
    /// Accepted.
    pub const ACCEPTED: Self = Self(0x00);
    /// Rejected: congestion. The client tries again after T_WAIT.
    pub const CONGESTION: Self = Self(0x01);
    /// Rejected: invalid topic id. The client registers again.
    pub const INVALID_TOPIC_ID: Self = Self(0x02);
    /// Rejected: not supported. Trying again is pointless.
    pub const NOT_SUPPORTED: Self = Self(0x03);
}

/// The two-octet topic field of PUBLISH (§5.4.12) with its TopicIdType.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PublishTopic {
    /// Type 00: a normal topic id. 0x0000 and 0xFFFF are reserved but representable (they must be
    /// answered).
    Normal(u16),
    /// Type 01: a predefined topic id.
    Predefined(u16),
    /// Type 10: a two-character short topic name.
    Short([u8; 2]),
    /// Type 11: reserved.
    Reserved(u16),
}

/// The tail of SUBSCRIBE and UNSUBSCRIBE (§5.4.15, §5.4.17) by TopicIdType.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SubscribeTopic<'a> {
    /// Type 00: a topic name or filter, not yet checked to be UTF-8; may be empty.
    Name(&'a [u8]),
    /// Type 01: a predefined topic id.
    Predefined(u16),
    /// Type 10: a two-character short topic name.
    Short([u8; 2]),
    /// Type 11: reserved.
    Reserved,
}

/// CONNECT (§5.4.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Connect<'a> {
    /// The client asks to be prompted for a will.
    pub will: bool,
    /// CleanSession.
    pub clean_session: bool,
    /// ProtocolId as received; 0x01 is MQTT-SN 1.2.
    pub protocol_id: u8,
    /// Keep-alive in seconds.
    pub duration: u16,
    /// Client id as received: not checked for length or UTF-8, may be empty.
    pub client_id: &'a [u8],
}

/// WILLTOPIC and WILLTOPICUPD with content (§5.4.7, §5.4.22). The topic is never empty.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct WillTopic<'a> {
    /// QoS of the will.
    pub qos: Qos,
    /// Retain flag of the will.
    pub retain: bool,
    /// Topic name, not yet checked.
    pub topic: &'a [u8],
}

/// PUBLISH (§5.4.12).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Publish<'a> {
    /// DUP.
    pub dup: bool,
    /// QoS.
    pub qos: Qos,
    /// Retain.
    pub retain: bool,
    /// Topic field.
    pub topic: PublishTopic,
    /// MsgId; meaningful at QoS 1 and 2.
    pub msg_id: u16,
    /// Payload.
    pub data: &'a [u8],
}

/// SUBSCRIBE (§5.4.15).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Subscribe<'a> {
    /// DUP.
    pub dup: bool,
    /// Requested QoS; [`Qos::MinusOne`] is what flag bits `11` give and must be refused.
    pub qos: Qos,
    /// MsgId.
    pub msg_id: u16,
    /// What is subscribed to.
    pub topic: SubscribeTopic<'a>,
}

/// One MQTT-SN 1.2 message (§5.2.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Message<'a> {
    /// 0x00
    Advertise {
        /// GwId.
        gateway_id: u8,
        /// Seconds until the next one.
        duration: u16,
    },
    /// 0x01
    SearchGw {
        /// Broadcast radius, 0 is the whole network.
        radius: u8,
    },
    /// 0x02
    GwInfo {
        /// GwId.
        gateway_id: u8,
        /// GwAdd, opaque; empty when a gateway answers.
        address: &'a [u8],
    },
    /// 0x04
    Connect(Connect<'a>),
    /// 0x05
    ConnAck {
        /// Return code.
        code: ReturnCode,
    },
    /// 0x06
    WillTopicReq,
    /// 0x07; `None` is the empty form that deletes the will.
    WillTopic(Option<WillTopic<'a>>),
    /// 0x08
    WillMsgReq,
    /// 0x09
    WillMsg {
        /// The will's payload.
        message: &'a [u8],
    },
    /// 0x0A
    Register {
        /// 0x0000 from a client, the assigned id from a gateway.
        topic_id: u16,
        /// MsgId.
        msg_id: u16,
        /// Topic name, not yet checked, may be empty.
        topic: &'a [u8],
    },
    /// 0x0B
    RegAck {
        /// The id to use.
        topic_id: u16,
        /// MsgId of the REGISTER.
        msg_id: u16,
        /// Return code.
        code: ReturnCode,
    },
    /// 0x0C
    Publish(Publish<'a>),
    /// 0x0D
    PubAck {
        /// Topic field of the PUBLISH.
        topic_id: u16,
        /// MsgId of the PUBLISH.
        msg_id: u16,
        /// Return code.
        code: ReturnCode,
    },
    /// 0x0E
    PubComp {
        /// MsgId.
        msg_id: u16,
    },
    /// 0x0F
    PubRec {
        /// MsgId.
        msg_id: u16,
    },
    /// 0x10
    PubRel {
        /// MsgId.
        msg_id: u16,
    },
    /// 0x12
    Subscribe(Subscribe<'a>),
    /// 0x13
    SubAck {
        /// Granted QoS.
        qos: Qos,
        /// Id that PUBLISH will use, 0x0000 for wildcards.
        topic_id: u16,
        /// MsgId of the SUBSCRIBE.
        msg_id: u16,
        /// Return code.
        code: ReturnCode,
    },
    /// 0x14
    Unsubscribe {
        /// MsgId.
        msg_id: u16,
        /// What is unsubscribed from.
        topic: SubscribeTopic<'a>,
    },
    /// 0x15
    UnsubAck {
        /// MsgId of the UNSUBSCRIBE.
        msg_id: u16,
    },
    /// 0x16
    PingReq {
        /// Empty for a keep-alive ping, the client id of a waking sleeper otherwise.
        client_id: &'a [u8],
    },
    /// 0x17
    PingResp,
    /// 0x18
    Disconnect {
        /// Sleep time in seconds.
        duration: Option<u16>,
    },
    /// 0x1A; `None` is the empty form that deletes the will.
    WillTopicUpd(Option<WillTopic<'a>>),
    /// 0x1B
    WillTopicResp {
        /// Return code.
        code: ReturnCode,
    },
    /// 0x1C
    WillMsgUpd {
        /// The will's new payload.
        message: &'a [u8],
    },
    /// 0x1D
    WillMsgResp {
        /// Return code.
        code: ReturnCode,
    },
}

/// The header a forwarder puts in front (§5.5).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Encapsulation<'a> {
    /// Broadcast radius, 0 to 3.
    pub radius: u8,
    /// WirelessNodeId: opaque, echoed unchanged, 0 to 252 octets.
    pub node_id: &'a [u8],
}

/// What one datagram holds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Packet<'a> {
    /// Set when the message came through a forwarder.
    pub forwarder: Option<Encapsulation<'a>>,
    /// The message.
    pub message: Message<'a>,
}
