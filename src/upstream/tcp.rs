//! One MQTT connection over TCP, always on its way back.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tracing::{debug, info, warn};

use super::connect::{Failure, Opened, Server, connect};
use super::report::{Loudness, Troubles};
use crate::mqtt::Backoff;

/// Room for one read, octets.
const READ: usize = 64 * 1024;

/// How often in a row the session may ask for a new connection at once.
const MAX_AT_ONCE: u32 = 3;

/// Settings of a [`BrokerConnection`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Brokers in the order in which they are tried; at least one.
    pub servers: Vec<Server>,
    /// How long name resolution and connecting may take, each.
    pub connect_timeout: Duration,
    /// Longest first pause after a failure.
    pub reconnect_min: Duration,
    /// Longest pause.
    pub reconnect_max: Duration,
}

/// What the broker agreed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Accepted {
    /// Name of the protocol version, as in "MQTT 5".
    pub version: &'static str,
    /// The broker still knew the session.
    pub resumed: bool,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum Ended<'a> {
    /// The session says so. `at_once` if the next connection should not wait.
    Session {
        /// For the log line.
        why: &'a (dyn std::error::Error + 'static),
        /// No pause before the next one.
        at_once: bool,
    },
    /// The broker closed the connection.
    Closed,
    /// The socket failed.
    Io(io::Error),
}

/// The connection to the broker: looks for one, opens, moves bytes, and begins again.
///
/// All methods are called by the one task that runs the gateway.
pub struct BrokerConnection {
    settings: Settings,
    backoff: Backoff,
    /// Of each broker: what is wrong with one must not make another's trouble look new.
    troubles: Vec<Troubles>,
    /// Where the next search begins.
    first: usize,
    at_once: u32,
    state: State,
}

type Attempt = dyn Future<Output = Result<(Opened, Vec<(usize, Failure)>), Vec<(usize, Failure)>>>;

enum State {
    Waiting(Pin<Box<Sleep>>),
    Connecting(Pin<Box<Attempt>>),
    Open(Open),
    Stopped,
}

struct Open {
    stream: TcpStream,
    server: usize,
    address: SocketAddr,
    accepted: Option<Instant>,
}

