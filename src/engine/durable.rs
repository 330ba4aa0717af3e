//! A state that survives the process: going on from it, keeping it, and keeping to what it allows to
//! be said.

use super::commits::{Change, Commits, Gate, Written};
use super::held::Promises;
use super::status::put_json_text;
use super::uplinks::Events;
use super::{Engine, NOBODY};
use crate::core::upstream::{LineId, MqttQos};
use crate::core::{self, Effect, OWN_TOPICS, Otherwise, Restored};
use crate::mqtt;
use crate::store::commit::{Commit, CommitSettings, Outcome, TroubleKind};
use crate::store::image::Image;
use crate::time::Time;

/// What a gateway has whose state survives the process.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) commits: Commits,
    pub(super) promises: Promises,
    restored: Restored,
    /// The retained topic that says whether the state can be written.
    topic: Box<str>,
    pub(super) said: String,
}

impl Engine {
    /// As [`Self::new`], with a state that survives the process: goes on from `image`, or begins with
    /// nothing. What is promised waits until it is written, see [`Self::commit`].
    #[must_use]
    pub fn durable(
        mut core: core::Settings,
        mut mqtt: mqtt::Settings,
        commits: CommitSettings,
        seed: u64,
        now: Time,
        image: Option<Image>,
    ) -> Self {
        core.durable = true;
        mqtt.spool.get_or_insert_default();
        let topic = format!("{OWN_TOPICS}{}/store", core.name).into();
        let kept = image.as_ref().and_then(|image| image.seed);
        let mut engine = Self::with(core, mqtt, kept.unwrap_or(seed), now);
        // Packet ids shall not begin with those of the last life.
        engine.uplinks.reseed(seed);
        let mut commits = Commits::new(commits);
        let mut restored = Restored::default();
        match image {
            Some(mut image) => {
                // The journal was read from the cache of the system, and what a failed write has left
                // there may never reach the disk.
                commits.begin_anew();
                let renumbered = !engine.gateway.has_links(&image);
                restored = engine.gateway.restore(now, &mut image, &mut engine.effects);
                let spooled = engine.uplinks.restore(&mut image, &engine.gateway);
                restored.spooled = spooled;
                commits.measure(&engine.gateway, &engine.uplinks);
                if kept.is_none() || renumbered {
                    engine.gateway.record_places(&mut engine.effects);
                }
            }
            None => engine.gateway.record_general(&mut engine.effects),
        }
        let said = String::new();
        let promises = Promises::default();
        engine.durable = Some(Box::new(Durable { commits, promises, restored, topic, said }));
        engine.hand_over(now);
        engine
    }

    /// What a former life has left.
    #[must_use]
    pub fn restored(&self) -> Restored {
        self.durable.as_ref().map(|durable| durable.restored).unwrap_or_default()
    }

