//! Many devices: how fast they connect, what they take, and that they cost nothing while silent.

use std::time::{Duration, Instant};

use super::{Sample, Scale};
use crate::Failure;
use crate::exchange::{self, ready_devices};
use crate::meter::Mark;
use crate::rig::{Rig, send};
use crate::sn;

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
    rig.rest(SETTLE)?;
    let idle = rig.target.resident()?;
    rig.open_devices(scale.many)?;
    exchange::connect(rig, WINDOW)?;
    exchange::register(rig, WINDOW)?;
    rig.rest(SETTLE)?;
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
    rig.rest(SETTLE)?;
    let (begin, woken) = (Mark::now(rig, 0)?, rig.target.wake_ups()?);
    rig.rest(scale.idle)?;
    let interval = begin.until(Mark::now(rig, rig.target.wake_ups()? - woken)?);
    let cpu = interval.cpu.as_secs_f64() * 1e6 / interval.wall.as_secs_f64();
    Ok(Sample { values: vec![("cpu", cpu), ("wakes", interval.rate())], remarks: Vec::new() })
}

/// Keep-alive of devices that are to be lost soon, seconds; the gateway waits half as long again.
const SHORT: u16 = 4;
/// The gateway's retry interval: no answer may take so long.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Everybody connects at the same moment, says nothing more and is lost; twice.
pub fn storm(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    rig.rest(SETTLE)?;
    let idle = rig.target.resident()?;
    let mut values = vec![("idle", idle as f64 / 1024.0)];
    let (mut slowest, mut late, mut repeated) = (Duration::ZERO, 0u64, 0);
    for (full, left) in [("full", "left"), ("again", "left-again")] {
        rig.open_devices(scale.many)?;
        let mut asked: Vec<Option<Instant>> = vec![None; scale.many];
        let answered = exchange::exchange_at(
            rig,
            scale.many,
            "CONNECT",
            |rig, index, out| sn::connect_with(out, &rig.client_id(index), true, SHORT),
            |_, kind, body| kind == sn::CONNACK && body == [0],
            |index, event| match event {
                exchange::Event::Asked => {
                    asked[index].get_or_insert_with(Instant::now);
                }
                exchange::Event::Answered => {
                    let took = asked[index].map_or(Duration::ZERO, |at| at.elapsed());
                    slowest = slowest.max(took);
                    late += u64::from(took > RETRY_INTERVAL);
                }
            },
        )?;
        repeated += answered.repeated;
        values.push((full, rig.target.resident()? as f64 / 1024.0));
        rig.rest(Duration::from_millis(u64::from(SHORT) * 1_500 + 1_000))?;
        values.push((left, rig.target.resident()? as f64 / 1024.0));
        are_strangers(rig)?;
    }
    if late > 0 {
        return Err(format!("{late} CONNECTs were answered after {RETRY_INTERVAL:?}").into());
    }
    values.push(("slowest", slowest.as_secs_f64() * 1e3));
    values.push(("repeated", repeated as f64));
    Ok(Sample { values, remarks: Vec::new() })
}

/// The gateway knows none of a sample of the devices any more.
fn are_strangers(rig: &mut Rig) -> Result<(), Failure> {
    let last = rig.devices.len() - 1;
    for index in [0, last / 2, last] {
        let mut stranger = false;
        let deadline = Instant::now() + Duration::from_secs(5);
        while !stranger {
            if Instant::now() > deadline {
                return Err(format!("device {index} was not lost{}", rig.target.log()).into());
            }
            send(&rig.devices[index], &[2, sn::PINGREQ])?;
            rig.turn(Duration::from_millis(500), |_, _, datagram| {
                match sn::split(datagram) {
                    Some((sn::DISCONNECT, _)) => stranger = true,
                    Some((sn::PINGRESP, _)) => return Err("a lost device got PINGRESP".into()),
                    _ => {}
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}
