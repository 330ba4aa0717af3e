//! The broker is there: what a state that survives costs those who publish.

use super::super::{Place, Sample, Scale, keyed};
use super::load::{Fleet, Load, Until};
use super::{NO_STATE, QOS1, QOS2};
use crate::Failure;
use crate::hosted::Disk;
use crate::target::Subject;

/// Messages per second for the latencies.
const RATE: f64 = 2_000.0;
const RATE_QOS2: f64 = 500.0;

pub fn qos1(place: Place<'_>, scale: &Scale) -> Result<Sample, Failure> {
    run(place, scale, 1, 100, RATE, QOS1)
}

pub fn qos2(place: Place<'_>, scale: &Scale) -> Result<Sample, Failure> {
    run(place, scale, 2, 50, RATE_QOS2, QOS2)
}

fn run(
    place: Place<'_>,
    scale: &Scale,
    qos: u8,
    count: usize,
    rate: f64,
    metrics: &[super::super::Metric],
) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    for mode in ["batch", "off", NO_STATE] {
        let mut rig = if mode == NO_STATE {
            place.rig(Subject::Hosted(Disk::None), "")?
        } else {
            place.rig(Subject::Gateway, &super::store(mode))?
        };
        let mut fleet = Fleet::ready(&mut rig, count)?;
        let until = Until::Measured(scale.warm_up, scale.measured);
        let load = Load { devices: 0..count, qos, rate: None, until };
        let fast = fleet.run(&mut rig, &load)?;
        let until = Until::Measured(scale.warm_up, scale.steady);
        let steady = fleet.run(&mut rig, &Load { rate: Some(rate), until, ..load })?;
        for (what, value) in [
            ("rate", fast.interval.rate()),
            ("cpu", fast.interval.cpu_each()),
            ("octets", fast.octets_each()),
            ("kernel", fast.kernel_each()),
            ("p50", steady.delay(0.5)),
            ("p99", steady.delay(0.99)),
        ] {
            sample.values.extend(keyed(metrics, mode, what).map(|key| (key, value)));
        }
        let acked = fast.acknowledged + steady.acknowledged;
        let repeated = if qos == 2 { 0 } else { fast.repeated + steady.repeated };
        sample.remarks.extend(super::verdict(&rig, mode, acked, repeated));
    }
    Ok(sample)
}
