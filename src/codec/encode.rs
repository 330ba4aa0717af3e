//! [`Message`] to bytes: one canonical form each, as short as the specification allows
//! (MQTT-SN 1.2 §5).

use super::error::BufferTooSmall;
use super::header::{
    ENCAPSULATION_HEADER_LEN, LONG_FORM, LONG_HEADER_LEN, MAX_MESSAGE_LEN, MAX_NODE_ID_LEN,
    MAX_SHORT_LEN, RADIUS_MASK, SHORT_HEADER_LEN, flag, msg_type, type_name,
};
use super::message::{
    Encapsulation, Message, Packet, PublishTopic, ReturnCode, SubscribeTopic, WillTopic,
};

impl Message<'_> {
    /// MsgType (§5.2.2).
    #[must_use]
    pub const fn type_code(&self) -> u8 {
        match self {
            Self::Advertise { .. } => msg_type::ADVERTISE,
            Self::SearchGw { .. } => msg_type::SEARCHGW,
            Self::GwInfo { .. } => msg_type::GWINFO,
            Self::Connect(_) => msg_type::CONNECT,
            Self::ConnAck { .. } => msg_type::CONNACK,
            Self::WillTopicReq => msg_type::WILLTOPICREQ,
            Self::WillTopic(_) => msg_type::WILLTOPIC,
            Self::WillMsgReq => msg_type::WILLMSGREQ,
            Self::WillMsg { .. } => msg_type::WILLMSG,
            Self::Register { .. } => msg_type::REGISTER,
            Self::RegAck { .. } => msg_type::REGACK,
            Self::Publish(_) => msg_type::PUBLISH,
            Self::PubAck { .. } => msg_type::PUBACK,
            Self::PubComp { .. } => msg_type::PUBCOMP,
            Self::PubRec { .. } => msg_type::PUBREC,
            Self::PubRel { .. } => msg_type::PUBREL,
            Self::Subscribe(_) => msg_type::SUBSCRIBE,
            Self::SubAck { .. } => msg_type::SUBACK,
            Self::Unsubscribe { .. } => msg_type::UNSUBSCRIBE,
            Self::UnsubAck { .. } => msg_type::UNSUBACK,
            Self::PingReq { .. } => msg_type::PINGREQ,
            Self::PingResp => msg_type::PINGRESP,
            Self::Disconnect { .. } => msg_type::DISCONNECT,
            Self::WillTopicUpd(_) => msg_type::WILLTOPICUPD,
            Self::WillTopicResp { .. } => msg_type::WILLTOPICRESP,
            Self::WillMsgUpd { .. } => msg_type::WILLMSGUPD,
            Self::WillMsgResp { .. } => msg_type::WILLMSGRESP,
        }
    }

    /// The specification's name of the message, in capitals (§5.2.2).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match type_name(self.type_code()) {
            Some(name) => name,
            // No variant has a reserved type.
            None => "message",
        }
    }

    /// Octets that [`encode`](Self::encode) writes. More than
    /// [`MAX_MESSAGE_LEN`] is what no message can have; `encode` refuses
    /// it.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.body().encoded_len()
    }

    /// Writes the message to the front of `out` and returns its length in octets. Length has one
    /// octet up to 255 and three from 256 (§5.2.1); flag bits that the message does not use are 0.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if `out` is shorter than [`encoded_len`](Self::encoded_len), or if that
    /// is more than [`MAX_MESSAGE_LEN`]. `out` is then unchanged.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let body = self.body();
        let needed = body.encoded_len();
        body.write(self.type_code(), needed, out).ok_or(BufferTooSmall { needed })?;
        Ok(needed)
    }

    /// What follows MsgType.
    #[inline]
    fn body(&self) -> Body<'_> {
        match *self {
            Self::Advertise { gateway_id, duration } => {
                let [high, low] = duration.to_be_bytes();
                Body::fixed([gateway_id, high, low])
            }
            Self::SearchGw { radius } => Body::fixed([radius]),
            Self::GwInfo { gateway_id, address } => Body::new([gateway_id], address),
            Self::Connect(connect) => {
                let flags =
                    bit(connect.will, flag::WILL) | bit(connect.clean_session, flag::CLEAN_SESSION);
                let [high, low] = connect.duration.to_be_bytes();
                Body::new([flags, connect.protocol_id, high, low], connect.client_id)
            }
            Self::ConnAck { code } | Self::WillTopicResp { code } | Self::WillMsgResp { code } => {
                Body::fixed([code.0])
            }
            Self::WillTopicReq
            | Self::WillMsgReq
            | Self::PingResp
            | Self::Disconnect { duration: None } => Body::fixed([]),
            Self::WillTopic(will) | Self::WillTopicUpd(will) => Body::will(will),
            Self::WillMsg { message } | Self::WillMsgUpd { message } => Body::new([], message),
            Self::Register { topic_id, msg_id, topic } => {
                let ([t0, t1], [m0, m1]) = (topic_id.to_be_bytes(), msg_id.to_be_bytes());
                Body::new([t0, t1, m0, m1], topic)
            }
            Self::RegAck { topic_id, msg_id, code } | Self::PubAck { topic_id, msg_id, code } => {
                Body::acknowledgement(topic_id, msg_id, code)
            }
            Self::Publish(publish) => {
                let (topic_type, [t0, t1]) = match publish.topic {
                    PublishTopic::Normal(id) => (flag::TYPE_NORMAL, id.to_be_bytes()),
                    PublishTopic::Predefined(id) => (flag::TYPE_PREDEFINED, id.to_be_bytes()),
                    PublishTopic::Short(name) => (flag::TYPE_SHORT, name),
                    PublishTopic::Reserved(id) => (flag::TYPE_RESERVED, id.to_be_bytes()),
                };
                let flags = bit(publish.dup, flag::DUP)
                    | publish.qos.to_flags()
                    | bit(publish.retain, flag::RETAIN)
                    | topic_type;
                let [m0, m1] = publish.msg_id.to_be_bytes();
                Body::new([flags, t0, t1, m0, m1], publish.data)
            }
            Self::PubComp { msg_id }
            | Self::PubRec { msg_id }
            | Self::PubRel { msg_id }
            | Self::UnsubAck { msg_id } => Body::fixed(msg_id.to_be_bytes()),
            Self::Subscribe(subscribe) => Body::filter(
                bit(subscribe.dup, flag::DUP) | subscribe.qos.to_flags(),
                subscribe.msg_id,
                subscribe.topic,
            ),
            Self::SubAck { qos, topic_id, msg_id, code } => {
                let ([t0, t1], [m0, m1]) = (topic_id.to_be_bytes(), msg_id.to_be_bytes());
                Body::fixed([qos.to_flags(), t0, t1, m0, m1, code.0])
            }
            Self::Unsubscribe { msg_id, topic } => Body::filter(0, msg_id, topic),
            Self::PingReq { client_id } => Body::new([], client_id),
            Self::Disconnect { duration: Some(duration) } => Body::fixed(duration.to_be_bytes()),
        }
    }
}

