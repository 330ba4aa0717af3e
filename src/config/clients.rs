//! `[[client]]` and `[access]`: what applies to the devices whose client id, and link, match a pattern.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Origin, Problem, Source};
use super::home::read_device;
use super::load::{GIB, HOUR, KIB, LoginKeys, MODES, SHORTEST, read_login, read_topics};
use super::reader::{Complaint, Reader, bad_value};
use super::tree::Table;
use super::values::{check_client_prefix, check_filter};
use crate::core::upstream::{Login, MqttQos};
use crate::core::{ClientRule, Profile};
use crate::upstream::{Tls, TlsSettings};

/// Most tables: at every CONNECT they are tried one after the other.
const MOST: usize = 1_000;

/// What rules are checked against.
pub(super) struct Surroundings<'a> {
    /// Longest client id that is accepted, octets.
    pub(super) longest: usize,
    /// Names of the links; empty if they could not be read.
    pub(super) links: &'a [String],
    /// Where the file is, for the files that it names.
    pub(super) directory: &'a Path,
    /// Each device has its own connection unless its rule says otherwise.
    pub(super) transparent: bool,
    /// TLS, if it is spoken to some broker.
    pub(super) tls: Option<&'a TlsSettings>,
    /// Where the rules come from.
    pub(super) source: Source<'a>,
}

/// `[access]`: whether clients that no rule matches are turned away.
pub(super) fn read_access(mut reader: Reader<'_>, deny: &mut bool) {
    reader.choice("default", deny, &ACCESS);
    reader.finish();
}

/// The words of `default` under `[access]`.
pub(super) const ACCESS: [(&str, bool); 2] = [("allow", false), ("deny", true)];

/// Reads the tables in their order.
pub(super) fn read_clients(
    tables: Vec<(Origin, Table)>,
    around: &Surroundings<'_>,
    rules: &mut Vec<ClientRule>,
    problems: &mut Vec<Problem>,
) {
    if let Some((begin, _)) = tables.get(MOST) {
        let message = format!("there are more than {MOST} [[client]]");
        let help = "let one pattern stand for many devices: id = \"meter-*\"";
        problems.push(Complaint::new(message, help).at(begin));
    }
    for (begin, table) in tables.into_iter().take(MOST) {
        let rule = read_client(&begin, table, around, rules, problems);
        rules.extend(rule);
    }
}

/// One table. `None` if it is for nobody.
fn read_client(
    begin: &Origin,
    table: Table,
    around: &Surroundings<'_>,
    rules: &[ClientRule],
    problems: &mut Vec<Problem>,
) -> Option<ClientRule> {
    let mut rule = ClientRule::default();
    let mut reader = Reader::new("client", table, problems);
    reader.text("link", &mut rule.link, |text| check_link(text, around.links).map(Some));
    let mut id = None;
    let link = rule.link.clone();
    let place = reader.text("id", &mut id, |text| {
        check_pattern(text, link.as_deref(), around.longest, rules).map(Some)
    });
    if place.is_none() {
        let help = "add the client id of a device, or a pattern for several: id = \"meter-*\"";
        reader.complain(begin, Complaint::new("this [[client]] has no `id`", help));
    }
    reader.boolean("allow", &mut rule.allow);
    for (key, filters) in [("publish", &mut rule.publish), ("subscribe", &mut rule.subscribe)] {
        if reader.has(key) {
            let mut list = Vec::new();
            reader.texts(key, &mut list, |text| check_filter(key, text));
            *filters = Some(list);
        }
    }
    let mut max_qos = rule.max_qos as u8;
    reader.integer("max_qos", 0..=2, &mut max_qos);
    rule.max_qos = match max_qos {
        0 => MqttQos::Zero,
        1 => MqttQos::One,
        _ => MqttQos::Two,
    };
    reader.choice("profile", &mut rule.profile, &profiles());
    reader.text("topic_prefix", &mut rule.topic_prefix, |text| {
        check_client_prefix(text, around.longest).map(Some)
    });
    let mut mode = around.transparent;
    if reader.choice("mode", &mut mode, &MODES).is_some() {
        rule.transparent = Some(mode);
    }
    let mut login = LoginKeys::default();
    if let Some(origin) = read_login(&mut reader, around.directory, &mut login) {
        if !mode {
            let help = "add mode = \"transparent\", or take the login out";
            let message = "a login is of no use here: these devices share the gateway's connection";
            reader.complain(&origin, Complaint::new(message, help));
        }
        let password = login.password.as_ref().map(|secret| secret.reveal().into());
        rule.login = Some(Login { username: login.username, password });
    }
    read_certificate(&mut reader, around, mode, &mut rule);
    read_limits(&mut reader, &mut rule);
    let topics = reader.table("topics");
    let home = reader.table("home_assistant");
    reader.finish();
    read_topics(topics, &mut rule.predefined, problems);
    rule.home = read_device(home, begin, problems);
    rule.id = id?;
    let key = |key: &str, value: &str| format!(" {key} = \"{}\"", value.escape_debug());
    let link = rule.link.as_deref().map_or(String::new(), |link| format!(",{}", key("link", link)));
    let place = around.source.place(begin);
    rule.origin = format!("{place}: [[client]]{}{link}", key("id", &rule.id)).into();
    Some(rule)
}

