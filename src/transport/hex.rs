//! Octets for people.

/// Octets in hexadecimal, without blanks: how addresses of radios are written.
#[must_use]
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect()
}

/// The same in lower case, as programs write it for programs.
#[must_use]
pub(crate) fn lower_hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
