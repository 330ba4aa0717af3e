//! Who may connect, and predefined topics.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::parse::{Listed, Predefined};
use super::{AUTHENTICATION, CLIENTS, Given, TOPICS};
use crate::cli::import::draft::{Draft, Origin, Place, Section};
use crate::cli::import::text::shown;
use crate::cli::import::topics::{Topics, objection};

/// Most `[[client]]` that a configuration can have, less the one for everybody else.
const MOST: usize = 999;

pub(super) fn translate(given: &Given<'_>, draft: &mut Draft) {
    let conf = &given.settings;
    let closed = conf.is_on(&AUTHENTICATION);
    let connectionless = conf.is_on(&["QoS-1"]);
    // What they say is in what follows.
    conf.get_any(&AUTHENTICATION);
    conf.get("PredefinedTopic");
    for (key, is_read) in
        [("ClientsList", given.clients.is_some()), ("PredefinedTopicList", given.topics.is_some())]
    {
        if is_read {
            conf.get(key);
        }
    }
    let none: &[Listed] = &[];
    let listed = given.clients.as_ref().map_or(none, |clients| &clients.list.entries);
    let senders: HashSet<&str> = listed
        .iter()
        .filter(|listed| connectionless && listed.connectionless)
        .map(|listed| listed.id.as_str())
        .collect();
    let mut topics = sort_topics(given, &senders, draft);
    let mut rules = Rules { count: 0, ids: HashSet::new() };
    for entry in listed {
        let from = Origin { file: CLIENTS, line: entry.line };
        let reason = if connectionless && entry.connectionless {
            "What it sends at QoS −1 is taken from any address. To connect it needs a [[client]] with its id."
        } else if entry.forwarder {
            "A forwarder is no device, and need not be listed. The devices behind it are known by their ids, and \
             need a [[client]] each if only listed ones are let in."
        } else if !closed {
            "ClientAuthentication is not YES: devices are let in whether they are listed or not."
        } else {
            rules.add(entry.id.as_str(), from, Some(entry), &mut topics, draft);
            continue;
        };
        draft.leave(from, &entry.id, &entry.address, reason);
    }
    for (line, text) in given.clients.iter().flat_map(|clients| &clients.list.odd) {
        let from = Origin { file: CLIENTS, line: *line };
        draft.leave(
            from,
            text,
            "",
            "It is not ID,ADDRESS, so Paho's gateway does not let this client in.",
        );
    }
    for (client, entries) in std::mem::take(&mut topics) {
        let Some(first) = entries.first() else { continue };
        if closed && !rules.ids.contains(client) {
            for entry in entries {
                let from = Origin { file: TOPICS, line: entry.line };
                let reason = "This client is not among those that are let in, so Paho's gateway passes over it.";
                draft.leave(from, client, &format!("{},{}", entry.topic, entry.id), reason);
            }
            continue;
        }
        let from = Origin { file: TOPICS, line: first.line };
        let mut own = BTreeMap::from([(client, entries)]);
        rules.add(client, from, None, &mut own, draft);
    }
    if closed {
        close(given, connectionless, draft);
    }
}

/// Nobody else is let in.
fn close(given: &Given<'_>, connectionless: bool, draft: &mut Draft) {
    let from = given.settings.get_any(&AUTHENTICATION).map(Given::place);
    if !connectionless {
        draft.section(Place::Access).text("default", "deny", from);
        return;
    }
    let mut rest = Section::new(Place::Clients, "[[client]]");
    rest.comment(
        "Everybody else. [access] default = \"deny\" would refuse messages at QoS −1 as well, which come from \
         devices that never connect.",
    );
    rest.text("id", "*", None).plain("allow", false, from);
    draft.add(rest);
}

