//! What a person may want to know: refusals, losses, moves. Said once per event, by the core, in
//! terms of the device; whoever drives the core turns it into log lines and limits their rate.

use core::time::Duration;

use super::effects::Span;
use super::peer::{Address, LinkId};
use super::stats::Limit;
use super::upstream::Waste;
use crate::codec::{DecodeError, ReturnCode};

/// Where a device is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Link.
    pub link: LinkId,
    /// Address on the link.
    pub address: Address,
    /// Node id behind a forwarder; empty without one.
    pub node: Span,
}

/// What a refused request was about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// Nothing that has a name.
    None,
    /// Topic, filter or client id, as received.
    Text(Span),
    /// A normal topic id.
    TopicId(u16),
    /// A predefined topic id.
    PredefinedId(u16),
}

/// Why a client counts as lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// Nothing was heard for longer than its keep-alive allows.
    Silent {
        /// For how long.
        silent: Duration,
        /// How long it might have been.
        allowed: Duration,
    },
    /// It did not answer what was sent to it.
    NoAnswer {
        /// What was sent.
        to: &'static str,
        /// How often.
        tries: u8,
    },
    /// It sleeps longer than it announced.
    Overslept {
        /// For how long.
        silent: Duration,
        /// How long it might have been.
        allowed: Duration,
    },
    /// Another client id connected from its address.
    Replaced,
    /// The broker does not want it, or another client there has its id.
    Barred,
}

/// What a change of the rules took away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Revoked {
    /// The session, with all that it had.
    Session,
    /// A subscription.
    Subscription,
    /// The will.
    Will,
    /// A message that waited.
    Message,
}

/// One thing worth telling. Spans belong to the [`Effects`](super::Effects) that hold the notice.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// A datagram that is no MQTT-SN packet.
    Malformed {
        /// Sender.
        from: Place,
        /// What is wrong with it.
        error: DecodeError,
        /// Its first octets.
        bytes: Span,
    },
    /// A client connected.
    Connected {
        /// Client id.
        client: Span,
        /// Where.
        at: Place,
        /// Keep-alive, seconds.
        keep_alive: u16,
        /// CleanSession.
        clean: bool,
        /// It had a session already, which goes on.
        resumed: bool,
    },
    /// A known client id came from another address than before.
    Moved {
        /// Client id.
        client: Span,
        /// Where it was.
        from: Place,
        /// Where it is.
        to: Place,
        /// It was asleep.
        asleep: bool,
    },
    /// Two devices use one client id, so the session goes back and forth between them; it stays
    /// where it is for now.
    Contested {
        /// Client id.
        client: Span,
        /// Where the session is.
        holder: Place,
        /// Who else wants it.
        rival: Place,
    },
    /// A client has gone to sleep.
    Asleep {
        /// Client id.
        client: Span,
        /// For how long, seconds, as it announced.
        duration: u16,
    },
    /// A sleeping client has collected what waited for it, or as much of it as it acknowledged.
    Collected {
        /// Client id.
        client: Span,
        /// Messages that were sent to it.
        messages: u32,
        /// Messages that still wait.
        left: u32,
    },
    /// A client said goodbye.
    Disconnected {
        /// Client id.
        client: Span,
    },
    /// An operator has ended the session of a client.
    Kicked {
        /// Client id.
        client: Span,
        /// Its will was published.
        will: bool,
    },
    /// A client is lost.
    Lost {
        /// Client id.
        client: Span,
        /// Why.
        why: Loss,
        /// Its will was published.
        will: bool,
    },
    /// Nobody came back to a session for so long that it has ended.
    Expired {
        /// Client id.
        client: Span,
        /// For how long.
        after: Duration,
    },
    /// Something a client asked for was refused.
    Refused {
        /// Client id; empty before it has one.
        client: Span,
        /// Where it is.
        at: Place,
        /// The packet.
        operation: &'static str,
        /// What it is about.
        subject: Subject,
        /// What the client was told.
        code: ReturnCode,
        /// Why.
        why: &'static str,
        /// Where the rule was written that says so; empty if none does.
        rule: Span,
    },
    /// The rules have changed since, and something that a client had is taken away.
    Revoked {
        /// Client id.
        client: Span,
        /// What.
        what: Revoked,
        /// Filter or topic; empty for a session.
        subject: Span,
        /// Why.
        why: &'static str,
        /// Where the rule was written that says so.
        rule: Span,
    },
    /// A packet from somebody who is not connected.
    Stranger {
        /// Sender.
        at: Place,
        /// The packet.
        packet: &'static str,
    },
    /// A message for a client was given up.
    Abandoned {
        /// Client id.
        client: Span,
        /// Topic.
        topic: Span,
        /// QoS it had.
        qos: u8,
        /// Why.
        why: &'static str,
    },
    /// A client does not know a predefined topic id that the configuration gives it; the topic is
    /// registered instead.
    UnknownPredefined {
        /// Client id.
        client: Span,
        /// The predefined topic id.
        id: u16,
        /// Its topic here.
        topic: Span,
    },
    /// A client starts over whenever its first ping would be due.
    DropsAtPing {
        /// Client id.
        client: Span,
        /// Keep-alive, seconds.
        keep_alive: u16,
    },
    /// A limit was reached.
    LimitReached {
        /// Client id.
        client: Span,
        /// Which.
        limit: Limit,
    },
    /// MQTT 5: why the broker refuses something, in its words.
    Complaint {
        /// The packet.
        what: &'static str,
        /// Topic or filter, with prefix; may be empty.
        about: Span,
        /// Reason code.
        code: u8,
        /// Its name.
        name: &'static str,
        /// What the broker said about it; often empty.
        said: Span,
    },
    /// A publication that had been taken over from a client did not reach the broker.
    Wasted {
        /// Topic, with prefix.
        topic: Span,
        /// Why.
        why: Waste,
    },
    /// Nothing can be written to the state directory.
    StoreFailed {
        /// Kind of trouble.
        kind: &'static str,
        /// What the system says.
        error: Span,
    },
    /// It can again, and everything is written.
    StoreRecovered {
        /// How long it could not.
        after: Duration,
    },
    /// The broker refused a subscription that clients here depend on.
    SubscriptionLost {
        /// Filter, with prefix.
        filter: Span,
    },
}
