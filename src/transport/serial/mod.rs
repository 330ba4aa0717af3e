//! MQTT-SN over a serial line: one `[[serial]]`, one peer at the other end, without an address. If it
//! is a forwarder, there are many devices behind it.
//!
//! The device is opened by its name and may come and go. While it is away, what is sent to it is
//! dropped and counted, as on any radio; sessions know nothing of it.

mod open;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use tokio_serial::{ClearBuffer, SerialPort, SerialStream};
use tracing::{info, warn};

use super::framing::{Decoder, Discarded, Framing};
use super::udp::Taken;
use crate::config;
use crate::core::{Address, Effect, Effects, LinkId};
use crate::ops::RateLimit;
use crate::time::Time;
use open::Trouble;

/// Octets read at once.
const READ: usize = 4_096;
/// What may wait to be written: what the line carries in this many seconds. More would come after
/// it has been repeated.
const QUEUE_SECONDS: usize = 2;
/// The same at least, octets, so that slow lines can have an answer and a message.
const QUEUE_MIN: usize = 1_024;
/// Bits on the line for an octet.
const BITS: usize = 10;

/// The first pause before a device is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// At most one line about what was thrown away in this time.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// A serial line.
#[derive(Debug)]
pub struct SerialLink {
    id: LinkId,
    device: Box<str>,
    baud: u32,
    framing: Framing,
    port: Port,
    pause: Duration,
    decoder: Decoder,
    input: Box<[u8]>,
    /// Whole frames, and the rest of one.
    output: BytesMut,
    frame: Vec<u8>,
    most_output: usize,
    stats: Stats,
    /// What the log has said of the present absence.
    said: Option<Trouble>,
    /// Lines about coming and going.
    lines: RateLimit<()>,
    told: Told,
}

/// What went through a line since its start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Packets received.
    pub received: u64,
    /// Packets queued to be sent.
    pub sent: u64,
    /// Packets dropped because too many octets waited to be sent.
    pub overflow_drops: u64,
    /// Packets dropped because the device was away, those that waited when it went not among them.
    pub away_drops: u64,
    /// Times that the device was opened.
    pub openings: u64,
}

/// What the log knows of losses.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    octets: u64,
    broken: u64,
    overflow_drops: u64,
}

#[derive(Debug)]
enum Port {
    Waiting(Pin<Box<Sleep>>),
    Opening(JoinHandle<Result<SerialStream, Trouble>>),
    Open(SerialStream),
    /// Closed before it is opened again: otherwise the device comes back under another name.
    Closing(JoinHandle<()>),
}

impl SerialLink {
    /// Begins to open the device; that it is not there is no error. Must be called inside a tokio
    /// runtime with IO and time.
    #[must_use]
    pub fn new(id: LinkId, settings: &config::SerialLink) -> Self {
        let config::SerialLink { device, baud, framing, max_packet, .. } = settings;
        let (baud, framing) = (*baud, *framing);
        // Each octet of a frame may become two, and there are two delimiters.
        let least = QUEUE_MIN.max(2 * max_packet + 2);
        Self {
            id,
            device: device.clone(),
            baud,
            framing,
            port: begin(device, baud),
            pause: PAUSE_MIN,
            decoder: Decoder::new(framing, *max_packet, baud),
            input: vec![0; READ].into(),
            output: BytesMut::new(),
            frame: Vec::new(),
            most_output: least.max(QUEUE_SECONDS * baud as usize / BITS),
            stats: Stats::default(),
            said: None,
            lines: RateLimit::new(6, Duration::from_secs(60), 1),
            told: Told::default(),
        }
    }

