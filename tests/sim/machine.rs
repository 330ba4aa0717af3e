//! The machine that the gateway runs on: its disk, the commits that are written to it, and the ends
//! and beginnings of the gateway's lives.

use std::collections::VecDeque;

use mqtt_sn_gateway::core::upstream::MqttQos;
use mqtt_sn_gateway::engine::Engine;
use mqtt_sn_gateway::mqtt::{self, Spool, Will};
use mqtt_sn_gateway::store::commit::{Commit, Outcome};
use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::journal::{Journal, OpenError};
use mqtt_sn_gateway::time::Time;

use crate::disk::{Ailment, Crash, Disk, DiskPlan, Moment};
use crate::oracle::Verdict;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::told;
use crate::world::{Event, World, settings};

/// The journal's slack beyond its live data: octets, and times their size.
const SLACK: u64 = 1024 * 1024;
const TIMES: u64 = 4;

/// What is under way to the disk.
enum Writing {
    Nothing,
    /// It is about to be written.
    Waits(Commit),
    /// It has been; the gateway does not know yet.
    Done(Outcome),
}

/// The machine.
pub(crate) struct Machine {
    pub disk: Disk,
    journal: Option<Journal<Disk>>,
    writing: Writing,
    /// The gateway's process runs.
    pub alive: bool,
    /// Its life ends so when the disk says that it ends.
    pub doom: Crash,
    /// Lives that have ended.
    pub crashes: u32,
    /// How the next lives end.
    ends: VecDeque<End>,
    rng: Rng,
}

/// How a life of the gateway ends, when that is not left to chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// At so many operations of the disk after its beginning.
    pub after: u64,
    pub moment: Moment,
    pub crash: Crash,
}

/// A gateway, its journal if it has a disk, and what it found there.
type Booted = (Engine, Option<Journal<Disk>>, Option<Image>);

/// A gateway that begins with what is on the disk. `None` if the world ended meanwhile.
fn boot(plan: &Plan, disk: &Disk, rng: &mut Rng, now: Time) -> Result<Option<Booted>, OpenError> {
    let core = settings(plan);
    let will = Will {
        topic: told::STATUS.into(),
        payload: (*b"offline").into(),
        qos: MqttQos::One,
        retain: true,
    };
    let mqtt = mqtt::Settings {
        version: plan.version,
        will: plan.tells.then_some(will),
        ..mqtt::Settings::default()
    };
    let seed = rng.next();
    if !plan.disk.durable {
        return Ok(Some((Engine::new(core, mqtt, seed, now), None, None)));
    }
    let spool = Spool { qos0: plan.disk.keeps_qos0, ..Spool::default() };
    let mqtt = mqtt::Settings { spool: Some(spool), ..mqtt };
    let commits = plan.disk.commits;
    let opened = Journal::open_salted(disk.clone(), commits.sync, rng.next());
    if disk.is_dead() {
        return Ok(None);
    }
    let (journal, image, _) = opened?;
    let engine = Engine::durable(core, mqtt, commits, seed, now, image.clone());
    Ok(Some((engine, Some(journal), image)))
}

impl Machine {
    /// The machine of a new world, and the gateway in its first life.
    pub fn new(plan: &Plan, mut rng: Rng, now: Time) -> (Self, Engine) {
        let disk = Disk::new(rng.fork());
        let first = boot(plan, &disk, &mut rng, now).expect("there is nothing to read");
        let (engine, journal, _) = first.expect("nothing ends yet");
        let (writing, doom) = (Writing::Nothing, Crash::Kill);
        let (alive, crashes, ends) = (true, 0, VecDeque::new());
        (Self { disk, journal, writing, alive, doom, crashes, ends, rng }, engine)
    }

    /// The present life and those after it end so.
    pub fn plan_ends(&mut self, ends: &[End]) {
        self.ends = ends.iter().copied().collect();
        // The first life has begun with some operations.
        self.plan_end(0);
    }

