//! An MQTT-SN 1.2 client without IO: what a device does, for the commands `pub` and `sub` and for
//! whoever has to play a device.
//!
//! A [`Client`] is told what to do ([`Client::publish`], [`Client::subscribe`], …), is fed with
//! datagrams and with the time, and is drained of datagrams ([`Client::poll_transmit`]) and of
//! events ([`Client::poll_event`]). It reads no clock and opens no socket.
//!
//! Requests are made in order, one at a time, as MQTT-SN 1.2 §6.6 demands of a client; each is
//! repeated until it is answered (§6.13).
//!
//! A client may sleep (§6.14): [`Client::sleep`], then now and then [`Client::collect`] or
//! [`Client::wake`].

mod connect;
mod receive;
mod request;
mod sleep;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::codec::{BufferTooSmall, Message, Qos, ReturnCode};
use crate::time::Time;
use request::Request;

/// Names one request until its event comes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u64);

/// What a client is and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Client id, 1 to 23 octets by the specification; not checked here.
    pub client_id: String,
    /// Keep-alive in seconds; zero turns it off.
    pub keep_alive: u16,
    /// Begin with nothing: no subscriptions, no will, no messages kept.
    pub clean_session: bool,
    /// What the gateway publishes when the client is lost.
    pub will: Option<Will>,
    /// How long an answer may take before the request is repeated (T_retry).
    pub retry_interval: Duration,
    /// How often a request is repeated (N_retry).
    pub retry_count: u32,
    /// Use names of two octets as they are, as short topic names, without registering them.
    pub short_topics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: "client".to_owned(),
            keep_alive: 60,
            clean_session: true,
            will: None,
            retry_interval: Duration::from_secs(10),
            retry_count: 3,
            short_topics: true,
        }
    }
}

/// A will.
#[derive(Clone, Debug)]
pub struct Will {
    /// Topic name, not empty.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS 0, 1 or 2.
    pub qos: Qos,
    /// Retain.
    pub retain: bool,
}

/// What is published to or subscribed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Topic {
    /// A topic name, or a filter in a subscription.
    Name(String),
    /// A topic id that both sides know beforehand.
    Predefined(u16),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            // No topic name has a `#` in it.
            Self::Predefined(id) => write!(f, "#{id}"),
        }
    }
}

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where.
    pub topic: Topic,
    /// What.
    pub payload: Vec<u8>,
    /// QoS 0, 1 or 2; for QoS −1 there is [`Client::publish_unconnected`].
    pub qos: Qos,
    /// Retain.
    pub retain: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The gateway accepted the connection.
    Connected,
    /// A publication is done: sent (QoS 0), acknowledged (QoS 1) or completed (QoS 2), or refused.
    Published(RequestId, Result<(), Refusal>),
    /// The gateway answered a subscription with the granted QoS, or refused it.
    Subscribed(RequestId, Result<Qos, Refusal>),
    /// The gateway answered an UNSUBSCRIBE.
    Unsubscribed(RequestId),
    /// A message. One event for each message at QoS 2.
    Message(Incoming),
    /// The gateway refused a publication that is already over, as it may at QoS 0.
    Rejected {
        /// Topic field of the refusal.
        topic_id: u16,
        /// Why.
        code: ReturnCode,
    },
    /// The connection ended as asked for, and the gateway said so.
    Disconnected,
    /// The gateway knows that we sleep.
    Asleep,
    /// The gateway has nothing more for us: asleep again.
    Collected,
    /// The gateway did not say that it has nothing more for us; asleep again all the same.
    NotCollected,
    /// The gateway gave a topic another id than before, in the same session.
    TopicIdChanged {
        /// The topic.
        topic: String,
        /// Its id so far.
        before: u16,
        /// Its id from now on.
        now: u16,
    },
    /// The gateway gave a topic id another meaning than before, in the same session.
    TopicIdReused {
        /// The id.
        topic_id: u16,
        /// The topic so far.
        before: String,
        /// The topic from now on.
        now: String,
    },
    /// The connection is over, or never came to be. [`Client::connect`] begins again; requests that
    /// were not answered are kept for it.
    Lost(Loss),
}

