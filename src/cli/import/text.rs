//! Foreign text in our own: on one line, and showing what it is.

use crate::cli::is_odd;

/// Most characters of a foreign value that are repeated in a comment.
const MOST_SHOWN: usize = 120;
/// Where sentences in comments are broken, in characters.
const WIDTH: usize = 100;

/// A value for a comment. What would end the line, move the cursor or fool the eye is spelled out, and
/// what is too long is cut.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => spell_out(&text[..end]) + "…",
        None => spell_out(text),
    }
}

fn spell_out(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if is_odd(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// A TOML string on one line.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if is_odd(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A sentence, in which there may be foreign words, as lines of a comment, each with this in front.
pub(super) fn wrap(front: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = front.to_owned();
    let mut width = 0;
    let text = spell_out(text);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let long = word.chars().count();
        if width > 0 && front.len() + width + 1 + long > WIDTH {
            lines.push(std::mem::replace(&mut line, front.to_owned()));
            width = 0;
        }
        if width > 0 {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += long;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_on_its_line_and_reads_back() {
        for text in ["plain", "a\nb", "\"q\" \\", "\u{1b}[2J", "\u{202e}x", "\0\r\t\u{7f}\u{85}"] {
            let quoted = quote(text);
            assert!(!quoted.contains(is_odd), "{quoted:?}");
            let value: toml::Value =
                format!("a = {quoted}").parse::<toml::Table>().unwrap()["a"].clone();
            assert_eq!(value.as_str(), Some(text));
            assert!(!shown(text).contains(is_odd));
        }
        assert_eq!(shown(&"x".repeat(200)).chars().count(), MOST_SHOWN + 1);
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let lines = wrap("# ", &"word ".repeat(50));
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.starts_with("# word") && line.len() <= WIDTH));
        assert_eq!(wrap("#   ", &"x".repeat(300)).len(), 1);
        assert_eq!(wrap("# ", "a\nb \0"), ["# a\\u{a}b \\u{0}"]);
    }
}
