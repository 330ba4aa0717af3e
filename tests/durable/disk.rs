//! A disk in memory that can fail, and be asked how much it had to do.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use mqtt_sn_gateway::store::journal::Storage;

/// Copies mean the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    journal: Option<Vec<u8>>,
    next: Option<Vec<u8>>,
    /// Every write fails so.
    broken: Option<(io::ErrorKind, String)>,
    writes: usize,
    replacements: usize,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while he holds it")
    }

    pub fn fail(&self, kind: io::ErrorKind, text: &str) {
        self.state().broken = Some((kind, text.to_owned()));
    }

    pub fn mend(&self) {
        self.state().broken = None;
    }

    /// Appends and new beginnings so far.
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// Snapshots that became the journal, the very first one included.
    pub fn replacements(&self) -> usize {
        self.state().replacements
    }

    pub fn has_unfinished(&self) -> bool {
        self.state().next.is_some()
    }
}

impl State {
    fn write(&mut self) -> io::Result<()> {
        self.writes += 1;
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        match &self.broken {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }
}

impl Storage for Disk {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().journal.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.write()?;
        state.journal.as_mut().expect("a journal").extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state().check()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        state.journal.as_mut().expect("a journal").truncate(length as usize);
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.write()?;
        state.next = Some(Vec::new());
        Ok(())
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.write()?;
        state.next.as_mut().expect("a new journal").extend_from_slice(bytes);
        Ok(())
    }

    fn sync_next(&mut self) -> io::Result<()> {
        self.state().check()
    }

    fn replace(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        state.journal = state.next.take();
        state.replacements += 1;
        Ok(())
    }

    fn abandon(&mut self) -> io::Result<()> {
        self.state().next = None;
        Ok(())
    }
}
