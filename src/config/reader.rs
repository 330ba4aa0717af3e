//! Reads checked values out of a table and notes everything that is wrong on the way.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::{Origin, Problem};
use super::keys::{allowed, describe, explain_unknown, nearest};
use super::tree::{Entry, Node, Table, Value};
use super::units::{format_duration, format_size, parse_duration, parse_size};

/// Message and help of a problem whose place the reader knows.
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) help: String,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    pub(super) fn at(self, origin: &Origin) -> Problem {
        Problem { origin: origin.clone(), message: self.message, help: self.help }
    }
}

/// One table being read. Keys that nobody asked for are reported by [`Reader::finish`].
pub(super) struct Reader<'p> {
    name: &'static str,
    table: Table,
    problems: &'p mut Vec<Problem>,
}

impl<'p> Reader<'p> {
    pub(super) fn new(name: &'static str, table: Table, problems: &'p mut Vec<Problem>) -> Self {
        Self { name, table, problems }
    }

    /// Takes a key whose value the caller reads on its own.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry> {
        debug_assert!(allowed(self.name).contains(&key), "{key} is missing in KEYS");
        self.table.take(key)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.table.0.iter().any(|entry| entry.key == key)
    }

    /// The table below a key; an empty one if it is absent.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        let Some(entry) = self.take(key) else { return Table::default() };
        match entry.node.value {
            Value::Table(table) => table,
            other => {
                let above = if self.name.is_empty() { "" } else { "." };
                let path = format!("{}{above}{key}", self.name);
                let help = format!("write [{path}] on a line of its own and its keys below");
                self.complain(
                    &entry.node.origin,
                    Complaint::new(wrong(key, "a table", &other), help),
                );
                Table::default()
            }
        }
    }

    /// The tables of `[[key]]`, each with the place where it begins; `None` if something else
    /// stands there, which has then been reported.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<(Origin, Table)>> {
        let Some(entry) = self.take(key) else { return Some(Vec::new()) };
        let help = format!("write [[{key}]], with two brackets, and its keys below");
        let Value::Array(nodes) = entry.node.value else {
            let message = wrong(key, "a list of tables", &entry.node.value);
            self.complain(&entry.key_origin, Complaint::new(message, help));
            return None;
        };
        let mut tables = Vec::new();
        for node in nodes {
            let Value::Table(table) = node.value else {
                let message = wrong(key, "a list of tables", &node.value);
                self.complain(&node.origin, Complaint::new(message, help));
                return None;
            };
            tables.push((node.origin, table));
        }
        Some(tables)
    }

    /// A string that `parse` turns into the value.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        target: &mut T,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<Origin> {
        let node = self.take(key)?.node;
        let outcome = text_of(key, &node).and_then(parse);
        self.store(node.origin, target, outcome)
    }

    /// A string, or a list of strings. Gives the place if all of it was fine.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        target: &mut Vec<T>,
        mut parse: impl FnMut(&str) -> Result<T, Complaint>,
    ) -> Option<Origin> {
        let entry = self.take(key)?;
        let nodes = match entry.node.value {
            Value::Array(nodes) => nodes,
            _ => vec![entry.node],
        };
        target.clear();
        let mut fine = true;
        for node in nodes {
            match text_of(key, &node).and_then(&mut parse) {
                Ok(value) => target.push(value),
                Err(complaint) => {
                    fine = false;
                    self.complain(&node.origin, complaint);
                }
            }
        }
        fine.then_some(entry.key_origin)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        target: &mut T,
        choices: &[(&'static str, T)],
    ) -> Option<Origin> {
        self.text(key, target, |text| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(
                || {
                    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                    let guess = nearest(text, &words)
                        .map_or(String::new(), |word| format!("did you mean \"{word}\"? "));
                    let all = words.join("\", \"");
                    bad_value(key, text, format!("{guess}one of \"{all}\""))
                },
            )
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, target: &mut bool) -> Option<Origin> {
        let entry = self.take(key)?;
        let outcome = match entry.node.value {
            Value::Boolean(value) => Ok(value),
            other => Err(Complaint::new(
                wrong(key, "true or false", &other),
                format!("write {key} = true or {key} = false, without quotes"),
            )),
        };
        self.store(entry.node.origin, target, outcome)
    }

    /// A whole number.
    pub(super) fn integer<T: TryFrom<i128>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i128>,
        target: &mut T,
    ) {
        let Some(entry) = self.take(key) else { return };
        let help = format!("a whole number from {} to {}", range.start(), range.end());
        let outcome = match entry.node.value {
            Value::Integer(number) => Some(number)
                .filter(|number| range.contains(number))
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| Complaint::new(format!("`{key}` is out of range"), help)),
            other => Err(Complaint::new(wrong(key, "a whole number", &other), help)),
        };
        self.store(entry.node.origin, target, outcome);
    }

    /// A whole number that may be left out.
    pub(super) fn optional_integer<T: TryFrom<i128>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i128>,
        target: &mut Option<T>,
    ) {
        if self.has(key)
            && let Ok(mut value) = T::try_from(*range.start())
        {
            self.integer(key, range, &mut value);
            *target = Some(value);
        }
    }

    /// A factor, kept in thousandths.
    pub(super) fn permille(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        target: &mut u32,
    ) {
        let Some(entry) = self.take(key) else { return };
        let shown = |permille: &u32| f64::from(*permille) / 1000.0;
        let help = format!("a number from {:?} to {:?}", shown(range.start()), shown(range.end()));
        let number = match entry.node.value {
            #[allow(clippy::cast_precision_loss, reason = "out of range all the same")]
            Value::Integer(number) => Ok(number as f64),
            Value::Float(number) => Ok(number),
            ref other => Err(Complaint::new(wrong(key, "a number", other), help.as_str())),
        };
        let outcome = number.and_then(|number| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let permille = (number * 1000.0).round() as u32;
            if range.contains(&permille) {
                Ok(permille)
            } else {
                Err(Complaint::new(format!("`{key}` is out of range"), help))
            }
        });
        self.store(entry.node.origin, target, outcome);
    }

    /// A duration within bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        target: &mut Duration,
    ) -> Option<Origin> {
        self.duration_or_zero(key, range, false, target)
    }

    /// A duration within bounds, or zero, which means never.
    pub(super) fn duration_or_never(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        target: &mut Duration,
    ) -> Option<Origin> {
        self.duration_or_zero(key, range, true, target)
    }

    fn duration_or_zero(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        never: bool,
        target: &mut Duration,
    ) -> Option<Origin> {
        let node = self.take(key)?.node;
        let outcome = unit_text(key, "a duration", "10s", "s", &node)
            .and_then(|text| parse_duration(&text).map_err(|help| bad_value(key, &text, help)))
            .and_then(|duration| {
                if range.contains(&duration) || never && duration.is_zero() {
                    return Ok(duration);
                }
                let bounds = format!(
                    "from \"{}\" to \"{}\"{}",
                    format_duration(*range.start()),
                    format_duration(*range.end()),
                    if never { ", or \"0s\" for never" } else { "" }
                );
                Err(Complaint::new(format!("`{key}` is out of range"), bounds))
            });
        self.store(node.origin, target, outcome)
    }

    /// A size within bounds, octets.
    pub(super) fn size<T: TryFrom<u64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        target: &mut T,
    ) -> Option<Origin> {
        let node = self.take(key)?.node;
        let outcome = unit_text(key, "a size", "64KiB", "B", &node)
            .and_then(|text| parse_size(&text).map_err(|help| bad_value(key, &text, help)))
            .and_then(|octets| {
                let fits = T::try_from(octets).ok().filter(|_| range.contains(&octets));
                fits.ok_or_else(|| {
                    let (low, high) = (format_size(*range.start()), format_size(*range.end()));
                    let help = format!("from \"{low}\" to \"{high}\"");
                    Complaint::new(format!("`{key}` is out of range"), help)
                })
            });
        self.store(node.origin, target, outcome)
    }

    /// Notes a problem that is not that of one value.
    pub(super) fn complain(&mut self, origin: &Origin, complaint: Complaint) {
        self.problems.push(complaint.at(origin));
    }

    /// Everything that is left is unknown.
    pub(super) fn finish(self) {
        for entry in self.table.0 {
            let (message, help) = explain_unknown(self.name, &entry.key);
            self.problems.push(Problem { origin: entry.key_origin, message, help });
        }
    }

    fn store<T>(
        &mut self,
        origin: Origin,
        target: &mut T,
        outcome: Result<T, Complaint>,
    ) -> Option<Origin> {
        match outcome {
            Ok(value) => *target = value,
            Err(mut complaint) => {
                if complaint.help.is_empty() {
                    complaint.help = format!(
                        "see the sample: `mqtt-sn-gateway config`, {}",
                        describe(self.name)
                    );
                }
                self.complain(&origin, complaint);
            }
        }
        Some(origin)
    }
}

