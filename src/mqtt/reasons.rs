//! Return and reason codes: names for people, refusals for devices.

use super::error::ConnectionError;
use super::settings::Version;
use super::wire::Protocol;
use crate::core::upstream::Refusal;

/// MQTT 5 §3.5.2: reasons from here on are failures.
pub(super) const FAILURE: u8 = 0x80;
/// MQTT 5: the packet could not be read.
pub(super) const MALFORMED: u8 = 0x81;
/// MQTT 5: the other side knows no such packet id.
pub(super) const PACKET_ID_NOT_FOUND: u8 = 0x92;
/// MQTT 5: more unacknowledged messages than we allowed.
pub(super) const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
/// MQTT 5: a packet longer than we allowed.
pub(super) const PACKET_TOO_LARGE: u8 = 0x95;

/// What a failure of a PUBACK, PUBREC, PUBCOMP or SUBACK means to a device. What may pass is
/// congestion, so that the device tries again; all else is not supported. "Invalid topic id" is
/// never the answer: a device would register again and loop.
pub(super) fn refusal(code: u8) -> Refusal {
    match code {
        // Busy; unavailable; rate too high; quota exceeded; packet id in use.
        0x88 | 0x89 | 0x91 | 0x96 | 0x97 => Refusal::Congestion,
        _ => Refusal::NotSupported,
    }
}

/// What a CONNACK other than success means.
pub(super) fn refused_connection(
    protocol: Protocol,
    code: u8,
    reason: Box<str>,
) -> ConnectionError {
    match (protocol, code) {
        // A 3.1.1 broker answers a CONNECT of MQTT 5 with its own code.
        (Protocol::V5, 0x84 | 0x01) => {
            ConnectionError::VersionRefused { version: Version::V5, fall_back: false }
        }
        (Protocol::V4, 0x84 | 0x01) => {
            ConnectionError::VersionRefused { version: Version::V311, fall_back: false }
        }
        (_, 0x02 | 0x85) => ConnectionError::ClientIdRefused { reason },
        (_, 0x04 | 0x86) => ConnectionError::BadCredentials { reason },
        (_, 0x05 | 0x87 | 0x8A) => ConnectionError::NotAuthorized { reason },
        (_, 0x03 | 0x88 | 0x89 | 0x97 | 0x9F) => ConnectionError::BrokerBusy { code, reason },
        _ => ConnectionError::Refused { code, reason },
    }
}

/// The name of a return code (MQTT 3.1.1 §3.2.2.3) or reason code (MQTT 5 §2.4).
pub(super) fn name(code: u8) -> &'static str {
    match code {
        0x00 => "normal",
        0x01 => "unacceptable protocol version",
        0x02 | 0x85 => "client id not valid",
        0x03 | 0x88 => "server unavailable",
        0x04 => "bad user name or password, or disconnect with will",
        0x05 | 0x87 => "not authorized",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x86 => "bad user name or password",
        0x89 => "server busy",
        0x8A => "banned",
        0x8B => "server shutting down",
        0x8C => "bad authentication method",
        0x8D => "keep alive timeout",
        0x8E => "session taken over",
        0x8F => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x92 => "packet identifier not found",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9A => "retain not supported",
        0x9B => "QoS not supported",
        0x9C => "use another server",
        0x9D => "server moved",
        0x9E => "shared subscriptions not supported",
        0x9F => "connection rate exceeded",
        0xA0 => "maximum connect time",
        0xA1 => "subscription identifiers not supported",
        0xA2 => "wildcard subscriptions not supported",
        _ => "unknown code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_congestion_and_the_rest_is_not_supported() {
        for code in FAILURE..=u8::MAX {
            let passes = matches!(code, 0x88 | 0x89 | 0x91 | 0x96 | 0x97);
            let expected = if passes { Refusal::Congestion } else { Refusal::NotSupported };
            assert_eq!(refusal(code), expected, "{code:#04x}");
        }
    }

    #[test]
    fn the_codes_of_both_versions_become_the_same_errors() {
        let none = || Box::<str>::default();
        for (v4, v5) in [(2, 0x85), (4, 0x86), (5, 0x87)] {
            assert_eq!(
                refused_connection(Protocol::V4, v4, none()),
                refused_connection(Protocol::V5, v5, none())
            );
        }
        assert!(matches!(
            refused_connection(Protocol::V5, 1, none()),
            ConnectionError::VersionRefused { version: Version::V5, .. }
        ));
        assert!(matches!(
            refused_connection(Protocol::V5, 0xEE, none()),
            ConnectionError::Refused { code: 0xEE, .. }
        ));
    }
}
