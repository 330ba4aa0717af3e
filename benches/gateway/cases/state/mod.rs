//! What a state that survives costs, and what it takes to go on from it.

mod load;
pub(super) mod quiet;
pub(super) mod restart;
pub(super) mod size;
pub(super) mod slow;
pub(super) mod spool;
pub(super) mod steady;

use super::Ratio::{None as Plain, Size};
use super::{Metric, metric};
use crate::rig::Rig;

/// A broker that is back is found within a second. Keys of `[upstream]`.
pub(super) const FIND_SOON: &str = "reconnect_max = \"1s\"\n";
/// The mode of a gateway whose state ends with it, in keys.
const NO_STATE: &str = "none";

/// The table that chooses how a state is written.
fn store(sync: &str) -> String {
    format!("[store]\nsync = \"{sync}\"\n")
}

/// What was acknowledged has arrived, and nothing twice that was not sent twice.
fn verdict(rig: &Rig, mode: &str, acked: u64, repeated: u64) -> Vec<String> {
    let arrived = rig.sink.counts.arrived;
    let mut remarks: Vec<String> = rig.lost_connections().into_iter().collect();
    if arrived < acked {
        remarks.push(format!("WRONG: {mode}: {acked} acknowledged, only {arrived} arrived"));
    }
    if arrived > acked + repeated {
        remarks.push(format!("WRONG: {mode}: {acked} acknowledged, {arrived} arrived"));
    }
    remarks
}

/// The metrics of a case for each mode: what is measured, label, decimals, comparison.
macro_rules! modes {
    ($($mode:literal $name:literal: [$(($what:literal, $label:literal, $decimals:literal, $ratio:expr)),+]),+) => {
        &[$($(metric(
            concat!($mode, "-", $what),
            concat!($name, ": ", $label),
            $decimals,
            $ratio,
        ),)+)+]
    };
}

macro_rules! steady {
    ($octets:expr) => {
        modes!(
            "batch" "batch": [
                ("rate", "messages/s", 0, Plain),
                ("cpu", "CPU per message, µs", 2, Plain),
                ("octets", "octets written per message", 1, $octets),
                ("kernel", "the same by the kernel", 1, Plain),
                ("p50", "p50, ms", 3, Plain),
                ("p99", "p99, ms", 3, Plain)
            ],
            "off" "off": [
                ("rate", "messages/s", 0, Plain),
                ("cpu", "CPU per message, µs", 2, Plain),
                ("p50", "p50, ms", 3, Plain),
                ("p99", "p99, ms", 3, Plain)
            ],
            "none" "no state": [
                ("rate", "messages/s", 0, Plain),
                ("cpu", "CPU per message, µs", 2, Plain),
                ("p50", "p50, ms", 3, Plain),
                ("p99", "p99, ms", 3, Plain)
            ]
        )
    };
}

pub(super) const QOS1: &[Metric] = steady!(Plain);
pub(super) const QOS2: &[Metric] = steady!(Size);

macro_rules! spool {
    ($($mode:literal),+) => {
        modes!($($mode $mode: [
            ("rate", "messages/s", 0, Plain),
            ("cpu", "CPU per message, µs", 2, Plain),
            ("octets", "octets written per message (goal: ≤ 300)", 1, Size),
            ("kernel", "the same by the kernel", 1, Plain),
            ("writes", "writes/s", 0, Plain),
            ("p50", "p50 at 200/s, ms", 1, Plain),
            ("p99", "p99 at 200/s, ms", 1, Plain),
            ("max", "max at 200/s, ms", 1, Plain),
            ("slow-kernel", "octets by the kernel per message at 200/s", 0, Plain)
        ]),+)
    };
}

pub(super) const SPOOL: &[Metric] = spool!("batch", "always", "off");

pub(super) const DRAIN: &[Metric] = &[
    metric("spooled", "messages in the spool", 0, Plain),
    metric("rate", "messages/s from there", 0, Plain),
    metric("cpu", "CPU per message, µs", 2, Plain),
    metric("octets", "octets written per message", 1, Size),
    metric("before-p50", "others before: p50, ms", 3, Plain),
    metric("before-p99", "others before: p99, ms", 3, Plain),
    metric("p50", "others meanwhile: p50, ms", 3, Plain),
    metric("p99", "others meanwhile: p99, ms", 3, Plain),
    metric("max", "others meanwhile: max, ms", 3, Plain),
];

pub(super) const RESTART: &[Metric] = &[
    metric("journal", "journal, MiB", 2, Plain),
    metric("before", "resident before, MiB", 2, Plain),
    metric("ready", "until the first answer, ms (goal: < 2,000)", 0, Plain),
    metric("cpu", "CPU until then, ms", 0, Plain),
    metric("after", "resident after, MiB", 2, Plain),
    metric("most", "most resident, MiB", 2, Plain),
    metric("all", "until the broker has everything, ms", 0, Plain),
];

pub(super) const IDLE: &[Metric] = &[
    metric("pings", "pings answered", 0, Plain),
    metric("commits", "writes (goal: 0)", 0, Plain),
    metric("octets", "octets written (goal: 0)", 0, Plain),
    metric("kernel", "octets that the kernel wrote (goal: 0)", 0, Plain),
];

pub(super) const SIZE: &[Metric] = &[
    metric("spool-each", "spool: octets alive per message", 1, Size),
    metric("spool-full", "spool: most alive, KiB", 0, Plain),
    metric("spool-most", "spool: longest journal, KiB", 0, Plain),
    metric("spool-beyond", "spool: most beyond 4 × alive, KiB (goal: ≤ 1,024)", 0, Plain),
    metric("spool-time", "spool: beyond the goal for at most, ms", 0, Plain),
    metric("queue-each", "queues: octets alive per message", 1, Size),
    metric("queue-full", "queues: most alive, KiB", 0, Plain),
    metric("queue-most", "queues: longest journal, KiB", 0, Plain),
    metric("queue-beyond", "queues: most beyond 4 × alive, KiB (goal: ≤ 1,024)", 0, Plain),
    metric("queue-time", "queues: beyond the goal for at most, ms", 0, Plain),
];

macro_rules! slow {
    ($($mode:literal),+) => {
        modes!($($mode $mode: [
            ("1-p50", "1/s: p50, ms", 1, Plain),
            ("1-p99", "1/s: p99, ms", 1, Plain),
            ("1-writes", "1/s: writes/s", 1, Plain),
            ("100-p50", "100/s: p50, ms", 1, Plain),
            ("100-p99", "100/s: p99, ms", 1, Plain),
            ("100-writes", "100/s: writes/s", 1, Plain),
            ("1000-p50", "1,000/s: p50, ms", 1, Plain),
            ("1000-p99", "1,000/s: p99, ms", 1, Plain),
            ("1000-writes", "1,000/s: writes/s", 1, Plain),
            ("rate", "as fast as answered: messages/s", 0, Plain),
            ("p50", "as fast as answered: p50, ms", 1, Plain),
            ("p99", "as fast as answered: p99, ms", 1, Plain),
            ("writes", "as fast as answered: writes/s", 1, Plain)
        ]),+)
    };
}

pub(super) const SLOW: &[Metric] = slow!("batch", "always", "off");
