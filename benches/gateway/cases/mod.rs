//! What is measured, one file per kind of load.

mod acked;
mod collect;
mod fanout;
mod inside;
mod many;
mod open_loop;
mod qos0;
mod serial;
mod sleepers;
mod state;

use std::path::Path;
use std::time::Duration;

use crate::Failure;
use crate::rig::Rig;
use crate::target::Subject;

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
    /// The same with very many clients.
    pub long_idle: Duration,
    /// Devices of the cases with many.
    pub many: usize,
    /// Sleepers of the cases with very many.
    pub sleepers: usize,
}

/// A figure that a case yields.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Name in `baseline.toml`.
    pub key: &'static str,
    /// Label in the table.
    pub label: &'static str,
    pub decimals: usize,
    /// Whether the quotient gateway / relay says something, or the figure itself, and then which
    /// direction is good.
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
    /// Less is better, and the figure itself says something on any machine: octets, say.
    Size,
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
    /// Added to the gateway's configuration: keys of `[upstream]`, then tables.
    pub settings: &'static str,
    /// It takes long and says much the same every time: one run, in which it may take a minute and
    /// a half.
    pub once: bool,
    pub run: Run,
}

/// A short case with the defaults.
const PLAIN: Case = Case {
    name: "",
    about: "",
    relay: false,
    metrics: &[],
    settings: "",
    once: false,
    run: Run::Inside(|_| Ok(Sample { values: Vec::new(), remarks: Vec::new() })),
};

/// What a case needs to start a rig of its own.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The program.
    pub gateway: &'a Path,
    pub pin: Option<usize>,
    /// The case's own, see [`Case::settings`].
    pub settings: &'a str,
}

impl Place<'_> {
    /// A rig with more tables in its configuration.
    pub fn rig(self, subject: Subject, tables: &str) -> Result<Rig, Failure> {
        let settings = format!("{}{tables}", self.settings);
        Rig::start(subject, self.gateway, self.pin, &settings)
    }
}

