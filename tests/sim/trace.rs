//! What happened, one line an event; printed with `SIM_TRACE=1`, and the last lines of it when a
//! seed fails.

use std::collections::VecDeque;
use std::fmt::Write as _;

use mqtt_sn_gateway::codec::{Message, SubscribeTopic, decode};
use mqtt_sn_gateway::time::Time;

use crate::wire::Packet;

/// Lines kept for the report of a failure.
const KEPT: usize = 60;

/// Characters of a line.
const WIDTH: usize = 1_000;

/// The trace of one world.
pub struct Trace {
    print: bool,
    keep: bool,
    last: VecDeque<String>,
}

impl Trace {
    /// Prints if `SIM_TRACE` is set; keeps the last lines if `keep`.
    pub fn new(keep: bool) -> Self {
        Self { print: std::env::var_os("SIM_TRACE").is_some(), keep, last: VecDeque::new() }
    }

    /// Whether anybody reads it; lets hot callers skip the formatting.
    pub fn on(&self) -> bool {
        self.print || self.keep
    }

    /// One line.
    pub fn line(&mut self, now: Time, text: impl FnOnce() -> String) {
        if !self.on() {
            return;
        }
        let text: String = text().chars().take(WIDTH).collect();
        let line = format!("{:>9.3}  {text}", now.0 as f64 / 1_000.0);
        if self.print {
            println!("{line}");
            return;
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The last lines.
    pub fn tail(&self) -> String {
        self.last.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

/// A datagram as a person reads it.
pub fn show(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(packet) => message(&packet.message),
        Err(error) => format!("malformed ({error:?}) {bytes:02x?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(bytes).chars().take(24).collect();
    format!("{shown:?}")
}

fn message(message: &Message<'_>) -> String {
    match message {
        Message::Connect(c) => format!(
            "CONNECT {} clean={} will={} {}s",
            text(c.client_id),
            c.clean_session,
            c.will,
            c.duration
        ),
        Message::Register { topic_id, msg_id, topic } => {
            format!("REGISTER id={topic_id} #{msg_id} {}", text(topic))
        }
        Message::Publish(p) => format!(
            "PUBLISH {:?}{}{} {:?} #{} {}",
            p.qos,
            if p.dup { " dup" } else { "" },
            if p.retain { " retain" } else { "" },
            p.topic,
            p.msg_id,
            text(p.data)
        ),
        Message::Subscribe(s) => {
            format!("SUBSCRIBE {:?} {} #{}", s.qos, filter(&s.topic), s.msg_id)
        }
        Message::Unsubscribe { msg_id, topic } => {
            format!("UNSUBSCRIBE {} #{msg_id}", filter(topic))
        }
        Message::PingReq { client_id } => format!("PINGREQ {}", text(client_id)),
        other => format!("{other:?}"),
    }
}

fn filter(topic: &SubscribeTopic<'_>) -> String {
    match topic {
        SubscribeTopic::Name(name) => text(name),
        other => format!("{other:?}"),
    }
}

/// An MQTT packet as a person reads it.
pub fn show_packet(packet: &Packet) -> String {
    let Packet::Publish(publish) = packet else { return format!("{packet:?}") };
    format!(
        "PUBLISH q{}{}{} {:?} #{} {} for {:?}",
        publish.qos,
        if publish.dup { " dup" } else { "" },
        if publish.retain { " retain" } else { "" },
        publish.topic,
        publish.id,
        text(&publish.payload),
        publish.sub_ids
    )
}
