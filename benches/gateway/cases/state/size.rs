//! How long the journal gets while what it describes grows and shrinks again and again.
//!
//! Alive is here what spool or queues hold, in records; clients and their topics come on top, which
//! makes the bound a little stricter than it has to be.

use std::time::{Duration, Instant};

use super::super::{Sample, Scale, collect};
use super::load::{Fleet, Load, Until};
use crate::Failure;
use crate::rig::Rig;

const DEVICES: usize = 100;
const ROUNDS: usize = 4;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// How long the broker may take for what was spooled.
const PATIENCE: Duration = Duration::from_secs(5);
/// By then everything that nobody waits for is written, and a snapshot is complete.
const SETTLE: Duration = Duration::from_millis(2_500);

/// The bound: four times what is alive, and so much more.
const MORE: f64 = 1_048_576.0;

/// The longest journal, and the one farthest beyond its bound.
struct Watch {
    /// Octets alive per message.
    each: f64,
    alive: f64,
    longest: f64,
    beyond: f64,
    /// Beyond the bound since then, and the longest time.
    since: Option<Instant>,
    time: Duration,
    looked: Instant,
}

impl Watch {
    fn new(each: f64) -> Self {
        Self {
            each,
            alive: 0.0,
            longest: 0.0,
            beyond: f64::MIN,
            since: None,
            time: Duration::ZERO,
            looked: Instant::now(),
        }
    }

    /// There are so many messages alive.
    fn look(&mut self, rig: &Rig, alive: u64) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        let (journal, _) = rig.target.journal();
        let alive = alive as f64 * self.each;
        self.alive = self.alive.max(alive);
        self.longest = self.longest.max(journal as f64);
        let beyond = journal as f64 - 4.0 * alive;
        self.beyond = self.beyond.max(beyond);
        if beyond > MORE {
            let since = *self.since.get_or_insert(self.looked);
            self.time = self.time.max(since.elapsed());
        } else {
            self.since = None;
        }
    }

    fn values(&self, keys: [&'static str; 5]) -> [(&'static str, f64); 5] {
        let [each, full, most, beyond, time] = keys;
        let kib = |octets: f64| octets / 1024.0;
        [
            (each, self.each),
            (full, kib(self.alive)),
            (most, kib(self.longest)),
            (beyond, kib(self.beyond)),
            (time, self.time.as_secs_f64() * 1e3),
        ]
    }
}

pub fn run(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    let spool = fill_spool(rig, scale.many as u64 * 2, &mut sample)?;
    sample.values.extend(spool.values([
        "spool-each",
        "spool-full",
        "spool-most",
        "spool-beyond",
        "spool-time",
    ]));
    let queues = fill_queues(rig)?;
    sample.values.extend(queues.values([
        "queue-each",
        "queue-full",
        "queue-most",
        "queue-beyond",
        "queue-time",
    ]));
    Ok(sample)
}

fn fill_spool(rig: &mut Rig, total: u64, sample: &mut Sample) -> Result<Watch, Failure> {
    let mut fleet = Fleet::ready(rig, DEVICES)?;
    let (mut acked, mut repeated) = (0, 0);
    let mut watch = None;
    for _ in 0..=ROUNDS {
        rig.broker_leaves()?;
        let (before, _) = rig.target.journal();
        let until = Until::Acknowledged(total);
        let load = Load { devices: 0..DEVICES, qos: 1, rate: None, until };
        let filled = fleet.run_watched(rig, &load, |rig, spooled| {
            if let Some(watch) = &mut watch {
                Watch::look(watch, rig, spooled);
            }
        })?;
        acked += filled.acknowledged;
        repeated += filled.repeated;
        // The first round only tells how long a message is.
        let grown = rig.target.journal().0.saturating_sub(before);
        let watch =
            watch.get_or_insert_with(|| Watch::new(grown as f64 / filled.acknowledged as f64));
        rig.broker_returns()?;
        empty_spool(rig, acked, watch)?;
    }
    sample.remarks.extend(super::verdict(rig, "spool", acked, repeated));
    watch.ok_or_else(|| "there was no round".into())
}

/// Watches until `acked` have arrived in all, and for a while longer.
fn empty_spool(rig: &mut Rig, acked: u64, watch: &mut Watch) -> Result<(), Failure> {
    let mut last = Instant::now();
    let mut done = None;
    while done.is_none_or(|at: Instant| at.elapsed() < SETTLE) {
        let before = rig.sink.counts.arrived;
        rig.turn_quietly(LOOK)?;
        let arrived = rig.sink.counts.arrived;
        watch.look(rig, acked.saturating_sub(arrived));
        if arrived > before {
            last = Instant::now();
        } else if done.is_none() && last.elapsed() > PATIENCE {
            return Err(format!("{arrived} of {acked} arrived{}", rig.target.log()).into());
        }
        if arrived >= acked && done.is_none() {
            done = Some(Instant::now());
        }
    }
    Ok(())
}

fn fill_queues(rig: &mut Rig) -> Result<Watch, Failure> {
    let total = collect::SLEEPERS * collect::MESSAGES;
    rig.open_devices(collect::SLEEPERS)?;
    collect::fall_asleep(rig)?;
    rig.rest(SETTLE)?;
    let mut watch: Option<Watch> = None;
    for _ in 0..=ROUNDS {
        let (before, _) = rig.target.journal();
        collect::publish(
            rig,
            |_| 1,
            |rig, queued| {
                if let Some(watch) = &mut watch {
                    watch.look(rig, queued);
                }
            },
        )?;
        let grown = rig.target.journal().0.saturating_sub(before);
        let watch = watch.get_or_insert_with(|| Watch::new(grown as f64 / total as f64));
        collect::gather(rig, |_| 1, |rig, come| watch.look(rig, (total - come) as u64))?;
        let end = Instant::now() + SETTLE;
        while Instant::now() < end {
            rig.turn_quietly(LOOK)?;
            watch.look(rig, 0);
        }
    }
    Ok(watch.ok_or("there was no round")?)
}
