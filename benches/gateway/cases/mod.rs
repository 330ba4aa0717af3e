//! What is measured, one file per kind of load.

mod acked;
mod fanout;
mod inside;
mod many;
mod open_loop;
mod qos0;

use std::time::Duration;

use crate::Failure;
use crate::rig::Rig;

/// Octets of every payload.
pub const PAYLOAD: usize = 64;

/// How long and how much.
#[derive(Clone, Copy)]
pub struct Scale {
    pub warm_up: Duration,
    /// Measured interval of the closed-loop cases.
    pub measured: Duration,
    /// Measured interval of the cases at a given rate.
    pub steady: Duration,
    /// Measured interval of the idle case.
    pub idle: Duration,
    /// Devices of the cases with many.
    pub many: usize,
    /// Sleepers of the cases with very many.
    pub sleepers: usize,
}

/// A figure that a case yields.
pub struct Metric {
    /// Name in `baseline.toml`.
    pub key: &'static str,
    /// Label in the table.
    pub label: &'static str,
    pub decimals: usize,
    /// Whether the quotient gateway / relay says something, and then which direction is good.
    pub ratio: Ratio,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Ratio {
    /// Not compared.
    None,
    /// Less is better.
    Cost,
    /// More is better.
    Yield,
}

/// What one run of a case gave: a value per metric, by key, and remarks for below the table.
#[derive(Default)]
pub struct Sample {
    pub values: Vec<(&'static str, f64)>,
    pub remarks: Vec<String>,
}

pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    /// The relay can do it too.
    pub relay: bool,
    pub metrics: &'static [Metric],
    pub run: Run,
}

/// How a case is run.
pub enum Run {
    /// With the real program (or the relay) between load and sink.
    Process(fn(&mut Rig, &Scale) -> Result<Sample, Failure>),
    /// With the core alone, in this process.
    Inside(fn(&Scale) -> Result<Sample, Failure>),
}

const fn metric(key: &'static str, label: &'static str, decimals: usize, ratio: Ratio) -> Metric {
    Metric { key, label, decimals, ratio }
}

const CPU: Metric = metric("cpu", "CPU per message, µs", 2, Ratio::Cost);
const RATE: Metric = metric("rate", "messages/s", 0, Ratio::Yield);
const BUSY: Metric = metric("busy", "busy, % of a core", 0, Ratio::None);
const LOAD_BUSY: Metric = metric("load-busy", "load and sink busy, %", 0, Ratio::None);
const LOST: Metric = metric("lost", "lost", 0, Ratio::None);
const REPEATED: Metric = metric("repeated", "repeated by devices", 0, Ratio::None);
const ACKED: &[Metric] = &[CPU, RATE, BUSY, LOAD_BUSY, REPEATED];

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case {
        name: "qos0",
        about: "QoS 0 up, 100 devices, 200 outstanding in total",
        relay: true,
        metrics: &[CPU, RATE, BUSY, LOAD_BUSY, LOST],
        run: Run::Process(qos0::run),
    },
    Case {
        name: "qos1",
        about: "QoS 1 up, 100 devices, 1 outstanding each",
        relay: true,
        metrics: ACKED,
        run: Run::Process(acked::qos1),
    },
    Case {
        name: "qos2",
        about: "QoS 2 up, 50 devices, 1 outstanding each",
        relay: true,
        metrics: ACKED,
        run: Run::Process(acked::qos2),
    },
    Case {
        name: "fanout",
        about: "broker to 100 subscribers of a topic, QoS 0, per delivery",
        relay: true,
        metrics: &[
            metric("cpu", "CPU per delivery, µs", 2, Ratio::Cost),
            metric("rate", "deliveries/s", 0, Ratio::Yield),
            BUSY,
            LOAD_BUSY,
            LOST,
        ],
        run: Run::Process(fanout::run),
    },
    Case {
        name: "latency",
        about: "QoS 1 up at 2,000/s over 100 devices, PUBLISH to PUBACK",
        relay: true,
        metrics: &[
            metric("p50", "p50, µs", 0, Ratio::Cost),
            metric("p99", "p99, µs", 0, Ratio::Cost),
            metric("max", "max, µs", 0, Ratio::None),
            CPU,
            metric("overrun", "not sent: still unacknowledged", 0, Ratio::None),
        ],
        run: Run::Process(open_loop::latency),
    },
    Case {
        name: "open-loop",
        about: "QoS 0 up at 100,000/s over 100 devices, whatever happens",
        relay: true,
        metrics: &[
            CPU,
            metric("offered", "offered/s", 0, Ratio::None),
            metric("rate", "arrived/s", 0, Ratio::None),
            BUSY,
            LOAD_BUSY,
            LOST,
        ],
        run: Run::Process(open_loop::flood),
    },
    Case {
        name: "connect",
        about: "devices connect as fast as they can, 500 outstanding",
        relay: true,
        metrics: &[
            metric("cpu", "CPU per CONNECT, µs", 2, Ratio::Cost),
            metric("rate", "devices/s", 0, Ratio::Yield),
            BUSY,
            REPEATED,
        ],
        run: Run::Process(many::connect),
    },
    Case {
        name: "memory",
        about: "resident memory, each device with one registered topic",
        relay: false,
        metrics: &[
            metric("idle", "without devices, MiB", 2, Ratio::None),
            metric("full", "with all devices, MiB", 2, Ratio::None),
            metric("each", "per device, KiB", 3, Ratio::None),
        ],
        run: Run::Process(many::memory),
    },
    Case {
        name: "idle",
        about: "100 devices connected, nothing happens",
        relay: false,
        metrics: &[
            metric("cpu", "CPU per second, µs", 0, Ratio::None),
            metric("wakes", "wake-ups/s", 1, Ratio::None),
        ],
        run: Run::Process(many::idle),
    },
    Case {
        name: "core-memory",
        about: "the core alone: heap per sleeper with 4 topics and 2 subscriptions",
        relay: false,
        metrics: &[
            metric("each", "octets per sleeper", 0, Ratio::None),
            metric("count", "allocations per sleeper", 1, Ratio::None),
            metric("estimate", "with the allocator's share, about", 0, Ratio::None),
            metric("before", "octets right after DISCONNECT", 0, Ratio::None),
            metric("connect", "of these: CONNECT", 0, Ratio::None),
            metric("topics", "4 × REGISTER", 0, Ratio::None),
            metric("own", "SUBSCRIBE to a name of its own", 0, Ratio::None),
            metric("shared", "SUBSCRIBE to a shared filter", 0, Ratio::None),
            metric("asleep", "DISCONNECT", 0, Ratio::None),
        ],
        run: Run::Inside(inside::memory),
    },
    Case {
        name: "core-wake",
        about: "the core alone: PINGREQ to PINGRESP of a sleeper for whom nothing waits",
        relay: false,
        metrics: &[
            metric("few", "1,000 sleepers, ns", 0, Ratio::None),
            metric("many", "1,000 of very many, ns", 0, Ratio::None),
            metric("all", "very many in turn, ns", 0, Ratio::None),
        ],
        run: Run::Inside(inside::wake),
    },
    Case {
        name: "core-storm",
        about: "the core alone: devices come, subscribe and expire, twice",
        relay: false,
        metrics: &[
            metric("full", "heap with all, KiB", 1, Ratio::None),
            metric("first", "left of them, KiB", 1, Ratio::None),
            metric("second", "left after the second time, KiB", 1, Ratio::None),
        ],
        run: Run::Inside(inside::storm),
    },
];

/// A payload that differs from message to message, so that none is taken for a repetition.
fn payload(sequence: u64) -> [u8; PAYLOAD] {
    let mut payload = [b'.'; PAYLOAD];
    payload[..8].copy_from_slice(&sequence.to_be_bytes());
    payload
}
