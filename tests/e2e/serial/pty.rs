//! A serial port, made of a pseudo-terminal, that can be unplugged.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use tempfile::TempDir;

/// The port.
pub struct Port {
    directory: TempDir,
    plugged: Plugged,
}

/// The far end of the port, while it is plugged in.
pub type Plugged = Arc<Mutex<Option<Pty>>>;

/// The far end.
pub struct Pty {
    master: File,
    /// Without one that is open the master would fail while the gateway is away.
    _slave: OwnedFd,
    /// Octets that are no whole packet yet.
    pub rest: Vec<u8>,
}

impl Port {
    /// A port that is not plugged in.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), plugged: Plugged::default() }
    }

    /// What the gateway knows it by.
    pub fn device(&self) -> PathBuf {
        self.directory.path().join("radio")
    }

    /// Its far end.
    pub fn far(&self) -> Plugged {
        Arc::clone(&self.plugged)
    }

    /// Plugs it in: another terminal under the same name.
    pub fn plug(&self) {
        let pty = openpty(None, None).unwrap();
        // A program that is started would keep the line plugged in.
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let mut settings = tcgetattr(&pty.slave).unwrap();
        cfmakeraw(&mut settings);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let name = ttyname(&pty.slave).unwrap();
        let pty = Pty { master: pty.master.into(), _slave: pty.slave, rest: Vec::new() };
        *self.plugged.lock().unwrap() = Some(pty);
        symlink(name, self.device()).unwrap();
    }

    pub fn unplug(&self) {
        fs::remove_file(self.device()).unwrap();
        *self.plugged.lock().unwrap() = None;
    }

    /// Holds the device as another program does that wants it for itself.
    pub fn lock(&self) -> Flock<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(OFlag::O_NOCTTY.bits()).open(self.device());
        Flock::lock(file.unwrap(), FlockArg::LockExclusiveNonblock).expect("the lock")
    }
}

impl Pty {
    /// Takes what has come, and says whether that was anything.
    pub fn read(&mut self) -> bool {
        let mut buffer = [0; 4_096];
        let Ok(length) = self.master.read(&mut buffer) else { return false };
        self.rest.extend_from_slice(&buffer[..length]);
        true
    }

    /// Writes what there is room for, and says how much that was.
    pub fn write_some(&mut self, octets: &[u8]) -> usize {
        self.master.write(octets).unwrap_or(0)
    }

    pub fn write(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            match self.master.write(octets) {
                Ok(written) => octets = &octets[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("the line: {error}"),
            }
        }
    }
}
