//! Load at a given rate, which does not wait for the gateway.

use std::time::{Duration, Instant};

use super::{Sample, Scale, payload};
use crate::Failure;
use crate::exchange::ready_devices;
use crate::meter::Mark;
use crate::rig::{Rig, send, unexpected};
use crate::sn::{self, Publish};

const DEVICES: usize = 100;
/// Messages per second at QoS 1.
const STEADY_RATE: f64 = 2_000.0;
/// Messages per second at QoS 0.
const FLOOD_RATE: f64 = 100_000.0;
/// Most datagrams sent between two looks at the sink.
const BURST: u64 = 64;
/// How long stragglers may take.
const LINGER: Duration = Duration::from_secs(2);

/// QoS 0 at [`FLOOD_RATE`]: what does not arrive is lost.
pub fn flood(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let topics = ready_devices(rig, DEVICES)?;
    let total = (FLOOD_RATE * scale.steady.as_secs_f64()) as u64;
    let mut datagram = Vec::new();
    let mut sent = 0;
    let begin = Mark::now(rig, 0)?;
    let start = Instant::now();
    while sent < total {
        let due = ((start.elapsed().as_secs_f64() * FLOOD_RATE) as u64).min(total);
        for _ in 0..(due - sent).min(BURST) {
            let device = sent as usize % DEVICES;
            let header =
                Publish { qos: 0, duplicate: false, topic_id: topics[device], message_id: 0 };
            sn::publish(&mut datagram, header, &payload(sent));
            send(&rig.devices[device], &datagram)?;
            sent += 1;
        }
        let behind = due - sent > 0;
        rig.turn_quietly(if behind { Duration::ZERO } else { Duration::from_micros(50) })?;
    }
    let sending = start.elapsed();
    let end = Mark::now(rig, rig.sink.counts.arrived)?;
    rig.await_arrivals(sent, LINGER)?;
    let (interval, arrived) = (begin.until(end), rig.sink.counts.arrived);
    let mut remarks = Vec::new();
    if arrived > sent {
        remarks.push(format!("WRONG: {sent} messages sent, {arrived} arrived"));
    }
    let offered = sent as f64 / sending.as_secs_f64();
    if offered < FLOOD_RATE * 0.98 {
        remarks.push(format!("the load managed only {offered:.0} messages/s"));
    }
    Ok(Sample {
        values: vec![
            ("cpu", interval.cpu_each()),
            ("offered", offered),
            ("rate", interval.rate()),
            ("busy", interval.busy()),
            ("load-busy", interval.load_busy()),
            ("lost", sent.saturating_sub(arrived) as f64),
        ],
        remarks,
    })
}

/// A device's open message.
#[derive(Clone, Copy)]
struct Open {
    message_id: u16,
    sent: Instant,
}

/// QoS 1 at [`STEADY_RATE`]: how long each PUBACK takes.
pub fn latency(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let topics = ready_devices(rig, DEVICES)?;
    let warm = (STEADY_RATE * scale.warm_up.as_secs_f64()) as u64;
    let total = warm + (STEADY_RATE * scale.steady.as_secs_f64()) as u64;
    let mut open: Vec<Option<Open>> = vec![None; DEVICES];
    let mut delays: Vec<Duration> = Vec::with_capacity(total as usize);
    let (mut turn, mut overrun, mut acked) = (0u64, 0u64, 0u64);
    let mut datagram = Vec::new();
    let mut begin = None;
    let start = Instant::now();
    let deadline = Duration::from_secs_f64(total as f64 / STEADY_RATE) + LINGER;
    while turn < total || (open.iter().any(Option::is_some) && start.elapsed() < deadline) {
        let due = Duration::from_secs_f64(turn as f64 / STEADY_RATE);
        let wait = due.saturating_sub(start.elapsed());
        if turn < total && wait.is_zero() {
            if turn >= warm && begin.is_none() {
                begin = Some(Mark::now(rig, acked)?);
                delays.clear();
            }
            let device = turn as usize % DEVICES;
            let message_id = 1 + (turn / DEVICES as u64 % 0xFFFF) as u16;
            if open[device].is_some() {
                overrun += 1;
            } else {
                let header =
                    Publish { qos: 1, duplicate: false, topic_id: topics[device], message_id };
                sn::publish(&mut datagram, header, &payload(turn));
                open[device] = Some(Open { message_id, sent: Instant::now() });
                send(&rig.devices[device], &datagram)?;
            }
            turn += 1;
            continue;
        }
        let wait = if turn < total { wait } else { Duration::from_millis(50) };
        rig.turn(wait, |index, _, datagram| match (sn::split(datagram), open.get_mut(index)) {
            (Some((sn::PUBACK, body @ [.., 0])), Some(slot)) => {
                if let Some(message) = slot
                    && sn::field(body, 2) == Some(message.message_id)
                {
                    delays.push(message.sent.elapsed());
                    acked += 1;
                    *slot = None;
                }
                Ok(())
            }
            _ => unexpected(datagram),
        })?;
    }
    let begin = begin.ok_or("the steady load was too short")?;
    let interval = begin.until(Mark::now(rig, acked)?);
    let unanswered = open.iter().flatten().count();
    let mut remarks = Vec::new();
    if unanswered > 0 {
        remarks.push(format!("WRONG: {unanswered} messages were never acknowledged"));
    }
    delays.sort_unstable();
    let micros = |share: f64| {
        let index = (share * delays.len() as f64) as usize;
        let delay = delays.get(index.min(delays.len().saturating_sub(1)));
        delay.map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e6)
    };
    Ok(Sample {
        values: vec![
            ("p50", micros(0.5)),
            ("p99", micros(0.99)),
            ("max", micros(1.0)),
            ("cpu", interval.cpu_each()),
            ("overrun", overrun as f64),
        ],
        remarks,
    })
}
