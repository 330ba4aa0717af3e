//! Very many clients of the real program: what they take, and that they cost nothing.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

use super::{Sample, Scale};
use crate::Failure;
use crate::exchange::exchange;
use crate::meter::Mark;
use crate::rig::Rig;
use crate::sleeper;
use crate::sn;

/// More sockets than this are not open at once: a sleeper needs none.
const BATCH: usize = 500;
/// How long the process gets to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_secs(1);
/// How many are woken to see what it costs.
const WOKEN: usize = 1_000;

/// Limits that the defaults set lower than these cases want.
pub const SETTINGS: &str = "[sessions]\nmax_clients = 200000\n";

/// 100,000 sleepers, half of them with a clean session.
pub fn asleep(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let mut sample = present(rig, scale, 0..sleeper::STEPS)?;
    // They wake from somewhere else: their sockets are gone, as an address is that a NAT forgot.
    let woken = WOKEN.min(scale.sleepers);
    rig.open_devices(woken)?;
    let number = |index: usize| index * (scale.sleepers / woken);
    let begin = Mark::now(rig, 0)?;
    exchange(
        rig,
        50,
        "PINGREQ",
        |_, index, out| sn::wake(out, &sleeper::id(number(index))),
        |_, kind, _| kind == sn::PINGRESP,
    )?;
    let interval = begin.until(Mark::now(rig, woken as u64)?);
    sample.values.push(("wake", interval.cpu_each()));
    Ok(sample)
}

/// 100,000 connected clients that say nothing.
pub fn active(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    present(rig, scale, 0..sleeper::STEPS - 1)
}

/// Has everybody come, and looks at the process before, after, and while nothing happens.
fn present(rig: &mut Rig, scale: &Scale, steps: Range<usize>) -> Result<Sample, Failure> {
    rig.rest(SETTLE)?;
    let empty = rig.target.resident()?;
    come(rig, scale.sleepers, steps, |number| number % 2 == 0)?;
    rig.rest(SETTLE)?;
    let full = rig.target.resident()?;
    let (begin, woken) = (Mark::now(rig, 0)?, rig.target.wake_ups()?);
    rig.rest(scale.long_idle)?;
    let interval = begin.until(Mark::now(rig, rig.target.wake_ups()? - woken)?);
    let later = rig.target.resident()?;
    let each = |kib: u64| kib.saturating_sub(empty) as f64 * 1024.0 / scale.sleepers as f64;
    let cpu = interval.cpu.as_secs_f64() * 1e6 / interval.wall.as_secs_f64();
    Ok(Sample {
        values: vec![
            ("empty", empty as f64 / 1024.0),
            ("full", full as f64 / 1024.0),
            ("each", each(full)),
            ("later", each(later)),
            ("cpu", cpu),
            ("wakes", interval.rate()),
        ],
        remarks: Vec::new(),
    })
}

/// Sleepers come, take these steps and are not listened to any more. `clean`: who has a clean
/// session.
pub(super) fn come(
    rig: &mut Rig,
    total: usize,
    steps: Range<usize>,
    clean: fn(usize) -> bool,
) -> Result<(), Failure> {
    let mut first = 0;
    while first < total {
        let count = BATCH.min(total - first);
        // Another address for every 20 batches, so that no port comes twice.
        let host = u8::try_from(2 + first / BATCH / 20)?;
        rig.open_devices_at(Ipv4Addr::new(127, 0, 0, host), count)?;
        for step in steps.clone() {
            let expected = sleeper::step(&mut Vec::new(), first, step, true);
            exchange(
                rig,
                BATCH,
                "a sleeper's request",
                |_, index, out| {
                    let number = first + index;
                    sleeper::step(out, number, step, clean(number));
                },
                |_, kind, _| kind == expected,
            )?;
        }
        first += count;
    }
    rig.open_devices(0)
}
