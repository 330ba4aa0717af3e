//! What the gateway says of itself and of its clients on topics of its own.

use std::fmt::Write as _;
use std::time::Duration;

use super::home::{Home, can_be_described};
use super::{Engine, NOBODY};
use crate::codec::msg_type;
use crate::core::upstream::{LineId, MqttQos, Refusal, Token};
use crate::core::{Address, HomeNews, News, OWN_TOPICS, Settings, Standing, Stats};
use crate::mqtt::{self, Will};
use crate::time::{Time, Utc};

/// From one `stats` to the next.
const PERIOD: Duration = Duration::from_secs(60);

/// How an address is written. Only its link knows.
pub type AddressFormat = fn(&Address) -> String;

/// The topics, and what is to be said there.
#[derive(Debug)]
pub(super) struct Status {
    /// Says whether the gateway is there.
    pub(super) topic: Box<str>,
    pub(super) offline: Box<[u8]>,
    /// `mqtt-sn-gateway/<name>/`.
    prefix: Box<str>,
    began: Time,
    stats_at: Time,
    format: AddressFormat,
    home: Option<Home>,
    /// Reused between messages.
    name: String,
    text: String,
}

impl Status {
    /// If the settings have the will that goes with it.
    pub(super) fn new(core: &Settings, settings: &mqtt::Settings, now: Time) -> Option<Self> {
        let Will { topic, payload, .. } = settings.will.as_ref()?;
        let name = &core.name;
        let prefix = format!("{OWN_TOPICS}{name}/");
        Some(Self {
            topic: topic.clone(),
            offline: payload.clone(),
            home: core.home_prefix.as_deref().map(|home| Home::new(home, name, &prefix)),
            prefix: prefix.into(),
            began: now,
            stats_at: now.after(PERIOD),
            format: in_hexadecimal,
            name: String::new(),
            text: String::new(),
        })
    }

    /// Puts together what Home Assistant is to be told of a client, if it is to be told something.
    fn put_home(&mut self, news: &News<'_>) -> bool {
        let Some(home) = self.home.as_ref().filter(|_| can_be_described(news.id)) else {
            return false;
        };
        self.name.clear();
        home.put_topic(Some(news.id), &mut self.name);
        self.text.clear();
        match news.home {
            HomeNews::Nothing => return false,
            HomeNews::Device(device) => home.put_client(news.id, device, &mut self.text),
            // An empty retained message takes it away.
            HomeNews::NoDevice => {}
        }
        true
    }

    /// Puts topic and text for a client together.
    fn put_news(&mut self, news: &News<'_>) {
        self.name.clear();
        self.name.push_str(&self.prefix);
        self.name.push_str("clients/");
        put_level(news.id, &mut self.name);
        self.text.clear();
        if let Some(standing) = &news.standing {
            put_standing(standing, self.format, &mut self.text);
        }
    }
}

impl Engine {
    /// How addresses are written on the topics of clients.
    pub fn set_address_format(&mut self, format: AddressFormat) {
        if let Some(status) = &mut self.status {
            status.format = format;
        }
    }

    /// The main connection stands.
    pub(super) fn say_online(&mut self, now: Time) {
        let Some(status) = &mut self.status else { return };
        if let Some(session) = self.uplinks.get_mut(LineId::MAIN) {
            // A full queue would have refused it; the next connection says it again.
            let _ = session.publish(now, NOBODY, &status.topic, b"online", MqttQos::One, true);
            if let Some(home) = &status.home {
                status.name.clear();
                home.put_topic(None, &mut status.name);
                status.text.clear();
                home.put_gateway(&mut status.text);
                let (topic, text) = (&status.name, status.text.as_bytes());
                let _ = session.publish(now, NOBODY, topic, text, MqttQos::One, true);
            }
        }
        if let Some(durable) = &mut self.durable {
            let said = std::mem::take(&mut durable.said);
            let said = if said.is_empty() { "{\"state\":\"ok\"}".to_owned() } else { said };
            self.tell_store(now, said);
        }
    }

    /// When [`Self::tell`] has figures to tell; the core says when there is news of clients.
    pub(super) fn stats_at(&self) -> Option<Time> {
        let status = self.status.as_ref().filter(|_| self.is_connected());
        status.map(|status| status.stats_at)
    }

    /// Says what is due of the clients, and of how the gateway is doing.
    pub(super) fn tell(&mut self, now: Time) {
        let Some(status) = &mut self.status else { return };
        let Some(session) = self.uplinks.get_mut(LineId::MAIN) else { return };
        if !session.is_connected() {
            return;
        }
        self.gateway.tell(now, &mut |news| {
            let mut say = |status: &Status| {
                let (topic, text) = (&status.name, status.text.as_bytes());
                // One that the broker does not take is not offered again.
                session.publish(now, NOBODY, topic, text, MqttQos::Zero, true)
                    != Err(Refusal::Congestion)
            };
            if status.put_home(news) && !say(status) {
                return false;
            }
            status.put_news(news);
            say(status)
        });
        if self.stats_at().is_some_and(|at| at <= now) {
            self.tell_stats(now);
        }
    }

    /// At QoS 1: what was told of clients before has reached the broker when it answers.
    fn tell_stats(&mut self, now: Time) {
        let figures = Figures {
            core: self.gateway.stats(),
            sent: *self.effects.sent(),
            spooled: self.spooled_bytes(),
        };
        let Some(status) = &mut self.status else { return };
        let Some(session) = self.uplinks.get_mut(LineId::MAIN) else { return };
        status.stats_at = now.after(PERIOD);
        status.name.clear();
        let _ = write!(status.name, "{}stats", status.prefix);
        status.text.clear();
        figures.put(now.since(status.began), &mut status.text);
        let (topic, text) = (&status.name, status.text.as_bytes());
        // The next minute has better ones.
        let _ = session.publish(now, Token::PROOF, topic, text, MqttQos::One, false);
    }
}