    /// Opens and closes the device as needed, takes what it has sent, and gives each packet to
    /// `each`. Pending, with the task to be woken, if there is nothing to do.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Time,
        each: &mut dyn FnMut(&Address, &[u8]),
    ) -> Poll<Taken> {
        loop {
            match &mut self.port {
                Port::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.port = begin(&self.device, self.baud);
                }
                Port::Opening(task) => match ready!(Pin::new(task).poll(cx)) {
                    Ok(Ok(stream)) => self.opened(stream),
                    Ok(Err(trouble)) => self.refused(trouble),
                    Err(failed) => self.refused(Trouble::Other(failed.to_string())),
                },
                Port::Closing(task) => {
                    // Nothing can be done about one that did not end well.
                    let _ = ready!(Pin::new(task).poll(cx));
                    self.wait();
                }
                Port::Open(stream) => {
                    let mut buffer = ReadBuf::new(&mut self.input);
                    match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
                        // This is how a device that was unplugged looks, and it stays so.
                        Ok(()) if buffer.filled().is_empty() => self.ended(None),
                        Ok(()) => {
                            let length = buffer.filled().len();
                            return Poll::Ready(self.take(now, length, each));
                        }
                        Err(error) => self.ended(Some(&error)),
                    }
                }
            }
        }
    }

    /// Queues what is for this link among the effects, up to a limit; what comes beyond it is dropped
    /// and counted, as radios may.
    pub fn transmit(&mut self, effects: &Effects) {
        for effect in effects.items() {
            match *effect {
                Effect::Send { link, bytes, .. } | Effect::Broadcast { link, bytes, .. }
                    if link == self.id =>
                {
                    self.queue(effects.bytes(bytes));
                }
                _ => {}
            }
        }
    }

    /// Writes what is queued. Pending if nothing is, or if the line still has no room; then the task is
    /// woken when it has.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut progress = false;
        while let Port::Open(stream) = &mut self.port
            && !self.output.is_empty()
        {
            match Pin::new(stream).poll_write(cx, &self.output) {
                Poll::Ready(Ok(written)) if written > 0 => self.output.advance(written),
                Poll::Ready(Ok(_)) => self.ended(None),
                Poll::Ready(Err(error)) => self.ended(Some(&error)),
                Poll::Pending => break,
            }
            progress = true;
        }
        if progress { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Warns about what was lost on the line since it last did, once a minute at most.
    pub fn watch(&mut self) {
        let (octets, broken) = losses(self.decoder.discarded());
        let drops = self.stats.overflow_drops;
        if (broken, drops) == (self.told.broken, self.told.overflow_drops) {
            return;
        }
        let now = Instant::now();
        if self.told.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_INTERVAL) {
            return;
        }
        let Self { device, framing, told, .. } = self;
        if broken > told.broken {
            warn!(
                "serial {device}: {} octets are no MQTT-SN packets in framing {framing} and were \
                 thrown away; if this goes on, `baud` or `framing` under [[serial]] is not what the \
                 device has, or packets are longer than `max_packet`",
                octets - told.octets
            );
        }
        if drops > told.overflow_drops {
            warn!(
                "serial {device}: {} packets were dropped because the line is slower than what is \
                 sent to it",
                drops - told.overflow_drops
            );
        }
        *told = Told { at: Some(now), octets, broken, overflow_drops: drops };
    }

    /// The link's number.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The name of the device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// What went through it.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What came in and was thrown away before anybody saw it.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }

    /// Octets of messages that it has room for. Half of what may wait is for answers, and each octet may
    /// become two.
    #[must_use]
    pub fn room(&self) -> u32 {
        if !matches!(self.port, Port::Open(_)) {
            return 0;
        }
        let left = (self.most_output / 2).saturating_sub(self.output.len());
        u32::try_from(left / 2).unwrap_or(u32::MAX)
    }

    fn take(&mut self, now: Time, length: usize, each: &mut dyn FnMut(&Address, &[u8])) -> Taken {
        let Some(nobody) = Address::new(&[]) else { return Taken { datagrams: 0, more: false } };
        let octets = self.input.get(..length).unwrap_or(&[]);
        let mut datagrams = 0;
        self.decoder.feed(now, octets, &mut |packet| {
            datagrams += 1;
            each(&nobody, packet);
        });
        self.stats.received += datagrams as u64;
        // It works: the next absence is a new one.
        self.pause = PAUSE_MIN;
        Taken { datagrams, more: length == READ }
    }

    fn queue(&mut self, packet: &[u8]) {
        if !matches!(self.port, Port::Open(_)) {
            self.stats.away_drops += 1;
            return;
        }
        self.frame.clear();
        self.framing.encode(packet, &mut self.frame);
        if self.output.len() + self.frame.len() > self.most_output {
            self.stats.overflow_drops += 1;
            return;
        }
        self.output.extend_from_slice(&self.frame);
        self.stats.sent += 1;
    }

    fn opened(&mut self, stream: SerialStream) {
        self.port = Port::Open(stream);
        self.decoder.reset();
        self.stats.openings += 1;
        self.said = None;
        let Self { device, baud, framing, .. } = self;
        let Some(more) = self.lines.allow(Instant::now(), ()) else { return };
        if self.stats.openings == 1 {
            info!("listening for MQTT-SN on serial {device}, {baud} baud, framing {framing}{more}");
        } else {
            info!("serial {device}: the device is back{more}");
        }
    }

    fn refused(&mut self, trouble: Trouble) {
        if self.said.as_ref() != Some(&trouble)
            && let Some(more) = self.lines.allow(Instant::now(), ())
        {
            warn!("serial {}: {trouble}. It is tried again until it opens{more}", self.device);
            self.said = Some(trouble);
        }
        self.wait();
    }

    /// This opening is over. Nobody is there to read what waits, and a frame may have been cut.
    fn ended(&mut self, error: Option<&io::Error>) {
        self.output = BytesMut::new();
        let pause = Box::pin(sleep(self.pause));
        if let Port::Open(stream) = std::mem::replace(&mut self.port, Port::Waiting(pause)) {
            self.port = Port::Closing(tokio::task::spawn_blocking(move || close(stream)));
        }
        if let Some(more) = self.lines.allow(Instant::now(), ()) {
            let why = error.map_or_else(|| "it was unplugged".to_owned(), ToString::to_string);
            warn!(
                "serial {}: the device is gone ({why}); sessions stay, and it is opened when it is \
                 back{more}",
                self.device
            );
        }
        // What comes next says no more.
        self.said = Some(Trouble::Missing);
    }

    fn wait(&mut self) {
        self.port = Port::Waiting(Box::pin(sleep(self.pause)));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

impl Drop for SerialLink {
    fn drop(&mut self) {
        if let Port::Open(stream) = &self.port {
            discard(stream);
        }
    }
}

fn begin(device: &str, baud: u32) -> Port {
    let device = device.to_owned();
    Port::Opening(tokio::task::spawn_blocking(move || open::open(&device, baud)))
}

fn close(stream: SerialStream) {
    discard(&stream);
}

/// Closing waits for what has not gone out yet, half a minute if nobody takes it.
fn discard(stream: &SerialStream) {
    let _ = stream.clear(ClearBuffer::Output);
}

/// Octets that were thrown away, and how often.
fn losses(discarded: Discarded) -> (u64, u64) {
    (discarded.octets, discarded.damaged + discarded.overlong + discarded.cut_off)
}

#[cfg(test)]
mod tests;
