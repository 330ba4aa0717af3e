//! MQTT-SN over a serial line: one `[[serial]]`. What sits at its other end is a device, a forwarder, or
//! a radio with many devices, which [`Line`] speaks with; this is the IO.
//!
//! The device is opened by its name and may come and go. While it is away, what is sent to it is
//! dropped and counted, as on any radio; sessions know nothing of it.

mod open;
mod port;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::time::{Sleep, sleep};
use tracing::{debug, info, warn};

use super::framing::{Discarded, Framing, guess};
use super::line::{Line, Note, NoteKind, Port};
use super::udp::Taken;
use crate::config;
use crate::core::{Address, Effect, Effects, LinkId, Signal};
use crate::ops::RateLimit;
use crate::time::Time;
pub use open::FlowControl;
pub(crate) use open::{How, open};
use port::{DevicePort, Event};

/// Octets read at once.
const READ: usize = 4_096;
/// Octets that wait for the system to take them, beyond which no more are taken from the queue.
const OUTPUT: usize = 512;
/// Octets without a packet that are kept, to be looked at.
const SAMPLE: usize = 1_024;
/// At most one line about what was thrown away in this time.
const TELL_INTERVAL: Duration = Duration::from_secs(60);
/// A device that takes nothing for so long is worth a line.
const STUCK: Duration = Duration::from_secs(10);

/// A serial line.
#[derive(Debug)]
pub struct SerialLink {
    id: LinkId,
    framing: Framing,
    line: Line,
    main: DevicePort,
    /// Where it is written to, if not to the other.
    send: Option<DevicePort>,
    /// Which of them are open.
    open: [bool; 2],
    input: Box<[u8]>,
    /// What has come since the last packet, as far as it is kept.
    sample: Vec<u8>,
    /// Whole frames, and the rest of one.
    output: BytesMut,
    /// When the line wants to be looked at again.
    timer: Pin<Box<Sleep>>,
    armed: Option<Time>,
    /// Since when the device has taken nothing.
    stuck: Option<Instant>,
    notes: RateLimit<NoteKind>,
    told: Told,
}

/// What the log knows of losses.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    octets: u64,
    broken: u64,
    overflow_drops: u64,
    stuck: bool,
}

impl SerialLink {
    /// Begins to open the device; that it is not there is no error. Must be called inside a tokio
    /// runtime with IO and time.
    #[must_use]
    pub fn new(id: LinkId, settings: &config::SerialLink) -> Self {
        let how = How { baud: settings.line.baud, flow_control: settings.flow_control };
        let port = |device: &str| DevicePort::new(device, how, settings.open_delay);
        Self {
            id,
            framing: settings.line.framing,
            line: Line::new(&settings.line),
            main: port(&settings.device),
            send: settings.send_device.as_deref().map(port),
            open: [false, settings.send_device.is_none()],
            input: vec![0; READ].into(),
            sample: Vec::new(),
            output: BytesMut::new(),
            timer: Box::pin(sleep(Duration::ZERO)),
            armed: None,
            stuck: None,
            notes: RateLimit::new(10, Duration::from_secs(60), 8),
            told: Told::default(),
        }
    }

