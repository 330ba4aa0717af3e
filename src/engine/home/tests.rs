use serde_json::{Value, json};

use super::*;
use crate::core::HomeEntity;

/// Keys by Home Assistant's documentation of device discovery, of sensors and binary sensors, and by the schema in
/// its source (homeassistant/components/mqtt/schemas.py).
const TOP: &[&str] = &[
    "device",
    "origin",
    "components",
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "command_topic",
    "payload_available",
    "payload_not_available",
    "state_topic",
    "qos",
    "encoding",
];
const DEVICE: &[&str] = &[
    "configuration_url",
    "connections",
    "hw_version",
    "identifiers",
    "manufacturer",
    "model",
    "model_id",
    "name",
    "serial_number",
    "suggested_area",
    "sw_version",
    "via_device",
];
const ORIGIN: &[&str] = &["name", "sw_version", "support_url"];
const AVAILABILITY: &[&str] =
    &["topic", "payload_available", "payload_not_available", "value_template"];
const SENSOR: &[&str] = &[
    "platform",
    "unique_id",
    "name",
    "state_topic",
    "value_template",
    "unit_of_measurement",
    "device_class",
    "state_class",
    "expire_after",
    "entity_category",
    "icon",
    "force_update",
];
const BINARY_SENSOR: &[&str] = &[
    "platform",
    "unique_id",
    "name",
    "state_topic",
    "value_template",
    "device_class",
    "expire_after",
    "payload_on",
    "payload_off",
    "off_delay",
    "entity_category",
    "icon",
    "force_update",
];

fn has_only(value: &Value, keys: &[&str]) {
    for key in value.as_object().expect("an object").keys() {
        assert!(keys.contains(&key.as_str()), "{key:?} is not known to Home Assistant: {value}");
    }
}

/// What every description has to be.
fn check(text: &str) -> Value {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    has_only(&all, TOP);
    has_only(&all["device"], DEVICE);
    assert!(!all["device"]["identifiers"].as_array().unwrap().is_empty());
    has_only(&all["origin"], ORIGIN);
    assert!(all["origin"]["name"].is_string(), "the name of the origin is required");
    for place in all["availability"].as_array().unwrap() {
        has_only(place, AVAILABILITY);
        assert!(place["topic"].is_string());
    }
    assert!(matches!(all["availability_mode"].as_str(), None | Some("all" | "any" | "latest")));
    let components = all["components"].as_object().unwrap();
    assert!(!components.is_empty());
    for component in components.values() {
        match component["platform"].as_str() {
            Some("sensor") => has_only(component, SENSOR),
            Some("binary_sensor") => has_only(component, BINARY_SENSOR),
            other => panic!("{other:?}"),
        }
        assert!(component["unique_id"].is_string() && component["state_topic"].is_string());
    }
    all
}

fn home() -> Home {
    Home::new("homeassistant", "gate way", "mqtt-sn-gateway/gate way/")
}

#[test]
fn the_gateway_is_a_device_with_its_figures() {
    let (mut topic, mut text) = (String::new(), String::new());
    home().put_topic(None, &mut topic);
    home().put_gateway(&mut text);
    assert_eq!(topic, "homeassistant/device/mqtt_sn_gateway__gate_20way/config");
    let all = check(&text);
    assert_eq!(all["availability"], json!([{ "topic": "mqtt-sn-gateway/gate way/status" }]));
    let connected = &all["components"]["connected"];
    assert_eq!(connected["value_template"], "{{ value_json.clients.connected }}");
    assert_eq!(connected["entity_category"], "diagnostic");
    assert_eq!(connected["state_topic"], "mqtt-sn-gateway/gate way/stats");
}

#[test]
fn a_client_is_a_device_with_what_its_rule_says() {
    let temperature = HomeEntity {
        key: "temperature".into(),
        topic: "meters/%c/t".into(),
        unit: Some("°C".into()),
        device_class: Some("temperature".into()),
        state_class: Some("measurement".into()),
        value_template: Some("{{ value_json[\"t\"] }}".into()),
        expire_after: 3_600,
        ..HomeEntity::default()
    };
    let door = HomeEntity {
        key: "door".into(),
        binary: true,
        name: Some("Door".into()),
        topic: "meters/%c/door".into(),
        payload_on: Some("1".into()),
        payload_off: Some("0".into()),
        ..HomeEntity::default()
    };
    let device = HomeDevice {
        name: Some("Meter \"%c\"".into()),
        model: Some("M\\1".into()),
        entities: vec![temperature, door],
    };
    let (mut topic, mut text) = (String::new(), String::new());
    home().put_topic(Some("m 7_é"), &mut topic);
    home().put_client("m 7_é", &device, &mut text);
    let id = "mqtt_sn_gateway__gate_20way__m_207_5F_C3_A9";
    assert_eq!(topic, format!("homeassistant/device/{id}/config"));
    let all = check(&text);
    assert_eq!(
        all["device"],
        json!({ "identifiers": [id], "name": "Meter \"m 7_é\"", "model": "M\\1",
                "via_device": "mqtt_sn_gateway__gate_20way" })
    );
    assert_eq!(all["availability_mode"], "all");
    assert_eq!(
        all["availability"][1],
        json!({
            "topic": "mqtt-sn-gateway/gate way/clients/m 7_é",
            "value_template":
                "{{ 'online' if value_json.state in ['active', 'asleep', 'awake'] else 'offline' }}"
        })
    );
    let temperature = &all["components"]["temperature"];
    assert_eq!(temperature["state_topic"], "meters/m 7_é/t");
    assert_eq!(temperature["unique_id"], format!("{id}__temperature"));
    assert_eq!(temperature["expire_after"], 3_600);
    assert_eq!(all["components"]["door"]["payload_off"], "0");
}

#[test]
fn ids_that_would_mean_others_are_not_described() {
    assert!(can_be_described("meter-7") && can_be_described("é 1"));
    for id in ["a/b", "#", "+", "a+", "$SYS", "\u{FFFF}"] {
        assert!(!can_be_described(id), "{id:?}");
    }
}
