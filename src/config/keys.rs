//! Every key there is, and those that are known but not there yet.

/// The tables with their keys. The root is the table without a name.
pub(super) const KEYS: [(&str, &[&str]); 21] = [
    (
        "",
        &[
            "name",
            "gateway_id",
            "state_dir",
            "upstream",
            "embedded_broker",
            "sessions",
            "discovery",
            "topics",
            "udp",
            "serial",
            "ble",
            "client",
            "access",
            "store",
            "status",
            "home_assistant",
            "admin",
            "log",
        ],
    ),
    (
        "upstream",
        &[
            "url",
            "mode",
            "version",
            "username",
            "password",
            "password_file",
            "keep_alive",
            "topic_prefix",
            "connect_timeout",
            "reconnect_min",
            "reconnect_max",
            "connections",
            "user_properties",
            "failback_interval",
            "tls",
            "spool",
        ],
    ),
    ("upstream.tls", &["ca_file", "cert_file", "key_file", "server_name", "insecure"]),
    ("upstream.spool", &["max_bytes", "max_age", "qos0"]),
    ("embedded_broker", &["listen"]),
    (
        "sessions",
        &[
            "max_clients",
            "max_client_id_length",
            "retry_interval",
            "retry_count",
            "keep_alive_tolerance",
            "sleep_tolerance",
            "takeover",
            "keep_session_on_wake",
            "unauthenticated_publish",
            "max_topics_per_client",
            "max_subscriptions_per_client",
            "max_buffered_messages",
            "max_buffered_bytes",
            "max_buffered_bytes_total",
            "queue_qos0_messages",
            "session_expiry",
        ],
    ),
    ("discovery", &["advertise_interval", "answer_search"]),
    ("udp", &["listen", "advertise_to", "groups", "retry_interval", "receive_buffer"]),
    (
        "serial",
        &[
            "device",
            "send_device",
            "baud",
            "framing",
            "flow_control",
            "open_delay",
            "retry_interval",
            "max_packet",
            "rate_limit",
            "lora",
            "duty_cycle",
            "address",
            "reliable",
            "pan_id",
            "key",
            "key_file",
            "pairing",
        ],
    ),
    (
        "ble",
        &[
            "adapter",
            "profile",
            "service",
            "write",
            "notify",
            "allow",
            "permit_join",
            "mtu",
            "split",
            "max_connections",
            "slot_time",
            "retry_interval",
            "max_packet",
        ],
    ),
    (
        "client",
        &[
            "id",
            "link",
            "allow",
            "publish",
            "subscribe",
            "max_qos",
            "topic_prefix",
            "mode",
            "username",
            "password",
            "password_file",
            "cert_file",
            "key_file",
            "profile",
            "max_topics",
            "max_subscriptions",
            "max_buffered_messages",
            "max_buffered_bytes",
            "retry_interval",
            "retry_count",
            "topics",
            "home_assistant",
        ],
    ),
    ("client.home_assistant", &["name", "model", "entity"]),
    (
        "client.home_assistant.entity",
        &[
            "key",
            "platform",
            "topic",
            "name",
            "unit",
            "device_class",
            "state_class",
            "value_template",
            "payload_on",
            "payload_off",
            "expire_after",
        ],
    ),
    ("access", &["default"]),
    ("store", &["sync", "batch_records", "batch_time"]),
    ("status", &["publish"]),
    ("home_assistant", &["enabled", "prefix"]),
    ("admin", &["listen"]),
    ("log", &["level", "format"]),
    // Its keys are numbers.
    ("topics", &[]),
    ("client.topics", &[]),
];

/// Keys that a later version has. They are refused, because a setting without effect is worse than
/// none, but by name.
const LATER: [(&str, &str); 2] = [("udp", "dtls"), ("udp", "max_packet")];

/// The keys of a table.
pub(super) fn allowed(table: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(name, _)| *name == table).map_or(&[], |(_, keys)| keys)
}

/// What to say about a key that the table does not have: the message and the help.
pub(super) fn explain_unknown(table: &str, key: &str) -> (String, String) {
    let place = describe(table);
    if LATER.contains(&(table, key)) {
        let message = format!("`{key}` {place} is not available in this version");
        return (message, format!("take it out; {}", list(table)));
    }
    let message = format!("there is no key `{key}` {place}");
    let mut help = String::new();
    if let Some(near) = nearest(key, allowed(table)) {
        help.push_str(&format!("did you mean `{near}`? "));
    } else if let Some(other) = home_of(table, key) {
        help.push_str(&format!("it belongs {}. ", describe(other)));
    }
    help.push_str(&list(table));
    (message, help)
}

fn list(table: &str) -> String {
    format!("allowed {}: {}", describe(table), allowed(table).join(", "))
}

/// Where a table is, as in "allowed under `[log]`".
pub(super) fn describe(table: &str) -> String {
    match table {
        "" => "at the top level".to_owned(),
        "udp" | "serial" | "ble" | "client" | "client.home_assistant.entity" => {
            format!("under [[{table}]]")
        }
        _ => format!("under [{table}]"),
    }
}

/// The nearest of some words, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let word = fold(word);
    words
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, &fold(known)), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The only other table that has this key.
fn home_of(table: &str, key: &str) -> Option<&'static str> {
    let mut homes = KEYS.iter().filter(|(name, keys)| *name != table && keys.contains(&key));
    let (home, _) = homes.next()?;
    homes.next().is_none().then_some(*home)
}