impl Encapsulation<'_> {
    /// Octets that [`encode`](Self::encode) writes: those in front of the message.
    #[inline]
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.node_id.len().saturating_add(ENCAPSULATION_HEADER_LEN)
    }

    /// Writes the header to the front of `out` and returns its length in octets; the message goes
    /// right behind it (§5.5). A radius above 3 is written as 3, the widest that Ctrl can say
    /// short of the whole network.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if `out` is shorter than [`encoded_len`](Self::encoded_len), or if
    /// `node_id` is longer than [`MAX_NODE_ID_LEN`]. `out` is then
    /// unchanged.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let needed = self.encoded_len();
        let too_small = BufferTooSmall { needed };
        if self.node_id.len() > MAX_NODE_ID_LEN {
            return Err(too_small);
        }
        let length = u8::try_from(needed).map_err(|_| too_small)?;
        let out = out.get_mut(..needed).ok_or(too_small)?;
        let (head, node_id) =
            out.split_first_chunk_mut::<ENCAPSULATION_HEADER_LEN>().ok_or(too_small)?;
        *head = [length, msg_type::ENCAPSULATED, self.radius.min(RADIUS_MASK)];
        copy(self.node_id, node_id).ok_or(too_small)?;
        Ok(needed)
    }
}

impl Packet<'_> {
    /// Octets that [`encode`](Self::encode) writes.
    #[inline]
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let header = self.forwarder.map_or(0, |forwarder| forwarder.encoded_len());
        header.saturating_add(self.message.encoded_len())
    }

    /// Writes the datagram to the front of `out` and returns its length in octets.
    ///
    /// # Errors
    /// As [`Message::encode`] and [`Encapsulation::encode`]; `out` may then hold the encapsulation
    /// without its message.
    #[inline]
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let Some(forwarder) = self.forwarder else { return self.message.encode(out) };
        let too_small = BufferTooSmall { needed: self.encoded_len() };
        let header = forwarder.encode(out).map_err(|_| too_small)?;
        let rest = out.get_mut(header..).ok_or(too_small)?;
        let message = self.message.encode(rest).map_err(|_| too_small)?;
        Ok(header.saturating_add(message))
    }
}

