//! What the gateway keeps about one client.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Deref;
use core::time::Duration;

use super::bulletin::Public;
use super::peer::Peer;
use super::policy::NO_RULE;
use super::profile::Profile;
use super::rare::{Absent, Rare};
use super::signal::Signal;
use super::slots::Handle;
use super::tight;
use super::topics::{ClientTopics, TopicRef};
use super::upstream::{LineId, MqttQos};
use crate::codec::{PublishTopic, ReturnCode};
use crate::time::Time;

/// A message id that comes again with the same content within this time of the last sign of it is a
/// repetition, with or without DUP: some stacks never set the bit.
pub(crate) const REPETITION: Duration = Duration::from_secs(60);

/// A moment that does not come.
pub(crate) const NEVER: Time = Time(u64::MAX);

/// Where a client stands (MQTT-SN 1.2 §6.14, figure 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// In the will dialogue; CONNACK has not been sent.
    Connecting,
    /// Connected.
    Active,
    /// Not to be disturbed until it says PINGREQ or CONNECT.
    Asleep,
    /// Between PINGREQ and PINGRESP: it collects what waits for it.
    Awake,
    /// Disconnected or lost; the session is kept.
    Gone,
}

impl State {
    /// It listens, so messages may be sent to it.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::Active | Self::Awake)
    }

    /// It has gone to sleep and has not connected since.
    pub(crate) fn sleeps(self) -> bool {
        matches!(self, Self::Asleep | Self::Awake)
    }
}

/// A will, published by the gateway when the client is lost.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) topic: Box<str>,
    pub(crate) message: Box<[u8]>,
    pub(crate) qos: MqttQos,
    pub(crate) retain: bool,
}

/// How the client named what it subscribed to; deliveries use the same form (§6.10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    Name,
    Predefined(u16),
    Short,
}

/// One subscription of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) filter: Handle,
    /// Where the client stands among those of the filter.
    pub(crate) place: u32,
    pub(crate) form: Form,
    /// The topic, when the filter has no wildcard (one user of it is held).
    pub(crate) exact: Option<TopicRef>,
}

/// How far an incoming QoS 1 or 2 publication is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Inbound {
    /// The broker has not answered.
    Pending,
    /// QoS 2: PUBREC was sent. `completed`: the broker has finished; `released`: PUBREL came.
    Received { completed: bool, released: bool },
    /// Answered with this code; kept to recognise repetitions.
    Done(ReturnCode),
}

/// An incoming QoS 1 or 2 publication.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publication {
    pub(crate) msg_id: u16,
    /// Topic of the PUBLISH, for the PUBACK.
    pub(crate) topic: PublishTopic,
    pub(crate) qos: MqttQos,
    pub(crate) stage: Inbound,
    /// Of everything but DUP.
    pub(crate) hash: u64,
    /// The request at the broker.
    pub(crate) request: Option<Handle>,
    /// Repetitions without DUP after its end.
    pub(crate) unmarked: u8,
    /// The client went to sleep over it: it is answered when it asks again.
    pub(crate) muted: bool,
    /// QoS 2: the gateway has the message, and has recorded that.
    pub(crate) recorded: bool,
    /// When it was last asked about or answered.
    pub(crate) at: Time,
}

/// SUBSCRIBE and UNSUBSCRIBE that are open or were answered lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) msg_id: u16,
    pub(crate) hash: u64,
    pub(crate) at: Time,
    pub(crate) stage: ExchangeStage,
    /// The client went to sleep over it: it is answered when it asks again.
    pub(crate) muted: bool,
}

/// The topic field of a SUBACK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AckId {
    /// The normal id at this position of the client's topics: the SUBACK makes it known.
    Normal { id: u16, position: usize },
    /// Predefined id, short name, or 0 for a wildcard.
    Other(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ExchangeStage {
    /// SUBSCRIBE that waits for the broker.
    Waiting { filter: Handle, requested: MqttQos, id: AckId },
    /// SUBSCRIBE, answered so.
    Subscribed { qos: MqttQos, id: AckId, code: ReturnCode },
    /// UNSUBSCRIBE, answered.
    Unsubscribed,
}

/// A message waiting for a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    pub(crate) message: Handle,
    pub(crate) qos: MqttQos,
    pub(crate) retain: bool,
    /// The broker's acknowledgement waits for this client.
    pub(crate) held: bool,
    /// It has been recorded that this message waits for this client.
    pub(crate) recorded: bool,
}

