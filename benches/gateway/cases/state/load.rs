//! Devices that publish small messages at QoS 1 or 2, as fast as they are answered or at a given
//! rate, and how long each message takes.

use std::net::UdpSocket;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::super::payload;
use crate::Failure;
use crate::exchange::ready_devices;
use crate::meter::{Interval, Mark};
use crate::rig::{REPEAT, Rig, STALL_LIMIT, send, unexpected};
use crate::sn::{self, Publish};
use crate::target::Written;

/// Octets of a payload.
const PAYLOAD: usize = 32;
/// By then everything that nobody waits for is written.
const SETTLE: Duration = Duration::from_millis(1_500);
/// Most messages that are begun between two looks at what has come.
const BURST: u64 = 64;

/// What is sent, and until when.
#[derive(Clone)]
pub struct Load {
    /// Which of the fleet.
    pub devices: Range<usize>,
    pub qos: u8,
    /// Messages per second of all together; without it each device sends when it was answered.
    pub rate: Option<f64>,
    pub until: Until,
}

#[derive(Clone, Copy)]
pub enum Until {
    /// It was measured for so long, after a warm-up.
    Measured(Duration, Duration),
    /// So many messages were acknowledged.
    Acknowledged(u64),
    /// So many have arrived at the sink besides those of this load.
    Arrived(u64),
}

/// How it went.
pub struct Loaded {
    pub interval: Interval,
    /// What the journal's thread wrote meanwhile.
    pub written: Written,
    /// Commits meanwhile.
    commits: u64,
    /// From PUBLISH to the last acknowledgement, sorted.
    delays: Vec<Duration>,
    /// Acknowledged in all, warm-up included.
    pub acknowledged: u64,
    /// PUBLISHs and PUBRELs that had to be repeated.
    pub repeated: u64,
}

impl Loaded {
    /// The delay that this share of the messages does not exceed, in milliseconds.
    pub fn delay(&self, share: f64) -> f64 {
        let last = self.delays.len().saturating_sub(1);
        let index = ((share * self.delays.len() as f64) as usize).min(last);
        self.delays.get(index).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
    }

    /// Octets that the journal's thread wrote, per message.
    pub fn octets_each(&self) -> f64 {
        self.written.octets as f64 / self.interval.count as f64
    }

    /// Octets that the kernel wrote for it, per message.
    pub fn kernel_each(&self) -> f64 {
        self.written.kernel as f64 / self.interval.count as f64
    }

    /// Writes per second.
    pub fn writes(&self) -> f64 {
        self.commits as f64 / self.interval.wall.as_secs_f64()
    }
}

/// An open message of a device.
#[derive(Clone, Copy)]
struct Open {
    message_id: u16,
    sequence: u64,
    /// PUBREC has come, PUBREL is out.
    released: bool,
    begun: Instant,
    sent: Instant,
}

/// Connected devices with a topic each. No message is like another, over all loads.
pub struct Fleet {
    topics: Vec<u16>,
    last_ids: Vec<u16>,
    sequence: u64,
}

impl Fleet {
    /// Connects `count` devices, and waits until that is written.
    pub fn ready(rig: &mut Rig, count: usize) -> Result<Self, Failure> {
        let topics = ready_devices(rig, count)?;
        rig.rest(SETTLE)?;
        Ok(Self { topics, last_ids: vec![0; count], sequence: 0 })
    }

    pub fn run(&mut self, rig: &mut Rig, load: &Load) -> Result<Loaded, Failure> {
        self.run_watched(rig, load, |_, _| {})
    }

