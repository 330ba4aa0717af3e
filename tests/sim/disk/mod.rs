//! A model of a disk with one journal on it: a cache that a power cut takes away, a directory that
//! remembers a rename only once it is synced, and all the ways in which a disk says no. It counts
//! what is done to it, so that the world can end at any operation.

mod file;
mod plan;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::rng::Rng;

use mqtt_sn_gateway::store::journal::Storage;

pub use file::Fate;
use file::File;
pub use plan::DiskPlan;

/// How the life of the gateway ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Crash {
    /// The process is killed: what it has written stays.
    Kill,
    /// The machine stops: what was not synced meets its fate.
    PowerCut(Fate),
}

/// Where in an operation it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    Before,
    Within,
    After,
}

/// What ails the disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Ailment {
    #[default]
    Nothing,
    /// Room for so many octets more.
    Full(usize),
    ReadOnly,
    /// So many permille of all operations fail.
    Errors(u64),
}

#[derive(Debug)]
struct State {
    rng: Rng,
    /// The journal, as it is found by its name.
    journal: Option<File>,
    /// What its name still means on the disk, if that is something else.
    former: Option<Option<File>>,
    /// The journal that is to be.
    next: Option<File>,
    ailment: Ailment,
    /// Octets on it at most; what a full disk has.
    capacity: usize,
    /// Operations so far.
    operations: u64,
    crash_at: Option<(u64, Moment)>,
    /// The gateway's life is over; nothing is written any more.
    dead: bool,
    /// Says that it has synced and has not: for sabotage.
    lies: bool,
    /// What a failed sync gave up can still be read by the next process.
    remembers: bool,
}

/// The disk; its clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

/// What a call may do.
enum Go {
    All,
    /// A part, and then the world ends.
    Part,
    /// All of it, and then the world ends.
    Last,
}

impl State {
    /// Counts an operation; says how far it may go.
    fn enter(&mut self) -> io::Result<Go> {
        if self.dead {
            return Err(gone());
        }
        self.operations += 1;
        let moment = self.crash_at.filter(|(at, _)| *at == self.operations).map(|(_, when)| when);
        let go = match moment {
            None => return Ok(Go::All),
            Some(Moment::Before) => Err(gone()),
            Some(Moment::Within) => Ok(Go::Part),
            Some(Moment::After) => Ok(Go::Last),
        };
        self.dead = true;
        go
    }

    /// Whether this operation fails for what ails the disk.
    fn fails(&mut self) -> Option<io::Error> {
        match self.ailment {
            Ailment::ReadOnly => Some(ErrorKind::ReadOnlyFilesystem.into()),
            Ailment::Errors(chance) if self.rng.chance(chance) => {
                Some(io::Error::other("input/output error"))
            }
            _ => None,
        }
    }