    /// A life has begun before operation `first`.
    fn plan_end(&mut self, first: u64) {
        if let Some(end) = self.ends.pop_front() {
            self.doom = end.crash;
            self.disk.crash_at(first + end.after, end.moment);
        }
    }
}

impl World {
    /// Plans what happens to the machine.
    pub(crate) fn plan_machine(&mut self) {
        let (crashes, ailments) = (self.plan.disk.crash_every, self.plan.disk.ailment_every);
        if crashes > 0 {
            self.clock.after(self.machine.rng.between(1, 2 * crashes), Event::Crash);
        }
        if ailments > 0 {
            self.clock.after(self.machine.rng.between(1, 2 * ailments), Event::Ailment);
        }
    }

    /// Takes what the gateway wants to have written, if nothing is under way.
    pub(crate) fn take_commit(&mut self) {
        let now = self.clock.now();
        if !self.machine.alive || !matches!(self.machine.writing, Writing::Nothing) {
            return;
        }
        let Some(mut commit) = self.engine.commit(now) else { return };
        self.tamper.rewritten(&mut commit);
        self.trace.line(now, || {
            let part =
                commit.snapshot.as_ref().map(|part| (part.begin, part.records.len(), part.end));
            let (number, octets) = (commit.number, commit.records.len());
            format!("commit {number}: {octets} octets, snapshot {part:?}")
        });
        self.oracle.commit_tried(&commit);
        if self.tamper.promises_early() {
            let (number, size) = (commit.number, 0);
            let snapshot = commit.snapshot.as_ref().map(|_| Ok(()));
            self.engine.committed(now, Outcome { number, journal: Ok(()), snapshot, size });
        }
        let (low, high) = self.plan.disk.latency;
        let latency = self.machine.rng.between(low, high);
        let before = self.machine.rng.below(latency + 1);
        self.machine.writing = Writing::Waits(commit);
        let life = self.machine.crashes;
        self.clock.after(before, Event::Write { life, after: latency - before });
    }

    /// The disk gets it.
    pub(crate) fn write_commit(&mut self, life: u32, after: u64) -> Verdict {
        let now = self.clock.now();
        if life != self.machine.crashes {
            return Ok(());
        }
        let writing = std::mem::replace(&mut self.machine.writing, Writing::Nothing);
        let (Writing::Waits(commit), Some(journal)) = (writing, &mut self.machine.journal) else {
            return Ok(());
        };
        let outcome = if self.tamper.loses(&commit) {
            let snapshot = commit.snapshot.as_ref().map(|_| Ok(()));
            Outcome { number: commit.number, journal: Ok(()), snapshot, size: journal.size() }
        } else {
            journal.commit(&commit)
        };
        if self.machine.disk.is_dead() {
            return self.crash(self.machine.doom);
        }
        self.trace.line(now, || format!("written: {outcome:?}"));
        self.oracle.commit_written(now, &outcome)?;
        self.is_bounded(&outcome)?;
        self.machine.writing = Writing::Done(outcome);
        self.clock.after(after, Event::Written { life });
        Ok(())
    }

    /// The gateway hears of it.
    pub(crate) fn commit_written(&mut self, life: u32) -> Verdict {
        if life != self.machine.crashes {
            return Ok(());
        }
        let writing = std::mem::replace(&mut self.machine.writing, Writing::Nothing);
        if let Writing::Done(outcome) = writing {
            self.oracle.commit_heard();
            if !self.tamper.promises_early() {
                self.engine.committed(self.clock.now(), outcome);
            }
            return self.drain(None);
        }
        Ok(())
    }