/// What the client has to answer before the next message goes to it (§24.14: one at a time).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound {
    pub(crate) queued: Queued,
    pub(crate) msg_id: u16,
    pub(crate) stage: OutboundStage,
    /// The PUBLISH has been sent before: repeat it with DUP.
    pub(crate) sent: bool,
    /// How often it was sent.
    pub(crate) tries: u8,
    /// What is to be sent next has not gone out because the link has no room: the client is in the
    /// line there.
    pub(crate) waits: bool,
    /// Corrections after "invalid topic id".
    pub(crate) corrections: u8,
    /// REGISTERs that a sleeping client left unanswered, over all its wakes.
    pub(crate) unanswered: u8,
    pub(crate) began: Time,
    pub(crate) deadline: Time,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OutboundStage {
    /// REGISTER sent, REGACK awaited; `position` in the client's topics.
    Register { position: u32 },
    /// PUBLISH sent, PUBACK or PUBREC awaited.
    Publish,
    /// PUBREL sent, PUBCOMP awaited.
    Release,
}

/// The will dialogue (§6.3).
#[derive(Debug)]
pub(crate) struct Dialogue {
    /// CONNECT came again after the topic: the client may have begun anew, and will say it again.
    pub(crate) again: bool,
    pub(crate) topic: Option<(Box<str>, MqttQos, bool)>,
    pub(crate) tries: u8,
    pub(crate) deadline: Time,
    /// The session goes on.
    pub(crate) resumed: bool,
    /// The client was asleep when it began.
    pub(crate) slept: bool,
    /// It is over, and the client waits for the broker to accept its connection.
    pub(crate) broker: bool,
}

impl Dialogue {
    /// One that has just begun: something has been asked once, and the answer is due at `deadline`.
    pub(crate) fn new(deadline: Time, resumed: bool) -> Self {
        Self { again: false, topic: None, tries: 1, deadline, resumed, slept: false, broker: false }
    }
}

/// The CONNECT that made the present connection, to tell its repetition from a new one (§24.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ConnectPrint {
    pub(crate) will: bool,
    pub(crate) clean: bool,
    pub(crate) duration: u16,
}

/// Sleep, and the wakes that interrupt it (§6.14).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nap {
    /// When it last fell asleep, or began to collect.
    pub(crate) since: Time,
    /// For how long it said that it would, last time; seconds.
    pub(crate) duration: u16,
    /// Messages that belong to its window and are still to be sent.
    pub(crate) promised: u32,
    /// Messages sent since it woke.
    pub(crate) collected: u32,
}

/// Two devices that fight over a client id are not believed for this long.
pub(crate) const QUARREL: Duration = Duration::from_secs(60);

/// How often the session moved from one address to another lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moves {
    pub(crate) count: u8,
    pub(crate) since: Time,
}

/// What is under way with a client. Most have nothing open most of the time, sleepers above all.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    pub(crate) publications: Vec<Publication>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) outbound: Option<Box<Outbound>>,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) queued_bytes: usize,
    pub(crate) dialogue: Option<Box<Dialogue>>,
    /// Nothing is delivered before this: the client asked for a pause (congestion).
    pub(crate) paused_until: Option<Time>,
    pub(crate) moves: Moves,
}

impl Busy {
    /// Nothing is under way any more, and nothing was that counts.
    fn is_over(&self, now: Time) -> bool {
        self.publications.is_empty()
            && self.exchanges.is_empty()
            && self.outbound.is_none()
            && self.queue.is_empty()
            && self.queued_bytes == 0
            && self.dialogue.is_none()
            && self.paused_until.is_none()
            && (self.moves.count == 0 || now.since(self.moves.since) >= QUARREL)
    }
}

/// What is read of a client that has nothing under way.
static IDLE: Busy = Busy {
    publications: Vec::new(),
    exchanges: Vec::new(),
    outbound: None,
    queue: VecDeque::new(),
    queued_bytes: 0,
    dialogue: None,
    paused_until: None,
    moves: Moves { count: 0, since: Time(0) },
};

impl Absent for Busy {
    fn absent() -> &'static Self {
        &IDLE
    }
}

/// A client id, without an allocation where it is as long as MQTT-SN 1.2 allows at most (23 octets) or
/// a little less.
#[derive(Debug)]
pub(crate) enum ClientId {
    Short { len: u8, octets: [u8; Self::SHORT] },
    Long(Box<str>),
}

impl ClientId {
    /// Longest id kept in place: what the size of the other form leaves room for.
    const SHORT: usize = 22;
}

const _: () = assert!(size_of::<ClientId>() == 24);

impl From<&str> for ClientId {
    fn from(id: &str) -> Self {
        let mut octets = [0; Self::SHORT];
        match octets.get_mut(..id.len()) {
            Some(place) => {
                place.copy_from_slice(id.as_bytes());
                Self::Short { len: id.len() as u8, octets }
            }
            None => Self::Long(id.into()),
        }
    }
}

impl Deref for ClientId {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match self {
            // It was a string.
            Self::Short { len, octets } => octets
                .get(..usize::from(*len))
                .and_then(|octets| core::str::from_utf8(octets).ok())
                .unwrap_or(""),
            Self::Long(id) => id,
        }
    }
}

