//! Where a datagram came from and where the answer goes.

use alloc::boxed::Box;
use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};

use super::hashing::Hashing;

use super::effects::{Effect, Effects, Otherwise, Span};
use super::slots::{ClientKey, Handle};
use crate::codec::{Encapsulation, Message};

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

    /// That of a peer who needs none: there is nobody else on its link.
    pub const NONE: Self = Self { len: 0, bytes: [0; Self::MAX] };

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

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
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

/// A peer: link, address and, behind a forwarder, node id. Borrowed, to look one up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct PeerRef<'a> {
    pub(crate) link: LinkId,
    /// Octets of the address.
    pub(crate) address: &'a [u8],
    pub(crate) node: Option<&'a [u8]>,
}

impl PeerRef<'_> {
    pub(crate) fn to_peer(self) -> Peer {
        let link = self.link;
        if let (None, Some(rest)) = (self.node, NEAR.checked_sub(self.address.len())) {
            let mut octets = [0; NEAR];
            for (to, from) in octets.iter_mut().zip(self.address) {
                *to = *from;
            }
            return Peer::Near { link, len: (NEAR - rest) as u8, octets };
        }
        let (address, node) = (self.address.into(), self.node.map(Into::into));
        Peer::Far(Box::new(FarPeer { link, address, node }))
    }

    /// The address, as transports take it.
    pub(crate) fn address(&self) -> Address {
        // It was one.
        Address::new(self.address).unwrap_or(Address { len: 0, bytes: [0; Address::MAX] })
    }

    pub(crate) fn hash_with(self, hasher: &Hashing) -> u64 {
        hasher.hash_one(self)
    }

    /// Queues a datagram to this peer, wrapped if it sits behind a forwarder (§5.5). What cannot
    /// be encoded (a name or payload beyond 65,535 octets) is not sent; callers check sizes first.
    pub(crate) fn send(self, client: Option<Handle>, message: &Message<'_>, fx: &mut Effects) {
        if let Some(bytes) = self.encode(message, fx) {
            let client = client.map(ClientKey);
            fx.push(Effect::Send { link: self.link, to: self.address(), bytes, client });
        }
    }

    /// As [`Self::send`], once what was recorded so far is written.
    pub(crate) fn promise(
        self,
        client: Handle,
        message: &Message<'_>,
        otherwise: Otherwise,
        fx: &mut Effects,
    ) {
        if let Some(bytes) = self.encode(message, fx) {
            let (link, to, client) = (self.link, self.address(), Some(ClientKey(client)));
            fx.push(Effect::Promise { link, to, bytes, client, otherwise });
        }
    }

    /// How a datagram to this peer begins: with the forwarder's header, if there is one.
    pub(crate) fn head(self, fx: &mut Effects) -> Span {
        fx.store_with(|arena| {
            if let Some(node_id) = self.node {
                let head = Encapsulation { radius: 0, node_id };
                append(arena, head.encoded_len(), |out| head.encode(out).is_ok());
            }
        })
    }

    /// The datagram that [`Self::send`] queues.
    pub(crate) fn encode(self, message: &Message<'_>, fx: &mut Effects) -> Option<Span> {
        let mut written = true;
        let bytes = fx.store_with(|arena| {
            if let Some(node_id) = self.node {
                let head = Encapsulation { radius: 0, node_id };
                written &= append(arena, head.encoded_len(), |out| head.encode(out).is_ok());
            }
            written &= append(arena, message.encoded_len(), |out| message.encode(out).is_ok());
        });
        debug_assert!(written, "callers check that a message fits");
        if written {
            fx.count_sent(message);
        }
        written.then_some(bytes)
    }
}

fn append(
    arena: &mut alloc::vec::Vec<u8>,
    len: usize,
    write: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    let start = arena.len();
    arena.resize(start.saturating_add(len), 0);
    arena.get_mut(start..).is_some_and(write)
}

/// Longest address that [`Peer`] holds without an allocation: IPv4 with the local address, or a
/// radio's.
const NEAR: usize = 19;

/// A peer, owned. Small, as every client has one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A short address and no forwarder.
    Near { link: LinkId, len: u8, octets: [u8; NEAR] },
    /// Anything.
    Far(Box<FarPeer>),
}

/// A peer with a long address, or behind a forwarder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct FarPeer {
    link: LinkId,
    address: Box<[u8]>,
    node: Option<Box<[u8]>>,
}

const _: () = assert!(size_of::<Option<Peer>>() == 24);

impl Peer {
    pub(crate) fn as_ref(&self) -> PeerRef<'_> {
        match self {
            Self::Near { link, len, octets } => {
                let address = octets.get(..usize::from(*len)).unwrap_or(&[]);
                PeerRef { link: *link, address, node: None }
            }
            Self::Far(far) => {
                PeerRef { link: far.link, address: &far.address, node: far.node.as_deref() }
            }
        }
    }

    #[inline]
    pub(crate) fn link(&self) -> LinkId {
        match self {
            Self::Near { link, .. } => *link,
            Self::Far(far) => far.link,
        }
    }

    /// Octets that the forwarder's header takes of every datagram.
    pub(crate) fn overhead(&self) -> usize {
        self.as_ref().node.map_or(0, |node| node.len().saturating_add(3))
    }
}