    fn is_bounded(&self, outcome: &Outcome) -> Verdict {
        let slack = outcome.size.saturating_sub(SLACK);
        // A disk with trouble, or one that is slow, need not have room for a snapshot at once.
        let hindered = outcome.journal.is_err() || self.machine.disk.ailment() != Ailment::Nothing;
        if slack == 0 || hindered {
            return Ok(());
        }
        let live = self.oracle.live_octets();
        if slack <= TIMES * live {
            return Ok(());
        }
        Err(format!("the journal has {} octets for {live} that live", outcome.size))
    }

    /// A crash is due: at once, or in the middle of something that is written.
    pub(crate) fn crash_due(&mut self) -> Verdict {
        let every = self.plan.disk.crash_every;
        let rng = &mut self.machine.rng;
        self.clock.after(rng.between(1, 2 * every), Event::Crash);
        let crash = self.plan.disk.draw_crash(rng);
        if !self.machine.alive {
            return Ok(());
        }
        if rng.chance(300) {
            return self.crash(crash);
        }
        let moment = rng.pick(&[Moment::Before, Moment::Within, Moment::Within, Moment::After]);
        let ahead = rng.between(1, 4);
        self.machine.doom = crash;
        self.machine.disk.crash_at(self.machine.disk.operations() + ahead, moment);
        Ok(())
    }

    /// The gateway's life ends without a word.
    pub(crate) fn crash(&mut self, crash: Crash) -> Verdict {
        let now = self.clock.now();
        self.trace.line(now, || format!("the gateway ends: {crash:?}"));
        self.machine.alive = false;
        self.machine.crashes += 1;
        self.machine.journal = None;
        self.machine.writing = Writing::Nothing;
        self.machine.disk.crash(crash);
        let first = self.machine.disk.operations();
        self.machine.plan_end(first);
        self.engine.clear();
        // Some of what it has said is still on its way.
        let reached = self.tcp.to_broker.cut(&mut self.machine.rng);
        if std::mem::take(&mut self.tcp.open) {
            self.broker_reads(&reached)?;
            self.broker.lost();
        }
        self.tcp.to_broker.clear();
        self.tcp.to_gateway.clear();
        self.tcp.last_trouble = now;
        self.oracle.crashed(now);
        let (low, high) = self.plan.disk.pause;
        let pause = self.machine.rng.between(low, if self.lively { high } else { low });
        self.clock.after(pause, Event::Restart);
        Ok(())
    }

    /// The gateway begins again.
    pub(crate) fn restart(&mut self) -> Verdict {
        let now = self.clock.now();
        let booted = boot(&self.plan, &self.machine.disk, &mut self.machine.rng, now);
        // What was found is no excuse: after a mere crash there is always a state to go on from.
        let booted = booted.map_err(|error| format!("the journal cannot be opened: {error}"))?;
        let Some((engine, journal, image)) = booted else {
            return self.crash(self.machine.doom);
        };
        self.trace.line(now, || "the gateway begins again".into());
        self.oracle.restarted(now, image)?;
        self.engine = engine;
        if let Some(lines) = &mut self.lines {
            lines.forget_told();
        }
        self.machine.journal = journal;
        self.machine.alive = true;
        self.clock.after(self.machine.rng.below(1_000), Event::Open);
        self.drain(None)
    }

    /// The disk gets ill, or well again.
    pub(crate) fn ailment(&mut self) {
        let every = self.plan.disk.ailment_every;
        let rng = &mut self.machine.rng;
        self.clock.after(rng.between(1, 2 * every), Event::Ailment);
        let well = self.machine.disk.ailment() != Ailment::Nothing;
        let ailment = if well { Ailment::Nothing } else { DiskPlan::draw_ailment(rng) };
        self.trace.line(self.clock.now(), || format!("the disk: {ailment:?}"));
        self.machine.disk.ail(ailment);
    }

    /// No more crashes, and a disk that works.
    pub(crate) fn heal_machine(&mut self) {
        self.machine.disk.ail(Ailment::Nothing);
        self.machine.disk.spare();
        self.plan.disk.latency = (0, 5);
    }
}