/// A message for us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incoming {
    /// Its topic, as a name if it has been told to us.
    pub topic: Topic,
    /// Payload.
    pub payload: Vec<u8>,
    /// QoS of the delivery.
    pub qos: Qos,
    /// Set on messages that were retained.
    pub retain: bool,
}

/// Why a request was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The gateway said no to this message of ours.
    Gateway(&'static str, ReturnCode),
    /// It does not fit into a packet.
    TooLarge,
    /// Too many requests wait already.
    TooMany,
}

/// Why there is no connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loss {
    /// The gateway refused the connection.
    Refused(ReturnCode),
    /// The gateway does not answer this message of ours.
    NoAnswer(&'static str),
    /// The gateway ended the connection.
    Ended,
}

/// An MQTT-SN client.
#[derive(Debug)]
pub struct Client {
    options: Options,
    phase: Phase,
    /// What is waited for, repeated until it is answered: one thing at a time.
    awaited: Option<Awaited>,
    /// An unanswered PINGREQ, beside that.
    ping: Option<Awaited>,
    requests: VecDeque<(RequestId, Request)>,
    next_request: u64,
    last_msg_id: u16,
    /// Topic ids by name, as the gateway assigned them; names by id.
    names: BTreeMap<u16, String>,
    /// QoS 2 messages that were passed on and are not yet released.
    received: BTreeSet<u16>,
    /// Those that were released last: a repetition may have been overtaken by its PUBREL.
    released: VecDeque<u16>,
    last_sent: Time,
    /// Messages that were sent again.
    repetitions: u64,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Idle,
    /// CONNECT, WILLTOPIC or WILLMSG was sent.
    Connecting,
    Connected,
    /// DISCONNECT was sent.
    Disconnecting,
    /// DISCONNECT with a duration was sent.
    FallingAsleep,
    /// The radio is off.
    Asleep,
    /// PINGREQ with our id was sent.
    Collecting,
}

/// A message of ours that has not been answered.
#[derive(Debug)]
struct Awaited {
    name: &'static str,
    datagram: Vec<u8>,
    due: Time,
    interval: Duration,
    tries_left: u32,
}

impl Awaited {
    /// Repeats the message if it is due, and says so; its name is the error if that was done often
    /// enough.
    fn repeat(&mut self, now: Time, outbox: &mut VecDeque<Vec<u8>>) -> Result<bool, &'static str> {
        if self.due > now {
            return Ok(false);
        }
        self.tries_left = self.tries_left.checked_sub(1).ok_or(self.name)?;
        self.due = now.after(self.interval);
        outbox.push_back(self.datagram.clone());
        Ok(true)
    }
}

/// Most topic names that are kept.
const MOST_NAMES: usize = 10_000;

/// Most requests that wait.
const MOST_REQUESTS: usize = 10_000;

/// Longest wait for the answer to a DISCONNECT: there is nothing left to lose.
const DISCONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Octets of PUBLISH in front of the payload, in the long form (MQTT-SN 1.2 §5.4.12).
const PUBLISH_OVERHEAD: usize = 9;

/// Longest payload of a message, octets: what a UDP datagram leaves for it.
pub const MAX_PAYLOAD: usize = 65_507 - PUBLISH_OVERHEAD;

impl Client {
    /// A client that does nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            phase: Phase::Idle,
            awaited: None,
            ping: None,
            requests: VecDeque::new(),
            next_request: 0,
            last_msg_id: 0,
            names: BTreeMap::new(),
            received: BTreeSet::new(),
            released: VecDeque::new(),
            last_sent: Time::default(),
            repetitions: 0,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The datagram of a publication without a connection (QoS −1, MQTT-SN 1.2 §6.8). Nothing comes
    /// back.
    ///
    /// # Errors
    /// The topic needs registering, so there is no such publication, or it is too large.
    pub fn publish_unconnected(publication: &Publication) -> Result<Vec<u8>, UnconnectedError> {
        let topic =
            request::short_or_predefined(&publication.topic).ok_or(UnconnectedError::Topic)?;
        let message = request::publish_message(publication, Qos::MinusOne, topic, 0, false);
        encode(&message).map_err(|_| UnconnectedError::TooLarge)
    }

