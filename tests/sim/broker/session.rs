//! What the broker keeps of its client: subscriptions, queue, in-flight window.

use std::collections::{BTreeSet, VecDeque};

use crate::wire::{Ack, Packet, Publish, matches};

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub filter: String,
    /// Granted.
    pub qos: u8,
    /// Subscription identifier (MQTT 5).
    pub id: Option<u32>,
    /// Subscription options as sent.
    pub options: u8,
}

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Awaits {
    Ack,
    Rec,
    Comp,
}

/// A session.
#[derive(Default)]
pub struct Session {
    pub subscriptions: Vec<Subscription>,
    /// QoS 1 and 2, not yet sent.
    pub queue: VecDeque<Publish>,
    inflight: Vec<(Publish, Awaits)>,
    /// QoS 2 packet ids from the client whose PUBREL has not come.
    pub incoming: BTreeSet<u16>,
    last_id: u16,
    /// Ends with the connection.
    pub volatile: bool,
}

impl Session {
    /// Adds or replaces; whether it is new.
    pub fn subscribe(&mut self, new: Subscription) -> bool {
        let old = self.subscriptions.iter_mut().find(|old| old.filter == new.filter);
        match old {
            Some(old) => {
                *old = new;
                false
            }
            None => {
                self.subscriptions.push(new);
                true
            }
        }
    }

    /// Removes; the reason code.
    pub fn unsubscribe(&mut self, filter: &str) -> u8 {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|old| old.filter != filter);
        if self.subscriptions.len() < before { 0 } else { 0x11 }
    }

    /// What this session gets of a publication: one PUBLISH, or one for each subscription.
    pub fn copies(
        &self,
        topic: &str,
        payload: &[u8],
        (qos, retain, own): (u8, bool, bool),
        each: bool,
    ) -> Vec<Publish> {
        let hits = self
            .subscriptions
            .iter()
            .filter(|sub| matches(&sub.filter, topic))
            .filter(|sub| !own || sub.options & NO_LOCAL == 0);
        let mut copies: Vec<Publish> = Vec::new();
        for sub in hits {
            let retain = retain && sub.options & RETAIN_AS_PUBLISHED != 0;
            let qos = qos.min(sub.qos);
            if let (false, Some(first)) = (each, copies.first_mut()) {
                first.qos = first.qos.max(qos);
                first.retain |= retain;
                first.sub_ids.extend(sub.id);
                continue;
            }
            copies.push(Publish {
                dup: false,
                qos,
                retain,
                topic: topic.to_owned(),
                id: 0,
                payload: payload.to_vec(),
                sub_ids: sub.id.into_iter().collect(),
            });
        }
        copies
    }

    /// The next queued message, if the window has room for it.
    pub fn next(&mut self, window: usize) -> Option<Publish> {
        if self.inflight.len() >= window {
            return None;
        }
        let mut publish = self.queue.pop_front()?;
        publish.id = self.free_id();
        let awaits = if publish.qos == 1 { Awaits::Ack } else { Awaits::Rec };
        self.inflight.push((publish.clone(), awaits));
        Some(publish)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let taken = self.inflight.iter().any(|(publish, _)| publish.id == self.last_id);
            if self.last_id != 0 && !taken {
                return self.last_id;
            }
        }
    }

    /// What a resumed connection begins with.
    pub fn resend(&mut self) -> Vec<Packet> {
        self.inflight
            .iter_mut()
            .map(|(publish, awaits)| match awaits {
                Awaits::Comp => Packet::Ack { kind: Ack::PubRel, id: publish.id, code: 0 },
                _ => {
                    publish.dup = true;
                    Packet::Publish(publish.clone())
                }
            })
            .collect()
    }

    /// The client acknowledged; what the broker answers.
    ///
    /// # Errors
    /// When there was nothing to acknowledge.
    pub fn acknowledged(&mut self, kind: Ack, id: u16, code: u8) -> Result<Option<Packet>, String> {
        let found = self.inflight.iter().position(|(publish, _)| publish.id == id);
        let Some(at) = found else {
            return Err(format!("{kind:?} for packet id {id}, which is not in flight"));
        };
        let awaits = &mut self.inflight[at].1;
        match (kind, *awaits) {
            (Ack::PubAck, Awaits::Ack) | (Ack::PubComp, Awaits::Comp) => {
                self.inflight.remove(at);
                Ok(None)
            }
            (Ack::PubRec, Awaits::Rec | Awaits::Comp) => {
                if code >= 0x80 {
                    self.inflight.remove(at);
                    return Ok(None);
                }
                *awaits = Awaits::Comp;
                Ok(Some(Packet::Ack { kind: Ack::PubRel, id, code: 0 }))
            }
            (kind, awaits) => {
                Err(format!("{kind:?} for packet id {id}, which awaits Pub{awaits:?}"))
            }
        }
    }

    /// Nothing waits and nothing is in flight, in either direction.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty() && self.incoming.is_empty()
    }
}
