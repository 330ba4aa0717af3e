//! The journal over a model of a disk that fails where it is told to.

use std::sync::{Arc, Mutex};

use super::*;
use crate::store::record::Record;

/// A file: what a process sees of it, and how much of that survives a power cut for certain.
#[derive(Clone, Debug, Default)]
struct File {
    octets: Vec<u8>,
    synced: usize,
}

#[derive(Debug, Default)]
struct State {
    journal: Option<File>,
    next: Option<File>,
    /// Operations so far.
    operations: usize,
    /// What they were.
    log: Vec<&'static str>,
    /// These fail.
    failing: Vec<usize>,
    /// From this one on all do.
    dead_from: Option<usize>,
    kind: Option<io::ErrorKind>,
    /// A failing rename is done all the same.
    renames_anyway: bool,
}

#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn with(octets: &[u8]) -> Self {
        let disk = Self::default();
        disk.state().journal = Some(File { octets: octets.to_vec(), synced: octets.len() });
        disk
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn octets(&self) -> Vec<u8> {
        self.state().journal.as_ref().unwrap().octets.clone()
    }

    fn has_next(&self) -> bool {
        self.state().next.is_some()
    }

    /// Operations since the last call.
    fn log(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().log)
    }

    fn fail_next(&self, offset: usize, kind: io::ErrorKind) {
        let mut state = self.state();
        let operation = state.operations + offset;
        state.failing = vec![operation];
        state.kind = Some(kind);
    }

    /// What another process finds after a power cut that spared `kept` octets of what was not
    /// synced.
    fn after_power_cut(&self, kept: usize) -> Self {
        let cut = |file: &Option<File>| {
            file.as_ref().map(|file| {
                let octets = file.octets[..(file.synced + kept).min(file.octets.len())].to_vec();
                File { synced: octets.len(), octets }
            })
        };
        let state = self.state();
        let (journal, next) = (cut(&state.journal), cut(&state.next));
        Self(Arc::new(Mutex::new(State { journal, next, ..State::default() })))
    }
}

impl State {
    /// Whether the operation fails.
    fn operation(&mut self, name: &'static str) -> Option<io::Error> {
        let number = self.operations;
        self.operations += 1;
        self.log.push(name);
        let fails = self.failing.contains(&number) || self.dead_from.is_some_and(|at| at <= number);
        fails.then(|| io::Error::new(self.kind.unwrap_or(io::ErrorKind::Other), name))
    }
}

fn write(file: Option<&mut File>, bytes: &[u8], error: Option<io::Error>) -> io::Result<()> {
    let file = file.expect("a file");
    let length = if error.is_some() { bytes.len() / 2 } else { bytes.len() };
    file.octets.extend_from_slice(&bytes[..length]);
    error.map_or(Ok(()), Err)
}

fn sync(file: Option<&mut File>, error: Option<io::Error>) -> io::Result<()> {
    let file = file.expect("a file");
    match error {
        Some(error) => Err(error),
        None => {
            file.synced = file.octets.len();
            Ok(())
        }
    }
}

