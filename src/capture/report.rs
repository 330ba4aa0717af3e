//! How a capture stands.

use std::path::PathBuf;
use std::time::SystemTime;

use super::Choice;

/// How a capture stands, or ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// It runs, or its last octets are being written.
    pub active: bool,
    /// Where it goes, as a person knows it.
    pub name: String,
    /// Its file, if it is one of the [folder](super::Folder).
    pub file: Option<PathBuf>,
    /// Since when.
    pub started: SystemTime,
    /// Packets in it.
    pub packets: u64,
    /// Octets in it.
    pub bytes: u64,
    /// Octets that are written already, whole blocks.
    pub written: u64,
    /// Packets that are missing in it, as the disk was too slow.
    pub dropped: u64,
    /// What was asked for.
    pub choice: Choice,
    /// Why it ended.
    pub stopped_because: Option<String>,
}
