//! What the core noticed, as log lines for a person.

use std::fmt;
use std::time::{Duration, Instant};

use tracing::{Level, debug, enabled, info, warn};

use crate::codec::ReturnCode;
use crate::core::{Effects, LinkId, Loss, Notice, Place, Span, Subject};
use crate::ops::{Allowed, RateLimit};
use crate::transport::udp::Shown;

/// Lines of one kind per link within [`INTERVAL`]; more than a person reads.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(10);
/// More kinds times links than there are.
const MAX_KEYS: usize = 1_024;

/// Writes notices to the log, at a limited rate: devices and strangers must not fill the disk.
#[derive(Debug)]
pub(super) struct Notices {
    limit: RateLimit<(u8, LinkId)>,
    /// Names of the links, by number; empty if there is only one, which needs none.
    links: Vec<String>,
}

impl Notices {
    pub(super) fn new(links: Vec<String>) -> Self {
        let links = if links.len() > 1 { links } else { Vec::new() };
        Self { limit: RateLimit::new(BURST, INTERVAL, MAX_KEYS), links }
    }

    /// Writes those that wait in `effects`.
    pub(super) fn write(&mut self, effects: &Effects) {
        if effects.notices().is_empty() || !enabled!(Level::WARN) {
            return;
        }
        let now = Instant::now();
        for notice in effects.notices() {
            if is_everyday(notice) && !enabled!(Level::INFO) {
                continue;
            }
            let Some(allowed) = self.limit.allow(now, key(notice)) else { continue };
            self.line(effects, notice, allowed);
        }
    }

    fn line(&self, effects: &Effects, notice: &Notice, more: Allowed) {
        let name = |span: Span| Name(effects.bytes(span));
        let place = |at: &Place| Where { at: *at, links: &self.links, effects };
        match *notice {
            Notice::Malformed { ref from, error, bytes } => warn!(
                "not MQTT-SN, from {}: {error}; it begins with {}{more}",
                place(from),
                Hex(effects.bytes(bytes))
            ),
            Notice::Connected { client, ref at, keep_alive, clean, resumed } => info!(
                "client {} connected from {}, keep-alive {keep_alive} s, {}{more}",
                name(client),
                place(at),
                match (clean, resumed) {
                    (true, _) => "clean session",
                    (false, true) => "session resumed",
                    (false, false) => "new session",
                }
            ),
            Notice::Moved { client, ref from, ref to, asleep: true } => info!(
                "client {} fell asleep at {} and woke up at {}{more}",
                name(client),
                place(from),
                place(to)
            ),
            Notice::Moved { client, ref from, ref to, asleep: false } => warn!(
                "client {} moved from {} to {} while its connection was in use; if this repeats, \
                 two devices have the same client id{more}",
                name(client),
                place(from),
                place(to)
            ),
            Notice::Contested { client, ref holder, ref rival } => warn!(
                "client {}: its session goes back and forth between {} and {}: two devices have \
                 the same client id. For a minute it stays with the former; give each device a \
                 client id of its own{more}",
                name(client),
                place(holder),
                place(rival)
            ),
            Notice::Asleep { client, duration } => {
                info!("client {} sleeps for {duration} s{more}", name(client));
            }
            Notice::Collected { client, messages, left } => debug!(
                "client {} woke and was sent {messages} messages, {left} still wait{more}",
                name(client)
            ),
            Notice::Disconnected { client } => info!("client {} disconnected{more}", name(client)),
            Notice::Lost { client, why, will } => info!(
                "client {} is lost: {}{}{more}",
                name(client),
                Why(why),
                if will { "; its will was published" } else { "" }
            ),
            Notice::Refused { client, ref at, operation, subject, code, why } => warn!(
                "refused {operation}{}{} at {}: {why}; told it: {}{more}",
                About { subject, effects },
                Of(effects.bytes(client)),
                place(at),
                Told(code)
            ),
            Notice::Stranger { ref at, packet } => {
                info!("{packet} from {}, which is not connected{more}", place(at));
            }
            Notice::Abandoned { client, topic, qos, why } => warn!(
                "gave up a QoS {qos} message to client {} on topic {}: {why}{more}",
                name(client),
                name(topic)
            ),
            Notice::LimitReached { client, limit } => warn!(
                "limit \"{}\" reached by client {}; see [sessions] in the configuration{more}",
                limit.label(),
                name(client)
            ),
            Notice::SubscriptionLost { filter } => warn!(
                "the broker refuses the subscription {}: the clients that depend on it get \
                 nothing{more}",
                name(filter)
            ),
        }
    }
}

/// Part of a normal day, so not for those who only want to hear of trouble.
fn is_everyday(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Connected { .. }
            | Notice::Asleep { .. }
            | Notice::Moved { asleep: true, .. }
            | Notice::Collected { .. }
            | Notice::Disconnected { .. }
            | Notice::Lost { .. }
            | Notice::Stranger { .. }
    )
}