/// A complaint about what a string says.
pub(super) fn bad_value(key: &str, text: &str, help: impl Into<String>) -> Complaint {
    Complaint::new(format!("`{key}` cannot be \"{}\"", text.escape_debug()), help)
}

fn wrong(key: &str, wanted: &str, found: &Value) -> String {
    format!("`{key}` is {wanted}, but this is {}", found.kind())
}

/// The text of a value that has to be one.
fn text_of<'n>(key: &str, node: &'n Node) -> Result<&'n str, Complaint> {
    match (&node.value, &node.raw) {
        (Value::String(text), _) | (_, Some(text)) => Ok(text),
        (other, None) => Err(Complaint::new(
            wrong(key, "a string", other),
            format!("put it in quotes: {key} = \"…\""),
        )),
    }
}

/// The text of a value with a unit. Many leave out quotes and unit; the help completes what they
/// wrote.
fn unit_text(
    key: &str,
    kind: &str,
    example: &str,
    unit: &str,
    node: &Node,
) -> Result<String, Complaint> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Err(Complaint::new(
            format!("`{key}` is {kind} with a unit"),
            format!("write {key} = \"{number}{unit}\", in quotes and with the unit"),
        )),
        other => Err(Complaint::new(
            wrong(key, kind, other),
            format!("write it in quotes and with a unit, like {key} = \"{example}\""),
        )),
    }
}
