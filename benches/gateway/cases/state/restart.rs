//! Killed and started again: how long until it answers, with everything that it knew.

use std::time::{Duration, Instant};

use super::super::{Sample, Scale, sleepers};
use super::load::{Fleet, Load, Until};
use crate::Failure;
use crate::exchange::exchange;
use crate::rig::{Rig, send};
use crate::sleeper;
use crate::sn;

/// By then everything that nobody waits for is written.
const SETTLE: Duration = Duration::from_millis(2_500);
/// How long it may take in the worst case.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the broker may take for what was spooled.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many sessions are looked at afterwards.
const LOOKED_AT: usize = 1_000;
const DEVICES: usize = 100;

pub fn sessions(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    sleepers::come(rig, scale.sleepers, 0..sleeper::STEPS, |_| false)?;
    rig.rest(SETTLE)?;
    let some = LOOKED_AT.min(scale.sleepers);
    rig.open_devices(some)?;
    let mut request = Vec::new();
    sn::wake(&mut request, &sleeper::id(0));
    let sample = restart(rig, &request)?;
    // All of them are known, wherever they call from.
    exchange(
        rig,
        50,
        "PINGREQ",
        |_, index, out| sn::wake(out, &sleeper::id(index * (scale.sleepers / some))),
        |_, kind, _| kind == sn::PINGRESP,
    )?;
    Ok(sample)
}

pub fn spool(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let mut fleet = Fleet::ready(rig, DEVICES)?;
    rig.broker_leaves()?;
    let until = Until::Acknowledged(scale.sleepers as u64);
    let load = Load { devices: 0..DEVICES, qos: 1, rate: None, until };
    let filled = fleet.run(rig, &load)?;
    let mut sample = restart(rig, &[2, sn::PINGREQ])?;
    // Nothing that was acknowledged is lost, and the broker finds the gateway within a second.
    let start = rig.broker_returns()?;
    rig.await_arrivals(filled.acknowledged, PATIENCE)?;
    sample.values.push(("all", start.elapsed().as_secs_f64() * 1e3));
    let (acked, repeated) = (filled.acknowledged, filled.repeated);
    sample.remarks = super::verdict(rig, "spool", acked, repeated);
    Ok(sample)
}

/// Kills it and starts it again; asks with the first device's socket until that is answered with
/// PINGRESP.
fn restart(rig: &mut Rig, request: &[u8]) -> Result<Sample, Failure> {
    let (journal, _) = rig.target.journal();
    let before = rig.target.resident()?;
    let start = Instant::now();
    rig.restart()?;
    let mut answered = false;
    while !answered {
        if start.elapsed() > LIMIT {
            return Err(format!("no answer after {LIMIT:?}{}", rig.target.log()).into());
        }
        send(&rig.devices[0], request)?;
        rig.turn(Duration::from_millis(5), |_, _, datagram| match sn::split(datagram) {
            Some((sn::PINGRESP, _)) => {
                answered = true;
                Ok(())
            }
            _ => Err(format!("a known device got {datagram:02x?}").into()),
        })?;
    }
    let ready = start.elapsed();
    let cpu = rig.target.cpu()?;
    rig.rest(SETTLE)?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(Sample {
        values: vec![
            ("journal", journal as f64 / 1024.0 / 1024.0),
            ("before", mib(before)),
            ("ready", ready.as_secs_f64() * 1e3),
            ("cpu", cpu.as_secs_f64() * 1e3),
            ("after", mib(rig.target.resident()?)),
            ("most", mib(rig.target.most_resident()?)),
        ],
        remarks: Vec::new(),
    })
}