/// What shares a rate: notices of one kind on one link, and each limit by itself.
fn key(notice: &Notice) -> (u8, LinkId) {
    const NO_LINK: LinkId = LinkId(u16::MAX);
    match notice {
        Notice::Malformed { from, .. } => (0, from.link),
        Notice::Connected { at, .. } => (1, at.link),
        Notice::Moved { to, .. } => (2, to.link),
        Notice::Disconnected { .. } => (3, NO_LINK),
        Notice::Lost { .. } => (4, NO_LINK),
        Notice::Refused { at, .. } => (5, at.link),
        Notice::Stranger { at, .. } => (6, at.link),
        Notice::Abandoned { .. } => (7, NO_LINK),
        Notice::SubscriptionLost { .. } => (8, NO_LINK),
        Notice::Contested { holder, .. } => (9, holder.link),
        Notice::Asleep { .. } => (10, NO_LINK),
        Notice::Collected { .. } => (11, NO_LINK),
        Notice::LimitReached { limit, .. } => (16 + *limit as u8, NO_LINK),
    }
}

/// Text that came from outside, quoted and escaped.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// What a refusal is about, after a blank.
struct About<'a> {
    subject: Subject,
    effects: &'a Effects,
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

/// Whose it is; nothing before the client has an id.
struct Of<'a>(&'a [u8]);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " of client {}", Name(self.0)) }
    }
}

/// Octets as `0c 04 01`.
struct Hex<'a>(&'a [u8]);

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

/// Address, the forwarder's node and, if there are several links, the link.
struct Where<'a> {
    at: Place,
    links: &'a [String],
    effects: &'a Effects,
}

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.at.address).fmt(f)?;
        let node = self.effects.bytes(self.at.node);
        if !node.is_empty() {
            write!(f, " (forwarder node {})", Hex(node))?;
        }
        match self.links.get(usize::from(self.at.link.0)) {
            Some(link) => write!(f, " on {link}"),
            None => Ok(()),
        }
    }
}

struct Why(Loss);

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
                "nothing heard for {} s, the sleep that it announced allows {} s",
                silent.as_secs(),
                allowed.as_secs()
            ),
            Loss::NoAnswer { to, tries } => write!(f, "no answer to {to}, sent {tries} times"),
            Loss::Replaced => f.write_str("another client connected from its address"),
        }
    }
}

struct Told(ReturnCode);

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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::ops::logging::{Style, subscriber};
    use crate::transport::udp::UdpAddress;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(level: &str, notices: &mut Notices, effects: &Effects) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(level, Style::default(), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || notices.write(effects));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn place(fx: &mut Effects, node: &[u8]) -> Place {
        let address = UdpAddress::new("192.0.2.1:5000".parse().unwrap(), None).encode();
        Place { link: LinkId(1), address, node: fx.store(node) }
    }

    #[test]
    fn lines_name_the_device_and_escape_what_it_said() {
        let mut effects = Effects::new();
        effects.notice(|fx| Notice::Lost {
            client: fx.store(b"a\nb"),
            why: Loss::NoAnswer { to: "PUBLISH", tries: 4 },
            will: true,
        });
        effects.notice(|fx| Notice::Stranger { at: place(fx, &[1, 0xAB]), packet: "PUBLISH" });
        let mut one = Notices::new(vec!["udp 0.0.0.0:1883".to_owned()]);
        assert_eq!(
            log("info", &mut one, &effects),
            " INFO client \"a\\nb\" is lost: no answer to PUBLISH, sent 4 times; its will was \
             published\n INFO PUBLISH from 192.0.2.1:5000 (forwarder node 01 ab), which is not \
             connected\n"
        );
        let mut two = Notices::new(vec!["udp a".to_owned(), "udp b".to_owned()]);
        assert!(log("info", &mut two, &effects).contains("(forwarder node 01 ab) on udp b, which"));
        assert_eq!(log("warn", &mut two, &effects), "");
    }

    #[test]
    fn a_flood_is_a_few_lines() {
        let mut effects = Effects::new();
        for _ in 0..200 {
            effects.notice(|fx| Notice::Refused {
                client: fx.store(b"c"),
                at: place(fx, &[]),
                operation: "SUBSCRIBE",
                subject: Subject::Text(fx.store(b"a/#/b")),
                code: ReturnCode::NOT_SUPPORTED,
                why: "the filter is not valid",
            });
        }
        let mut notices = Notices::new(Vec::new());
        let text = log("info", &mut notices, &effects);
        assert_eq!(text.lines().count(), BURST as usize);
        assert_eq!(
            text.lines().next().unwrap(),
            " WARN refused SUBSCRIBE \"a/#/b\" of client \"c\" at 192.0.2.1:5000: the filter is not \
             valid; told it: not supported"
        );
    }
}