/// One client record.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    /// Where it is, or was while it is not `bound`; `None` after a goodbye.
    pub(crate) peer: Option<Peer>,
    /// What comes from `peer` comes from this client.
    pub(crate) bound: bool,
    pub(crate) state: State,
    /// By which connection it is served.
    pub(crate) line: LineId,
    /// Position of its profile in [`Profile::ALL`].
    pub(crate) profile: u8,
    /// Number of its rule, or [`NO_RULE`].
    pub(crate) rule: u16,
    /// The table of predefined topics that it goes by: that of its rule at its last CONNECT.
    pub(crate) predefined: u16,
    pub(crate) nap: Nap,
    pub(crate) print: ConnectPrint,
    /// Nothing but CONNECT was heard since the CONNACK.
    pub(crate) fresh: bool,
    /// What has one value is to be recorded.
    pub(crate) changed: bool,
    pub(crate) connected_at: Time,
    pub(crate) last_heard: Time,
    /// What the timer wheel was told, or [`NEVER`].
    pub(crate) armed: Time,
    /// The same message id was seen with other content, or too often with the same: ids say little
    /// about this device.
    pub(crate) reuses_ids: bool,
    /// It has sent a PINGREQ since it connected.
    pub(crate) pinged: bool,
    /// Connections in a row that ended when their first ping was due.
    pub(crate) short_lives: u8,
    /// SUBSCRIBEs that wait for the broker.
    pub(crate) waiting: u8,
    pub(crate) next_msg_id: u16,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) topics: ClientTopics,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) busy: Rare<Busy>,
    /// Messages, the one in flight included, that the broker's acknowledgement waits for.
    pub(crate) held: u8,
    /// It is in the line of its link: its next message waits for room there.
    pub(crate) lined_up: bool,
    /// What the broker has to do with how it stands.
    pub(crate) public: Public,
    /// How its last packet was heard.
    pub(crate) signal: Signal,
}

const _: () = assert!(size_of::<Client>() <= 200);

/// How long clients may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supervision {
    pub(crate) keep_alive_permille: u32,
    pub(crate) sleep_permille: u32,
    pub(crate) session_expiry: Duration,
    /// A client that is awake and waits for room on its link.
    pub(crate) awake: Duration,
}

/// `seconds` with a tolerance, and at least a second more.
fn tolerated(seconds: u16, permille: u32) -> Duration {
    let seconds = u64::from(seconds);
    let tolerated = Duration::from_millis(seconds * u64::from(permille));
    tolerated.max(Duration::from_secs(seconds + 1))
}

impl Form {
    /// As one number, for records.
    pub(crate) fn to_bits(self) -> u32 {
        match self {
            Self::Name => 0,
            Self::Short => 1,
            Self::Predefined(id) => 2 + u32::from(id),
        }
    }

    /// From [`Self::to_bits`].
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            0 => Some(Self::Name),
            1 => Some(Self::Short),
            id => u16::try_from(id - 2).ok().map(Self::Predefined),
        }
    }
}

impl Client {
    pub(crate) fn new(id: &str, print: ConnectPrint, now: Time) -> Self {
        Self {
            id: id.into(),
            peer: None,
            bound: false,
            state: State::Gone,
            line: LineId::MAIN,
            profile: 0,
            rule: NO_RULE,
            predefined: 0,
            nap: Nap::default(),
            print,
            fresh: false,
            changed: false,
            connected_at: now,
            last_heard: now,
            armed: NEVER,
            reuses_ids: false,
            pinged: false,
            short_lives: 0,
            waiting: 0,
            next_msg_id: 0,
            will: None,
            topics: ClientTopics::default(),
            subscriptions: Vec::new(),
            busy: Rare::default(),
            held: 0,
            lined_up: false,
            public: Public::default(),
            signal: Signal::default(),
        }
    }

    /// A message id of the gateway towards this client: never 0, never the one in flight.
    pub(crate) fn allocate_msg_id(&mut self) -> u16 {
        let busy = self.busy.outbound.as_ref().map(|outbound| outbound.msg_id);
        loop {
            self.next_msg_id = self.next_msg_id.wrapping_add(1);
            if self.next_msg_id != 0 && Some(self.next_msg_id) != busy {
                return self.next_msg_id;
            }
        }
    }

    /// How long it may be silent: keep-alive with tolerance and a floor of one second on top;
    /// `idle` for a keep-alive of 0, which asks for no supervision (§24.19).
    pub(crate) fn allowed_silence(&self, tolerance_permille: u32, idle: Duration) -> Duration {
        if self.print.duration == 0 {
            return idle;
        }
        tolerated(self.print.duration, tolerance_permille)
    }

    /// Where it is.
    pub(crate) fn place(&self) -> Option<&Peer> {
        self.peer.as_ref().filter(|_| self.bound)
    }

