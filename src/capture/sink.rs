//! Where a capture goes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::pcapng::MAGIC;

/// Where a capture goes. Nothing is written, and nothing lost, before it begins.
#[derive(Debug)]
pub struct Sink {
    pub(super) place: Place,
    pub(super) name: String,
    /// Its file, if it is one of the folder.
    pub(super) kept: Option<Kept>,
    /// Octets of its disk that have to stay free.
    pub(super) reserve: u64,
}

/// A file of the folder. Until the capture begins it goes when this goes, whoever had it last.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    begun: bool,
}

impl Kept {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, begun: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It stays.
    pub(super) fn begin(mut self) {
        self.begun = true;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.begun {
            let path = std::mem::take(&mut self.path);
            // It may be the loop that gives it up, which does not wait for a disk. If the file stays it is
            // empty, and the oldest some day.
            let thread = std::thread::Builder::new().name("discard".to_owned());
            let _ = thread.spawn(move || std::fs::remove_file(path));
        }
    }
}

#[derive(Debug)]
pub(super) enum Place {
    /// A regular file.
    File(File),
    /// A pipe, a device.
    Stream(File),
    /// A pipe with a name, which somebody will read.
    Fifo(PathBuf),
}

/// Why a capture cannot go there. For the person who asked for it.
#[derive(Debug)]
pub enum SinkError {
    /// The system refuses.
    Open(PathBuf, io::Error),
    /// It is something else.
    Directory(PathBuf),
    /// There is something in it, and it is no capture.
    NoCapture(PathBuf),
    /// Standard output is a terminal.
    Terminal,
    /// There is no standard output.
    Output(io::Error),
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path, error) => write!(f, "cannot capture to {}: {error}", path.display()),
            Self::Directory(path) => write!(
                f,
                "cannot capture to {}: it is a directory; name a file in it",
                path.display()
            ),
            Self::NoCapture(path) => write!(
                f,
                "{} is not overwritten: there is something in it, and it is no pcapng file; name \
                 another, or remove it",
                path.display()
            ),
            Self::Terminal => f.write_str(
                "a capture is nothing for a terminal: pipe it somewhere, as in \
                 `mqtt-sn-gateway run --capture - | wireshark -k -i -`, or name a file",
            ),
            Self::Output(error) => write!(f, "cannot capture to standard output: {error}"),
        }
    }
}

impl std::error::Error for SinkError {}

impl Sink {
    /// What `--capture` names: a file, which only its owner may read if it is made now, a pipe or a
    /// device, or `-` for standard output. A file that is a capture already is overwritten.
    ///
    /// # Errors
    /// If it cannot be, or must not.
    pub fn named(path: &Path) -> Result<Self, SinkError> {
        if path == "-" {
            return Self::output();
        }
        let place = Self::place(path)?;
        Ok(Self { place, name: path.display().to_string(), kept: None, reserve: 0 })
    }

    fn output() -> Result<Self, SinkError> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(SinkError::Terminal);
        }
        let file = stdout.as_fd().try_clone_to_owned().map_err(SinkError::Output)?;
        let name = "standard output".to_owned();
        Ok(Self { place: Place::Stream(file.into()), name, kept: None, reserve: 0 })
    }

    fn place(path: &Path) -> Result<Place, SinkError> {
        let failed = |error| SinkError::Open(path.to_owned(), error);
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(SinkError::Directory(path.to_owned())),
            // To open it would be to wait for its reader.
            Ok(found) if found.file_type().is_fifo() => return Ok(Place::Fifo(path.to_owned())),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return Ok(Place::Stream(file));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // It may have become a pipe meanwhile.
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)
            .map_err(failed)?;
        let mut head = Vec::new();
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head).map_err(failed)?;
        if !head.is_empty() && head != MAGIC {
            return Err(SinkError::NoCapture(path.to_owned()));
        }
        Ok(Place::File(file))
    }

    /// The same for the log, which has to say where that is.
    pub(super) fn path(&self) -> String {
        let kept = self.kept.as_ref();
        kept.map_or_else(|| self.name.clone(), |kept| kept.path().display().to_string())
    }

    /// It is a file, not a pipe or a device.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }
}
