//! Bytes to [`Packet`] (MQTT-SN 1.2 §5).

use super::error::DecodeError;
use super::header::{ENCAPSULATION_HEADER_LEN, Header, LONG_FORM, RADIUS_MASK, flag, msg_type};
use super::message::{
    Connect, Encapsulation, Message, Packet, Publish, PublishTopic, Qos, ReturnCode, Subscribe,
    SubscribeTopic, WillTopic,
};

/// Reads one datagram: exactly one message, with or without a forwarder's encapsulation (§5.5).
///
/// Both Length forms are taken, the long one for short messages too (§5.2.1). Bits that a message
/// does not use, and octets after the two of a short or predefined topic in SUBSCRIBE and
/// UNSUBSCRIBE, are ignored.
///
/// # Errors
/// [`DecodeError`] if the datagram is not one message, or if its fixed fields are not all there.
/// Values that a receiver has to answer (a reserved topic id type, an empty name) are no errors.
#[inline]
pub fn decode(datagram: &[u8]) -> Result<Packet<'_>, DecodeError> {
    match *datagram {
        [outer, msg_type::ENCAPSULATED, ref rest @ ..] if outer != LONG_FORM => {
            decode_encapsulated(outer, rest)
        }
        _ => match decode_message(datagram) {
            Ok(message) => Ok(Packet { forwarder: None, message }),
            // Not inside another one, so it is the long form that got it here.
            Err(DecodeError::NestedEncapsulation) => Err(DecodeError::BadEncapsulation),
            Err(error) => Err(error),
        },
    }
}

/// Reads one message that is not encapsulated.
///
/// # Errors
/// As [`decode`]; an encapsulation is [`DecodeError::NestedEncapsulation`].
#[inline]
pub fn decode_message(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    match *bytes {
        [length, msg_type, ref body @ ..]
            if length > LONG_FORM && usize::from(length) == bytes.len() =>
        {
            decode_body(msg_type, body)
        }
        [LONG_FORM, high, low, msg_type, ref body @ ..]
            if usize::from(u16::from_be_bytes([high, low])) == bytes.len() =>
        {
            decode_body(msg_type, body)
        }
        _ => Err(framing_error(bytes)),
    }
}

/// Length of the packet that begins a byte stream, for links without boundaries of their own: the
/// message with its header (§5.2.1), or encapsulation and message together (§5.5). `None` while
/// `prefix` is too short to tell. The packet itself need not have arrived.
///
/// # Errors
/// [`DecodeError`] if no packet can begin so; the stream is then out of step, and the only way
/// back is a boundary of the layer below.
pub fn frame_length(prefix: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(outer) = Header::read(prefix)? else { return Ok(None) };
    if outer.msg_type != msg_type::ENCAPSULATED {
        return Ok(Some(outer.length));
    }
    if outer.long_form || outer.length < ENCAPSULATION_HEADER_LEN {
        return Err(DecodeError::BadEncapsulation);
    }
    let Some(inner) = prefix.get(outer.length..) else { return Ok(None) };
    match Header::read(inner)? {
        Some(inner) if inner.msg_type == msg_type::ENCAPSULATED => {
            Err(DecodeError::NestedEncapsulation)
        }
        Some(inner) => Ok(Some(outer.length.saturating_add(inner.length))),
        None => Ok(None),
    }
}

/// Reads an encapsulated message; `outer` is the encapsulation's Length, `rest` what follows its
/// MsgType.
fn decode_encapsulated(outer: u8, rest: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let Some(node_id_len) = usize::from(outer).checked_sub(ENCAPSULATION_HEADER_LEN) else {
        return Err(DecodeError::BadEncapsulation);
    };
    let mismatch = DecodeError::LengthMismatch {
        length: outer.into(),
        received: rest.len().saturating_add(2),
    };
    let (&ctrl, rest) = rest.split_first().ok_or(mismatch)?;
    let (node_id, inner) = rest.split_at_checked(node_id_len).ok_or(mismatch)?;
    if inner.is_empty() {
        return Err(DecodeError::EmptyEncapsulation);
    }
    let message = decode_message(inner)?;
    Ok(Packet { forwarder: Some(Encapsulation { radius: ctrl & RADIUS_MASK, node_id }), message })
}

/// Says why `bytes` are not framed as one message.
#[cold]
fn framing_error(bytes: &[u8]) -> DecodeError {
    match Header::read(bytes) {
        Err(error) => error,
        Ok(None) if bytes.is_empty() => DecodeError::Empty,
        Ok(None) => DecodeError::TruncatedHeader,
        // Its Length never covers what it carries.
        Ok(Some(header)) if header.msg_type == msg_type::ENCAPSULATED => {
            DecodeError::NestedEncapsulation
        }
        Ok(Some(header)) => DecodeError::LengthMismatch {
            length: u16::try_from(header.length).unwrap_or(u16::MAX),
            received: bytes.len(),
        },
    }
}