    /// Its stack's quirks.
    pub(crate) fn profile(&self) -> &'static Profile {
        Profile::at(self.profile)
    }

    /// How long it may stay asleep: what it announced, with tolerance and the same floor.
    pub(crate) fn allowed_sleep(&self, tolerance_permille: u32) -> Duration {
        tolerated(self.nap.duration, tolerance_permille)
    }

    /// Since when it has been asleep without a sign of life.
    pub(crate) fn asleep_since(&self) -> Time {
        self.nap.since.max(self.last_heard)
    }

    /// When it will be up again, as it has announced.
    pub(crate) fn wakes_at(&self) -> Option<Time> {
        let nap = Duration::from_secs(self.nap.duration.into());
        self.state.sleeps().then(|| self.asleep_since().after(nap))
    }

    /// Nothing that would be missed if the session ended now.
    pub(crate) fn is_blank(&self) -> bool {
        self.subscriptions.is_empty()
            && self.topics.len() == 0
            && self.will.is_none()
            && self.busy.queue.is_empty()
            && self.busy.outbound.is_none()
            && self.busy.publications.is_empty()
    }

    /// It is in the will dialogue of a CONNECT that came in its sleep.
    pub(crate) fn wakes_up(&self) -> bool {
        self.busy.dialogue.as_deref().is_some_and(|dialogue| dialogue.slept)
    }

    /// What it has to answer.
    pub(crate) fn outbound_mut(&mut self) -> Option<&mut Outbound> {
        self.busy.get_mut()?.outbound.as_deref_mut()
    }

    /// Takes out what it has to answer.
    pub(crate) fn take_outbound(&mut self) -> Option<Box<Outbound>> {
        self.busy.get_mut()?.outbound.take()
    }

    /// Takes out all that waits for it.
    pub(crate) fn take_queue(&mut self) -> VecDeque<Queued> {
        self.busy.get_mut().map_or_else(VecDeque::new, |busy| core::mem::take(&mut busy.queue))
    }

    /// Its will dialogue.
    pub(crate) fn dialogue_mut(&mut self) -> Option<&mut Dialogue> {
        self.busy.get_mut()?.dialogue.as_deref_mut()
    }

    /// Its publications, to change what is there.
    pub(crate) fn publications_mut(&mut self) -> &mut [Publication] {
        self.busy.get_mut().map_or(&mut [], |busy| &mut busy.publications)
    }

    /// Its exchanges, to change what is there.
    pub(crate) fn exchanges_mut(&mut self) -> &mut [Exchange] {
        self.busy.get_mut().map_or(&mut [], |busy| &mut busy.exchanges)
    }

    /// Forgets what no repetition can ask for any more, and gives the memory back: most clients have
    /// nothing open most of the time. `parting`: the client says that it has all its answers, so that
    /// those to SUBSCRIBE and UNSUBSCRIBE are not kept; doing these again does no harm.
    pub(crate) fn forget_old(&mut self, now: Time, parting: bool) {
        let Some(busy) = self.busy.get_mut() else { return };
        tight::retain(&mut busy.exchanges, |exchange| {
            let waits = matches!(exchange.stage, ExchangeStage::Waiting { .. });
            waits || (!parting && now.since(exchange.at) < REPETITION)
        });
        tight::retain(&mut busy.publications, |publication| {
            let done = matches!(publication.stage, Inbound::Done(_));
            !done || now.since(publication.at) < REPETITION
        });
        if busy.queue.is_empty() {
            busy.queue = VecDeque::new();
        }
        if busy.is_over(now) {
            self.busy.give_back();
        }
    }

    /// The next moment at which something may have to be done about this client.
    pub(crate) fn deadline(&self, limits: &Supervision) -> Option<Time> {
        let idle = limits.session_expiry;
        let mut next = match self.state {
            State::Active => {
                let allowed = self.allowed_silence(limits.keep_alive_permille, idle);
                (!allowed.is_zero()).then(|| self.last_heard.after(allowed))
            }
            State::Asleep => {
                Some(self.asleep_since().after(self.allowed_sleep(limits.sleep_permille)))
            }
            State::Awake if self.lined_up => Some(self.last_heard.after(limits.awake)),
            // Bounded by the tries of what is being sent.
            State::Connecting | State::Awake => None,
            State::Gone => (!idle.is_zero()).then(|| self.last_heard.after(idle)),
        };
        let mut consider = |at: Option<Time>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        consider(self.busy.dialogue.as_ref().map(|dialogue| dialogue.deadline));
        if self.state.listens() {
            // Nothing is repeated during a pause, whatever the client still says.
            let pause = self.busy.paused_until;
            consider(pause.or(self.busy.outbound.as_ref().map(|outbound| outbound.deadline)));
        }
        next
    }
}
