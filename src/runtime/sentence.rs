//! What the core noticed, in a sentence for a person: in the log, and in the diary of a client.

use std::fmt;

use tracing::Level;

use super::wording::{
    About, Client, Count, Hex, Name, Rule, Told, Where, Why, advice, revoked, wasted,
};
use crate::core::{Effects, Notice, Place, Revoked, Span, Subject};

/// A notice that is shown in words.
#[derive(Clone, Copy)]
pub(super) struct Sentence<'a> {
    pub(super) notice: &'a Notice,
    /// That hold it.
    pub(super) effects: &'a Effects,
    /// Names of the links, by number; empty if places need none.
    pub(super) links: &'a [String],
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notice, effects, links } = *self;
        let name = |span: Span| Name(effects.bytes(span));
        let place = |at: &Place| Where { at: *at, links, effects };
        match *notice {
            Notice::Malformed { ref from, error, bytes } => write!(
                f,
                "not MQTT-SN, from {}: {error}; it begins with {}",
                place(from),
                Hex(effects.bytes(bytes))
            ),
            Notice::Connected { client, ref at, keep_alive, clean, resumed } => write!(
                f,
                "client {} connected from {}, keep-alive {keep_alive} s, {}",
                name(client),
                place(at),
                match (clean, resumed) {
                    (true, true) => "clean session, kept because it slept",
                    (true, false) => "clean session",
                    (false, true) => "session resumed",
                    (false, false) => "new session",
                }
            ),
            Notice::Moved { client, ref from, ref to, asleep: true } => write!(
                f,
                "client {} moved from {} to {} while it slept",
                name(client),
                place(from),
                place(to)
            ),
            Notice::Moved { client, ref from, ref to, asleep: false } => write!(
                f,
                "client {} moved from {} to {}; if it goes back and forth, two devices have the \
                 same client id",
                name(client),
                place(from),
                place(to)
            ),
            Notice::Contested { client, ref holder, ref rival } => write!(
                f,
                "client {} goes back and forth between {} and {}: two devices have the same client \
                 id. Its session stays with the former for now, the latter hears congestion; give \
                 each device a client id of its own",
                name(client),
                place(holder),
                place(rival)
            ),
            Notice::Asleep { client, duration } => {
                write!(f, "client {} sleeps; it announced {duration} s", name(client))
            }
            Notice::Collected { client, messages: 0, left: 0 } => {
                write!(f, "client {} woke, nothing waited for it", name(client))
            }
            Notice::Collected { client, messages, left: 0 } => write!(
                f,
                "client {} woke and was sent {}",
                name(client),
                Count(messages, "message")
            ),
            Notice::Collected { client, messages, left } => write!(
                f,
                "client {} woke and was sent {}, {left} still wait for its next PINGREQ",
                name(client),
                Count(messages, "message")
            ),
            Notice::Disconnected { client } => write!(f, "client {} disconnected", name(client)),
            Notice::Kicked { client, will } => write!(
                f,
                "the session of client {} was ended by an operator{}",
                name(client),
                if will { "; its will was published" } else { "" }
            ),
            Notice::Lost { client, why, will } => write!(
                f,
                "client {} is lost: {}{}",
                name(client),
                Why(why),
                if will { "; its will was published" } else { "" }
            ),
            Notice::Expired { client, after } => write!(
                f,
                "the session of client {} has expired: nobody came back to it for {} s",
                name(client),
                after.as_secs()
            ),
            Notice::Refused { client, ref at, operation, subject, code, why, rule } => write!(
                f,
                "refused {operation}{}{} at {}: {why}{}; told it: {}",
                About { subject, effects },
                Client("of", effects.bytes(client)),
                place(at),
                Rule(effects.bytes(rule)),
                Told(code)
            ),
            Notice::Revoked { client, what: Revoked::Session, subject: _, why, rule } => write!(
                f,
                "the session of client {} ends: {why}{}",
                name(client),
                Rule(effects.bytes(rule))
            ),
            Notice::Revoked { client, what, subject, why, rule } => write!(
                f,
                "took {} {} away from client {}: {why}{}",
                revoked(what),
                name(subject),
                name(client),
                Rule(effects.bytes(rule))
            ),
            Notice::Stranger { ref at, packet } => {
                write!(f, "{packet} from {}, which is not connected", place(at))
            }
            Notice::Abandoned { client, topic, qos, why } => write!(
                f,
                "gave up a QoS {qos} message to client {} on topic {}: {why}",
                name(client),
                name(topic)
            ),
            Notice::UnknownPredefined { client, id, topic } => write!(
                f,
                "client {} does not know predefined topic id {id} ({} under [topics]): the topic is \
                 registered with it instead; give gateway and device the same list",
                name(client),
                name(topic)
            ),
            Notice::DropsAtPing { client, keep_alive } => write!(
                f,
                "client {} connects anew whenever its first ping is due (keep-alive {keep_alive} s). \
                 This looks like RIOT asymcute, which does not forget the failed pings of an \
                 earlier outage: restart the device",
                name(client)
            ),
            Notice::LimitReached { client, limit } => {
                write!(
                    f,
                    "limit \"{}\" reached{}: {}",
                    limit.label(),
                    Client("by", effects.bytes(client)),
                    advice(limit)
                )
            }
            Notice::Wasted { topic, why } => write!(
                f,
                "a publication on {}, which its device was told is safe, did not reach the broker: \
                 {}",
                name(topic),
                wasted(why)
            ),
            Notice::Complaint { what, about, code, name: reason, said } => {
                let said = match effects.bytes(said) {
                    [] => String::new(),
                    said => format!(", saying \"{}\"", String::from_utf8_lossy(said)),
                };
                let about = match effects.bytes(about) {
                    [] => String::new(),
                    _ => format!(" of {}", name(about)),
                };
                write!(f, "the broker refuses {what}{about}: {reason} (code {code:#04x}){said}")
            }
            Notice::StoreFailed { kind: _, error } => write!(
                f,
                "cannot write to the state directory: {}. Devices hear congestion where something \
                 would have to be kept; it is tried again until it works",
                String::from_utf8_lossy(effects.bytes(error))
            ),
            Notice::StoreRecovered { after } => write!(
                f,
                "the state directory can be written to again, after {} s; everything is kept again",
                after.as_secs()
            ),
            Notice::SubscriptionLost { filter } => write!(
                f,
                "the broker refuses the subscription {}: the clients that depend on it get \
                 nothing",
                name(filter)
            ),
        }
    }
}