    fn file(&mut self, next: bool) -> io::Result<&mut File> {
        let file = if next { &mut self.next } else { &mut self.journal };
        file.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn used(&self) -> usize {
        let files = [&self.journal, &self.next].into_iter().flatten();
        files.map(|file| file.content().len()).sum()
    }

    fn append(&mut self, next: bool, bytes: &[u8]) -> io::Result<()> {
        let go = self.enter()?;
        let room = self.capacity.saturating_sub(self.used());
        let failure = self.fails();
        let part = self.rng.below(bytes.len() as u64 + 1) as usize;
        let file = self.file(next)?;
        if let Some(error) = failure {
            file.append(&bytes[..part]);
            return Err(error);
        }
        if room < bytes.len() {
            // As `write` does: what fits is written.
            file.append(&bytes[..room]);
            return Err(ErrorKind::StorageFull.into());
        }
        let written = if let Go::Part = go { part } else { bytes.len() };
        file.append(&bytes[..written]);
        alive(&go)
    }

    fn sync(&mut self, next: bool) -> io::Result<()> {
        let go = self.enter()?;
        let failure = self.fails();
        let lies = self.lies;
        let file = self.file(next)?;
        if let Some(error) = failure {
            file.fail_sync();
            return Err(error);
        }
        if !lies && !matches!(go, Go::Part) {
            file.sync();
        }
        alive(&go)
    }

    fn replace(&mut self) -> io::Result<()> {
        let go = self.enter()?;
        if let Some(error) = self.fails() {
            return Err(error);
        }
        let next = self.next.take().ok_or(ErrorKind::NotFound)?;
        let old = self.journal.replace(next);
        // On the disk the name means what it meant.
        self.former.get_or_insert(old);
        alive(&go)?;
        let go = self.enter()?;
        if let Some(error) = self.fails() {
            return Err(error);
        }
        if !self.lies && !matches!(go, Go::Part) {
            self.former = None;
        }
        alive(&go)
    }

    fn cut(&mut self, fate: Fate) {
        if let Some(former) = self.former.take() {
            let kept = match fate {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Torn => self.rng.chance(500),
            };
            if !kept {
                self.next = std::mem::replace(&mut self.journal, former);
            }
        }
        let rng = &mut self.rng;
        if let Some(journal) = &mut self.journal {
            journal.cut(fate, rng);
        }
        if let Some(next) = &mut self.next {
            next.cut(fate, rng);
        }
    }
}

/// Nobody is there to see what came of it.
fn gone() -> io::Error {
    io::Error::other("the gateway is gone")
}

fn alive(go: &Go) -> io::Result<()> {
    if let Go::All = go { Ok(()) } else { Err(gone()) }
}

impl Disk {
    /// An empty disk.
    pub fn new(rng: Rng) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng,
            journal: None,
            former: None,
            next: None,
            ailment: Ailment::Nothing,
            capacity: usize::MAX,
            operations: 0,
            crash_at: None,
            dead: false,
            lies: false,
            remembers: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("one thread")
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The gateway's life ends at the operation with this number.
    pub fn crash_at(&self, operation: u64, moment: Moment) {
        self.state().crash_at = Some((operation, moment));
    }

    /// It does not.
    pub fn spare(&self) {
        self.state().crash_at = None;
    }

    /// Whether it has.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The gateway's life is over; what is left is there for the next.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state();
        state.dead = false;
        state.crash_at = None;
        match crash {
            Crash::PowerCut(fate) => state.cut(fate),
            Crash::Kill if !state.remembers => {
                state.journal.iter_mut().for_each(File::evict);
            }
            Crash::Kill => {}
        }
    }

    /// From now on it ails.
    pub fn ail(&self, ailment: Ailment) {
        let mut state = self.state();
        state.capacity = match ailment {
            Ailment::Full(room) => state.used() + room,
            _ => usize::MAX,
        };
        state.ailment = ailment;
    }

    /// What ails it.
    pub fn ailment(&self) -> Ailment {
        self.state().ailment
    }

    /// After the end of a process the next one still reads what a failed sync gave up.
    #[cfg(test)]
    pub fn remember(&self) {
        self.state().remembers = true;
    }

    /// From now on it only says that it syncs.
    pub fn lie(&self) {
        self.state().lies = true;
    }
}

impl Storage for Disk {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        let go = state.enter()?;
        // It syncs the directory: what it finds stays.
        state.former = None;
        alive(&go)?;
        Ok(state.journal.as_ref().map(|file| file.content().to_vec()))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state().append(false, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state().sync(false)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let go = state.enter()?;
        if let Some(error) = state.fails() {
            return Err(error);
        }
        let lies = state.lies;
        let file = state.file(false)?;
        file.truncate(length as usize);
        if !lies && !matches!(go, Go::Part) {
            file.sync();
        }
        alive(&go)
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let go = state.enter()?;
        if let Some(error) = state.fails() {
            return Err(error);
        }
        state.next = Some(File::default());
        alive(&go)
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state().append(true, bytes)
    }

    fn sync_next(&mut self) -> io::Result<()> {
        self.state().sync(true)
    }

    fn replace(&mut self) -> io::Result<()> {
        self.state().replace()
    }

    fn abandon(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let go = state.enter()?;
        if let Some(error) = state.fails() {
            return Err(error);
        }
        state.next = None;
        alive(&go)
    }
}
