//! What an image weighs on the disk: the length of its records.

use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::store::image::{ClientImage, Image, PeerImage, WillImage};
use mqtt_sn_gateway::store::record::{
    ClientRecord, FilterRecord, PeerRecord, Record, Standing, TopicField, WillRecord,
};

use super::Oracle;

struct Scale {
    buffer: Vec<u8>,
}

impl Scale {
    fn put(&mut self, record: &Record<'_>) {
        record.put(&mut self.buffer);
    }

    fn client(&mut self, slot: u32, client: &ClientImage) {
        self.put(&Record::NewClient { slot, id: &client.id });
        if let Some(one) = &client.client {
            let peer = one.peer.as_ref().map(|PeerImage { link, address, node }| PeerRecord {
                link: *link,
                address,
                node: node.as_deref(),
            });
            let will = one.will.as_ref().map(|WillImage { topic, message, qos, retain }| {
                WillRecord { topic, message, qos: *qos, retain: *retain }
            });
            self.put(&Record::Client(ClientRecord {
                slot,
                peer,
                bound: one.bound,
                standing: Standing::Active,
                announced_will: one.announced_will,
                clean: one.clean,
                reuses_ids: one.reuses_ids,
                keep_alive: one.keep_alive,
                sleep: one.sleep,
                asleep_since: one.asleep_since,
                heard: one.heard,
                connected: one.connected,
                msg_id: one.msg_id,
                offset: one.offset,
                will,
            }));
        }
        for (position, topic) in client.topics.iter().enumerate() {
            let position = position as u16;
            self.put(&Record::Topic { slot, position, name: &topic.name });
            let (confirmed, refused, normal_only) = (true, false, false);
            self.put(&Record::TopicKnown { slot, position, confirmed, refused, normal_only });
        }
        for sub in &client.subscriptions {
            let (filter, form, granted) = (&sub.filter, sub.form, sub.granted);
            self.put(&Record::Subscription { slot, filter, form, granted });
        }
        for message in client.queue.keys() {
            let (message, qos) = (*message, MqttQos::One);
            self.put(&Record::Enqueued { slot, message, qos, retain: false });
        }
        for (msg_id, publication) in &client.publications {
            let topic = TopicField { ..publication.topic };
            let (msg_id, hash, at) = (*msg_id, publication.hash, publication.at);
            self.put(&Record::Publication { slot, msg_id, topic, hash, at, done: true });
        }
    }
}

/// Octets of the records that make up `image`; of messages only those that wait for somebody.
fn weigh(image: &Image) -> usize {
    let mut scale = Scale { buffer: Vec::new() };
    for (slot, client) in &image.clients {
        scale.client(*slot, client);
    }
    for (serial, message) in &image.messages {
        if image.clients.values().any(|client| client.queue.contains_key(serial)) {
            let (serial, topic, payload) = (*serial, &message.topic, &message.payload);
            scale.put(&Record::Message { serial, topic, payload });
        }
    }
    for (text, filter) in &image.main.filters {
        let (asked, granted, marked) = (true, filter.granted, true);
        scale.put(&Record::Filter(FilterRecord { text, id: filter.id, asked, granted, marked }));
    }
    for (key, one) in &image.main.requests {
        scale.put(&Record::Request {
            key: *key,
            origin: one.origin,
            at: one.at,
            qos: one.qos,
            retain: one.retain,
            topic: &one.topic,
            payload: &one.payload,
        });
        scale.put(&Record::RequestSent { key: *key, packet_id: one.packet_id });
    }
    for (packet_id, hash) in &image.main.received {
        scale.put(&Record::Received { packet_id: *packet_id, hash: *hash });
    }
    scale.buffer.len()
}

impl Oracle {
    /// Octets of what lives on the gateway's disk.
    pub fn live_octets(&self) -> u64 {
        self.safe_image().map_or(0, weigh) as u64
    }
}
