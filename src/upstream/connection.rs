//! One MQTT connection, always on its way back, and back to the first broker of the list.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::time::{Sleep, sleep, timeout};
use tracing::{debug, info, warn};

use super::open::{Brokers, Failure, Failures, Opened, open};
use super::report::{Loudness, Troubles};
use super::stream::Stream;
use super::tls::{self, Stage, Tls};
use crate::mqtt::Backoff;

/// How long a broker that is left may take to receive our goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Most pauses that a way back is put off by when the first broker is there and refuses.
const MAX_PUT_OFF: u32 = 16;

/// How often in a row the session may ask for a new connection at once.
const MAX_AT_ONCE: u32 = 3;

/// Settings of a [`BrokerConnection`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Brokers in the order in which they are tried; at least one.
    pub brokers: Arc<Brokers>,
    /// Longest first pause after a failure.
    pub reconnect_min: Duration,
    /// Longest pause.
    pub reconnect_max: Duration,
    /// How often those before the present broker in the list are tried again; zero means never.
    pub failback_interval: Duration,
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
    /// The broker whose trouble was told last.
    last_told: Option<usize>,
    /// Where the next search begins.
    first: usize,
    at_once: u32,
    /// The connection was moved, and the broker has not accepted it yet.
    moving: bool,
    /// So many pauses make one: grows when moving was for nothing.
    put_off: u32,
    state: State,
}

type Attempt = dyn Future<Output = Result<(Opened, Failures), Failures>>;

enum State {
    Waiting(Pin<Box<Sleep>>),
    Connecting(Pin<Box<Attempt>>),
    Open(Open),
    Stopped,
}

struct Open {
    stream: Stream,
    server: usize,
    address: SocketAddr,
    accepted: Option<Instant>,
    /// What the first octets from the broker look like, if they are not MQTT.
    speaks: Option<Speaks>,
    /// The search for one earlier in the list.
    better: Option<Pin<Box<Search>>>,
}

type Search = dyn Future<Output = Opened>;

/// Who answers on a port where MQTT was expected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speaks {
    Tls,
    Http,
}

