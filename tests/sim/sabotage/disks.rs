//! What a gateway can get wrong about its disk: promises that nothing stands behind, and records
//! that never get there.

use mqtt_sn_gateway::store::commit::{Commit, Part};
use mqtt_sn_gateway::store::record::Record;

use super::is_found_in;
use crate::plan::Weather;
use crate::tamper::Tamper;

/// Takes a commit for written before it is.
struct Hasty;

impl Tamper for Hasty {
    fn promises_early(&self) -> bool {
        true
    }
}

#[test]
fn promises_that_are_not_written_yet_are_found() {
    is_found_in(Weather::Crashes, || Hasty, &["on the disk", "is not acknowledged by the broker"]);
}

/// Every so often a commit is not written at all.
#[derive(Default)]
struct Loses(u32);

impl Tamper for Loses {
    fn loses(&mut self, _: &Commit) -> bool {
        self.0 += 1;
        self.0.is_multiple_of(5)
    }
}

#[test]
fn a_commit_that_is_lost_is_found() {
    let words = ["what was found on the disk is not what was written"];
    is_found_in(Weather::Crashes, Loses::default, &words);
}

/// A disk that does not sync.
struct LyingDisk;

impl Tamper for LyingDisk {
    fn lies_about_syncs(&self) -> bool {
        true
    }
}

#[test]
fn a_disk_that_lies_about_syncs_is_found() {
    let words = ["what was found on the disk is not what was written", "cannot be opened"];
    is_found_in(Weather::PowerCuts, || LyingDisk, &words);
}

/// Has never heard of some kind of record.
struct Ignores(fn(&Record<'_>) -> bool);

impl Ignores {
    fn filter(&self, records: &mut Vec<u8>) {
        let mut left = Vec::with_capacity(records.len());
        let mut input = records.as_slice();
        while !input.is_empty() {
            let Ok(record) = Record::take(&mut input) else { return };
            if !(self.0)(&record) {
                record.put(&mut left);
            }
        }
        *records = left;
    }
}

impl Tamper for Ignores {
    fn rewritten(&mut self, commit: &mut Commit) {
        self.filter(&mut commit.records);
        if let Some(Part { records, .. }) = &mut commit.snapshot {
            self.filter(records);
        }
    }
}

fn ignoring(kind: fn(&Record<'_>) -> bool, words: &[&str]) {
    is_found_in(Weather::PowerCuts, move || Ignores(kind), words);
}

macro_rules! ignored {
    ($($name:ident: $kind:pat => $words:expr;)*) => {
        $(
            #[test]
            fn $name() {
                ignoring(|record| matches!(record, $kind), &$words);
            }
        )*
    };
}

ignored! {
    clients_that_are_not_written: Record::Client(_) => ["on the disk"];
    new_clients_that_are_not_written: Record::NewClient { .. } => ["on the disk"];
    clients_that_are_never_gone: Record::ClientGone { .. } => ["on the disk"];
    sessions_that_are_never_cleared: Record::Cleared { .. } => ["on the disk", "topic id"];
    topics_that_are_not_written: Record::Topic { .. } => ["is not on the disk", "topic id"];
    subscriptions_that_are_not_written: Record::Subscription { .. } => ["on the disk"];
    unsubscriptions_that_are_not_written: Record::Unsubscription { .. } => ["on the disk"];
    messages_that_are_not_written: Record::Message { .. } => ["on the disk", "never got"];
    queues_that_are_not_written: Record::Enqueued { .. } => ["on the disk", "never got"];
    messages_that_never_leave: Record::Dequeued { .. } =>
        ["the snapshot is not what was written", "for the", "on the disk", "times at QoS 2"];
    exchanges_that_are_not_written: Record::Outbound { .. } => ["on the disk"];
    publications_that_are_not_written: Record::Publication { .. } => ["on the disk"];
    publications_for_the_broker_that_are_not_written: Record::Request { .. } =>
        ["on the disk", "is not acknowledged by the broker"];
    packet_ids_that_are_not_written: Record::RequestSent { .. } => ["on the disk"];
    releases_that_are_not_written: Record::RequestReleased { .. } => ["on the disk"];
    publications_that_are_never_over: Record::RequestOver { .. } =>
        ["left on the disk", "on the disk", "more than once", "the snapshot", "more often"];
    receipts_that_are_not_written: Record::Received { .. } => ["that it came is not on the disk"];
    receipts_that_are_never_over: Record::ReceivedOver { .. } =>
        ["left on the disk", "the snapshot", "never got"];
}