/// Reads what follows MsgType.
#[inline]
fn decode_body(msg_type: u8, body: &[u8]) -> Result<Message<'_>, DecodeError> {
    // The one that matters for speed first.
    if msg_type == msg_type::PUBLISH {
        return decode_publish(body);
    }
    decode_other(msg_type, body)
}

#[inline]
fn decode_publish(body: &[u8]) -> Result<Message<'_>, DecodeError> {
    let ([flags, topic @ .., msg_id_high, msg_id_low], data) = fixed::<5>(msg_type::PUBLISH, body)?;
    let topic = match flags & flag::TOPIC_ID_TYPE {
        flag::TYPE_NORMAL => PublishTopic::Normal(u16::from_be_bytes(*topic)),
        flag::TYPE_PREDEFINED => PublishTopic::Predefined(u16::from_be_bytes(*topic)),
        flag::TYPE_SHORT => PublishTopic::Short(*topic),
        _ => PublishTopic::Reserved(u16::from_be_bytes(*topic)),
    };
    Ok(Message::Publish(Publish {
        dup: flags & flag::DUP != 0,
        qos: Qos::from_flags(*flags),
        retain: flags & flag::RETAIN != 0,
        topic,
        msg_id: u16::from_be_bytes([*msg_id_high, *msg_id_low]),
        data,
    }))
}

fn decode_other(msg_type: u8, body: &[u8]) -> Result<Message<'_>, DecodeError> {
    Ok(match msg_type {
        msg_type::ADVERTISE => {
            let [gateway_id, duration @ ..] = exact::<3>(msg_type, body)?;
            Message::Advertise { gateway_id: *gateway_id, duration: u16::from_be_bytes(*duration) }
        }
        msg_type::SEARCHGW => {
            let [radius] = *exact(msg_type, body)?;
            Message::SearchGw { radius }
        }
        msg_type::GWINFO => {
            let ([gateway_id], address) = fixed(msg_type, body)?;
            Message::GwInfo { gateway_id: *gateway_id, address }
        }
        msg_type::CONNECT => {
            let ([flags, protocol_id, duration @ ..], client_id) = fixed::<4>(msg_type, body)?;
            Message::Connect(Connect {
                will: flags & flag::WILL != 0,
                clean_session: flags & flag::CLEAN_SESSION != 0,
                protocol_id: *protocol_id,
                duration: u16::from_be_bytes(*duration),
                client_id,
            })
        }
        msg_type::CONNACK => Message::ConnAck { code: return_code(msg_type, body)? },
        msg_type::WILLTOPICREQ => {
            let [] = exact(msg_type, body)?;
            Message::WillTopicReq
        }
        msg_type::WILLTOPIC => Message::WillTopic(will_topic(body)),
        msg_type::WILLMSGREQ => {
            let [] = exact(msg_type, body)?;
            Message::WillMsgReq
        }
        msg_type::WILLMSG => Message::WillMsg { message: body },
        msg_type::REGISTER => {
            let ([id_high, id_low, msg_id @ ..], topic) = fixed::<4>(msg_type, body)?;
            Message::Register {
                topic_id: u16::from_be_bytes([*id_high, *id_low]),
                msg_id: u16::from_be_bytes(*msg_id),
                topic,
            }
        }
        msg_type::REGACK => {
            let (topic_id, msg_id, code) = acknowledgement(msg_type, body)?;
            Message::RegAck { topic_id, msg_id, code }
        }
        msg_type::PUBLISH => return decode_publish(body),
        msg_type::PUBACK => {
            let (topic_id, msg_id, code) = acknowledgement(msg_type, body)?;
            Message::PubAck { topic_id, msg_id, code }
        }
        msg_type::PUBCOMP => Message::PubComp { msg_id: two_octets(msg_type, body)? },
        msg_type::PUBREC => Message::PubRec { msg_id: two_octets(msg_type, body)? },
        msg_type::PUBREL => Message::PubRel { msg_id: two_octets(msg_type, body)? },
        msg_type::SUBSCRIBE => {
            let (flags, msg_id, topic) = filter(msg_type, body)?;
            Message::Subscribe(Subscribe {
                dup: flags & flag::DUP != 0,
                qos: Qos::from_flags(flags),
                msg_id,
                topic,
            })
        }
        msg_type::SUBACK => {
            let [flags, id_high, id_low, msg_id_high, msg_id_low, code] = *exact(msg_type, body)?;
            Message::SubAck {
                qos: Qos::from_flags(flags),
                topic_id: u16::from_be_bytes([id_high, id_low]),
                msg_id: u16::from_be_bytes([msg_id_high, msg_id_low]),
                code: ReturnCode(code),
            }
        }
        msg_type::UNSUBSCRIBE => {
            let (_, msg_id, topic) = filter(msg_type, body)?;
            Message::Unsubscribe { msg_id, topic }
        }
        msg_type::UNSUBACK => Message::UnsubAck { msg_id: two_octets(msg_type, body)? },
        msg_type::PINGREQ => Message::PingReq { client_id: body },
        msg_type::PINGRESP => {
            let [] = exact(msg_type, body)?;
            Message::PingResp
        }
        msg_type::DISCONNECT if body.is_empty() => Message::Disconnect { duration: None },
        msg_type::DISCONNECT => Message::Disconnect { duration: Some(two_octets(msg_type, body)?) },
        msg_type::WILLTOPICUPD => Message::WillTopicUpd(will_topic(body)),
        msg_type::WILLTOPICRESP => Message::WillTopicResp { code: return_code(msg_type, body)? },
        msg_type::WILLMSGUPD => Message::WillMsgUpd { message: body },
        msg_type::WILLMSGRESP => Message::WillMsgResp { code: return_code(msg_type, body)? },
        msg_type::ENCAPSULATED => return Err(DecodeError::NestedEncapsulation),
        _ => return Err(DecodeError::ReservedType { msg_type }),
    })
}

