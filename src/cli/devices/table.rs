//! What the admin interface says, for a person to read.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::is_odd;

/// A string out of an object; empty if it is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Text that came from a device, fit for a terminal: what is not printed is escaped.
pub(super) fn shown(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        if is_odd(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Any value of an object, as a cell.
fn cell(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => shown(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other) => shown(&other.to_string()),
    }
}

const COLUMNS: [(&str, &str); 8] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("LINK", "link"),
    ("ADDRESS", "address"),
    ("RSSI", "rssi"),
    ("WAITING", "waiting"),
    ("LAST HEARD", "last_heard"),
    ("SLEEPS UNTIL", "sleeps_until"),
];

/// A line for each client, and a line with their number.
pub(super) fn list(clients: &[Value]) -> String {
    let rows = clients.iter().map(|client| COLUMNS.map(|(_, key)| cell(client, key)));
    let head = COLUMNS.map(|(name, _)| name.to_owned());
    let mut out = columns(std::iter::once(head).chain(rows).collect());
    let count = clients.len();
    let _ = writeln!(out, "{count} client{}", if count == 1 { "" } else { "s" });
    out
}

const DETAILS: [(&str, &str); 20] = [
    ("client id", "id"),
    ("state", "state"),
    ("link", "link"),
    ("address", "address"),
    ("node behind a forwarder", "node"),
    ("signal strength, dBm", "rssi"),
    ("link quality", "lqi"),
    ("connected at", "connected_at"),
    ("last heard", "last_heard"),
    ("sleeps until", "sleeps_until"),
    ("keep-alive, s", "keep_alive"),
    ("clean session", "clean_session"),
    ("profile", "profile"),
    ("rule", "rule"),
    ("own broker connection", "transparent"),
    ("will on", "will_topic"),
    ("messages waiting", "waiting"),
    ("octets waiting", "waiting_bytes"),
    ("silent because", "silent_because"),
    ("they wait because", "waiting_because"),
];

/// Everything about one client.
pub(super) fn details(client: &Value) -> String {
    let rows = DETAILS.map(|(name, key)| [name.to_owned(), cell(client, key)]);
    let mut out = columns(rows.to_vec());
    let mut section = |title: &str, count: &str, list: &str, heads: [(&str, &str); 3]| {
        let rows: Vec<_> = (client.get(list).and_then(Value::as_array).into_iter().flatten())
            .map(|row| heads.map(|(_, key)| cell(row, key)))
            .collect();
        let _ = writeln!(out, "\n{title}: {}", cell(client, count));
        if !rows.is_empty() {
            let head = heads.map(|(name, _)| name.to_owned());
            out.push_str(&columns(std::iter::once(head).chain(rows).collect()));
        }
    };
    let filters = [("QOS", "qos"), ("FILTER", "filter"), ("PREDEFINED ID", "predefined_id")];
    section("subscriptions", "subscription_count", "subscriptions", filters);
    let topics = [("ID", "id"), ("TOPIC", "name"), ("KNOWN TO IT", "confirmed")];
    section("topic ids", "topic_count", "topics", topics);
    out
}

/// A line for each entry of a timeline, and what is to be said of all of them.
pub(super) fn timeline(timeline: &Value) -> String {
    let mut out = String::new();
    let list = |key| timeline.get(key).and_then(Value::as_array).into_iter().flatten();
    if let Some(forgotten) = timeline.get("forgotten").and_then(Value::as_u64).filter(|n| *n > 0) {
        let _ = writeln!(out, "({forgotten} older entries are not kept)");
    }
    for entry in list("entries") {
        let mark = match text(entry, "direction") {
            "in" => "<",
            "out" => ">",
            _ => "*",
        };
        let _ = writeln!(out, "{}  {mark} {}", cell(entry, "time"), cell(entry, "text"));
    }
    if out.is_empty() {
        out.push_str("nothing yet since the gateway was started\n");
    }
    for hint in list("hints") {
        let _ = writeln!(out, "\n{}\n    {}", cell(hint, "title"), cell(hint, "advice"));
    }
    out
}

/// Cells below each other.
fn columns<const N: usize>(rows: Vec<[String; N]>) -> String {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let clients = [
            json!({ "id": "meter-7", "state": "active", "link": "udp 0.0.0.0:1883", "waiting": 0 }),
            json!({ "id": "ü", "state": "asleep", "rssi": -71, "waiting": 12 }),
        ];
        let expected = "\
ID       STATE   LINK              ADDRESS  RSSI  WAITING  LAST HEARD  SLEEPS UNTIL
meter-7  active  udp 0.0.0.0:1883  -        -     0        -           -
ü        asleep  -                 -        -71   12       -           -
2 clients
";
        assert_eq!(list(&clients), expected);
    }

    #[test]
    fn an_id_does_nothing_to_the_terminal() {
        let client = json!({ "id": "a\u{1b}[2Jb\n\u{202E}c", "topics": [{ "name": "\u{7}" }] });
        let (list, details) = (list(std::slice::from_ref(&client)), details(&client));
        for text in [list, details] {
            assert!(text.contains("a\\u{1b}[2Jb\\n\\u{202e}c"), "{text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn a_timeline_is_a_line_for_each_entry() {
        let value = json!({
            "forgotten": 3,
            "entries": [
                { "time": "T1", "direction": "in", "text": "PINGREQ" },
                { "time": "T2", "text": "client \"a\u{1b}\" is lost" },
            ],
            "hints": [{ "title": "It is odd", "advice": "Look at it." }],
        });
        let expected = "(3 older entries are not kept)\nT1  < PINGREQ\nT2  * client \"a\\u{1b}\" is lost\n\n\
                        It is odd\n    Look at it.\n";
        assert_eq!(timeline(&value), expected);
        assert_eq!(timeline(&json!(null)), "nothing yet since the gateway was started\n");
    }

    #[test]
    fn what_is_no_answer_of_a_gateway_does_no_harm() {
        for value in
            [json!(null), json!([1]), json!({ "id": {}, "topics": 1, "subscriptions": [1] })]
        {
            assert!(!details(&value).is_empty());
            assert!(list(&[value]).ends_with("1 client\n"));
        }
    }
}
