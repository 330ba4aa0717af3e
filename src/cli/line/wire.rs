//! A line that is open. That it goes away is an error here: tools are for trying things out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use tokio_serial::SerialStream;

use super::Plan;
use crate::cli::Failure;
use crate::core::Address;
use crate::time::Time;
use crate::transport::framing::{Discarded, guess};
use crate::transport::line::{Each, End, Line, Note, NoteKind, Port};
use crate::transport::serial::open;

/// Octets read at once.
const READ: usize = 4_096;
/// Octets that wait for the system to take them, beyond which no more are taken from the queue.
const OUTPUT: usize = 512;
/// Octets remembered of what comes first.
const SAMPLE: usize = 2_048;

/// What is told of what a radio says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Tell {
    /// Nothing: [`Wire::take_notes`] takes it.
    Nothing,
    /// What is wrong, on standard error.
    Trouble,
    /// All of it, on standard error.
    All,
}

/// A line that is open.
pub(in crate::cli) struct Wire {
    plan: Plan,
    line: Line,
    port: SerialStream,
    input: Box<[u8]>,
    /// Whole frames, and the rest of one.
    output: BytesMut,
    origin: Instant,
    timer: Pin<Box<Sleep>>,
    /// What has come first.
    sample: Vec<u8>,
    octets: u64,
    packets: u64,
    tell: Tell,
}

impl Wire {
    /// Opens it for us alone. Must be called inside the runtime.
    pub(in crate::cli) fn open(plan: Plan, tell: Tell) -> Result<Self, Failure> {
        Ok(Self::on(open_port(&plan)?, plan, tell))
    }

    /// The line on a port that is open.
    pub(in crate::cli) fn on(port: SerialStream, plan: Plan, tell: Tell) -> Self {
        let mut line = Line::at(plan.end, &plan.settings);
        line.opened(Time(0));
        let origin = Instant::now();
        Self {
            plan,
            line,
            port,
            input: vec![0; READ].into(),
            output: BytesMut::new(),
            origin,
            timer: Box::pin(sleep_until(origin.into())),
            sample: Vec::new(),
            octets: 0,
            packets: 0,
            tell,
        }
    }

    /// Queues a packet. What has no room is dropped, as radios may.
    ///
    /// # Errors
    /// It is longer than what ever gets through.
    pub(in crate::cli) fn push(
        &mut self,
        address: Option<&Address>,
        packet: &[u8],
    ) -> Result<(), Failure> {
        let (octets, most) = (packet.len(), self.line.largest());
        if octets > most {
            return Err(Failure::run(format!(
                "a packet of {octets} octets does not go through: framing {} carries {most} here; \
                 use a shorter message or topic",
                self.plan.framing()
            )));
        }
        self.line.push(address, packet);
        Ok(())
    }

    /// Octets of publications for which there is room.
    pub(in crate::cli) fn room(&self) -> usize {
        self.line.room()
    }

    /// What has come in and was thrown away.
    pub(in crate::cli) fn discarded(&self) -> Discarded {
        self.line.discarded()
    }

    /// Packets dropped, because too many waited or because they are none for this line.
    pub(in crate::cli) fn dropped(&self) -> u64 {
        let stats = self.line.stats();
        stats.overflow_drops + stats.unsendable
    }

    /// What has come first of all, as far as it is kept, and how many octets have come.
    pub(in crate::cli) fn heard(&self) -> (&[u8], u64) {
        (&self.sample, self.octets)
    }

    /// What a radio has said.
    pub(in crate::cli) fn take_notes(&mut self) -> Vec<Note> {
        self.line.take_notes()
    }

    /// How it is called.
    pub(in crate::cli) fn name(&self) -> String {
        format!("serial {}", self.plan.device)
    }