/// How a case is run.
pub enum Run {
    /// With the real program (or the relay) between load and sink.
    Process(fn(&mut Rig, &Scale) -> Result<Sample, Failure>),
    /// The same several times with different settings: the case starts each rig.
    Several(fn(Place<'_>, &Scale) -> Result<Sample, Failure>),
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

const PRESENT: [Metric; 4] = [
    metric("empty", "without clients, MiB", 2, Ratio::None),
    metric("full", "with all clients, MiB", 2, Ratio::None),
    metric("cpu", "CPU per second of silence, µs (goal: 0)", 0, Ratio::None),
    metric("wakes", "wake-ups/s", 1, Ratio::None),
];
const COLLECTED: &[Metric] = &[
    metric("wall", "until the last PINGRESP, ms", 1, Ratio::None),
    metric("cpu", "CPU per message, µs", 2, Ratio::None),
    metric("rate", "messages/s", 0, Ratio::None),
    BUSY,
    metric("repeated", "repeated by either side", 0, Ratio::None),
];

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case {
        name: "qos0",
        about: "QoS 0 up, 100 devices, 200 outstanding in total",
        relay: true,
        metrics: &[CPU, RATE, BUSY, LOAD_BUSY, LOST],
        run: Run::Process(qos0::run),
        ..PLAIN
    },
    Case {
        name: "qos1",
        about: "QoS 1 up, 100 devices, 1 outstanding each",
        relay: true,
        metrics: ACKED,
        run: Run::Process(acked::qos1),
        ..PLAIN
    },
    Case {
        name: "qos2",
        about: "QoS 2 up, 50 devices, 1 outstanding each",
        relay: true,
        metrics: ACKED,
        run: Run::Process(acked::qos2),
        ..PLAIN
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
        ..PLAIN
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
        ..PLAIN
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
        ..PLAIN
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
        ..PLAIN
    },
    Case {
        name: "memory",
        about: "resident memory, each device with one registered topic",
        metrics: &[
            metric("idle", "without devices, MiB", 2, Ratio::None),
            metric("full", "with all devices, MiB", 2, Ratio::None),
            metric("each", "per device, KiB", 3, Ratio::None),
        ],
        run: Run::Process(many::memory),
        ..PLAIN
    },
    Case {
        name: "idle",
        about: "100 devices connected, nothing happens",
        metrics: &[
            metric("cpu", "CPU per second, µs", 0, Ratio::None),
            metric("wakes", "wake-ups/s", 1, Ratio::None),
        ],
        run: Run::Process(many::idle),
        ..PLAIN
    },
    Case {
        name: "storm",
        about: "devices connect at the same moment, then are lost; twice",
        metrics: &[
            metric("slowest", "slowest CONNACK, ms (goal: < 10,000)", 0, Ratio::None),
            REPEATED,
            metric("idle", "resident before, MiB", 2, Ratio::None),
            metric("full", "with all devices, MiB", 2, Ratio::None),
            metric("left", "when all are lost, MiB", 2, Ratio::None),
            metric("again", "with all devices again, MiB", 2, Ratio::None),
            metric("left-again", "when all are lost again, MiB", 2, Ratio::None),
        ],
        once: true,
        run: Run::Process(many::storm),
        ..PLAIN
    },
    Case {
        name: "serial",
        about: "8 lines at 57,600 bits/s, 4 devices each: full downwards, and QoS 1 upwards",
        metrics: &[
            metric("used", "of the slowest line's capacity, % (goal: 95)", 1, Ratio::None),
            metric("busy", "busy, % of a core (goal: < 10)", 1, Ratio::None),
            metric("p50", "PUBLISH to PUBACK p50, ms", 1, Ratio::None),
            metric("p99", "p99, ms", 1, Ratio::None),
            metric("max", "max, ms", 1, Ratio::None),
            metric("lost", "lost", 0, Ratio::None),
            metric("idle", "CPU per second of silence, µs", 0, Ratio::None),
        ],
        once: true,
        run: Run::Several(serial::run),
        ..PLAIN
    },
    Case {
        name: "sleepers",
        about: "100,000 asleep, with 4 topics and 2 subscriptions each",
        metrics: &[
            PRESENT[0],
            PRESENT[1],
            metric("each", "per sleeper, octets (goal: < 1,024)", 0, Ratio::Size),
            metric("later", "the same after the silence", 0, Ratio::None),
            PRESENT[2],
            PRESENT[3],
            metric("wake", "CPU per PINGREQ from a new port, µs", 2, Ratio::None),
        ],
        settings: sleepers::SETTINGS,
        once: true,
        run: Run::Process(sleepers::asleep),
        ..PLAIN
    },
    Case {
        name: "active",
        about: "100,000 connected, with 4 topics and 2 subscriptions each, silent",
        metrics: &[
            PRESENT[0],
            PRESENT[1],
            metric("each", "per client, octets", 0, Ratio::Size),
            PRESENT[2],
            PRESENT[3],
        ],
        settings: sleepers::SETTINGS,
        once: true,
        run: Run::Process(sleepers::active),
        ..PLAIN
    },
    Case {
        name: "collect",
        about: "1,000 sleepers collect 10 messages each, QoS 1, all at the same moment",
        metrics: COLLECTED,
        run: Run::Process(collect::qos1),
        ..PLAIN
    },
    Case {
        name: "collect-mixed",
        about: "the same with QoS 1, 2 and 0 by turns",
        metrics: COLLECTED,
        run: Run::Process(collect::mixed),
        ..PLAIN
    },
    Case {
        name: "core-memory",
        about: "the core alone: heap per sleeper with 4 topics and 2 subscriptions",
        metrics: &[
            metric("each", "octets per sleeper", 0, Ratio::Size),
            metric("count", "allocations per sleeper", 1, Ratio::Size),
            metric("estimate", "with the allocator's share, about", 0, Ratio::None),
            metric("before", "octets right after DISCONNECT", 0, Ratio::None),
            metric("connect", "of these: CONNECT", 0, Ratio::None),
            metric("topics", "4 × REGISTER", 0, Ratio::None),
            metric("own", "SUBSCRIBE to a name of its own", 0, Ratio::None),
            metric("shared", "SUBSCRIBE to a shared filter", 0, Ratio::None),
            metric("asleep", "DISCONNECT", 0, Ratio::None),
        ],
        once: true,
        run: Run::Inside(inside::memory),
        ..PLAIN
    },
    Case {
        name: "core-wake",
        about: "the core alone: PINGREQ to PINGRESP of a sleeper for whom nothing waits",
        metrics: &[
            metric("few", "1,000 sleepers, ns", 0, Ratio::None),
            metric("many", "1,000 of very many, ns", 0, Ratio::None),
            metric("all", "very many in turn, ns", 0, Ratio::None),
        ],
        run: Run::Inside(inside::wake),
        ..PLAIN
    },
    Case {
        name: "core-storm",
        about: "the core alone: devices come, subscribe and expire, twice",
        metrics: &[
            metric("full", "heap with all, KiB", 1, Ratio::None),
            metric("first", "left of them, KiB", 1, Ratio::None),
            metric("second", "left after the second time, KiB", 1, Ratio::None),
        ],
        run: Run::Inside(inside::storm),
        ..PLAIN
    },
    Case {
        name: "state-qos1",
        about: "QoS 1 up, 32 octets, 100 devices; with a state that survives, and without",
        metrics: state::QOS1,
        run: Run::Several(state::steady::qos1),
        ..PLAIN
    },
    Case {
        name: "state-qos2",
        about: "QoS 2 up, 32 octets, 50 devices; with a state that survives, and without",
        metrics: state::QOS2,
        run: Run::Several(state::steady::qos2),
        ..PLAIN
    },
    Case {
        name: "state-spool",
        about: "QoS 1 up, 32 octets, 100 devices, the broker is away",
        metrics: state::SPOOL,
        settings: state::FIND_SOON,
        run: Run::Several(state::spool::fill),
        ..PLAIN
    },
    Case {
        name: "state-drain",
        about: "100,000 from the spool, others at 500/s beside it; the broker answers every 10 ms",
        metrics: state::DRAIN,
        settings: state::FIND_SOON,
        once: true,
        run: Run::Process(state::spool::drain),
        ..PLAIN
    },
    Case {
        name: "state-restart",
        about: "killed and started with 100,000 sessions, 4 topics and 2 subscriptions each",
        metrics: state::RESTART,
        settings: sleepers::SETTINGS,
        once: true,
        run: Run::Process(state::restart::sessions),
        ..PLAIN
    },
    Case {
        name: "state-restart-spool",
        about: "killed and started with 100,000 publications in the spool",
        metrics: state::RESTART,
        settings: state::FIND_SOON,
        once: true,
        run: Run::Process(state::restart::spool),
        ..PLAIN
    },
    Case {
        name: "state-idle",
        about: "1,000 asleep, 1,000 that ping every 10 s: nothing is written",
        metrics: state::IDLE,
        once: true,
        run: Run::Process(state::quiet::idle),
        ..PLAIN
    },
    Case {
        name: "state-size",
        about: "spool and queues of sleepers fill and empty again and again: size of the journal",
        metrics: state::SIZE,
        settings: state::FIND_SOON,
        once: true,
        run: Run::Process(state::size::run),
        ..PLAIN
    },
    Case {
        name: "state-slow-disk",
        about: "QoS 1 up, the broker is away, every sync takes 10 ms",
        metrics: state::SLOW,
        settings: state::FIND_SOON,
        once: true,
        run: Run::Several(state::slow::run),
        ..PLAIN
    },
];

/// The key of a metric that is measured in several modes, if the case has it.
fn keyed(metrics: &[Metric], mode: &str, what: &str) -> Option<&'static str> {
    let is_it =
        |key: &str| key.strip_prefix(mode).and_then(|rest| rest.strip_prefix('-')) == Some(what);
    metrics.iter().map(|metric| metric.key).find(|key| is_it(key))
}

/// A payload that differs from message to message, so that none is taken for a repetition.
fn payload(sequence: u64) -> [u8; PAYLOAD] {
    let mut payload = [b'.'; PAYLOAD];
    payload[..8].copy_from_slice(&sequence.to_be_bytes());
    payload
}
