//! `emqx_sn.conf` of EMQX 4: a key and its value on each line.

use std::time::Duration;

use super::listeners::bind;
use super::{BROADCAST, Draft, Origin, PORT, Place, Section, Wrong, at, is_secret};
use crate::cli::import::input::lines;
use crate::cli::import::secret::{Login, write_login};
use crate::cli::import::text::quote;
use crate::cli::import::topics::Topics;
use crate::config::{format_duration, parse_duration};

/// What the keys begin with.
const PREFIX: &str = "mqtt.sn.";

/// Whether a file is one: some line sets one of its keys.
pub(super) fn is_one(octets: &[u8]) -> bool {
    let is_key = |line: &[u8]| line.trim_ascii_start().starts_with(PREFIX.as_bytes());
    octets.split(|octet| *octet == b'\n').any(is_key)
}

/// What is set, with its lines.
struct Keys<'a>(Vec<(&'a str, &'a str, Origin)>);

impl<'a> Keys<'a> {
    /// The last line with this key.
    fn take(&mut self, key: &str) -> Option<(&'a str, Origin)> {
        let at = self.0.iter().rposition(|(known, _, _)| *known == key)?;
        let (_, value, from) = self.0.remove(at);
        Some((value, from))
    }
}

pub(super) fn translate(octets: &[u8], passwords: bool, draft: &mut Draft) -> Result<(), Wrong> {
    let (mut keys, predefined) = parse(octets, draft)?;
    super::write_broker("mqtt://127.0.0.1:1883", None, draft);
    let login = Login {
        username: keys.take("username"),
        password: keys.take("password"),
        password_key: "mqtt.sn.password",
    };
    write_login(&login, passwords, draft);
    if let Some((value, from)) = keys.take("gateway_id") {
        match value.parse::<u32>() {
            Ok(id) => {
                draft.section(Place::Root).plain("gateway_id", id, Some(from));
            }
            Err(_) => draft.leave(from, "mqtt.sn.gateway_id", value, "It is no number."),
        }
    }
    if let Some((value, from)) = keys.take("enable_qos3") {
        let on = matches!(value, "on" | "true");
        draft.section(Place::Sessions).plain("unauthenticated_publish", on, Some(from));
    }
    if let Some((value, from)) = keys.take("advertise_duration") {
        // A number alone is seconds.
        let read =
            value.parse().map(Duration::from_secs).ok().or_else(|| parse_duration(value).ok());
        match read {
            Some(interval) => {
                let interval = format_duration(interval);
                draft.section(Place::Discovery).text("advertise_interval", &interval, Some(from));
            }
            None => {
                let reason = "It is no time; see advertise_interval of [discovery].";
                draft.leave(from, "mqtt.sn.advertise_duration", value, reason);
            }
        }
    }
    let mut topics = Topics::default();
    for (id, topic, from) in predefined {
        match id.parse() {
            Ok(0) => draft.leave(
                from,
                "mqtt.sn.predefined.topic.0",
                topic,
                "EMQX passes over it as well.",
            ),
            Ok(id) => topics.add(id, topic, from, draft),
            Err(_) => draft.leave(
                from,
                &format!("mqtt.sn.predefined.topic.{id}"),
                topic,
                "It is no number.",
            ),
        }
    }
    topics.write(draft);
    write_listener(keys.take("port"), draft);
    for (key, value, from) in keys.0 {
        let reason = match key {
            "enable_stats" => "SIGHUP makes the gateway say in its log what it has counted.",
            "idle_timeout" => {
                "Nothing has to be set: a packet costs nothing that would have to be closed."
            }
            "subs_resume" => {
                "Always so: who connects without \"clean session\" finds subscriptions and topic ids again."
            }
            _ => "It is there again, or is no key of EMQX's gateway.",
        };
        let value = if is_secret(key) { "(hidden)" } else { value };
        draft.leave(from, &format!("{PREFIX}{key}"), value, reason);
    }
    Ok(())
}

/// EMQX 4 has one listener, and broadcasts from it.
fn write_listener(port: Option<(&str, Origin)>, draft: &mut Draft) {
    let mut section = Section::new(Place::Links, "[[udp]]");
    let default = PORT.to_string();
    let (text, from) = port.map_or((default.as_str(), None), |(text, from)| (text, Some(from)));
    match bind(text) {
        Some(endpoint) => {
            section.text("listen", &endpoint.to_string(), from);
            if endpoint.ip.is_ipv4() {
                let list = format!("[{}]", quote(&format!("{BROADCAST}:{}", endpoint.port)));
                section.plain("advertise_to", list, None);
            }
            draft.add(section);
        }
        None => {
            let reason = "It is no port, and no address with one: write `listen` of a [[udp]].";
            draft.leave(from.unwrap_or(at(0)), "mqtt.sn.port", text, reason);
        }
    }
}

type Topic<'a> = (&'a str, &'a str, Origin);

/// The keys, and apart from them the predefined topics by id.
fn parse<'a>(octets: &'a [u8], draft: &mut Draft) -> Result<(Keys<'a>, Vec<Topic<'a>>), Wrong> {
    let mut keys = Vec::new();
    let mut topics = Vec::new();
    let mut others = false;
    for (line, text) in lines(octets)? {
        let text = text.trim();
        let Some(ours) = text.strip_prefix(PREFIX) else {
            if text.starts_with("include") {
                draft.leave(at(line), text, "", "Files that are included were not read.");
            } else {
                others = true;
            }
            continue;
        };
        let Some((key, value)) = ours.split_once('=') else {
            let help = "a line is KEY = VALUE";
            return Err(Wrong::new(line, "there is no = on this line", help));
        };
        let (key, value) = (key.trim(), unquote(value.trim()));
        match key.strip_prefix("predefined.topic.") {
            Some(id) => topics.push((id, value, at(line))),
            None => keys.push((key, value, at(line))),
        }
    }
    if others {
        draft.note("Only mqtt.sn.… of it was translated: everything else is about EMQX itself.");
    }
    Ok((Keys(keys), topics))
}

/// Without quotes, or without the comment behind it.
fn unquote(value: &str) -> &str {
    match value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((inside, _)) => inside,
        None => value.split(" #").next().unwrap_or(value).trim_end(),
    }
}
