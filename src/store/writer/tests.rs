//! The thread, asked as the loop asks it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use super::*;
use crate::store::commit::{Part, SyncMode};
use crate::store::record::Record;

/// A disk that waits for permission for each write, and does what it is told.
struct Slow {
    permissions: mpsc::Receiver<Do>,
    used: Arc<Mutex<Vec<usize>>>,
}

enum Do {
    Write,
    Fail,
    Panic,
}

impl Storage for Slow {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append_next(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn append_next(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() == 24 {
            return Ok(());
        }
        match self.permissions.recv().unwrap() {
            Do::Write => {
                self.used.lock().unwrap().push(bytes.len());
                Ok(())
            }
            Do::Fail => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Do::Panic => panic!("as told"),
        }
    }

    fn sync_next(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn abandon(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn start() -> (Writer, mpsc::Sender<Do>, Arc<Mutex<Vec<usize>>>) {
    let (sender, permissions) = mpsc::channel();
    let used = Arc::default();
    let storage = Slow { permissions, used: Arc::clone(&used) };
    let (journal, ..) = Journal::open(storage, SyncMode::Batch).unwrap();
    (Writer::start(journal).unwrap(), sender, used)
}

fn commit(number: u64) -> Commit {
    let mut records = Vec::new();
    Record::Message { serial: number, topic: "t", payload: b"x" }.put(&mut records);
    Commit { number, records, snapshot: None }
}

fn outcome(writer: &mut Writer) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(poll_fn(|cx| writer.poll_outcome(cx)))
}

#[test]
fn commits_are_written_one_at_a_time_and_the_task_is_woken() {
    let (mut writer, permit, used) = start();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(!writer.is_busy());
    assert!(writer.poll_outcome(&mut cx).is_pending());
    for number in 1..=3 {
        writer.submit(commit(number));
        assert!(writer.is_busy());
        assert!(writer.poll_outcome(&mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), number as u32 - 1);
        permit.send(Do::Write).unwrap();
        while woken.0.load(Ordering::SeqCst) < number as u32 {
            std::thread::yield_now();
        }
        let Poll::Ready(outcome) = writer.poll_outcome(&mut cx) else {
            panic!("woken for nothing")
        };
        assert_eq!((outcome.number, outcome.journal), (number, Ok(())));
        assert!(!writer.is_busy());
    }
    assert_eq!(used.lock().unwrap().len(), 3);
    // The end of the writer is the end of the thread and of the storage.
    drop(writer);
    assert!(permit.send(Do::Write).is_err());
}

#[test]
fn a_failure_is_told() {
    let (mut writer, permit, _) = start();
    writer.submit(commit(1));
    permit.send(Do::Fail).unwrap();
    let first = outcome(&mut writer);
    assert_eq!(first.journal.unwrap_err().kind, TroubleKind::Full);
    writer.submit(commit(2));
    assert!(outcome(&mut writer).journal.is_err(), "without asking the disk");
}

#[test]
fn a_thread_that_is_gone_is_told_and_nothing_hangs() {
    let (mut writer, permit, _) = start();
    writer.submit(commit(1));
    permit.send(Do::Write).unwrap();
    let size = outcome(&mut writer).size;
    writer.submit(commit(2));
    permit.send(Do::Panic).unwrap();
    let lost = outcome(&mut writer);
    let trouble = lost.journal.unwrap_err();
    assert_eq!((lost.number, lost.snapshot, lost.size), (2, None, size));
    assert_eq!(trouble.kind, TroubleKind::Io);
    let part = Part { begin: true, end: true, ..Part::default() };
    writer.submit(Commit { number: 3, snapshot: Some(part), ..Commit::default() });
    let lost = outcome(&mut writer);
    assert_eq!((lost.number, lost.journal), (3, Err(trouble.clone())));
    assert_eq!(lost.snapshot, Some(Err(trouble)));
}

#[test]
fn one_that_hangs_does_not_hang_the_end() {
    let (mut writer, permit, _) = start();
    writer.submit(commit(1));
    drop(writer);
    // It ends when the disk lets it.
    permit.send(Do::Write).unwrap();
}
