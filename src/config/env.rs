//! Environment variables that override keys: `MQTT_SN_GATEWAY_UPSTREAM__URL`.

use std::ffi::OsString;

use super::error::{Origin, Problem};
use super::tree::{Entry, Node, Table, Value, parse_value};

/// What the name of every variable of ours begins with.
pub const PREFIX: &str = "MQTT_SN_GATEWAY_";

/// Variables with our prefix that are no keys: the one of `--config`.
const RESERVED: [&str; 1] = ["CONFIG"];

/// Lays the variables over the tree, each at its place. Keys are not checked here: what the reader
/// then does not know or cannot use, it reports with the name of the variable.
pub(super) fn apply(
    root: &mut Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<Problem>,
) {
    let mut overrides = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        if RESERVED.contains(&path) || is_service_link(path) {
            continue;
        }
        let Some(text) = text.to_str() else {
            problems.push(problem(name, "its value is not UTF-8", String::new()));
            continue;
        };
        let segments: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        overrides.push((segments, name.to_owned(), text.to_owned()));
    }
    // Shorter paths first, so that a whole table does not wipe out its single keys; indexes by
    // number, so that lists grow in order.
    overrides.sort_by_key(|(segments, ..)| {
        (
            segments.len(),
            segments.iter().map(|s| (s.parse::<u32>().ok(), s.clone())).collect::<Vec<_>>(),
        )
    });
    for (segments, name, text) in overrides {
        let value = Override { name: &name, text: &text };
        if let Err(problem) = value.set(root, &segments, "") {
            problems.push(problem);
        }
    }
}

/// Container platforms hand out the addresses of their services in variables that are named after
/// the service, and a service called `mqtt-sn-gateway` is likely. They are not meant for us:
/// `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT`, `…_PORT_1883_UDP[_PROTO|_PORT|_ADDR]`.
fn is_service_link(path: &str) -> bool {
    let port = |rest: &str| rest.is_empty() || rest.starts_with('_') && !rest.starts_with("__");
    path == "SERVICE_HOST"
        || path.strip_prefix("SERVICE_PORT").is_some_and(port)
        || path.strip_prefix("PORT").is_some_and(port)
}

/// One variable on its way to its place.
struct Override<'a> {
    name: &'a str,
    text: &'a str,
}

impl Override<'_> {
    fn set(&self, table: &mut Table, path: &[String], above: &str) -> Result<(), Problem> {
        let (Some(key), rest) = (path.first(), path.get(1..).unwrap_or(&[])) else {
            return Ok(());
        };
        let here = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let Some(next) = rest.first() else {
            table.take(key);
            table.0.push(self.entry(key, self.value()));
            return Ok(());
        };
        if table.get_mut(key).is_none() {
            // Under [topics] numbers are keys, elsewhere they are places in a list.
            let list = key != "topics" && next.parse::<usize>().is_ok();
            let empty =
                if list { Value::Array(Vec::new()) } else { Value::Table(Table::default()) };
            table.0.push(self.entry(key, empty));
        }
        match table.get_mut(key).map(|node| &mut node.value) {
            Some(Value::Table(inner)) => self.set(inner, rest, &here),
            Some(Value::Array(list)) => self.set_in_list(list, rest, &here),
            _ => Err(problem(
                self.name,
                &format!("`{here}` has no keys below it"),
                format!(
                    "its own value is set with {PREFIX}{}",
                    here.to_uppercase().replace('.', "__")
                ),
            )),
        }
    }

    fn set_in_list(
        &self,
        list: &mut Vec<Node>,
        path: &[String],
        here: &str,
    ) -> Result<(), Problem> {
        let length = list.len();
        let (Some(index), rest) = (path.first(), path.get(1..).unwrap_or(&[])) else {
            return Ok(());
        };
        let index =
            index.parse::<usize>().ok().filter(|index| *index <= length).ok_or_else(|| {
                let message =
                    format!("`{here}` is a list: a number from 0 to {length} comes after it");
                problem(self.name, &message, format!("the list has {length} entries so far"))
            })?;
        if index == length {
            let value = if rest.is_empty() { self.value() } else { Value::Table(Table::default()) };
            list.push(self.node(value));
        } else if rest.is_empty() {
            list[index] = self.node(self.value());
        }
        match (rest.is_empty(), list.get_mut(index).map(|node| &mut node.value)) {
            (true, _) => Ok(()),
            (false, Some(Value::Table(table))) => self.set(table, rest, &format!("{here}.{index}")),
            _ => {
                Err(problem(self.name, &format!("`{here}.{index}` is not a table"), String::new()))
            }
        }
    }

    /// TOML if it is, else the text itself.
    fn value(&self) -> Value {
        parse_value(self.text, self.name).unwrap_or_else(|| Value::String(self.text.to_owned()))
    }

    fn node(&self, value: Value) -> Node {
        let raw = Some(self.text.to_owned());
        Node { origin: Origin::Env(self.name.to_owned()), value, raw }
    }

    fn entry(&self, key: &str, value: Value) -> Entry {
        let node = self.node(value);
        Entry { key: key.to_owned(), key_origin: node.origin.clone(), node }
    }
}

fn problem(name: &str, message: &str, help: String) -> Problem {
    Problem { origin: Origin::Env(name.to_owned()), message: message.to_owned(), help }
}
