//! The journal in files: `journal`, `journal.new` and `lock` in one directory.
//!
//! Nothing is preallocated: after one big write the kernel writes megabytes back with every sync.

mod look;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

use super::commit::SyncMode;
use super::image::Image;
use super::journal::{Journal, OpenError, Opened, Storage};
pub use look::{Look, look};

/// The journal in force.
const JOURNAL: &str = "journal";
/// One that is being written.
const NEXT: &str = "journal.new";
/// Held while a process uses the directory.
const LOCK: &str = "lock";

/// A directory with the state, of which this process is the only user.
#[derive(Debug)]
pub struct FileStorage {
    directory: Directory,
    journal: Option<File>,
    next: Option<File>,
}

/// The directory, locked.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// To sync it: a name that was changed survives a power cut only then.
    handle: File,
    /// Released when it is closed, however the process ends.
    _lock: Flock<File>,
}

/// Why the state cannot be used. For the person who started the program.
#[derive(Debug)]
pub enum StateError {
    /// The directory cannot be made or used.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Another process uses it.
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process, if it says so.
        pid: Option<u32>,
    },
    /// The journal cannot be used.
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: OpenError,
    },
    /// The old journal cannot be moved aside.
    Reset {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Opens the state in a directory, which is made if it does not exist: the journal, and what it
/// holds if there is one.
///
/// # Errors
/// If it cannot be used.
pub fn open(
    directory: &Path,
    sync: SyncMode,
) -> Result<(Journal<FileStorage>, Option<Image>, Opened), StateError> {
    let storage = FileStorage::open(directory)?;
    let path = directory.join(JOURNAL);
    Journal::open(storage, sync).map_err(|error| StateError::Journal { path, error })
}

/// Moves the journal in a directory aside, so that the next start begins with nothing. Returns its
/// new name, `None` if there was no journal.
///
/// # Errors
/// If another process uses the directory, or if the file cannot be renamed.
pub fn reset(directory: &Path) -> Result<Option<PathBuf>, StateError> {
    let path = directory.join(JOURNAL);
    if !directory.exists() {
        return Ok(None);
    }
    let directory = Directory::open(directory)?;
    let moved = directory.move_aside(&path);
    moved.map_err(|error| StateError::Reset { path, error })
}

impl FileStorage {
    /// Makes the directory if it does not exist, and locks it.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        Ok(Self { directory: Directory::open(directory)?, journal: None, next: None })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path.join(name)
    }

    /// Does something to a file that should be open; the error names both.
    fn with<T>(
        &mut self,
        name: &str,
        what: &str,
        act: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let file = if name == NEXT { &mut self.next } else { &mut self.journal };
        let result = match file {
            Some(file) => act(file),
            None => Err(io::Error::other("it was not opened")),
        };
        result.map_err(|error| explain(what, &self.path(name), &error))
    }
}

impl Storage for FileStorage {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(JOURNAL);
        let read = || {
            let mut file = OpenOptions::new().read(true).append(true).open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("it is not a file"));
            }
            let mut octets = Vec::new();
            file.read_to_end(&mut octets)?;
            Ok((file, octets))
        };
        let result = match read() {
            Ok((file, octets)) => {
                self.journal = Some(file);
                Ok(Some(octets))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(explain("read", &path, &error)),
        };
        self.directory.sync()?;
        result
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(JOURNAL, "write to", |file| file.write_all(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(JOURNAL, "sync", |file| file.sync_data())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.with(JOURNAL, "cut", |file| file.set_len(length).and_then(|()| file.sync_all()))
    }

    fn begin(&mut self) -> io::Result<()> {
        self.abandon()?;
        let path = self.path(NEXT);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        self.next = Some(file.map_err(|error| explain("create", &path, &error))?);
        Ok(())
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(NEXT, "write to", |file| file.write_all(bytes))
    }

    fn sync_next(&mut self) -> io::Result<()> {
        self.with(NEXT, "sync", |file| file.sync_all())
    }

    fn replace(&mut self) -> io::Result<()> {
        let (from, to) = (self.path(NEXT), self.path(JOURNAL));
        fs::rename(&from, &to).map_err(|error| {
            let what = format!("rename {} to", from.display());
            explain(&what, &to, &error)
        })?;
        self.journal = self.next.take();
        self.directory.sync()
    }

    fn abandon(&mut self) -> io::Result<()> {
        self.next = None;
        let path = self.path(NEXT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(explain("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }
}

impl Directory {
    fn open(path: &Path) -> Result<Self, StateError> {
        let failed =
            |what| move |error| StateError::Directory { path: path.to_owned(), what, error };
        // Not its parents: one that is missing is a name misspelt or a disk not mounted.
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => sync_parent(path).map_err(failed("create"))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create")(error)),
        }
        let handle = File::open(path).map_err(failed("open"))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed("write to"))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let mut lock = lock.map_err(|(file, errno)| match errno {
            Errno::EWOULDBLOCK => StateError::Locked { path: path.to_owned(), pid: read_pid(file) },
            errno => failed("lock")(errno.into()),
        })?;
        // Only for the message that the next one gets; a full disk may swallow it.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { path: path.to_owned(), handle, _lock: lock })
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all().map_err(|error| explain("sync", &self.path, &error))
    }

    fn move_aside(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let names = (now.as_secs()..).map(|time| self.path.join(format!("journal.damaged-{time}")));
        for to in names {
            if !to.exists() {
                fs::rename(path, &to)?;
                self.handle.sync_all()?;
                return Ok(Some(to));
            }
        }
        Ok(None)
    }
}

/// A directory that was just made is there after a power cut.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all())
}

fn read_pid(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

/// The same kind of error, with what was tried.
fn explain(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {}: {error}", path.display()))
}

fn user() -> String {
    let uid = Uid::effective();
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("user {}", user.name),
        _ => format!("the user with id {uid}"),
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory { path, what, error } => {
                write!(
                    f,
                    "cannot {what} the state directory {} as {}: {error}; ",
                    path.display(),
                    user()
                )?;
                f.write_str(if error.kind() == io::ErrorKind::NotFound {
                    "the directory in which it should be is not there: make it, or mount its disk, \
                     or name another with `state_dir`"
                } else {
                    "make it a directory that this user can write to, or name another with \
                     `state_dir`"
                })
            }
            Self::Locked { path, pid } => {
                let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
                write!(
                    f,
                    "another gateway{pid} uses the state directory {}; stop it, or give each a \
                     `state_dir` and a `name` of its own",
                    path.display()
                )
            }
            Self::Journal { error: OpenError::Storage(trouble), .. } => write!(
                f,
                "{trouble}; it holds the sessions and messages of the devices, so the gateway does \
                 not start without it"
            ),
            Self::Journal { path, error } => {
                write!(
                    f,
                    "cannot use {}: {error}. It should hold the sessions and messages of the \
                     devices. Either ",
                    path.display()
                )?;
                f.write_str(match error {
                    OpenError::Newer { .. } => "update this program",
                    _ => "restore the file from a backup",
                })?;
                f.write_str(
                    ", or begin with nothing: `mqtt-sn-gateway run --reset-state` moves it aside",
                )
            }
            Self::Reset { path, error } => {
                write!(f, "cannot move {} aside: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { error, .. } | Self::Reset { error, .. } => Some(error),
            Self::Journal { error, .. } => Some(error),
            Self::Locked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
