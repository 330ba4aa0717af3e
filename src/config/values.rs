//! Checks of single values: names, topics, addresses of brokers, levels.

use std::net::{IpAddr, SocketAddr};

use super::checked::Broker;
use super::keys::nearest;
use super::reader::{Complaint, bad_value};
use crate::core::{OWN_TOPICS, Takeover};
use crate::upstream::{Scheme, Server, is_web_address};

/// The words of `takeover`.
pub(super) const TAKEOVERS: [(&str, Takeover); 3] = [
    ("always", Takeover::Always),
    ("asleep-or-lost", Takeover::AsleepOrLost),
    ("never", Takeover::Never),
];

/// Longest path for WebSocket, octets.
const LONGEST_PATH: usize = 1024;

/// The gateway's name: a level of a topic and an MQTT client id.
pub(super) fn check_name(text: &str) -> Result<Box<str>, Complaint> {
    let bad = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
    if text.is_empty() || text.len() > 64 || text.contains(bad) {
        let help = "1 to 64 bytes without /, +, # and control characters: \
                    it is the MQTT client id and a level of the status topics";
        return Err(bad_value("name", text, help));
    }
    Ok(text.into())
}

/// Longest prefix, octets: a topic of a device fits behind it, whatever it is.
pub(super) const MOST_PREFIX: usize = 1024;

/// What is put in front of the topics of some clients.
pub(super) fn check_client_prefix(text: &str, longest: usize) -> Result<Box<str>, Complaint> {
    let ids = text.matches("%c").count();
    let most = text.len() + ids * longest.saturating_sub(2);
    if ids > 0 && most > MOST_PREFIX {
        let help = format!(
            "%c stands for a client id of up to {longest} bytes, which makes a prefix of up to {most} \
             bytes; {MOST_PREFIX} is the most"
        );
        return Err(bad_value("topic_prefix", text, help));
    }
    check_prefix(text)
}

/// A filter of what a client may do.
pub(super) fn check_filter(key: &str, text: &str) -> Result<Box<str>, Complaint> {
    if !crate::core::is_filter(text) || text.len() > 65_535 {
        let help = "a topic filter, like \"sensors/+/temperature\" or \"sensors/#\": + is one level, # at \
                    the end is any number, %c is the client id";
        return Err(bad_value(key, text, help));
    }
    Ok(text.into())
}

/// What is put in front of topics.
pub(super) fn check_prefix(text: &str) -> Result<Box<str>, Complaint> {
    if text.len() > MOST_PREFIX || text.contains(['+', '#', '\0']) {
        let help = "up to 1024 bytes without +, # and NUL, usually with a / at the end";
        return Err(bad_value("topic_prefix", text, help));
    }
    if text.starts_with("$share/") || text.starts_with(OWN_TOPICS) {
        let help = format!("$share/ has a meaning for the broker, {OWN_TOPICS} for gateways");
        return Err(bad_value("topic_prefix", text, help));
    }
    Ok(text.into())
}

/// A topic id as a key of `[topics]`.
pub(super) fn check_topic_id(key: &str) -> Result<u16, Complaint> {
    let digits = key.bytes().all(|byte| byte.is_ascii_digit());
    match key.parse() {
        Ok(id @ 1..=0xFFFE) if digits => Ok(id),
        _ => Err(Complaint::new(
            format!("\"{}\" is no topic id", key.escape_debug()),
            "predefined topics are written as id = \"topic\", with ids from 1 to 65534",
        )),
    }
}

/// A topic name that is predefined.
pub(super) fn check_topic(name: &str) -> Result<Box<str>, Complaint> {
    let complain = |help: &str| {
        Err(Complaint::new(format!("\"{}\" is no topic name", name.escape_debug()), help))
    };
    if name.is_empty() || name.len() > 65_535 || name.contains('\0') {
        return complain("1 to 65535 bytes without NUL");
    }
    if name.contains(['+', '#']) {
        return complain("a predefined id names one topic: + and # are only for subscriptions");
    }
    if name.starts_with(OWN_TOPICS) {
        return complain("what begins with mqtt-sn-gateway/ belongs to the gateway itself");
    }
    Ok(name.into())
}

/// Where the built-in broker listens.
pub(super) fn check_loopback(text: &str) -> Result<SocketAddr, Complaint> {
    let address: SocketAddr = text.parse().map_err(|_| {
        bad_value(
            "listen",
            text,
            "write address and port, like \"127.0.0.1:1883\" or \"[::1]:1883\"",
        )
    })?;
    if !address.ip().is_loopback() || address.port() == 0 {
        let help = "the built-in broker has no access control and listens on this machine only: \
                    127.0.0.1 or [::1] with a port.\nFor a broker that others reach, run one \
                    (mosquitto, for example) and name it in [upstream] url";
        return Err(bad_value("listen", text, help));
    }
    Ok(address)
}

