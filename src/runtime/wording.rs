//! The words of log lines: names, places, reasons, and what to do about a limit.

use std::fmt;

use crate::codec::ReturnCode;
use crate::core::upstream::Waste;
use crate::core::{Effects, Limit, Loss, Place, Revoked, Subject};
use crate::transport::udp::Shown;

/// Text that came from outside, quoted and escaped.
pub(super) struct Name<'a>(pub(super) &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// What a refusal is about, after a blank.
pub(super) struct About<'a> {
    pub(super) subject: Subject,
    pub(super) effects: &'a Effects,
}

impl fmt::Display for About<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::None => Ok(()),
            Subject::Text(text) => write!(f, " {}", Name(self.effects.bytes(text))),
            Subject::TopicId(id) => write!(f, " to topic id {id}"),
            Subject::PredefinedId(id) => write!(f, " of predefined topic id {id}"),
        }
    }
}

/// A preposition and the client; nothing before the client has an id.
pub(super) struct Client<'a>(pub(super) &'static str, pub(super) &'a [u8]);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_empty() { Ok(()) } else { write!(f, " {} client {}", self.0, Name(self.1)) }
    }
}

/// Octets as `0c 04 01`.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, octet) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{octet:02x}")?;
        }
        Ok(())
    }
}

/// Address, the forwarder's node and, if there are several links, the link. Of a serial line, its name
/// alone.
pub(super) struct Where<'a> {
    pub(super) at: Place,
    pub(super) links: &'a [String],
    pub(super) effects: &'a Effects,
}

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.links.get(usize::from(self.at.link.0));
        // Who sits at the end of a line has no address.
        let named = match link {
            Some(link) if self.at.address.octets().is_empty() => {
                f.write_str(link)?;
                true
            }
            _ => {
                Shown(&self.at.address).fmt(f)?;
                false
            }
        };
        let node = self.effects.bytes(self.at.node);
        if !node.is_empty() {
            write!(f, " (forwarder node {})", Hex(node))?;
        }
        match link.filter(|_| !named) {
            Some(link) => write!(f, " on {link}"),
            None => Ok(()),
        }
    }
}

/// Why a client is lost.
pub(super) struct Why(pub(super) Loss);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Loss::Silent { silent, allowed } => write!(
                f,
                "nothing heard for {} s, its keep-alive allows {} s",
                silent.as_secs(),
                allowed.as_secs()
            ),
            Loss::Overslept { silent, allowed } => write!(
                f,
                "it overslept (nothing heard for {} s, the sleep that it announced allows {} s)",
                silent.as_secs(),
                allowed.as_secs()
            ),
            Loss::NoAnswer { to, tries } => write!(f, "no answer to {to}, sent {tries} times"),
            Loss::Replaced => f.write_str("another client connected from its address"),
            Loss::Barred => f.write_str("the broker does not serve it any longer (see above)"),
        }
    }
}

/// A return code in words.
pub(super) struct Told(pub(super) ReturnCode);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ReturnCode::ACCEPTED => f.write_str("accepted"),
            ReturnCode::CONGESTION => f.write_str("congestion"),
            ReturnCode::INVALID_TOPIC_ID => f.write_str("invalid topic id"),
            ReturnCode::NOT_SUPPORTED => f.write_str("not supported"),
            ReturnCode(code) => write!(f, "return code 0x{code:02x}"),
        }
    }
}

/// Where a rule stands that is the reason, in brackets; nothing without a rule.
pub(super) struct Rule<'a>(pub(super) &'a [u8]);

impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        // It is the operator's own text, and was made fit to be shown.
        write!(f, " ({})", String::from_utf8_lossy(self.0))
    }
}

/// What a change of the rules took away.
pub(super) fn revoked(what: Revoked) -> &'static str {
    match what {
        Revoked::Session => "the session",
        Revoked::Subscription => "the subscription",
        Revoked::Will => "the will on",
        Revoked::Message => "a waiting message on",
    }
}

/// A number of things.
pub(super) struct Count(pub(super) u32, pub(super) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// Why a publication of the spool was thrown away.
pub(super) fn wasted(why: Waste) -> &'static str {
    match why {
        Waste::Refused => "the broker refused it",
        Waste::Expired => "it is older than upstream.spool.max_age",
    }
}

/// What a limit that was reached means, and what can be done about it.
pub(super) fn advice(limit: Limit) -> &'static str {
    match limit {
        Limit::Clients => "there is no room for another client, sessions.max_clients makes it",
        Limit::Handshakes => "too many devices are in the middle of their will dialogues",
        Limit::Topics => "it wants another topic id, sessions.max_topics_per_client allows more",
        Limit::Subscriptions => {
            "it wants another subscription, sessions.max_subscriptions_per_client allows more"
        }
        Limit::InFlight => "it asks for more than the broker answers; is that slow, or away?",
        Limit::Buffer => {
            "more waits for it than sessions.max_buffered_messages, max_buffered_bytes or \
             max_buffered_bytes_total allow"
        }
        Limit::PacketSize => "a message is larger than its link, or its profile, has room for",
        Limit::Strangers => "it keeps sending without a connection, and was told so often enough",
        Limit::Takeovers => "two devices seem to have this client id",
        Limit::Store => "the state directory cannot be written to, see the lines about it",
        Limit::Newcomers => {
            "many new client ids from one address: a device that makes one up at every start, or \
             somebody who wants to fill the gateway"
        }
    }
}
