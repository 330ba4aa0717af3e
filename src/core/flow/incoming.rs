//! A message from the broker: whom it is for. Each client gets it once, however many of its filters
//! match (§24.32 of common practice), and retained messages go only to those who have just
//! subscribed.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::core::effects::Effect;
use crate::core::flow::CopyMode;
use crate::core::gateway::{Cx, Gateway, OWN_TOPICS};
use crate::core::lines::Line;
use crate::core::policy::NO_RULE;
use crate::core::rounds::Further;
use crate::core::slots::Handle;
use crate::core::stats::Drop;
use crate::core::topics::TopicRef;
use crate::core::upstream::{Delivery, LineId, MqttQos};
use crate::time::Time;

/// [`UpstreamEvent::Message`](crate::core::upstream::UpstreamEvent::Message), as a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    /// By which connection it came.
    pub(crate) line: LineId,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: MqttQos,
    pub(crate) retain: bool,
    /// From then on it is of no use to anybody (MQTT 5 §3.3.2.3.3).
    pub(crate) expires: Option<Time>,
    pub(crate) subscription_ids: &'a [u32],
}

/// A topic as devices know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    /// Without the prefix of those it is for.
    pub(crate) name: &'a str,
    /// Its entry, if anybody here uses it.
    pub(crate) topic: Option<TopicRef>,
}

impl Gateway {
    pub(crate) fn on_message(&mut self, cx: &mut Cx<'_>, message: &Incoming<'_>) {
        let mut recipients = core::mem::take(&mut self.recipients);
        recipients.clear();
        let mut ids = core::mem::take(&mut self.ids);
        ids.clear();
        ids.extend_from_slice(message.subscription_ids);
        ids.sort_unstable();
        let marked = Incoming { subscription_ids: &ids, ..*message };
        self.find_recipients(cx, message.topic, &marked, &mut recipients);
        self.ids = ids;
        if self.is_probe(cx, message) {
            self.recipients = recipients;
            return;
        }
        let own = !message.line.is_own() && self.is_own_topic(message.topic.as_bytes());
        if own {
            recipients.retain(|(client, _)| self.asks_for_own_topics(*client));
        }
        let mut kept = None;
        let mut reached = false;
        if self.policies.one_prefix {
            let prefix = self.policies.get(NO_RULE).prefix.len("");
            reached |= self.deliver_as(cx, prefix, &recipients, message, &mut kept);
        } else {
            recipients.sort_unstable_by_key(|(client, _)| (self.prefix_len(*client), *client));
            let mut rest = recipients.as_slice();
            while let Some((first, _)) = rest.first() {
                let prefix = self.prefix_len(*first);
                let alike = rest.partition_point(|(client, _)| self.prefix_len(*client) <= prefix);
                let (group, others) = rest.split_at_checked(alike.max(1)).unwrap_or((rest, &[]));
                reached |= self.deliver_as(cx, prefix, group, message, &mut kept);
                rest = others;
            }
        }
        match kept {
            Some(handle) => self.release_message(cx, handle, true),
            None => {
                if let Some(delivery) = message.delivery {
                    cx.fx.push(Effect::Acknowledge { delivery, wait: false });
                }
            }
        }
        if !reached && !own {
            self.drop_packet(Drop::NoSubscriber);
        }
        self.recipients = recipients;
    }

    /// Whether a client has asked for the gateway's own topics by name. As with `$`-topics, `#` does not mean
    /// them: a sleeper that collects its messages would make a new one by that.
    fn asks_for_own_topics(&self, handle: Handle) -> bool {
        let filters = &self.lines.at(self.line_of(handle)).filters;
        let subscriptions = self.clients.get(handle).map(|client| client.subscriptions.iter());
        let mut asked = subscriptions.into_iter().flatten();
        asked.any(|mine| {
            filters.get(mine.filter).is_some_and(|filter| filter.text.starts_with(OWN_TOPICS))
        })
    }

    fn prefix_len(&self, handle: Handle) -> usize {
        let client = self.clients.get(handle);
        client.map_or(0, |client| self.policy(client).prefix.len(&client.id))
    }

    /// Delivers a message to those who know its topic without its first `prefix` octets. `kept`: where it
    /// is kept for the broker's acknowledgement, once it is. Gives whether there was anybody.
    fn deliver_as(
        &mut self,
        cx: &mut Cx<'_>,
        prefix: usize,
        recipients: &[(Handle, MqttQos)],
        message: &Incoming<'_>,
        kept: &mut Option<Handle>,
    ) -> bool {
        // What is nothing but the prefix has no name that a device could be told: `p/#` matches `p`.
        let name = message.topic.get(prefix..).filter(|name| !name.is_empty());
        let Some(name) = name.filter(|_| !recipients.is_empty()) else { return false };
        // Looked up once, however many it is for.
        let named = Named { name, topic: self.topics.find(name) };
        // The broker waits for the first form of the message alone; the others are kept in the records.
        let delivery = message.delivery.filter(|_| kept.is_none());
        let form = Incoming { delivery, ..*message };
        let mut stored = None;
        for (client, granted) in recipients {
            let qos = message.qos.min(*granted);
            self.deliver(cx, *client, qos, named, &form, &mut stored);
        }
        match (stored, *kept) {
            (Some(other), Some(first)) => {
                self.messages.set_sibling(first, other);
                self.release_message(cx, other, true);
            }
            (Some(first), None) => *kept = Some(first),
            (None, _) => {}
        }
        true
    }

