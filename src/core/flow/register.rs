//! REGISTER from a client (MQTT-SN 1.2 §6.5): a topic id for a name, always the same one.

use crate::codec::{Message, ReturnCode};
use crate::core::flow::About;
use crate::core::gateway::{Cx, Gateway};
use crate::core::judging::OWN_TOPIC;
use crate::core::names;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::core::topics::ClientTopics;
use crate::store::record::Record;

impl Gateway {
    pub(crate) fn on_register(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        msg_id: u16,
        name: &[u8],
    ) {
        let topic = names::topic_name(name);
        let client = self.clients.get(handle);
        let objection = topic.zip(client).and_then(|(topic, client)| {
            let objection = self.policy(client).against_naming(&client.id, topic)?;
            Some((topic, objection))
        });
        if let Some((topic, objection)) = objection {
            self.tell_denial(cx, handle, "REGISTER", topic, objection);
            let code = ReturnCode::NOT_SUPPORTED;
            return self.send(cx, handle, &Message::RegAck { topic_id: 0, msg_id, code });
        }
        let (topic_id, code, why) = match topic {
            None => (None, ReturnCode::NOT_SUPPORTED, "not a topic name without wildcards"),
            Some(name) if self.leads_to_own_topic(handle, name) => {
                (None, ReturnCode::NOT_SUPPORTED, OWN_TOPIC)
            }
            Some(_) if !self.may_promise(handle) => {
                (None, ReturnCode::CONGESTION, "the state directory cannot be written to")
            }
            Some(name) => match self.topic_id(cx, handle, name) {
                Some((id, position)) => {
                    self.set_confirmed(cx, handle, position);
                    (Some(id), ReturnCode::ACCEPTED, "")
                }
                None => (None, ReturnCode::CONGESTION, self.topics_are_full(handle)),
            },
        };
        if code != ReturnCode::ACCEPTED {
            self.tell_refusal(cx, handle, "REGISTER", About::Text(name), code, why);
        }
        let answer = Message::RegAck { topic_id: topic_id.unwrap_or(0), msg_id, code };
        let refusal = Message::RegAck { topic_id: 0, msg_id, code: ReturnCode::CONGESTION };
        self.promise_or_refuse(cx, handle, &answer, refusal);
    }

    /// The client knows the id at this position of its topics.
    pub(crate) fn set_confirmed(&mut self, cx: &mut Cx<'_>, handle: Handle, position: usize) {
        let client = self.clients.get_mut(handle);
        let Some(entry) = client.and_then(|client| client.topics.get_mut(position)) else { return };
        if !core::mem::replace(&mut entry.confirmed, true) | core::mem::take(&mut entry.refused) {
            self.note_topic(cx, handle, position);
        }
    }

    /// The client's normal id for a name, and its position in the client's table; given out if it
    /// has none. `None` when the client has as many as it may.
    pub(crate) fn topic_id(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        name: &str,
    ) -> Option<(u16, usize)> {
        let known = self.topics.find(name);
        let client = self.clients.get(handle)?;
        if let Some(position) = known.and_then(|topic| client.topics.position(topic)) {
            return Some((self.id_at(&client.topics, position)?, position));
        }
        let position = client.topics.len();
        let id = self.id_at(&client.topics, position);
        let Some(id) = id.filter(|_| position < self.policy(client).max_topics as usize) else {
            self.limit_reached(cx, Some(handle), Limit::Topics);
            return None;
        };
        let topic = self.topics.take(name);
        if let Some(client) = self.clients.get_mut(handle) {
            client.topics.push(topic);
        }
        if let Ok(position) = u16::try_from(position) {
            self.note(cx, &Record::Topic { slot: handle.slot, position, name });
        }
        Some((id, position))
    }

    /// Which limit on topic ids a client has reached.
    pub(crate) fn topics_are_full(&self, handle: Handle) -> &'static str {
        if self.policy_of(handle).own_max_topics {
            "max_topics of its [[client]] is reached"
        } else {
            "sessions.max_topics_per_client is reached"
        }
    }

    /// The normal topic id of a position in a client's table; 0xFFFF is reserved.
    pub(crate) fn id_at(&self, topics: &ClientTopics, position: usize) -> Option<u16> {
        let id = u16::try_from(position).ok()?.checked_add(self.first_id(topics))?;
        (id != u16::MAX).then_some(id)
    }

    /// The first normal topic id of a client. Of one that was there before the configuration gave out
    /// more predefined ids it may lie among those.
    pub(crate) fn first_id(&self, topics: &ClientTopics) -> u16 {
        self.first_topic_id.wrapping_add(topics.offset())
    }

    /// The position of a normal topic id in a client's table, if it can have it.
    pub(crate) fn position_of(&self, topics: &ClientTopics, id: u16) -> Option<usize> {
        id.checked_sub(self.first_id(topics)).map(usize::from)
    }

    /// Keeps room for as many ids as a client may have above an offset: beyond that ids begin again.
    pub(crate) fn wrapped(&self, offset: u16) -> u16 {
        let most = self.policies.most_topics;
        let end = u32::from(self.first_topic_id) + u32::from(offset) + most;
        if end < u32::from(u16::MAX) { offset } else { 0 }
    }
}
