//! The spool on a disk that takes 10 ms for every sync, like an SD card.

use std::time::Duration;

use super::super::{Place, Sample, Scale, keyed};
use super::SLOW;
use super::load::{Fleet, Load, Until};
use crate::Failure;
use crate::hosted::Disk;
use crate::target::Subject;

const DEVICES: usize = 100;
const SYNC: Duration = Duration::from_millis(10);

pub fn run(place: Place<'_>, scale: &Scale) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    for mode in ["batch", "always", "off"] {
        let mut rig = place.rig(Subject::Hosted(Disk::Slow(SYNC)), &super::store(mode))?;
        let mut fleet = Fleet::ready(&mut rig, DEVICES)?;
        rig.broker_leaves()?;
        let mut set = |what, value| {
            sample.values.extend(keyed(SLOW, mode, what).map(|key| (key, value)));
        };
        for (rate, time, [p50, p99, writes]) in [
            (1.0, scale.steady * 3, ["1-p50", "1-p99", "1-writes"]),
            (100.0, scale.steady, ["100-p50", "100-p99", "100-writes"]),
            (1_000.0, scale.steady, ["1000-p50", "1000-p99", "1000-writes"]),
        ] {
            let until = Until::Measured(Duration::ZERO, time);
            let load = Load { devices: 0..DEVICES, qos: 1, rate: Some(rate), until };
            let loaded = fleet.run(&mut rig, &load)?;
            set(p50, loaded.delay(0.5));
            set(p99, loaded.delay(0.99));
            set(writes, loaded.writes());
        }
        let until = Until::Measured(scale.warm_up, scale.measured);
        let load = Load { devices: 0..DEVICES, qos: 1, rate: None, until };
        let loaded = fleet.run(&mut rig, &load)?;
        set("rate", loaded.interval.rate());
        set("p50", loaded.delay(0.5));
        set("p99", loaded.delay(0.99));
        set("writes", loaded.writes());
    }
    Ok(sample)
}
