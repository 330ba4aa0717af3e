//! The thread that writes: a disk may take its time, and nobody else should.

use std::io;
use std::sync::mpsc;
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as outcomes;
use tracing::{error, warn};

use super::commit::{Commit, Outcome, Trouble, TroubleKind};
use super::journal::{Journal, Storage};
use crate::histogram::Histogram;
use crate::ops::RateLimit;

/// A commit that takes longer than this is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);
/// At most one such line in
const SLOW_INTERVAL: Duration = Duration::from_secs(60);
/// Bounds of how long commits take, microseconds.
const LATENCIES: &[i64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// A journal in a thread of its own, with one commit under way at most.
///
/// Idle, the thread sleeps. When this is dropped the thread ends, and with it the use of the
/// storage.
#[derive(Debug)]
pub struct Writer {
    /// `None` only while this is dropped.
    commits: Option<mpsc::SyncSender<Commit>>,
    outcomes: outcomes::Receiver<(Outcome, Duration)>,
    thread: Option<JoinHandle<()>>,
    under_way: Option<UnderWay>,
    /// Length of the journal, as far as known.
    size: u64,
    limit: RateLimit<()>,
    /// Microseconds.
    latency: Histogram,
}

/// What is told of a commit if the thread cannot.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    has_part: bool,
    octets: usize,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no room for another.
    pub fn start<S: Storage + 'static>(mut journal: Journal<S>) -> io::Result<Self> {
        let size = journal.size();
        let (commits, requests) = mpsc::sync_channel::<Commit>(1);
        let (results, outcomes) = outcomes::channel(1);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            while let Ok(commit) = requests.recv() {
                let start = Instant::now();
                let outcome = journal.commit(&commit);
                // There is room for the only one.
                if results.try_send((outcome, start.elapsed())).is_err() {
                    break;
                }
            }
        })?;
        let (commits, thread, under_way) = (Some(commits), Some(thread), None);
        let limit = RateLimit::new(1, SLOW_INTERVAL, 1);
        let latency = Histogram::new(LATENCIES);
        Ok(Self { commits, outcomes, thread, under_way, size, limit, latency })
    }

    /// Whether a commit is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Writes a commit. There must be none under way.
    pub fn submit(&mut self, commit: Commit) {
        debug_assert!(!self.is_busy());
        let part = commit.snapshot.as_ref();
        self.under_way = Some(UnderWay {
            number: commit.number,
            has_part: part.is_some(),
            octets: commit.records.len() + part.map_or(0, |part| part.records.len()),
        });
        if let Some(commits) = &self.commits {
            // If the thread is gone, asking for the outcome finds out.
            let _ = commits.try_send(commit);
        }
    }

    /// How long commits took, microseconds.
    #[must_use]
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// What became of the commit under way. Pending without one, too.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(under_way) = self.under_way else { return Poll::Pending };
        let outcome = match ready!(self.outcomes.poll_recv(cx)) {
            Some((outcome, took)) => {
                self.size = outcome.size;
                self.latency.add(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
                if took > SLOW {
                    self.warn_slow(under_way, took);
                }
                outcome
            }
            None => self.gone(under_way),
        };
        self.under_way = None;
        Poll::Ready(outcome)
    }

    fn warn_slow(&mut self, commit: UnderWay, took: Duration) {
        if let Some(more) = self.limit.allow(Instant::now(), ()) {
            warn!(
                "the disk took {:.1} s to write {} octets of the state; answers that have to be \
                 safe wait for it{more}",
                took.as_secs_f32(),
                commit.octets
            );
        }
    }

    /// The thread has panicked: nothing will be written any more.
    fn gone(&mut self, commit: UnderWay) -> Outcome {
        let text = "the thread that writes the journal is gone, which is a fault of this program; \
                    only a restart helps";
        if let Some(thread) = self.thread.take() {
            // Its message is on standard error already.
            let _ = thread.join();
            error!("{text}");
        }
        let trouble = Trouble { kind: TroubleKind::Io, text: text.into() };
        Outcome {
            number: commit.number,
            journal: Err(trouble.clone()),
            snapshot: commit.has_part.then_some(Err(trouble)),
            size: self.size,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commits = None;
        // One that hangs in the system would hang this one, too.
        if !self.is_busy()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