impl Storage for Disk {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.state();
        let error = state.operation("load");
        error.map_or_else(|| Ok(state.journal.as_ref().map(|file| file.octets.clone())), Err)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("append");
        write(state.journal.as_mut(), bytes, error)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("sync");
        sync(state.journal.as_mut(), error)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("truncate");
        let file = state.journal.as_mut().expect("a file");
        match error {
            Some(error) => Err(error),
            None => {
                file.octets.truncate(length as usize);
                file.synced = file.synced.min(file.octets.len());
                Ok(())
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("begin");
        state.next = error.is_none().then(File::default);
        error.map_or(Ok(()), Err)
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("append_next");
        write(state.next.as_mut(), bytes, error)
    }

    fn sync_next(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("sync_next");
        sync(state.next.as_mut(), error)
    }

    fn replace(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("replace");
        if error.is_none() || state.renames_anyway {
            let next = state.next.take().expect("a file");
            assert_eq!(next.synced, next.octets.len(), "only what is whole takes the place");
            state.journal = Some(next);
        }
        error.map_or(Ok(()), Err)
    }

    fn abandon(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let error = state.operation("abandon");
        if error.is_none() {
            state.next = None;
        }
        error.map_or(Ok(()), Err)
    }
}

fn open(disk: &Disk) -> (Journal<Disk>, Option<Image>, Opened) {
    open_as(disk, SyncMode::Batch)
}

fn open_as(disk: &Disk, sync: SyncMode) -> (Journal<Disk>, Option<Image>, Opened) {
    Journal::open_salted(disk.clone(), sync, 42).unwrap()
}

fn refused(disk: &Disk) -> OpenError {
    Journal::open(disk.clone(), SyncMode::Batch).unwrap_err()
}

/// A record that is found again: the request with this key.
fn records(keys: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for key in keys {
        let (topic, payload) = ("t", &[0xA5; 20][..]);
        let (origin, at, qos) = (1, 2, crate::core::upstream::MqttQos::One);
        Record::Request { key, origin, at, qos, retain: false, topic, payload }.put(&mut out);
    }
    out
}

fn keys(image: Option<&Image>) -> Vec<u64> {
    image.map(|image| image.main.requests.keys().copied().collect()).unwrap_or_default()
}

fn found(disk: &Disk) -> Vec<u64> {
    keys(open(disk).1.as_ref())
}

fn commit(number: u64, keys: impl IntoIterator<Item = u64>) -> Commit {
    Commit { number, records: records(keys), snapshot: None }
}

fn part(begin: bool, keys: impl IntoIterator<Item = u64>, end: bool) -> Option<Part> {
    Some(Part { begin, records: records(keys), end })
}

/// Commits the keys 1 to 5, one at a time.
fn five() -> (Disk, Vec<usize>) {
    let disk = Disk::default();
    let (mut journal, ..) = open(&disk);
    let lengths = (1..=5).map(|key| {
        let outcome = journal.commit(&commit(key, [key]));
        assert_eq!((outcome.number, outcome.journal, outcome.snapshot), (key, Ok(()), None));
        assert_eq!(outcome.size, disk.octets().len() as u64);
        disk.octets().len()
    });
    let lengths = lengths.collect();
    (disk, lengths)
}

#[test]
fn what_was_committed_is_found_again() {
    let (disk, lengths) = five();
    let (mut journal, image, opened) = open(&disk);
    assert_eq!(keys(image.as_ref()), [1, 2, 3, 4, 5]);
    let size = *lengths.last().unwrap() as u64;
    assert_eq!(opened, Opened { existed: true, size, frames: 5, cut: 0, gap: false });
    assert_eq!(journal.commit(&commit(1, [6])).journal, Ok(()));
    assert_eq!(found(&disk), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn nothing_is_written_until_there_is_something() {
    let disk = Disk::default();
    let (mut journal, image, opened) = open(&disk);
    assert_eq!((image, opened), (None, Opened::default()));
    assert_eq!(disk.log(), ["load", "abandon"]);
    let outcome = journal.commit(&Commit::default());
    assert_eq!(outcome, Outcome { number: 0, journal: Ok(()), snapshot: None, size: 0 });
    assert!(disk.log().is_empty());
    let outcome = journal.commit(&commit(1, [1]));
    assert_eq!(outcome.journal, Ok(()));
    assert_eq!(disk.log(), ["begin", "append_next", "append_next", "sync_next", "replace"]);
    journal.commit(&commit(2, [2]));
    assert_eq!(disk.log(), ["append", "sync"]);
    journal.commit(&Commit::default());
    assert!(disk.log().is_empty());
}

#[test]
fn a_commit_does_not_wait_for_the_disk_if_it_need_not() {
    let disk = Disk::default();
    let (mut journal, ..) = open_as(&disk, SyncMode::Off);
    journal.commit(&commit(1, [1]));
    disk.log();
    journal.commit(&commit(2, [2]));
    assert_eq!(disk.log(), ["append"]);
    assert_eq!(keys(open_as(&disk, SyncMode::Off).1.as_ref()), [1, 2]);
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let (disk, lengths) = five();
    let whole = disk.octets();
    for length in lengths[0]..whole.len() {
        for zeros in [0, 1, 100, 5_000] {
            let mut torn = whole[..length].to_vec();
            torn.resize(length + zeros, 0);
            let disk = Disk::with(&torn);
            let (mut journal, image, opened) = open(&disk);
            let count = lengths.iter().filter(|end| **end <= length).count();
            assert_eq!(keys(image.as_ref()), (1..=count as u64).collect::<Vec<_>>());
            let size = lengths[count - 1];
            assert_eq!((opened.size, opened.cut), (size as u64, (torn.len() - size) as u64));
            assert!(!opened.gap);
            // And it goes on from there.
            assert_eq!(journal.commit(&commit(1, [9])).journal, Ok(()));
            assert_eq!(found(&disk).last(), Some(&9));
        }
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    let (disk, lengths) = five();
    let whole = disk.octets();
    let last = lengths[3];
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut octets = whole.clone();
            octets[at] ^= 1 << bit;
            let opened = Journal::open(Disk::with(&octets), SyncMode::Batch);
            match opened {
                // The end cannot be told from one that was being written; but it is reported.
                Ok((_, image, opened)) if at >= last => {
                    assert_eq!(opened.cut, (whole.len() - last) as u64);
                    assert_eq!(keys(image.as_ref()), [1, 2, 3, 4]);
                }
                Ok(_) => panic!("octet {at}, bit {bit}: not noticed"),
                Err(OpenError::Foreign) => assert!(at < 8),
                Err(OpenError::Damaged { at: 0, .. }) => assert!((8..frame::HEADER).contains(&at)),
                Err(OpenError::Damaged { at: where_, .. }) => {
                    let frame = lengths.iter().rfind(|end| **end <= at);
                    assert_eq!(where_, frame.copied().unwrap_or(frame::HEADER) as u64);
                }
                Err(error) => panic!("octet {at}, bit {bit}: {error}"),
            }
        }
    }
}

#[test]
fn a_missing_or_foreign_piece_in_the_middle_is_damage() {
    let (disk, lengths) = five();
    let whole = disk.octets();
    let (from, to) = (lengths[1], lengths[2]);
    let without = [&whole[..from], &whole[to..]].concat();
    let garbage = [&whole[..from], &[0xEE; 3_000], &whole[from..]].concat();
    let zeroed = [&whole[..from], &vec![0; to - from], &whole[to..]].concat();
    let twice = [&whole[..to], &whole[from..]].concat();
    for octets in [without, garbage, zeroed] {
        let error = refused(&Disk::with(&octets));
        assert!(matches!(error, OpenError::Damaged { at, .. } if at == from as u64), "{error}");
    }
    let error = refused(&Disk::with(&twice));
    assert!(matches!(error, OpenError::Damaged { at, .. } if at == to as u64), "{error}");
}

#[test]
fn without_syncs_the_journal_ends_at_the_first_damage() {
    let disk = Disk::default();
    let (mut journal, ..) = open_as(&disk, SyncMode::Off);
    let lengths: Vec<u64> = (1..=5).map(|key| journal.commit(&commit(key, [key])).size).collect();
    let mut octets = disk.octets();
    octets[lengths[1] as usize + 20] ^= 1;
    let disk = Disk::with(&octets);
    let (_, image, opened) = open_as(&disk, SyncMode::Off);
    assert_eq!(keys(image.as_ref()), [1, 2]);
    let expected = Opened {
        existed: true,
        size: lengths[1],
        frames: 2,
        cut: lengths[4] - lengths[1],
        gap: true,
    };
    assert_eq!(opened, expected);
    // It was cut on the disk, too.
    assert_eq!(open_as(&disk, SyncMode::Off).2.cut, 0);
}

#[test]
fn the_mode_in_the_header_is_the_one_in_use() {
    let (disk, _) = five();
    for (mode, unsynced) in
        [(SyncMode::Off, true), (SyncMode::Always, false), (SyncMode::Batch, false)]
    {
        let (mut journal, image, _) = open_as(&disk, mode);
        let before = keys(image.as_ref());
        let header = Header::take(&mut &*disk.octets()).unwrap();
        assert_eq!(header.unsynced, unsynced);
        let key = before.len() as u64 + 1;
        assert_eq!(journal.commit(&commit(1, [key])).size, disk.octets().len() as u64);
        assert_eq!(keys(open_as(&disk, mode).1.as_ref()), [&before[..], &[key]].concat());
    }
    // If that cannot be done, nothing is promised until there is a snapshot.
    disk.fail_next(4, io::ErrorKind::StorageFull);
    let (mut journal, image, _) = open_as(&disk, SyncMode::Off);
    assert_eq!(keys(image.as_ref()).len(), 8);
    assert_eq!(journal.commit(&commit(1, [9])).journal.unwrap_err().kind, TroubleKind::Full);
    let whole = Commit { number: 2, records: Vec::new(), snapshot: part(true, 1..=9, true) };
    assert_eq!(journal.commit(&whole).journal, Ok(()));
    assert!(Header::take(&mut &*disk.octets()).unwrap().unsynced);
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let (newer, _) = five();
    let mut octets = newer.octets();
    octets[8] = 2;
    let crc = crc32fast::hash(&octets[..20]);
    octets[20..24].copy_from_slice(&crc.to_le_bytes());
    let mut flagged = newer.octets();
    flagged[11] = 0x80;
    let crc = crc32fast::hash(&flagged[..20]);
    flagged[20..24].copy_from_slice(&crc.to_le_bytes());
    let no_record = {
        let (disk, _) = five();
        open(&disk).0.commit(&Commit { records: vec![0xFF; 9], ..Commit::default() });
        disk.octets()
    };
    let cases = [
        (octets, "it was written by a later version of this program (its format is 2)"),
        (flagged, "it was written by a later version of this program (its format is 1)"),
        (b"key = 1\n".to_vec(), "it is not a journal of this program"),
        (Vec::new(), "it is damaged at octet 0: its header is not whole"),
        (newer.octets()[..23].to_vec(), "it is damaged at octet 0: its header is not whole"),
        (no_record, "it is damaged at octet 244: commit 6 holds what is no record"),
    ];
    for (octets, expected) in cases {
        let disk = Disk::with(&octets);
        disk.state().next = Some(File::default());
        assert_eq!(refused(&disk).to_string(), expected);
        assert_eq!(disk.octets(), octets);
        assert_eq!(disk.log(), ["load"]);
    }
}

#[test]
fn a_payload_cannot_pose_as_a_frame() {
    // Everything but the salt is known to whoever forges it.
    let disk = Disk::default();
    let (mut journal, ..) = open(&disk);
    journal.commit(&commit(1, [1]));
    let mut forged = Vec::new();
    assert!(frame::put(&mut forged, 0, 3, [b"forged", &[]]));
    let mut records = Vec::new();
    Record::Message { serial: 1, topic: "t", payload: &forged }.put(&mut records);
    journal.commit(&Commit { records, ..Commit::default() });
    let torn = disk.octets().len() - 1;
    let disk = Disk::with(&disk.octets()[..torn]);
    assert!(open(&disk).2.cut > 0, "torn, not damaged");
}

#[test]
fn a_snapshot_takes_the_place_of_the_journal() {
    let (disk, _) = five();
    let (mut journal, ..) = open(&disk);
    // Of the five only 4 and 5 are left; 6 to 9 come while the snapshot is written.
    let first = Commit { number: 1, records: records([6]), snapshot: part(true, [4, 6], false) };
    let outcome = journal.commit(&first);
    assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), Some(Ok(()))));
    let outcome = journal.commit(&commit(2, [7]));
    assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), None));
    let outcome = journal.commit(&Commit {
        number: 3,
        records: records([8]),
        snapshot: part(false, [], false),
    });
    assert_eq!(outcome.snapshot, Some(Ok(())));
    assert_eq!(found(&disk.after_power_cut(0)), [1, 2, 3, 4, 5, 6, 7, 8], "not yet");
    let last = Commit { number: 4, records: records([9]), snapshot: part(false, [5], true) };
    let outcome = journal.commit(&last);
    assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), Some(Ok(()))));
    assert_eq!(outcome.size, disk.octets().len() as u64);
    assert_eq!(found(&disk.after_power_cut(0)), [4, 5, 6, 7, 8, 9]);
    assert!(!disk.has_next());
    journal.commit(&commit(5, [10]));
    assert_eq!(found(&disk.after_power_cut(0)), [4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_snapshot_that_begins_again_forgets_what_it_had() {
    let (disk, _) = five();
    let (mut journal, ..) = open(&disk);
    let begin = |keys: [u64; 2]| Commit { snapshot: part(true, keys, false), ..Commit::default() };
    journal.commit(&begin([1, 2]));
    journal.commit(&begin([3, 4]));
    let end = Commit { snapshot: part(false, [5], true), ..Commit::default() };
    assert_eq!(journal.commit(&end).snapshot, Some(Ok(())));
    assert_eq!(found(&disk), [3, 4, 5]);
    // A snapshot of nothing is a journal, too, and the first thing to be written may be one.
    for disk in [disk, Disk::default()] {
        let (mut journal, ..) = open(&disk);
        let nothing = Commit { snapshot: part(true, [], true), ..Commit::default() };
        assert_eq!(journal.commit(&nothing).snapshot, Some(Ok(())));
        assert_eq!(disk.octets().len(), frame::HEADER);
        assert_eq!(open(&disk).1, Some(Image::default()));
        assert_eq!(journal.commit(&commit(2, [1])).journal, Ok(()));
        assert_eq!(found(&disk), [1]);
    }
}

#[test]
fn an_unfinished_snapshot_is_thrown_away_at_the_start() {
    let (disk, _) = five();
    let (mut journal, ..) = open(&disk);
    journal.commit(&Commit { snapshot: part(true, [], false), ..Commit::default() });
    assert!(disk.has_next());
    assert_eq!(found(&disk), [1, 2, 3, 4, 5]);
    assert!(!disk.has_next());
}

#[test]
fn a_failed_write_breaks_the_journal_until_there_is_a_snapshot() {
    for (operation, kind, expected) in [
        (0, io::ErrorKind::StorageFull, TroubleKind::Full),
        (0, io::ErrorKind::QuotaExceeded, TroubleKind::Full),
        (0, io::ErrorKind::ReadOnlyFilesystem, TroubleKind::ReadOnly),
        (1, io::ErrorKind::Other, TroubleKind::Io),
    ] {
        let (disk, lengths) = five();
        let (mut journal, ..) = open(&disk);
        disk.fail_next(operation, kind);
        let trouble = journal.commit(&commit(1, [6])).journal.unwrap_err();
        let text = ["append", "sync"][operation];
        assert_eq!((trouble.kind, &*trouble.text), (expected, text));
        assert_eq!(disk.octets().len(), lengths[4], "cut back");
        disk.log();
        // Nothing is appended to it any more, and everything after fails.
        for number in 2..4 {
            let outcome = journal.commit(&commit(number, [number + 5]));
            assert_eq!((outcome.journal, outcome.snapshot), (Err(trouble.clone()), None));
        }
        assert_eq!(journal.commit(&Commit::default()).journal, Err(trouble.clone()));
        assert!(disk.log().is_empty());
        let begin = Commit { number: 4, records: records([9]), snapshot: part(true, 1..=9, false) };
        let outcome = journal.commit(&begin);
        assert_eq!((outcome.journal, outcome.snapshot), (Err(trouble), Some(Ok(()))));
        let end = Commit { number: 5, records: records([10]), snapshot: part(false, [], true) };
        let outcome = journal.commit(&end);
        assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), Some(Ok(()))));
        assert_eq!(journal.commit(&commit(6, [11])).journal, Ok(()));
        assert_eq!(found(&disk), (1..=11).collect::<Vec<_>>());
    }
}

