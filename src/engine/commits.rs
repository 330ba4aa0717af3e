//! When to write, what to write, and what to do when nothing can be written.
//!
//! Changes gather until somebody waits for them (a promise to a device, a packet for the broker). Whoever
//! comes alone does not wait for others; but between two commits there is a pause, so that many share one
//! write when there are many. One commit is under way at a time. When the
//! journal has grown far beyond what is alive, a snapshot takes its place, written in parts between
//! commits. When a write fails, nothing more is promised, and a snapshot is tried now and then: if
//! one succeeds, everything is written again.

use std::time::Duration;

use super::uplinks::{Place, Uplinks};
use crate::core::{self, Gateway};
use crate::store::commit::{Commit, CommitSettings, Outcome, Part, Trouble};
use crate::time::Time;

/// How long changes that nobody waits for may stay unwritten.
const LAZY: Duration = Duration::from_secs(1);
/// So many octets of them are written at once.
const MANY: usize = 256 * 1024;
/// A disk that has not taken a commit for so long, or while so many octets of changes gathered, has
/// failed.
const TOO_LONG: Duration = Duration::from_secs(10);
const TOO_MANY: usize = 16 * 1024 * 1024;
/// Shortest and longest pause before a failing disk is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What a message and its place in a queue take in a journal beyond the payload.
const MESSAGE: u64 = 48;
const WAITING: u64 = 14;

/// Whether a promise may leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    /// Everything is written.
    Open,
    /// When this commit is over.
    After(u64),
    /// Nothing can be written.
    Shut,
}

/// What a commit that is over means.
#[derive(Debug)]
pub(super) enum Change {
    /// What it was expected to.
    None,
    /// From now on nothing can be written.
    Failed(Trouble),
    /// It can again, after so long, and everything is.
    Recovered(Duration),
}

/// A snapshot that is being made.
#[derive(Clone, Copy, Debug, Default)]
struct Snapshot {
    uplinks: Place,
    uplinks_done: bool,
    core: core::Cursor,
    begun: bool,
    /// Octets so far, without messages and publications: they come and go while it is made.
    bytes: u64,
}

/// A commit that is being written.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    since: Time,
    /// A snapshot ends with it, and holds all that is known.
    ends: bool,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Time,
    retry_at: Time,
    pause: Duration,
}

/// The changes that are to be written.
#[derive(Debug)]
pub(super) struct Commits {
    settings: CommitSettings,
    pending: Vec<u8>,
    /// Number of the next commit.
    number: u64,
    under_way: Option<UnderWay>,
    /// Since when somebody waits for the next one, and how many do.
    wanted: Option<Time>,
    waiting: u32,
    /// When the last one was made.
    last: Option<Time>,
    /// Since when there is something to write.
    changed: Option<Time>,
    snapshot: Option<Snapshot>,
    failing: Option<Failing>,
    /// Length of the journal, and below which length it is left alone.
    size: u64,
    patience: u64,
    /// Length of the journal after the last snapshot, and before the first.
    replaced: u64,
    /// What a client takes in a snapshot, all in all.
    per_client: u64,
    stopping: bool,
    made: u64,
    failed: u64,
    bytes: u64,
}

/// What was written since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    /// Commits, those that failed included.
    pub commits: u64,
    /// Octets of records given away to be written.
    pub bytes: u64,
    /// Times that nothing could be written any more.
    pub failures: u64,
    /// It is so now.
    pub failing: bool,
    /// Length of the journal, octets.
    pub journal: u64,
}

impl Commits {
    pub(super) fn new(settings: CommitSettings) -> Self {
        Self {
            settings,
            pending: Vec::new(),
            number: 1,
            under_way: None,
            wanted: None,
            waiting: 0,
            changed: None,
            snapshot: None,
            failing: None,
            size: 0,
            patience: 0,
            replaced: u64::MAX,
            last: None,
            per_client: 0,
            stopping: false,
            made: 0,
            failed: 0,
            bytes: 0,
        }
    }

    /// What the journal says does not hold any more: a snapshot is to take its place at once.
    pub(super) fn begin_anew(&mut self) {
        self.snapshot = Some(Snapshot::default());
    }

    /// The journal as it was found: finds out how much of it is alive.
    pub(super) fn measure(&mut self, gateway: &Gateway, uplinks: &Uplinks) {
        let (mut snapshot, mut scratch) = (Snapshot::default(), Vec::new());
        loop {
            scratch.clear();
            if snapshot.write(gateway, uplinks, &mut scratch, self.settings.part) {
                break;
            }
        }
        self.learn(snapshot, gateway);
    }