impl BrokerConnection {
    /// Begins to look for a broker at the first [`Self::poll_open`]. `seed` spreads the pauses of
    /// many gateways.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let backoff = Backoff::new(settings.reconnect_min, settings.reconnect_max, seed);
        let state = State::Connecting(attempt(&settings, 0));
        let troubles = settings.brokers.servers.iter().map(|_| Troubles::default()).collect();
        let last_told = None;
        Self {
            settings,
            backoff,
            troubles,
            last_told,
            first: 0,
            at_once: 0,
            moving: false,
            put_off: 1,
            state,
        }
    }

    /// Works on getting a connection; ready once for each that was opened.
    pub fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.state = State::Connecting(attempt(&self.settings, self.first));
                }
                State::Connecting(attempt) => match ready!(attempt.as_mut().poll(cx)) {
                    Ok((opened, failures)) => {
                        self.passed_over(&failures);
                        self.state = State::Open(opened.into());
                        return Poll::Ready(());
                    }
                    Err(failures) => self.all_failed(&failures),
                },
                State::Open(_) | State::Stopped => return Poll::Pending,
            }
        }
    }

    /// Ready if a broker earlier in the list can be used again; [`Self::move_to`] should follow.
    pub fn poll_better(&mut self, cx: &mut Context<'_>) -> Poll<Opened> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        let Some(search) = &mut open.better else { return Poll::Pending };
        let opened = ready!(search.as_mut().poll(cx));
        open.better = None;
        Poll::Ready(opened)
    }

    /// Goes on with another broker. The present one is sent `last_words`, and left when it has them.
    /// Must be called inside the runtime.
    pub fn move_to(&mut self, cx: &mut Context<'_>, better: Opened, mut last_words: BytesMut) {
        let State::Open(present) = &mut self.state else { return };
        let servers = &self.settings.brokers.servers;
        info!(
            "{} is there again: the connection moves there from {}",
            servers[better.server], servers[present.server]
        );
        // In most cases that is all of it, even if the program ends the next moment.
        let _ = present.stream.poll_write(cx, &mut last_words);
        let former = std::mem::replace(present, better.into());
        self.moving = true;
        self.at_once = 0;
        tokio::spawn(timeout(GOODBYE, say_goodbye(former.stream, last_words)));
    }

    /// Reads what has come, about 64 KiB at most, behind what `input` holds. Ready with 0 when the
    /// broker has closed the connection; pending if there is none.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        let outcome = ready!(open.stream.poll_read(cx, input));
        if open.accepted.is_none() && open.stream.is_bare() {
            open.speaks = open.speaks.or(Speaks::recognise(input));
        }
        Poll::Ready(outcome)
    }

    /// Writes as much of `output` as the system takes. Pending if there is no connection, or if
    /// something is left; then the task is woken when there is room.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        open.stream.poll_write(cx, output)
    }

    /// Whether [`Self::poll_write`] has something to do even without output.
    #[must_use]
    pub fn has_unflushed(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.stream.has_unflushed())
    }

    /// Tells the broker that nothing more will be sent.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Open(open) = &mut self.state else { return Poll::Ready(Ok(())) };
        open.stream.poll_finish(cx)
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
        if std::mem::take(&mut self.moving) {
            self.put_off = 1;
        }
        info!(
            "connected to {} ({}, {}{}, {})",
            self.settings.brokers.servers[open.server],
            open.address,
            open.stream.tls().map_or(String::new(), |tls| format!("{tls}, ")),
            accepted.version,
            if accepted.resumed { "session resumed" } else { "new session" }
        );
        let interval = self.settings.failback_interval;
        if open.server > 0 && !interval.is_zero() {
            let (brokers, server) = (self.settings.brokers.clone(), open.server);
            let interval = interval.saturating_mul(self.put_off);
            open.better = Some(Box::pin(search(brokers, server, interval)));
        }
    }

    /// Whether there is a connection, which the broker need not have accepted.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// The broker that the connection is open to.
    #[must_use]
    pub fn server(&self) -> Option<&super::Server> {
        let State::Open(open) = &self.state else { return None };
        self.settings.brokers.servers.get(open.server)
    }

    /// What was last in the way of a connection, if something was since the last one.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.last_told.and_then(|server| self.troubles.get(server)).and_then(Troubles::last)
    }

    /// Gives the connection up, says why, and plans the next one.
    pub fn ended(&mut self, why: &Ended<'_>) {
        let State::Open(open) = &self.state else { return };
        let (server, accepted) = (open.server, open.accepted);
        if matches!(why, Ended::Session { at_once: true, .. }) && self.at_once < MAX_AT_ONCE {
            debug!("{}: {why}; connecting again", self.settings.brokers.servers[server]);
            self.at_once += 1;
            self.first = server;
            self.state = State::Connecting(attempt(&self.settings, server));
            return;
        }
        let line = self.in_words(open, why);
        if std::mem::take(&mut self.moving) {
            self.put_off = self.put_off.saturating_mul(2).min(MAX_PUT_OFF);
        }
        if let Some(since) = accepted {
            self.backoff.lived(since.elapsed());
        } else if server + 1 < self.settings.brokers.servers.len() {
            // It is there but of no use: the next one in the list has its turn.
            self.tell(server, &line, "trying the next broker");
            self.first = server + 1;
            self.state = State::Connecting(attempt(&self.settings, self.first));
            return;
        }
        self.pause(server, &line);
    }

    /// Why the connection is over, for the log.
    fn in_words(&self, open: &Open, why: &Ended<'_>) -> String {
        let name = &self.settings.brokers.servers[open.server];
        let why = match (open.speaks, why) {
            (Some(Speaks::Tls), _) => {
                "it speaks TLS on that port; write mqtts:// in `url`".to_owned()
            }
            (Some(Speaks::Http), _) => {
                "it speaks HTTP on that port, not MQTT; if it takes MQTT over \
                                        WebSocket write ws:// in `url`"
                    .to_owned()
            }
            (None, Ended::Io(error))
                if open.stream.tls().is_some() && error.get_ref().is_some() =>
            {
                tls::explain(error, name, Stage::Later)
            }
            (None, Ended::Closed) if open.accepted.is_none() => {
                let hint = self.hint(open);
                format!("it closed the connection instead of answering CONNECT{hint}")
            }
            (None, Ended::Io(error)) if open.accepted.is_none() => {
                format!("{}{}", Ended::in_words(error), self.hint(open))
            }
            (None, why) => why.to_string(),
        };
        match open.accepted {
            Some(_) => format!("lost the connection to {name}: {why}"),
            None => format!("cannot use {name}: {why}"),
        }
    }

    /// What may be behind a broker that hangs up on CONNECT.
    fn hint(&self, open: &Open) -> &'static str {
        let brokers = &self.settings.brokers;
        if open.stream.tls().is_some() && !brokers.tls.as_ref().is_some_and(Tls::has_certificate) {
            return "; if it wants a certificate of ours, set cert_file and key_file under \
                    [upstream.tls]";
        }
        if open.stream.is_bare() && !brokers.servers[open.server].embedded {
            return "; if that is a port for TLS, write mqtts:// in `url`";
        }
        ""
    }

    /// From the next connection on the brokers, which have to be the same ones, are reached so.
    pub fn set_brokers(&mut self, brokers: Arc<Brokers>) {
        self.settings.brokers = brokers;
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
        format!("cannot connect to {}: {failure}", self.settings.brokers.servers[server])
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
        self.last_told = Some(server);
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
            Self::Io(error) => f.write_str(&Self::in_words(error)),
        }
    }
}

