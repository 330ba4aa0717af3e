//! Records: what is written is read back, and any octets are refused or read, never more.

use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::record::{
    ClientRecord, FilterRecord, PeerRecord, Record, Standing, TopicField, WillRecord,
};
use proptest::prelude::*;

/// What records are made of.
#[derive(Clone, Debug)]
struct Parts {
    kind: u8,
    long: [u64; 3],
    int: [u32; 2],
    short: [u16; 5],
    flags: [bool; 6],
    qos: MqttQos,
    standing: Standing,
    texts: [String; 2],
    octets: [Vec<u8>; 3],
}

/// Kinds that [`Parts::record`] makes.
const KINDS: u8 = 25;

fn numbers() -> impl Strategy<Value = u64> {
    // As many short ones as long ones, and the edges of the encoding.
    prop_oneof![any::<u64>(), 0..300_u64, (0..64_u32).prop_map(|bits| 1 << bits), Just(u64::MAX)]
}

fn parts() -> impl Strategy<Value = Parts> {
    let octets = || proptest::collection::vec(any::<u8>(), 0..300);
    let qos = prop_oneof![Just(MqttQos::Zero), Just(MqttQos::One), Just(MqttQos::Two)];
    let standing = prop_oneof![
        Just(Standing::Connecting),
        Just(Standing::Active),
        Just(Standing::Asleep),
        Just(Standing::Gone)
    ];
    let scalars = (0..KINDS, [numbers(), numbers(), numbers()], any::<[u32; 2]>());
    let shorts = (any::<[u16; 5]>(), any::<[bool; 6]>(), qos, standing);
    let texts = (["\\PC{0,40}", "\\PC{0,200}"], [octets(), octets(), octets()]);
    (scalars, shorts, texts).prop_map(
        |((kind, long, int), (short, flags, qos, standing), (texts, octets))| Parts {
            kind,
            long,
            int,
            short,
            flags,
            qos,
            standing,
            texts,
            octets,
        },
    )
}

impl Parts {
    fn client(&self) -> ClientRecord<'_> {
        let [octets, node, message] = &self.octets;
        ClientRecord {
            slot: self.int[0],
            peer: self.flags[0].then_some(PeerRecord {
                link: self.short[0],
                address: octets,
                node: self.flags[1].then_some(node),
            }),
            bound: self.flags[2],
            standing: self.standing,
            announced_will: self.flags[3],
            clean: self.flags[4],
            reuses_ids: self.flags[5],
            keep_alive: self.short[1],
            sleep: self.short[2],
            asleep_since: self.long[0],
            heard: self.long[1],
            connected: self.long[2],
            msg_id: self.short[3],
            offset: self.short[4],
            will: self.flags[1].then_some(WillRecord {
                topic: &self.texts[0],
                message,
                qos: self.qos,
                retain: self.flags[2],
            }),
        }
    }

    fn record(&self) -> Record<'_> {
        let slot = self.int[0];
        let [long, at, hash] = self.long;
        let [number, msg_id, packet_id, ..] = self.short;
        let [yes, no, maybe, ..] = self.flags;
        let [text, topic] = [&*self.texts[0], &*self.texts[1]];
        let (payload, qos, retain) = (&*self.octets[0], self.qos, no);
        match self.kind {
            0 => Record::Seed { seed: long },
            1 => Record::Link { number, name: text },
            2 => Record::NewClient { slot, id: text },
            3 => Record::Client(self.client()),
            4 => Record::ClientGone { slot },
            5 => Record::Cleared { slot },
            6 => Record::Topic { slot, position: number, name: topic },
            7 => {
                let (confirmed, refused, normal_only) = (yes, no, maybe);
                Record::TopicKnown { slot, position: number, confirmed, refused, normal_only }
            }
            8 => Record::Unconfirmed { slot },
            9 => Record::Subscription { slot, filter: topic, form: self.int[1], granted: qos },
            10 => Record::Unsubscription { slot, filter: topic },
            11 => Record::Message { serial: long, topic, payload },
            12 => Record::Enqueued { slot, message: long, qos, retain },
            13 => Record::Dequeued { slot, message: long },
            14 => Record::Outbound { slot, message: long, msg_id, released: yes },
            15 => {
                let topic = TopicField { kind: (number & 0b11) as u8, value: packet_id };
                Record::Publication { slot, msg_id, topic, hash, at, done: maybe }
            }
            16 => Record::PublicationOver { slot, msg_id },
            17 => Record::Filter(FilterRecord {
                text,
                id: self.int[1],
                asked: yes,
                granted: maybe.then_some(qos),
                marked: no,
            }),
            18 => Record::FilterOver { text },
            19 => Record::Session { client_id: text },
            20 => Record::Request { key: long, origin: slot, at, qos, retain, topic, payload },
            21 => Record::RequestSent { key: long, packet_id },
            22 => Record::RequestReleased { key: long },
            23 => Record::Received { packet_id, hash },
            _ => [
                Record::RequestOver { key: long },
                Record::ReceivedOver { packet_id },
                Record::SessionLost,
            ][usize::from(number % 3)],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..Default::default() })]

    #[test]
    fn records_are_read_back_as_they_were_written(all in proptest::collection::vec(parts(), 1..8)) {
        let mut octets = Vec::new();
        for parts in &all {
            parts.record().put(&mut octets);
        }
        let mut rest = &octets[..];
        for parts in &all {
            prop_assert_eq!(Record::take(&mut rest), Ok(parts.record()));
        }
        prop_assert!(rest.is_empty());
        // And none is taken for another if its end is missing.
        let mut first = Vec::new();
        all[0].record().put(&mut first);
        for length in 0..first.len() {
            prop_assert!(Record::take(&mut &first[..length]).is_err());
        }
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = &octets[..];
        while let Ok(record) = Record::take(&mut rest) {
            let mut again = Vec::new();
            record.put(&mut again);
            prop_assert_eq!(Record::take(&mut &again[..]), Ok(record));
        }
        let _ = Image::default().apply_all(&octets);
    }

    #[test]
    fn damaged_records_are_read_or_refused(
        all in proptest::collection::vec(parts(), 1..8), at in any::<prop::sample::Index>(), to: u8
    ) {
        let mut octets = Vec::new();
        all.iter().for_each(|parts| parts.record().put(&mut octets));
        let at = at.index(octets.len());
        octets[at] = to;
        let _ = Image::default().apply_all(&octets);
    }
}
