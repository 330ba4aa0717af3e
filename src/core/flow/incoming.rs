//! A message from the broker: whom it is for. Each client gets it once, however many of its filters
//! match (§24.32 of common practice), and retained messages go only to those who have just
//! subscribed.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::core::effects::Effect;
use crate::core::flow::CopyMode;
use crate::core::gateway::{Cx, Gateway};
use crate::core::slots::Handle;
use crate::core::stats::Drop;
use crate::core::upstream::{DeliveryId, MqttQos};

/// [`UpstreamEvent::Message`](crate::core::upstream::UpstreamEvent::Message), as a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) delivery: Option<DeliveryId>,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: MqttQos,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: &'a [u32],
}

impl Gateway {
    pub(crate) fn on_message(&mut self, cx: &mut Cx<'_>, message: &Incoming<'_>) {
        let mut recipients = core::mem::take(&mut self.recipients);
        recipients.clear();
        let name = message.topic.strip_prefix(&*self.settings.topic_prefix);
        if let Some(name) = name {
            self.find_recipients(cx, name, message, &mut recipients);
        }
        if self.is_probe(cx, message) {
            self.recipients = recipients;
            return;
        }
        let mut stored = None;
        for (client, granted) in &recipients {
            let qos = message.qos.min(*granted);
            self.deliver(cx, *client, qos, name.unwrap_or(""), message, &mut stored);
        }
        match stored {
            Some(handle) => self.release_message(cx, handle, true),
            None => {
                if let Some(delivery) = message.delivery {
                    cx.fx.push(Effect::Acknowledge { delivery });
                }
            }
        }
        if recipients.is_empty() {
            self.drop_packet(Drop::NoSubscriber);
        }
        self.recipients = recipients;
    }

    fn find_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        let mut matched = core::mem::take(&mut self.matched);
        matched.clear();
        self.filters.matches(name, &mut matched);
        if message.retain {
            self.retained_recipients(cx, name, message, &matched, recipients);
        } else if let [only] = matched.as_slice() {
            if let Some(filter) = self.filters.get(*only)
                && (message.subscription_ids.is_empty()
                    || message.subscription_ids.contains(&filter.id))
            {
                recipients.extend(filter.subscribers.iter().map(|s| (s.client, s.granted)));
            }
        } else if !matched.is_empty() {
            self.overlapping_recipients(cx, name, message, &matched, recipients);
        }
        self.matched = matched;
    }

    /// Several filters match, so there may be several copies. Each client gets the message with the
    /// first copy that is for one of its filters, and with no other.
    fn overlapping_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        matched: &[Handle],
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        let ids = message.subscription_ids;
        let copy = self.copies.take(cx.now, name, message.payload, ids);
        let mut expected = core::mem::take(&mut self.expected);
        expected.clear();
        for filter in matched.iter().filter_map(|handle| self.filters.get(*handle)) {
            if filter.granted.is_some() {
                expected.push(filter.id);
            }
            if ids.is_empty() || ids.contains(&filter.id) {
                recipients.extend(filter.subscribers.iter().map(|s| (s.client, s.granted)));
            }
        }
        // A client with several of these filters counts once, with the highest QoS.
        recipients.sort_unstable_by_key(|(client, qos)| (*client, Reverse(*qos)));
        recipients.dedup_by_key(|(client, _)| *client);
        let before = recipients.len();
        recipients.retain(|(client, _)| !self.copies.has(copy, *client));
        self.stats.copies += u64::from(before > recipients.len());
        let copies = match self.broker.copies {
            CopyMode::PerSubscription => u32::try_from(expected.len()).unwrap_or(u32::MAX),
            _ => 1,
        };
        let clients = recipients.iter().map(|(client, _)| *client);
        self.copies.settle(cx.now, copy, ids, &expected, copies, clients);
        self.expected = expected;
    }

    /// A message that was retained when somebody subscribed: it belongs to the latest SUBSCRIBE that
    /// has not had its copy yet.
    fn retained_recipients(
        &mut self,
        cx: &Cx<'_>,
        name: &str,
        message: &Incoming<'_>,
        matched: &[Handle],
        recipients: &mut Vec<(Handle, MqttQos)>,
    ) {
        let hash = self.filters.topic_hash(name);
        let ids = message.subscription_ids;
        let latest = matched
            .iter()
            .filter_map(|handle| {
                let filter = self.filters.get(*handle)?;
                if !ids.is_empty() && !ids.contains(&filter.id) {
                    return None;
                }
                Some((filter.waiting_round(cx.now, hash)?, *handle))
            })
            .max();
        let Some((round, handle)) = latest else { return };
        if let Some(filter) = self.filters.get_mut(handle) {
            filter.take_retained(cx.now, round, hash, recipients);
        }
    }
}