#[test]
fn a_failed_snapshot_leaves_the_journal_alone() {
    // begin, header, part, then records in passing, then part, sync.
    for operation in 0..6 {
        let (disk, _) = five();
        let (mut journal, ..) = open_as(&disk, SyncMode::Batch);
        disk.log();
        let mut failed_at = None;
        let commits = [
            Commit { number: 1, records: Vec::new(), snapshot: part(true, [4], false) },
            commit(2, [6]),
            Commit { number: 3, records: Vec::new(), snapshot: part(false, [5], true) },
        ];
        // Appending and syncing the records of the second one counts, too.
        disk.fail_next(if operation < 3 { operation } else { operation + 2 }, io::ErrorKind::Other);
        for commit in &commits {
            let outcome = journal.commit(commit);
            assert_eq!(outcome.journal, Ok(()));
            if let (Some(Err(_)), None) = (outcome.snapshot, failed_at) {
                failed_at = Some(commit.number);
                assert!(!disk.has_next());
            }
        }
        assert_eq!(failed_at, Some([1, 1, 1, 2, 3, 3][operation]));
        assert_eq!(found(&disk), (1..=6).collect::<Vec<_>>());
    }
}

#[test]
fn when_a_rename_fails_nobody_knows_which_journal_counts() {
    for renames_anyway in [false, true] {
        let (disk, _) = five();
        let (mut journal, ..) = open(&disk);
        disk.state().renames_anyway = renames_anyway;
        // append, sync, begin, header, part, sync, rename
        disk.fail_next(6, io::ErrorKind::Other);
        let whole = |number, key| Commit {
            number,
            records: records([key]),
            snapshot: part(true, 1..=key, true),
        };
        let outcome = journal.commit(&whole(1, 6));
        assert_eq!(outcome.journal, Ok(()), "both have it");
        assert!(outcome.snapshot.unwrap().is_err());
        assert_eq!(found(&disk.after_power_cut(0)), (1..=6).collect::<Vec<_>>());
        assert!(journal.commit(&commit(2, [7])).journal.is_err());
        let outcome = journal.commit(&whole(3, 8));
        assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), Some(Ok(()))));
        assert_eq!(journal.commit(&commit(4, [9])).journal, Ok(()));
        assert_eq!(found(&disk), (1..=9).collect::<Vec<_>>());
    }
}