    /// How much was written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        self.durable.as_ref().map(|durable| durable.commits.written()).unwrap_or_default()
    }

    /// What is to be written now, if anything is and the commit before is over. The caller writes it
    /// and calls [`Self::committed`].
    pub fn commit(&mut self, now: Time) -> Option<Commit> {
        let durable = self.durable.as_mut()?;
        durable.commits.commit(now, &mut self.gateway, &mut self.uplinks)
    }

    /// A commit is over, one way or the other: promises that waited for it are in
    /// [`Self::outgoing`] and [`Self::broker_output`].
    pub fn committed(&mut self, now: Time, outcome: Outcome) {
        let Some(durable) = &mut self.durable else { return };
        let change = durable.commits.committed(now, &outcome);
        let written = outcome.journal.is_ok();
        match change {
            Change::None => {}
            Change::Failed(trouble) => {
                self.store_fails(now, trouble.kind, &trouble.text);
            }
            Change::Recovered(after) => {
                self.gateway.set_failing(now, false, &mut self.effects);
                let (gateway, effects) = (&mut self.gateway, &mut self.effects);
                self.uplinks.set_failing(false, Events { now, gateway, effects });
                self.effects.note_store_recovered(after);
                self.tell_store(now, "{\"state\":\"ok\"}".to_owned());
            }
        }
        self.hand_over(now);
        // What was given up meanwhile is not all written.
        let failing = self.durable.as_ref().is_some_and(|durable| durable.commits.is_failing());
        if written && !failing {
            let (gateway, effects) = (&mut self.gateway, &mut self.effects);
            self.uplinks.release(Events { now, gateway, effects });
            self.hand_over(now);
            self.let_out(outcome.number, true);
        }
        self.hand_over(now);
    }

    /// Nothing can be written any longer: what was promised is taken back.
    fn store_fails(&mut self, now: Time, kind: TroubleKind, text: &str) {
        self.let_out(u64::MAX, false);
        self.gateway.set_failing(now, true, &mut self.effects);
        let (gateway, effects) = (&mut self.gateway, &mut self.effects);
        self.uplinks.set_failing(true, Events { now, gateway, effects });
        self.effects.note_store_failed(kind.label(), text);
        let mut status = format!("{{\"state\":\"failed\",\"kind\":\"{}\",\"error\":", kind.label());
        put_json_text(text, &mut status);
        status.push('}');
        self.tell_store(now, status);
    }

    /// Sends what waited for commits up to this one, or what takes its place.
    fn let_out(&mut self, commit: u64, kept: bool) {
        let Some(durable) = &mut self.durable else { return };
        while let Some(held) = durable.promises.next(commit) {
            let bytes = if kept { &held.bytes } else { &held.otherwise };
            if !bytes.is_empty() {
                self.effects.send(held.link, held.to, bytes, held.client);
            }
        }
        // These have waited already: they are not to queue up behind what was promised after them.
        self.handled = self.effects.items().len();
    }

    /// Says on the status topic how the store is.
    pub(super) fn tell_store(&mut self, now: Time, status: String) {
        let Some(durable) = &mut self.durable else { return };
        durable.said = status;
        if self.status.is_some()
            && let Some(session) = self.uplinks.get_mut(LineId::MAIN)
            && session.is_connected()
        {
            let (topic, status) = (&durable.topic, durable.said.as_bytes());
            let _ = session.publish(now, NOBODY, topic, status, MqttQos::Zero, true);
        }
    }

    /// All that was to be done is done: takes the records over, and lets the session say what it waits
    /// to say, if there is nothing to wait for.
    pub(super) fn settle(&mut self, now: Time) {
        let Some(durable) = &mut self.durable else {
            // There are no records.
            return self.uplinks.collect(&mut Vec::new());
        };
        durable.commits.collect(now, &self.gateway, &mut self.uplinks, &mut self.effects);
        if durable.commits.is_stuck(now) {
            durable.commits.give_up(now);
            let text = "the disk does not take what is to be written; it is very slow, or hangs";
            self.store_fails(now, TroubleKind::Io, text);
            // It has given back what it could not keep.
            return self.hand_over(now);
        }
        if self.uplinks.has_deferred() && durable.commits.gate(now) == Gate::Open {
            self.uplinks.seal();
            let (gateway, effects) = (&mut self.gateway, &mut self.effects);
            self.uplinks.release(Events { now, gateway, effects });
            // That may have come of it: a publication of the spool that nobody wants.
            if self.handled < self.effects.items().len() || self.uplinks.has_records() {
                self.hand_over(now);
            }
        }
    }

    /// Decides when a datagram leaves: a promise when what it promises is written, and what follows it
    /// to the same place not before it.
    pub(super) fn promise(&mut self, now: Time, position: usize, effect: Effect) {
        let (link, to, bytes, client, promise) = match effect {
            Effect::Send { link, to, bytes, client } => (link, to, bytes, client, None),
            Effect::Promise { link, to, bytes, client, otherwise } => {
                (link, to, bytes, client, Some(otherwise))
            }
            _ => return,
        };
        let sent = Effect::Send { link, to, bytes, client };
        let Some(durable) = &mut self.durable else {
            return self.effects.replace(position, sent);
        };
        let behind = durable.promises.is_behind(link, &to);
        let otherwise = match promise {
            None if behind.is_none() => return,
            None | Some(Otherwise::Same) => Some(bytes),
            Some(Otherwise::Instead(refusal)) => Some(refusal),
            Some(Otherwise::Nothing) => None,
        };
        let gate = if promise.is_some() {
            durable.commits.collect(now, &self.gateway, &mut self.uplinks, &mut self.effects);
            durable.commits.gate(now)
        } else {
            Gate::Open
        };
        let commit = match (gate, behind) {
            (Gate::Shut, _) => None,
            (Gate::Open, None) => return self.effects.replace(position, sent),
            (Gate::Open, Some(behind)) => Some(behind),
            (Gate::After(commit), behind) => Some(behind.map_or(commit, |b| b.max(commit))),
        };
        let instead = match (commit.filter(|_| durable.promises.has_room()), otherwise) {
            (Some(commit), otherwise) => {
                let (said, refusal) = (
                    self.effects.bytes(bytes),
                    otherwise.map_or(&[][..], |otherwise| self.effects.bytes(otherwise)),
                );
                durable.promises.hold(commit, link, to, client, said, refusal);
                Effect::Done
            }
            (None, Some(bytes)) => Effect::Send { link, to, bytes, client },
            (None, None) => Effect::Done,
        };
        self.effects.replace(position, instead);
    }
}
