//! What the core noticed, as log lines for a person.

use std::time::{Duration, Instant};

use tracing::{Level, debug, enabled, error, info, warn};

use super::sentence::{Sentence, level};
use crate::core::{Effects, Limit, LinkId, Notice};
use crate::ops::RateLimit;

/// Lines of one kind per link within [`INTERVAL`]; more than a person reads.
const BURST: u32 = 20;
const INTERVAL: Duration = Duration::from_secs(10);
/// More kinds times links than there are.
const MAX_KEYS: usize = 1_024;

/// Writes notices to the log, at a limited rate: devices and strangers must not fill the disk.
#[derive(Debug)]
pub(super) struct Notices {
    limit: RateLimit<(u8, LinkId)>,
    /// Names of the links, by number; empty if there is only one whose addresses need none.
    links: Vec<String>,
}

impl Notices {
    pub(super) fn new(links: Vec<String>) -> Self {
        // On a serial line nobody has an address: its name stands for it.
        let needed = links.len() > 1 || links.iter().any(|link| link.starts_with("serial "));
        let links = if needed { links } else { Vec::new() };
        Self { limit: RateLimit::new(BURST, INTERVAL, MAX_KEYS), links }
    }

    /// Names of the links where places need them.
    pub(super) fn links(&self) -> &[String] {
        &self.links
    }

    /// Writes those that wait in `effects`.
    pub(super) fn write(&mut self, effects: &Effects) {
        if effects.notices().is_empty() || !enabled!(Level::WARN) {
            return;
        }
        let now = Instant::now();
        for notice in effects.notices() {
            let level = level(notice);
            let hidden = match level {
                Level::INFO => !enabled!(Level::INFO),
                Level::DEBUG => !enabled!(Level::DEBUG),
                _ => false,
            };
            if hidden || is_said_already(notice) {
                continue;
            }
            let Some(more) = self.limit.allow(now, key(notice)) else { continue };
            let line = Sentence { notice, effects, links: &self.links };
            match level {
                Level::ERROR => error!("{line}{more}"),
                Level::WARN => warn!("{line}{more}"),
                Level::INFO => info!("{line}{more}"),
                _ => debug!("{line}{more}"),
            }
        }
    }
}

/// Limits whose refusal has a line of its own that says more.
fn is_said_already(notice: &Notice) -> bool {
    matches!(notice, Notice::LimitReached { limit: Limit::Takeovers | Limit::Newcomers, .. })
}

/// What shares a rate: notices of one kind on one link, and each limit by itself.
fn key(notice: &Notice) -> (u8, LinkId) {
    const NO_LINK: LinkId = LinkId(u16::MAX);
    match notice {
        Notice::Malformed { from, .. } => (0, from.link),
        Notice::Connected { at, .. } => (1, at.link),
        Notice::Moved { to, asleep: false, .. } => (2, to.link),
        Notice::Moved { to, asleep: true, .. } => (14, to.link),
        Notice::Disconnected { .. } => (3, NO_LINK),
        Notice::Lost { .. } => (4, NO_LINK),
        Notice::Kicked { .. } => (129, NO_LINK),
        Notice::Expired { .. } => (130, NO_LINK),
        Notice::Refused { at, .. } => (5, at.link),
        Notice::Revoked { what, .. } => (64 + *what as u8, NO_LINK),
        Notice::Stranger { at, .. } => (6, at.link),
        Notice::Abandoned { .. } => (7, NO_LINK),
        Notice::SubscriptionLost { .. } => (8, NO_LINK),
        Notice::Contested { holder, .. } => (9, holder.link),
        Notice::Asleep { .. } => (10, NO_LINK),
        Notice::Collected { .. } => (11, NO_LINK),
        Notice::UnknownPredefined { .. } => (12, NO_LINK),
        Notice::DropsAtPing { .. } => (13, NO_LINK),
        Notice::Complaint { .. } => (14, NO_LINK),
        Notice::Wasted { .. } => (15, NO_LINK),
        Notice::StoreFailed { .. } | Notice::StoreRecovered { .. } => (128, NO_LINK),
        Notice::LimitReached { limit, .. } => (16 + *limit as u8, NO_LINK),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::codec::ReturnCode;
    use crate::core::{Loss, Place, Span, Subject};
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
                rule: Span::default(),
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

    /// The lines of some notices at a level.
    fn lines(level: &str, build: impl Fn(&mut Effects)) -> String {
        let mut effects = Effects::new();
        build(&mut effects);
        log(level, &mut Notices::new(Vec::new()), &effects)
    }

    #[test]
    fn the_day_of_a_sleeping_device() {
        let day = |effects: &mut Effects| {
            effects.notice(|fx| Notice::Asleep { client: fx.store(b"m"), duration: 600 });
            for (messages, left) in [(0, 0), (1, 0), (2, 5)] {
                let client = |fx: &mut Effects| fx.store(b"m");
                effects.notice(|fx| Notice::Collected { client: client(fx), messages, left });
            }
            effects.notice(|fx| Notice::Lost {
                client: fx.store(b"m"),
                why: Loss::Overslept {
                    silent: Duration::from_secs(900),
                    allowed: Duration::from_secs(900),
                },
                will: true,
            });
        };
        assert_eq!(
            lines("debug", day).replace(" mqtt_sn_gateway::runtime::notices:", ""),
            " INFO client \"m\" sleeps; it announced 600 s\n\
             DEBUG client \"m\" woke, nothing waited for it\n\
             DEBUG client \"m\" woke and was sent 1 message\n \
             INFO client \"m\" woke and was sent 2 messages, 5 still wait for its next PINGREQ\n \
             INFO client \"m\" is lost: it overslept (nothing heard for 900 s, the sleep that it \
             announced allows 900 s); its will was published\n"
        );
        assert_eq!(lines("info", day).lines().count(), 3, "a wake that went well is no news");
        assert_eq!(lines("warn", day), "");
    }

    #[test]
    fn two_devices_with_one_id_are_told_with_both_addresses() {
        let at = |port: u16| {
            let address = UdpAddress::new(([192, 0, 2, 1], port).into(), None).encode();
            Place { link: LinkId(0), address, node: Span::default() }
        };
        let text = lines("warn", |effects| {
            effects.notice(|fx| Notice::Moved {
                client: fx.store(b"m"),
                from: at(1),
                to: at(2),
                asleep: false,
            });
            effects.notice(|fx| Notice::Contested {
                client: fx.store(b"m"),
                holder: at(2),
                rival: at(1),
            });
        });
        assert_eq!(
            text,
            " WARN client \"m\" moved from 192.0.2.1:1 to 192.0.2.1:2; if it goes back and forth, \
             two devices have the same client id\n WARN client \"m\" goes back and forth between \
             192.0.2.1:2 and 192.0.2.1:1: two devices have the same client id. Its session stays \
             with the former for now, the latter hears congestion; give each device a client id of \
             its own\n"
        );
    }

    #[test]
    fn a_limit_comes_with_advice() {
        let text = lines("warn", |effects| {
            effects
                .notice(|fx| Notice::LimitReached { client: fx.store(b"m"), limit: Limit::Topics });
            effects
                .notice(|fx| Notice::LimitReached { client: fx.store(b""), limit: Limit::Clients });
        });
        assert_eq!(
            text,
            " WARN limit \"topics\" reached by client \"m\": it wants another topic id, \
             sessions.max_topics_per_client allows more\n WARN limit \"clients\" reached: there is \
             no room for another client, sessions.max_clients makes it\n"
        );
    }
}
