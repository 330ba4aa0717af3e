//! Copies of one message. A broker may send a client one copy of a message for each of its
//! subscriptions that match (MQTT 3.1.1 §3.3.5, MQTT 5 §3.3.4). To the broker all devices are one
//! client, so copies come in as often as filters of different devices overlap; yet each device
//! must get the message once.
//!
//! Copies bear no common mark. Two messages with the same topic and payload are told from two
//! copies of one by the subscription identifiers: no two copies of a message bear the same one. An
//! MQTT 3.1.1 broker gives none; there, copies are counted.

use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::time::Duration;

use hashbrown::HashMap;

use super::hashing::Hashing;
use super::slots::Handle;
use crate::time::Time;

/// How long the copies of one message may be apart, while the broker is there: as long as a lost device
/// may block its window, with the default retry interval and count.
const WINDOW: Duration = Duration::from_secs(60);
/// How long it may take to notice that the broker is gone, milliseconds.
const SILENCE: u64 = 120_000;
/// Fingerprints remembered. Beyond this a device may get a second copy; nothing is lost.
const MAX_REMEMBERED: usize = 4_096;
/// Messages remembered per fingerprint.
const MAX_EQUAL: usize = 64;
/// Clients remembered, of all messages together. Beyond this the same.
const MAX_CLIENTS: usize = 1_000_000;
/// How often to look for what can be forgotten.
const PAUSE: Duration = Duration::from_secs(1);

/// A message of which further copies may come.
#[derive(Debug)]
struct Partial {
    first: Time,
    /// Until when copies are awaited.
    until: Time,
    /// MQTT 5: identifiers of the copies so far.
    seen: Vec<u32>,
    /// MQTT 5: identifiers of the copies that may still come, in order.
    missing: Vec<u32>,
    /// MQTT 3.1.1: number of copies that are still to come.
    left: u32,
    /// Who has the message.
    clients: Vec<Handle>,
}

/// A copy, as [`Copies::take`] recognised it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Copy {
    fingerprint: u64,
    /// Index among the messages of that fingerprint; `None` if it is the first copy.
    index: Option<usize>,
}

/// Messages of which copies are outstanding.
#[derive(Debug)]
pub(crate) struct Copies {
    partial: HashMap<u64, Vec<Partial>, Hashing>,
    /// Length of all lists of clients together.
    remembered: usize,
    /// When to look again for what can be forgotten.
    tidy_at: Time,
    /// When a message came last.
    latest: Time,
    /// Since when the broker is away.
    paused: Option<Time>,
    hasher: Hashing,
}

impl Copies {
    pub(crate) fn new(hasher: Hashing) -> Self {
        let partial = HashMap::with_hasher(hasher);
        Self { partial, remembered: 0, tidy_at: Time(0), latest: Time(0), paused: None, hasher }
    }

    /// Finds out whether a message with these subscription identifiers (in order; none with MQTT
    /// 3.1.1) is a further copy of one that came before.
    pub(crate) fn take(&mut self, now: Time, topic: &str, payload: &[u8], ids: &[u32]) -> Copy {
        self.tidy(now);
        self.latest = now;
        let fingerprint = self.hasher.hash_one((topic, payload));
        let Some(messages) = self.partial.get_mut(&fingerprint) else {
            return Copy { fingerprint, index: None };
        };
        let remembered = &mut self.remembered;
        messages.retain(|message| is_awaited(message, now, remembered));
        let index = messages.iter().position(|message| {
            if ids.is_empty() {
                message.left > 0
            } else {
                ids.iter().any(|id| message.missing.binary_search(id).is_ok())
                    && !ids.iter().any(|id| message.seen.contains(id))
            }
        });
        Copy { fingerprint, index }
    }

    fn message(&self, copy: Copy) -> Option<&Partial> {
        self.partial.get(&copy.fingerprint)?.get(copy.index?)
    }

    /// When the first copy of the message came, if this is not it.
    pub(crate) fn first(&self, copy: Copy) -> Option<Time> {
        self.message(copy).map(|message| message.first)
    }

