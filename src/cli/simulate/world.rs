//! The one loop: all devices, their timers and the datagrams on their way.

mod deliver;
mod events;
mod phases;
mod publish;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{IsTerminal, Write};

use super::device::{Device, Stage, client_time, due};
use super::faults::{Delayed, Rng};
use super::ledger::Ledger;
use super::net::Net;
use super::plan::Plan;
use super::promises::Broken;
use super::stats::{Counts, Times};
use crate::cli::Failure;

/// Between two looks whether the run has come to its next phase, microseconds.
const LOOK: u64 = 10_000;

/// Between two progress lines, microseconds.
const PROGRESS: u64 = 500_000;

/// Between two looks for what can be forgotten, microseconds.
const SWEEP: u64 = 1_000_000;

/// Most messages in memory.
const MOST_REMEMBERED: u64 = 5_000_000;

/// Most datagrams that wait on their way.
const MOST_DELAYED: usize = 1_000_000;

/// Where the run stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Devices connect and subscribe.
    Ramp,
    /// Messages are published.
    Publishing {
        until: u64,
    },
    /// What is under way arrives.
    Draining,
    /// Goodbye.
    Leaving {
        until: u64,
    },
    /// The watcher waits for wills.
    Wills {
        until: u64,
    },
    /// The watcher leaves too.
    Closing {
        until: u64,
    },
    Done,
}

/// A run.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) counts: Counts,
    pub(super) times: Times,
    pub(super) broken: Broken,
    pub(super) ledger: Ledger,
    /// Ended by a signal.
    pub(super) interrupted: bool,
    /// How long messages were published, microseconds.
    pub(super) published_for: u64,
    /// Why devices did not get in: the first reason.
    pub(super) first_failure: Option<String>,
    devices: Vec<Device>,
    net: Net,
    phase: Phase,
    now: u64,
    /// When something last arrived or was acknowledged.
    progress_at: u64,
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    delayed: BinaryHeap<Delayed>,
    delayed_count: u64,
    rng: Rng,
    /// The gateway has sent something.
    answered: bool,
    /// The system said that nobody listens there.
    refused: bool,
    /// A device has given up waiting for the answer to CONNECT.
    unanswered: bool,
    settled: usize,
    wills_seen: Vec<bool>,
    next_look: u64,
    next_line: u64,
    next_sweep: u64,
    terminal: bool,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan) -> Result<Self, Failure> {
        let clients = plan.clients();
        let net = Net::open(plan)?;
        let mut devices: Vec<_> = (0..clients).map(|index| Device::new(plan, index)).collect();
        let mut time = 0;
        for device in devices.iter_mut().rev() {
            device.connect_at = Some(time);
            time += plan.connect_interval;
        }
        let mut world = Self {
            plan,
            counts: Counts::default(),
            times: Times::default(),
            broken: Broken::default(),
            ledger: Ledger::new(plan),
            interrupted: false,
            published_for: 0,
            first_failure: None,
            devices,
            now: net.now(),
            net,
            phase: Phase::Ramp,
            progress_at: 0,
            timers: BinaryHeap::new(),
            delayed: BinaryHeap::new(),
            delayed_count: 0,
            rng: Rng::new(plan.seed),
            answered: false,
            refused: false,
            unanswered: false,
            settled: 0,
            wills_seen: vec![false; plan.devices],
            next_look: 0,
            next_line: 0,
            next_sweep: 0,
            terminal: std::io::stderr().is_terminal(),
        };
        for index in 0..clients {
            world.arm(index);
        }
        Ok(world)
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The gateway cannot be reached.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        let mut ready = Vec::new();
        while self.phase != Phase::Done {
            self.now = self.net.now();
            self.fire_timers();
            self.release_delayed();
            self.check_reached()?;
            if self.now >= self.next_look {
                self.next_look = self.now + LOOK;
                self.advance();
                self.housekeeping();
            }
            let longest = self.next_due().saturating_sub(self.now);
            if self.net.wait(longest, &mut ready)? {
                if self.interrupted {
                    break;
                }
                self.interrupt();
            }
            for device in ready.drain(..) {
                self.receive(device)?;
            }
        }
        self.clear_line();
        self.counts.device_repeats =
            self.devices.iter().map(|device| device.client.repetitions()).sum();
        self.counts.noise = self.net.noise();
        self.judge_missing();
        Ok(())
    }

    fn next_due(&self) -> u64 {
        let timer = self.timers.peek().map(|Reverse((time, _))| *time);
        let delayed = self.delayed.peek().map(|delayed| delayed.due);
        [timer, delayed].into_iter().flatten().fold(self.next_look, u64::min)
    }

    fn fire_timers(&mut self) {
        while let Some(Reverse((time, index))) = self.timers.peek().copied() {
            if time > self.now {
                return;
            }
            self.timers.pop();
            if let Some(device) = self.devices.get_mut(index)
                && device.armed == time
            {
                device.armed = u64::MAX;
                self.fire(index);
            }
        }
    }

    fn fire(&mut self, index: usize) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return };
        let time = client_time(now);
        if device.stage != Stage::Vanished
            && device.client.next_timeout().is_some_and(|due| due <= time)
        {
            device.client.handle_timeout(time);
        }
        if due(&mut device.connect_at, now) {
            if device.stage == Stage::Waiting && !device.known && device.attempts == 0 {
                device.began = now;
            }
            device.stage = Stage::Connecting;
            device.kept = self.plan.persistent;
            device.client.connect(time);
        }
        if due(&mut device.sleep_at, now) {
            self.fall_asleep(index);
        }
        let Some(device) = self.devices.get_mut(index) else { return };
        if due(&mut device.wake_at, now) {
            self.wake(index);
        }
        let Some(device) = self.devices.get_mut(index) else { return };
        if due(&mut device.publish_at, now) {
            self.publish_due(index);
        }
        let Some(device) = self.devices.get_mut(index) else { return };
        if due(&mut device.leave_at, now) {
            self.leave(index);
        }
        self.pump(index, false);
    }

    /// Sets the timer of a device, unless an earlier one is set.
    fn arm(&mut self, index: usize) {
        let Some(device) = self.devices.get_mut(index) else { return };
        let next = match device.stage {
            Stage::Gone | Stage::Vanished | Stage::Failed => None,
            _ => device.next_due(),
        };
        if let Some(time) = next
            && time < device.armed
        {
            device.armed = time;
            self.timers.push(Reverse((time, index)));
        }
    }

    /// Takes what the client of a device has to say and to send. `copy` if it is because of a
    /// datagram that we have doubled.
    fn pump(&mut self, index: usize, copy: bool) {
        while let Some(device) = self.devices.get_mut(index) {
            if let Some(event) = device.client.poll_event() {
                self.on_event(index, event, copy);
            } else if let Some(datagram) = device.client.poll_transmit() {
                self.transmit(index, &datagram);
            } else {
                break;
            }
        }
        self.arm(index);
    }

    fn housekeeping(&mut self) {
        if self.now >= self.next_sweep {
            self.next_sweep = self.now + SWEEP;
            self.sweep();
            if self.ledger.remembered() > MOST_REMEMBERED
                && matches!(self.phase, Phase::Publishing { .. })
            {
                self.say(
                    "more messages are under way than can be remembered: publishing ends here",
                );
                self.stop_publishing();
            }
        }
        if self.terminal && self.now >= self.next_line {
            self.next_line = self.now + PROGRESS;
            let line = self.progress();
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    fn say(&self, words: &str) {
        self.clear_line();
        let _ = writeln!(std::io::stderr(), "{words}");
    }

    fn clear_line(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
