//! A serial line with a program at each end: two pseudo-terminals, and a thread that carries octets
//! between them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use tempfile::TempDir;

/// Octets under way in one direction, beyond which no more are taken: the sender has to wait.
const UNDER_WAY: usize = 4_096;

/// The line.
pub struct Pair {
    directory: TempDir,
    framing: &'static str,
    baud: u32,
    ends: Arc<Mutex<[Option<End>; 2]>>,
    stop: Arc<AtomicBool>,
    pump: Option<JoinHandle<()>>,
}

struct End {
    master: File,
    /// Without one that is open the master would fail while no program has it open.
    _slave: OwnedFd,
    /// What is to come out of it.
    waiting: VecDeque<u8>,
}

const GATEWAY: usize = 0;
const DEVICE: usize = 1;

impl Pair {
    pub fn new(framing: &'static str, baud: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ends = ["gateway", "device"].map(|name| {
            let pty = openpty(None, None).unwrap();
            // A program that is started would keep the line plugged in.
            for end in [&pty.master, &pty.slave] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
            }
            let mut settings = tcgetattr(&pty.slave).unwrap();
            cfmakeraw(&mut settings);
            tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
            fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
            symlink(ttyname(&pty.slave).unwrap(), directory.path().join(name)).unwrap();
            Some(End { master: pty.master.into(), _slave: pty.slave, waiting: VecDeque::new() })
        });
        let (ends, stop) = (Arc::new(Mutex::new(ends)), Arc::new(AtomicBool::new(false)));
        let pump = {
            let (ends, stop) = (Arc::clone(&ends), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if !carry(&mut ends.lock().unwrap()) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        };
        Self { directory, framing, baud, ends, stop, pump: Some(pump) }
    }

    /// The gateway's `[[serial]]`.
    pub fn table(&self) -> String {
        let device = self.path("gateway");
        let Self { framing, baud, .. } = self;
        format!("[[serial]]\ndevice = \"{device}\"\nframing = \"{framing}\"\nbaud = {baud}\n\n")
    }

    /// The end for the tools.
    pub fn device(&self) -> String {
        self.path("device")
    }

    /// The gateway's end.
    pub fn gateway(&self) -> String {
        self.path("gateway")
    }

    /// Takes the tools' end away from who has it open.
    pub fn unplug_device(&self) {
        self.ends.lock().unwrap()[DEVICE] = None;
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.pump.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the pump");
    }
}

/// Moves what there is, and says whether there was anything.
fn carry(ends: &mut [Option<End>; 2]) -> bool {
    let mut moved = false;
    let mut buffer = [0; UNDER_WAY];
    for (from, to) in [(GATEWAY, DEVICE), (DEVICE, GATEWAY)] {
        let room = ends[to].as_ref().map_or(UNDER_WAY, |end| UNDER_WAY - end.waiting.len());
        let read = ends[from].as_mut().map(|end| end.master.read(&mut buffer[..room]));
        if let (Some(Ok(length)), Some(end)) = (read, &mut ends[to]) {
            end.waiting.extend(&buffer[..length]);
            moved |= length > 0;
        }
        if let Some(End { master, waiting, .. }) = &mut ends[to]
            && let Ok(length) = master.write(waiting.make_contiguous())
        {
            waiting.drain(..length);
            moved |= length > 0;
        }
    }
    moved
}
