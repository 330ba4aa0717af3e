//! Nothing changes, so nothing is written: the disk may sleep.

use std::time::{Duration, Instant};

use super::super::{Sample, Scale};
use crate::Failure;
use crate::exchange::{self, exchange};
use crate::rig::{Rig, send, unexpected};
use crate::sleeper;
use crate::sn;

const ASLEEP: usize = 1_000;
const ACTIVE: usize = 1_000;
/// How often each of the active ones pings.
const PING: Duration = Duration::from_secs(10);
/// By then everything that nobody waits for is written.
const SETTLE: Duration = Duration::from_secs(3);

pub fn idle(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    rig.open_devices(ASLEEP)?;
    for step in 0..sleeper::STEPS {
        let expected = sleeper::step(&mut Vec::new(), 0, step, false);
        exchange(
            rig,
            100,
            "a sleeper's request",
            |_, index, out| {
                sleeper::step(out, index, step, index % 2 == 0);
            },
            |_, kind, _| kind == expected,
        )?;
    }
    rig.open_devices(ACTIVE)?;
    exchange::connect(rig, 100)?;
    exchange::register(rig, 100)?;
    rig.rest(SETTLE)?;
    let commits = rig.target.commits()?;
    let (before, kernel) = (rig.target.written()?, rig.target.kernel_written()?);
    let start = Instant::now();
    let (mut asked, mut answered) = (0u64, 0u64);
    while start.elapsed() < scale.long_idle {
        let due = start.elapsed().as_secs_f64() * ACTIVE as f64 / PING.as_secs_f64();
        while asked < due as u64 {
            send(&rig.devices[asked as usize % ACTIVE], &[2, sn::PINGREQ])?;
            asked += 1;
        }
        rig.turn(Duration::from_millis(5), |_, _, datagram| {
            match sn::split(datagram) {
                Some((sn::PINGRESP, _)) => answered += 1,
                _ => return unexpected(datagram),
            }
            Ok(())
        })?;
    }
    let written = rig.target.written()?.since(before);
    let kernel = rig.target.kernel_written()? - kernel;
    let commits = rig.target.commits()? - commits;
    let mut remarks = Vec::new();
    if answered + 10 < asked {
        remarks.push(format!("WRONG: {asked} pings, {answered} answers"));
    }
    Ok(Sample {
        values: vec![
            ("pings", answered as f64),
            ("commits", commits as f64),
            ("octets", written.octets as f64),
            ("kernel", kernel as f64),
        ],
        remarks,
    })
}
