//! `devices`: what a running gateway knows of its devices, by way of its admin interface.

mod http;
mod table;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Failure, print};
use http::{Http, Method};

pub(super) const HELP: &str = "\
Asks the admin interface of a running gateway, see [admin] in gateway.toml. On the machine of the gateway \
nothing else is needed; from elsewhere --url says where it is, and --token-file names a file with the \
token that the log of the gateway said at its first start.

`timeline` shows the last packets of a device in words, < from it and > to it, and between them what became \
of them: why something was refused, why it counts as lost. It is there for devices that are gone or were \
refused, too, until the gateway restarts.

`kick` ends a device's session: it hears DISCONNECT, its will is published, and its subscriptions, topic \
ids and waiting messages are gone. A device that is alive connects again and begins anew. To keep it \
out, forbid it in a [[client]] as well.

Exit codes: 0 fine, 1 if there is no such device or the gateway cannot be asked, 2 wrong usage.

Examples:
  mqtt-sn-gateway devices
  mqtt-sn-gateway devices list --state asleep --search meter
  mqtt-sn-gateway devices show meter-7
  mqtt-sn-gateway devices timeline meter-7
  mqtt-sn-gateway devices kick meter-7
  mqtt-sn-gateway devices --url http://gateway.example:8080 --token-file token --json";

/// Devices in one answer of the gateway.
const PAGE: usize = 500;

/// Options of `devices`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where the admin interface is
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with the token
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON, as the gateway sends it
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List devices; the same as no word at all
    List(Filter),
    /// Show everything that is known of a device
    Show {
        /// Client id
        id: String,
    },
    /// Show a device's last packets and what became of them
    Timeline {
        /// Client id
        id: String,
    },
    /// End a device's session
    Kick {
        /// Client id
        id: String,
    },
}

/// Which devices.
#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Those in this state: active, asleep, awake, connecting, gone
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Those on links whose names fit this pattern, such as 'udp *'
    #[arg(long, value_name = "PATTERN")]
    link: Option<String>,
    /// Those whose client id has this in it
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
}

/// Asks, and prints the answer.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let token = arguments.token_file.as_deref().map(read_token).transpose()?;
    let http = Http::new(&arguments.url, token)?;
    let nothing = Filter::default();
    match &arguments.action {
        None => list(&http, &nothing, arguments.json),
        Some(Action::List(filter)) => list(&http, filter, arguments.json),
        Some(Action::Show { id }) => {
            let client = http.ask(Method::GET, &one(id))?;
            let text = if arguments.json { pretty(&client) } else { table::details(&client) };
            print(&text)
        }
        Some(Action::Timeline { id }) => {
            let timeline = http.ask(Method::GET, &format!("{}/timeline", one(id)))?;
            let text = if arguments.json { pretty(&timeline) } else { table::timeline(&timeline) };
            print(&text)
        }
        Some(Action::Kick { id }) => {
            let answer = http.ask(Method::DELETE, &one(id))?;
            let text = if arguments.json {
                pretty(&answer)
            } else {
                format!("the session of {} is gone\n", table::shown(id))
            };
            print(&text)
        }
    }
}

fn list(http: &Http, filter: &Filter, as_json: bool) -> Result<(), Failure> {
    let mut path = format!("/api/v1/clients?limit={PAGE}");
    for (name, value) in [("state", &filter.state), ("link", &filter.link), ("q", &filter.search)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(value)));
        }
    }
    let mut clients: Vec<Value> = Vec::new();
    let mut next = Some(0);
    while let Some(cursor) = next {
        let mut page = http.ask(Method::GET, &format!("{path}&cursor={cursor}"))?;
        if let Some(found) = page.get_mut("clients").and_then(Value::as_array_mut) {
            clients.append(found);
        }
        // Whoever answers here need not be a gateway.
        next = page.get("next").and_then(Value::as_u64).filter(|further| *further > cursor);
    }
    clients.sort_by(|a, b| table::text(a, "id").cmp(table::text(b, "id")));
    if as_json {
        return print(&pretty(&json!({ "clients": clients })));
    }
    print(&table::list(&clients))
}

fn pretty(value: &Value) -> String {
    // Values that were read as JSON can be written as such.
    format!("{value:#}\n")
}

fn one(id: &str) -> String {
    format!("/api/v1/clients/{}", encode(id))
}

/// Everything but letters, digits, `-` and `_` as `%` and its octets.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => (octet as char).to_string(),
            _ => format!("%{octet:02X}"),
        })
        .collect()
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read the token in {}: {error}", path.display()))
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path} has no token in it: one word of printable ASCII"
        )));
    }
    if token.starts_with("sha256:") {
        return Err(Failure::usage(
            "this is admin-token out of the state directory, which has only the hash of the token; the \
             token itself was said by the log when that file was made",
        ));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_whatever_is_in_them() {
        assert_eq!(one("meter-7_a"), "/api/v1/clients/meter-7_a");
        assert_eq!(one("a/b ü?#.."), "/api/v1/clients/a%2Fb%20%C3%BC%3F%23%2E%2E");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "abc123\n").unwrap();
        assert_eq!(read_token(&path).unwrap(), "abc123");
        for text in ["", "\n", "two words", "sha256:00", "ü"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_token(&path).unwrap_err().code, 2, "{text:?}");
        }
        assert_eq!(read_token(&directory.path().join("none")).unwrap_err().code, 2);
    }
}