/// Whatever fails, from then on or once, and whenever the power is cut: what was said to be written
/// is there, and commits are there as a whole.
#[test]
fn what_was_acknowledged_survives_any_failure_and_a_power_cut() {
    for mode in [SyncMode::Batch, SyncMode::Always] {
        for operation in 0..70 {
            for (lasting, renames_anyway) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                run_with_failure(mode, operation, lasting, renames_anyway);
            }
        }
    }
}

fn run_with_failure(mode: SyncMode, operation: usize, lasting: bool, renames_anyway: bool) {
    let disk = Disk::default();
    let (mut journal, ..) = open_as(&disk, mode);
    {
        let mut state = disk.state();
        if lasting {
            state.dead_from = Some(operation);
        } else {
            state.failing = vec![operation];
        }
        state.renames_anyway = renames_anyway;
    }
    let mut acknowledged = 0;
    for number in 1..=24_u64 {
        // Two records a commit; every fourth begins a snapshot that the second after it ends.
        let (first, last) = (2 * number - 1, 2 * number);
        let snapshot = match number % 4 {
            0 => part(true, 1..=last, false),
            1 => part(false, [], false),
            2 => part(false, [], number > 2),
            _ => None,
        };
        let outcome = journal.commit(&Commit { number, records: records([first, last]), snapshot });
        if outcome.journal.is_ok() {
            acknowledged = last;
        }
        for kept in [0, 1, 30, usize::MAX / 2] {
            let disk = disk.after_power_cut(kept);
            let found = found(&disk);
            let count = found.len() as u64;
            assert!(count >= acknowledged, "{operation} {lasting}: {count} of {acknowledged}");
            assert!(count.is_multiple_of(2) && found.into_iter().eq(1..=count), "as a whole");
        }
    }
    assert_eq!(lasting, acknowledged < 48 && disk.state().operations > operation, "it recovers");
}