    fn learn(&mut self, snapshot: Snapshot, gateway: &Gateway) {
        let (clients, ..) = gateway.sizes();
        self.per_client = snapshot.bytes / (clients as u64).max(1);
    }

    /// Octets that a snapshot would take now, about.
    fn alive(&self, gateway: &Gateway, uplinks: &Uplinks) -> u64 {
        let (clients, messages) = sizes(gateway, uplinks);
        clients.saturating_mul(self.per_client).saturating_add(messages)
    }

    /// Takes over what has been recorded.
    pub(super) fn collect(
        &mut self,
        now: Time,
        gateway: &Gateway,
        uplinks: &mut Uplinks,
        effects: &mut core::Effects,
    ) {
        uplinks.collect(&mut self.pending);
        effects.drain_records(&mut self.pending);
        if self.failing.is_some() {
            if self.pending.len() > TOO_MANY {
                self.void();
            }
            if self.snapshot.is_none() {
                // The snapshot to come will tell.
                self.pending.clear();
            }
        }
        if self.changed.is_none() && (!self.pending.is_empty() || gateway.has_changes()) {
            self.changed = Some(now);
        }
    }

    /// Whether what was promised just now may be said. If not, somebody waits for it.
    pub(super) fn gate(&mut self, now: Time) -> Gate {
        if self.failing.is_some() {
            Gate::Shut
        } else if self.changed.is_some() {
            self.wanted.get_or_insert(now);
            self.waiting = self.waiting.saturating_add(1);
            Gate::After(self.number)
        } else {
            self.under_way.map_or(Gate::Open, |commit| Gate::After(commit.number))
        }
    }

    pub(super) fn written(&self) -> Written {
        Written {
            commits: self.made,
            bytes: self.bytes,
            failures: self.failed,
            failing: self.is_failing(),
            journal: self.size,
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// From now on everything is written at once.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// When [`Self::commit`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        if let Some(commit) = &self.under_way {
            return self.failing.is_none().then(|| commit.since.after(TOO_LONG));
        }
        if let Some(failing) = &self.failing {
            return Some(failing.retry_at);
        }
        // Whoever comes alone does not wait for others that may come.
        let pause = self.last.map(|last| last.after(self.settings.time));
        let wanted = self.wanted.map(|since| pause.map_or(since, |pause| pause.max(since)));
        let lazy = self.changed.map(|since| since.after(LAZY));
        wanted.into_iter().chain(lazy).min()
    }

    fn is_due(&self, now: Time) -> bool {
        self.snapshot.is_some()
            || self.deadline().is_some_and(|at| at <= now)
            || (self.wanted.is_some() && self.waiting >= self.settings.records)
            || self.pending.len() >= MANY
            || (self.stopping && self.changed.is_some())
    }

    /// What is to be written now, if anything is.
    pub(super) fn commit(
        &mut self,
        now: Time,
        gateway: &mut Gateway,
        uplinks: &mut Uplinks,
    ) -> Option<Commit> {
        if self.under_way.is_some() {
            return None;
        }
        let retry = self.failing.is_some_and(|failing| failing.retry_at <= now);
        let large = self.failing.is_none()
            && self.size
                > self.patience.max(self.settings.small + 2 * self.alive(gateway, uplinks));
        if self.snapshot.is_none() && (retry || large) {
            self.snapshot = Some(Snapshot::default());
        }
        if self.failing.is_some() && self.snapshot.is_none() || !self.is_due(now) {
            return None;
        }
        gateway.record_changes(&mut self.pending);
        uplinks.seal();
        let mut records = std::mem::take(&mut self.pending);
        let mut ends = false;
        // The journal in force lacks what was given up: without that, changes would be about other
        // things than they were made for. They belong to the snapshot alone.
        let apart = self.failing.map(|_| std::mem::take(&mut records));
        let size = self.settings.part;
        let part = self.snapshot.as_mut().map(|snapshot| {
            let begin = !std::mem::replace(&mut snapshot.begun, true);
            let mut records = apart.filter(|_| !begin).unwrap_or_default();
            let most = records.len() + size;
            let end = snapshot.write(gateway, uplinks, &mut records, most);
            ends = end;
            Part { begin, records, end }
        });
        if ends && let Some(snapshot) = self.snapshot {
            self.learn(snapshot, gateway);
        }
        let part_len = part.as_ref().map_or(0, |part| part.records.len());
        self.bytes += (records.len() + part_len) as u64;
        let number = self.number;
        self.number += 1;
        self.under_way = Some(UnderWay { number, since: now, ends });
        self.wanted = None;
        self.waiting = 0;
        self.changed = None;
        self.last = Some(now);
        Some(Commit { number, records, snapshot: part })
    }

