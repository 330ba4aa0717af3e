//! Where a datagram came from and where the answer goes.

use core::fmt;

/// A link: one listener, one serial port, one adapter. Numbered by the runtime.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(pub u16);

/// A peer's address on its link, opaque to the core: the transport makes it and reads it back.
///
/// UDP puts address, port, scope and the local address that was used into it, radios their 64-,
/// 16- or 8-bit addresses.
#[derive(Clone, Copy)]
pub struct Address {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Address {
    /// Longest address, octets.
    pub const MAX: usize = 39;

    /// An address from its octets; `None` if there are more than [`Self::MAX`].
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(Self { len: u8::try_from(octets.len()).ok()?, bytes })
    }

    /// The octets given to [`Self::new`].
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.octets() == other.octets()
    }
}

impl Eq for Address {}

impl core::hash::Hash for Address {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        state.write(self.octets());
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(")?;
        for octet in self.octets() {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(")")
    }
}
