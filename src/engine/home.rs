//! Discovery by Home Assistant: a retained message for each device, and one for the gateway
//! (<https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload>).

use std::fmt::Write as _;

use super::status::{put_json_text, put_level};
use crate::core::HomeDevice;

/// A client that counts as there: it sleeps, and is not gone.
const STATES: &str = "['active', 'asleep', 'awake']";
/// The figures of the gateway: key, name, path in `stats`, unit, and whether it only grows.
const FIGURES: [(&str, &str, &str, Option<&str>, bool); 8] = [
    ("connected", "Devices connected", "clients.connected", None, false),
    ("asleep", "Devices asleep", "clients.asleep", None, false),
    ("gone", "Devices gone", "clients.gone", None, false),
    ("received", "Messages received", "messages.received", None, true),
    ("sent", "Messages sent", "messages.sent", None, true),
    ("waiting", "Messages waiting", "waiting.messages", None, false),
    ("spooled", "Waiting for the broker", "spooled_bytes", Some("B"), false),
    ("lost", "Messages lost", "dropped.messages", None, true),
];

/// Puts discovery together.
#[derive(Debug)]
pub(super) struct Home {
    /// `homeassistant`, usually.
    prefix: Box<str>,
    /// What begins each id of this gateway.
    gateway: String,
    name: Box<str>,
    /// `mqtt-sn-gateway/<name>/`.
    own: Box<str>,
}

impl Home {
    pub(super) fn new(prefix: &str, name: &str, own: &str) -> Self {
        let mut gateway = "mqtt_sn_gateway__".to_owned();
        put_id(name, &mut gateway);
        Self { prefix: prefix.into(), gateway, name: name.into(), own: own.into() }
    }

    /// Where the gateway is described.
    pub(super) fn put_topic(&self, client: Option<&str>, out: &mut String) {
        let _ = write!(out, "{}/device/{}", self.prefix, self.gateway);
        if let Some(id) = client {
            out.push_str("__");
            put_id(id, out);
        }
        out.push_str("/config");
    }

    /// The gateway, with its figures.
    pub(super) fn put_gateway(&self, out: &mut String) {
        let mut json = Json { out };
        json.device(&self.gateway, &format!("MQTT-SN gateway {}", self.name), None, None);
        let _ = write!(json.out, ",\"availability\":[{{\"topic\":");
        put_json_text(&format!("{}status", self.own), json.out);
        json.out.push_str("}],\"components\":{");
        for (at, (key, name, path, unit, grows)) in FIGURES.into_iter().enumerate() {
            json.begin(at, key, "sensor", &format!("{}__{key}", self.gateway));
            json.text("name", name);
            json.text("state_topic", &format!("{}stats", self.own));
            json.text("value_template", &format!("{{{{ value_json.{path} }}}}"));
            json.text("state_class", if grows { "total_increasing" } else { "measurement" });
            json.optional("unit_of_measurement", unit);
            json.text("entity_category", "diagnostic");
            json.out.push('}');
        }
        json.out.push_str("}}");
    }

    /// A client, with what it measures.
    pub(super) fn put_client(&self, id: &str, device: &HomeDevice, out: &mut String) {
        let mut own = format!("{}__", self.gateway);
        put_id(id, &mut own);
        let mut json = Json { out };
        let name = device.name.as_deref().map_or(id.to_owned(), |name| name.replace("%c", id));
        json.device(&own, &name, device.model.as_deref(), Some(&self.gateway));
        json.out.push_str(",\"availability_mode\":\"all\",\"availability\":[{\"topic\":");
        put_json_text(&format!("{}status", self.own), json.out);
        json.out.push_str("},{\"topic\":");
        let mut topic = format!("{}clients/", self.own);
        put_level(id, &mut topic);
        put_json_text(&topic, json.out);
        let there = format!("{{{{ 'online' if value_json.state in {STATES} else 'offline' }}}}");
        json.text("value_template", &there);
        json.out.push_str("}],\"components\":{");
        for (at, entity) in device.entities.iter().enumerate() {
            let platform = if entity.binary { "binary_sensor" } else { "sensor" };
            json.begin(at, &entity.key, platform, &format!("{own}__{}", entity.key));
            json.optional("name", entity.name.as_deref());
            json.text("state_topic", &entity.topic.replace("%c", id));
            json.optional("unit_of_measurement", entity.unit.as_deref());
            json.optional("device_class", entity.device_class.as_deref());
            json.optional("state_class", entity.state_class.as_deref());
            json.optional("value_template", entity.value_template.as_deref());
            json.optional("payload_on", entity.payload_on.as_deref());
            json.optional("payload_off", entity.payload_off.as_deref());
            if entity.expire_after > 0 {
                let _ = write!(json.out, ",\"expire_after\":{}", entity.expire_after);
            }
            json.out.push('}');
        }
        json.out.push_str("}}");
    }
}

/// Whether a client can be described: in topics its id must stand for itself alone.
pub(super) fn can_be_described(id: &str) -> bool {
    !id.contains(['/', '+', '#']) && !id.starts_with('$') && crate::core::is_filter(id)
}

/// An id out of letters, digits and `-`; all else as the octets of its UTF-8, each `_` and two hexadecimal
/// digits. Home Assistant has no others in the topics of discovery.
fn put_id(text: &str, out: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || octet == b'-' {
            out.push(octet.into());
        } else {
            let _ = write!(out, "_{octet:02X}");
        }
    }
}

struct Json<'a> {
    out: &'a mut String,
}

impl Json<'_> {
    /// `{"device":{…},"origin":{…}`
    fn device(&mut self, id: &str, name: &str, model: Option<&str>, via: Option<&str>) {
        self.out.push_str("{\"device\":{\"identifiers\":[");
        put_json_text(id, self.out);
        self.out.push(']');
        self.text("name", name);
        self.optional("model", model);
        self.optional("via_device", via);
        if via.is_none() {
            self.text("sw_version", env!("CARGO_PKG_VERSION"));
        }
        self.out.push_str("},\"origin\":{\"name\":\"mqtt-sn-gateway\"");
        self.text("sw_version", env!("CARGO_PKG_VERSION"));
        self.out.push('}');
    }

    /// A component, and its first keys.
    fn begin(&mut self, at: usize, key: &str, platform: &str, unique_id: &str) {
        if at > 0 {
            self.out.push(',');
        }
        put_json_text(key, self.out);
        let _ = write!(self.out, ":{{\"platform\":\"{platform}\"");
        self.text("unique_id", unique_id);
    }

    fn text(&mut self, key: &str, value: &str) {
        let _ = write!(self.out, ",\"{key}\":");
        put_json_text(value, self.out);
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }
}

#[cfg(test)]
mod tests;
