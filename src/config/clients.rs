//! `[[client]]`: what applies to the devices whose client id matches a pattern.

use super::error::{Origin, Problem};
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use crate::core::{ClientRule, Profile};

/// Most tables: at every CONNECT they are tried one after the other.
const MOST: usize = 1_000;

/// Reads the tables in their order. `longest` is the longest client id that is accepted, octets.
pub(super) fn read_clients(
    tables: Vec<(Origin, Table)>,
    longest: usize,
    rules: &mut Vec<ClientRule>,
    problems: &mut Vec<Problem>,
) {
    if let Some((begin, _)) = tables.get(MOST) {
        let message = format!("there are more than {MOST} [[client]]");
        let help = "let one pattern stand for many devices: id = \"meter-*\"";
        problems.push(Complaint::new(message, help).at(begin));
    }
    let profiles = profiles();
    for (begin, table) in tables.into_iter().take(MOST) {
        let mut reader = Reader::new("client", table, problems);
        let mut id = None;
        let place = reader.text("id", &mut id, |text| check_pattern(text, longest, rules));
        if place.is_none() {
            let help = "add the client id of a device, or a pattern for several: id = \"meter-*\"";
            reader.complain(&begin, Complaint::new("this [[client]] has no `id`", help));
        }
        let mut profile = 0;
        reader.choice("profile", &mut profile, &profiles);
        reader.finish();
        rules.extend(id.map(|id| ClientRule { id, profile }));
    }
}

/// The words of `profile`.
fn profiles() -> Vec<(&'static str, u8)> {
    (0_u8..).zip(Profile::ALL).map(|(at, profile)| (profile.name, at)).collect()
}

/// A pattern that some client id can match, and that the rules before it leave something to do.
fn check_pattern(
    text: &str,
    longest: usize,
    rules: &[ClientRule],
) -> Result<Option<Box<str>>, Complaint> {
    if text.is_empty() {
        let help = "the client id of a device, or a pattern: \"*\" is any number of characters, \
                    \"?\" is one";
        return Err(bad_value("id", text, help));
    }
    let shortest: usize = text.chars().filter(|c| *c != '*').map(char::len_utf8).sum();
    if shortest > longest {
        let help = format!(
            "a client id has up to {longest} bytes; [sessions] max_client_id_length allows more"
        );
        let message = format!("no client id is as long as \"{}\"", text.escape_debug());
        return Err(Complaint::new(message, help));
    }
    if let Some(earlier) = rules.iter().find(|rule| covers(&rule.id, text)) {
        let help = "the first [[client]] that matches is the one that counts: put the special ones \
                    before the general ones, and take out what is there twice";
        let message = if *earlier.id == *text {
            format!("the pattern \"{}\" is there twice", text.escape_debug())
        } else {
            format!(
                "what \"{}\" matches is matched by \"{}\" before it",
                text.escape_debug(),
                earlier.id.escape_debug()
            )
        };
        return Err(Complaint::new(message, help));
    }
    Ok(Some(text.into()))
}

/// Whether everything that `later` matches is matched by `earlier`: it matches the later pattern as
/// a text in which `*`, which can stand for anything, is matched by `*` alone. Says no in a few cases
/// where it is so all the same (`*?` and `?*`).
fn covers(earlier: &str, later: &str) -> bool {
    let (mut pattern, mut text) = (earlier.chars(), later.chars());
    // Where to go on when what follows the last `*` does not match here after all.
    let mut retry = None;
    loop {
        let (mut rest, mut left) = (pattern.clone(), text.clone());
        match (rest.next(), left.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                pattern = rest;
                retry = Some((pattern.clone(), text.clone()));
            }
            (Some('?'), Some(found)) if found != '*' => (pattern, text) = (rest, left),
            (Some(wanted), Some(found)) if wanted == found => (pattern, text) = (rest, left),
            _ => {
                let Some((after, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::glob_matches;

    #[test]
    fn a_pattern_covers_what_can_match_nothing_else() {
        for (earlier, later) in [
            ("*", "*"),
            ("*", "meter-?"),
            ("meter-*", "meter-1*"),
            ("meter-*", "meter-"),
            ("*-17", "meter-*-17"),
            ("a?c", "abc"),
            ("a?c", "a?c"),
            ("**", "*"),
        ] {
            assert!(covers(earlier, later), "{earlier} {later}");
        }
        for (earlier, later) in [
            ("meter-?", "meter-*"),
            ("meter-1*", "meter-*"),
            ("?", "*"),
            ("?*", "*"),
            ("*a", "*"),
            ("a", "b"),
            ("a?", "a*"),
            ("abc", "a?c"),
        ] {
            assert!(!covers(earlier, later), "{earlier} {later}");
        }
    }

    #[test]
    fn covering_agrees_with_matching() {
        // Every pattern of up to four characters against every text of up to four.
        fn words(alphabet: &[char]) -> Vec<String> {
            let mut all = vec![String::new()];
            let mut from = 0;
            for _ in 0..4 {
                let to = all.len();
                for at in from..to {
                    all.extend(
                        alphabet.iter().map(|c| format!("{}{c}", all[at])).collect::<Vec<_>>(),
                    );
                }
                from = to;
            }
            all
        }
        let (patterns, texts) = (words(&['a', '*', '?']), words(&['a', 'b']));
        let mut covered = 0;
        for earlier in &patterns {
            for later in patterns.iter().filter(|later| covers(earlier, later)) {
                covered += 1;
                for text in texts.iter().filter(|text| glob_matches(later, text)) {
                    assert!(glob_matches(earlier, text), "{earlier} covers {later}, but {text}");
                }
            }
        }
        assert!(covered > 1_000, "{covered}");
    }
}
