//! HOCON, as far as configurations of EMQX have it: objects, lists, strings, words; keys with dots; commas or
//! none; comments with `#` and `//`. Every value knows its line. References (`${…}`) and files that are
//! included are noted, and not followed; values put together of several are an error.

use std::collections::BTreeMap;

use crate::cli::import::input::Wrong;
use crate::cli::import::text::shown;

/// Deepest nesting, in braces, brackets and dots together.
const DEEPEST: usize = 32;

/// A value with its line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Object(Object),
    List(Vec<Node>),
    /// A string, a number or a word.
    Text(String),
    /// Something with `${…}` outside quotes.
    Reference(String),
}

/// Keys and values. A key that comes again replaces what was there; objects become one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Object(pub(super) BTreeMap<String, Node>);

impl Object {
    /// Takes a value out.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        self.0.remove(key)
    }

    /// The object below a key.
    pub(super) fn object(&self, key: &str) -> Option<&Self> {
        match &self.0.get(key)?.value {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The text below a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match &self.0.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn insert(&mut self, path: &[String], node: Node) {
        match path {
            [] => {}
            [key] => match (self.0.get_mut(key).map(|known| &mut known.value), node.value) {
                (Some(Value::Object(known)), Value::Object(new)) => {
                    for (key, node) in new.0 {
                        known.insert(&[key], node);
                    }
                }
                (_, value) => {
                    self.0.insert(key.clone(), Node { line: node.line, value });
                }
            },
            [key, rest @ ..] => {
                let empty = || Node { line: node.line, value: Value::Object(Self::default()) };
                let below = self.0.entry(key.clone()).or_insert_with(empty);
                if !matches!(below.value, Value::Object(_)) {
                    *below = empty();
                }
                if let Value::Object(below) = &mut below.value {
                    below.insert(rest, node);
                }
            }
        }
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    pub(super) root: Object,
    /// Lines with `include`, and what is included.
    pub(super) includes: Vec<(usize, String)>,
}

/// Reads a file.
pub(super) fn parse(octets: &[u8]) -> Result<Document, Wrong> {
    let text = std::str::from_utf8(octets).map_err(|error| {
        let before = octets.get(..error.valid_up_to()).unwrap_or(&[]);
        let line = 1 + before.iter().filter(|octet| **octet == b'\n').count();
        Wrong::new(line, "this is not UTF-8", "is it a text file?")
    })?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut parser = Parser { rest: text, line: 1, includes: Vec::new() };
    parser.skip(true);
    // Braces around the whole may be left away.
    let braces = parser.eat('{').then_some(parser.line);
    let root = parser.entries(0, braces)?;
    parser.skip(true);
    if let Some(c) = parser.rest.chars().next() {
        return Err(parser.wrong(format!("there is a {c:?} too much"), "are braces in pairs?"));
    }
    Ok(Document { root, includes: parser.includes })
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    includes: Vec<(usize, String)>,
}

impl<'a> Parser<'a> {
    /// Keys and values up to the end, or up to the brace that closes the one on line `opened`.
    fn entries(&mut self, depth: usize, opened: Option<usize>) -> Result<Object, Wrong> {
        let mut object = Object::default();
        loop {
            self.skip(true);
            match (self.rest.chars().next(), opened) {
                (None, None) => return Ok(object),
                (None, Some(line)) => return Err(unclosed(line, '{')),
                (Some('}'), Some(_)) => {
                    self.eat('}');
                    return Ok(object);
                }
                _ => {}
            }
            if self.include()? {
                continue;
            }
            let line = self.line;
            let path = self.key()?;
            self.skip(false);
            let name = shown(&path.join("."));
            if !self.rest.starts_with('{') && !self.eat('=') && !self.eat(':') {
                return Err(self.wrong(
                    format!("`{name}` is no key with a value"),
                    "a key is followed by =, : or {; text with spaces stands in quotes; += and values put \
                     together of several are not understood",
                ));
            }
            self.skip(true);
            if self.rest.is_empty() || self.rest.starts_with(['}', ']']) {
                let help = "write it behind the = of its key";
                return Err(Wrong::new(line, format!("`{name}` has no value"), help));
            }
            let value = self.value(depth + path.len())?;
            object.insert(&path, Node { line, value });
        }
    }

    /// `include "file"`, `include required(file("…"))` and the like: noted, and passed over.
    fn include(&mut self) -> Result<bool, Wrong> {
        let Some(after) = self.rest.strip_prefix("include") else { return Ok(false) };
        let what = after.trim_start_matches([' ', '\t']);
        let words = ["\"", "required(", "file(", "url(", "classpath("];
        if what.len() == after.len() || !words.iter().any(|word| what.starts_with(word)) {
            return Ok(false);
        }
        let end = what.find(['\n', '#']).unwrap_or(what.len());
        self.includes.push((self.line, what[..end].trim().to_owned()));
        self.rest = &what[end..];
        Ok(true)
    }

    /// A key: words or strings with dots between them.
    fn key(&mut self) -> Result<Vec<String>, Wrong> {
        let mut path = Vec::new();
        loop {
            let part = if self.rest.starts_with('"') {
                self.string()?
            } else {
                let stops = |c: char| c.is_whitespace() || ".=:{}[],+#\"$".contains(c);
                self.until(stops).to_owned()
            };
            if part.is_empty() {
                let next =
                    self.rest.chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
                let help = "a key was expected; text with spaces or such signs stands in quotes";
                return Err(self.wrong(format!("{next} is not understood here"), help));
            }
            path.push(part);
            self.check_depth(path.len())?;
            if !self.eat('.') {
                return Ok(path);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Wrong> {
        self.check_depth(depth)?;
        let opened = self.line;
        match self.rest.chars().next() {
            Some('{') => {
                self.eat('{');
                Ok(Value::Object(self.entries(depth + 1, Some(opened))?))
            }
            Some('[') => {
                self.eat('[');
                Ok(Value::List(self.list(depth + 1, opened)?))
            }
            Some('"') => Ok(Value::Text(self.string()?)),
            _ => self.word(),
        }
    }

    fn list(&mut self, depth: usize, opened: usize) -> Result<Vec<Node>, Wrong> {
        let mut list = Vec::new();
        loop {
            self.skip(true);
            if self.eat(']') {
                return Ok(list);
            }
            if self.rest.is_empty() {
                return Err(unclosed(opened, '['));
            }
            let line = self.line;
            let value = self.value(depth)?;
            list.push(Node { line, value });
        }
    }

    /// A number, a duration, an address, a word: up to the next space. What is in `${…}` belongs to it.
    fn word(&mut self) -> Result<Value, Wrong> {
        let mut end = 0;
        let mut reference = false;
        while let Some(c) = self.rest[end..].chars().next() {
            if self.rest[end..].starts_with("${") {
                let Some(length) = self.rest[end..].find(['}', '\n']) else { break };
                reference = true;
                end += length + 1;
                continue;
            }
            if c.is_whitespace() || ",{}[]\"#".contains(c) {
                break;
            }
            end += c.len_utf8();
        }
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.wrong("a value is missing", "write it behind the = of its key"));
        }
        self.line += word.matches('\n').count();
        self.rest = rest;
        let word = word.trim_end().to_owned();
        Ok(if reference { Value::Reference(word) } else { Value::Text(word) })
    }

    /// A string in quotes, or in three quotes and then as it is.
    fn string(&mut self) -> Result<String, Wrong> {
        let opened = self.line;
        if let Some(inside) = self.rest.strip_prefix("\"\"\"") {
            let Some(end) = inside.find("\"\"\"") else { return Err(unclosed(opened, '"')) };
            let (text, rest) = inside.split_at(end);
            self.line += text.matches('\n').count();
            self.rest = rest.trim_start_matches('"');
            return Ok(text.to_owned());
        }
        let mut text = String::new();
        let mut chars = self.rest.chars();
        chars.next();
        loop {
            match chars.next() {
                Some('"') => {
                    self.rest = chars.as_str();
                    return Ok(text);
                }
                Some('\\') => match chars.next() {
                    Some(c @ ('"' | '\\' | '/')) => text.push(c),
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('b') => text.push('\u{8}'),
                    Some('f') => text.push('\u{C}'),
                    Some('u') => {
                        let digits = chars.as_str().get(..4);
                        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                        let Some(c) = number.and_then(char::from_u32) else {
                            return Err(self.wrong(
                                "\\u is followed by no character",
                                "four digits, as in \\u00e4",
                            ));
                        };
                        text.push(c);
                        chars = chars.as_str()[4..].chars();
                    }
                    _ => {
                        return Err(
                            self.wrong("this \\ is not understood", "a \\ itself is written \\\\")
                        );
                    }
                },
                None | Some('\n') => return Err(unclosed(opened, '"')),
                Some(c) => text.push(c),
            }
        }
    }

    /// Passes over spaces and comments; with `lines`, over ends of lines and commas as well.
    fn skip(&mut self, lines: bool) {
        loop {
            let rest = self.rest;
            match rest.chars().next() {
                Some('\n') if lines => {
                    self.line += 1;
                    self.rest = &rest[1..];
                }
                Some(',') if lines => self.rest = &rest[1..],
                Some('#') if lines => self.rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
                Some('/') if lines && rest.starts_with("//") => {
                    self.rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                }
                Some(c) if c.is_whitespace() && c != '\n' => self.rest = &rest[c.len_utf8()..],
                _ => return,
            }
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn until(&mut self, stops: impl Fn(char) -> bool) -> &'a str {
        let (text, rest) = self.rest.split_at(self.rest.find(stops).unwrap_or(self.rest.len()));
        self.rest = rest;
        text
    }

    fn check_depth(&self, depth: usize) -> Result<(), Wrong> {
        if depth <= DEEPEST {
            return Ok(());
        }
        Err(self.wrong("this is nested too deep", format!("up to {DEEPEST} levels are read")))
    }

    fn wrong(&self, message: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong::new(self.line, message, help)
    }
}

fn unclosed(line: usize, sign: char) -> Wrong {
    Wrong::new(
        line,
        format!("this {sign} is not closed"),
        "what belongs to it ends with its counterpart",
    )
}

#[cfg(test)]
mod tests;
