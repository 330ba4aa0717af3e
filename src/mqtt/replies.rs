//! The rare packets that a broker sends: CONNACK, SUBACK, UNSUBACK, DISCONNECT.

use super::error::ConnectionError;
use super::limits::Limits;
use super::reasons;
use super::wire::{self, Malformed, Protocol, Reader};
use super::wire_v5;
use crate::core::upstream::{MqttQos, Refusal};

/// A CONNACK that accepts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Connack {
    pub session_present: bool,
    pub limits: Limits,
}

/// Reads a CONNACK (MQTT 3.1.1 §3.2, MQTT 5 §3.2); one that refuses is an error.
pub(super) fn connack(protocol: Protocol, body: &[u8]) -> Result<Connack, ConnectionError> {
    let mut reader = Reader(body);
    let flags = reader.u8()?;
    let code = reader.u8()?;
    if flags & !1 != 0 {
        return Err(Malformed("a CONNACK with the wrong flags").into());
    }
    if code != 0 {
        let reason = match protocol {
            Protocol::V4 => Box::default(),
            Protocol::V5 => wire_v5::connack_reason(reader.0),
        };
        return Err(reasons::refused_connection(protocol, code, reason));
    }
    let limits = match protocol {
        Protocol::V4 if reader.0.is_empty() => Limits::v4(),
        Protocol::V4 => return Err(Malformed("a CONNACK with octets left over").into()),
        Protocol::V5 => wire_v5::connack_limits(reader.0)?,
    };
    Ok(Connack { session_present: flags == 1, limits })
}

/// Reads a SUBACK to a SUBSCRIBE with one filter: packet id and granted QoS.
///
/// Any code from 0x80 on is a refusal, in 3.1.1 too: there are brokers that borrow the codes of 5.
pub(super) fn suback(
    protocol: Protocol,
    body: &[u8],
) -> Result<(u16, Result<MqttQos, Refusal>), ConnectionError> {
    let mut reader = Reader(body);
    let id = reader.packet_id()?;
    let code = match protocol {
        Protocol::V4 => one(reader.0)?,
        Protocol::V5 => one(&wire_v5::suback_codes(reader.0)?)?,
    };
    let outcome = match code {
        0 => Ok(MqttQos::Zero),
        1 => Ok(MqttQos::One),
        2 => Ok(MqttQos::Two),
        reasons::FAILURE.. => Err(reasons::refusal(code)),
        _ => return Err(Malformed("a SUBACK with an unknown code").into()),
    };
    Ok((id, outcome))
}

/// What an MQTT 5 SUBACK says of its refusal: code and reason string.
pub(super) fn suback_refusal(body: &[u8]) -> (u8, &str) {
    let mut reader = Reader(body);
    let said = reader.packet_id().and_then(|_| reader.properties()).map(wire::reason_string);
    (reader.0.first().copied().unwrap_or_default(), said.unwrap_or_default())
}

/// Reads an UNSUBACK to an UNSUBSCRIBE with one filter: packet id.
pub(super) fn unsuback(protocol: Protocol, body: &[u8]) -> Result<u16, ConnectionError> {
    let mut reader = Reader(body);
    let id = reader.packet_id()?;
    match protocol {
        Protocol::V4 if reader.0.is_empty() => {}
        Protocol::V4 => return Err(Malformed("an UNSUBACK with octets left over").into()),
        Protocol::V5 => drop(one(&wire_v5::unsuback_codes(reader.0)?)?),
    }
    Ok(id)
}

/// Reads an MQTT 5 DISCONNECT (§3.14), whose reason and properties may be left out.
pub(super) fn disconnect(body: &[u8]) -> ConnectionError {
    let mut reader = Reader(body);
    let code = reader.u8().unwrap_or_default();
    let reason =
        if reader.0.is_empty() { Box::default() } else { wire_v5::disconnect_reason(reader.0) };
    ConnectionError::Disconnected { code, reason }
}

/// The one code that answers one filter.
fn one(codes: &[u8]) -> Result<u8, Malformed> {
    match codes {
        [code] => Ok(*code),
        _ => Err(Malformed("not one code for one filter")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connacks_of_both_versions() {
        let read = connack(Protocol::V4, &[1, 0]).unwrap();
        assert!(read.session_present && !read.limits.subscription_ids);
        let read = connack(Protocol::V5, &[0, 0, 0]).unwrap();
        assert!(!read.session_present && read.limits.subscription_ids);
        for (protocol, bad) in [
            (Protocol::V4, &[0][..]),
            (Protocol::V4, &[2, 0]),
            (Protocol::V4, &[0, 0, 0]),
            (Protocol::V5, &[0, 0]),
        ] {
            assert!(matches!(connack(protocol, bad), Err(ConnectionError::Protocol(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_is_understood_in_the_form_of_the_other_version_too() {
        for body in [&[0, 1][..], &[0, 0x84, 0], &[0, 0x84]] {
            let read = connack(Protocol::V5, body);
            assert!(matches!(read, Err(ConnectionError::VersionRefused { .. })), "{body:?}");
        }
        let said = connack(Protocol::V5, b"\0\x86\x06\x1F\0\x03why");
        assert_eq!(said, Err(ConnectionError::BadCredentials { reason: "why".into() }));
    }

    #[test]
    fn subacks_grant_or_refuse() {
        assert_eq!(suback(Protocol::V4, &[0, 1, 2]), Ok((1, Ok(MqttQos::Two))));
        assert_eq!(suback(Protocol::V4, &[0, 1, 0x80]), Ok((1, Err(Refusal::NotSupported))));
        assert_eq!(suback(Protocol::V5, &[0, 1, 0, 0x97]), Ok((1, Err(Refusal::Congestion))));
        for bad in [&[0, 1][..], &[0, 0, 1], &[0, 1, 3], &[0, 1, 0, 0]] {
            assert!(suback(Protocol::V4, bad).is_err(), "{bad:?}");
        }
        assert_eq!(unsuback(Protocol::V4, &[0, 9]), Ok(9));
        assert_eq!(unsuback(Protocol::V5, &[0, 9, 0, 0x11]), Ok(9));
        assert!(unsuback(Protocol::V5, &[0, 9]).is_err());
    }

    #[test]
    fn a_disconnect_may_leave_everything_out() {
        let read = |body: &[u8]| match disconnect(body) {
            ConnectionError::Disconnected { code, reason } => (code, reason),
            other => panic!("{other}"),
        };
        assert_eq!(read(&[]), (0, "".into()));
        assert_eq!(read(&[0x8E]), (0x8E, "".into()));
        assert_eq!(read(b"\x8B\x06\x1F\0\x03bye"), (0x8B, "bye".into()));
    }
}