impl BrokerConnection {
    /// Begins to look for a broker at the first [`Self::poll_open`]. `seed` spreads the pauses of
    /// many gateways.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let backoff = Backoff::new(settings.reconnect_min, settings.reconnect_max, seed);
        let state = State::Connecting(attempt(&settings, 0));
        let troubles = settings.servers.iter().map(|_| Troubles::default()).collect();
        Self { settings, backoff, troubles, first: 0, at_once: 0, state }
    }

    /// Works on getting a connection; ready once for each that TCP has opened.
    pub fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.state = State::Connecting(attempt(&self.settings, self.first));
                }
                State::Connecting(attempt) => match ready!(attempt.as_mut().poll(cx)) {
                    Ok((Opened { stream, server, address }, failures)) => {
                        self.passed_over(&failures);
                        self.state = State::Open(Open { stream, server, address, accepted: None });
                        return Poll::Ready(());
                    }
                    Err(failures) => self.all_failed(&failures),
                },
                State::Open(_) | State::Stopped => return Poll::Pending,
            }
        }
    }

    /// Reads what has come, up to 64 KiB, behind what `input` holds. Ready with 0 when the broker
    /// has closed the connection; pending if there is none.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        input.reserve(READ);
        // A read that does not fill the room clears the readiness: no second call to find out.
        pin!(open.stream.read_buf(input)).poll(cx)
    }

    /// Writes as much of `output` as the kernel takes. Pending if there is no connection, or if
    /// something is left; then the task is woken when there is room.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        while !output.is_empty() {
            let written = ready!(Pin::new(&mut open.stream).poll_write(cx, output))?;
            if written == output.len() {
                output.clear();
            } else {
                bytes::Buf::advance(output, written);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the broker that nothing more will be sent.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Open(open) = &mut self.state else { return Poll::Ready(Ok(())) };
        Pin::new(&mut open.stream).poll_shutdown(cx)
    }

    /// The broker accepted the session on this connection: says so in the log, once.
    pub fn accepted(&mut self, accepted: Accepted) {
        let State::Open(open) = &mut self.state else { return };
        if open.accepted.is_some() {
            return;
        }
        open.accepted = Some(Instant::now());
        self.troubles[open.server].clear();
        self.at_once = 0;
        info!(
            "connected to {} ({}, {}, {})",
            self.settings.servers[open.server],
            open.address,
            accepted.version,
            if accepted.resumed { "session resumed" } else { "new session" }
        );
    }

    /// Whether TCP has a connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Gives the connection up, says why, and plans the next one.
    pub fn ended(&mut self, why: &Ended<'_>) {
        let State::Open(open) = &self.state else { return };
        let (server, accepted) = (open.server, open.accepted);
        if matches!(why, Ended::Session { at_once: true, .. }) && self.at_once < MAX_AT_ONCE {
            debug!("{}: {why}; connecting again", self.settings.servers[server]);
            self.at_once += 1;
            self.first = server;
            self.state = State::Connecting(attempt(&self.settings, server));
            return;
        }
        let name = &self.settings.servers[server];
        let line = match (accepted, why) {
            (Some(_), why) => format!("lost the connection to {name}: {why}"),
            (None, Ended::Closed) => {
                format!("cannot use {name}: it closed the connection instead of answering CONNECT")
            }
            (None, why) => format!("cannot use {name}: {why}"),
        };
        if let Some(since) = accepted {
            self.backoff.lived(since.elapsed());
        } else if server + 1 < self.settings.servers.len() {
            // It is there but of no use: the next one in the list has its turn.
            self.tell(server, &line, "trying the next broker");
            self.first = server + 1;
            self.state = State::Connecting(attempt(&self.settings, self.first));
            return;
        }
        self.pause(server, &line);
    }

    /// No further connections.
    pub fn stop(&mut self) {
        self.state = State::Stopped;
    }

    /// Brokers before the one that answered.
    fn passed_over(&mut self, failures: &[(usize, Failure)]) {
        for (server, failure) in failures {
            let line = self.cannot_connect(*server, failure);
            self.tell(*server, &line, "trying the next broker");
        }
    }

    fn all_failed(&mut self, failures: &[(usize, Failure)]) {
        let Some(((server, failure), others)) = failures.split_last() else {
            // Without a broker there is nothing to do; the configuration has at least one.
            self.state = State::Stopped;
            return;
        };
        self.passed_over(others);
        let line = self.cannot_connect(*server, failure);
        self.pause(*server, &line);
    }

    fn cannot_connect(&self, server: usize, failure: &Failure) -> String {
        format!("cannot connect to {}: {failure}", self.settings.servers[server])
    }

    fn pause(&mut self, server: usize, line: &str) {
        let delay = self.backoff.next_delay();
        // Not "in 0.0 s", which looks like a mistake.
        let seconds = delay.as_secs_f32().max(0.1);
        self.tell(server, line, &format!("next try in {seconds:.1} s"));
        self.first = 0;
        self.at_once = 0;
        self.state = State::Waiting(Box::pin(sleep(delay)));
    }

    fn tell(&mut self, server: usize, trouble: &str, next: &str) {
        match self.troubles[server].note(trouble) {
            Loudness::New => warn!("{trouble}; {next}"),
            Loudness::Still(times) => warn!("{trouble} (still, after {times} times); {next}"),
            Loudness::Quiet => debug!("{trouble}; {next}"),
        }
    }
}

impl fmt::Debug for BrokerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting(_) => "waiting",
            State::Connecting(_) => "connecting",
            State::Open(_) => "open",
            State::Stopped => "stopped",
        };
        f.debug_struct("BrokerConnection").field("state", &state).finish_non_exhaustive()
    }
}

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session { why, .. } => why.fmt(f),
            // Not every broker says that another client has taken over the session.
            Self::Closed => f.write_str(
                "the broker closed it (if this repeats, does another client use our `name`?)",
            ),
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                f.write_str("the broker broke it off")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

fn attempt(settings: &Settings, first: usize) -> Pin<Box<Attempt>> {
    Box::pin(connect(settings.servers.clone().into(), first, settings.connect_timeout))
}
