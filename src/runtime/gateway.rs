//! The loop.

mod answers;
mod capture;
mod renewal;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tracing::{info, warn};

use super::diary::Diary;
use super::links::Link;
use super::machine::{ConnectionEnd, Machine};
use super::notices::Notices;
use super::own::OwnConnections;
use super::pulse::Pulse;
use super::reload::Reload;
use super::timer::{Clock, Timer};
use super::traffic::Traffic;
use super::whose::Callers;
use crate::admin::{Questions, ReloadReply};
use crate::capture::Setup;
use crate::core::upstream::LineId;
use crate::ops::signals::{Signal, Signals};
use crate::store::writer::Writer;
use crate::time::Time;
use crate::transport::udp::ReceiveBuffers;
use crate::upstream::{BrokerConnection, Ended};
use capture::Capture;

/// How long the broker may take to receive our goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long the disk may take to receive what is left.
const LAST_COMMITS: Duration = Duration::from_secs(2);

/// Everything that runs.
pub(super) struct Gateway<M> {
    machine: M,
    clock: Clock,
    timer: Timer,
    links: Vec<Link>,
    buffers: ReceiveBuffers,
    /// Those that clients share.
    brokers: Vec<Shared>,
    /// Those of single clients.
    own: OwnConnections,
    /// What the machine wants to survive is written here, if it is to survive at all.
    store: Option<Writer>,
    signals: Signals,
    /// Reads the configuration again, if it came from somewhere.
    reload: Option<Reload>,
    /// Who wants to know what became of it.
    reloading: Vec<ReloadReply>,
    notices: Notices,
    traffic: Traffic,
    /// The present one, or the last, for those who ask how it ended.
    capture: Option<Box<Capture>>,
    /// If somebody may ask for it.
    diary: Option<Diary>,
    /// Who has called in this turn.
    callers: Callers,
    started: SystemTime,
    /// From the admin interface, if there is one.
    questions: Option<Questions>,
    /// The service manager, if there is one.
    pulse: Option<Pulse>,
    /// A deadline that has been served is not served again within the same millisecond.
    served: Option<Time>,
}

/// What the loop joins with a machine.
pub(super) struct Parts {
    pub(super) links: Vec<Link>,
    /// Those that clients share.
    pub(super) brokers: Vec<BrokerConnection>,
    /// Those of single clients.
    pub(super) own: OwnConnections,
    pub(super) store: Option<Writer>,
    pub(super) signals: Signals,
    pub(super) reload: Option<Reload>,
    pub(super) clock: Clock,
    pub(super) questions: Option<Questions>,
    pub(super) pulse: Option<Pulse>,
}

/// A connection to the broker that clients share.
struct Shared {
    line: LineId,
    connection: BrokerConnection,
    input: BytesMut,
}

/// How the loop goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    /// Everything that was there has been taken.
    Done,
    /// Somebody has more, and the others shall not wait.
    More,
    /// A signal asks for the end.
    Stop(Signal),
}

impl<M: Machine> Gateway<M> {
    /// Must be called inside the runtime.
    pub(super) fn new(
        Parts { links, brokers, own, store, signals, reload, clock, questions, pulse }: Parts,
        make: impl FnOnce(Time) -> M,
    ) -> Self {
        let brokers = brokers.into_iter().zip(0..).map(|(connection, number)| Shared {
            line: LineId::shared(number),
            connection,
            input: BytesMut::new(),
        });
        let names: Vec<String> = links.iter().map(ToString::to_string).collect();
        Self {
            diary: questions.as_ref().map(|_| Diary::new(&names)),
            callers: Callers::default(),
            notices: Notices::new(names),
            traffic: Traffic::new(links.len()),
            capture: None,
            started: SystemTime::now(),
            questions,
            pulse,
            machine: make(clock.now()),
            timer: Timer::new(&clock),
            clock,
            links,
            buffers: ReceiveBuffers::default(),
            brokers: brokers.collect(),
            own,
            store,
            signals,
            reload,
            reloading: Vec::new(),
            served: None,
        }
    }

