//! The diary of a client in words, as JSON.

use serde::Serialize;
use tracing::Level;

use super::api::rfc3339_millis;
use super::happening::{Happening, PacketEntry, What};
use super::hints::{self, Hint, Step};
use crate::cli::explain;
use crate::codec::{
    DecodeError, Message, Packet, Publish, PublishTopic, Subscribe, SubscribeTopic, decode,
};
use crate::runtime::Snapshot;

/// A line of a timeline.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A packet.
    Packet {
        /// When, to the millisecond.
        time: String,
        /// `in`: from the device; `out`: to it.
        direction: &'static str,
        /// Its name, such as `PUBLISH`; `malformed` if it is none.
        packet: &'static str,
        /// What it says.
        text: String,
        /// The normal or predefined topic id that it names.
        topic_id: Option<u16>,
        /// The topic id is a predefined one.
        predefined: bool,
        /// Name of the link.
        link: Option<String>,
        /// Where the device was on it.
        address: Option<String>,
        /// Length.
        octets: usize,
        /// Only the beginning was kept.
        cut: bool,
    },
    /// What became of a packet, or of the lack of one.
    Event {
        /// When, to the millisecond.
        time: String,
        /// How much it matters: `error`, `warn`, `info` or `debug`.
        level: &'static str,
        /// A sentence.
        text: String,
    },
}

/// The timeline of a client, or of those that are none.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineOf {
    /// Client id.
    pub id: Option<String>,
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Older ones that there was no room for any more.
    pub forgotten: u32,
    /// What these packets look like to somebody who has seen many devices.
    pub hints: Vec<Hint>,
}

impl TimelineOf {
    /// In words.
    #[must_use]
    pub fn new(id: Option<String>, diary: &Snapshot) -> Self {
        let happenings = diary.happenings();
        let entries = happenings.iter().map(Entry::from).collect();
        // Packets of many have no story.
        let hints = if id.is_some() { hints(&happenings) } else { Vec::new() };
        Self { id, entries, forgotten: diary.forgotten(), hints }
    }
}

/// What these packets look like, as far as they can be read.
fn hints(happenings: &[Happening]) -> Vec<Hint> {
    let packets = happenings.iter().filter_map(|happening| match &happening.what {
        What::Packet(packet) => Some((happening.time, packet.sent, packet.padded())),
        What::Sentence(..) => None,
    });
    let packets: Vec<_> = packets.collect();
    let steps = packets.iter().filter_map(|(time, sent, octets)| {
        Some(Step { time: *time, sent: *sent, message: decode(octets).ok()?.message })
    });
    hints::of(&steps.collect::<Vec<_>>())
}

impl PacketEntry {
    /// The octets of the packet; those that were not kept are replaced by others, which nothing that is shown
    /// of it needs. A character that the cut went through is left out.
    fn padded(&self) -> Vec<u8> {
        let mut octets = self.octets.clone();
        if octets.len() < self.whole {
            let begun = octets.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
            octets.truncate(octets.len() - begun);
            octets.resize(self.whole, b'.');
        }
        octets
    }
}

impl From<&Happening> for Entry {
    fn from(happening: &Happening) -> Self {
        let time = rfc3339_millis(happening.time);
        match &happening.what {
            What::Sentence(level, text) => {
                Self::Event { time, level: level_name(*level), text: text.clone() }
            }
            What::Packet(entry) => {
                let octets = entry.padded();
                let decoded = decode(&octets);
                let (packet, text) = in_words(&decoded, &octets);
                let topic = decoded.ok().and_then(|packet| topic_id(&packet.message));
                Self::Packet {
                    time,
                    direction: if entry.sent { "out" } else { "in" },
                    packet,
                    text,
                    topic_id: topic.map(|(id, _)| id),
                    predefined: topic.is_some_and(|(_, predefined)| predefined),
                    link: entry.link.as_deref().map(str::to_owned),
                    address: Some(entry.address.clone()).filter(|address| !address.is_empty()),
                    octets: entry.whole,
                    cut: entry.octets.len() < entry.whole,
                }
            }
        }
    }
}

