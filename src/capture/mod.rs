//! Captures: what goes over the links, written as pcapng for Wireshark, tshark and `decode`.
//!
//! ```text
//! loop ─▶ recorder ─▶ buffer (bounded) ─▶ thread ─▶ file, pipe or standard output
//! ```
//!
//! The loop never waits: what the thread does not take in time is left out, counted and told.

mod folder;
pub mod pcapng;
mod recorder;
mod report;
mod sink;
mod wrap;
mod writer;

use std::time::Duration;

pub use folder::{Folder, FolderError};
pub use recorder::{Packet, Recorder, Wire};
pub use report::Report;
pub use sink::{Sink, SinkError};
pub use wrap::{Network, PORT, Wrapping, is_made_up};

/// How large a file becomes if nothing else is said by the API.
pub const API_BYTES: u64 = 16 << 20;
/// How large it may be by the API.
pub const MOST_API_BYTES: u64 = 1 << 30;
/// How large a file becomes if nothing else is said on the command line.
pub const FILE_BYTES: u64 = 64 << 20;
/// The least that can be asked for: heads of links take a part of it.
pub const LEAST_BYTES: u64 = 16 << 10;

/// A capture that is to be.
#[derive(Debug)]
pub struct Setup {
    /// Where it goes.
    pub sink: Sink,
    /// What of it.
    pub choice: Choice,
}

/// What is captured, and for how long.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choice {
    /// A pattern for client ids: `*` is any number of characters, `?` is one.
    pub client: Option<String>,
    /// The same for names of links.
    pub link: Option<String>,
    /// Octets of the file, without end if `None`.
    pub max_bytes: Option<u64>,
    /// How long, without end if `None`.
    pub time: Option<Duration>,
    /// How packets are wrapped.
    pub wrapping: Wrapping,
}

#[cfg(test)]
mod tests;
