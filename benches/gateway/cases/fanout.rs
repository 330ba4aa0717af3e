//! From the broker to many subscribers of one topic, QoS 0, closed loop.

use std::time::{Duration, Instant};

use super::{Sample, Scale, payload};
use crate::Failure;
use crate::exchange::{connect, subscribe};
use crate::meter::Stopwatch;
use crate::rig::{Rig, unexpected};
use crate::sn;

const DEVICES: usize = 100;
const TOPIC: &str = "bench/fanout/value";
/// Messages under way at once; each becomes a delivery per device.
const OUTSTANDING: u64 = 4;
/// After so long without a delivery what is outstanding counts as lost, and more is published.
const GIVE_UP: Duration = Duration::from_millis(500);

pub fn run(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    rig.open_devices(DEVICES)?;
    connect(rig, DEVICES)?;
    subscribe(rig, DEVICES, 0, TOPIC)?;
    let mut stopwatch = Stopwatch::start(scale.warm_up, scale.measured);
    // Deliveries: due because published, come, and given up.
    let (mut due, mut come, mut lost) = (0u64, 0u64, 0u64);
    let mut last = Instant::now();
    let interval = loop {
        // The next is published when there is room for all of its deliveries.
        while due - lost <= come + (OUTSTANDING - 1) * DEVICES as u64 {
            rig.broker_publish(TOPIC, &payload(due), 0)?;
            due += DEVICES as u64;
        }
        let before = come;
        rig.turn(Duration::from_millis(50), |_, _, datagram| match sn::split(datagram) {
            Some((sn::PUBLISH, _)) => {
                come += 1;
                Ok(())
            }
            _ => unexpected(datagram),
        })?;
        if come > due {
            return Err(format!("{due} deliveries were due, but {come} came").into());
        }
        // Some that were given up may come after all.
        lost = lost.min(due - come);
        if come > before {
            last = Instant::now();
        } else if last.elapsed() > GIVE_UP {
            lost = due - come;
            last = Instant::now();
        }
        if let Some(interval) = stopwatch.tick(rig, come)? {
            break interval;
        }
    };
    while come < due && last.elapsed() < GIVE_UP {
        let before = come;
        rig.turn(GIVE_UP / 10, |_, _, datagram| {
            come += u64::from(matches!(sn::split(datagram), Some((sn::PUBLISH, _))));
            Ok(())
        })?;
        if come > before {
            last = Instant::now();
        }
    }
    let mut remarks = Vec::new();
    if come == 0 {
        remarks.push("WRONG: nothing was delivered".into());
    }
    Ok(Sample {
        values: vec![
            ("cpu", interval.cpu_each()),
            ("rate", interval.rate()),
            ("busy", interval.busy()),
            ("load-busy", interval.load_busy()),
            ("lost", due.saturating_sub(come) as f64),
        ],
        remarks,
    })
}
