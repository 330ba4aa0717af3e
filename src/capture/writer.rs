//! The thread that writes a capture: a disk may take its time, a reader of a pipe may never come.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::folder;
use super::pcapng;
use super::sink::{Place, Sink};

/// Octets that wait for the disk, at most.
pub(super) const ROOM: usize = 4 << 20;
/// Buffers that have become larger are given back.
const KEEP_BYTES: usize = 256 << 10;
/// How often it is looked whether there is a reader, and whether there is still room on the disk.
const READER_INTERVAL: Duration = Duration::from_millis(200);
const ROOM_INTERVAL: u64 = 1 << 20;

/// Packets of an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) dropped: u64,
}

/// What the loop and the thread share. The lock is held to move buffers, never over a system call.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Whole blocks that are to be written.
    pub(super) waiting: Vec<u8>,
    /// What is captured by now, by interface.
    pub(super) counts: Vec<Counts>,
    /// No more is to come, and why.
    pub(super) end: Option<String>,
    /// Nothing is written any more, and why.
    pub(super) ended: Option<String>,
    /// Octets that are written, whole blocks.
    pub(super) written: u64,
}

impl Shared {
    /// With what is to be written first, and interfaces without packets.
    pub(super) fn new(waiting: Vec<u8>, interfaces: usize) -> Self {
        let counts = vec![Counts::default(); interfaces];
        let state = State { waiting, counts, ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// It is held for moments only.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change, at most so long.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Starts the thread. What it returns comes to an end when the thread does.
pub(super) fn start(
    sink: Sink,
    shared: Arc<Shared>,
    time: Option<Duration>,
) -> io::Result<oneshot::Receiver<()>> {
    let (done, wait) = oneshot::channel::<()>();
    let deadline = time.and_then(|time| Instant::now().checked_add(time));
    let name = sink.path();
    std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
        let Sink { place, kept, reserve, .. } = sink;
        if let Some(kept) = kept {
            kept.begin();
        }
        let mut writer = Writer { shared, deadline, reserve, written: 0 };
        let end = writer.run(place);
        writer.tell(&name, &end);
        let mut state = writer.shared.lock();
        state.ended = Some(end.unwrap_or_else(|error| error.to_string()));
        state.written = writer.written;
        state.waiting = Vec::new();
        drop(state);
        drop(done);
    })?;
    Ok(wait)
}

struct Writer {
    shared: Arc<Shared>,
    deadline: Option<Instant>,
    reserve: u64,
    written: u64,
}

/// What there is to do.
enum Next {
    Write,
    End(String),
}

impl Writer {
    /// Writes until the end; gives the reason of it.
    fn run(&mut self, place: Place) -> io::Result<String> {
        let (mut file, regular) = match place {
            Place::File(file) => {
                file.set_len(0)?;
                io::Seek::rewind(&mut &file)?;
                (file, true)
            }
            Place::Stream(file) => (file, false),
            Place::Fifo(path) => match self.wait_for_reader(&path)? {
                Some(file) => (file, false),
                None => return Ok("nobody has come to read it".to_owned()),
            },
        };
        let mut taken = Vec::new();
        loop {
            let next = self.next(&mut taken);
            self.write(&mut file, &taken, regular)?;
            taken.clear();
            if taken.capacity() > KEEP_BYTES {
                taken = Vec::new();
            }
            if let Next::End(why) = next {
                self.sum_up(&mut taken);
                self.write(&mut file, &taken, regular)?;
                return Ok(why);
            }
        }
    }

    /// Waits until there is something to write, or an end. Both may come together.
    fn next(&self, taken: &mut Vec<u8>) -> Next {
        let mut state = self.shared.lock();
        state.written = self.written;
        loop {
            let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
            let over = left == Some(Duration::ZERO);
            if over && state.end.is_none() {
                state.end = Some("its time is over".to_owned());
            }
            std::mem::swap(&mut state.waiting, taken);
            if let Some(why) = &state.end {
                return Next::End(why.clone());
            }
            if !taken.is_empty() {
                return Next::Write;
            }
            state = self.shared.wait(state, left.unwrap_or(Duration::MAX));
        }
    }

    /// How it ended, for the log.
    fn tell(&self, name: &str, end: &io::Result<String>) {
        let total =
            |of: fn(&Counts) -> u64| -> u64 { self.shared.lock().counts.iter().map(of).sum() };
        let (packets, dropped) = (total(|count| count.packets), total(|count| count.dropped));
        let octets = self.written;
        let lost = match dropped {
            0 => String::new(),
            _ => format!("; {dropped} packets are missing in it, as they came too fast"),
        };
        match end {
            Ok(why) => info!(
                "the capture to {name} has ended: {why}; {packets} packets, {octets} octets{lost}"
            ),
            Err(error) => warn!(
                "the capture to {name} has ended: {error}; {octets} octets of it are whole{lost}"
            ),
        }
    }

    /// Statistics of all interfaces.
    fn sum_up(&self, out: &mut Vec<u8>) {
        let micros = micros(SystemTime::now());
        for (interface, count) in (0..).zip(&self.shared.lock().counts) {
            let received = count.packets.saturating_add(count.dropped);
            pcapng::statistics(out, interface, micros, received, count.dropped);
        }
    }

    /// Writes whole blocks. If that does not work, a file keeps those of them that are written.
    fn write(&mut self, file: &mut File, blocks: &[u8], regular: bool) -> io::Result<()> {
        let mut at = 0;
        while let Some(rest) = blocks.get(at..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let whole = blocks.get(..at).map_or(0, pcapng::whole_blocks);
                    self.written += whole as u64;
                    if regular {
                        // If not even that works, readers find the end in the middle of a block.
                        let _ = file.set_len(self.written);
                    }
                    return Err(explain(error));
                }
            }
        }
        let before = self.written / ROOM_INTERVAL;
        self.written += blocks.len() as u64;
        if self.reserve > 0
            && before != self.written / ROOM_INTERVAL
            && folder::free(file)? < self.reserve
        {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the disk is nearly full, and the state of the devices needs what is left",
            ));
        }
        Ok(())
    }

    /// Opens a pipe once somebody reads it. `None` if the capture ends before.
    fn wait_for_reader(&self, path: &Path) -> io::Result<Option<File>> {
        loop {
            let mut options = OpenOptions::new();
            let opened = options.write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
            match opened {
                Ok(file) => {
                    // From here on it may take its time.
                    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
                    return Ok(Some(file));
                }
                Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {}
                Err(error) => return Err(error),
            }
            let ending = self.shared.lock().end.is_some();
            if ending || self.deadline.is_some_and(|end| end <= Instant::now()) {
                return Ok(None);
            }
            std::thread::sleep(READER_INTERVAL);
        }
    }
}

fn explain(error: io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::BrokenPipe => "nobody reads it any more".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("the disk is full ({error})")
        }
        _ => format!("it cannot be written: {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// Microseconds since 1970.
pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
