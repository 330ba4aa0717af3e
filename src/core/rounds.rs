//! For whom the broker was asked for a filter, and what they have had since. Retained messages go to
//! those who have just subscribed, and nobody else (MQTT 3.1.1 §3.3.1.3); but nothing in a message
//! tells which SUBSCRIBE brought it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use hashbrown::HashSet;

use super::hashing::Hashing;
use super::slots::Handle;
use super::tight;
use super::upstream::MqttQos;
use crate::time::Time;

/// How long after the last sign of it retained messages may still belong to a SUBSCRIBE. At QoS 1
/// and 2 they wait for the broker's window, which a device that is being lost can block.
pub(crate) const WINDOW: Duration = Duration::from_secs(120);
/// The same at QoS 0: nothing holds these up.
const WINDOW_QOS_0: Duration = Duration::from_secs(30);

/// SUBSCRIBEs of one filter that are told apart. Of more, two count as one: a client may get a
/// retained message a second time.
const MAX_ROUNDS: usize = 16;
/// Messages remembered, of all filters together. Beyond them the same.
const MAX_SEEN: usize = 50_000;

/// The messages that rounds have had lately.
#[derive(Debug)]
pub(crate) struct Seen {
    prints: HashSet<u64, Hashing>,
    order: VecDeque<u64>,
    hasher: Hashing,
}

impl Seen {
    pub(crate) fn new(hasher: Hashing) -> Self {
        Self { prints: HashSet::with_hasher(hasher), order: VecDeque::new(), hasher }
    }

    /// Notes that a round has had a message; false if that was known.
    fn note(&mut self, round: u32, message: u64) -> bool {
        let print = self.hasher.hash_one((round, message));
        if !self.prints.insert(print) {
            return false;
        }
        if self.order.len() >= MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.prints.remove(&oldest);
        }
        self.order.push_back(print);
        true
    }

    /// Forgets everything, and gives back the room.
    pub(crate) fn clear(&mut self) {
        self.prints = HashSet::with_hasher(self.hasher);
        self.order = VecDeque::new();
    }
}

/// A copy of a message that is not the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Further<'a> {
    /// When the first one came.
    pub(crate) first: Time,
    /// Who gets this one, in order.
    pub(crate) to: &'a [(Handle, MqttQos)],
}

/// The clients that one SUBSCRIBE to the broker was made for.
#[derive(Debug)]
struct Round {
    /// Never 0.
    id: u32,
    /// The connection on which it was sent last.
    connection: u32,
    /// In order.
    clients: Vec<Handle>,
    /// When the SUBACK came. Until then it is asked again on every connection.
    answered: Option<Time>,
    /// When nothing more can come of it: at any QoS, and at QoS 0.
    expires: Time,
    expires_qos_0: Time,
}

impl Round {
    fn prolong(&mut self, now: Time) {
        self.expires = now.after(WINDOW);
        self.expires_qos_0 = now.after(WINDOW_QOS_0);
    }

    fn is_open(&self, now: Time) -> bool {
        self.answered.is_none() || self.expires > now
    }

    /// Whether a retained message of this QoS may be one that its SUBSCRIBE brought.
    fn may_bring(&self, now: Time, connection: u32, qos: MqttQos) -> bool {
        let in_time = qos > MqttQos::Zero
            // What is not acknowledged does not outlive the connection.
            || (self.connection == connection
                && (self.answered.is_none() || self.expires_qos_0 > now));
        self.is_open(now) && in_time
    }
}

/// What is known of the SUBSCRIBEs of one filter.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    /// Clients for whom the next SUBSCRIBE is made, and the id of their round, if there are any.
    next: Vec<Handle>,
    next_id: u32,
    rounds: Vec<Round>,
}

impl Asks {
    /// Has the next SUBSCRIBE made for a client, whose latest round was `round`. Gives its new one.
    pub(crate) fn add(&mut self, client: Handle, round: u32, counter: &mut u32) -> u32 {
        if self.next.is_empty() {
            *counter = counter.checked_add(1).unwrap_or(1);
            self.next_id = *counter;
        } else if round == self.next_id {
            return round;
        }
        tight::push(&mut self.next, client);
        self.next_id
    }

    /// The client, whose latest round was `round`, does not want the filter any longer.
    pub(crate) fn leave(&mut self, client: Handle, round: u32) {
        if round == self.next_id {
            self.next.retain(|other| *other != client);
        }
        // It may come back, and is then not to be served twice.
        for round in &mut self.rounds {
            if let Ok(at) = round.clients.binary_search(&client) {
                round.clients.remove(at);
            }
        }
    }

