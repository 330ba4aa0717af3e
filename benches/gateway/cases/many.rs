//! Many devices: how fast they connect, what they take, and that they cost nothing while silent.

use std::time::{Duration, Instant};

use super::{Sample, Scale};
use crate::Failure;
use crate::exchange::{self, ready_devices};
use crate::meter::Mark;
use crate::rig::Rig;

const WINDOW: usize = 500;
const IDLE_DEVICES: usize = 100;
/// How long the process gets to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_millis(500);

pub fn connect(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    rig.open_devices(scale.many)?;
    let begin = Mark::now(rig, 0)?;
    let exchanged = exchange::connect(rig, WINDOW)?;
    let interval = begin.until(Mark::now(rig, scale.many as u64)?);
    Ok(Sample {
        values: vec![
            ("cpu", interval.cpu_each()),
            ("rate", scale.many as f64 / exchanged.wall.as_secs_f64()),
            ("busy", interval.busy()),
            ("repeated", exchanged.repeated as f64),
        ],
        remarks: Vec::new(),
    })
}

pub fn memory(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    rest(rig, SETTLE)?;
    let idle = rig.target.resident()?;
    rig.open_devices(scale.many)?;
    exchange::connect(rig, WINDOW)?;
    exchange::register(rig, WINDOW)?;
    rest(rig, SETTLE)?;
    let full = rig.target.resident()?;
    Ok(Sample {
        values: vec![
            ("idle", idle as f64 / 1024.0),
            ("full", full as f64 / 1024.0),
            ("each", (full as f64 - idle as f64) / scale.many as f64),
        ],
        remarks: Vec::new(),
    })
}

pub fn idle(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    ready_devices(rig, IDLE_DEVICES)?;
    rest(rig, SETTLE)?;
    let (begin, woken) = (Mark::now(rig, 0)?, rig.target.wake_ups()?);
    rest(rig, scale.idle)?;
    let interval = begin.until(Mark::now(rig, rig.target.wake_ups()? - woken)?);
    let cpu = interval.cpu.as_secs_f64() * 1e6 / interval.wall.as_secs_f64();
    Ok(Sample { values: vec![("cpu", cpu), ("wakes", interval.rate())], remarks: Vec::new() })
}

/// Serves the sink for a while, sends nothing.
fn rest(rig: &mut Rig, duration: Duration) -> Result<(), Failure> {
    let end = Instant::now() + duration;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            return Ok(());
        }
        rig.turn_quietly(left)?;
    }
}
