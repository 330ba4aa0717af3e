//! The broker is away: publications are acknowledged from the spool, and follow when it is back.

use std::time::Duration;

use super::super::{Place, Sample, Scale, keyed};
use super::SPOOL;
use super::load::{Fleet, Load, Until};
use crate::Failure;
use crate::meter::Mark;
use crate::rig::Rig;
use crate::target::Subject;

const DEVICES: usize = 100;
/// Messages per second for the latencies.
const RATE: f64 = 200.0;
/// Devices that publish while the spool is emptied, and how many messages per second.
const LIVE: usize = 20;
const LIVE_RATE: f64 = 500.0;
/// The broker answers so often, so that emptying the spool takes a while.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the broker may take for what was spooled.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a message in the spool costs, and how long its acknowledgement takes.
pub fn fill(place: Place<'_>, scale: &Scale) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    for mode in ["batch", "always", "off"] {
        let mut rig = place.rig(Subject::Gateway, &super::store(mode))?;
        let mut fleet = Fleet::ready(&mut rig, DEVICES)?;
        rig.broker_leaves()?;
        let until = Until::Measured(scale.warm_up, scale.measured);
        let load = Load { devices: 0..DEVICES, qos: 1, rate: None, until };
        let fast = fleet.run(&mut rig, &load)?;
        let until = Until::Measured(scale.warm_up, scale.steady);
        let steady = fleet.run(&mut rig, &Load { rate: Some(RATE), until, ..load })?;
        for (what, value) in [
            ("rate", fast.interval.rate()),
            ("cpu", fast.interval.cpu_each()),
            ("octets", fast.octets_each()),
            ("kernel", fast.kernel_each()),
            ("writes", fast.writes()),
            ("p50", steady.delay(0.5)),
            ("p99", steady.delay(0.99)),
            ("max", steady.delay(1.0)),
            ("slow-kernel", steady.kernel_each()),
        ] {
            sample.values.extend(keyed(SPOOL, mode, what).map(|key| (key, value)));
        }
        let acked = fast.acknowledged + steady.acknowledged;
        rig.broker_returns()?;
        rig.await_arrivals(acked, PATIENCE)?;
        let repeated = fast.repeated + steady.repeated;
        sample.remarks.extend(super::verdict(&rig, mode, acked, repeated));
    }
    Ok(sample)
}

/// How fast the spool is emptied, and what others notice of it.
pub fn drain(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let total = scale.sleepers as u64;
    rig.sink.pause = Some(PAUSE);
    let mut fleet = Fleet::ready(rig, DEVICES + LIVE)?;
    let until = Until::Measured(scale.warm_up, scale.steady);
    let rate = Some(LIVE_RATE);
    let live = Load { devices: DEVICES..DEVICES + LIVE, qos: 1, rate, until };
    let before = fleet.run(rig, &live)?;
    rig.broker_leaves()?;
    let until = Until::Acknowledged(total);
    let load = Load { devices: 0..DEVICES, qos: 1, rate: None, until };
    let filled = fleet.run(rig, &load)?;
    let arrived = rig.sink.counts.arrived;
    let (mark, written) = (Mark::now(rig, 0)?, rig.target.written()?);
    let start = rig.broker_returns()?;
    // The connection is there for everybody when the first has come.
    rig.await_arrivals(arrived + 1, PATIENCE)?;
    let rest = filled.acknowledged - (rig.sink.counts.arrived - arrived);
    let during = fleet.run(rig, &Load { until: Until::Arrived(rest), ..live })?;
    let took = start.elapsed();
    let interval = mark.until(Mark::now(rig, filled.acknowledged + during.acknowledged)?);
    let written = rig.target.written()?.since(written);
    let acked = before.acknowledged + filled.acknowledged + during.acknowledged;
    rig.await_arrivals(acked, PATIENCE)?;
    let repeated = before.repeated + filled.repeated + during.repeated;
    Ok(Sample {
        values: vec![
            ("spooled", filled.acknowledged as f64),
            ("rate", filled.acknowledged as f64 / took.as_secs_f64()),
            ("cpu", interval.cpu_each()),
            ("octets", written.octets as f64 / filled.acknowledged as f64),
            ("before-p50", before.delay(0.5)),
            ("before-p99", before.delay(0.99)),
            ("p50", during.delay(0.5)),
            ("p99", during.delay(0.99)),
            ("max", during.delay(1.0)),
        ],
        remarks: super::verdict(rig, "drain", acked, repeated),
    })
}