/// Room for the longest fixed part: SUBACK's.
const FIXED_MAX: usize = 6;

/// A body as its fixed fields and its one field of variable length, which is always the last.
struct Body<'a> {
    fixed: [u8; FIXED_MAX],
    fixed_len: usize,
    tail: &'a [u8],
}

impl<'a> Body<'a> {
    #[inline]
    fn new<const N: usize>(fields: [u8; N], tail: &'a [u8]) -> Self {
        const { assert!(N <= FIXED_MAX) };
        let mut fixed = [0; FIXED_MAX];
        if let Some(room) = fixed.first_chunk_mut() {
            *room = fields;
        }
        Self { fixed, fixed_len: N, tail }
    }

    #[inline]
    fn fixed<const N: usize>(fields: [u8; N]) -> Self {
        Self::new(fields, &[])
    }

    fn acknowledgement(topic_id: u16, msg_id: u16, code: ReturnCode) -> Self {
        let ([t0, t1], [m0, m1]) = (topic_id.to_be_bytes(), msg_id.to_be_bytes());
        Self::fixed([t0, t1, m0, m1, code.0])
    }

    fn filter(flags: u8, msg_id: u16, topic: SubscribeTopic<'a>) -> Self {
        let [m0, m1] = msg_id.to_be_bytes();
        match topic {
            SubscribeTopic::Name(name) => Self::new([flags | flag::TYPE_NORMAL, m0, m1], name),
            SubscribeTopic::Predefined(id) => {
                let [t0, t1] = id.to_be_bytes();
                Self::fixed([flags | flag::TYPE_PREDEFINED, m0, m1, t0, t1])
            }
            SubscribeTopic::Short([t0, t1]) => {
                Self::fixed([flags | flag::TYPE_SHORT, m0, m1, t0, t1])
            }
            SubscribeTopic::Reserved => Self::fixed([flags | flag::TYPE_RESERVED, m0, m1]),
        }
    }

    /// A will without a topic has the empty form: it is what the receiver makes of it anyway.
    fn will(will: Option<WillTopic<'a>>) -> Self {
        match will {
            Some(will) if !will.topic.is_empty() => {
                Self::new([will.qos.to_flags() | bit(will.retain, flag::RETAIN)], will.topic)
            }
            _ => Self::fixed([]),
        }
    }

    #[inline]
    fn encoded_len(&self) -> usize {
        let body = self.fixed_len.saturating_add(self.tail.len());
        let short = body.saturating_add(SHORT_HEADER_LEN);
        if short <= MAX_SHORT_LEN { short } else { body.saturating_add(LONG_HEADER_LEN) }
    }

    /// Writes header and body, `length` octets together; `None` if they do not fit.
    #[inline]
    fn write(&self, msg_type: u8, length: usize, out: &mut [u8]) -> Option<()> {
        if length > MAX_MESSAGE_LEN {
            return None;
        }
        let out = out.get_mut(..length)?;
        let rest = if let Ok(short) = u8::try_from(length) {
            let (header, rest) = out.split_first_chunk_mut::<SHORT_HEADER_LEN>()?;
            *header = [short, msg_type];
            rest
        } else {
            let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
            let (header, rest) = out.split_first_chunk_mut::<LONG_HEADER_LEN>()?;
            *header = [LONG_FORM, high, low, msg_type];
            rest
        };
        let (fixed, tail) = rest.split_at_mut_checked(self.fixed_len)?;
        copy(self.fixed.get(..self.fixed_len)?, fixed)?;
        copy(self.tail, tail)
    }
}

/// `mask` if the flag is set.
#[inline]
const fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}

/// Copies to the front of `to`; `None` if that is too short. Callers have made it the same length,
/// but only so can the compiler see that nothing here panics.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) -> Option<()> {
    to.get_mut(..from.len())?.copy_from_slice(from);
    Some(())
}
