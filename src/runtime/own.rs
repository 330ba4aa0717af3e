//! The connections of single clients (transparent mode). All of them are polled by the one loop, each
//! with a waker of its own, so that an idle one costs nothing but its memory.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hashbrown::HashMap;
use tokio::time::{Sleep, sleep};
use tracing::{debug, warn};

use super::machine::{ConnectionEnd, Machine};
use super::ways::Ways;
use crate::core::upstream::LineId;
use crate::engine::Wish;
use crate::mqtt::Backoff;
use crate::ops::RateLimit;
use crate::time::Time;
use crate::upstream::{Failures, Opened, Settings, Stream, open};

/// Most connections that are being opened at once: more would only make each of them slower, and the
/// broker refuse some.
const MAX_OPENING: usize = 256;
/// How long the broker may take to close a connection that has said its goodbye.
const LINGER: Duration = Duration::from_secs(2);
/// Reads from one connection in one turn.
const READS: usize = 4;

/// The connections, by number of the line.
pub(super) struct OwnConnections {
    settings: Settings,
    ways: Ways,
    /// Most that take a file each.
    most: usize,
    ready: Arc<Ready>,
    all: HashMap<u32, Box<Connection>, foldhash::fast::RandomState>,
    /// Those that wait for their turn to be opened.
    queue: VecDeque<u32>,
    opening: usize,
    input: BytesMut,
    /// Connections so far; seeds the pauses.
    count: u64,
    troubles: RateLimit<u8>,
    turn: Vec<Arc<Bell>>,
}

struct Connection {
    line: LineId,
    bell: Arc<Bell>,
    state: State,
    /// What is left of what the broker has sent: a part of a packet.
    rest: BytesMut,
    backoff: Backoff,
    /// Since when the broker accepts it.
    accepted: Option<Instant>,
}

enum State {
    /// For its turn.
    Queued,
    Waiting(Pin<Box<Sleep>>),
    Opening(Pin<Box<Attempt>>),
    Open(Stream),
    /// The goodbye is being written; then another one is opened, or none.
    Closing {
        stream: Stream,
        again: bool,
    },
    /// It is written, and the broker is to close.
    Lingering {
        stream: Stream,
        again: bool,
        until: Pin<Box<Sleep>>,
    },
}

type Attempt = dyn Future<Output = Result<(Opened, Failures), Failures>>;

/// Connections for which something may have happened.
#[derive(Default)]
struct Ready {
    bells: Mutex<Vec<Arc<Bell>>>,
    waker: Mutex<Option<Waker>>,
}

