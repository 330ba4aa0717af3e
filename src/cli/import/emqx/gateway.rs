//! `gateway.mqttsn` of EMQX 5.

use super::{
    Document, Draft, LONGEST_ID, Node, Object, Origin, Place, Section, Value, Wrong, at, is_secret,
};
use crate::cli::import::NO_DTLS;
use crate::cli::import::secret::{Login, write_login};
use crate::cli::import::text::shown;
use crate::cli::import::topics::Topics;

/// What its keys begin with.
pub(super) const PATH: &str = "gateway.mqttsn";

pub(super) fn translate(
    document: Document,
    passwords: bool,
    draft: &mut Draft,
) -> Result<(), Wrong> {
    let Document { mut root, includes } = document;
    let url = format!("mqtt://127.0.0.1:{}", mqtt_port(&root).unwrap_or(1883));
    let mut keys = take_gateway(&mut root).ok_or_else(|| not_there(&includes))?;
    check_references(&keys)?;
    if !root.0.is_empty() {
        draft.note(
            "Only gateway.mqttsn of it was translated: everything else is about EMQX itself.",
        );
    }
    for (line, what) in includes {
        let reason = "Files that are included were not read. If gateway.mqttsn is in there too, put it into one file.";
        draft.leave(at(line), "include", what.trim_start_matches("include"), reason);
    }
    super::write_broker(&url, None, draft);
    let mut override_of = take_object(&mut keys, "clientinfo_override").unwrap_or_default();
    let (username, password) = (override_of.take("username"), override_of.take("password"));
    let username = plain_login("username", username, draft);
    let password = plain_login("password", password, draft);
    let login = Login {
        username: username.as_ref().map(|(text, from)| (text.as_str(), *from)),
        password: password.as_ref().map(|(text, from)| (text.as_str(), *from)),
        password_key: "gateway.mqttsn.clientinfo_override.password",
    };
    write_login(&login, passwords, draft);
    leave_rest(&format!("{PATH}.clientinfo_override"), override_of, draft);

    number(&mut keys, "gateway_id", Place::Root, draft);
    let mountpoint = take_text(&mut keys, "mountpoint", draft);
    let prefix = mountpoint.and_then(|(text, from)| prefix(&text, from, "mountpoint", draft));
    if let Some(Prefix { text, of_client: false, from }) = &prefix {
        draft.section(Place::Upstream).text("topic_prefix", text, Some(*from));
    }
    let connectionless = take_bool(&mut keys, "enable_qos3", draft);
    let (on, from) = connectionless.map_or((true, None), |(on, from)| (on, Some(from)));
    draft.section(Place::Sessions).plain("unauthenticated_publish", on, from);
    let broadcast = take_bool(&mut keys, "broadcast", draft).filter(|(on, _)| *on);
    write_topics(&mut keys, draft);
    let listeners = take_object(&mut keys, "listeners").unwrap_or_default();
    super::listeners::translate(listeners, broadcast.map(|(_, from)| from), draft);
    if let Some(prefix) = prefix.filter(|prefix| prefix.of_client) {
        draft.add(rule(&prefix, None));
    }
    if let Some((false, from)) = take_bool(&mut keys, "enable", draft) {
        let reason = "It was switched off there. This gateway runs when it is started.";
        draft.leave(from, &format!("{PATH}.enable"), "false", reason);
    }
    leave_rest(PATH, keys, draft);
    Ok(())
}

fn take_gateway(root: &mut Object) -> Option<Object> {
    match root.0.get_mut("gateway").map(|node| &mut node.value) {
        Some(Value::Object(gateways)) => {
            let taken = take_object(gateways, "mqttsn");
            if gateways.0.is_empty() {
                root.take("gateway");
            }
            taken
        }
        _ => None,
    }
}

fn not_there(includes: &[(usize, String)]) -> Wrong {
    let message = "there is no gateway.mqttsn in it, and no key of emqx_sn.conf (mqtt.sn.…)";
    let mut help = "what was set in EMQX's Dashboard is in its data/configs/cluster.hocon, what was set by hand in \
                    etc/emqx.conf or etc/base.hocon"
        .to_owned();
    if let Some((line, _)) = includes.first() {
        help.push_str(&format!("; files that are included, as on line {line}, are not read"));
    }
    Wrong::new(0, message, help)
}

