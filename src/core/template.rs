//! Text of rules in which `%c` stands for the client id, and what topic filters made of it allow.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// What stands for the client id.
const CLIENT_ID: &str = "%c";

/// Text with places for the client id.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Template {
    head: Box<str>,
    /// What follows each client id.
    tail: Box<[Box<str>]>,
}

impl Template {
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = text.split(CLIENT_ID);
        let head = parts.next().unwrap_or("").into();
        Self { head, tail: parts.map(Box::from).collect() }
    }

    /// Text in which nothing stands for the client id.
    pub(crate) fn plain(text: &str) -> Self {
        Self { head: text.into(), tail: Box::default() }
    }

    /// Whether the client id is part of it.
    pub(crate) fn has_id(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Length with this client id, octets.
    #[inline]
    pub(crate) fn len(&self, id: &str) -> usize {
        let tail = self.tail.iter().map(|part| part.len().saturating_add(id.len()));
        tail.fold(self.head.len(), usize::saturating_add)
    }

    fn parts<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let tail = self.tail.iter().flat_map(move |part| [id, &**part]);
        core::iter::once(&*self.head).chain(tail)
    }

    /// Appends it to `out`.
    #[inline]
    pub(crate) fn write(&self, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        for part in &self.tail {
            out.extend_from_slice(id.as_bytes());
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// It, as a string.
    pub(crate) fn expand(&self, id: &str) -> String {
        self.parts(id).collect()
    }

    /// `text` with this in front of it.
    pub(crate) fn join<'a>(&self, id: &str, text: &'a str) -> Cow<'a, str> {
        if self.tail.is_empty() && self.head.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.parts(id).chain(core::iter::once(text)).collect())
    }

    /// Whether `text` begins with it.
    pub(crate) fn leads(&self, id: &str, text: &str) -> bool {
        let mut rest = Some(text);
        for part in self.parts(id) {
            rest = rest.and_then(|rest| rest.strip_prefix(part));
        }
        rest.is_some()
    }

    /// Whether it reads `text` with this client id.
    fn reads(&self, id: &str, text: &str) -> bool {
        let mut rest = Some(text);
        for part in self.parts(id) {
            rest = rest.and_then(|rest| rest.strip_prefix(part));
        }
        rest == Some("")
    }
}

#[derive(Clone, Debug)]
enum Level {
    /// `#`
    Rest,
    /// `+`
    Any,
    Name(Template),
}

/// A topic filter of a rule: it allows what it matches.
#[derive(Clone, Debug)]
pub(crate) struct Allowed(Box<[Level]>);

impl Allowed {
    /// From a filter that is one (see [`is_filter`](super::names::is_filter)).
    pub(crate) fn new(filter: &str) -> Self {
        let levels = filter.split('/').map(|level| match level {
            "#" => Level::Rest,
            "+" => Level::Any,
            name => Level::Name(Template::new(name)),
        });
        Self(levels.collect())
    }

    /// Whether the client id is part of it.
    pub(crate) fn has_id(&self) -> bool {
        self.0.iter().any(|level| matches!(level, Level::Name(name) if name.has_id()))
    }

    /// Whether everything that `filter` can match is matched by this; a topic name is a filter that
    /// matches itself. Says no where only several filters together would do, and for `#` where this
    /// is `+/#`.
    pub(crate) fn covers(&self, id: &str, filter: &str) -> bool {
        // Wildcards at the first level do not match topics that begin with `$`.
        let hidden = filter.starts_with('$');
        let mut levels = filter.split('/');
        for (depth, level) in self.0.iter().enumerate() {
            let wild = depth > 0 || !hidden;
            let covered = match level {
                Level::Rest => return wild,
                Level::Any => levels.next().is_some_and(|found| wild && found != "#"),
                Level::Name(name) => levels
                    .next()
                    .is_some_and(|found| found != "#" && found != "+" && name.reads(id, found)),
            };
            if !covered {
                return false;
            }
        }
        levels.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::filter::by_the_book;

    #[test]
    fn the_client_id_takes_its_places() {
        for (text, id, expected) in [
            ("", "n", ""),
            ("a/", "n", "a/"),
            ("%c", "n", "n"),
            ("a/%c/b/%c/", "n1", "a/n1/b/n1/"),
            ("%c%c", "%c", "%c%c"),
            ("%d", "n", "%d"),
        ] {
            let template = Template::new(text);
            assert_eq!(template.expand(id), expected);
            assert_eq!(template.len(id), expected.len());
            let mut octets = Vec::new();
            template.write(id, &mut octets);
            assert_eq!(octets, expected.as_bytes());
            assert_eq!(template.join(id, "x/y"), alloc::format!("{expected}x/y"));
            assert!(template.reads(id, expected));
            assert!(!template.reads(id, &alloc::format!("{expected}x")));
        }
    }

    #[test]
    fn covering_agrees_with_matching() {
        // Every filter of up to three levels, against every topic of up to four.
        let words = |levels: &[&str], depth: usize| {
            let mut all: Vec<String> = levels.iter().map(|level| String::from(*level)).collect();
            let mut last = all.clone();
            for _ in 1..depth {
                last = last
                    .iter()
                    .flat_map(|above| levels.iter().map(move |l| alloc::format!("{above}/{l}")))
                    .collect();
                all.extend(last.clone());
            }
            all
        };
        let mut filters = words(&["a", "$b", "+", "#", ""], 3);
        filters.retain(|filter| super::super::names::is_filter(filter));
        let topics = words(&["a", "$b", ""], 4);
        let (mut yes, mut cautious) = (0, 0);
        for allowed in &filters {
            let rule = Allowed::new(allowed);
            for filter in &filters {
                let within =
                    topics.iter().all(|t| !by_the_book(filter, t) || by_the_book(allowed, t));
                let covers = rule.covers("n", filter);
                assert!(within || !covers, "{allowed} does not cover {filter}");
                yes += usize::from(covers);
                cautious += usize::from(within && !covers && !filter.is_empty());
            }
            for topic in topics.iter().filter(|topic| !topic.is_empty()) {
                assert_eq!(
                    rule.covers("n", topic),
                    by_the_book(allowed, topic),
                    "{allowed} {topic}"
                );
            }
        }
        assert!(yes > 300, "{yes}");
        // `+/#` and the like: everything has a first level.
        assert!(cautious < yes / 10, "{cautious} of {yes}");
    }

    #[test]
    fn the_client_id_is_one_name_and_no_wildcard() {
        let rule = Allowed::new("dev/%c/#");
        assert!(rule.has_id() && rule.covers("n1", "dev/n1/x") && rule.covers("n1", "dev/n1/#"));
        for filter in ["dev/n2/x", "dev/+/x", "dev/#", "dev", "dev/n1x", "dev/%c/x"] {
            assert!(!rule.covers("n1", filter), "{filter}");
        }
        assert!(Allowed::new("x-%c-y/t").covers("n1", "x-n1-y/t"));
    }
}
