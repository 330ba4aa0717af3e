//! What is wrong with a configuration, and where: every problem at once, each with its line.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most problems shown; the rest is counted.
const MOST_SHOWN: usize = 20;

/// Where a key or value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Octets of the file.
    File(Range<usize>),
    /// An environment variable.
    Env(String),
    /// Nowhere: something is missing from the whole.
    Missing,
}

/// The file that is read, to tell where something stands in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// File and line of an origin, or the variable.
    pub(super) fn place(&self, origin: &Origin) -> String {
        let path = self.path.display();
        match origin {
            Origin::File(span) => format!("{path}:{}", Place::find(self.text, span).line),
            Origin::Env(name) => format!("environment variable {name}"),
            Origin::Missing => path.to_string(),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it; may have several lines.
    pub help: String,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file could not be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It was read, and something in it or in the environment is wrong.
    Invalid(Invalid),
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => {
                let path = path.display();
                writeln!(f, "{path}: cannot read the configuration: {reason}")?;
                let help = match reason.kind() {
                    io::ErrorKind::NotFound => {
                        format!("`mqtt-sn-gateway config > {path}` writes one to begin from")
                    }
                    io::ErrorKind::PermissionDenied => {
                        "the user that the gateway runs as must be able to read it".to_owned()
                    }
                    _ => "--config names a file in TOML, see `mqtt-sn-gateway config`".to_owned(),
                };
                writeln!(f, "  = {help}")
            }
            Self::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

/// A configuration with its problems, in the order of the file.
#[derive(Debug)]
pub struct Invalid {
    path: PathBuf,
    source: String,
    problems: Vec<Problem>,
}

impl Invalid {
    /// Puts the problems into the order of the file; those of the environment come after it.
    #[must_use]
    pub(super) fn new(path: &Path, source: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| match &problem.origin {
            Origin::File(span) => (0, span.start),
            Origin::Missing => (1, 0),
            Origin::Env(_) => (2, 0),
        });
        Self { path: path.to_owned(), source: source.to_owned(), problems }
    }

    /// What is wrong.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column (from 1, in characters) where a problem stands, if it is in the file.
    #[must_use]
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let Origin::File(span) = &problem.origin else { return None };
        let place = Place::find(&self.source, span);
        Some((place.line, place.column))
    }

    fn show(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &problem.origin {
            Origin::File(span) => {
                let place = Place::find(&self.source, span);
                writeln!(f, "{path}:{}:{}: {}", place.line, place.column, problem.message)?;
                place.show(f)?;
            }
            Origin::Env(name) => {
                writeln!(f, "environment variable {name}: {}", problem.message)?;
            }
            Origin::Missing => writeln!(f, "{path}: {}", problem.message)?,
        }
        for (number, line) in problem.help.lines().enumerate() {
            let mark = if number == 0 { "=" } else { " " };
            writeln!(f, "{}", format!("  {mark} {line}").trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().take(MOST_SHOWN).enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            self.show(problem, f)?;
        }
        let hidden = self.problems.len().saturating_sub(MOST_SHOWN);
        if hidden > 0 {
            writeln!(f, "\n… and {hidden} more")?;
        }
        Ok(())
    }
}

/// A span as a person sees it.
struct Place<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    width: usize,
}

impl<'a> Place<'a> {
    fn find(source: &'a str, span: &Range<usize>) -> Self {
        let mut start = span.start.min(source.len());
        // An error at the end of the input belongs to the last line that has something on it.
        if start == source.len() {
            start = source.trim_end().len();
        }
        while !source.is_char_boundary(start) {
            start -= 1;
        }
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = source[line_start..].lines().next().unwrap_or("");
        let column = source[line_start..start].chars().count() + 1;
        let end = span.end.clamp(start, line_start + text.len().max(start - line_start));
        let width = source.get(start..end).map_or(1, |marked| marked.chars().count()).max(1);
        Self { line: before.matches('\n').count() + 1, column, text, width }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let (text, column, width) = match mask(self.text) {
            // The caret would point into what is hidden.
            Some(masked) => (masked, 1, 1),
            None => (self.text.replace('\t', " "), self.column, self.width),
        };
        writeln!(f, "{gutter} |\n{number} | {text}")?;
        writeln!(f, "{gutter} | {}{}", " ".repeat(column - 1), "^".repeat(width))
    }
}

/// The line without its secret, if there is one in it: what follows a key `password` or `key`, or the
/// part of an address in front of `@`.
fn mask(line: &str) -> Option<String> {
    let mut names = line.match_indices("password").chain(line.match_indices("key"));
    let secret = names.find_map(|(at, name)| {
        let rest = line[at + name.len()..].trim_start_matches(['"', '\'', ' ', '\t']);
        let in_a_word = line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        (rest.starts_with('=') && !in_a_word).then_some(line.len() - rest.len() + 1)
    });
    if let Some(end) = secret {
        return Some(format!("{} (hidden)", &line[..end]));
    }
    let scheme = line.find("://")? + 3;
    let at = scheme + line[scheme..].rfind('@')?;
    Some(format!("{}(hidden){}", &line[..scheme], &line[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, span: Range<usize>) -> String {
        let problem =
            Problem { origin: Origin::File(span), message: "wrong".into(), help: "mend it".into() };
        Invalid::new(Path::new("gateway.toml"), source, vec![problem]).to_string()
    }

    #[test]
    fn a_problem_is_shown_where_it_stands() {
        assert_eq!(
            shown("a = 1\nname = 12\n", 13..15),
            "gateway.toml:2:8: wrong\n  |\n2 | name = 12\n  |        ^^\n  = mend it\n"
        );
    }

    #[test]
    fn columns_count_characters() {
        let source = "name = \"ä\" x";
        let at = source.find('x').unwrap();
        assert!(shown(source, at..at + 1).starts_with("gateway.toml:1:12:"));
    }

    #[test]
    fn spans_that_reach_too_far_are_cut() {
        assert!(shown("a = \"", 4..40).contains("1:5:"));
        assert!(shown("a = [\n", 6..6).contains("1:6:"));
        assert!(shown("", 0..0).contains("1:1:"));
        assert!(shown("a = \"\"\"x\ny\"\"\"", 4..13).contains("|     ^^^^\n"));
    }

    #[test]
    fn passwords_are_not_shown() {
        for line in [
            "password = \"geheim",
            "upstream.password=\"geheim\"",
            "upstream = { password = \"geheim\" }",
            "\"password\" = \"geheim\"",
            "key = \"geheim\"",
            "serial = [{ key = \"geheim\" }]",
            "url = \"mqtt://me:geheim@host\"",
        ] {
            let text = shown(line, line.len() - 3..line.len());
            assert!(!text.contains("geheim"), "{text}");
            assert!(text.contains("(hidden)"), "{text}");
        }
        for line in ["password_file = 7", "key_file = 7", "monkey = 7"] {
            assert!(shown(line, line.len() - 1..line.len()).contains(line));
        }
    }
}
