//! Against a real disk.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::*;
use crate::store::commit::{Commit, Part, TroubleKind};
use crate::store::record::Record;

fn message(serial: u64, length: usize) -> Vec<u8> {
    let mut records = Vec::new();
    let payload = &vec![0x5A; length][..];
    Record::Message { serial, topic: "t", payload }.put(&mut records);
    records
}

fn commit(serial: u64) -> Commit {
    Commit { number: serial, records: message(serial, 10), snapshot: None }
}

fn snapshot(serial: u64) -> Commit {
    let part = Part { begin: true, records: message(serial, 10), end: true };
    Commit { number: serial, records: Vec::new(), snapshot: Some(part) }
}

fn open_here(directory: &Path) -> (Journal<FileStorage>, Option<Image>, Opened) {
    open(directory, SyncMode::Batch).unwrap()
}

fn refused(directory: &Path) -> String {
    open(directory, SyncMode::Batch).unwrap_err().to_string()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_state_is_found_again_and_nobody_else_can_read_it() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state");
    let (mut journal, image, opened) = open_here(&directory);
    assert_eq!((image, opened), (None, Opened::default()));
    assert_eq!(names(&directory), ["lock"]);
    for serial in 1..=3 {
        assert_eq!(journal.commit(&commit(serial)).journal, Ok(()));
    }
    drop(journal);
    assert_eq!(names(&directory), ["journal", "lock"]);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("journal")), 0o600);
    assert_eq!(mode(&directory.join("lock")), 0o600);
    let (mut journal, image, opened) = open_here(&directory);
    assert_eq!(image.unwrap().messages.len(), 3);
    assert_eq!(opened.size, fs::metadata(directory.join("journal")).unwrap().len());
    assert_eq!(journal.commit(&commit(4)).journal, Ok(()));
    let outcome = journal.commit(&snapshot(9));
    assert_eq!((outcome.journal, outcome.snapshot), (Ok(()), Some(Ok(()))));
    assert_eq!(journal.commit(&commit(10)).journal, Ok(()));
    assert_eq!(names(&directory), ["journal", "lock"]);
    assert_eq!(mode(&directory.join("journal")), 0o600);
    drop(journal);
    assert_eq!(open_here(&directory).1.unwrap().messages.len(), 2);
}

#[test]
fn a_torn_end_and_an_unfinished_snapshot_are_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (mut journal, ..) = open_here(directory);
    journal.commit(&commit(1));
    let whole = journal.commit(&commit(2)).size;
    journal.commit(&commit(3));
    drop(journal);
    let path = directory.join("journal");
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(whole + 5).unwrap();
    fs::write(directory.join("journal.new"), b"half").unwrap();
    let (mut journal, image, opened) = open_here(directory);
    assert_eq!((image.unwrap().messages.len(), opened.cut), (2, 5));
    assert_eq!(fs::metadata(&path).unwrap().len(), whole);
    assert_eq!(names(directory), ["journal", "lock"]);
    journal.commit(&commit(4));
    drop(journal);
    assert_eq!(open_here(directory).2.frames, 3);
}

#[test]
fn a_directory_has_one_user() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (journal, ..) = open_here(directory);
    let expected = format!(
        "another gateway (pid {}) uses the state directory {}; stop it, or give each a `state_dir` \
         and a `name` of its own",
        std::process::id(),
        directory.display()
    );
    assert_eq!(refused(directory), expected);
    assert_eq!(reset(directory).unwrap_err().to_string(), expected);
    drop(journal);
    // What an earlier process left in the file does not matter.
    fs::write(directory.join("lock"), "99999 and more\n").unwrap();
    let _journal = open_here(directory);
    let pid = fs::read_to_string(directory.join("lock")).unwrap();
    assert_eq!(pid, format!("{}\n", std::process::id()));
}

#[test]
fn what_is_no_journal_is_refused_with_the_ways_on() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let path = directory.join("journal");
    let (mut journal, ..) = open_here(directory);
    let first = journal.commit(&commit(1)).size;
    journal.commit(&commit(2));
    drop(journal);
    let mut damaged = fs::read(&path).unwrap();
    damaged[first as usize - 1] ^= 1;
    let mut newer = fs::read(&path).unwrap();
    newer[8] = 9;
    let crc = crc32fast::hash(&newer[..20]);
    newer[20..24].copy_from_slice(&crc.to_le_bytes());
    let ways = ". It should hold the sessions and messages of the devices. Either restore the file \
                from a backup, or begin with nothing: `mqtt-sn-gateway run --reset-state` moves it \
                aside";
    let update = ways.replace("restore the file from a backup", "update this program");
    for (octets, what, ways) in [
        (&b"something else"[..], "it is not a journal of this program", ways),
        (&damaged, "it is damaged at octet 24: commit 1 is not whole, but later ones are", ways),
        (&newer, "it was written by a later version of this program (its format is 9)", &update),
    ] {
        fs::write(&path, octets).unwrap();
        assert_eq!(refused(directory), format!("cannot use {}: {what}{ways}", path.display()));
        assert_eq!(fs::read(&path).unwrap(), octets, "left alone");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let expected = format!("cannot read {}: ", path.display());
    assert!(refused(directory).starts_with(&expected), "{}", refused(directory));
}

