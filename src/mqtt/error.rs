//! Why a connection ended, in words for the person who runs the gateway.

use std::fmt;
use std::time::Duration;

use super::settings::Version;
use super::wire::Malformed;

/// Why the connection to the broker is over. Every one of them is final for the connection: the
/// caller closes the stream and calls `Session::closed`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ConnectionError {
    /// Not a failure: the old session at the broker was discarded with a connection of its own.
    /// Open again at once.
    SessionDiscarded,
    /// The broker does not speak this version. With [`Version::Auto`] the next connection speaks
    /// the other one; open again at once if `fall_back`.
    VersionRefused {
        /// The version that was refused.
        version: Version,
        /// The next connection asks for another version.
        fall_back: bool,
    },
    /// CONNACK: user name or password is wrong.
    BadCredentials {
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// CONNACK: these credentials may not connect.
    NotAuthorized {
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// CONNACK: the client id is not accepted.
    ClientIdRefused {
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// CONNACK: unavailable, busy, over a quota or a rate. Trying later may help.
    BrokerBusy {
        /// Return or reason code.
        code: u8,
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// CONNACK with any other code.
    Refused {
        /// Return or reason code.
        code: u8,
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// No CONNACK came in time.
    ConnackTimeout(Duration),
    /// The broker was silent for as long as the keep-alive and did not answer a ping.
    KeepAliveTimeout(Duration),
    /// MQTT 5: the broker sent DISCONNECT.
    Disconnected {
        /// Reason code.
        code: u8,
        /// What the broker said about it; often empty.
        reason: Box<str>,
    },
    /// The broker sent something that is not MQTT.
    Protocol(Box<str>),
    /// MQTT 5: the broker sent a packet longer than we told it to.
    PacketTooLarge {
        /// Length of the packet, octets.
        length: usize,
        /// What we allowed, octets.
        limit: usize,
    },
    /// MQTT 5: the broker has more messages unacknowledged than this, our receive maximum.
    ReceiveMaximumExceeded(u16),
    /// The broker sends but does not read: this many octets wait for it.
    Stalled(usize),
}

impl ConnectionError {
    /// Whether to open again without a delay: nothing is wrong, the next connection differs.
    #[must_use]
    pub fn reopen_at_once(&self) -> bool {
        matches!(self, Self::SessionDiscarded | Self::VersionRefused { fall_back: true, .. })
    }

    /// Whether this says that the client as such is not wanted, or that another has taken its place: to
    /// connect again would be of no use, or do harm.
    #[must_use]
    pub fn bars(&self) -> bool {
        match self {
            Self::Disconnected { code, .. } => matches!(code, 0x87 | 0x8A | 0x8E | 0x98),
            Self::Refused { .. } => true,
            other => other.needs_attention(),
        }
    }

    /// In words where the connection is that of a single client, under the client's own id.
    #[must_use]
    pub fn of_client(&self) -> String {
        match self {
            Self::ClientIdRefused { reason } => format!(
                "the broker does not accept this client id{}; allow it at the broker, or give the \
                 device another one",
                Said(reason)
            ),
            Self::Disconnected { code: code @ 0x8E, reason } => format!(
                "the broker disconnected it (code {code:#04x}: {}){}; another client uses the same \
                 client id: give each device its own",
                super::reasons::name(*code),
                Said(reason)
            ),
            other => other.to_string(),
        }
    }

    /// Whether somebody has to change something before a connection can succeed.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        matches!(
            self,
            Self::BadCredentials { .. }
                | Self::NotAuthorized { .. }
                | Self::ClientIdRefused { .. }
                | Self::VersionRefused { fall_back: false, .. }
        )
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionDiscarded => f.write_str(
                "the broker's old session was discarded; connecting again to begin a new one",
            ),
            Self::VersionRefused { version, fall_back } => {
                let (name, other) = match version {
                    Version::V311 => ("3.1.1", "5"),
                    Version::V5 | Version::Auto => ("5", "3.1.1"),
                };
                write!(f, "the broker does not speak MQTT {name}; ")?;
                if *fall_back {
                    write!(f, "trying MQTT {other}")
                } else {
                    write!(f, "set version = \"{other}\" or \"auto\" in [upstream]")
                }
            }
            Self::BadCredentials { reason } => write!(
                f,
                "the broker refused user name or password{}; check username and password in [upstream]",
                Said(reason)
            ),
            Self::NotAuthorized { reason } => write!(
                f,
                "the broker does not authorize this connection{}; check username and password in \
                 [upstream] and the broker's access rules for this client id",
                Said(reason)
            ),
            Self::ClientIdRefused { reason } => write!(
                f,
                "the broker does not accept the client id{}; change name in gateway.toml or allow it at the broker",
                Said(reason)
            ),
            Self::BrokerBusy { code, reason } => write!(
                f,
                "the broker takes no connection now (code {code:#04x}: {}){}; trying again later",
                super::reasons::name(*code),
                Said(reason)
            ),
            Self::Refused { code, reason } => write!(
                f,
                "the broker refused the connection (code {code:#04x}: {}){}; see the broker's log",
                super::reasons::name(*code),
                Said(reason)
            ),
            Self::ConnackTimeout(limit) => write!(
                f,
                "the broker did not answer CONNECT within {limit:?}; check that url in [upstream] \
                 names an MQTT port and whether it expects TLS"
            ),
            Self::KeepAliveTimeout(limit) => write!(
                f,
                "the broker was silent for {limit:?} and did not answer a ping; connecting again"
            ),
            Self::Disconnected { code, reason } => {
                write!(
                    f,
                    "the broker disconnected us (code {code:#04x}: {}){}",
                    super::reasons::name(*code),
                    Said(reason)
                )?;
                match code {
                    0x8E => f.write_str(
                        "; another client uses our client id: give each gateway its own name in gateway.toml",
                    ),
                    0x87 => f.write_str("; check the broker's access rules for this client id"),
                    _ => f.write_str("; connecting again"),
                }
            }
            Self::Protocol(detail) => write!(
                f,
                "the broker broke the MQTT protocol: {detail}; check that url in [upstream] names an \
                 MQTT port and whether it expects TLS"
            ),
            Self::PacketTooLarge { length, limit } => write!(
                f,
                "the broker sent a packet of {length} octets although at most {limit} are allowed; \
                 find the large message at the broker and remove it"
            ),
            Self::ReceiveMaximumExceeded(maximum) => write!(
                f,
                "the broker sent many times more than the {maximum} messages that it may send \
                 without waiting for an acknowledgement; connecting again"
            ),
            Self::Stalled(waiting) => write!(
                f,
                "the broker sends but does not read, {waiting} octets wait for it; connecting again"
            ),
        }
    }
}

impl std::error::Error for ConnectionError {}

impl From<Malformed> for ConnectionError {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Protocol(what.into())
    }
}

