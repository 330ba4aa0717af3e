//! The configuration as a tree that remembers where every value came from.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{Origin, Problem};

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
    /// The text of an environment variable, for keys that want text whatever it looks like.
    pub(super) raw: Option<String>,
}

/// What TOML knows.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The kind of value, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table: keys with their places, in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

impl Table {
    /// Takes a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        let position = self.0.iter().position(|entry| entry.key == key)?;
        Some(self.0.swap_remove(position))
    }

    /// The value of a key.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }
}

/// Reads a TOML document. The problems are those of the syntax.
pub(super) fn parse_document(source: &str) -> Result<Table, Vec<Problem>> {
    let (table, errors) = DeTable::parse_recoverable(source);
    if errors.is_empty() {
        return Ok(convert_table(table.into_inner(), &Origin::File));
    }
    Err(errors.iter().map(syntax_problem).collect())
}

/// Reads a value on its own, as it stands in an environment variable. `None` if it is not TOML.
pub(super) fn parse_value(text: &str, variable: &str) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    Some(convert(value.into_inner(), &|_| Origin::Env(variable.to_owned())))
}

fn syntax_problem(error: &toml::de::Error) -> Problem {
    Problem {
        origin: error.span().map_or(Origin::Missing, Origin::File),
        message: format!("this is not TOML: {}", error.message()),
        help: "text stands in quotes, tables are opened with [name] and lists with [[name]]; \
               see https://toml.io"
            .to_owned(),
    }
}

type OriginOf<'a> = &'a dyn Fn(Range<usize>) -> Origin;

fn convert(value: DeValue<'_>, origin: OriginOf<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix());
            // More digits than that are out of every range all the same.
            Value::Integer(parsed.unwrap_or(i128::MAX))
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(array) => Value::Array(convert_array(array, origin)),
        DeValue::Table(table) => Value::Table(convert_table(table, origin)),
    }
}

fn convert_array(array: DeArray<'_>, origin: OriginOf<'_>) -> Vec<Node> {
    array.into_iter().map(|value| convert_node(value, origin)).collect()
}

fn convert_table(table: DeTable<'_>, origin: OriginOf<'_>) -> Table {
    let entries = table.into_iter().map(|(key, value)| Entry {
        key_origin: origin(key.span()),
        key: key.into_inner().into_owned(),
        node: convert_node(value, origin),
    });
    Table(entries.collect())
}

fn convert_node(value: Spanned<DeValue<'_>>, origin: OriginOf<'_>) -> Node {
    let origin_of_value = origin(value.span());
    Node { origin: origin_of_value, value: convert(value.into_inner(), origin), raw: None }
}