/// How much a notice matters.
pub(super) fn level(notice: &Notice) -> Level {
    match notice {
        Notice::StoreFailed { .. } => Level::ERROR,
        Notice::Connected { .. }
        | Notice::Moved { asleep: true, .. }
        | Notice::Asleep { .. }
        | Notice::Collected { left: 1.., .. }
        | Notice::Disconnected { .. }
        | Notice::Lost { .. }
        | Notice::Expired { .. }
        | Notice::Stranger { .. } => Level::INFO,
        // What a healthy sleeping device does all day.
        Notice::Collected { left: 0, .. } => Level::DEBUG,
        _ => Level::WARN,
    }
}

/// Whether a notice is about somebody who is no client.
pub(super) fn is_of_a_stranger(notice: &Notice) -> bool {
    matches!(notice, Notice::Malformed { .. } | Notice::Stranger { .. } | Notice::Refused { .. })
}

/// The client that a notice is about, if it is about one: its id as it said it.
pub(super) fn client(notice: &Notice) -> Option<Span> {
    let client =
        match *notice {
            Notice::Connected { client, .. }
            | Notice::Moved { client, .. }
            | Notice::Contested { client, .. }
            | Notice::Asleep { client, .. }
            | Notice::Collected { client, .. }
            | Notice::Disconnected { client }
            | Notice::Kicked { client, .. }
            | Notice::Lost { client, .. }
            | Notice::Expired { client, .. }
            | Notice::Revoked { client, .. }
            | Notice::Abandoned { client, .. }
            | Notice::UnknownPredefined { client, .. }
            | Notice::DropsAtPing { client, .. }
            | Notice::LimitReached { client, .. } => client,
            // Before it has an id, the id is what it is about.
            Notice::Refused {
                client, operation: "CONNECT", subject: Subject::Text(id), ..
            } if client.is_empty() => id,
            Notice::Refused { client, .. } => client,
            Notice::Malformed { .. }
            | Notice::Stranger { .. }
            | Notice::Complaint { .. }
            | Notice::Wasted { .. }
            | Notice::StoreFailed { .. }
            | Notice::StoreRecovered { .. }
            | Notice::SubscriptionLost { .. } => return None,
        };
    Some(client).filter(|client| !client.is_empty())
}
