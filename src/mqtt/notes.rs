//! What a session wants written down, and what it must not say before that is done.
//!
//! Exactly once holds across the end of the process only if the process remembers which packet ids
//! stand for what. So a QoS 2 packet leaves when its record is written; whoever drives the session
//! [seals](Notes::seal) what waits when it takes the records away, and has it released afterwards.

use std::collections::VecDeque;

use crate::store::record::Record;

/// Most steps that wait.
const MAX_STEPS: usize = 2 * 65_536;

/// Something to say to the broker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A publication: slot and order of acceptance of the request.
    Publish { slot: usize, key: u64, dup: bool },
    /// PUBREL for such a one.
    Release { slot: usize, key: u64 },
    /// PUBACK or PUBREC for a message of the broker: packet id and serial number.
    Answer { id: u16, serial: u64 },
    /// PUBCOMP for one, with its reason code.
    Complete { id: u16, reason: u8 },
}

/// Records and steps of a session.
#[derive(Debug, Default)]
pub(super) struct Notes {
    on: bool,
    failing: bool,
    records: Vec<u8>,
    steps: VecDeque<Step>,
    /// So many of them wait for a commit that is under way.
    sealed: usize,
}

impl Notes {
    /// Nothing to write. `on`: whether anything ever will be.
    pub(super) fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// Whether records are kept at all.
    #[inline]
    pub(super) fn are_kept(&self) -> bool {
        self.on
    }

    /// Notes a change.
    pub(super) fn record(&mut self, record: &Record<'_>) {
        if self.on {
            record.put(&mut self.records);
        }
    }

    /// Has something said once all that was noted so far is written.
    pub(super) fn defer(&mut self, step: Step) {
        // More than there are packet ids, twice: a broker that repeats itself. What is left out is
        // said on the next connection.
        if self.steps.len() < MAX_STEPS {
            self.steps.push_back(step);
        }
    }

    /// Whether anything waits to be said.
    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Nothing can be written, or it can again.
    pub(super) fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// Whether what has to be written first cannot be said.
    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Moves the records to `into`.
    pub(super) fn drain(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.records);
    }

    pub(super) fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether something waits for the next commit.
    pub(super) fn has_unsealed(&self) -> bool {
        self.steps.len() > self.sealed
    }

    /// What waits now waits for the commit that is being made.
    pub(super) fn seal(&mut self) {
        self.sealed = self.steps.len();
    }

    /// The next of the sealed steps.
    pub(super) fn next(&mut self) -> Option<Step> {
        self.sealed = self.sealed.checked_sub(1)?;
        self.steps.pop_front()
    }

    /// The connection is gone: there is nobody to say anything to.
    pub(super) fn connection_lost(&mut self) {
        self.steps = VecDeque::new();
        self.sealed = 0;
    }
}
