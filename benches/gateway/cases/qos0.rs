//! QoS 0, closed loop: what is outstanding is what was sent and has not reached the broker.

use std::time::{Duration, Instant};

use super::{Sample, Scale, payload};
use crate::Failure;
use crate::exchange::ready_devices;
use crate::meter::Stopwatch;
use crate::rig::{Rig, send};
use crate::sn::{self, Publish};

const DEVICES: usize = 100;
const OUTSTANDING: u64 = 200;
/// After so long without an arrival what is outstanding counts as lost, and others are sent.
const GIVE_UP: Duration = Duration::from_millis(500);

pub fn run(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    let topics = ready_devices(rig, DEVICES)?;
    let mut stopwatch = Stopwatch::start(scale.warm_up, scale.measured);
    let (mut sent, mut lost) = (0, 0);
    let mut datagram = Vec::new();
    let mut last_arrival = Instant::now();
    let interval = loop {
        while sent - lost < rig.sink.counts.arrived + OUTSTANDING {
            let device = sent as usize % DEVICES;
            let header =
                Publish { qos: 0, duplicate: false, topic_id: topics[device], message_id: 0 };
            sn::publish(&mut datagram, header, &payload(sent));
            send(&rig.devices[device], &datagram)?;
            sent += 1;
        }
        let before = rig.sink.counts.arrived;
        rig.turn_quietly(Duration::from_millis(50))?;
        let arrived = rig.sink.counts.arrived;
        if arrived > sent {
            return Err(format!("sent {sent} messages, but {arrived} arrived").into());
        }
        // Some that were given up may come after all.
        lost = lost.min(sent - arrived);
        if arrived > before {
            last_arrival = Instant::now();
        } else if last_arrival.elapsed() > GIVE_UP {
            lost = sent - arrived;
            last_arrival = Instant::now();
        }
        if let Some(interval) = stopwatch.tick(rig, arrived)? {
            break interval;
        }
    };
    rig.await_arrivals(sent, GIVE_UP)?;
    Ok(Sample {
        values: vec![
            ("cpu", interval.cpu_each()),
            ("rate", interval.rate()),
            ("busy", interval.busy()),
            ("load-busy", interval.load_busy()),
            ("lost", sent.saturating_sub(rig.sink.counts.arrived) as f64),
        ],
        remarks: Vec::new(),
    })
}
