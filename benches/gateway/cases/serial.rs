//! Eight serial lines at once, which are pseudo-terminals here: publications go down as fast as the
//! lines carry them, and each line's devices publish and time the PUBACK.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use super::{Place, Sample, Scale, payload};
use crate::Failure;
use crate::rig::{Rig, unexpected};
use crate::sn;
use crate::target::Subject;

const LINES: usize = 8;
/// Devices behind each.
const NODES: u8 = 4;
/// Bits a second, and octets a second.
const BAUD: usize = 57_600;
const CARRIES: f64 = BAUD as f64 / 10.0;
/// Publications under way to each device.
const OUTSTANDING: u64 = 50;
/// A device of each line publishes so often.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

/// The far end of a line, with a forwarder.
struct Line {
    master: File,
    /// While the gateway has not opened it, somebody has to.
    _slave: OwnedFd,
    device: String,
    rest: Vec<u8>,
    /// Octets that came out of it.
    octets: u64,
    /// What is unanswered: type and message id, and since when.
    asked: HashMap<(u8, u16), Instant>,
    next: Instant,
    msg_id: u16,
    /// Id of the topic to publish to.
    topic: u16,
}

pub fn run(place: Place<'_>, scale: &Scale) -> Result<Sample, Failure> {
    let mut lines = (0..LINES).map(|_| Line::open()).collect::<Result<Vec<_>, Failure>>()?;
    let tables: String = lines
        .iter()
        .map(|line| {
            let device = &line.device;
            format!("[[serial]]\ndevice = \"{device}\"\nbaud = {BAUD}\nframing = \"length\"\n")
        })
        .collect();
    let mut rig = place.rig(Subject::Gateway, &tables)?;
    for (number, line) in lines.iter_mut().enumerate() {
        for node in 0..NODES {
            let mut packet = Vec::new();
            sn::connect(&mut packet, &format!("line-{number}-{node}"));
            line.exchange(&mut rig, node, &packet, sn::CONNACK)?;
            sn::subscribe(&mut packet, 1, 0, &format!("down/{number}"));
            line.exchange(&mut rig, node, &packet, sn::SUBACK)?;
        }
        let mut packet = Vec::new();
        sn::register(&mut packet, 2, "up");
        let answer = line.exchange(&mut rig, 0, &packet, sn::REGACK)?;
        line.topic = sn::field(&answer, 2).ok_or("REGACK without a topic id")?;
    }

    let silence = Instant::now();
    let before = rig.target.cpu()?;
    rig.rest(scale.idle)?;
    let idle = (rig.target.cpu()? - before).as_secs_f64() / silence.elapsed().as_secs_f64();

    let (mut due, mut come) = ([0_u64; LINES], [0_u64; LINES]);
    let mut waited = Vec::new();
    let mut measured: Option<(Instant, Duration, Vec<u64>)> = None;
    let start = Instant::now();
    let (elapsed, cpu, carried) = loop {
        for (number, line) in lines.iter_mut().enumerate() {
            // One publication is a delivery for every device.
            while due[number] < come[number] + OUTSTANDING * u64::from(NODES) {
                rig.broker_publish(&format!("down/{number}"), &payload(due[number]), 0)?;
                due[number] += u64::from(NODES);
            }
            line.publish(measured.is_some())?;
            come[number] += line.take(|came| waited.push(came))?;
        }
        rig.turn_quietly(Duration::from_millis(2))?;
        let octets = || lines.iter().map(|line| line.octets).collect::<Vec<u64>>();
        match &measured {
            None if start.elapsed() >= scale.warm_up.max(Duration::from_secs(1)) => {
                measured = Some((Instant::now(), rig.target.cpu()?, octets()));
                waited.clear();
            }
            Some((since, cpu, before)) if since.elapsed() >= scale.steady => {
                let carried: Vec<f64> = octets()
                    .iter()
                    .zip(before)
                    .map(|(now, then)| (now - then) as f64 / since.elapsed().as_secs_f64())
                    .collect();
                break (since.elapsed(), rig.target.cpu()? - *cpu, carried);
            }
            _ => {}
        }
    };
    // What was under way comes within what the queues may hold.
    let deadline = Instant::now() + PATIENCE;
    while come != due && Instant::now() < deadline {
        for (number, line) in lines.iter_mut().enumerate() {
            come[number] += line.take(|_| {})?;
        }
        rig.turn_quietly(Duration::from_millis(2))?;
    }
    waited.sort_unstable();
    let at = |share: usize| {
        waited.get(waited.len() * share / 100).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    };
    let least = carried.iter().copied().fold(f64::INFINITY, f64::min);
    let most = waited.last().map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3);
    Ok(Sample {
        values: vec![
            ("used", least / CARRIES * 100.0),
            ("busy", cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0),
            ("p50", at(50)),
            ("p99", at(99)),
            ("max", most),
            ("lost", (due.iter().sum::<u64>() - come.iter().sum::<u64>()) as f64),
            ("idle", idle * 1e6),
        ],
        remarks: Vec::new(),
    })
}