    /// Writes and reads until packets have come, each of which is given to `each`. Nothing is lost if it
    /// is not awaited to the end.
    pub(in crate::cli) async fn receive(&mut self, each: &mut Each<'_>) -> Result<(), Failure> {
        let before = self.packets;
        poll_fn(|cx| {
            loop {
                let progress = self.poll(cx, each)?;
                if self.packets > before {
                    return Poll::Ready(Ok(()));
                }
                if !progress {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Writes until nothing waits any more. What comes meanwhile is for nobody.
    pub(in crate::cli) async fn flush(&mut self) -> Result<(), Failure> {
        poll_fn(|cx| {
            loop {
                let progress = self.poll(cx, &mut |_, _, _| {})?;
                if self.output.is_empty() && self.line.is_idle() {
                    return Poll::Ready(Ok(()));
                }
                if !progress {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Why there may be no answer.
    pub(in crate::cli) fn silence(&self) -> String {
        let settings = &self.plan.settings;
        let (framing, baud) = (settings.framing, settings.baud);
        if self.plan.end == End::Host {
            return "is that its address, are the radios in one network, and is the gateway running?"
                .to_owned();
        }
        if self.packets > 0 {
            return "packets come from the line, but none of them is an answer: is it a gateway, and \
                    does it know this device by the same address or forwarder?"
                .to_owned();
        }
        match (self.octets, guess(&self.sample)) {
            (0, _) => format!(
                "nothing at all comes from the line: does the gateway run, with framing {framing} \
                 and {baud} baud on the line's other end?"
            ),
            (octets, Some(found)) if found.framing != framing => format!(
                "{octets} octets have come that are no packets in framing {framing}, but look like \
                 --framing {}",
                found.framing
            ),
            (octets, _) => format!(
                "{octets} octets have come that are no packets in framing {framing}: is --baud \
                 {baud} right?"
            ),
        }
    }

    /// Reads and writes what there is, and says whether there was anything.
    fn poll(&mut self, cx: &mut Context<'_>, each: &mut Each<'_>) -> Result<bool, Failure> {
        let read = self.poll_read(cx, each)?;
        let written = self.poll_write(cx)?;
        self.tell();
        Ok(read || written)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, each: &mut Each<'_>) -> Result<bool, Failure> {
        let mut buffer = ReadBuf::new(&mut self.input);
        let outcome = Pin::new(&mut self.port).poll_read(cx, &mut buffer);
        let octets = match outcome {
            Poll::Pending => return Ok(false),
            // This is how a device that was unplugged looks.
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(self.gone(None)),
            Poll::Ready(Ok(())) => buffer.filled(),
            Poll::Ready(Err(error)) => return Err(self.gone(Some(&error))),
        };
        self.octets += octets.len() as u64;
        let room = SAMPLE.saturating_sub(self.sample.len());
        self.sample.extend_from_slice(octets.get(..room).unwrap_or(octets));
        let now = clock(self.origin);
        self.line.feed(now, Port::Main, octets, &mut |address, signal, packet| {
            self.packets += 1;
            each(address, signal, packet);
        });
        Ok(true)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let now = clock(self.origin);
        if self.output.len() < OUTPUT {
            self.line.poll_output(now, &mut self.output);
        }
        if !self.output.is_empty() {
            return match Pin::new(&mut self.port).poll_write(cx, &self.output) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.output.advance(written);
                    Ok(true)
                }
                Poll::Ready(outcome) => Err(self.gone(outcome.err().as_ref())),
            };
        }
        let Some(at) = self.line.next_timeout(now) else { return Ok(false) };
        if at > now {
            self.timer.as_mut().reset((self.origin + at.since(Time(0))).into());
        }
        Ok(at <= now || self.timer.as_mut().poll(cx).is_ready())
    }

    fn gone(&self, error: Option<&io::Error>) -> Failure {
        let why = error.map_or_else(|| "it was unplugged".to_owned(), ToString::to_string);
        Failure::run(format!("serial {}: the device is gone ({why})", self.plan.device))
    }

    fn tell(&mut self) {
        if self.tell == Tell::Nothing || !self.line.has_notes() {
            return;
        }
        for Note { kind, text } in self.line.take_notes() {
            if self.tell == Tell::All || kind == NoteKind::Trouble {
                eprintln!("serial {}: {text}", self.plan.device);
            }
        }
    }
}

/// Opens the port for us alone. Must be called inside the runtime.
pub(in crate::cli) fn open_port(plan: &Plan) -> Result<SerialStream, Failure> {
    open(&plan.device, plan.how)
        .map_err(|trouble| Failure::run(format!("serial {}: {}", plan.device, trouble.for_tool())))
}

fn clock(origin: Instant) -> Time {
    Time(0).after(origin.elapsed())
}
