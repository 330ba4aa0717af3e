//! One serial device: opened, read, written, gone, and opened again.

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

use super::open::{self, How, Trouble};
use crate::ops::RateLimit;

/// The first pause before a device is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A device that may come and go.
#[derive(Debug)]
pub(super) struct DevicePort {
    device: Box<str>,
    how: How,
    /// How long it is left alone after it was opened, and what it says meanwhile is not listened to.
    settle: Duration,
    state: State,
    pause: Duration,
    /// Times that it was opened.
    openings: u64,
    /// What the log has said of the present absence.
    said: Option<Trouble>,
    /// Lines about coming and going.
    lines: RateLimit<()>,
}

#[derive(Debug)]
enum State {
    Waiting(Pin<Box<Sleep>>),
    Opening(JoinHandle<Result<SerialStream, Trouble>>),
    Settling(SerialStream, Pin<Box<Sleep>>),
    Open(SerialStream),
    /// Closed before it is opened again: otherwise the device comes back under another name.
    Closing(JoinHandle<()>),
}

/// What has happened to a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// It can be read and written from now on.
    Opened,
    /// So many octets have come.
    Octets(usize),
    /// It is gone.
    Gone,
}

impl DevicePort {
    /// Begins to open it. Must be called inside a tokio runtime with IO and time.
    pub(super) fn new(device: &str, how: How, settle: Duration) -> Self {
        Self {
            device: device.into(),
            how,
            settle,
            state: begin(device, how),
            pause: PAUSE_MIN,
            openings: 0,
            said: None,
            lines: RateLimit::new(6, Duration::from_secs(60), 1),
        }
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    pub(super) fn openings(&self) -> u64 {
        self.openings
    }

    /// Opens and closes the device as needed, and reads.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<Event> {
        loop {
            match &mut self.state {
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.state = begin(&self.device, self.how);
                }
                State::Opening(task) => match ready!(Pin::new(task).poll(cx)) {
                    Ok(Ok(stream)) if self.settle.is_zero() => {
                        self.state = State::Open(stream);
                        return Poll::Ready(self.opened());
                    }
                    Ok(Ok(stream)) => {
                        self.state = State::Settling(stream, Box::pin(sleep(self.settle)));
                    }
                    Ok(Err(trouble)) => self.refused(trouble),
                    Err(failed) => self.refused(Trouble::Other(failed.to_string())),
                },
                State::Settling(_, wait) => {
                    ready!(wait.as_mut().poll(cx));
                    let pause = State::Waiting(Box::pin(sleep(self.pause)));
                    if let State::Settling(stream, _) = std::mem::replace(&mut self.state, pause) {
                        // A start-up text, or the rest of what was said to somebody else.
                        let _ = stream.clear(ClearBuffer::Input);
                        self.state = State::Open(stream);
                        return Poll::Ready(self.opened());
                    }
                }
                State::Closing(task) => {
                    // Nothing can be done about one that did not end well.
                    let _ = ready!(Pin::new(task).poll(cx));
                    self.wait();
                }
                State::Open(stream) => {
                    let mut buffer = ReadBuf::new(input);
                    match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
                        // This is how a device that was unplugged looks, and it stays so.
                        Ok(()) if buffer.filled().is_empty() => self.ended(None),
                        Ok(()) => {
                            // It works: the next absence is a new one.
                            self.pause = PAUSE_MIN;
                            return Poll::Ready(Event::Octets(buffer.filled().len()));
                        }
                        Err(error) => self.ended(Some(&error)),
                    }
                    return Poll::Ready(Event::Gone);
                }
            }
        }
    }

    /// Writes what there is. Ready if something was written or the device is gone; pending if it has no
    /// room, or is not there.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<Option<Event>> {
        let mut progress = false;
        while let State::Open(stream) = &mut self.state
            && !output.is_empty()
        {
            match Pin::new(stream).poll_write(cx, output) {
                Poll::Ready(Ok(written)) if written > 0 => output.advance(written),
                Poll::Ready(outcome) => {
                    self.ended(outcome.err().as_ref());
                    return Poll::Ready(Some(Event::Gone));
                }
                Poll::Pending => break,
            }
            progress = true;
        }
        if progress { Poll::Ready(None) } else { Poll::Pending }
    }

    fn opened(&mut self) -> Event {
        self.openings += 1;
        self.said = None;
        let Self { device, how, .. } = self;
        if let Some(more) = self.lines.allow(Instant::now(), ()) {
            if self.openings == 1 {
                info!("serial {device} is open, {how}{more}");
            } else {
                info!("serial {device}: the device is back{more}");
            }
        }
        Event::Opened
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
        let pause = Box::pin(sleep(self.pause));
        if let State::Open(stream) = std::mem::replace(&mut self.state, State::Waiting(pause)) {
            self.state = State::Closing(tokio::task::spawn_blocking(move || close(stream)));
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
        self.state = State::Waiting(Box::pin(sleep(self.pause)));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

impl Drop for DevicePort {
    fn drop(&mut self) {
        if let State::Open(stream) | State::Settling(stream, _) = &self.state {
            discard(stream);
        }
    }
}

fn begin(device: &str, how: How) -> State {
    let device = device.to_owned();
    State::Opening(tokio::task::spawn_blocking(move || open::open(&device, how)))
}

fn close(stream: SerialStream) {
    discard(&stream);
}

/// Closing waits for what has not gone out yet, half a minute if nobody takes it.
fn discard(stream: &SerialStream) {
    let _ = stream.clear(ClearBuffer::Output);
}