impl Line {
    fn open() -> Result<Self, Failure> {
        let pty = openpty(None, None)?;
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        let mut settings = tcgetattr(&pty.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &settings)?;
        fcntl(&pty.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self {
            device: ttyname(&pty.slave)?.display().to_string(),
            master: pty.master.into(),
            _slave: pty.slave,
            rest: Vec::new(),
            octets: 0,
            asked: HashMap::new(),
            next: Instant::now(),
            msg_id: 10,
            topic: 0,
        })
    }

    /// Says something for a device, and waits for the answer.
    fn exchange(
        &mut self,
        rig: &mut Rig,
        node: u8,
        packet: &[u8],
        kind: u8,
    ) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut said: Option<Instant> = None;
        loop {
            if said.is_none_or(|said| said.elapsed() > Duration::from_secs(1)) {
                self.say(node, packet)?;
                said = Some(Instant::now());
            }
            rig.turn_quietly(Duration::from_millis(2))?;
            self.read()?;
            while let Some((_, packet)) = self.next_packet() {
                if packet.get(1) == Some(&kind) {
                    unexpected(&packet)?;
                    return Ok(packet);
                }
            }
            if Instant::now() > deadline {
                let log = rig.target.log();
                return Err(format!("{}: no answer of type {kind}{log}", self.device).into());
            }
        }
    }

    /// Publishes if it is time, at QoS 1, to the first topic that was registered.
    fn publish(&mut self, fast: bool) -> Result<(), Failure> {
        let now = Instant::now();
        if fast && now >= self.next {
            self.next = now + PUBLISH_EVERY;
            self.msg_id = self.msg_id.wrapping_add(1).max(10);
            let header = sn::Publish {
                qos: 1,
                duplicate: false,
                topic_id: self.topic,
                message_id: self.msg_id,
            };
            let mut packet = Vec::new();
            sn::publish(&mut packet, header, &payload(self.msg_id.into()));
            self.asked.insert((sn::PUBACK, self.msg_id), now);
            self.say(0, &packet)?;
        }
        Ok(())
    }

    /// Takes what has come: how many publications, and how long each PUBACK took.
    fn take(&mut self, mut answered: impl FnMut(Duration)) -> Result<u64, Failure> {
        self.read()?;
        let mut publications = 0;
        while let Some((node, packet)) = self.next_packet() {
            match sn::split(&packet) {
                Some((sn::PUBLISH, _)) => publications += 1,
                Some((sn::PUBACK, body)) => {
                    unexpected(&packet)?;
                    let msg_id = sn::field(body, 2).unwrap_or(0);
                    if let Some(since) = self.asked.remove(&(sn::PUBACK, msg_id)) {
                        answered(since.elapsed());
                    }
                }
                Some((sn::REGISTER, body)) => {
                    let (Some(topic_id), Some(msg_id)) = (sn::field(body, 0), sn::field(body, 2))
                    else {
                        continue;
                    };
                    let mut packet = Vec::new();
                    sn::regack(&mut packet, topic_id, msg_id);
                    self.say(node, &packet)?;
                }
                _ => unexpected(&packet)?,
            }
        }
        Ok(publications)
    }

    fn say(&mut self, node: u8, packet: &[u8]) -> Result<(), Failure> {
        let octets = [&[4, 0xFE, 0, node], packet].concat();
        // A terminal takes some kilobytes; what is said here is little.
        Ok(self.master.write_all(&octets)?)
    }

    fn read(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 4_096];
        match self.master.read(&mut buffer) {
            Ok(length) => {
                self.octets += length as u64;
                self.rest.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next packet that is whole, all of them in the short form, and the device that it is for.
    fn next_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        if let [4, 0xFE, _, node, length, ..] = *self.rest {
            let end = 4 + usize::from(length);
            if self.rest.len() < end {
                return None;
            }
            return Some((node, self.rest.drain(..end).skip(4).collect()));
        }
        // ADVERTISE, for everybody.
        let end = usize::from(*self.rest.first().filter(|length| **length != 4)?);
        (self.rest.len() >= end).then(|| (0, self.rest.drain(..end).collect()))
    }
}