/// Puts everybody's topics into `[topics]`, and gives those of single clients. What is sent at QoS −1 is
/// looked up in the former, because nobody knows whose it is.
fn sort_topics<'a>(
    given: &'a Given<'_>,
    senders: &HashSet<&str>,
    draft: &mut Draft,
) -> BTreeMap<&'a str, Vec<&'a Predefined>> {
    let Some(named) = &given.topics else { return BTreeMap::new() };
    let mut topics = Topics::default();
    let mut clients: BTreeMap<&str, Vec<&Predefined>> = BTreeMap::new();
    let mut sent = Vec::new();
    for entry in &named.list.entries {
        let from = Origin { file: TOPICS, line: entry.line };
        match entry.client.as_deref() {
            None => topics.add(entry.id, &entry.topic, from, draft),
            Some(client) if senders.contains(client) => sent.push((from, entry)),
            Some(client) => clients.entry(client).or_default().push(entry),
        }
    }
    for (from, entry) in sent {
        topics.add(entry.id, &entry.topic, from, draft);
    }
    topics.write(draft);
    for (line, text) in &named.list.odd {
        let from = Origin { file: TOPICS, line: *line };
        draft.leave(
            from,
            text,
            "",
            "It is not ID,TOPIC,NUMBER; Paho's gateway ends at such a line.",
        );
    }
    clients
}

/// The `[[client]]` so far.
struct Rules {
    count: usize,
    ids: HashSet<String>,
}

impl Rules {
    /// Adds one with the topics of the client, which it takes.
    fn add(
        &mut self,
        id: &str,
        from: Origin,
        listed: Option<&Listed>,
        topics: &mut BTreeMap<&str, Vec<&Predefined>>,
        draft: &mut Draft,
    ) {
        let value = listed.map_or("", |listed| &listed.address);
        let reason = if self.ids.contains(id) {
            "This client is there already."
        } else if id.contains(['*', '?']) {
            "In a [[client]] * and ? stand for other characters, so this id cannot be written there."
        } else if self.count == MOST {
            "There can be no more [[client]]. Let one pattern stand for many devices: id = \"meter-*\"."
        } else {
            self.count += 1;
            self.ids.insert(id.to_owned());
            let own = topics.remove(id).unwrap_or_default();
            draft.add(rule(id, from, listed, &own, self.count == 1));
            refuse_topics(&own, draft);
            return;
        };
        draft.leave(from, id, value, reason);
    }
}

fn rule(
    id: &str,
    from: Origin,
    listed: Option<&Listed>,
    topics: &[&Predefined],
    first: bool,
) -> Section {
    let mut section = Section::new(Place::Clients, "[[client]]");
    if let Some(listed) = listed {
        if first {
            section.comment(
                "Devices are known by their ids, wherever they are. The addresses of clients.conf are repeated for \
                 you, and have no say.",
            );
        }
        let unstable =
            if listed.unstable { ", unstableLine: see retry_interval, retry_count" } else { "" };
        section.comment(format!("{}{unstable}", shown(&listed.address)));
    }
    section.text("id", id, Some(from));
    let mut known = HashMap::new();
    for entry in topics.iter().filter(|entry| objection(entry.id, &entry.topic).is_none()) {
        if known.is_empty() {
            section.header("[client.topics]");
        }
        if known.insert(entry.id, ()).is_none() {
            let from = Origin { file: TOPICS, line: entry.line };
            section.text(&entry.id.to_string(), &entry.topic, Some(from));
        }
    }
    section
}

/// What [`rule`] has left out of the topics.
fn refuse_topics(topics: &[&Predefined], draft: &mut Draft) {
    let mut known = HashSet::new();
    for entry in topics {
        let reason = match objection(entry.id, &entry.topic) {
            Some(reason) => reason,
            None if known.insert(entry.id) => continue,
            None => "This client has another topic with this id.",
        };
        let from = Origin { file: TOPICS, line: entry.line };
        let client = entry.client.as_deref().unwrap_or("*");
        draft.leave(from, client, &format!("{},{}", entry.topic, entry.id), reason);
    }
}
