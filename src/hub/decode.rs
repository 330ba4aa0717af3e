//! What is in a frame to [`Message`].
//!
//! Flags that are not defined, and octets behind the fields that are, belong to later versions and
//! do not count.

use core::num::NonZeroU8;

use super::encode::{BROADCAST, STARTED};
use super::error::DecodeError;
use super::message::{
    ADDRESS_LEN_MAX, Address, Destination, Hello, Message, Outcome, Received, Send, Text, VERSION,
    msg_type,
};

/// Reads the contents of a frame, as [`FrameDecoder`](super::FrameDecoder) gives them.
///
/// # Errors
/// [`DecodeError`] if they are no message of this version.
pub fn decode(contents: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (msg_type, rest) = match *contents {
        [VERSION, msg_type, ref rest @ ..] => (msg_type, rest),
        [VERSION] | [] => return Err(DecodeError::TooShort { msg_type: None }),
        [version, ..] => return Err(DecodeError::Version { version }),
    };
    let mut fields = Fields { msg_type, rest };
    Ok(match msg_type {
        msg_type::HELLO_REQUEST => Message::HelloRequest { version: fields.octet()? },
        msg_type::SEND => Message::Send(send(fields)?),
        msg_type::HELLO => Message::Hello(hello(fields)?),
        msg_type::RECEIVED => Message::Received(received(fields)?),
        msg_type::RESULT => {
            let [sequence, outcome] = fields.take()?;
            let sequence = NonZeroU8::new(sequence).ok_or(DecodeError::BadSequence)?;
            Message::Result { sequence, outcome: Outcome(outcome) }
        }
        msg_type::BUSY => Message::Busy { milliseconds: u32::from_be_bytes(fields.take()?) },
        _ => return Err(DecodeError::UnknownType { msg_type }),
    })
}

fn send(mut fields: Fields<'_>) -> Result<Send<'_>, DecodeError> {
    let [sequence, flags] = fields.take()?;
    let address = fields.address()?;
    let to = if flags & BROADCAST == 0 {
        Destination::Device(address)
    } else if address == Address::default() {
        Destination::Broadcast
    } else {
        let length = u8::try_from(address.octets().len()).unwrap_or(u8::MAX);
        return Err(DecodeError::BadAddress { length });
    };
    Ok(Send { sequence: NonZeroU8::new(sequence), to, packet: fields.rest })
}

fn received(mut fields: Fields<'_>) -> Result<Received<'_>, DecodeError> {
    let [flags, rssi, lqi] = fields.take()?;
    let from = fields.address()?;
    Ok(Received {
        from,
        broadcast: flags & BROADCAST != 0,
        rssi: (rssi != 0).then_some(i16::from(rssi).saturating_neg()),
        lqi: NonZeroU8::new(lqi),
        packet: fields.rest,
    })
}

fn hello(mut fields: Fields<'_>) -> Result<Hello<'_>, DecodeError> {
    let [version, flags] = fields.take()?;
    let max_packet = u16::from_be_bytes(fields.take()?);
    let queue = fields.octet()?;
    let duty_cycle = u16::from_be_bytes(fields.take()?);
    let bit_rate = u32::from_be_bytes(fields.take()?);
    let address_len = fields.octet()?;
    if usize::from(address_len) > ADDRESS_LEN_MAX {
        return Err(DecodeError::BadAddress { length: address_len });
    }
    Ok(Hello {
        version,
        started: flags & STARTED != 0,
        max_packet,
        queue,
        duty_cycle,
        bit_rate,
        address_len,
        address: fields.address()?,
        name: fields.text()?,
        radio: fields.text()?,
    })
}

/// What is left of a message.
struct Fields<'a> {
    msg_type: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(self.too_short())?;
        self.rest = rest;
        Ok(*field)
    }

    fn octet(&mut self) -> Result<u8, DecodeError> {
        self.take().map(|[octet]| octet)
    }

    /// Octets behind their number.
    fn counted(&mut self, length: u8) -> Result<&'a [u8], DecodeError> {
        let (field, rest) = self.rest.split_at_checked(length.into()).ok_or(self.too_short())?;
        self.rest = rest;
        Ok(field)
    }

    fn address(&mut self) -> Result<Address, DecodeError> {
        let length = self.octet()?;
        if usize::from(length) > ADDRESS_LEN_MAX {
            return Err(DecodeError::BadAddress { length });
        }
        let octets = self.counted(length)?;
        Address::new(octets).ok_or(DecodeError::BadAddress { length })
    }

    fn text(&mut self) -> Result<Text<'a>, DecodeError> {
        let length = self.octet()?;
        let octets = self.counted(length)?;
        let text = core::str::from_utf8(octets).map_err(|_| DecodeError::BadText)?;
        Text::new(text).ok_or(DecodeError::BadText)
    }

    fn too_short(&self) -> DecodeError {
        DecodeError::TooShort { msg_type: Some(self.msg_type) }
    }
}
