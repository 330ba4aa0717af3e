//! The folder of captures that the API asks for, in the state directory. Their names are made here, of the
//! time alone; the newest few are kept.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::fstatvfs;
use x509_cert::der::DateTime;

use super::sink::{Place, Sink};

/// The folder in the state directory.
const FOLDER: &str = "captures";
/// How names begin and end.
const BEGIN: &str = "capture-";
const END: &str = ".pcapng";
/// Files that are kept, the one that is being written included.
const KEPT: usize = 5;
/// Octets of the disk that captures leave free: the state of the devices is on it, too.
const RESERVE: u64 = 16 << 20;

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

    /// A new file for a capture of so many octets; the oldest are removed to make room for it. It reads
    /// and writes the disk.
    ///
    /// # Errors
    /// If the disk cannot be used, or is too full.
    pub fn begin(&self, octets: u64) -> Result<Sink, FolderError> {
        let failed = |error| FolderError::Io(self.0.clone(), error);
        match DirBuilder::new().mode(0o700).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let names = self.names().map_err(failed)?;
        for name in names.iter().take((names.len() + 1).saturating_sub(KEPT)) {
            fs::remove_file(self.0.join(name)).map_err(failed)?;
        }
        let (name, file) = self.create(SystemTime::now(), names.last()).map_err(failed)?;
        let path = self.0.join(&name);
        let free = free(&file).map_err(failed)?;
        if free < octets.saturating_add(RESERVE) {
            // Nothing was put into it.
            let _ = fs::remove_file(&path);
            return Err(FolderError::Full { free, wanted: octets });
        }
        Ok(Sink { place: Place::File(file), name, kept: Some(path), reserve: RESERVE })
    }

    /// Takes a file back that nothing was written to.
    pub fn discard(sink: Sink) {
        if let Some(path) = sink.kept {
            // If it stays it is empty, and the oldest some day.
            let _ = fs::remove_file(path);
        }
    }

    /// The newest file.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn newest(&self) -> io::Result<Option<PathBuf>> {
        match self.names() {
            Ok(names) => Ok(names.last().map(|name| self.0.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of ours, oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if name.starts_with(BEGIN) && name.ends_with(END) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Others of this second are numbered, behind all that there are: `last` is the newest.
    fn create(&self, now: SystemTime, last: Option<&String>) -> io::Result<(String, File)> {
        let begin = format!("{BEGIN}{}", name_of(now));
        let number = last.and_then(|last| last.strip_prefix(&*begin)?.strip_suffix(END));
        let number = number.map(|number| number.trim_start_matches('_').parse().unwrap_or(0_u32));
        let name = match number {
            None => format!("{begin}{END}"),
            // In two digits, so that they sort; `_` is behind the full stop.
            Some(number) => format!("{begin}_{:02}{END}", number.saturating_add(1)),
        };
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.0.join(&name))?;
        Ok((name, file))
    }
}

/// As `20261127T150639Z`.
fn name_of(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let moment = DateTime::from_unix_duration(since).unwrap_or(DateTime::INFINITY).to_string();
    moment.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Octets that are free on the disk of a file, for whoever is not root.
#[allow(clippy::useless_conversion, reason = "they have 32 bits on machines of 32 bits")]
pub(super) fn free(file: &File) -> io::Result<u64> {
    let found = fstatvfs(file)?;
    Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}
