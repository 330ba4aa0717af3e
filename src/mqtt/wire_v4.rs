//! The rare packets of MQTT 3.1.1, by rumqttc's packet types.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{Connect, LastWill, Login, Subscribe, Unsubscribe};
use rumqttc::mqttbytes::{Protocol, QoS};

use super::settings::Settings;
use crate::core::upstream::MqttQos;

/// Appends a CONNECT (MQTT 3.1.1 §3.1). One that only wipes the old session carries no will.
pub(super) fn put_connect(output: &mut BytesMut, settings: &Settings, wipe: bool) {
    let mut connect = Connect::new(&*settings.client_id);
    connect.protocol = Protocol::V4;
    connect.keep_alive = u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX);
    connect.clean_session = wipe || settings.volatile;
    if let (Some(will), false) = (&settings.will, wipe) {
        connect.last_will =
            Some(LastWill::new(&*will.topic, &*will.payload, qos(will.qos), will.retain));
    }
    let password = settings.password.as_deref().unwrap_or_default();
    if settings.username.is_some() || !password.is_empty() {
        let username = settings.username.as_deref().unwrap_or_default();
        // rumqttc's password is text and MQTT's is octets: see `put_password`.
        connect.login = Some(Login::new(username, "*".repeat(password.len())));
    }
    if connect.write(output).is_ok() {
        put_password(output, password);
    }
}

/// Writes the password over its place holder: it is the last field of CONNECT in both versions.
pub(super) fn put_password(output: &mut BytesMut, password: &[u8]) {
    let start = output.len().saturating_sub(password.len());
    if let Some(place) = output.get_mut(start..) {
        place.copy_from_slice(password);
    }
}

/// Appends a SUBSCRIBE (MQTT 3.1.1 §3.8).
pub(super) fn put_subscribe(output: &mut BytesMut, id: u16, filter: &str, requested: MqttQos) {
    let mut packet = Subscribe::new(filter, qos(requested));
    packet.pkid = id;
    // Fails only beyond the longest packet of MQTT; a filter is at most 64 KiB.
    let _ = packet.write(output);
}

/// Appends an UNSUBSCRIBE (MQTT 3.1.1 §3.10).
pub(super) fn put_unsubscribe(output: &mut BytesMut, id: u16, filter: &str) {
    let mut packet = Unsubscribe::new(filter);
    packet.pkid = id;
    let _ = packet.write(output);
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
    use super::*;
    use crate::mqtt::settings::Will;

    fn settings() -> Settings {
        Settings {
            client_id: "gw".into(),
            username: Some("u".into()),
            password: Some(Box::new([0xFF, 0x00, 0x80])),
            will: Some(Will {
                topic: "w".into(),
                payload: Box::new([0xFE]),
                qos: MqttQos::One,
                retain: true,
            }),
            ..Settings::default()
        }
    }

    #[test]
    fn connect_carries_will_and_a_password_of_any_octets() {
        let mut output = BytesMut::new();
        put_connect(&mut output, &settings(), false);
        assert_eq!(
            output[..],
            *b"\x10\x1C\0\x04MQTT\x04\xEC\0\x3C\0\x02gw\0\x01w\0\x01\xFE\0\x01u\0\x03\xFF\0\x80"
        );
    }

    #[test]
    fn the_connection_that_wipes_has_no_will() {
        let mut output = BytesMut::new();
        put_connect(&mut output, &settings(), true);
        assert_eq!(output[..], *b"\x10\x16\0\x04MQTT\x04\xC2\0\x3C\0\x02gw\0\x01u\0\x03\xFF\0\x80");
    }

    #[test]
    fn subscribe_and_unsubscribe() {
        let mut output = BytesMut::new();
        put_subscribe(&mut output, 0x0102, "a/#", MqttQos::Two);
        put_unsubscribe(&mut output, 0x0103, "a/#");
        assert_eq!(output[..], *b"\x82\x08\x01\x02\0\x03a/#\x02\xA2\x07\x01\x03\0\x03a/#");
    }
}
