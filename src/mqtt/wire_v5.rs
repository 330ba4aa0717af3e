//! The rare packets of MQTT 5, by rumqttc's packet types.

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, Connect, ConnectProperties, DisconnectProperties, Filter, LastWill, Login,
    RetainForwardRule, SubAckProperties, Subscribe, SubscribeProperties, UnsubAckProperties,
    Unsubscribe,
};

use super::error::{ConnectionError, printable};
use super::limits::Limits;
use super::settings::Settings;
use super::wire_v4::put_password;
use crate::core::upstream::MqttQos;

/// Appends a CONNECT (MQTT 5 §3.1). One that only wipes the old session carries no will, and what
/// it begins ends with it.
pub(super) fn put_connect(output: &mut BytesMut, settings: &Settings, wipe: bool) {
    let mut properties = ConnectProperties::new();
    let ends = wipe || settings.volatile;
    let expiry = if ends { 0 } else { settings.session_expiry.as_secs() };
    properties.session_expiry_interval = Some(u32::try_from(expiry).unwrap_or(u32::MAX));
    // 65,535 is what holds without it.
    let receive_maximum = settings.receive_maximum.max(1);
    properties.receive_maximum = (receive_maximum < u16::MAX).then_some(receive_maximum);
    properties.max_packet_size = Some(settings.max_packet_in.max(1));
    let connect = Connect {
        keep_alive: u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: settings.client_id.to_string(),
        clean_start: ends,
        properties: Some(properties),
    };
    let will = settings
        .will
        .as_ref()
        .map(|will| LastWill::new(&*will.topic, &*will.payload, qos(will.qos), will.retain, None));
    let password = settings.password.as_deref().unwrap_or_default();
    let login = (settings.username.is_some() || !password.is_empty()).then(|| {
        // rumqttc's password is text and MQTT's is octets: see `put_password`.
        Login::new(settings.username.as_deref().unwrap_or_default(), "*".repeat(password.len()))
    });
    if connect.write(&will, &login, output).is_ok() {
        put_password(output, password);
    }
}

/// Appends a SUBSCRIBE (MQTT 5 §3.8). `id` is left out if the broker takes none.
pub(super) fn put_subscribe(
    output: &mut BytesMut,
    id: u16,
    filter: &str,
    requested: MqttQos,
    subscription_id: Option<u32>,
    retained: bool,
) {
    let mut wanted = Filter::new(filter, qos(requested));
    if !retained {
        wanted.retain_forward_rule = RetainForwardRule::Never;
    }
    let properties = subscription_id
        .map(|id| SubscribeProperties { id: Some(id as usize), user_properties: Vec::new() });
    let mut packet = Subscribe::new(wanted, properties);
    packet.pkid = id;
    // Fails only beyond the longest packet of MQTT; a filter is at most 64 KiB.
    let _ = packet.write(output);
}

/// Appends an UNSUBSCRIBE (MQTT 5 §3.10).
pub(super) fn put_unsubscribe(output: &mut BytesMut, id: u16, filter: &str) {
    let mut packet = Unsubscribe::new(filter, None);
    packet.pkid = id;
    let _ = packet.write(output);
}

/// What the broker says with its CONNACK: the properties after flags and reason code (MQTT 5
/// §3.2.2.3).
pub(super) fn connack_limits(properties: &[u8]) -> Result<Limits, ConnectionError> {
    let mut bytes = Bytes::copy_from_slice(properties);
    let read = ConnAckProperties::read(&mut bytes).map_err(protocol)?;
    if !bytes.is_empty() {
        return Err(ConnectionError::Protocol("a CONNACK with octets left over".into()));
    }
    let mut limits = Limits::default();
    let Some(read) = read else { return Ok(limits) };
    let zero = |name: &str| ConnectionError::Protocol(format!("{name} of 0 in CONNACK").into());
    match read.receive_max {
        Some(0) => return Err(zero("a receive maximum")),
        Some(maximum) => limits.receive_maximum = maximum,
        None => {}
    }
    match read.max_packet_size {
        Some(0) => return Err(zero("a maximum packet size")),
        Some(maximum) => limits.packet = maximum as usize,
        None => {}
    }
    limits.qos = match read.max_qos {
        None => MqttQos::Two,
        Some(0) => MqttQos::Zero,
        Some(1) => MqttQos::One,
        Some(_) => {
            return Err(ConnectionError::Protocol("a maximum QoS above 1 in CONNACK".into()));
        }
    };
    limits.retain = read.retain_available != Some(0);
    limits.subscription_ids = read.subscription_identifiers_available != Some(0);
    limits.topic_aliases = read.topic_alias_max.unwrap_or(0);
    limits.keep_alive = read.server_keep_alive;
    Ok(limits)
}

