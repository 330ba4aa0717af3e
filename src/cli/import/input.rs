//! The files that are translated, as octets and lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::cli::Failure;

/// Longest file that is read, octets. Real ones have some thousand.
pub(super) const LONGEST: usize = 1 << 20;

/// A file that was read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// As it was named.
    pub(super) name: String,
    pub(super) octets: Vec<u8>,
}

/// What is wrong with a file: it is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Wrong {
    /// Line, from 1; 0 is the whole file.
    pub(super) line: usize,
    pub(super) message: String,
    pub(super) help: String,
}

impl Wrong {
    pub(super) fn new(line: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line, message: message.into(), help: help.into() }
    }

    /// With the name of the file.
    pub(super) fn of(self, name: &str) -> Failure {
        let line = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        Failure { message: format!("{name}{line}: {}\n  = {}", self.message, self.help), code: 2 }
    }
}

/// Reads a file up to the limit.
pub(super) fn read(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string().replace(char::is_control, "?");
    let mut octets = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LONGEST as u64 + 1).read_to_end(&mut octets));
    if let Err(error) = read {
        return Err(Failure { message: format!("{name}: cannot read it: {error}"), code: 1 });
    }
    let source = Source { name, octets };
    if source.octets.len() > LONGEST {
        let help = "configurations are read up to 1 MiB";
        return Err(
            Wrong::new(0, "this is no configuration: it is too large", help).of(&source.name)
        );
    }
    Ok(source)
}

/// The lines with their numbers. Comments and empty ones are left out: in what language they are
/// written, and in which encoding, is of no interest.
pub(super) fn lines(octets: &[u8]) -> Result<Vec<(usize, &str)>, Wrong> {
    let mut lines = Vec::new();
    let octets = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
    for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if matches!(line.trim_ascii_start().first(), None | Some(b'#')) {
            continue;
        }
        let text = std::str::from_utf8(line).map_err(|_| {
            Wrong::new(
                number,
                "this is not UTF-8",
                "is it a text file? In comments anything may stand",
            )
        })?;
        lines.push((number, text));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_may_be_in_any_encoding_and_lines_may_not() {
        let text = b"\xEF\xBB\xBFa=1\r\n\n  # \xFF\n b=2";
        assert_eq!(lines(text), Ok(vec![(1, "a=1"), (4, " b=2")]));
        assert_eq!(lines(b"a=1\n\nc=\xFF").unwrap_err().line, 3);
    }

    #[test]
    fn what_is_too_long_is_refused_and_what_is_not_there_is_another_matter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.conf");
        std::fs::write(&path, vec![b'#'; LONGEST]).unwrap();
        assert_eq!(read(&path).unwrap().octets.len(), LONGEST);
        std::fs::write(&path, vec![b'#'; LONGEST + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().code, 2);
        assert_eq!(read(directory.path()).unwrap_err().code, 1);
        assert_eq!(read(&directory.path().join("none")).unwrap_err().code, 1);
    }
}
