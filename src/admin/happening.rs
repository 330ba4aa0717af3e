//! What happened to a client, as the loop hands it over: packets as they were, put into words only here.

use std::sync::Arc;

use tracing::Level;

use super::api::Client;
use crate::time::Time;

/// A packet, or something that became of one.
#[derive(Clone, Debug)]
pub struct Happening {
    /// When.
    pub time: Time,
    /// What.
    pub what: What,
}

/// See [`Happening`].
#[derive(Clone, Debug)]
pub enum What {
    /// A packet.
    Packet(PacketEntry),
    /// A sentence, and how much it matters.
    Sentence(Level, String),
}

/// A packet that came or was sent.
#[derive(Clone, Debug)]
pub struct PacketEntry {
    /// To the device; else from it.
    pub sent: bool,
    /// Name of the link.
    pub link: Option<Arc<str>>,
    /// Where the device is on its link; empty if it needs no address.
    pub address: String,
    /// Length of the packet.
    pub whole: usize,
    /// The packet, or the beginning of it.
    pub octets: Vec<u8>,
}

/// What somebody wants to be told at once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WatchQuery {
    /// About this client only.
    pub client: Option<String>,
    /// Packets.
    pub packets: bool,
    /// What becomes of clients.
    pub states: bool,
}

/// What is told.
#[derive(Clone, Debug)]
pub enum Watched {
    /// Something happened to a client, or to one that is none.
    Happened(Option<Box<str>>, Happening),
    /// This is how a client stands now.
    Client(Box<Client>),
    /// The session of a client has ended.
    Removed(Box<str>),
}
