//! A scripted day, and the same day again for every operation of the gateway on its disk: there the
//! gateway ends, in each way in which it can.
//!
//! ```text
//! cargo test --test sim -- day --nocapture                         how many ends were tried
//! SIM_DAY=2 SIM_END=117 cargo test --test sim -- one_day --nocapture     one of them, with every frame
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt_sn_gateway::mqtt::Version;
use mqtt_sn_gateway::store::commit::{CommitSettings, SyncMode};
use mqtt_sn_gateway::time::Time;

use crate::disk::{Crash, DiskPlan, Fate, Moment};
use crate::machine::End;
use crate::oracle::Verdict;
use crate::plan::{BrokerPlan, Plan, RadioPlan, Weather};
use crate::rng::Rng;
use crate::runner::variable;
use crate::sensor::{Doing, Order};
use crate::tamper::{Honest, Tamper};
use crate::topics::Topic;
use crate::wire::Level;
use crate::world::World;

/// What happens in the day. Between two entries a little time passes.
#[derive(Clone, Copy)]
enum Entry {
    /// So many seconds pass.
    Pass(u64),
    /// A sensor's application wants this.
    Order(usize, Order),
    Do(usize, Doing),
    /// Somebody else publishes, retained or not.
    Outside(&'static str, u8, bool),
    /// The broker is away for so many seconds.
    Away(u64),
    /// It begins again with nothing.
    Forget,
}

use Entry::{Away, Do, Forget, Outside, Pass};
use Order::{Goodbye, Publish, Sleep, Subscribe, Unsubscribe};

const fn to(sensor: usize, order: Order) -> Entry {
    Entry::Order(sensor, order)
}

/// Sensor 0 is clean and has a will, 1 has a session that lasts, 2 and 3 sleep: 2 with a session
/// that lasts and a will, 3 without.
const DAY: &[Entry] = &[
    Pass(9),
    to(0, Subscribe("a/#", 2)),
    to(1, Subscribe("a/b", 1)),
    to(1, Subscribe("dev/1/cmd", 2)),
    to(2, Subscribe("a/+", 2)),
    to(3, Subscribe("x", 1)),
    Pass(3),
    to(0, Publish("a/b", 2)),
    to(1, Publish("a/c", 1)),
    to(2, Publish("x", 2)),
    to(3, Publish("pre/one", 1)),
    Outside("a/b", 2, true),
    Outside("dev/1/cmd", 1, false),
    Pass(3),
    to(2, Sleep(40)),
    to(3, Sleep(30)),
    Pass(2),
    Outside("a/b", 1, false),
    Outside("a/c", 2, false),
    Outside("x", 1, false),
    Outside("x", 0, false),
    to(1, Publish("a/c", 2)),
    Pass(30),
    Away(12),
    to(0, Publish("a/b", 2)),
    to(0, Publish("cd", 1)),
    to(1, Publish("a/c", 2)),
    to(1, Publish("a/b", 1)),
    to(1, Subscribe("ab", 2)),
    Outside("a/c", 2, false),
    Pass(35),
    to(1, Goodbye),
    Pass(1),
    Outside("a/b", 1, false),
    Outside("dev/1/cmd", 2, false),
    to(0, Unsubscribe("a/#")),
    Forget,
    to(0, Publish("a/b/c", 2)),
    to(2, Publish("a/c", 1)),
    Pass(25),
    Do(0, Doing::Reboot),
    Outside("a/b", 2, false),
    to(2, Unsubscribe("a/+")),
    Pass(25),
];

/// A world in which nothing is left to chance but trifles.
fn plan(version: Version, sync: SyncMode) -> Plan {
    let level = if version == Version::V5 { Level::V5 } else { Level::V4 };
    let mut plan = Plan::draw(&mut Rng::new(1), Weather::Crashes);
    // Longer than the day: nobody does anything by himself.
    plan.pace = u64::MAX / 4;
    plan.duration = 0;
    plan.sensors = 4;
    plan.version = version;
    plan.topic_prefix = "site/";
    plan.comings_and_goings = false;
    plan.radio = RadioPlan { loss: 0, duplication: 0, mangling: 0, delay: (1, 10) };
    plan.broker = BrokerPlan {
        level,
        hangs_up: false,
        copies: false,
        window: 5,
        receive_maximum: None,
        latency: (1, 5),
        trouble_every: 0,
        quota: 0,
    };
    plan.people.sleepers = 0;
    // The journal is replaced several times in the day.
    let (time, usual) = (Duration::from_millis(20), CommitSettings::default());
    let commits = CommitSettings { sync, time, small: 1_500, part: 400, ..usual };
    plan.disk = DiskPlan { commits, ..DiskPlan::steady(true) };
    plan
}

/// The days that are tried: their name in messages, and what they are made of.
fn days() -> [(&'static str, Plan); 2] {
    [
        ("MQTT 5, batch", plan(Version::V5, SyncMode::Batch)),
        ("MQTT 3.1.1, always", plan(Version::V311, SyncMode::Always)),
    ]
}

/// All the ways in which it can end at one operation.
const WAYS: [(Moment, Crash); 8] = [
    (Moment::Before, Crash::Kill),
    (Moment::Within, Crash::Kill),
    (Moment::After, Crash::Kill),
    (Moment::Before, Crash::PowerCut(Fate::Lost)),
    (Moment::Within, Crash::PowerCut(Fate::Lost)),
    (Moment::Within, Crash::PowerCut(Fate::Torn)),
    (Moment::After, Crash::PowerCut(Fate::Lost)),
    (Moment::After, Crash::PowerCut(Fate::Torn)),
];

/// What the day was like: operations on the disk before the end of it.
fn live(plan: &Plan, ends: &[End], tamper: Box<dyn Tamper>) -> Result<u64, String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::of(plan.clone(), Rng::new(2), Rng::new(3), tamper);
        world.machine.plan_ends(ends);
        for (sensor, (clean, will)) in
            [(true, true), (false, false), (false, true), (true, false)].into_iter().enumerate()
        {
            let habits = &mut world.sensors[sensor].habits;
            (habits.clean, habits.will, habits.sleeps) = (clean, will, sensor > 1);
            (habits.pipeline, habits.rude) = (1, false);
        }
        let verdict = run(&mut world);
        match verdict {
            Ok(operations) => Ok(operations),
            Err(error) => Err(format!("{}{error} [at {}]", world.tail(), world.now())),
        }
    }));
    lived.unwrap_or_else(|_| Err("panicked".into()))
}