fn in_words(packet: &Result<Packet<'_>, DecodeError>, octets: &[u8]) -> (&'static str, String) {
    match packet {
        Ok(packet) => (packet.message.name(), explain::packet(packet)),
        Err(error) => {
            let begin = octets.get(..16).unwrap_or(octets);
            let text = format!("not MQTT-SN: {error}; it begins with {}", explain::hex(begin));
            ("malformed", text)
        }
    }
}

/// The topic id that a message names, and whether it is a predefined one.
fn topic_id(message: &Message<'_>) -> Option<(u16, bool)> {
    match *message {
        Message::Publish(Publish { topic: PublishTopic::Normal(id), .. }) => Some((id, false)),
        Message::Publish(Publish { topic: PublishTopic::Predefined(id), .. })
        | Message::Subscribe(Subscribe { topic: SubscribeTopic::Predefined(id), .. })
        | Message::Unsubscribe { topic: SubscribeTopic::Predefined(id), .. } => Some((id, true)),
        Message::Register { topic_id, .. } if topic_id != 0 => Some((topic_id, false)),
        _ => None,
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn packet(octets: &[u8], whole: usize) -> Happening {
        let entry = PacketEntry {
            sent: false,
            link: Some("udp 127.0.0.1:1883".into()),
            address: String::new(),
            whole,
            octets: octets.to_vec(),
        };
        Happening { time: Time(1_764_255_999_123), what: What::Packet(entry) }
    }

    #[test]
    fn packets_are_put_into_words() {
        let json = |happening: &Happening| serde_json::to_value(Entry::from(happening)).unwrap();
        let publish = json(&packet(b"\x09\x0C\x20\x00\x05\x00\x07hi", 9));
        assert_eq!(publish["kind"], "packet");
        assert_eq!(publish["time"], "2025-11-27T15:06:39.123Z");
        assert_eq!((&publish["packet"], &publish["cut"]), (&"PUBLISH".into(), &false.into()));
        let text = "PUBLISH: topic id 5, QoS 1, msg id 7, 2 bytes \"hi\"";
        assert_eq!((&publish["topic_id"], &publish["predefined"]), (&5.into(), &false.into()));
        assert_eq!((&publish["text"], &publish["address"]), (&text.into(), &().into()));

        // The beginning of a long one is enough for all that is shown.
        let long = [&b"\x01\x01\x2C\x0C\x00\x00\x05\x00\x00"[..], &[b'x'; 151]].concat();
        let long = json(&packet(&long, 300));
        let text = format!("PUBLISH: topic id 5, QoS 0, 291 bytes \"{}\"…", "x".repeat(96));
        assert_eq!((&long["text"], &long["cut"]), (&text.into(), &true.into()));

        // The cut goes through a character of a name.
        let name = "ü".repeat(150);
        let register = [&b"\x01\x01\x34\x0A\x00\x00\x00\x01"[..], name.as_bytes()].concat();
        let register = json(&packet(&register[..159], register.len()));
        let text = register["text"].as_str().unwrap();
        assert!(text.contains("üü") && !text.contains("note"), "{text}");

        let odd = json(&packet(&[0xFF; 40], 40));
        assert_eq!(odd["packet"], "malformed");
        assert!(odd["text"].as_str().unwrap().starts_with("not MQTT-SN: "), "{odd}");
        let what = What::Sentence(Level::INFO, "client \"m\" sleeps".to_owned());
        let event = json(&Happening { time: Time(0), what });
        let expected = serde_json::json!({
            "kind": "event", "time": "1970-01-01T00:00:00.000Z", "level": "info", "text": "client \"m\" sleeps"
        });
        assert_eq!(event, expected);
    }
}