/// The port of EMQX's MQTT listener, if the file says it.
fn mqtt_port(root: &Object) -> Option<u16> {
    let listeners = root.object("listeners")?.object("tcp")?;
    let named = listeners.object("default").and_then(|listener| listener.text("bind"));
    let any = || listeners.0.keys().find_map(|name| listeners.object(name)?.text("bind"));
    let bind = named.or_else(any)?;
    bind.rsplit(':').next()?.parse().ok().filter(|port| *port > 0)
}

/// What a reference stands for is not known here, and must not be guessed.
fn check_references(object: &Object) -> Result<(), Wrong> {
    fn check(node: &Node) -> Result<(), Wrong> {
        match &node.value {
            Value::Object(object) => check_references(object),
            Value::List(list) => list.iter().try_for_each(check),
            Value::Reference(text) => {
                let message = format!("the reference {} is not followed", shown(text));
                let help = "write the value in its place; a placeholder of EMQX stands in quotes";
                Err(Wrong::new(node.line, message, help))
            }
            Value::Text(_) => Ok(()),
        }
    }
    let is_read = |key: &str| !matches!(key, "authentication" | "dtls_options");
    object.0.iter().filter(|(key, _)| is_read(key)).try_for_each(|(_, node)| check(node))
}

/// A user name or a password, if it is the same for all devices.
fn plain_login(key: &str, node: Option<Node>, draft: &mut Draft) -> Option<(String, Origin)> {
    let node = node?;
    let path = format!("{PATH}.clientinfo_override.{key}");
    match node.value {
        Value::Text(text) if !text.contains("${") => Some((text, at(node.line))),
        Value::Text(text) => {
            let reason = "Placeholders are not possible: each [[client]] can have a username and a password_file of \
                          its own, in transparent mode.";
            let shown = if is_secret(key) { "(hidden)" } else { text.as_str() };
            draft.leave(at(node.line), &path, shown, reason);
            None
        }
        other => {
            leave(&path, Node { line: node.line, value: other }, draft);
            None
        }
    }
}

/// `predefined`: a list of `{id, topic}`, or an object with those below numbers.
fn write_topics(keys: &mut Object, draft: &mut Draft) {
    let Some(node) = keys.take("predefined") else { return };
    let entries: Vec<Node> = match node.value {
        Value::List(list) => list,
        Value::Object(object) => object.0.into_values().collect(),
        other => {
            return leave(
                &format!("{PATH}.predefined"),
                Node { line: node.line, value: other },
                draft,
            );
        }
    };
    let mut topics = Topics::default();
    for entry in entries {
        let (line, mut value) = (entry.line, entry.value);
        let read = match &mut value {
            Value::Object(object) => {
                match (object.text("id").map(str::parse), object.text("topic")) {
                    (Some(Ok(id)), Some(topic)) => Some((id, topic.to_owned())),
                    _ => None,
                }
            }
            _ => None,
        };
        match read {
            Some((id, topic)) => topics.add(id, &topic, at(line), draft),
            None => draft.leave(
                at(line),
                &format!("{PATH}.predefined"),
                "",
                "It is not {id = NUMBER, topic = \"…\"}.",
            ),
        }
    }
    topics.write(draft);
}

/// A prefix in front of topics.
pub(super) struct Prefix {
    pub(super) text: String,
    /// It has the client id in it.
    pub(super) of_client: bool,
    pub(super) from: Origin,
}

/// `mountpoint` in our words.
pub(super) fn prefix(text: &str, from: Origin, key: &str, draft: &mut Draft) -> Option<Prefix> {
    let of_client = text.contains("${clientid}");
    let ours = text.replace("${clientid}", "%c");
    if ours.contains("${") {
        let reason = "Of EMQX's placeholders only ${clientid} has a counterpart, %c. Without the prefix topics are not \
                      where they were: write topic_prefix for each kind of device, see docs/policy.md.";
        draft.leave(from, &format!("{PATH}.{key}"), text, reason);
        return None;
    }
    Some(Prefix { text: ours, of_client, from })
}

