//! What is a topic name, a filter, a client id (MQTT 3.1.1 §4.7, MQTT-SN 1.2 §5.3).

use super::filter::MAX_LEVELS;

/// Longest topic name or filter taken from a device, octets. MQTT can carry 64 KiB, but a table of
/// a thousand names of each client is not to be measured in those.
const MAX_LENGTH: usize = 1_024;

/// Whether a broker has to take this as text. MQTT lets it close the connection over control
/// characters and non-characters (MQTT 3.1.1 §1.5.3), and mosquitto does; the connection is
/// everybody's.
pub(crate) fn is_text(name: &str) -> bool {
    let rejectable = |c: char| {
        let code = u32::from(c);
        c.is_control() || code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
    };
    !name.chars().any(rejectable)
}

/// A topic name that may be published to: not empty, text, no wildcard, no more than
/// [`MAX_LEVELS`] (mosquitto closes the connection over more than 200).
pub(crate) fn topic_name(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_LENGTH {
        return None;
    }
    let name = core::str::from_utf8(bytes).ok()?;
    let legal = is_text(name) && !has_wildcard(name) && name.split('/').count() <= MAX_LEVELS;
    legal.then_some(name)
}

/// A filter that may be subscribed to. `#` only as the last level, `+` only as a whole level.
pub(crate) fn topic_filter(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_LENGTH {
        return None;
    }
    let filter = core::str::from_utf8(bytes).ok()?;
    is_filter(filter).then_some(filter)
}

/// Whether a broker takes this as a filter, as far as its length allows.
pub(crate) fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || !is_text(filter) {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        let legal = match level {
            "#" => last,
            "+" => true,
            other => !other.contains(['#', '+']),
        };
        if !legal {
            return false;
        }
    }
    true
}

/// Whether a filter is a shared subscription to the broker. Without a second level too: mosquitto closes
/// the connection over it.
pub(crate) fn is_shared(filter: &str) -> bool {
    filter.split('/').next() == Some("$share")
}

/// Whether a filter (already checked) can match more than one topic.
pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.contains(['#', '+'])
}

/// A client id: 1 to `max` octets of UTF-8 without control characters.
pub(crate) fn client_id(bytes: &[u8], max: usize) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > max {
        return None;
    }
    let id = core::str::from_utf8(bytes).ok()?;
    if id.chars().any(char::is_control) { None } else { Some(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(topic_name(b"s/1/temp"), Some("s/1/temp"));
        assert_eq!(topic_name(b"/"), Some("/"));
        for bad in [&b""[..], b"s/#", b"s/+/t", b"a\0b", b"\xC3\x28"] {
            assert_eq!(topic_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn filters() {
        for good in ["#", "+", "/", "a/+/b", "a/#", "+/#", "$SYS/#", "a//b", "/+"] {
            assert_eq!(topic_filter(good.as_bytes()), Some(good));
        }
        for bad in ["", "a#", "a/b#", "#/a", "a+", "a/+b/c", "a/\0"] {
            assert_eq!(topic_filter(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn client_ids() {
        assert_eq!(client_id(b"n1", 23), Some("n1"));
        assert_eq!(client_id(b"", 23), None);
        assert_eq!(client_id(&[b'a'; 23], 23).map(str::len), Some(23));
        assert_eq!(client_id(&[b'a'; 24], 23), None);
        assert_eq!(client_id(b"a\nb", 23), None);
        assert_eq!(client_id(b"\xFF", 23), None);
    }
}
