//! Percent-encoding and queries, as they come in URLs.

use std::borrow::Cow;
use std::time::Duration;

use super::happening::WatchQuery;
use super::question::ClientQuery;
use crate::capture::{API_BYTES, Choice, LEAST_BYTES, MOST_API_BYTES, Wrapping};
use crate::core::ClientState;

/// Clients in one answer, if nothing else is asked for, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// Longest time that devices may join, seconds.
const MAX_JOIN: u64 = 3_600;
/// Longest capture that can be asked for: a week, seconds.
const LONGEST_CAPTURE: u64 = 7 * 24 * 3_600;

/// Takes the encoding off; `None` if it is none, or no UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digit = |octet: u8| (octet as char).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        octets.push(u8::try_from(value).ok()?);
        rest = after;
    }
    String::from_utf8(octets).ok().map(Cow::Owned)
}

/// Names and values of a query, decoded.
fn pairs(query: &str) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, plus(value)?))
    })
}

/// In a query a blank may be written as `+`.
fn plus(value: &str) -> Option<Cow<'_, str>> {
    if value.contains('+') {
        return decode(&value.replace('+', " ")).map(|value| Cow::Owned(value.into_owned()));
    }
    decode(value)
}

/// What of the query of `GET /api/v1/clients` cannot be used, and what can be.
pub(super) fn clients(query: &str) -> Result<ClientQuery, String> {
    let mut found = ClientQuery { limit: PAGE, ..ClientQuery::default() };
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "limit" => found.limit = number(&name, &value, 1, MAX_PAGE)?,
            "cursor" => found.from = number(&name, &value, 0, u32::MAX)?,
            "q" => found.text = Some(value.to_lowercase()),
            "link" => found.link = Some(value.into_owned()),
            "state" => {
                let state = ClientState::ALL.into_iter().find(|state| state.label() == value);
                found.state = Some(state.ok_or_else(|| {
                    let all = ClientState::ALL.map(ClientState::label).join(", ");
                    format!("`state` cannot be {value:?}; it is one of {all}")
                })?);
            }
            _ => return Err(unknown(&name, "limit, cursor, q, state, link")),
        }
    }
    Ok(found)
}

/// Where to begin, of the query of `GET /api/v1/topics`.
pub(super) fn topics(query: &str) -> Result<u32, String> {
    let mut from = 0;
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "cursor" => from = number(&name, &value, 0, u32::MAX)?,
            _ => return Err(unknown(&name, "cursor")),
        }
    }
    Ok(from)
}

/// What the query of `GET /api/v1/events` wants to know.
pub(super) fn events(query: &str) -> Result<WatchQuery, String> {
    let mut found = WatchQuery { client: None, packets: true, states: true };
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "client" => found.client = Some(value.into_owned()),
            "kinds" => {
                (found.packets, found.states) = (false, false);
                for kind in value.split(',') {
                    match kind {
                        "packets" => found.packets = true,
                        "states" => found.states = true,
                        _ => {
                            return Err(format!(
                                "`kinds` is a list of packets and states, not {value:?}"
                            ));
                        }
                    }
                }
            }
            _ => return Err(unknown(&name, "client, kinds")),
        }
    }
    Ok(found)
}

/// How long devices may join, of the query of `POST /api/v1/links/{name}/permit-join`.
pub(super) fn permit_join(query: &str) -> Result<Duration, String> {
    let mut time = None;
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "seconds" => time = Some(Duration::from_secs(number(&name, &value, 0, MAX_JOIN)?)),
            _ => return Err(unknown(&name, "seconds")),
        }
    }
    time.ok_or_else(|| format!("say for how long: ?seconds=, 0 to {MAX_JOIN}; 0 is not any more"))
}

/// The level, of the query of `PUT /api/v1/log`.
pub(super) fn level(query: &str) -> Result<String, String> {
    let mut level = None;
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "level" => level = Some(value.into_owned()),
            _ => return Err(unknown(&name, "level")),
        }
    }
    level.ok_or_else(|| "say which: ?level=debug, for instance".to_owned())
}

