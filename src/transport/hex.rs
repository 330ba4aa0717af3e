//! Octets for people.

/// Octets in hexadecimal, without blanks: how addresses of radios are written.
#[must_use]
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}
