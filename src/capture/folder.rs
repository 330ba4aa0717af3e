//! The folder of captures that the API asks for, in the state directory. Their names are made here, of a
//! number and the time alone; the newest few are kept.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::fstatvfs;
use x509_cert::der::DateTime;

use super::sink::{Kept, Place, Sink};

/// The folder in the state directory.
const FOLDER: &str = "captures";
/// How names begin and end.
const BEGIN: &str = "capture-";
const END: &str = ".pcapng";
/// Files that are kept, the one that is being written included.
const KEPT: usize = 5;
/// Octets of the disk that captures leave free: the state of the devices is on it, too.
const RESERVE: u64 = 16 << 20;
/// Octets of a block, as `st_blocks` counts them.
const BLOCK: u64 = 512;

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// Why there can be no capture in it.
#[derive(Debug)]
pub enum FolderError {
    /// The system refuses.
    Io(PathBuf, io::Error),
    /// There is too little room for the state and a capture of so many octets.
    Full {
        /// Octets that are free.
        free: u64,
        /// Octets of the capture.
        wanted: u64,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Full { free, wanted } => write!(
                f,
                "the disk of the state directory has {free} octets free; a capture of {wanted} octets \
                 has to leave {RESERVE} for the state of the devices: set a smaller max_bytes, or make \
                 room"
            ),
        }
    }
}

impl std::error::Error for FolderError {}

impl Folder {
    /// That of a state directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(FOLDER))
    }

    /// A new file for a capture of so many octets; the oldest are removed to make room for it. It goes again
    /// if nothing is captured to it. It reads and writes the disk.
    ///
    /// # Errors
    /// If the disk cannot be used, or is too full. Then nothing is removed.
    pub fn begin(&self, octets: u64) -> Result<Sink, FolderError> {
        let failed = |error| FolderError::Io(self.0.clone(), error);
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let files = self.files().map_err(failed)?;
        let (old, _) = files.split_at((files.len() + 1).saturating_sub(KEPT).min(files.len()));
        let there = File::open(&self.0).and_then(|folder| free(&folder)).map_err(failed)?;
        let free = old.iter().fold(there, |free, file| free.saturating_add(self.size(file)));
        if free < octets.saturating_add(RESERVE) {
            return Err(FolderError::Full { free, wanted: octets });
        }
        let (name, file) = self.create(SystemTime::now(), files.last()).map_err(failed)?;
        let kept = Kept::new(self.0.join(&name));
        for file in old {
            fs::remove_file(self.0.join(&file.name)).map_err(failed)?;
        }
        Ok(Sink { place: Place::File(file), name, kept: Some(kept), reserve: RESERVE })
    }

    /// Octets that become free if a file goes.
    fn size(&self, file: &Named) -> u64 {
        let found = fs::symlink_metadata(self.0.join(&file.name));
        found.map_or(0, |found| found.blocks().saturating_mul(BLOCK))
    }

    /// The newest file.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn newest(&self) -> io::Result<Option<PathBuf>> {
        match self.files() {
            Ok(files) => Ok(files.last().map(|file| self.0.join(&file.name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ours, oldest first.
    fn files(&self) -> io::Result<Vec<Named>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if let Some(file) = Named::parse(name)
                && entry.file_type().is_ok_and(|kind| kind.is_file())
            {
                files.push(file);
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Its number is behind all that there are: `last` is the newest. The clock may be wrong, and be put
    /// right later.
    fn create(&self, now: SystemTime, last: Option<&Named>) -> io::Result<(String, File)> {
        let number = last.map_or(0, |last| last.number).saturating_add(1);
        let name = format!("{BEGIN}{number:06}-{}{END}", moment(now));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.0.join(&name))?;
        Ok((name, file))
    }
}

/// A file of ours, in the order in which they were made.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Named {
    number: u64,
    name: String,
}

impl Named {
    /// As `capture-000007-20261127T150639Z.pcapng`; one without a number is older than all others.
    fn parse(name: String) -> Option<Self> {
        let inner = name.strip_prefix(BEGIN)?.strip_suffix(END)?;
        let number = inner.split_once('-').and_then(|(number, _)| number.parse().ok());
        Some(Self { number: number.unwrap_or(0), name })
    }
}

/// As `20261127T150639Z`.
fn moment(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let text = DateTime::from_unix_duration(since).unwrap_or(DateTime::INFINITY).to_string();
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Octets that are free on the disk of a file, for whoever is not root.
#[allow(clippy::useless_conversion, reason = "they have 32 bits on machines of 32 bits")]
pub(super) fn free(file: &File) -> io::Result<u64> {
    let found = fstatvfs(file)?;
    Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}