    fn find_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        if let Some(slot) = message.line.slot() {
            // The broker knows what it sends to whom. Under another prefix it is something that the
            // client was subscribed to by other rules than today's.
            let handle = self.clients.handle_at(slot);
            let client = handle.and_then(|handle| self.clients.get(handle));
            if let (Some(handle), Some(client)) = (handle, client)
                && self.policy(client).prefix.leads(&client.id, name)
            {
                recipients.push((handle, self.policy(client).max_qos));
            }
            return;
        }
        let mut matched = core::mem::take(&mut self.matched);
        matched.clear();
        let line = self.lines.at_mut(message.line);
        line.filters.matches(name, &mut matched);
        if message.retain {
            self.retained_recipients(cx, name, message, &matched, recipients);
        } else {
            let first = match matched.as_slice() {
                [] => None,
                [only] if line.copies.none_outstanding() => {
                    self.only_recipients(message, *only, recipients);
                    None
                }
                _ => self.overlapping_recipients(cx, name, message, &matched, recipients),
            };
            let further = first.map(|first| Further { first, to: recipients });
            self.note_published(cx, name, message, &matched, further);
        }
        self.matched = matched;
    }

    fn only_recipients(
        &self,
        message: &Incoming<'_>,
        handle: Handle,
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        if let Some(filter) = self.lines.at(message.line).filters.get(handle)
            && filter.is_meant(message.subscription_ids)
        {
            recipients.extend(filter.subscribers.iter().map(|s| (s.client, s.granted)));
        }
    }

    /// Several filters match, or did a moment ago, so there may be several copies. Each client gets
    /// the message with the first copy that is for one of its filters, at the highest QoS of all its
    /// filters that match, and with no other copy. Gives when the first copy came, if
    /// this is not it.
    fn overlapping_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        matched: &[Handle],
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) -> Option<Time> {
        let ids = message.subscription_ids;
        let Line { broker, filters, copies, .. } = self.lines.at_mut(message.line);
        let copy = copies.take(cx.now, name, message.payload, ids);
        let first = copies.first(copy);
        let mut expected = core::mem::take(&mut self.expected);
        let mut candidates = core::mem::take(&mut self.candidates);
        expected.clear();
        candidates.clear();
        for filter in matched.iter().filter_map(|handle| filters.get(*handle)) {
            // A broker that counts copies has made them by what it granted. Where they bear
            // identifiers, one may come of a subscription that has not been acknowledged yet.
            let counts = if ids.is_empty() { filter.granted.is_some() } else { filter.asked };
            if counts {
                expected.push(filter.id);
            }
            let meant = filter.is_meant(ids);
            candidates.extend(filter.subscribers.iter().map(|s| (s.client, s.granted, meant)));
        }
        expected.sort_unstable();
        candidates.sort_unstable();
        for group in candidates.chunk_by(|(one, ..), (other, ..)| one == other) {
            let meant = group.iter().any(|(_, _, meant)| *meant);
            // Sorted, so the last has the highest QoS.
            if let (true, Some((client, qos, _))) = (meant, group.last()) {
                recipients.push((*client, *qos));
            }
        }
        let before = recipients.len();
        recipients.retain(|(client, _)| !copies.has(copy, *client));
        self.stats.copies += u64::from(before > recipients.len());
        let number = match broker.copies {
            CopyMode::PerSubscription => u32::try_from(expected.len()).unwrap_or(u32::MAX),
            _ => 1,
        };
        let clients = recipients.iter().map(|(client, _)| *client);
        copies.settle(cx.now, copy, ids, &expected, number, clients);
        self.expected = expected;
        self.candidates = candidates;
        first
    }

    /// A message that was retained when somebody subscribed is for those who did, and nobody else.
    fn retained_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        matched: &[Handle],
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        let line = message.line;
        let print = self.lines.at(line).filters.message_print(name, message.payload);
        let mut clients = core::mem::take(&mut self.just_subscribed);
        for handle in matched {
            let filter = self.lines.at(line).filters.get(*handle);
            if !filter.is_some_and(|filter| filter.is_meant(message.subscription_ids)) {
                continue;
            }
            clients.clear();
            let filters = &mut self.lines.at_mut(line).filters;
            filters.take_retained(cx.now, *handle, print, message.qos, &mut clients);
            for client in &clients {
                let place = self.place_in(*handle, *client);
                let filter = self.lines.at(line).filters.get(*handle);
                if let (Some(place), Some(filter)) = (place, filter)
                    && let Some(me) = filter.subscribers.get(place as usize)
                {
                    recipients.push((*client, me.granted));
                }
            }
        }
        self.just_subscribed = clients;
        recipients.sort_unstable_by_key(|(client, qos)| (*client, Reverse(*qos)));
        recipients.dedup_by_key(|(client, _)| *client);
    }

    /// Whoever has this message as it was published is not to get it once more as retained.
    fn note_published(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        matched: &[Handle],
        further: Option<Further<'_>>,
    ) {
        let mut print = None;
        let filters = &mut self.lines.at_mut(message.line).filters;
        for handle in matched {
            let filter = filters.get(*handle);
            let ids = message.subscription_ids;
            if !filter.is_some_and(|f| f.expects_retained() && f.is_meant(ids)) {
                continue;
            }
            let print = *print.get_or_insert_with(|| filters.message_print(name, message.payload));
            filters.note_published(cx.now, *handle, print, further);
        }
    }
}