    /// Whether `client` has the message already.
    pub(crate) fn has(&self, copy: Copy, client: Handle) -> bool {
        self.message(copy).is_some_and(|message| message.clients.binary_search(&client).is_ok())
    }

    /// Remembers what this copy was good for. `expected`: identifiers of all subscriptions that
    /// match at present, in order; or with MQTT 3.1.1 `copies`: how many copies the broker makes of it.
    pub(crate) fn settle(
        &mut self,
        now: Time,
        copy: Copy,
        ids: &[u32],
        expected: &[u32],
        copies: u32,
        clients: impl Iterator<Item = Handle>,
    ) {
        let index = match copy.index {
            Some(index) => index,
            None => {
                let single = if ids.is_empty() {
                    copies <= 1
                } else {
                    expected.iter().all(|id| ids.binary_search(id).is_ok())
                };
                if single || !self.has_room(copy.fingerprint) {
                    return;
                }
                let messages = self.partial.entry(copy.fingerprint).or_default();
                messages.push(Partial {
                    first: now,
                    until: now.after(WINDOW),
                    seen: Vec::new(),
                    missing: expected.to_vec(),
                    left: copies,
                    clients: Vec::new(),
                });
                messages.len() - 1
            }
        };
        let Some(messages) = self.partial.get_mut(&copy.fingerprint) else { return };
        let Some(message) = messages.get_mut(index) else { return };
        message.seen.extend_from_slice(ids);
        message.missing.retain(|id| ids.binary_search(id).is_err());
        message.left = message.left.saturating_sub(1);
        let before = message.clients.len();
        message.clients.extend(clients.take(MAX_CLIENTS.saturating_sub(self.remembered)));
        self.remembered += message.clients.len() - before;
        message.clients.sort_unstable();
        if message.missing.is_empty() && (!ids.is_empty() || message.left == 0) {
            self.remembered -= message.clients.len();
            messages.remove(index);
            if messages.is_empty() {
                self.partial.remove(&copy.fingerprint);
            }
        }
    }

    fn has_room(&self, fingerprint: u64) -> bool {
        self.partial.len() < MAX_REMEMBERED
            && self.remembered < MAX_CLIENTS
            && self.partial.get(&fingerprint).is_none_or(|messages| messages.len() < MAX_EQUAL)
    }

    /// Forgets, every now and then, messages whose copies do not come.
    fn tidy(&mut self, now: Time) {
        if self.tidy_at > now {
            return;
        }
        self.tidy_at = now.after(PAUSE);
        let remembered = &mut self.remembered;
        self.partial.retain(|_, messages| {
            messages.retain(|message| is_awaited(message, now, remembered));
            !messages.is_empty()
        });
    }

    /// Whether no copies are expected.
    pub(crate) fn none_outstanding(&self) -> bool {
        self.partial.is_empty()
    }

    /// The broker is gone: what it has not sent yet cannot come before it is back. That may have been so
    /// since it sent a message last.
    pub(crate) fn pause(&mut self, now: Time) {
        if self.paused.is_none() {
            let since = self.latest.max(Time(now.0.saturating_sub(SILENCE)));
            self.tidy_at = since;
            self.tidy(since);
            self.paused = Some(since);
        }
    }

    /// It is back: the time without it does not count.
    pub(crate) fn go_on(&mut self, now: Time) {
        let Some(paused) = self.paused.take() else { return };
        for message in self.partial.values_mut().flatten() {
            message.until = message.until.after(now.since(paused));
        }
    }

    /// What was outstanding is not to be recognised any more.
    pub(crate) fn clear(&mut self) {
        self.partial.clear();
        self.remembered = 0;
    }
}

/// Whether copies may still come; accounts for the clients otherwise.
fn is_awaited(message: &Partial, now: Time, remembered: &mut usize) -> bool {
    let awaited = now < message.until;
    if !awaited {
        *remembered -= message.clients.len();
    }
    awaited
}
