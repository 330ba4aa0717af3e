//! What a person has to know about a certificate.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::{DateTime, Decode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// Longest text that is taken over from a certificate, characters.
const LONGEST: usize = 120;
/// Most names that are shown.
const MOST_NAMES: usize = 6;

/// A certificate in words. All text is fit for a log line.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// Seconds since 1970.
    pub(super) not_before: u64,
    /// Seconds since 1970.
    pub(super) not_after: u64,
    /// The names that it is for, in quotes.
    pub(super) names: Vec<String>,
    pub(super) is_authority: bool,
    /// It was made without extensions, so it has no names.
    pub(super) is_first_version: bool,
}

impl Described {
    /// `None` if it is no certificate, or too unusual a one.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let inner = certificate.tbs_certificate();
        let names = inner.get_extension::<SubjectAltName>().ok().flatten();
        let names =
            names.map_or(Vec::new(), |(_, names)| names.0.iter().filter_map(name).collect());
        let constraints = inner.get_extension::<BasicConstraints>().ok().flatten();
        Some(Self {
            subject: clean(&inner.subject().to_string(), "without a subject"),
            issuer: clean(&inner.issuer().to_string(), "nobody"),
            not_before: inner.validity().not_before.to_unix_duration().as_secs(),
            not_after: inner.validity().not_after.to_unix_duration().as_secs(),
            names,
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            is_first_version: inner.version() == Version::V1,
        })
    }

    /// Whether it was signed with its own key, by what it says.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    pub(super) fn not_before(&self) -> String {
        utc(self.not_before)
    }

    pub(super) fn not_after(&self) -> String {
        utc(self.not_after)
    }

    /// The names in a list, a few of them.
    pub(super) fn names(&self) -> String {
        let shown = self.names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
        match self.names.len().saturating_sub(MOST_NAMES) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

/// Seconds since 1970 by the clock of the system.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Seconds since 1970 as date and time.
pub(super) fn utc(seconds: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map_or_else(|_| format!("{seconds} s after 1970"), |time| time.to_string())
}

fn name(name: &GeneralName) -> Option<String> {
    let text = match name {
        GeneralName::DnsName(name) => name.as_str().to_owned(),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()?.to_string()
        }
        _ => return None,
    };
    Some(format!("\"{}\"", clean(&text, "")))
}

/// Without what could spoil a log, and not endless.
fn clean(text: &str, empty: &str) -> String {
    if text.is_empty() {
        return empty.to_owned();
    }
    let mut clean: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}
