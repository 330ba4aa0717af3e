//! `[topics]`.

use std::collections::BTreeMap;

use super::draft::{Draft, Origin, Place};
use crate::core::OWN_TOPICS;

/// Why a predefined topic cannot be one here. Said by the line because there can be thousands.
pub(super) fn objection(id: u64, topic: &str) -> Option<&'static str> {
    if !(1..=0xFFFE).contains(&id) {
        return Some("Topic ids are 1 to 65534.");
    }
    if topic.is_empty() || topic.contains('\0') {
        return Some("This is no topic.");
    }
    if topic.contains(['+', '#']) {
        return Some(
            "A predefined id names one topic, without + and #. Devices subscribe to filters by their name.",
        );
    }
    if topic.starts_with(OWN_TOPICS) {
        return Some("What begins with mqtt-sn-gateway/ belongs to the gateway itself.");
    }
    None
}

/// Topics of everybody, each id once.
#[derive(Debug, Default)]
pub(super) struct Topics(BTreeMap<u64, (String, Origin)>);

impl Topics {
    /// Adds one, or notes why not. The first with an id counts.
    pub(super) fn add(&mut self, id: u64, topic: &str, from: Origin, draft: &mut Draft) {
        let known = self.0.get(&id);
        let reason = match (objection(id, topic), known) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some((name, _))) if name == topic => return,
            (None, Some((_, first))) => {
                format!(
                    "{} gives this id to another topic, and it is looked up without a client.",
                    draft.name(*first)
                )
            }
            (None, None) => {
                self.0.insert(id, (topic.to_owned(), from));
                return;
            }
        };
        draft.leave(from, topic, &id.to_string(), reason);
    }

    /// Writes the table.
    pub(super) fn write(self, draft: &mut Draft) {
        let section = draft.section(Place::Topics);
        for (id, (topic, from)) in self.0 {
            section.text(&id.to_string(), &topic, Some(from));
        }
    }
}