    /// Whether the gateway has accepted us.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether the radio is off: what the gateway sends now is not heard.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.phase == Phase::Asleep
    }

    /// Whether the gateway keeps a session for us, as far as we know: connected, asleep or in
    /// between.
    #[must_use]
    pub fn has_session(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Connecting | Phase::Disconnecting)
    }

    /// How many messages were sent again because they were not answered in time.
    #[must_use]
    pub fn repetitions(&self) -> u64 {
        self.repetitions
    }

    /// Requests that are not done.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.requests.len()
    }

    /// Forgets the requests that are not done; nothing is said about them.
    pub fn forget_requests(&mut self) {
        self.requests.clear();
        if self.phase == Phase::Connected {
            self.awaited = None;
        }
    }

    /// The next datagram to be sent, until there is none. To be asked after every other call.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// The next event, until there is none. To be asked after every other call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let awaited = self.awaited.as_ref().map(|awaited| awaited.due);
        let ping = match &self.ping {
            Some(ping) => Some(ping.due),
            None => self.ping_due(),
        };
        [awaited, ping].into_iter().flatten().min()
    }

    /// Repeats what was not answered in time, and keeps the connection alive.
    pub fn handle_timeout(&mut self, now: Time) {
        let unanswered = self.awaited.iter_mut().chain(self.ping.iter_mut());
        let mut again = 0;
        for awaited in unanswered {
            match awaited.repeat(now, &mut self.outbox) {
                Ok(repeated) => again += u64::from(repeated),
                Err(name) => return self.give_up(name),
            }
        }
        if again > 0 {
            self.repetitions += again;
            self.last_sent = now;
        }
        if self.ping.is_none() && self.ping_due().is_some_and(|due| due <= now) {
            self.ping = self.await_answer(now, &Message::PingReq { client_id: &[] });
        }
    }

    /// When silence has lasted three quarters of the keep-alive: a PINGREQ is due.
    fn ping_due(&self) -> Option<Time> {
        let interval = Duration::from_millis(u64::from(self.options.keep_alive) * 750);
        let alive = self.phase == Phase::Connected && !interval.is_zero();
        alive.then(|| self.last_sent.after(interval))
    }

    /// Nobody answers: over.
    fn give_up(&mut self, name: &'static str) {
        let event = match self.phase {
            // What mattered was done before.
            Phase::Disconnecting => Event::Disconnected,
            // The battery comes first (§6.14); there will be another time.
            Phase::Collecting => return self.rest(Event::NotCollected),
            _ => Event::Lost(Loss::NoAnswer(name)),
        };
        self.end(event);
    }

    fn end(&mut self, event: Event) {
        self.phase = Phase::Idle;
        self.awaited = None;
        self.ping = None;
        self.events.push_back(event);
    }

    /// Sends a message that needs no answer.
    fn send(&mut self, now: Time, message: &Message<'_>) {
        if let Ok(datagram) = encode(message) {
            self.last_sent = now;
            self.outbox.push_back(datagram);
        }
    }

    /// Sends a message and prepares its repetition; `None` if it does not fit into a packet.
    fn await_answer(&mut self, now: Time, message: &Message<'_>) -> Option<Awaited> {
        let mut datagram = encode(message).ok()?;
        self.last_sent = now;
        self.outbox.push_back(datagram.clone());
        request::mark_repeated(&mut datagram, message.name());
        let interval = match message {
            Message::Disconnect { duration: None } => {
                self.options.retry_interval.min(DISCONNECT_INTERVAL)
            }
            _ => self.options.retry_interval,
        };
        Some(Awaited {
            name: message.name(),
            datagram,
            due: now.after(interval),
            interval,
            tries_left: self.options.retry_count,
        })
    }

    /// A message id that is not in use: only one request is open at a time.
    fn next_msg_id(&mut self) -> u16 {
        self.last_msg_id = self.last_msg_id.checked_add(1).unwrap_or(1);
        self.last_msg_id
    }
}

/// Why there is no datagram for a publication without a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnconnectedError {
    /// The topic is neither predefined nor a name of two octets.
    Topic,
    /// It does not fit into a datagram.
    TooLarge,
}

fn encode(message: &Message<'_>) -> Result<Vec<u8>, BufferTooSmall> {
    let mut datagram = vec![0; message.encoded_len()];
    let length = message.encode(&mut datagram)?;
    datagram.truncate(length);
    Ok(datagram)
}