    /// The journal has taken a commit, or has not.
    pub(super) fn committed(&mut self, now: Time, outcome: &Outcome) -> Change {
        let ends = self.under_way.take().is_some_and(|commit| commit.ends);
        self.size = outcome.size;
        self.made += 1;
        match &outcome.snapshot {
            Some(Ok(())) if ends => {
                self.snapshot = None;
                // What is alive is an estimate. However wrong it is, one snapshot must not be followed by
                // the next for ever; but much may have gone while this one was made.
                let shorter = self.size < self.replaced;
                self.patience = if shorter { 0 } else { self.size + self.settings.small / 4 };
                self.replaced = self.size;
            }
            Some(Ok(())) => {}
            Some(Err(_)) => {
                self.snapshot = None;
                // There was no room beside the journal, say. It may grow meanwhile.
                self.patience = self.size + self.size / 4 + self.settings.small;
                if let Some(failing) = &mut self.failing {
                    failing.pause = (failing.pause * 2).min(PAUSE.1);
                    failing.retry_at = now.after(failing.pause);
                }
            }
            None => {}
        }
        match (&outcome.journal, self.failing) {
            // What was under way when it was given up may well have been written; the rest was not.
            (Ok(()), Some(failing)) if ends => {
                self.failing = None;
                Change::Recovered(now.since(failing.since))
            }
            (Ok(()), _) | (Err(_), Some(_)) => Change::None,
            (Err(trouble), None) => {
                self.failed += 1;
                let (pause, retry_at) = (PAUSE.0, now.after(PAUSE.0));
                self.failing = Some(Failing { since: now, retry_at, pause });
                self.snapshot = None;
                self.pending = Vec::new();
                self.wanted = None;
                self.changed = None;
                self.waiting = 0;
                Change::Failed(trouble.clone())
            }
        }
    }

    /// Whether the disk does not take what it is given. Then changes do not gather any longer, until a
    /// snapshot tells of them all.
    pub(super) fn is_stuck(&self, now: Time) -> bool {
        let Some(commit) = self.under_way.filter(|_| self.failing.is_none()) else { return false };
        self.pending.len() > TOO_MANY || commit.since.after(TOO_LONG) <= now
    }

    /// The snapshot that is being made comes to nothing.
    fn void(&mut self) {
        self.snapshot = None;
        self.pending = Vec::new();
        if let Some(commit) = &mut self.under_way {
            commit.ends = false;
        }
    }

    /// See [`Self::is_stuck`].
    pub(super) fn give_up(&mut self, now: Time) {
        self.void();
        let (pause, retry_at) = (PAUSE.0, now.after(PAUSE.0));
        self.failing = Some(Failing { since: now, retry_at, pause });
        self.failed += 1;
        self.wanted = None;
        self.changed = None;
        self.waiting = 0;
    }
}

impl Snapshot {
    /// Writes the next part; true if it is the last.
    fn write(
        &mut self,
        gateway: &Gateway,
        uplinks: &Uplinks,
        out: &mut Vec<u8>,
        size: usize,
    ) -> bool {
        if !self.uplinks_done {
            self.uplinks_done = !uplinks.snapshot(&mut self.uplinks, out, size);
        }
        if self.uplinks_done {
            let (before, messages) = (out.len(), self.core.messages());
            gateway.snapshot(&mut self.core, out, size);
            let messages = self.core.messages() - messages;
            self.bytes += ((out.len() - before) as u64).saturating_sub(messages);
        }
        self.core.is_at_end()
    }
}

/// Clients, and about what messages and publications take in a journal.
fn sizes(gateway: &Gateway, uplinks: &Uplinks) -> (u64, u64) {
    let (clients, messages, payload, waiting) = gateway.sizes();
    let messages = payload as u64 + MESSAGE * messages as u64 + WAITING * waiting as u64;
    (clients as u64, messages + uplinks.spooled_bytes())
}