/// Wakes the loop for one connection.
struct Bell {
    number: u32,
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let ready = self.ready.clone();
        ready.bells.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        let waker = ready.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl OwnConnections {
    /// No more than `most` of them at once.
    pub(super) fn new(settings: Settings, ways: Ways, most: usize) -> Self {
        Self {
            settings,
            ways,
            most,
            ready: Arc::default(),
            all: HashMap::default(),
            queue: VecDeque::new(),
            opening: 0,
            input: BytesMut::new(),
            count: 0,
            troubles: RateLimit::new(5, Duration::from_secs(60), 8),
            turn: Vec::new(),
        }
    }

    /// Takes new connections and what the broker has sent. Ready if there was something.
    pub(super) fn poll<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut M,
        now: Time,
    ) -> bool {
        self.watch(cx);
        let mut busy = self.grant_wishes(machine, now);
        let mut turn = std::mem::take(&mut self.turn);
        std::mem::swap(
            &mut turn,
            &mut self.ready.bells.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for bell in turn.drain(..) {
            bell.rung.store(false, Ordering::Release);
            busy = true;
            self.attend(machine, now, bell.number);
        }
        self.turn = turn;
        busy |= self.grant_wishes(machine, now);
        busy |= self.open_queued(machine, now);
        busy
    }

    /// Writes what the turn has left for the broker.
    pub(super) fn write<M: Machine>(&mut self, machine: &mut M, now: Time) -> bool {
        let mut busy = false;
        while let Some(line) = machine.take_speaking() {
            busy = true;
            let Some(connection) = self.all.get_mut(&line.number()) else { continue };
            let waker = Waker::from(connection.bell.clone());
            let cx = &mut Context::from_waker(&waker);
            let State::Open(stream) = &mut connection.state else { continue };
            let Some(output) = machine.broker_output(line) else { continue };
            if let Poll::Ready(Err(error)) = stream.poll_write(cx, output) {
                self.broken(machine, now, line.number(), &error);
            }
        }
        busy |= self.grant_wishes(machine, now);
        busy
    }

    /// Says goodbye by all of them, and waits until the broker has closed. Ready when there is none
    /// left.
    pub(super) fn poll_goodbyes<M: Machine>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut M,
        now: Time,
    ) -> Poll<()> {
        self.queue.clear();
        let numbers: Vec<u32> = self.all.keys().copied().collect();
        for number in numbers {
            let Some(connection) = self.all.get(&number) else { continue };
            if matches!(connection.state, State::Open(_)) {
                self.close(machine, now, number, false);
            } else if !matches!(connection.state, State::Closing { .. } | State::Lingering { .. }) {
                self.remove(number);
            }
        }
        self.poll(cx, machine, now);
        if self.all.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.ready.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    fn grant_wishes<M: Machine>(&mut self, machine: &mut M, now: Time) -> bool {
        let mut busy = false;
        while let Some(wish) = machine.take_wish() {
            busy = true;
            match wish {
                Wish::Open(line) => self.want(machine, now, line),
                Wish::Close(line) => self.close(machine, now, line.number(), false),
                Wish::Cut(line) => {
                    if let Some(connection) = self.all.get_mut(&line.number())
                        && let State::Open(_) = connection.state
                    {
                        connection.state = State::Queued;
                        machine.broker_closed(now, line);
                        self.enqueue(line.number());
                    }
                }
            }
        }
        busy
    }

    /// There is to be a connection, or another one than there is.
    fn want<M: Machine>(&mut self, machine: &mut M, now: Time, line: LineId) {
        let number = line.number();
        self.count += 1;
        let (seed, settings) = (self.count, &self.settings);
        let known = self.all.entry(number).or_insert_with(|| {
            let ready = self.ready.clone();
            Box::new(Connection {
                line,
                bell: Arc::new(Bell { number, rung: AtomicBool::new(false), ready }),
                state: State::Queued,
                rest: BytesMut::new(),
                backoff: Backoff::new(settings.reconnect_min, settings.reconnect_max, seed),
                accepted: None,
            })
        });
        match &mut known.state {
            State::Open(_) => self.close(machine, now, number, true),
            State::Closing { again, .. } | State::Lingering { again, .. } => *again = true,
            State::Opening(_) => {}
            State::Queued | State::Waiting(_) => {
                known.state = State::Queued;
                self.enqueue(number);
            }
        }
    }

    fn enqueue(&mut self, number: u32) {
        self.queue.push_back(number);
        // Numbers may come and go in any number while the broker does not answer.
        if self.queue.len() > 2 * self.all.len() + 64 {
            let all = &self.all;
            self.queue.retain(|number| {
                all.get(number).is_some_and(|one| matches!(one.state, State::Queued))
            });
        }
    }

    /// How the brokers are reached.
    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// From now on the brokers are reached so.
    pub(super) fn set_ways(&mut self, ways: Ways) {
        self.ways = ways;
    }

    /// Whether one more connection would be too many.
    fn is_full(&self) -> bool {
        // Counted only where it may be so.
        self.all.len() > self.most
            && self
                .all
                .values()
                .filter(|one| !matches!(one.state, State::Queued | State::Waiting(_)))
                .count()
                >= self.most
    }

    fn open_queued<M: Machine>(&mut self, machine: &mut M, now: Time) -> bool {
        let mut busy = false;
        while self.opening < MAX_OPENING
            && let Some(number) = self.queue.pop_front()
        {
            let Some(connection) = self.all.get(&number) else { continue };
            if !matches!(connection.state, State::Queued) {
                continue;
            }
            let line = connection.line;
            if self.is_full() {
                if let Some(allowed) = self.troubles.allow(Instant::now(), 1) {
                    warn!(
                        "client {}: no connection: {} clients have one, and the limit of open files \
                         allows no more{allowed}",
                        name(machine, line),
                        self.most
                    );
                }
                self.pause(number);
                machine.broker_unreachable(now, line);
                busy = true;
                continue;
            }
            let brokers = self.ways.of(machine.line_rule(line)).clone();
            let Some(connection) = self.all.get_mut(&number) else { continue };
            connection.state =
                State::Opening(Box::pin(
                    async move { open(&brokers, 0..brokers.servers.len()).await },
                ));
            self.opening += 1;
            // Looked at in the next turn.
            connection.bell.clone().wake();
        }
        if busy {
            self.grant_wishes(machine, now);
        }
        busy
    }

    /// Something may have happened.
    fn attend<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32) {
        let Some(connection) = self.all.get_mut(&number) else { return };
        let line = connection.line;
        let waker = Waker::from(connection.bell.clone());
        let cx = &mut Context::from_waker(&waker);
        match &mut connection.state {
            State::Queued => {}
            State::Waiting(pause) => {
                if pause.as_mut().poll(cx).is_ready() {
                    connection.state = State::Queued;
                    self.enqueue(number);
                }
            }
            State::Opening(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok((opened, _))) => {
                    self.opening -= 1;
                    connection.state = State::Open(opened.stream);
                    connection.rest.clear();
                    connection.accepted = None;
                    machine.broker_open(now, line);
                    // So that it knows whom to wake.
                    self.read(machine, now, number);
                }
                Poll::Ready(Err(failures)) => {
                    self.opening -= 1;
                    let why = failures.last().map(|(_, failure)| failure.to_string());
                    debug!(
                        "client {}: no connection: {}",
                        name(machine, line),
                        why.unwrap_or_default()
                    );
                    self.pause(number);
                    machine.broker_unreachable(now, line);
                }
            },
            State::Open(stream) => {
                if stream.has_unflushed()
                    && let Some(output) = machine.broker_output(line)
                    && let Poll::Ready(Err(error)) = stream.poll_write(cx, output)
                {
                    return self.broken(machine, now, number, &error);
                }
                self.read(machine, now, number);
            }
            State::Closing { .. } | State::Lingering { .. } => {
                self.say_goodbye(machine, now, number)
            }
        }
    }

    fn read<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32) {
        for _ in 0..READS {
            let Some(connection) = self.all.get_mut(&number) else { return };
            let line = connection.line;
            let waker = Waker::from(connection.bell.clone());
            let cx = &mut Context::from_waker(&waker);
            let State::Open(stream) = &mut connection.state else { return };
            self.input.clear();
            self.input.extend_from_slice(&connection.rest);
            match stream.poll_read(cx, &mut self.input) {
                Poll::Pending => {
                    // What waits to be written is written as soon as there is room.
                    if let Some(output) = machine.broker_output(line).filter(|o| !o.is_empty())
                        && let Poll::Ready(Err(error)) = stream.poll_write(cx, output)
                    {
                        self.broken(machine, now, number, &error);
                    }
                    return;
                }
                Poll::Ready(Ok(0)) => {
                    debug!("client {}: the broker closed the connection", name(machine, line));
                    machine.broker_hung_up(line);
                    return self.ended(machine, now, number, false);
                }
                Poll::Ready(Err(error)) => return self.broken(machine, now, number, &error),
                Poll::Ready(Ok(_)) => {
                    let result = machine.broker_input(now, line, &mut self.input);
                    connection.rest.clear();
                    connection.rest.extend_from_slice(&self.input);
                    if connection.rest.is_empty() {
                        connection.rest = BytesMut::new();
                    }
                    if connection.accepted.is_none() && machine.broker_accepted(line).is_some() {
                        connection.accepted = Some(Instant::now());
                    }
                    if let Err(error) = result {
                        return self.session_ended(machine, now, line, &error);
                    }
                }
            }
        }
        if let Some(connection) = self.all.get(&number) {
            // There may be more; others have their turn first.
            connection.bell.clone().wake();
        }
    }

    /// The session is done with a connection.
    pub(super) fn session_ended<M: Machine>(
        &mut self,
        machine: &mut M,
        now: Time,
        line: LineId,
        error: &M::Error,
    ) {
        let Some(connection) = self.all.get_mut(&line.number()) else { return };
        let State::Open(stream) = &mut connection.state else { return };
        // It may have left a last word for the broker, such as why.
        if let Some(output) = machine.broker_output(line) {
            let waker = Waker::from(connection.bell.clone());
            let _ = stream.poll_write(&mut Context::from_waker(&waker), output);
        }
        let at_once = error.reconnect_at_once();
        if at_once {
            debug!("client {}: {}; connecting again", name(machine, line), error.of_client());
        } else if let Some(allowed) = self.troubles.allow(Instant::now(), 0) {
            warn!("client {}: {}{allowed}", name(machine, line), error.of_client());
        }
        self.ended(machine, now, line.number(), at_once);
    }

    fn broken<M: Machine>(
        &mut self,
        machine: &mut M,
        now: Time,
        number: u32,
        error: &std::io::Error,
    ) {
        let Some(connection) = self.all.get(&number) else { return };
        debug!("client {}: {error}", name(machine, connection.line));
        machine.broker_hung_up(connection.line);
        self.ended(machine, now, number, false);
    }

    /// The connection is gone; another one takes its place.
    fn ended<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32, at_once: bool) {
        let Some(connection) = self.all.get_mut(&number) else { return };
        let line = connection.line;
        if let Some(since) = connection.accepted.take() {
            connection.backoff.lived(since.elapsed());
        }
        connection.rest = BytesMut::new();
        if at_once {
            connection.state = State::Queued;
            self.enqueue(number);
        } else {
            self.pause(number);
        }
        machine.broker_closed(now, line);
        if let Some(output) = machine.broker_output(line) {
            output.clear();
        }
    }

    fn pause(&mut self, number: u32) {
        let Some(connection) = self.all.get_mut(&number) else { return };
        connection.state = State::Waiting(Box::pin(sleep(connection.backoff.next_delay())));
        connection.bell.clone().wake();
    }

    /// Ends a connection, with what it still has to say.
    fn close<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32, again: bool) {
        let line = LineId::from_number(number);
        let Some(connection) = self.all.get_mut(&number) else {
            return machine.broker_closed(now, line);
        };
        match std::mem::replace(&mut connection.state, State::Queued) {
            State::Open(stream) => {
                connection.state = State::Closing { stream, again };
                self.say_goodbye(machine, now, number);
            }
            State::Closing { stream, .. } => {
                connection.state = State::Closing { stream, again };
            }
            State::Lingering { stream, until, .. } => {
                connection.state = State::Lingering { stream, again, until };
            }
            other => {
                connection.state = other;
                self.remove(number);
                machine.broker_closed(now, line);
            }
        }
    }

    fn say_goodbye<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32) {
        let Some(connection) = self.all.get_mut(&number) else { return };
        let waker = Waker::from(connection.bell.clone());
        let cx = &mut Context::from_waker(&waker);
        let line = connection.line;
        if let State::Closing { stream, .. } = &mut connection.state {
            let mut nothing = BytesMut::new();
            let output = machine.broker_output(line).unwrap_or(&mut nothing);
            let Poll::Ready(written) = stream.poll_write(cx, output) else { return };
            if written.is_ok() && stream.poll_finish(cx).is_pending() {
                return;
            }
            let state = std::mem::replace(&mut connection.state, State::Queued);
            if let State::Closing { stream, again } = state {
                let until = Box::pin(sleep(LINGER));
                connection.state = State::Lingering { stream, again, until };
            }
        }
        let State::Lingering { stream, until, .. } = &mut connection.state else { return };
        // Closed with something unread it would be reset, and the reset may overtake the goodbye.
        loop {
            self.input.clear();
            match stream.poll_read(cx, &mut self.input) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return self.gone(machine, now, number),
            }
        }
        if until.as_mut().poll(cx).is_ready() {
            self.gone(machine, now, number);
        }
    }

    /// The goodbye is over.
    fn gone<M: Machine>(&mut self, machine: &mut M, now: Time, number: u32) {
        let Some(connection) = self.all.get_mut(&number) else { return };
        let line = connection.line;
        let again = matches!(
            connection.state,
            State::Lingering { again: true, .. } | State::Closing { again: true, .. }
        );
        if again {
            connection.state = State::Queued;
            connection.rest = BytesMut::new();
            self.enqueue(number);
        } else {
            self.remove(number);
        }
        machine.broker_closed(now, line);
        if let Some(output) = machine.broker_output(line) {
            output.clear();
        }
    }

    fn remove(&mut self, number: u32) {
        if let Some(connection) = self.all.remove(&number)
            && matches!(connection.state, State::Opening(_))
        {
            self.opening -= 1;
        }
    }
}

/// Whose connection it is, for a log line.
fn name<M: Machine>(machine: &M, line: LineId) -> String {
    machine.line_name(line).unwrap_or_else(|| "(gone)".to_owned())
}