/// What the broker said, if anything.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", saying \"{}\"", self.0) }
    }
}

/// Most characters kept of what a broker says.
const MAX_REASON: usize = 200;

/// A foreign text made fit for a log line: bounded, without control characters.
pub(super) fn printable(text: &str) -> Box<str> {
    let clean = |c: char| if c.is_control() { '\u{FFFD}' } else { c };
    text.chars().take(MAX_REASON).map(clean).collect::<String>().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_cannot_forge_a_log_line() {
        let reason = printable(&format!("no\nERROR forged\x1b[31m{}", "x".repeat(10_000)));
        assert!(!reason.contains(['\n', '\x1b']));
        assert_eq!(reason.chars().count(), MAX_REASON);
        let error = ConnectionError::BadCredentials { reason: "go away".into() };
        assert!(error.to_string().contains("saying \"go away\"; check username and password"));
    }

    #[test]
    fn advice_about_a_client_is_not_about_the_gateways_name() {
        let reason: Box<str> = "no".into();
        for error in [
            ConnectionError::ClientIdRefused { reason: reason.clone() },
            ConnectionError::Disconnected { code: 0x8E, reason },
        ] {
            assert!(error.to_string().contains("gateway.toml"));
            let said = error.of_client();
            assert!(!said.contains("gateway.toml") && said.contains("saying \"no\""), "{said}");
        }
    }

    #[test]
    fn only_what_differs_next_time_is_opened_at_once() {
        let refused =
            |fall_back| ConnectionError::VersionRefused { version: Version::V5, fall_back };
        assert!(refused(true).reopen_at_once() && !refused(true).needs_attention());
        assert!(!refused(false).reopen_at_once() && refused(false).needs_attention());
        assert!(ConnectionError::SessionDiscarded.reopen_at_once());
        assert!(!ConnectionError::ConnackTimeout(Duration::from_secs(1)).reopen_at_once());
    }
}
