//! QoS 1 and 2, closed loop: every device has one message open and sends the next as soon as that
//! is acknowledged.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{Sample, Scale, payload};
use crate::Failure;
use crate::exchange::ready_devices;
use crate::meter::Stopwatch;
use crate::rig::{REPEAT, Rig, STALL_LIMIT, send, unexpected};
use crate::sn::{self, Publish};

pub fn qos1(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    run(rig, scale, 1, 100)
}

pub fn qos2(rig: &mut Rig, scale: &Scale) -> Result<Sample, Failure> {
    run(rig, scale, 2, 50)
}

/// A device with its open message.
struct Device {
    topic_id: u16,
    message_id: u16,
    sequence: u64,
    /// PUBREC has come, PUBREL is out.
    released: bool,
    sent: Instant,
}

impl Device {
    fn send(&self, socket: &UdpSocket, qos: u8, duplicate: bool) -> Result<(), Failure> {
        if self.released {
            return send(socket, &sn::handshake(sn::PUBREL, self.message_id));
        }
        let (topic_id, message_id) = (self.topic_id, self.message_id);
        let header = Publish { qos, duplicate, topic_id, message_id };
        let mut datagram = Vec::with_capacity(128);
        sn::publish(&mut datagram, header, &payload(self.sequence));
        send(socket, &datagram)
    }

    /// What a datagram means to the open message.
    fn step(&self, qos: u8, datagram: &[u8]) -> Step {
        let Some((kind, body)) = sn::split(datagram) else { return Step::None };
        match (qos, kind, body) {
            (1, sn::PUBACK, [_, _, _, _, 0]) if sn::field(body, 2) == Some(self.message_id) => {
                Step::Finished
            }
            (2, sn::PUBREC, _) if sn::field(body, 0) == Some(self.message_id) => Step::Release,
            (2, sn::PUBCOMP, _) if sn::field(body, 0) == Some(self.message_id) && self.released => {
                Step::Finished
            }
            _ => Step::None,
        }
    }
}

enum Step {
    None,
    Release,
    Finished,
}

fn run(rig: &mut Rig, scale: &Scale, qos: u8, count: usize) -> Result<Sample, Failure> {
    let topics = ready_devices(rig, count)?;
    let mut stopwatch = Stopwatch::start(scale.warm_up, scale.measured);
    let mut begun = 0u64;
    let mut devices = Vec::with_capacity(count);
    for (topic_id, socket) in topics.into_iter().zip(&rig.devices) {
        let sent = Instant::now();
        let device = Device { topic_id, message_id: 1, sequence: begun, released: false, sent };
        device.send(socket, qos, false)?;
        devices.push(device);
        begun += 1;
    }
    let (mut acked, mut repeated) = (0u64, 0u64);
    let (mut progress, mut looked) = (Instant::now(), Instant::now());
    let interval = loop {
        let (now, before) = (Instant::now(), acked);
        rig.turn(Duration::from_millis(50), |index, socket, datagram| {
            let Some(device) = devices.get_mut(index) else { return Ok(()) };
            match device.step(qos, datagram) {
                Step::None => return unexpected(datagram),
                Step::Release => device.released = true,
                Step::Finished => {
                    acked += 1;
                    device.message_id = device.message_id.checked_add(1).unwrap_or(1);
                    device.sequence = begun;
                    device.released = false;
                    begun += 1;
                }
            }
            device.sent = now;
            device.send(socket, qos, false)
        })?;
        if acked > before {
            progress = now;
        } else if progress.elapsed() > STALL_LIMIT {
            let log = rig.target.log();
            return Err(format!("no message was acknowledged for {STALL_LIMIT:?}{log}").into());
        }
        if looked.elapsed() > REPEAT / 4 {
            looked = now;
            repeated += repeat(&mut devices, &rig.devices, qos)?;
        }
        if let Some(interval) = stopwatch.tick(rig, acked)? {
            break interval;
        }
    };
    Ok(Sample {
        values: vec![
            ("cpu", interval.cpu_each()),
            ("rate", interval.rate()),
            ("busy", interval.busy()),
            ("load-busy", interval.load_busy()),
            ("repeated", repeated as f64),
        ],
        remarks: verdict(rig, qos, begun, acked, repeated),
    })
}

/// Repeats what has waited too long; returns how many there were.
fn repeat(devices: &mut [Device], sockets: &[UdpSocket], qos: u8) -> Result<u64, Failure> {
    let mut repeated = 0;
    for (device, socket) in devices.iter_mut().zip(sockets) {
        if device.sent.elapsed() > REPEAT {
            device.sent = Instant::now();
            device.send(socket, qos, true)?;
            repeated += 1;
        }
    }
    Ok(repeated)
}

/// Speed is worth nothing if what was acknowledged did not arrive, or arrived twice.
fn verdict(rig: &Rig, qos: u8, begun: u64, acked: u64, repeated: u64) -> Vec<String> {
    let arrived = rig.sink.counts.arrived;
    let allowed = if qos == 2 { begun } else { begun + repeated };
    let mut remarks = Vec::new();
    if arrived < acked {
        remarks.push(format!("WRONG: {acked} messages acknowledged, only {arrived} arrived"));
    }
    if rig.sink.counts.duplicates > 0 {
        remarks
            .push(format!("{} messages reached the broker with DUP", rig.sink.counts.duplicates));
    }
    if arrived > allowed {
        remarks.push(format!("WRONG: {allowed} messages sent, {arrived} arrived"));
    }
    remarks
}