    /// Runs until a signal ends it, with a capture if there is to be one from the start.
    pub(super) async fn run(mut self, capture: Option<Setup>) {
        if let Some(Err(why)) = capture.map(|setup| self.start_capture(setup)) {
            warn!("there is no capture: {why}");
        }
        if let Some(pulse) = &self.pulse {
            pulse.ready();
        }
        let signal = loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::Done => {}
                // Lets the driver look for events on the other sockets.
                Turn::More => tokio::task::yield_now().await,
                Turn::Stop(signal) => break signal,
            }
        };
        info!("{signal}: stopping; handled {}", self.machine.summary());
        self.stop().await;
    }

    /// One turn: takes, gives to the machine, has written what must survive, sends. Pending if there was nothing to take; every
    /// source then knows whom to wake.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let now = self.clock.now();
        let mut busy = false;
        let mut more = false;
        if let Poll::Ready(signal) = self.signals.poll(cx) {
            if signal != Signal::Hangup {
                return Poll::Ready(Turn::Stop(signal));
            }
            info!("SIGHUP; so far: {}", self.machine.summary());
            if !self.start_reload() {
                info!("there is no configuration to be read again");
            }
            busy = true;
        }
        busy |= self.poll_reload(cx, now).is_ready();
        busy |= self.poll_questions(cx, now).is_ready();
        self.poll_pulse(cx);
        for link in &mut self.links {
            let (machine, traffic, id) = (&mut self.machine, &mut self.traffic, link.id());
            let (diary, callers) = (&mut self.diary, &mut self.callers);
            let mut capture = capture::open(&mut self.capture);
            let taken =
                link.poll_receive(cx, now, &mut self.buffers, &mut |from, signal, bytes| {
                    traffic.received(id, signal, bytes);
                    let before = machine.outgoing().items().len();
                    machine.datagram(now, id, from, signal, bytes);
                    if diary.is_none() && capture.is_none() {
                        return;
                    }
                    callers.add(before..machine.outgoing().items().len(), bytes);
                    let Some(engine) = machine.engine() else { return };
                    if let Some(diary) = diary {
                        diary.received(now, engine.gateway(), id, from, bytes);
                    }
                    if let Some(capture) = &mut capture {
                        capture.received(engine, id, from, signal, bytes);
                    }
                });
            if let Poll::Ready(taken) = taken {
                busy = true;
                more |= taken.more;
            }
            // As the last turn has left it. If that wrote something, there is this turn to tell.
            link.tell_room(&mut self.machine, now);
        }
        for which in 0..self.brokers.len() {
            busy |= self.poll_broker(cx, now, which).is_ready();
        }
        busy |= self.own.poll(cx, &mut self.machine, now);
        busy |= self.poll_timer(cx, now).is_ready();
        busy |= self.poll_store(cx).is_ready();
        busy |= self.transmit(cx, now);
        for which in 0..self.brokers.len() {
            busy |= self.poll_write(cx, now, which).is_ready();
        }
        busy |= self.own.write(&mut self.machine, now);
        match (busy, more) {
            (false, _) => Poll::Pending,
            (true, false) => Poll::Ready(Turn::Done),
            (true, true) => Poll::Ready(Turn::More),
        }
    }

    /// Takes a new connection, a better one than the present, or what the broker has sent.
    fn poll_broker(&mut self, cx: &mut Context<'_>, now: Time, which: usize) -> Poll<()> {
        let Some(Shared { line, connection, input }) = self.brokers.get_mut(which) else {
            return Poll::Pending;
        };
        let line = *line;
        if connection.poll_open(cx).is_ready() {
            input.clear();
            if let Some(output) = self.machine.broker_output(line) {
                output.clear();
            }
            self.machine.broker_open(now, line);
        } else if let Poll::Ready(better) = connection.poll_better(cx) {
            self.machine.broker_leave(now, line);
            let last_words = self.machine.broker_output(line).map(|output| output.split());
            connection.move_to(cx, better, last_words.unwrap_or_default());
            input.clear();
            self.machine.broker_closed(now, line);
            if let Some(output) = self.machine.broker_output(line) {
                output.clear();
            }
            self.machine.broker_open(now, line);
        } else {
            match ready!(connection.poll_read(cx, input)) {
                Ok(0) => self.broker_ended(now, which, &Ended::Closed),
                Ok(_) => match self.machine.broker_input(now, line, input) {
                    Ok(()) => {
                        if let Some(accepted) = self.machine.broker_accepted(line) {
                            connection.accepted(accepted);
                        }
                    }
                    Err(error) => self.session_ended(cx, now, which, &error),
                },
                Err(error) => self.broker_ended(now, which, &Ended::Io(error)),
            }
        }
        Poll::Ready(())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<()> {
        let deadline = self.machine.next_timeout().map(|deadline| match self.served {
            Some(served) => deadline.max(served.after(Duration::from_millis(1))),
            None => deadline,
        });
        ready!(self.timer.poll(cx, &self.clock, now, deadline));
        // The timer may have gone off while this turn was busy.
        let now = self.clock.now();
        self.served = Some(now);
        self.machine.timeout(now);
        while let Some((line, error)) = self.machine.take_ended() {
            if line.is_own() {
                self.own.session_ended(&mut self.machine, now, line, &error);
            } else {
                self.session_ended(cx, now, line.number() as usize, &error);
            }
        }
        Poll::Ready(())
    }

    /// Takes the outcome of a commit, and begins the next one. Ready if there was an outcome, which
    /// may have set things free that wait.
    fn poll_store(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(store) = &mut self.store else { return Poll::Pending };
        let now = self.clock.now();
        let was_busy = store.is_busy();
        if was_busy {
            let outcome = ready!(store.poll_outcome(cx));
            self.machine.committed(now, outcome);
        }
        if let Some(commit) = self.machine.commit(now) {
            store.submit(commit);
            // So that it knows whom to wake.
            if let Poll::Ready(outcome) = store.poll_outcome(cx) {
                self.machine.committed(now, outcome);
                return Poll::Ready(());
            }
        }
        if was_busy { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sends the datagrams of this turn, and what earlier ones left behind.
    fn transmit(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let some = !self.machine.outgoing().items().is_empty();
        let mut progress = false;
        if some {
            self.traffic.sent(self.machine.outgoing());
        }
        // What has come is written even if there is no answer.
        self.capture_sent();
        for link in &mut self.links {
            if some {
                link.transmit(self.machine.outgoing());
            }
            progress |= link.poll_flush(cx, now).is_ready();
            link.watch();
        }
        self.notices.write(self.machine.outgoing());
        self.write_diary(now);
        if some || !self.machine.outgoing().notices().is_empty() {
            self.machine.clear();
            self.callers.clear();
        }
        progress
    }

    /// What was noticed comes before what was sent because of it.
    fn write_diary(&mut self, now: Time) {
        let Self { diary: Some(diary), machine, notices, callers, .. } = self else { return };
        let Some(engine) = machine.engine() else { return };
        let (gateway, effects) = (engine.gateway(), engine.outgoing());
        diary.noticed(now, gateway, effects, notices.links());
        diary.sent(now, gateway, effects, callers);
    }

    /// Writes what the turn left for the broker.
    fn poll_write(&mut self, cx: &mut Context<'_>, now: Time, which: usize) -> Poll<()> {
        let Some(Shared { line, connection, .. }) = self.brokers.get_mut(which) else {
            return Poll::Pending;
        };
        let Some(output) = self.machine.broker_output(*line) else { return Poll::Pending };
        if output.is_empty() && !connection.has_unflushed() {
            return Poll::Pending;
        }
        match ready!(connection.poll_write(cx, output)) {
            Ok(()) => {}
            Err(error) => self.broker_ended(now, which, &Ended::Io(error)),
        }
        Poll::Ready(())
    }

    fn session_ended(&mut self, cx: &mut Context<'_>, now: Time, which: usize, error: &M::Error) {
        let Some(Shared { line, connection, .. }) = self.brokers.get_mut(which) else { return };
        // It may have left a last word for the broker, such as why.
        if let Some(output) = self.machine.broker_output(*line) {
            let _ = connection.poll_write(cx, output);
        }
        let at_once = error.reconnect_at_once();
        self.broker_ended(now, which, &Ended::Session { why: error, at_once });
    }

    fn broker_ended(&mut self, now: Time, which: usize, why: &Ended<'_>) {
        let Some(Shared { line, connection, input }) = self.brokers.get_mut(which) else { return };
        if connection.is_open() {
            connection.ended(why);
            *input = BytesMut::new();
            if matches!(why, Ended::Closed | Ended::Io(_)) {
                self.machine.broker_hung_up(*line);
            }
            self.machine.broker_closed(now, *line);
            if let Some(output) = self.machine.broker_output(*line) {
                output.clear();
            }
        }
    }

    /// Says goodbye to the broker and writes what is left, within time limits; the goodbye until a
    /// second signal.
    async fn stop(mut self) {
        if let Some(pulse) = &self.pulse {
            pulse.stopping();
        }
        // Whoever asks is told at once.
        self.questions = None;
        self.end_capture("the gateway has stopped");
        // Nothing is taken from devices any more; what they repeat finds the next gateway.
        for link in &mut self.links {
            link.sum_up();
        }
        self.links.clear();
        self.machine.shutdown(self.clock.now());
        let goodbye = self.say_goodbye().await;
        self.brokers.clear();
        let written = tokio::time::timeout(LAST_COMMITS, poll_fn(|cx| self.poll_last_commits(cx)));
        if written.await.is_err() {
            warn!(
                "the disk did not take the last of the state in time; the next start may miss it"
            );
        }
        self.finish_capture().await;
        match goodbye {
            Goodbye::Said => info!("stopped"),
            other => warn!("stopped; {other}"),
        }
    }

    async fn say_goodbye(&mut self) -> Goodbye {
        let Self { machine, brokers, own, signals, clock, .. } = self;
        let goodbye = poll_fn(|cx| {
            let own = own.poll_goodbyes(cx, machine, clock.now());
            let shared = poll_goodbyes(cx, machine, brokers);
            if own.is_pending() { Poll::Pending } else { shared }
        });
        let mut goodbye = pin!(tokio::time::timeout(GOODBYE, goodbye));
        poll_fn(move |cx| {
            if let Poll::Ready(signal) = signals.poll(cx)
                && signal != Signal::Hangup
            {
                return Poll::Ready(Goodbye::Cut(signal));
            }
            goodbye.as_mut().poll(cx).map(|result| match result {
                Ok(Ok(())) => Goodbye::Said,
                Ok(Err(error)) => Goodbye::Failed(error),
                Err(_) => Goodbye::TimedOut,
            })
        })
        .await
    }

    /// Ready when there is nothing left to write, or nothing can be written.
    fn poll_last_commits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(store) = &mut self.store else { return Poll::Ready(()) };
        loop {
            if store.is_busy() {
                let outcome = ready!(store.poll_outcome(cx));
                let failed = outcome.journal.is_err();
                self.machine.committed(self.clock.now(), outcome);
                self.notices.write(self.machine.outgoing());
                self.machine.clear();
                if failed {
                    return Poll::Ready(());
                }
            }
            match self.machine.commit(self.clock.now()) {
                Some(commit) => store.submit(commit),
                None => return Poll::Ready(()),
            }
        }
    }
}

/// How the goodbye to the broker went.
enum Goodbye {
    Said,
    Failed(io::Error),
    TimedOut,
    Cut(Signal),
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said => f.write_str("the broker knows"),
            Self::Failed(error) => write!(f, "the broker was not told: {error}"),
            Self::TimedOut => write!(f, "the broker did not take the goodbye in time"),
            Self::Cut(signal) => write!(f, "a second {signal} cut the goodbye to the broker short"),
        }
    }
}

