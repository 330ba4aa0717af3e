//! Devices that were here before, and whether new ones may come.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use super::settings::{Mac, PermitJoin};
use crate::ops::RateLimit;

/// Its name in the directory of the state. It is for all `[[ble]]` together.
const FILE: &str = "ble-devices";
/// Devices that are remembered.
const MOST: usize = 10_000;

/// The file is one for all links.
static WRITING: Mutex<()> = Mutex::new(());

/// Who may connect as far as `permit_join` says. Files are read and written when this is used: not for the
/// loop.
#[derive(Debug)]
pub(super) struct Known {
    permit: PermitJoin,
    path: PathBuf,
    devices: BTreeMap<Mac, String>,
    lines: RateLimit<()>,
}

impl Known {
    /// Reads those that were here.
    pub(super) fn load(permit: PermitJoin, state_dir: PathBuf) -> Self {
        let path = state_dir.join(FILE);
        let mut known = Self {
            permit,
            path,
            devices: BTreeMap::new(),
            lines: RateLimit::new(3, Duration::from_secs(600), 1),
        };
        if permit != PermitJoin::Always {
            known.devices = known.read();
        }
        known
    }

    /// How many were here.
    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether this device may connect; `joining`: those that were never here may at the moment.
    pub(super) fn lets_in(&self, joining: bool, device: Mac) -> bool {
        self.permit == PermitJoin::Always || joining || self.devices.contains_key(&device)
    }

    /// This device has connected.
    pub(super) fn remember(&mut self, device: Mac, name: &str) {
        let new = self.permit != PermitJoin::Always && !self.devices.contains_key(&device);
        if !new || self.devices.len() >= MOST {
            return;
        }
        let name = name.replace(char::is_control, "?");
        self.devices.insert(device, name.clone());
        if let Err(error) = self.add(device, name)
            && let Some(more) = self.lines.allow(Instant::now(), ())
        {
            let path = self.path.display();
            warn!("{path}: {error}; device {device} may have to join again after a restart{more}");
        }
    }

    fn read(&self) -> BTreeMap<Mac, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    let path = self.path.display();
                    warn!("{path}: {error}; devices that were here have to join again");
                }
                return BTreeMap::new();
            }
        };
        let mut devices = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#')) {
            let (address, name) = line.split_once(' ').unwrap_or((line, ""));
            match Mac::parse(address) {
                Some(device) if devices.len() < MOST => drop(devices.insert(device, name.into())),
                Some(_) => {}
                None if line.trim().is_empty() => {}
                None => {
                    let path = self.path.display();
                    warn!("{path}, line {number}: not a Bluetooth address, left out");
                }
            }
        }
        devices
    }

    /// With what other links have written meanwhile. The old file is whole until the new one is.
    fn add(&mut self, device: Mac, name: String) -> io::Result<()> {
        let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut devices = self.read();
        devices.insert(device, name);
        let mut text =
            "# Bluetooth devices that have joined: address and name. A device whose line is \
                        taken out while the gateway is stopped has to join again.\n"
                .to_owned();
        for (device, name) in &devices {
            text.push_str(format!("{device} {name}").trim_end());
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        if let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Mac = Mac([1; 6]);
    const TWO: Mac = Mac([2; 6]);

    #[test]
    fn who_joined_in_time_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let load = |permit| Known::load(permit, directory.path().to_owned());
        let soon = PermitJoin::For(Duration::from_secs(600));
        let (early, late) = (true, false);
        let mut known = load(soon);
        assert!(known.lets_in(early, ONE) && !known.lets_in(late, ONE));
        known.remember(ONE, "sensor\n2");
        assert!(known.lets_in(late, ONE) && !known.lets_in(late, TWO));
        // A second link writes to the same file.
        load(soon).remember(TWO, "");
        known.remember(ONE, "renamed");

        let known = load(PermitJoin::Never);
        assert_eq!(known.len(), 2);
        assert!(known.lets_in(late, ONE) && known.lets_in(late, TWO));
        assert!(!known.lets_in(late, Mac([3; 6])));
        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(text.ends_with("\n01:01:01:01:01:01 sensor?2\n02:02:02:02:02:02\n"), "{text}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no other file is left");

        fs::write(directory.path().join(FILE), "# x\nnonsense\n\n03:03:03:03:03:03").unwrap();
        assert_eq!(load(PermitJoin::Never).devices.into_keys().collect::<Vec<_>>(), [Mac([3; 6])]);
    }

    #[test]
    fn nobody_is_remembered_where_everybody_may_join() {
        let directory = tempfile::tempdir().unwrap();
        let mut known = Known::load(PermitJoin::Always, directory.path().to_owned());
        assert!(known.lets_in(false, ONE));
        known.remember(ONE, "");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