#[test]
fn a_reset_moves_the_journal_aside() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none");
    assert_eq!(reset(&missing).unwrap(), None);
    assert!(!missing.exists());
    let directory = directory.path();
    assert_eq!(reset(directory).unwrap(), None);
    let mut moved = Vec::new();
    for text in ["first", "second"] {
        fs::write(directory.join("journal"), text).unwrap();
        let to = reset(directory).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), text);
        let name = to.file_name().unwrap().to_str().unwrap().to_owned();
        let time = name.strip_prefix("journal.damaged-").unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_600_000_000);
        moved.push(name);
    }
    moved.push("lock".to_owned());
    moved.sort();
    assert_eq!(names(directory), moved, "neither took the other's place");
    assert_eq!(open_here(directory).1, None);
}

#[test]
fn a_directory_that_cannot_be_used_is_explained() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let missing = parent.path().join("missing/state");
    for (path, expected) in [
        (
            missing,
            "the directory in which it should be is not there: make it, or mount its disk, or",
        ),
        (file.join("state"), "make it a directory that this user can write to, or"),
        (file, "make it a directory that this user can write to, or"),
    ] {
        let text = refused(&path);
        assert!(
            text.contains(&format!("the state directory {} as user ", path.display())),
            "{text}"
        );
        assert!(text.contains(&format!("; {expected} name another with `state_dir`")), "{text}");
    }
    let closed = parent.path().join("closed");
    DirBuilder::new().mode(0o500).create(&closed).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("this user can write anywhere: permissions were not tested");
        return;
    }
    for path in [closed.clone(), closed.join("state")] {
        assert!(refused(&path).contains("Permission denied"), "{}", refused(&path));
    }
}

#[test]
fn names_are_lost_and_found() {
    // The directory is taken away under the program, and comes back.
    let parent = tempfile::tempdir().unwrap();
    let (directory, away) = (parent.path().join("state"), parent.path().join("away"));
    let (mut journal, ..) = open_here(&directory);
    journal.commit(&commit(1));
    fs::rename(&directory, &away).unwrap();
    let outcome = journal.commit(&snapshot(2));
    let trouble = outcome.snapshot.unwrap().unwrap_err();
    assert_eq!(trouble.kind, TroubleKind::Io);
    let expected = format!("cannot create {}: ", directory.join("journal.new").display());
    assert!(trouble.text.starts_with(&expected), "{trouble}");
    assert_eq!(journal.commit(&commit(3)).journal, Ok(()), "the open file is still there");
    fs::rename(&away, &directory).unwrap();
    assert_eq!(journal.commit(&snapshot(4)).snapshot, Some(Ok(())));
}

/// Run by the test below, with a limit on the size of files.
#[test]
#[ignore = "only with a limit on the size of files"]
fn under_a_limit() {
    let directory = std::env::var("STATE_UNDER_A_LIMIT").unwrap();
    let (mut journal, ..) = open_here(Path::new(&directory));
    let good = (1..).take_while(|serial| journal.commit(&commit(*serial)).journal.is_ok()).count();
    assert!(good > 100, "{good}");
    let trouble = journal.commit(&Commit::default()).journal.unwrap_err();
    assert!(trouble.text.starts_with("cannot write to "), "{trouble}");
    let outcome = journal.commit(&Commit {
        snapshot: Some(Part { begin: true, records: message(1, 100_000), end: true }),
        ..Commit::default()
    });
    assert!(outcome.snapshot.unwrap().is_err());
    assert!(outcome.journal.is_err());
    drop(journal);
    let (mut journal, image, opened) = open_here(Path::new(&directory));
    assert_eq!((image.unwrap().messages.len(), opened.cut), (good, 0));
    assert!(journal.commit(&commit(1)).journal.is_err());
    assert_eq!(journal.commit(&snapshot(1)).journal, Ok(()));
    assert_eq!(journal.commit(&commit(2)).journal, Ok(()));
}

#[test]
fn a_disk_without_room_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // The unit of the limit is half a kibibyte, or a whole one.
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::file::tests::under_a_limit", "--ignored", "--nocapture"])
        .env("STATE_UNDER_A_LIMIT", directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{error}");
}
