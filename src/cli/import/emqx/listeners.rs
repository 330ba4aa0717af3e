//! `listeners` of EMQX's gateway.

use std::net::IpAddr;

use super::gateway::{PATH, Prefix, leave_rest, prefix, rule, take_bool, take_object, take_text};
use super::{BROADCAST, Draft, Node, Object, Origin, PORT, Place, Section, Value, at};
use crate::cli::import::text::quote;
use crate::cli::import::{NO_DTLS, NO_DTLS_LISTENER};
use crate::config::Endpoint;

/// Most devices that can be allowed.
const MOST_CLIENTS: u64 = 1_000_000;

/// One of them, and where its keys begin.
struct Listener {
    line: usize,
    path: String,
    keys: Object,
}

/// `broadcast` is where ADVERTISE is asked for.
pub(super) fn translate(mut all: Object, broadcast: Option<Origin>, draft: &mut Draft) {
    let udp = take_listeners(&mut all, "udp");
    let dtls = take_listeners(&mut all, "dtls");
    let mut broadcast = broadcast;
    let mut most_clients: Option<(u64, Origin)> = None;
    let mut links = 0;
    for mut listener in udp {
        let path = listener.path.clone();
        if let Some((false, from)) = take_bool(&mut listener.keys, "enable", draft) {
            draft.leave(from, &path, "{…}", "It was switched off.");
            continue;
        }
        let Some(endpoint) = endpoint(&mut listener, draft) else { continue };
        links += 1;
        let mut section = Section::new(Place::Links, "[[udp]]");
        section.text("listen", &endpoint.0.to_string(), Some(endpoint.1));
        if endpoint.0.ip.is_ipv4()
            && let Some(from) = broadcast.take()
        {
            let list = format!("[{}]", quote(&format!("{BROADCAST}:{PORT}")));
            section.plain("advertise_to", list, Some(from));
        }
        if let Some((size, from)) = receive_buffer(&mut listener.keys, &path, draft) {
            section.text("receive_buffer", &size, Some(from));
        }
        draft.add(section);
        if let Some((text, from)) = take_text(&mut listener.keys, "max_connections", draft) {
            match text.parse::<u64>() {
                Ok(count) => {
                    let before = most_clients.map_or(0, |(before, _)| before);
                    most_clients = Some((before.saturating_add(count), from));
                }
                Err(_) => {
                    let reason = "It is no number; see max_clients of [sessions].";
                    draft.leave(from, &format!("{path}.max_connections"), &text, reason);
                }
            }
        }
        if let Some((text, from)) = take_text(&mut listener.keys, "mountpoint", draft)
            && let Some(prefix) = prefix(&text, from, "mountpoint", draft)
        {
            add_rule(&prefix, &endpoint.0, draft);
        }
        leave_rest(&path, listener.keys, draft);
    }
    write_dtls(dtls, links == 0, draft);
    if let Some((count, from)) = most_clients {
        write_most_clients(count, from, draft);
    }
    if let Some(from) = broadcast {
        let reason = "ADVERTISE is broadcast over IPv4; for IPv6 see advertise_to of [[udp]].";
        draft.leave(from, &format!("{PATH}.broadcast"), "true", reason);
    }
    leave_rest(&format!("{PATH}.listeners"), all, draft);
}

fn take_listeners(all: &mut Object, kind: &str) -> Vec<Listener> {
    let Some(named) = take_object(all, kind) else { return Vec::new() };
    let mut listeners: Vec<Listener> = named
        .0
        .into_iter()
        .map(|(name, Node { line, value })| {
            let path = format!("{PATH}.listeners.{kind}.{name}");
            // Something else than an object has no keys, and is a listener all the same.
            let keys = if let Value::Object(keys) = value { keys } else { Object::default() };
            Listener { line, path, keys }
        })
        .collect();
    listeners.sort_by_key(|listener| listener.line);
    listeners
}

/// `bind`: a port, or an address with one.
fn endpoint(listener: &mut Listener, draft: &mut Draft) -> Option<(Endpoint, Origin)> {
    let (text, from) = take_text(&mut listener.keys, "bind", draft)
        .unwrap_or_else(|| (PORT.to_string(), at(listener.line)));
    let endpoint = bind(&text);
    if endpoint.is_none() {
        let reason = "It is no address with a port: write `listen` of a [[udp]].";
        draft.leave(from, &format!("{}.bind", listener.path), &text, reason);
    }
    Some((endpoint?, from))
}

/// `1884`, `:1884`, `127.0.0.1:1884`, `[::]:1884`, and `::1:1884` as EMQX 4 has it.
pub(super) fn bind(text: &str) -> Option<Endpoint> {
    let (ip, port) = text.rsplit_once(':').unwrap_or(("", text));
    let ip = match ip {
        "" => "0.0.0.0",
        ip => ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip),
    };
    let ip: IpAddr = ip.parse().ok()?;
    let digits = port.bytes().all(|octet| octet.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits)?;
    Some(Endpoint { ip, interface: None, port })
}

/// `udp_options.recbuf`, with its unit.
fn receive_buffer(keys: &mut Object, path: &str, draft: &mut Draft) -> Option<(String, Origin)> {
    let mut options = take_object(keys, "udp_options")?;
    let size = take_text(&mut options, "recbuf", draft);
    leave_rest(&format!("{path}.udp_options"), options, draft);
    let (text, from) = size?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => "B",
        "k" | "kb" => "KiB",
        "m" | "mb" => "MiB",
        "g" | "gb" => "GiB",
        _ => {
            let reason = "It is no size; see receive_buffer of [[udp]].";
            draft.leave(from, &format!("{path}.udp_options.recbuf"), &text, reason);
            return None;
        }
    };
    Some((format!("{number}{unit}"), from))
}

/// A prefix of one listener's devices, before the one for all.
fn add_rule(prefix: &Prefix, endpoint: &Endpoint, draft: &mut Draft) {
    draft.add(rule(prefix, Some(&format!("udp {endpoint}"))));
}

fn write_dtls(dtls: Vec<Listener>, alone: bool, draft: &mut Draft) {
    let mut first = alone;
    for listener in dtls {
        if std::mem::take(&mut first) {
            let bind = listener.keys.text("bind").and_then(bind);
            let port = bind.map_or(PORT, |endpoint| endpoint.port);
            let mut section = Section::new(Place::Links, "[[udp]]");
            section.comment(NO_DTLS_LISTENER).text(
                "listen",
                &format!("127.0.0.1:{port}"),
                Some(at(listener.line)),
            );
            draft.add(section);
        }
        draft.leave(at(listener.line), &listener.path, "{…}", NO_DTLS);
    }
}

fn write_most_clients(count: u64, from: Origin, draft: &mut Draft) {
    let sessions = draft.section(Place::Sessions);
    sessions.comment(
        "Devices that are remembered count as well as those that are connected. In transparent mode each takes an \
         open file.",
    );
    if count > MOST_CLIENTS {
        sessions.comment(format!("It was {count}; this is the most here."));
    }
    sessions.plain("max_clients", count.min(MOST_CLIENTS), Some(from));
}
