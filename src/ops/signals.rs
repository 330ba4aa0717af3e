//! Signals of the operating system.

use std::fmt;
use std::io;
use std::task::{Context, Poll};

use nix::sys::signal::Signal as NixSignal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What an operator (or the service manager) asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, as from Ctrl-C.
    Interrupt,
    /// SIGHUP.
    Hangup,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        })
    }
}

/// The signals that the program handles, instead of being ended by them.
///
/// A task of its own waits for them: asking three sources on every turn of the loop would cost more
/// than all signals of a lifetime.
#[derive(Debug)]
pub struct Signals {
    receiver: mpsc::Receiver<Signal>,
}

impl Signals {
    /// Begins to handle them. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        // A limit on the size of files is an error like a full disk, and not the end of the program.
        let mut file_size = signal(SignalKind::from_raw(NixSignal::SIGXFSZ as i32))?;
        let (sender, signals) = Self::channel();
        tokio::spawn(async move {
            loop {
                let signal = tokio::select! {
                    _ = terminate.recv() => Signal::Terminate,
                    _ = interrupt.recv() => Signal::Interrupt,
                    _ = hangup.recv() => Signal::Hangup,
                    _ = file_size.recv() => continue,
                };
                if sender.send(signal).await.is_err() {
                    return;
                }
            }
        });
        Ok(signals)
    }

    /// Signals that somebody else sends: tests, a program that embeds the gateway.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<Signal>, Self) {
        let (sender, receiver) = mpsc::channel(4);
        (sender, Self { receiver })
    }

    /// The next signal; pending for ever once nobody can send any.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(signal)) => Poll::Ready(signal),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
