//! Sleepers that collect what was kept for them, all within the same second: how long it takes, what
//! it costs, and that every message comes once and in order.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{Sample, Scale, payload};
use crate::Failure;
use crate::exchange::exchange;
use crate::meter::Mark;
use crate::rig::{REPEAT, Rig, STALL_LIMIT, send, unexpected};
use crate::sleeper;
use crate::sn;

pub(super) const SLEEPERS: usize = 1_000;
pub(super) const MESSAGES: usize = 10;
/// Messages published before the acknowledgements of the first are waited for.
const AHEAD: u64 = 1_000;

/// QoS 1.
pub fn qos1(rig: &mut Rig, _: &Scale) -> Result<Sample, Failure> {
    run(rig, |_| 1)
}

/// QoS 1, 2 and 0 by turns.
pub fn mixed(rig: &mut Rig, _: &Scale) -> Result<Sample, Failure> {
    run(rig, |message| [1, 2, 0][message % 3])
}

/// What one sleeper has seen of its window.
#[derive(Default)]
struct Window {
    /// Messages that have come, which is the number of the next.
    come: usize,
    /// QoS 2: message id between PUBLISH and PUBREL.
    unreleased: Option<u16>,
    /// PINGRESP.
    over: bool,
    /// When it said PINGREQ last or heard something.
    active: Option<Instant>,
}

fn run(rig: &mut Rig, qos: fn(usize) -> u8) -> Result<Sample, Failure> {
    rig.open_devices(SLEEPERS)?;
    fall_asleep(rig)?;
    publish(rig, qos, |_, _| {})?;
    let begin = Mark::now(rig, 0)?;
    let start = Instant::now();
    let repeated = gather(rig, qos, |_, _| {})?;
    let total = (SLEEPERS * MESSAGES) as u64;
    let wall = start.elapsed();
    let interval = begin.until(Mark::now(rig, total)?);
    // Nothing may come after PINGRESP.
    let mut late = 0u64;
    let end = Instant::now() + Duration::from_millis(200);
    while Instant::now() < end {
        rig.turn(Duration::from_millis(20), |_, _, _| {
            late += 1;
            Ok(())
        })?;
    }
    if late > 0 {
        return Err(format!("{late} datagrams came after PINGRESP").into());
    }
    Ok(Sample {
        values: vec![
            ("wall", wall.as_secs_f64() * 1e3),
            ("cpu", interval.cpu_each()),
            ("rate", total as f64 / wall.as_secs_f64()),
            ("busy", interval.busy()),
            ("repeated", repeated as f64),
        ],
        remarks: Vec::new(),
    })
}

/// All sleepers wake at the same moment and collect what waits for them. Tells `watch` at every turn
/// how many messages have come. Returns how often something had to be repeated.
pub(super) fn gather(
    rig: &mut Rig,
    qos: fn(usize) -> u8,
    mut watch: impl FnMut(&Rig, usize),
) -> Result<u64, Failure> {
    let mut windows: Vec<Window> = (0..SLEEPERS).map(|_| Window::default()).collect();
    let (mut come, mut over, mut repeated, mut request) = (0, 0, 0u64, Vec::new());
    for (index, window) in windows.iter_mut().enumerate() {
        sn::wake(&mut request, &sleeper::id(index));
        send(&rig.devices[index], &request)?;
        window.active = Some(Instant::now());
    }
    let mut last = Instant::now();
    while over < SLEEPERS {
        let moved = rig.turn(REPEAT / 4, |index, socket, datagram| {
            let window = windows.get_mut(index).ok_or("a device too many")?;
            let (was, had) = (window.over, window.come);
            window.take(index, socket, datagram, qos, &mut repeated)?;
            over += usize::from(window.over && !was);
            come += window.come - had;
            Ok(())
        })?;
        watch(rig, come);
        if moved {
            last = Instant::now();
        } else if last.elapsed() > STALL_LIMIT {
            let log = rig.target.log();
            return Err(format!("{over} of {SLEEPERS} sleepers got PINGRESP{log}").into());
        } else {
            for (index, window) in windows.iter_mut().enumerate() {
                if !window.over && window.active.is_none_or(|at| at.elapsed() > REPEAT) {
                    sn::wake(&mut request, &sleeper::id(index));
                    send(&rig.devices[index], &request)?;
                    window.active = Some(Instant::now());
                    repeated += 1;
                }
            }
        }
    }
    Ok(repeated)
}

/// CONNECT, SUBSCRIBE at QoS 2 to a name of its own, DISCONNECT with a duration.
pub(super) fn fall_asleep(rig: &mut Rig) -> Result<(), Failure> {
    let request = |what: usize, index: usize, out: &mut Vec<u8>| match what {
        0 => sn::connect_with(out, &sleeper::id(index), false, sleeper::SLEEP),
        1 => sn::subscribe(out, 1, 2, &sleeper::command(index)),
        _ => sn::sleep(out, sleeper::SLEEP),
    };
    for (what, answer) in [sn::CONNACK, sn::SUBACK, sn::DISCONNECT].into_iter().enumerate() {
        exchange(
            rig,
            100,
            "falling asleep",
            |_, index, out| request(what, index, out),
            |_, kind, _| kind == answer,
        )?;
    }
    Ok(())
}