/// `cert_file` and `key_file`, which are read once to see whether they can be used.
fn read_certificate(
    reader: &mut Reader<'_>,
    around: &Surroundings<'_>,
    transparent: bool,
    rule: &mut ClientRule,
) {
    let path = |text: &str| -> Result<Option<PathBuf>, Complaint> {
        Ok(Some(around.directory.join(text)).filter(|_| !text.is_empty()))
    };
    let (mut cert, mut key) = (None, None);
    let cert_at = reader.text("cert_file", &mut cert, path);
    let key_at = reader.text("key_file", &mut key, path);
    let Some(origin) = cert_at.clone().or(key_at.clone()) else { return };
    let (cert, key) = match (cert, key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return,
        (cert, _) => {
            let (one, other) =
                if cert.is_some() { ("cert_file", "key_file") } else { ("key_file", "cert_file") };
            let message = format!("there is `{one}` but no `{other}`");
            let help =
                "a certificate is of use only with its key; if one file holds both, name it twice";
            return reader.complain(&origin, Complaint::new(message, help));
        }
    };
    if !transparent {
        let help = "add mode = \"transparent\", or take the certificate out";
        let message =
            "a certificate is of no use here: these devices share the gateway's connection";
        return reader.complain(&origin, Complaint::new(message, help));
    }
    let Some(upstream) = around.tls else {
        let help = "write mqtts:// or wss:// in `url` of [upstream], or take the certificate out";
        let message = "no broker in `url` is spoken to by TLS";
        return reader.complain(&origin, Complaint::new(message, help));
    };
    let settings = upstream.with_certificate(&cert, &key);
    if let Err(error) = Tls::build(&settings) {
        let at = if error.key == "key_file" { key_at } else { cert_at };
        return reader.complain(&at.unwrap_or(origin), Complaint::new(error.message, error.help));
    }
    rule.certificate = Some((cert.to_string_lossy().into(), key.to_string_lossy().into()));
}

/// Limits of its own, within the bounds of those under `[sessions]`.
fn read_limits(reader: &mut Reader<'_>, rule: &mut ClientRule) {
    reader.optional_integer("max_topics", 1..=65_534, &mut rule.max_topics);
    reader.optional_integer("max_subscriptions", 1..=65_535, &mut rule.max_subscriptions);
    let most = &mut rule.max_buffered_messages;
    reader.optional_integer("max_buffered_messages", 1..=1_000_000, most);
    let mut bytes = 0;
    if reader.size("max_buffered_bytes", KIB..=GIB, &mut bytes).is_some() {
        rule.max_buffered_bytes = Some(bytes);
    }
    let mut interval = Duration::ZERO;
    if reader.duration("retry_interval", SHORTEST..=HOUR, &mut interval).is_some() {
        rule.retry_interval = Some(interval);
    }
    reader.optional_integer("retry_count", 0..=100, &mut rule.retry_count);
}

/// A pattern that some link's name matches.
fn check_link(text: &str, links: &[String]) -> Result<Box<str>, Complaint> {
    if links.is_empty() || links.iter().any(|link| crate::core::glob_matches(text, link)) {
        return Ok(text.into());
    }
    let names = links.join("\", \"");
    Err(bad_value("link", text, format!("no link is called so; there is \"{names}\"")))
}

/// The words of `profile`.
fn profiles() -> Vec<(&'static str, u8)> {
    (0_u8..).zip(Profile::ALL).map(|(at, profile)| (profile.name, at)).collect()
}

/// A pattern that some client id can match, and that the rules before it leave something to do on the
/// links that are meant.
fn check_pattern(
    text: &str,
    link: Option<&str>,
    longest: usize,
    rules: &[ClientRule],
) -> Result<Box<str>, Complaint> {
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
    let on_its_links = |rule: &ClientRule| match (&rule.link, link) {
        (None, _) => true,
        (Some(earlier), Some(later)) => covers(earlier, later),
        (Some(_), None) => false,
    };
    if let Some(earlier) = rules.iter().find(|rule| covers(&rule.id, text) && on_its_links(rule)) {
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
    Ok(text.into())
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
