//! `[home_assistant]`, and how the devices of a `[[client]]` present themselves there.

use std::time::Duration;

use super::error::{Origin, Problem};
use super::load::{DAY, SECOND};
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use crate::core::{HomeDevice, HomeEntity, OWN_TOPICS};

/// Longest text, octets: names, units, templates.
const LONGEST: usize = 1_024;
/// Most things that one device measures.
const MOST: usize = 100;
/// What a binary sensor is called.
pub(super) const PLATFORMS: [(&str, bool); 2] = [("sensor", false), ("binary_sensor", true)];

/// `[home_assistant]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HomeAssistant {
    /// Publish what it needs to find gateway and devices.
    pub enabled: bool,
    /// Where it looks for that.
    pub prefix: Box<str>,
}

impl Default for HomeAssistant {
    fn default() -> Self {
        Self { enabled: false, prefix: "homeassistant".into() }
    }
}

/// Reads `[home_assistant]`. `status`: the status topics are published.
pub(super) fn read_home(mut reader: Reader<'_>, status: bool, home: &mut HomeAssistant) {
    let enabled = reader.boolean("enabled", &mut home.enabled);
    reader.text("prefix", &mut home.prefix, check_prefix);
    if let Some(origin) = enabled.filter(|_| home.enabled && !status) {
        let message = "Home Assistant learns from the status topics what is there";
        reader.complain(&origin, Complaint::new(message, "set publish = true under [status]"));
    }
    reader.finish();
}

/// Reads `[client.home_assistant]`, which begins at `begin`.
pub(super) fn read_device(
    table: Table,
    begin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<Box<HomeDevice>> {
    if table.0.is_empty() {
        return None;
    }
    let mut device = HomeDevice::default();
    let mut reader = Reader::new("client.home_assistant", table, problems);
    for (key, target) in [("name", &mut device.name), ("model", &mut device.model)] {
        reader.text(key, target, |text| check_text(key, text).map(Some));
    }
    let entities = reader.tables("entity").unwrap_or_default();
    if entities.is_empty() || entities.len() > MOST {
        let message = format!("a device has 1 to {MOST} [[client.home_assistant.entity]]");
        reader.complain(begin, Complaint::new(message, "one for each thing that it measures"));
    }
    reader.finish();
    for (begin, table) in entities.into_iter().take(MOST) {
        let known: Vec<Box<str>> = device.entities.iter().map(|one| one.key.clone()).collect();
        device.entities.push(read_entity(table, &begin, &known, problems));
    }
    Some(Box::new(device))
}

fn read_entity(
    table: Table,
    begin: &Origin,
    known: &[Box<str>],
    problems: &mut Vec<Problem>,
) -> HomeEntity {
    let mut entity = HomeEntity::default();
    let mut reader = Reader::new("client.home_assistant.entity", table, problems);
    let key = reader.text("key", &mut entity.key, |text| check_key(text, known));
    reader.choice("platform", &mut entity.binary, &PLATFORMS);
    let topic = reader.text("topic", &mut entity.topic, check_topic);
    for (key, there) in [("key", key.is_some()), ("topic", topic.is_some())] {
        if !there {
            let message = format!("this entity has no `{key}`");
            reader.complain(begin, Complaint::new(message, "`key` and `topic` are needed"));
        }
    }
    for (key, target) in [
        ("name", &mut entity.name),
        ("unit", &mut entity.unit),
        ("device_class", &mut entity.device_class),
        ("state_class", &mut entity.state_class),
        ("value_template", &mut entity.value_template),
        ("payload_on", &mut entity.payload_on),
        ("payload_off", &mut entity.payload_off),
    ] {
        if let Some(origin) = reader.text(key, target, |text| check_text(key, text).map(Some))
            && let Some(of) = misplaced(key, entity.binary)
        {
            let message = format!("`{key}` is for platform = \"{of}\"");
            reader
                .complain(&origin, Complaint::new(message, "change the platform, or take it out"));
        }
    }
    let mut expires = Duration::ZERO;
    reader.duration("expire_after", SECOND..=30 * DAY, &mut expires);
    entity.expire_after = u32::try_from(expires.as_secs()).unwrap_or(u32::MAX);
    reader.finish();
    entity
}

/// The platform that a key is for, if it is for the other one.
fn misplaced(key: &str, binary: bool) -> Option<&'static str> {
    match (key, binary) {
        ("unit" | "state_class", true) => Some("sensor"),
        ("payload_on" | "payload_off", false) => Some("binary_sensor"),
        _ => None,
    }
}

fn check_text(key: &str, text: &str) -> Result<Box<str>, Complaint> {
    if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        let help = format!("1 to {LONGEST} bytes without control characters");
        return Err(bad_value(key, text, help));
    }
    Ok(text.into())
}

fn check_key(text: &str, known: &[Box<str>]) -> Result<Box<str>, Complaint> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        let help = "1 to 64 letters, digits, _ and -: Home Assistant knows it again by that";
        return Err(bad_value("key", text, help));
    }
    if known.iter().any(|other| **other == *text) {
        return Err(bad_value("key", text, "another entity of this device has it"));
    }
    Ok(text.into())
}

fn check_topic(text: &str) -> Result<Box<str>, Complaint> {
    let text = check_text("topic", text)?;
    if text.contains(['+', '#']) {
        let help = "one topic, as the broker knows it; %c stands for the client id";
        return Err(bad_value("topic", &text, help));
    }
    Ok(text)
}

fn check_prefix(text: &str) -> Result<Box<str>, Complaint> {
    let text = check_text("prefix", text)?;
    if text.contains(['+', '#']) || text.ends_with('/') || text.starts_with(OWN_TOPICS) {
        let help =
            "as Home Assistant has it, usually \"homeassistant\": a topic without / at the end";
        return Err(bad_value("prefix", &text, help));
    }
    Ok(text)
}