    /// As [`Self::run`], and tells `watch` at every turn how many messages were acknowledged.
    pub fn run_watched(
        &mut self,
        rig: &mut Rig,
        load: &Load,
        mut watch: impl FnMut(&Rig, u64),
    ) -> Result<Loaded, Failure> {
        let qos = load.qos;
        let mut open: Vec<Option<Open>> = vec![None; self.topics.len()];
        let mut idle: Vec<usize> = load.devices.clone().rev().collect();
        let (mut acked, mut repeated, mut due) = (0u64, 0u64, 0u64);
        let mut delays = Vec::new();
        let arrived_before = rig.sink.counts.arrived;
        let (start, mut progress, mut looked) = (Instant::now(), Instant::now(), Instant::now());
        let warm_up = match load.until {
            Until::Measured(warm_up, _) => warm_up,
            _ => Duration::ZERO,
        };
        let mut begin = None;
        let mut result = None;
        loop {
            let now = Instant::now();
            if begin.is_none() && start.elapsed() >= warm_up {
                let (written, commits) = (rig.target.written()?, rig.target.commits()?);
                begin = Some((Mark::now(rig, acked)?, written, commits, now));
                delays.clear();
            }
            if result.is_none()
                && let Some((mark, written, commits, at)) = begin
                && match load.until {
                    Until::Measured(_, time) => at.elapsed() >= time,
                    Until::Acknowledged(count) => acked >= count,
                    Until::Arrived(count) => {
                        rig.sink.counts.arrived - arrived_before >= count + acked
                    }
                }
            {
                let written = rig.target.written()?.since(written);
                let interval = mark.until(Mark::now(rig, acked)?);
                result = Some((interval, written, rig.target.commits()? - commits));
            }
            let mut wait = Duration::from_millis(50);
            match (&result, load.rate) {
                (Some(_), _) if open.iter().all(Option::is_none) => break,
                (Some(_), _) => {}
                (None, None) => {
                    while let Some(index) = idle.pop() {
                        open[index] = Some(self.begin(rig, index, qos)?);
                    }
                }
                (None, Some(rate)) => {
                    let goal = (start.elapsed().as_secs_f64() * rate) as u64 + 1;
                    for _ in 0..goal.saturating_sub(due).min(BURST) {
                        // What nobody is free to send is left out, and seen in the rate.
                        if let Some(index) = idle.pop() {
                            open[index] = Some(self.begin(rig, index, qos)?);
                        }
                        due += 1;
                    }
                    let next = Duration::from_secs_f64(due as f64 / rate);
                    wait = wait.min(next.saturating_sub(start.elapsed()));
                }
            }
            let before = acked;
            rig.turn(wait, |index, socket, datagram| {
                let Some(Some(message)) = open.get_mut(index) else { return unexpected(datagram) };
                match message.answered(qos, datagram) {
                    Answer::Other => return unexpected(datagram),
                    Answer::Received => self.release(socket, message)?,
                    Answer::Done => {
                        delays.push(message.begun.elapsed());
                        acked += 1;
                        open[index] = None;
                        // The one that has waited for longest comes next.
                        idle.insert(0, index);
                    }
                }
                Ok(())
            })?;
            watch(rig, acked);
            if acked > before || (load.rate.is_some() && open.iter().all(Option::is_none)) {
                progress = Instant::now();
            } else if progress.elapsed() > STALL_LIMIT {
                let log = rig.target.log();
                return Err(format!("no message was acknowledged for {STALL_LIMIT:?}{log}").into());
            }
            if looked.elapsed() > REPEAT / 4 {
                looked = now;
                for (index, message) in open.iter_mut().enumerate() {
                    if let Some(message) = message.as_mut().filter(|it| it.sent.elapsed() > REPEAT)
                    {
                        message.sent = Instant::now();
                        repeated += 1;
                        self.send(&rig.devices[index], index, qos, *message, true)?;
                    }
                }
            }
        }
        let (interval, written, commits) = result.ok_or("nothing was measured")?;
        delays.sort_unstable();
        Ok(Loaded { interval, written, commits, delays, acknowledged: acked, repeated })
    }

    fn begin(&mut self, rig: &Rig, index: usize, qos: u8) -> Result<Open, Failure> {
        let message_id = self.last_ids[index].checked_add(1).unwrap_or(1);
        self.last_ids[index] = message_id;
        self.sequence += 1;
        let (sequence, begun) = (self.sequence, Instant::now());
        let message = Open { message_id, sequence, released: false, begun, sent: begun };
        self.send(&rig.devices[index], index, qos, message, false)?;
        Ok(message)
    }

    fn release(&self, socket: &UdpSocket, message: &mut Open) -> Result<(), Failure> {
        message.released = true;
        message.sent = Instant::now();
        send(socket, &sn::handshake(sn::PUBREL, message.message_id))
    }

    fn send(
        &self,
        socket: &UdpSocket,
        index: usize,
        qos: u8,
        message: Open,
        duplicate: bool,
    ) -> Result<(), Failure> {
        let message_id = message.message_id;
        if message.released {
            return send(socket, &sn::handshake(sn::PUBREL, message_id));
        }
        let header = Publish { qos, duplicate, topic_id: self.topics[index], message_id };
        let mut datagram = Vec::with_capacity(64);
        sn::publish(&mut datagram, header, &payload(message.sequence)[..PAYLOAD]);
        send(socket, &datagram)
    }
}

enum Answer {
    Other,
    /// PUBREC.
    Received,
    /// PUBACK or PUBCOMP.
    Done,
}

impl Open {
    fn answered(&self, qos: u8, datagram: &[u8]) -> Answer {
        match (qos, sn::split(datagram)) {
            (1, Some((sn::PUBACK, body @ [_, _, _, _, 0])))
                if sn::field(body, 2) == Some(self.message_id) =>
            {
                Answer::Done
            }
            (2, Some((sn::PUBREC, body))) if sn::field(body, 0) == Some(self.message_id) => {
                Answer::Received
            }
            (2, Some((sn::PUBCOMP, body)))
                if self.released && sn::field(body, 0) == Some(self.message_id) =>
            {
                Answer::Done
            }
            _ => Answer::Other,
        }
    }
}