impl Ended<'_> {
    fn in_words(error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::ConnectionReset => "the broker broke it off".to_owned(),
            _ => error.to_string(),
        }
    }
}

impl From<Opened> for Open {
    fn from(opened: Opened) -> Self {
        let Opened { stream, server, address } = opened;
        Self { stream, server, address, accepted: None, speaks: None, better: None }
    }
}

impl Speaks {
    /// `octets` are the first that came.
    fn recognise(octets: &[u8]) -> Option<Self> {
        match octets {
            // An alert or a handshake record.
            [0x15 | 0x16, 0x03, ..] => Some(Self::Tls),
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Self::Http),
            _ => None,
        }
    }
}

fn attempt(settings: &Settings, first: usize) -> Pin<Box<Attempt>> {
    let brokers = settings.brokers.clone();
    Box::pin(async move { open(&brokers, first..brokers.servers.len()).await })
}

/// Looks for a broker before `present` in the list, after each pause.
async fn search(brokers: Arc<Brokers>, present: usize, pause: Duration) -> Opened {
    loop {
        sleep(pause).await;
        match open(&brokers, 0..present).await {
            Ok((opened, _)) => return opened,
            Err(failures) => {
                for (server, failure) in failures {
                    debug!("{} is still away: {failure}", brokers.servers[server]);
                }
            }
        }
    }
}

/// Writes what is left, says that no more will come, and reads until the broker closes: a socket
/// closed with something unread would be reset, and the reset may overtake the goodbye.
async fn say_goodbye(mut stream: Stream, mut last_words: BytesMut) -> io::Result<()> {
    poll_fn(|cx| stream.poll_write(cx, &mut last_words)).await?;
    poll_fn(|cx| stream.poll_finish(cx)).await?;
    let mut input = BytesMut::new();
    while poll_fn(|cx| stream.poll_read(cx, &mut input)).await? > 0 {
        input.clear();
    }
    Ok(())
}