    /// Opens and closes the device as needed, takes what it has sent, and gives each packet to
    /// `each`. Pending, with the task to be woken, if there is nothing to do.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Time,
        each: &mut dyn FnMut(&Address, Signal, &[u8]),
    ) -> Poll<Taken> {
        let mut taken = Taken { datagrams: 0, more: false };
        let mut progress = false;
        for port in [Port::Main, Port::Send] {
            let device = match port {
                Port::Main => Some(&mut self.main),
                Port::Send => self.send.as_mut(),
            };
            let Some(device) = device else { continue };
            let Poll::Ready(event) = device.poll(cx, &mut self.input) else { continue };
            progress = true;
            match event {
                Event::Opened => self.opened(now, port),
                Event::Gone => self.gone(port),
                Event::Octets(length) => {
                    let octets = self.input.get(..length).unwrap_or(&[]);
                    let before = taken.datagrams;
                    self.line.feed(now, port, octets, &mut |from, signal, packet| {
                        taken.datagrams += 1;
                        each(from, signal, packet);
                    });
                    if taken.datagrams > before {
                        self.sample.clear();
                    } else {
                        let room = SAMPLE.saturating_sub(self.sample.len()).min(length);
                        self.sample.extend_from_slice(octets.get(..room).unwrap_or(&[]));
                    }
                    taken.more |= length == READ;
                }
            }
        }
        if progress { Poll::Ready(taken) } else { Poll::Pending }
    }

    /// Queues what is for this link among the effects, up to a limit; what comes beyond it is dropped
    /// and counted, as radios may.
    pub fn transmit(&mut self, effects: &Effects) {
        for effect in effects.items() {
            match *effect {
                Effect::Send { link, ref to, bytes, .. } if link == self.id => {
                    self.line.push(Some(to), effects.bytes(bytes));
                }
                Effect::Broadcast { link, bytes, .. } if link == self.id => {
                    self.line.push(None, effects.bytes(bytes));
                }
                Effect::Recall { link, ref to, head } if link == self.id => {
                    self.line.recall(to, effects.bytes(head));
                }
                _ => {}
            }
        }
    }

    /// Writes what is due. Pending if nothing is, or if the system has no room; then the task is woken
    /// when that has changed.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        if self.open != [true, true] {
            return Poll::Pending;
        }
        let mut progress = false;
        loop {
            if self.output.len() < OUTPUT {
                self.line.poll_output(now, &mut self.output);
            }
            if self.output.is_empty() {
                break;
            }
            let port = if self.send.is_some() { Port::Send } else { Port::Main };
            let device = self.send.as_mut().unwrap_or(&mut self.main);
            match device.poll_write(cx, &mut self.output) {
                Poll::Ready(None) => progress = true,
                Poll::Ready(Some(_)) => {
                    self.gone(port);
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        if self.output.is_empty() {
            self.stuck = None;
            progress |= self.poll_timer(cx, now).is_ready();
        } else if progress || self.stuck.is_none() {
            self.stuck = Some(Instant::now());
        }
        if progress { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Octets of publications for which there is room.
    #[must_use]
    pub fn room(&self) -> usize {
        self.line.room()
    }

    /// Octets of the longest packet that the radio carries, as far as it is known.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.line.largest()
    }

    /// Tells what the line has to say, and warns about what was lost on it since it last did, once a
    /// minute at most.
    pub fn watch(&mut self) {
        self.tell_notes();
        let (octets, broken) = losses(self.line.discarded());
        let drops = self.line.stats().overflow_drops;
        let is_stuck = self.stuck.is_some_and(|since| since.elapsed() >= STUCK);
        if (broken, drops, is_stuck)
            == (self.told.broken, self.told.overflow_drops, self.told.stuck)
        {
            return;
        }
        let now = Instant::now();
        if self.told.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_INTERVAL) {
            return;
        }
        let device = self.main.device();
        let Self { framing, told, .. } = self;
        if broken > told.broken {
            let octets = octets - told.octets;
            let other = guess(&self.sample).filter(|found| found.framing != *framing);
            match other {
                Some(found) => warn!(
                    "serial {device}: {octets} octets are no MQTT-SN packets in framing {framing} and \
                     were thrown away; they look like framing = \"{}\", set that under [[serial]]",
                    found.framing
                ),
                None => warn!(
                    "serial {device}: {octets} octets are no MQTT-SN packets in framing {framing} and \
                     were thrown away; if this goes on, `baud` or `framing` under [[serial]] is not \
                     what the device has, or packets are longer than `max_packet`; `check --serial` \
                     tries others"
                ),
            }
        }
        if drops > told.overflow_drops {
            warn!(
                "serial {device}: {} packets were dropped because the line is slower than what is \
                 sent to it",
                drops - told.overflow_drops
            );
        }
        if is_stuck && !told.stuck {
            warn!(
                "serial {device}: the device has taken nothing for {} s; is it hung up, or does \
                 `flow_control` under [[serial]] wait for a wire that is not there?",
                STUCK.as_secs()
            );
        }
        *told = Told { at: Some(now), octets, broken, overflow_drops: drops, stuck: is_stuck };
    }

    /// The link's number.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The name of the device.
    #[must_use]
    pub fn device(&self) -> &str {
        self.main.device()
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Times that the device was opened.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.main.openings()
    }

    /// Whether the device is open; both of them, if there are two.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.open == [true, true]
    }

    fn opened(&mut self, now: Time, port: Port) {
        if port == Port::Main && self.main.openings() == 1 {
            let (device, framing) = (self.main.device(), self.framing);
            info!("listening for MQTT-SN on serial {device}, framing {framing}");
        }
        self.set_open(port, true);
        if self.open == [true, true] {
            self.output.clear();
            self.line.opened(now);
        }
    }

    fn gone(&mut self, port: Port) {
        self.set_open(port, false);
        self.output = BytesMut::new();
        self.stuck = None;
        self.line.closed();
    }

    fn set_open(&mut self, port: Port, open: bool) {
        let [main, send] = &mut self.open;
        match port {
            Port::Main => *main = open,
            Port::Send => *send = open,
        }
    }

    /// Ready when the line has something to do; the caller comes back with the time that it is then.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        let Some(at) = self.line.next_timeout(now) else {
            self.armed = None;
            return Poll::Pending;
        };
        if at <= now {
            return Poll::Ready(());
        }
        if self.armed != Some(at) {
            self.timer.as_mut().reset(tokio::time::Instant::now() + at.since(now));
            self.armed = Some(at);
        }
        self.timer.as_mut().poll(cx).map(|()| self.armed = None)
    }

    fn tell_notes(&mut self) {
        if !self.line.has_notes() {
            return;
        }
        for Note { kind, text } in self.line.take_notes() {
            let device = self.main.device();
            let Some(more) = self.notes.allow(Instant::now(), kind) else { continue };
            match kind {
                NoteKind::Found => info!("serial {device}: {text}{more}"),
                NoteKind::Undelivered => debug!("serial {device}: {text}{more}"),
                NoteKind::Trouble => warn!("serial {device}: {text}{more}"),
            }
        }
    }
}

/// Octets that were thrown away, and how often.
fn losses(discarded: Discarded) -> (u64, u64) {
    (discarded.octets, discarded.damaged + discarded.overlong + discarded.cut_off)
}

#[cfg(test)]
mod tests;