/// Everybody's messages in turn; then the gateway has them all. Tells `watch` now and then how many
/// it has.
pub(super) fn publish(
    rig: &mut Rig,
    qos: fn(usize) -> u8,
    mut watch: impl FnMut(&Rig, u64),
) -> Result<(), Failure> {
    let before = rig.sink.counts.taken;
    let (mut sent, mut last) = (before, Instant::now());
    for message in 0..MESSAGES {
        for sleeper in 0..SLEEPERS {
            let content = payload((sleeper * MESSAGES + message) as u64);
            rig.broker_publish(&sleeper::command(sleeper), &content, qos(message))?;
            sent += u64::from(qos(message) > 0);
            let end = message == MESSAGES - 1 && sleeper == SLEEPERS - 1;
            let room = if end { 0 } else { AHEAD };
            while rig.sink.counts.taken + room < sent {
                let taken = rig.sink.counts.taken;
                watch(rig, taken - before);
                rig.turn(Duration::from_millis(50), |index, _, datagram| {
                    Err(format!("sleeper {index} was sent {datagram:02x?}").into())
                })?;
                if rig.sink.counts.taken > taken {
                    last = Instant::now();
                } else if last.elapsed() > STALL_LIMIT {
                    let taken = rig.sink.counts.taken;
                    let log = rig.target.log();
                    return Err(format!("{taken} of {sent} messages were taken{log}").into());
                }
            }
        }
    }
    Ok(())
}

impl Window {
    /// A datagram for the sleeper with this number. Fails on whatever breaks the promise.
    fn take(
        &mut self,
        sleeper: usize,
        socket: &UdpSocket,
        datagram: &[u8],
        qos: fn(usize) -> u8,
        repeated: &mut u64,
    ) -> Result<(), Failure> {
        let Some((kind, body)) = sn::split(datagram) else { return Ok(()) };
        if self.over {
            return Err(format!("sleeper {sleeper} got {datagram:02x?} after PINGRESP").into());
        }
        self.active = Some(Instant::now());
        match kind {
            sn::REGISTER => {
                let (topic, id) = (sn::field(body, 0), sn::field(body, 2));
                let (topic, id) = topic.zip(id).ok_or("a short REGISTER")?;
                let mut answer = Vec::new();
                sn::regack(&mut answer, topic, id);
                send(socket, &answer)
            }
            sn::PUBLISH => self.publish(sleeper, socket, body, qos, repeated),
            sn::PUBREL => {
                let id = sn::field(body, 0).ok_or("a short PUBREL")?;
                if self.unreleased == Some(id) {
                    self.unreleased = None;
                }
                send(socket, &sn::handshake(sn::PUBCOMP, id))
            }
            sn::PINGRESP if self.come == MESSAGES && self.unreleased.is_none() => {
                self.over = true;
                Ok(())
            }
            sn::PINGRESP => {
                let come = self.come;
                Err(format!("sleeper {sleeper} got PINGRESP after {come} of {MESSAGES}").into())
            }
            _ => unexpected(datagram),
        }
    }

    fn publish(
        &mut self,
        sleeper: usize,
        socket: &UdpSocket,
        body: &[u8],
        qos: fn(usize) -> u8,
        repeated: &mut u64,
    ) -> Result<(), Failure> {
        let (Some([flags, _, _, _, _, content @ ..]), Some(topic), Some(id)) =
            (Some(body), sn::field(body, 1), sn::field(body, 3))
        else {
            return Err("a short PUBLISH".into());
        };
        let number = content.first_chunk::<8>().map(|octets| u64::from_be_bytes(*octets));
        let expected = |message: usize| Some((sleeper * MESSAGES + message) as u64);
        let again = flags & 0x80 != 0 && self.come > 0 && number == expected(self.come - 1);
        let message = if again { self.come - 1 } else { self.come };
        if number != expected(message) {
            let come = self.come;
            return Err(format!("sleeper {sleeper}: {number:?} after {come} messages").into());
        }
        if sn::qos(*flags) != qos(message) {
            return Err(format!("sleeper {sleeper}: QoS {} of a message", sn::qos(*flags)).into());
        }
        if again {
            *repeated += 1;
        } else if self.unreleased.is_some() {
            return Err(format!("sleeper {sleeper}: PUBLISH before the last PUBCOMP").into());
        } else {
            self.come += 1;
        }
        match sn::qos(*flags) {
            0 => Ok(()),
            1 => send(socket, &sn::puback(topic, id)),
            _ => {
                self.unreleased = Some(id);
                send(socket, &sn::handshake(sn::PUBREC, id))
            }
        }
    }
}
