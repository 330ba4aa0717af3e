//! A look at the directory from outside, for those who want to know whether it can be used. It makes
//! nothing, and is in nobody's way for longer than a moment.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg};
use nix::unistd::{AccessFlags, faccessat};

use super::{JOURNAL, LOCK, read_pid, user};

/// What there is where the state should be.
#[derive(Debug)]
pub enum Look {
    /// Nothing, and the first start makes it.
    Absent,
    /// A directory that can be used.
    Free {
        /// Length of its journal, if there is one, octets.
        journal: Option<u64>,
    },
    /// A directory that a process uses.
    Locked {
        /// The process, if it says so.
        pid: Option<u32>,
    },
    /// Something that cannot be used, and why.
    Unusable(String),
}

/// Looks at a directory.
#[must_use]
pub fn look(directory: &Path) -> Look {
    match fs::metadata(directory) {
        Ok(found) => look_into(directory, &found).unwrap_or_else(Look::Unusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => look_above(directory),
        Err(error) => Look::Unusable(format!("it cannot be looked at as {}: {error}", user())),
    }
}

fn look_into(directory: &Path, found: &Metadata) -> Result<Look, String> {
    if !found.is_dir() {
        return Err("it is not a directory".to_owned());
    }
    // First of all: who may write there, and a lock that is held, are two different things.
    let lock = lock_of(directory);
    if let Ok(Some(pid)) = lock {
        return Ok(Look::Locked { pid });
    }
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    may(directory, all).map_err(|errno| format!("{} cannot use it: {}", user(), errno.desc()))?;
    for name in [LOCK, JOURNAL] {
        match may(&directory.join(name), AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => {
                return Err(format!("{} cannot use {name} in it: {}", user(), errno.desc()));
            }
        }
    }
    lock.map_err(|error| format!("it cannot be locked: {error}"))?;
    let journal = fs::metadata(directory.join(JOURNAL)).ok().map(|found| found.len());
    Ok(Look::Free { journal })
}

/// Whether a process holds the lock, and which one if it says so.
fn lock_of(directory: &Path) -> io::Result<Option<Option<u32>>> {
    let file = match File::open(directory.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_released) => Ok(None),
        Err((file, Errno::EWOULDBLOCK)) => Ok(Some(read_pid(file))),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Whether the directory can be made.
fn look_above(directory: &Path) -> Look {
    if fs::symlink_metadata(directory).is_ok() {
        return Look::Unusable("it is a link to something that is not there".to_owned());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    match may(parent, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Look::Absent,
        Err(Errno::ENOENT) => {
            Look::Unusable(format!("it cannot be made, because {} is not there", parent.display()))
        }
        Err(errno) => Look::Unusable(format!(
            "{} cannot make it in {}: {}",
            user(),
            parent.display(),
            errno.desc()
        )),
    }
}

/// Whether this process may do something, as the user in effect.
fn may(path: &Path, what: AccessFlags) -> Result<(), Errno> {
    faccessat(AT_FDCWD, path, what, AtFlags::AT_EACCESS)
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("not there yet, the first start makes it"),
            Self::Free { journal: None } => f.write_str("empty, and can be used"),
            Self::Free { journal: Some(octets) } => {
                write!(f, "a journal of {octets} bytes, and no gateway uses it")
            }
            Self::Locked { pid: Some(pid) } => write!(f, "in use by a gateway (pid {pid})"),
            Self::Locked { pid: None } => f.write_str("in use by a gateway"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}