/// The reason string of a CONNACK that refuses; empty if there is none or it cannot be read.
pub(super) fn connack_reason(properties: &[u8]) -> Box<str> {
    let read = ConnAckProperties::read(&mut Bytes::copy_from_slice(properties));
    reason(read.ok().flatten().and_then(|properties| properties.reason_string))
}

/// The reason string of a DISCONNECT; empty if there is none or it cannot be read.
pub(super) fn disconnect_reason(properties: &[u8]) -> Box<str> {
    let read = DisconnectProperties::extract(&mut Bytes::copy_from_slice(properties));
    reason(read.ok().flatten().and_then(|properties| properties.reason_string))
}

/// Splits the properties off a SUBACK after its packet id and returns the reason codes.
pub(super) fn suback_codes(body: &[u8]) -> Result<Bytes, ConnectionError> {
    let mut bytes = Bytes::copy_from_slice(body);
    SubAckProperties::read(&mut bytes).map_err(protocol)?;
    Ok(bytes)
}

/// Splits the properties off an UNSUBACK after its packet id and returns the reason codes.
pub(super) fn unsuback_codes(body: &[u8]) -> Result<Bytes, ConnectionError> {
    let mut bytes = Bytes::copy_from_slice(body);
    UnsubAckProperties::read(&mut bytes).map_err(protocol)?;
    Ok(bytes)
}

fn reason(text: Option<String>) -> Box<str> {
    text.map(|text| printable(&text)).unwrap_or_default()
}

fn protocol(error: rumqttc::v5::mqttbytes::Error) -> ConnectionError {
    ConnectionError::Protocol(error.to_string().into())
}

fn qos(qos: MqttQos) -> QoS {
    match qos {
        MqttQos::Zero => QoS::AtMostOnce,
        MqttQos::One => QoS::AtLeastOnce,
        MqttQos::Two => QoS::ExactlyOnce,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn connect_states_our_limits_and_allows_no_topic_alias() {
        let settings = Settings {
            client_id: "gw".into(),
            password: Some(Box::new([0xFF, 0])),
            username: Some("u".into()),
            session_expiry: Duration::from_secs(0x0102_0304),
            receive_maximum: 0x0506,
            max_packet_in: 0x0708_090A,
            ..Settings::default()
        };
        let mut output = BytesMut::new();
        put_connect(&mut output, &settings, false);
        assert_eq!(
            output[..],
            *b"\x10\x23\0\x04MQTT\x05\xC0\0\x3C\x0D\x11\x01\x02\x03\x04\x21\x05\x06\
               \x27\x07\x08\x09\x0A\0\x02gw\0\x01u\0\x02\xFF\0"
        );
    }

    #[test]
    fn subscribe_carries_its_identifier_and_retain_handling() {
        let mut output = BytesMut::new();
        put_subscribe(&mut output, 1, "a", MqttQos::One, Some(300), false);
        assert_eq!(output[..], *b"\x82\x0A\0\x01\x03\x0B\xAC\x02\0\x01a\x21");
        output.clear();
        put_subscribe(&mut output, 1, "a", MqttQos::One, None, true);
        assert_eq!(output[..], *b"\x82\x07\0\x01\0\0\x01a\x01");
        output.clear();
        put_unsubscribe(&mut output, 2, "a");
        assert_eq!(output[..], *b"\xA2\x06\0\x02\0\0\x01a");
    }

    #[test]
    fn limits_of_the_broker_are_read_and_nonsense_is_refused() {
        assert_eq!(connack_limits(&[0]), Ok(Limits::default()));
        let all = b"\x13\x21\0\x05\x24\x01\x25\0\x27\0\0\x01\0\x29\0\x22\0\x07\x13\0\x0A";
        let limits = connack_limits(all).unwrap();
        assert_eq!(
            limits,
            Limits {
                receive_maximum: 5,
                qos: MqttQos::One,
                retain: false,
                packet: 256,
                subscription_ids: false,
                topic_aliases: 7,
                keep_alive: Some(10),
            }
        );
        for bad in [
            &b""[..],
            b"\x03\x21\0\0",
            b"\x05\x27\0\0\0\0",
            b"\x02\x24\x02",
            b"\x02\x24",
            b"\x02\x99\0",
            b"\0\0",
        ] {
            assert!(connack_limits(bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn reasons_are_found_among_properties() {
        assert_eq!(&*connack_reason(b"\x06\x1F\0\x03why"), "why");
        assert_eq!(&*disconnect_reason(b"\x06\x1F\0\x03why"), "why");
        assert_eq!(&*disconnect_reason(b"\x06\x1F\0\x09why"), "");
        assert_eq!(&suback_codes(b"\x06\x1F\0\x03why\x97").unwrap()[..], [0x97]);
        assert_eq!(&unsuback_codes(b"\0\x11").unwrap()[..], [0x11]);
        assert!(suback_codes(b"\x06\x1F").is_err());
    }
}