/// What is to be captured and how many octets of it at most, of the query of `POST /api/v1/capture`.
pub(super) fn capture(query: &str) -> Result<(u64, Choice), String> {
    let (mut octets, mut found) = (API_BYTES, Choice::default());
    for pair in pairs(query) {
        let (name, value) = pair.ok_or_else(not_encoded)?;
        match &*name {
            "client" => found.client = Some(value.into_owned()),
            "link" => found.link = Some(value.into_owned()),
            "max_bytes" => octets = number(&name, &value, LEAST_BYTES, MOST_API_BYTES)?,
            "seconds" => {
                let seconds = number(&name, &value, 1, LONGEST_CAPTURE)?;
                found.time = Some(Duration::from_secs(seconds));
            }
            "as" => {
                let wrapping = Wrapping::named(&value);
                found.wrapping = wrapping.ok_or("`as` is udp or pdu")?;
            }
            _ => return Err(unknown(&name, "client, link, max_bytes, seconds, as")),
        }
    }
    Ok((octets, Choice { max_bytes: Some(octets), ..found }))
}

fn number<T>(name: &str, value: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let number = value.parse().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| format!("`{name}` is a whole number from {least} to {most}"))
}

fn unknown(name: &str, known: &str) -> String {
    format!("there is no parameter {name:?} here; there are {known}")
}

fn not_encoded() -> String {
    "the query is not properly encoded: % and two hexadecimal digits for each octet of UTF-8"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_octets_become_text_or_nothing() {
        for (text, expected) in [
            ("", Some("")),
            ("meter-7", Some("meter-7")),
            ("a%2Fb%20c", Some("a/b c")),
            ("%c3%BC", Some("ü")),
            ("%25", Some("%")),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%+1", None),
            ("%ff", None),
            ("ü", Some("ü")),
            ("%ü", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_query_is_taken_whole_or_refused_with_a_reason() {
        let found = clients("q=Meter+%2b&state=asleep&link=udp%20*&limit=7&cursor=12").unwrap();
        let expected = ClientQuery {
            from: 12,
            limit: 7,
            text: Some("meter +".to_owned()),
            state: Some(ClientState::Asleep),
            link: Some("udp *".to_owned()),
        };
        assert_eq!(found, expected);
        assert_eq!(clients("").unwrap().limit, PAGE);
        assert_eq!(topics("cursor=3"), Ok(3));
        for (query, part) in [
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("limit=x", "whole number"),
            ("cursor=-1", "from 0"),
            ("state=lost", "active, asleep"),
            ("page=2", "no parameter"),
            ("q=%", "encoded"),
        ] {
            let refused = clients(query).unwrap_err();
            assert!(refused.contains(part), "{query}: {refused}");
        }
        assert!(topics("q=a").is_err());
        let found = capture("client=meter-*&link=udp+*&seconds=60&max_bytes=16384&as=pdu").unwrap();
        let expected = Choice {
            client: Some("meter-*".to_owned()),
            link: Some("udp *".to_owned()),
            max_bytes: Some(16_384),
            time: Some(Duration::from_secs(60)),
            wrapping: Wrapping::Pdu,
        };
        assert_eq!(found, (16_384, expected));
        assert_eq!(capture("").unwrap().0, API_BYTES);
        assert_eq!(capture("").unwrap().1.max_bytes, Some(API_BYTES));
        for (query, part) in [
            ("max_bytes=1073741825", "from 16384 to 1073741824"),
            ("max_bytes=1", "from 16384"),
            ("seconds=0", "from 1 to 604800"),
            ("as=zip", "udp or pdu"),
            ("file=/etc/passwd", "no parameter"),
        ] {
            let refused = capture(query).unwrap_err();
            assert!(refused.contains(part), "{query}: {refused}");
        }
        let watch = |client: Option<&str>, packets, states| {
            Ok(WatchQuery { client: client.map(str::to_owned), packets, states })
        };
        assert_eq!(events(""), watch(None, true, true));
        assert_eq!(events("client=a%2Fb&kinds=packets"), watch(Some("a/b"), true, false));
        assert_eq!(events("kinds=states,packets"), watch(None, true, true));
        assert!(events("kinds=all").unwrap_err().contains("packets and states"));
        assert!(events("id=a").unwrap_err().contains("no parameter"));
    }
}
