//! From when to when a case counts, and what the measured process used meanwhile.

use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::Failure;
use crate::rig::Rig;

/// Readings at one moment.
#[derive(Clone, Copy)]
pub struct Mark {
    at: Instant,
    cpu: Duration,
    own_cpu: Duration,
    count: u64,
}

impl Mark {
    /// `count` is the case's own count of messages, or whatever it counts.
    pub fn now(rig: &Rig, count: u64) -> Result<Self, Failure> {
        Ok(Self {
            cpu: rig.target.cpu()?,
            own_cpu: ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into(),
            at: Instant::now(),
            count,
        })
    }

    /// What lies between two marks.
    pub fn until(self, end: Self) -> Interval {
        Interval {
            wall: end.at - self.at,
            cpu: end.cpu.saturating_sub(self.cpu),
            own_cpu: end.own_cpu.saturating_sub(self.own_cpu),
            count: end.count - self.count,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Interval {
    pub wall: Duration,
    /// CPU time of the measured process, user and system.
    pub cpu: Duration,
    /// CPU time of load and sink.
    pub own_cpu: Duration,
    pub count: u64,
}

impl Interval {
    /// Microseconds of CPU per unit counted.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    /// Units counted per second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    /// CPU of the measured process as a percentage of one core.
    pub fn busy(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    /// CPU of load and sink as a percentage of one core: near 100 they are the limit.
    pub fn load_busy(&self) -> f64 {
        100.0 * self.own_cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// Takes a case through its warm-up and its measured interval.
pub struct Stopwatch {
    warm: Instant,
    measured: Duration,
    begin: Option<Mark>,
}

impl Stopwatch {
    pub fn start(warm_up: Duration, measured: Duration) -> Self {
        Self { warm: Instant::now() + warm_up, measured, begin: None }
    }

    /// To be called at every turn with the count so far; the interval, once it is over.
    pub fn tick(&mut self, rig: &Rig, count: u64) -> Result<Option<Interval>, Failure> {
        match self.begin {
            None if Instant::now() >= self.warm => self.begin = Some(Mark::now(rig, count)?),
            Some(begin) if begin.at.elapsed() >= self.measured => {
                return Ok(Some(begin.until(Mark::now(rig, count)?)));
            }
            _ => {}
        }
        Ok(None)
    }
}