/// A rule for all devices, or for those of a link, with a prefix.
pub(super) fn rule(prefix: &Prefix, link: Option<&str>) -> Section {
    let mut section = Section::new(Place::Clients, "[[client]]");
    if prefix.of_client {
        section
            .comment("%c is the client id. A device with /, + or # in it is not let in with that.");
    }
    section.text("id", "*", None);
    if let Some(link) = link {
        section.text("link", link, None);
    }
    section.text("topic_prefix", &prefix.text, Some(prefix.from));
    section
}

/// Takes an object; something else stays.
pub(super) fn take_object(keys: &mut Object, key: &str) -> Option<Object> {
    keys.object(key)?;
    match keys.take(key)?.value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Takes a text. Something else is left out, and so it is said.
pub(super) fn take_text(
    keys: &mut Object,
    key: &str,
    draft: &mut Draft,
) -> Option<(String, Origin)> {
    let node = keys.take(key)?;
    match node.value {
        Value::Text(text) => Some((text, at(node.line))),
        value => {
            leave(&format!("{PATH}.{key}"), Node { line: node.line, value }, draft);
            None
        }
    }
}

/// Takes `true` or `false`.
pub(super) fn take_bool(keys: &mut Object, key: &str, draft: &mut Draft) -> Option<(bool, Origin)> {
    let (text, from) = take_text(keys, key, draft)?;
    match text.as_str() {
        "true" | "on" => Some((true, from)),
        "false" | "off" => Some((false, from)),
        _ => {
            draft.leave(from, &format!("{PATH}.{key}"), &text, "It is neither true nor false.");
            None
        }
    }
}

fn number(keys: &mut Object, key: &str, place: Place, draft: &mut Draft) {
    let Some((text, from)) = take_text(keys, key, draft) else { return };
    match text.parse::<u32>() {
        Ok(number) => {
            draft.section(place).plain(key, number, Some(from));
        }
        Err(_) => draft.leave(from, &format!("{PATH}.{key}"), &text, "It is no number."),
    }
}

/// Notes all that is still there.
pub(super) fn leave_rest(path: &str, keys: Object, draft: &mut Draft) {
    for (key, node) in keys.0 {
        leave(&format!("{path}.{key}"), node, draft);
    }
}

/// Notes a value. What is in objects is not repeated: there may be secrets in them.
fn leave(path: &str, node: Node, draft: &mut Draft) {
    let key = path.rsplit('.').next().unwrap_or(path);
    let value = match &node.value {
        Value::Text(_) | Value::Reference(_) if is_secret(key) => "(hidden)",
        Value::Text(text) | Value::Reference(text) => text.as_str(),
        Value::Object(_) => "{…}",
        Value::List(_) => "[…]",
    };
    let reason = reason(key);
    draft.leave(at(node.line), path, value, reason);
}

/// What to do about a key that has no counterpart.
fn reason(key: &str) -> String {
    match key {
        "authentication" | "enable_authn" => {
            "Devices log in at EMQX's MQTT listener now, with the login of [upstream] or of a [[client]]: what they \
             are asked there is set in EMQX."
                .to_owned()
        }
        "clientid" => format!(
            "A device has the client id that it names, of up to {LONGEST_ID} bytes; the login can depend on it, see \
             [[client]]."
        ),
        "subs_resume" => {
            "Always so: who connects without \"clean session\" finds subscriptions and topic ids again.".to_owned()
        }
        "idle_timeout" => "Nothing has to be set: a packet costs nothing that would have to be closed.".to_owned(),
        "enable_stats" => "SIGHUP makes the gateway say in its log what it has counted.".to_owned(),
        "max_conn_rate" => "There is no limit for that.".to_owned(),
        "access_rules" => "Addresses are for a firewall. Client ids are for [[client]] and [access].".to_owned(),
        "acceptors" | "active_n" | "sndbuf" | "buffer" | "reuseaddr" => {
            "Nothing has to be set; receive_buffer of [[udp]] is what the system keeps for us.".to_owned()
        }
        "health_check" => "It has no counterpart.".to_owned(),
        "dtls" | "dtls_options" => NO_DTLS.to_owned(),
        _ => "It has no counterpart, or is no key of EMQX's gateway.".to_owned(),
    }
}
