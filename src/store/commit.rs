//! What the pure part of the gateway asks the journal to write, and what comes of it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// How much a commit is worth.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SyncMode {
    /// Survives a power cut; commits keep a pause between them, in which changes gather.
    #[default]
    Batch,
    /// Survives a power cut; each commit is written at once.
    Always,
    /// Survives the end of the process, not a power cut.
    Off,
}

/// When commits are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CommitSettings {
    /// What they are worth.
    pub sync: SyncMode,
    /// A commit is made when so many promises wait for it, or
    pub records: u32,
    /// when one does and the commit before was begun so long ago.
    pub time: Duration,
    /// A journal shorter than this is left alone, octets; beyond that it is replaced by a snapshot when
    /// it is more than twice as long as what it says.
    pub small: u64,
    /// Snapshots are written in parts of about so many octets.
    pub part: usize,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self {
            sync: SyncMode::Batch,
            records: 64,
            time: Duration::from_millis(20),
            small: 512 * 1024,
            part: 128 * 1024,
        }
    }
}

/// What is to be written at once: all of it counts, or nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Commit {
    /// Counts up by one.
    pub number: u64,
    /// [Records](super::record) of the changes since the commit before.
    pub records: Vec<u8>,
    /// The next part of a snapshot, if one is being made.
    pub snapshot: Option<Part>,
}

/// A part of a snapshot. Between its first and its last part, the records of every commit belong to
/// it too, in front of the commit's own part.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Part {
    /// It is the first: what there is of an unfinished snapshot is thrown away, and the records of
    /// this very commit are left out (the part, and those that follow, hold what came of them).
    pub begin: bool,
    /// Records.
    pub records: Vec<u8>,
    /// It is the last: the snapshot becomes the journal.
    pub end: bool,
}

/// What became of a [`Commit`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Its number.
    pub number: u64,
    /// Whether a process that begins now would find all changes up to this commit. After a failure
    /// it fails until a snapshot is complete.
    pub journal: Result<(), Trouble>,
    /// Whether the part of the snapshot was written, and after the last one whether it has become the
    /// journal. After a failure the snapshot is over; that may also befall a commit without a part,
    /// because its records belong to the snapshot that is under way.
    pub snapshot: Option<Result<(), Trouble>>,
    /// Length of the journal in force, octets.
    pub size: u64,
}

/// Why something could not be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// What kind of trouble it is.
    pub kind: TroubleKind,
    /// For a person: what was done to which file, and what the system said.
    pub text: Box<str>,
}

/// Kinds of trouble with a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TroubleKind {
    /// No space left, or a quota is used up.
    Full,
    /// The file system is read-only, or permission is missing.
    ReadOnly,
    /// Anything else.
    Io,
}

impl TroubleKind {
    /// Label for logs, metrics and the status topic.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Io => "io_error",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