/// What `stats` says.
struct Figures {
    core: Stats,
    /// Messages to devices, by type.
    sent: [u64; 32],
    spooled: u64,
}

impl Figures {
    fn put(&self, uptime: Duration, out: &mut String) {
        let core = &self.core;
        let publish = usize::from(msg_type::PUBLISH);
        let [came, went] =
            [&core.received, &self.sent].map(|all| all.get(publish).copied().unwrap_or_default());
        let there = core.connected + core.asleep + core.handshakes;
        let malformed: u64 = core.malformed.iter().sum();
        let dropped: u64 = core.dropped.iter().sum();
        let _ = write!(
            out,
            "{{\"uptime\":{},\"clients\":{{\"total\":{},\"connected\":{},\"asleep\":{},\
             \"connecting\":{},\"gone\":{}}},\"messages\":{{\"received\":{came},\"sent\":{went}}},\
             \"waiting\":{{\"messages\":{},\"bytes\":{}}},\"spooled_bytes\":{},\
             \"dropped\":{{\"malformed\":{malformed},\"packets\":{dropped},\"messages\":{}}}}}",
            uptime.as_secs(),
            core.clients,
            core.connected,
            core.asleep,
            core.handshakes,
            core.clients.saturating_sub(there),
            core.buffered,
            core.buffered_bytes,
            self.spooled,
            core.abandoned + core.expired + core.wasted,
        );
    }
}

/// A client id as a level of a topic: what a topic name cannot have, `/`, and `%`, as the octets of its
/// UTF-8, each `%` and two hexadecimal digits.
pub(super) fn put_level(id: &str, out: &mut String) {
    for c in id.chars() {
        let code = u32::from(c);
        // Control characters and non-characters make brokers hang up (MQTT 3.1.1 §1.5.3).
        let illegal =
            c.is_control() || code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code);
        if !illegal && !matches!(c, '+' | '#' | '/' | '%') {
            out.push(c);
            continue;
        }
        for octet in c.encode_utf8(&mut [0; 4]).bytes() {
            let _ = write!(out, "%{octet:02X}");
        }
    }
}

fn put_standing(standing: &Standing<'_>, format: AddressFormat, out: &mut String) {
    let _ = write!(out, "{{\"state\":\"{}\",\"link\":", standing.state);
    put_text(standing.link, out);
    out.push_str(",\"address\":");
    let address = standing.address.map(|address| format(&address));
    put_text(address.as_deref().filter(|text| !text.is_empty()), out);
    out.push_str(",\"rssi\":");
    let _ = match standing.rssi {
        Some(rssi) => write!(out, "{rssi}"),
        None => write!(out, "null"),
    };
    let _ = write!(out, ",\"since\":\"{}\",\"sleep_until\":", Utc(standing.since));
    let until = standing.sleep_until.map(|until| Utc(until).to_string());
    put_text(until.as_deref(), out);
    out.push('}');
}

fn put_text(text: Option<&str>, out: &mut String) {
    match text {
        Some(text) => put_json_text(text, out),
        None => out.push_str("null"),
    }
}

/// A text as JSON has it, with its quotation marks.
pub(super) fn put_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn in_hexadecimal(address: &Address) -> String {
    let mut text = String::new();
    for octet in address.octets() {
        let _ = write!(text, "{octet:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(id: &str) -> String {
        let mut out = String::new();
        put_level(id, &mut out);
        out
    }

    #[test]
    fn ids_become_levels_from_which_they_can_be_read() {
        for (id, expected) in [
            ("meter-7", "meter-7"),
            ("a b:c.é", "a b:c.é"),
            ("a/b", "a%2Fb"),
            ("+#", "%2B%23"),
            ("50%", "50%25"),
            ("%2F", "%252F"),
            ("a\0b", "a%00b"),
            ("\u{FFFF}", "%EF%BF%BF"),
            ("\u{FDD0}", "%EF%B7%90"),
        ] {
            assert_eq!(level(id), expected);
            assert!(crate::core::is_filter(&level(id)), "{id:?}");
        }
    }

    #[test]
    fn a_standing_is_json_whatever_is_in_it() {
        let said = |standing: &Standing<'_>| {
            let mut out = String::new();
            put_standing(standing, in_hexadecimal, &mut out);
            out
        };
        let standing = Standing {
            state: "asleep",
            link: Some("line \"a\\\u{7}\""),
            address: Address::new(&[0xAB, 1]),
            rssi: Some(-71),
            since: Time(1_764_255_999_123),
            sleep_until: Some(Time(1_764_256_000_000)),
        };
        assert_eq!(
            said(&standing),
            "{\"state\":\"asleep\",\"link\":\"line \\\"a\\\\\\u0007\\\"\",\"address\":\"AB01\",\
             \"rssi\":-71,\"since\":\"2025-11-27T15:06:39Z\",\
             \"sleep_until\":\"2025-11-27T15:06:40Z\"}"
        );
        let nothing =
            Standing { link: None, address: None, rssi: None, sleep_until: None, ..standing };
        assert_eq!(
            said(&nothing),
            "{\"state\":\"asleep\",\"link\":null,\"address\":null,\"rssi\":null,\
             \"since\":\"2025-11-27T15:06:39Z\",\"sleep_until\":null}"
        );
    }
}
