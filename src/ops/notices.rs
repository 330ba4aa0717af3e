//! What the core has to tell, as log lines: in words, with client and address, and never more of a
//! kind than a person can read.

use std::fmt;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::limit::RateLimit;
use crate::codec::ReturnCode;
use crate::core::{Effects, Loss, Notice, Place, Span};
use crate::transport::udp::Shown;

/// Lines of one kind per interval.
const BURST: u32 = 50;
const INTERVAL: Duration = Duration::from_secs(10);
/// Kinds of notices.
const KINDS: usize = 16;

/// Writes notices to the log.
#[derive(Debug)]
pub struct NoticeLog {
    limit: RateLimit<std::mem::Discriminant<Notice>>,
}

impl Default for NoticeLog {
    fn default() -> Self {
        Self { limit: RateLimit::new(BURST, INTERVAL, KINDS) }
    }
}

impl NoticeLog {
    /// Writes what `effects` has to tell.
    pub fn tell(&mut self, effects: &Effects) {
        let mut now = None;
        for notice in effects.notices() {
            let now = *now.get_or_insert_with(Instant::now);
            if let Some(more) = self.limit.allow(now, std::mem::discriminant(notice)) {
                write(effects, notice, &more);
            }
        }
    }
}

/// A place, as people write it.
struct At<'a>(&'a Effects, &'a Place);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.1.address).fmt(f)?;
        let node = self.0.bytes(self.1.node);
        if node.is_empty() {
            return Ok(());
        }
        f.write_str(" node ")?;
        Hex(node).fmt(f)
    }
}

/// Octets as hex.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Text that a device chose: shown without control characters.
struct Text<'a>(&'a Effects, Span);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.bytes(self.1);
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => f.write_str(text),
            _ => write!(f, "0x{}", Hex(bytes)),
        }
    }
}

fn code(code: ReturnCode) -> &'static str {
    match code {
        ReturnCode::ACCEPTED => "accepted",
        ReturnCode::CONGESTION => "congestion",
        ReturnCode::INVALID_TOPIC_ID => "invalid topic id",
        _ => "not supported",
    }
}

fn write(fx: &Effects, notice: &Notice, more: &dyn fmt::Display) {
    match *notice {
        Notice::Malformed { ref from, error, bytes } => warn!(
            from = %At(fx, from),
            hex = %Hex(fx.bytes(bytes)),
            "not an MQTT-SN packet: {error}; dropped{more}"
        ),
        Notice::Connected { client, ref at, keep_alive, clean, resumed } => {
            let session = match (clean, resumed) {
                (true, _) => "clean session",
                (false, true) => "session resumed",
                (false, false) => "new session",
            };
            info!(
                client = %Text(fx, client),
                at = %At(fx, at),
                "client connected, keep-alive {keep_alive} s, {session}{more}"
            );
        }
        Notice::Moved { client, ref from, ref to } => info!(
            client = %Text(fx, client),
            from = %At(fx, from),
            to = %At(fx, to),
            "client connects from another address; its session goes there{more}"
        ),
        Notice::Disconnected { client } => {
            info!(client = %Text(fx, client), "client disconnected{more}");
        }
        Notice::Lost { client, why, will } => {
            let will = if will { "; its will was published" } else { "" };
            let client = Text(fx, client);
            match why {
                Loss::Silent { silent, allowed } => warn!(
                    %client,
                    "client lost: nothing heard for {} s, its keep-alive allows {} s{will}{more}",
                    silent.as_secs(),
                    allowed.as_secs()
                ),
                Loss::NoAnswer { to, tries } => {
                    warn!(%client, "client lost: no answer to {to} sent {tries} times{will}{more}");
                }
                Loss::Replaced => warn!(
                    %client,
                    "client lost: another client id connected from its address{will}{more}"
                ),
            }
        }
        Notice::Refused { client, ref at, operation, subject, code: answer, why } => warn!(
            client = %Text(fx, client),
            at = %At(fx, at),
            subject = %Text(fx, subject),
            "{operation} refused ({}): {why}{more}",
            code(answer)
        ),
        Notice::Stranger { ref at, packet } => debug!(
            at = %At(fx, at),
            "{packet} from an address without a connection: told to connect{more}"
        ),
        Notice::Abandoned { client, topic, qos, why } => {
            let (client, topic) = (Text(fx, client), Text(fx, topic));
            if qos == 0 {
                debug!(%client, %topic, "QoS 0 message for the client given up: {why}{more}");
            } else {
                warn!(%client, %topic, "QoS {qos} message for the client given up: {why}{more}");
            }
        }
        Notice::LimitReached { client, limit } => {
            warn!(client = %Text(fx, client), "limit reached: {}{more}", limit.label());
        }
        Notice::SubscriptionLost { filter } => warn!(
            filter = %Text(fx, filter),
            "the broker refuses a subscription that clients here depend on; it is asked again \
             with the next connection{more}"
        ),
    }
}