/// The fixed fields at the head of a body, and the rest.
#[inline]
fn fixed<const N: usize>(msg_type: u8, body: &[u8]) -> Result<(&[u8; N], &[u8]), DecodeError> {
    body.split_first_chunk().ok_or(DecodeError::BodyTooShort { msg_type })
}

/// A body of fixed size.
#[inline]
fn exact<const N: usize>(msg_type: u8, body: &[u8]) -> Result<&[u8; N], DecodeError> {
    match fixed(msg_type, body)? {
        (fields, []) => Ok(fields),
        _ => Err(DecodeError::BodyTooLong { msg_type }),
    }
}

#[inline]
fn two_octets(msg_type: u8, body: &[u8]) -> Result<u16, DecodeError> {
    exact(msg_type, body).map(|octets| u16::from_be_bytes(*octets))
}

#[inline]
fn return_code(msg_type: u8, body: &[u8]) -> Result<ReturnCode, DecodeError> {
    exact(msg_type, body).map(|&[code]| ReturnCode(code))
}

/// TopicId, MsgId and ReturnCode: REGACK and PUBACK.
#[inline]
fn acknowledgement(msg_type: u8, body: &[u8]) -> Result<(u16, u16, ReturnCode), DecodeError> {
    let [id_high, id_low, msg_id_high, msg_id_low, code] = *exact(msg_type, body)?;
    Ok((
        u16::from_be_bytes([id_high, id_low]),
        u16::from_be_bytes([msg_id_high, msg_id_low]),
        ReturnCode(code),
    ))
}

/// Flags, MsgId and the topic that the flags describe: SUBSCRIBE and UNSUBSCRIBE.
///
/// Some clients send octets after a short or predefined topic; the flags say that they do not
/// count.
#[inline]
fn filter(msg_type: u8, body: &[u8]) -> Result<(u8, u16, SubscribeTopic<'_>), DecodeError> {
    let ([flags, msg_id @ ..], tail) = fixed::<3>(msg_type, body)?;
    let topic = match flags & flag::TOPIC_ID_TYPE {
        flag::TYPE_NORMAL => SubscribeTopic::Name(tail),
        flag::TYPE_PREDEFINED => {
            SubscribeTopic::Predefined(u16::from_be_bytes(*fixed(msg_type, tail)?.0))
        }
        flag::TYPE_SHORT => SubscribeTopic::Short(*fixed(msg_type, tail)?.0),
        _ => SubscribeTopic::Reserved,
    };
    Ok((*flags, u16::from_be_bytes(*msg_id), topic))
}

/// The will of WILLTOPIC and WILLTOPICUPD. Flags without a topic delete as the empty form does:
/// there is nothing else that they could mean.
#[inline]
fn will_topic(body: &[u8]) -> Option<WillTopic<'_>> {
    let (flags, topic) = body.split_first()?;
    if topic.is_empty() {
        return None;
    }
    Some(WillTopic { qos: Qos::from_flags(*flags), retain: flags & flag::RETAIN != 0, topic })
}