/// Ready when every broker connection is done with; with the first error, if there was one.
fn poll_goodbyes<M: Machine>(
    cx: &mut Context<'_>,
    machine: &mut M,
    brokers: &mut Vec<Shared>,
) -> Poll<io::Result<()>> {
    let mut result = Ok(());
    brokers.retain_mut(|broker| {
        if !broker.connection.is_open() {
            return false;
        }
        match poll_goodbye(cx, machine, broker) {
            Poll::Pending => true,
            Poll::Ready(said) => {
                if result.is_ok() {
                    result = said;
                }
                false
            }
        }
    });
    if brokers.is_empty() || result.is_err() { Poll::Ready(result) } else { Poll::Pending }
}

/// Writes everything, says that no more will come, and reads until the broker closes. A socket
/// closed with something unread would be reset, and the reset may overtake the goodbye.
fn poll_goodbye<M: Machine>(
    cx: &mut Context<'_>,
    machine: &mut M,
    Shared { line, connection, input }: &mut Shared,
) -> Poll<io::Result<()>> {
    let output = machine.broker_output(*line);
    if let Some(output) = output.filter(|o| !o.is_empty() || connection.has_unflushed()) {
        ready!(connection.poll_write(cx, output))?;
    }
    // Fails only if the broker has hung up already.
    let _ = ready!(connection.poll_finish(cx));
    loop {
        input.clear();
        match ready!(connection.poll_read(cx, input)) {
            Ok(1..) => {}
            // It has closed, one way or the other, after it was told everything.
            Ok(0) | Err(_) => return Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