    pub(crate) fn is_awaited(&self) -> bool {
        let unanswered = |round: &Round| round.answered.is_none() && !round.clients.is_empty();
        !self.next.is_empty() || self.rounds.iter().any(unanswered)
    }

    pub(crate) fn newcomers(&self) -> usize {
        self.next.len()
    }

    /// A SUBSCRIBE is about to be sent, on this connection. It is also for those whose last one was
    /// not answered; what came of that one counts.
    pub(crate) fn start(&mut self, now: Time, connection: u32) {
        self.rounds.retain(|round| round.is_open(now));
        for round in self.rounds.iter_mut().filter(|round| round.answered.is_none()) {
            round.connection = connection;
        }
        if self.next.is_empty() {
            return;
        }
        if self.rounds.len() >= MAX_ROUNDS {
            self.make_room(now);
        }
        let mut clients = core::mem::take(&mut self.next);
        clients.sort_unstable();
        let (expires, expires_qos_0) = (now, now);
        let id = self.next_id;
        let round = Round { id, connection, clients, answered: None, expires, expires_qos_0 };
        tight::push(&mut self.rounds, round);
    }

    /// Makes one round of two neighbours that have been answered. It remembers what the newer has had:
    /// a message too many does less harm than one that never comes. But where none has come for a
    /// while, the oldest just ends.
    ///
    /// Of the older pairs the smallest is taken: a hundred thousand clients that subscribe to one
    /// filter, one after the other, would else be sorted in a hundred thousand times. The newer rounds
    /// are left alone, as something may still be under way for them.
    fn make_room(&mut self, now: Time) {
        let answered = |round: &Round| round.answered.is_some();
        if let Some(oldest) = self.rounds.iter().position(answered)
            && self.rounds.get(oldest).is_some_and(|it| it.expires < now.after(WINDOW / 2))
        {
            self.rounds.remove(oldest);
            return;
        }
        let older = self.rounds.windows(2).take(MAX_ROUNDS / 2);
        let pairs = older.enumerate().filter_map(|(at, pair)| match pair {
            [one, two] if answered(one) && answered(two) => {
                Some((one.clients.len() + two.clients.len(), at))
            }
            _ => None,
        });
        let Some((_, at)) = pairs.min() else { return };
        let older = self.rounds.remove(at);
        if let Some(newer) = self.rounds.get_mut(at) {
            newer.clients.extend(older.clients);
            // Two runs in order, which this sort merges.
            newer.clients.sort();
            newer.clients.dedup();
            newer.expires = newer.expires.min(older.expires);
        }
    }

    /// The SUBACK came: from now on time counts. Gives the clients that it is for.
    pub(crate) fn answered(&mut self, now: Time) -> Vec<Handle> {
        let mut clients = Vec::new();
        for round in self.rounds.iter_mut().filter(|round| round.answered.is_none()) {
            round.answered = Some(now);
            round.prolong(now);
            clients.extend_from_slice(&round.clients);
        }
        clients
    }

    pub(crate) fn forget_answered(&mut self) {
        self.rounds.retain(|round| round.answered.is_none());
    }

    /// Appends the clients that a retained message is for.
    pub(crate) fn take(
        &mut self,
        now: Time,
        connection: u32,
        message: u64,
        qos: MqttQos,
        seen: &mut Seen,
        clients: &mut Vec<Handle>,
    ) {
        for round in &mut self.rounds {
            if round.may_bring(now, connection, qos) && seen.note(round.id, message) {
                round.prolong(now);
                clients.extend_from_slice(&round.clients);
            }
        }
    }

    /// Whoever has a message as it was published is not to get it once more as retained. A further
    /// copy of it says nothing of those who subscribed after the first.
    pub(crate) fn note(
        &mut self,
        now: Time,
        message: u64,
        further: Option<Further<'_>>,
        seen: &mut Seen,
    ) {
        for round in self.rounds.iter().filter(|round| round.expires > now) {
            let Some(answered) = round.answered else { continue };
            let had_it = |copy: Further<'_>| {
                let got_it =
                    |one: &Handle| copy.to.binary_search_by_key(one, |(to, _)| *to).is_ok();
                answered <= copy.first || round.clients.iter().any(got_it)
            };
            if further.is_none_or(had_it) {
                seen.note(round.id, message);
            }
        }
    }

    /// Throws away what is over. Gives when to look again, if anything is left.
    pub(crate) fn retire(&mut self, now: Time) -> Option<Time> {
        self.rounds.retain(|round| round.is_open(now));
        if self.rounds.is_empty() && self.next.is_empty() {
            return None;
        }
        let over =
            self.rounds.iter().filter(|round| round.answered.is_some()).map(|round| round.expires);
        Some(over.min().unwrap_or(now.after(WINDOW)))
    }
}
