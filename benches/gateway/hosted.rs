//! The gateway out of the library, in a process of its own like the real program, but on a disk that
//! is ours: none at all, or one that takes its time for every sync, as an SD card does.
//!
//! Loop, sockets, journal and its thread are those of the program; only the storage below is not.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use mqtt_sn_gateway::config::Config;
use mqtt_sn_gateway::engine::Engine;
use mqtt_sn_gateway::ops::logging;
use mqtt_sn_gateway::runtime::run_machine;
use mqtt_sn_gateway::store::file::FileStorage;
use mqtt_sn_gateway::store::journal::{Journal, Storage};
use mqtt_sn_gateway::store::writer::Writer;
use mqtt_sn_gateway::time::Time;

use crate::Failure;
use crate::guard;

/// What the gateway keeps its state on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disk {
    /// Nothing: a gateway whose state ends with it.
    None,
    /// A file that takes so long for every sync, and does not sync otherwise.
    Slow(Duration),
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Slow(time) => write!(f, "{}", time.as_millis()),
        }
    }
}

impl FromStr for Disk {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            millis => Ok(Self::Slow(Duration::from_millis(millis.parse()?))),
        }
    }
}

/// Runs until the parent process ends.
pub fn run(config: &Path, disk: Disk) -> Result<(), Failure> {
    guard::end_with_parent()?;
    let (config, _) = Config::load(Some(config), [])?;
    logging::init(&config.log)?;
    let (core, mqtt) = (config.core_settings(), config.mqtt_settings());
    match disk {
        Disk::None => {
            run_machine(&config, None, Time(0), |seed, now| Engine::new(core, mqtt, seed, now))?;
        }
        Disk::Slow(time) => {
            let storage = SlowStorage { files: FileStorage::open(&config.state_dir)?, time };
            let (journal, image, _) = Journal::open(storage, config.store.sync)?;
            let store = Writer::start(journal)?;
            run_machine(&config, Some(store), Time(0), |seed, now| {
                Engine::durable(core, mqtt, config.store, seed, now, image)
            })?;
        }
    }
    Ok(())
}

/// Files, with syncs that take time.
struct SlowStorage {
    files: FileStorage,
    time: Duration,
}

impl Storage for SlowStorage {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.files.load()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        sleep(self.time);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.files.truncate(length)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.files.begin()
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.files.append_next(bytes)
    }

    fn sync_next(&mut self) -> io::Result<()> {
        sleep(self.time);
        Ok(())
    }

    fn replace(&mut self) -> io::Result<()> {
        self.files.replace()
    }

    fn abandon(&mut self) -> io::Result<()> {
        self.files.abandon()
    }
}