/// Where the admin interface listens; nowhere if it is empty.
pub(super) fn check_admin(text: &str) -> Result<Option<SocketAddr>, Complaint> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        bad_value(
            "listen",
            text,
            "write address and port, like \"127.0.0.1:8080\", \"[::1]:8080\" or \"0.0.0.0:8080\"; \"\" \
             turns the admin interface off",
        )
    })
}

/// One entry of `[upstream] url`.
pub(super) fn parse_broker(text: &str) -> Result<Broker, Complaint> {
    let form = "write \"embedded\" or \"mqtt://host:1883\"";
    if text == "embedded" {
        return if cfg!(feature = "embedded-broker") {
            Ok(Broker::Embedded)
        } else {
            let message = "this program was built without the built-in broker";
            Err(Complaint::new(message, "name a broker: url = \"mqtt://host:1883\""))
        };
    }
    // A login in the address is not repeated in the message.
    let complain = |help: String| {
        let shown = match text.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => text.escape_debug().to_string(),
        };
        Err(Complaint::new(format!("`url` cannot be \"{shown}\""), help))
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        let help = match nearest(text, &["embedded"]) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None if !text.is_empty() && !text.contains(char::is_whitespace) => {
                format!("write \"mqtt://{text}\"")
            }
            None => form.to_owned(),
        };
        return complain(help);
    };
    let Some(scheme) = Scheme::ALL.into_iter().find(|known| known.name() == scheme) else {
        // What other programs call it.
        let ours = match scheme {
            "tcp" => "mqtt",
            "ssl" | "tls" => "mqtts",
            "http" => "ws",
            "https" => "wss",
            _ => {
                let help = "mqtt://, mqtts:// (TLS), ws:// and wss:// (WebSocket) are there";
                return complain(format!("there is no scheme {scheme}://; {help}"));
            }
        };
        return complain(match rest.contains('@') {
            true => format!("the scheme is called {ours}://"),
            false => format!("write \"{ours}://{rest}\""),
        });
    };
    let (rest, path) = match rest.find(['/', '?', '#']) {
        Some(at) if scheme.has_path() => rest.split_at(at),
        None if scheme.has_path() => (rest, Server::DEFAULT_PATH),
        _ => (rest, ""),
    };
    if rest.contains('@') {
        return complain(
            "the login is not part of the address: use the keys username and password".into(),
        );
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return complain("only ws:// and wss:// have a path behind the host".to_owned());
    }
    let (host, port) = match split_host(rest) {
        Some((host, "")) => (host, Ok(scheme.default_port())),
        Some((host, port)) => (host, port.parse()),
        None => return complain(form.to_owned()),
    };
    match port {
        Ok(port @ 1..) if is_host(host) => {
            let (host, path) = (host.into(), path.into());
            let server = Server { scheme, host, port, path, embedded: false };
            if !scheme.has_path() || is_path(&server.path) && is_web_address(&server) {
                return Ok(Broker::Remote(server));
            }
            let longest = LONGEST_PATH;
            complain(format!(
                "the path for WebSocket begins with / and has visible ASCII characters, at most \
                 {longest}, without #; like \"{}://host{}\"",
                scheme.name(),
                Server::DEFAULT_PATH
            ))
        }
        Ok(1..) => {
            complain(format!("\"{}\" is no host name or address; {form}", host.escape_debug()))
        }
        _ => complain(format!("the port is a number from 1 to 65535; {form}")),
    }
}

/// Host without brackets and port without colon; the port may be empty.
fn split_host(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port =
            if port.is_empty() { "" } else { port.strip_prefix(':').filter(|p| !p.is_empty())? };
        return host.contains(':').then_some((host, port));
    }
    match text.split_once(':') {
        Some((_, "")) => None,
        Some((host, port)) => Some((host, port)),
        None => Some((text, "")),
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn is_host(host: &str) -> bool {
    if host.contains(':') {
        let ip = host.split_once('%').map_or(host, |(ip, _)| ip);
        return ip.parse::<IpAddr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

/// Whether this can be the level of the log.
///
/// # Errors
/// If not; what can.
pub fn check_log_level(text: &str) -> Result<(), String> {
    let complaint = |complaint: Complaint| format!("{}; {}", complaint.message, complaint.help);
    check_level(text).map(|_| ()).map_err(complaint)
}

/// Levels of the log, one or a list with parts of the program.
pub(super) fn check_level(text: &str) -> Result<Box<str>, Complaint> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for part in text.split(',') {
        let (target, level) = match part.split_once('=') {
            Some((target, level)) => (target.trim(), level.trim()),
            None => ("all", part.trim()),
        };
        let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        let path = !target.is_empty()
            && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte));
        if !known || !path {
            let guess = nearest(level, &LEVELS).filter(|_| !known);
            let guess = guess.map_or(String::new(), |word| format!("did you mean \"{word}\"? "));
            let help = format!(
                "{guess}one of {}, or a list such as \"info,mqtt_sn_gateway::core=debug\"",
                LEVELS.join(", ")
            );
            return Err(bad_value("level", text, help));
        }
    }
    Ok(text.into())
}
