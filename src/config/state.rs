//! What survives the process: where it is kept, what a write is worth, and what is kept for a broker
//! that is away.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::{DAY, GIB, KIB, SECOND};
use super::reader::{Complaint, Reader, bad_value};
use crate::mqtt::Spool;
use crate::store::commit::{CommitSettings, SyncMode};

/// The variable in which systemd says which directories `StateDirectory=` made.
const GIVEN: &str = "STATE_DIRECTORY";

/// The words of `sync`.
pub(super) const SYNC_MODES: [(&str, SyncMode); 3] =
    [("batch", SyncMode::Batch), ("always", SyncMode::Always), ("off", SyncMode::Off)];

/// The words of `qos0`, and whether it is kept.
pub(super) const QOS0_POLICIES: [(&str, bool); 2] = [("drop", false), ("keep", true)];

/// The directory that the service manager made for the state; the first if it made several.
pub(super) fn given_directory(variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let (_, paths) = variables.iter().find(|(name, _)| name == GIVEN)?;
    let first = paths.as_bytes().split(|octet| *octet == b':').find(|path| !path.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(first)))
}

/// A directory; a relative name begins at `directory`.
pub(super) fn check_state_dir(text: &str, directory: &Path) -> Result<PathBuf, Complaint> {
    if text.is_empty() || text.contains('\0') {
        let help = "name a directory: what is acknowledged to devices and to the broker is kept \
                    there; take the key out for the default, \"state\" beside this file";
        return Err(bad_value("state_dir", text, help));
    }
    Ok(directory.join(text))
}

/// `[store]`.
pub(super) fn read_store(mut reader: Reader<'_>, store: &mut CommitSettings) {
    reader.choice("sync", &mut store.sync, &SYNC_MODES);
    reader.integer("batch_records", 1..=10_000, &mut store.records);
    reader.duration("batch_time", Duration::from_millis(1)..=SECOND * 10, &mut store.time);
    reader.finish();
    if store.sync == SyncMode::Always {
        // Nothing waits for company.
        store.records = 1;
    }
}

/// `[upstream.spool]`.
pub(super) fn read_spool(mut reader: Reader<'_>, spool: &mut Spool) {
    reader.size("max_bytes", 64 * KIB..=1024 * GIB, &mut spool.max_bytes);
    reader.duration("max_age", SECOND..=DAY * 3_650, &mut spool.max_age);
    reader.choice("qos0", &mut spool.qos0, &QOS0_POLICIES);
    reader.finish();
}