fn run(world: &mut World) -> Result<u64, String> {
    for entry in DAY {
        world.run_for(100)?;
        world.enter(*entry)?;
    }
    let operations = world.machine.disk.operations();
    world.live()?;
    Ok(operations)
}

impl World {
    fn enter(&mut self, entry: Entry) -> Verdict {
        match entry {
            Entry::Pass(seconds) => self.run_for(seconds * 1_000),
            Entry::Order(sensor, order) => self.with_sensor(sensor, |one, io| one.order(io, order)),
            Entry::Do(sensor, doing) => self.do_it(sensor, doing),
            Entry::Outside(name, qos, retain) => self.outside(Topic::new(name), qos, retain),
            Entry::Away(seconds) => {
                self.stall(Time(self.clock.now().0 + seconds * 1_000));
                self.cut(false)
            }
            Entry::Forget => self.cut(true),
        }
    }
}

/// End number `number` of a day with operations `first..=last`: at each in every way, and once more
/// while the gateway comes back.
fn ends(number: usize, first: u64) -> Vec<End> {
    let (operation, way) = (number / (WAYS.len() + 1), number % (WAYS.len() + 1));
    let after = first + operation as u64;
    if let Some((moment, crash)) = WAYS.get(way) {
        return vec![End { after, moment: *moment, crash: *crash }];
    }
    let (moment, crash) = WAYS[operation % WAYS.len()];
    let (again, once_more) = WAYS[operation / 3 % WAYS.len()];
    let later = End { after: 1 + operation as u64 % 12, moment: again, crash: once_more };
    vec![End { after, moment, crash }, later]
}

/// Operations with which the first life begins, before anybody speaks to it.
const BIRTH: u64 = 8;

fn every_end(day: usize, tamper: fn() -> Box<dyn Tamper>) -> Result<(u64, usize), Vec<String>> {
    let (name, plan) = &days()[day];
    let operations = live(plan, &[], tamper()).map_err(|error| vec![error])?;
    let count = (operations - BIRTH) as usize * (WAYS.len() + 1);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let ends = ends(number, BIRTH + 1);
                    if let Err(error) = live(plan, &ends, tamper()) {
                        let again = format!(
                            "SIM_DAY={day} SIM_END={number} cargo test --test sim -- one_day --nocapture"
                        );
                        let failure = format!("{error}\n→ {name}, {ends:?}: {again}");
                        failures.lock().expect("no thread panics").push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    if failures.is_empty() { Ok((operations, count)) } else { Err(failures) }
}

fn survives_every_end(day: usize) {
    let name = days()[day].0;
    match every_end(day, || Box::new(Honest)) {
        Ok((operations, count)) => {
            println!("{name}: {operations} operations on the disk, {count} ends survived");
            assert!(operations > 150, "a day with only {operations} operations proves little");
        }
        Err(failures) => {
            failures.iter().take(20).for_each(|failure| println!("{failure}"));
            panic!("{}: {} ends are not survived", name, failures.len());
        }
    }
}

#[test]
fn day_with_batches_ended_at_every_operation() {
    survives_every_end(0);
}

#[test]
fn day_with_syncs_always_ended_at_every_operation() {
    survives_every_end(1);
}

/// The end that `SIM_END` names, of `SIM_DAY`; nothing without it.
#[test]
fn one_day() {
    let Some(number) = variable("SIM_END") else { return };
    let day = variable("SIM_DAY").unwrap_or(0) as usize;
    let verdict = live(&days()[day].1, &ends(number as usize, BIRTH + 1), Box::new(Honest));
    if let Err(error) = verdict {
        panic!("{error}");
    }
}

/// Takes a commit for written before it is.
struct Hasty;

impl Tamper for Hasty {
    fn promises_early(&self) -> bool {
        true
    }
}

#[test]
fn a_day_of_early_promises_is_found_out() {
    assert!(every_end(0, || Box::new(Hasty)).is_err());
}
