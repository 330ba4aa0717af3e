//! The way up: nothing acknowledged is lost, QoS 2 arrives once, nothing is invented.

use std::collections::BTreeSet;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Publish, ReturnCode};
use mqtt_sn_gateway::time::Time;

use super::contract::Link;
use super::{Oracle, Verdict, level};
use crate::broker::Accepted;
use crate::ledger::{MsgNo, Origin};
use crate::topics::FORBIDDEN;

/// A QoS 1 PUBLISH repeated this long after the last copy may count as a new one, with and without
/// DUP (the gateway says 60 and 30 s; between its clock and ours lies an acknowledgement).
const MARKED_ECHO: Duration = Duration::from_secs(50);
const UNMARKED_ECHO: Duration = Duration::from_secs(20);

/// A message on its way up.
#[derive(Debug, Default)]
pub struct Ascent {
    /// Copies that reached the gateway.
    pub copies: u32,
    last_copy: Time,
    /// Copies that came so late that at QoS 1 they may count as new.
    late: u32,
    /// Attempts that reached the gateway: message id and session.
    attempts: BTreeSet<(u32, u16)>,
    /// Sessions that the broker had forgotten when the first copy arrived.
    losses_before: u32,
    /// The same for lives of the gateway that had ended.
    crashes_before: u32,
    /// A sensor was told that it is safe.
    acknowledged: bool,
    /// It was on the gateway's disk when it was acknowledged.
    stored: bool,
    /// The broker took it so many times, repetitions that it knew not counted.
    pub accepted: u32,
    /// Those without DUP.
    fresh: u32,
    /// The broker refused it so many times, perhaps for the moment: what is in the spool is sent
    /// anew then.
    refused: u32,
    /// The broker owns it (PUBACK or PUBREC reached the gateway).
    pub owned: bool,
    /// Copies that came from a connected sensor while the broker was there; for calm days.
    pub due: u32,
}

impl Ascent {
    /// Nobody will send it again, and the broker has not got it.
    pub fn is_missing(&self) -> bool {
        self.acknowledged && self.accepted == 0
    }
}

impl Oracle {
    /// The broker forgot the session.
    pub fn broker_forgot(&mut self) {
        self.upstream.losses += 1;
        self.forgive_forgotten();
    }

    pub(super) fn publish_arrives(&mut self, now: Time, sensor: usize, publish: &Publish<'_>) {
        let Some(message) = self.ledger.identify(publish.data) else { return };
        let contract = &mut self.contracts[sensor];
        let two = self.ledger.get(message).qos == 2;
        let epoch = if two { contract.epoch } else { contract.connects };
        let (losses_before, crashes_before) = (self.upstream.losses, self.crashes);
        let new = || Ascent { losses_before, crashes_before, ..Ascent::default() };
        let ascent = self.ascents.entry(message).or_insert_with(new);
        let patience = if publish.dup { MARKED_ECHO } else { UNMARKED_ECHO };
        let late = ascent.copies > 0 && now.since(ascent.last_copy) >= patience;
        // Where answers stand still, a sensor that marks nothing repeats itself more often than can be
        // believed, and is not believed later on either.
        let unmarked = self.slow && !publish.dup && ascent.copies > 0;
        ascent.late += u32::from(late || unmarked);
        ascent.last_copy = now;
        ascent.copies += 1;
        let there = contract.link == Link::Up || contract.sleeps();
        ascent.due += u32::from(self.upstream.connected && there);
        ascent.attempts.insert((epoch, publish.msg_id));
        if level(publish.qos) > 0 {
            contract.up.insert(publish.msg_id, (message, contract.sure_epoch));
        }
    }

    /// The broker took a publication.
    ///
    /// # Errors
    /// When it is not what the sensor sent, or came too often.
    pub fn accepts(&mut self, accepted: &Accepted) -> Verdict {
        let publish = &accepted.publish;
        let Some(message) = self.identify(&publish.topic, &publish.payload)? else {
            return Ok(());
        };
        let app = self.ledger.get(message).clone();
        let losses = self.upstream.losses;
        if let Origin::Will(_) = app.origin {
            return self.will_accepted(message, publish);
        }
        let Some(ascent) = self.ascents.get_mut(&message) else {
            return Err(format!("message {message} came to the broker but never to the gateway"));
        };
        ascent.accepted += 1;
        ascent.fresh += u32::from(!publish.dup);
        let attempts = ascent.attempts.len() as u32;
        // A broker that forgot the session gets everything that was in flight anew.
        let allowed = attempts * (1 + losses - ascent.losses_before);
        // After a crash a QoS 1 message of a sensor that repeats it is one that nobody knows, and the
        // one that was in the spool is sent again as well.
        let crashes = self.crashes - ascent.crashes_before;
        let fresh = ascent.fresh.saturating_sub(2 * crashes * attempts);
        let verdict = match app.qos {
            2 if ascent.accepted > allowed => Err("QoS 2 more than once"),
            1 if fresh > allowed + ascent.late + ascent.refused => {
                Err("QoS 1 more often than it was sent")
            }
            0 | -1 if ascent.accepted > ascent.copies => Err("QoS 0 more often than it arrived"),
            _ => Ok(()),
        };
        verdict.map_err(|error| {
            format!(
                "message {message}: {error}: {} times ({} without DUP) for {attempts} attempts, \
                 {} copies",
                ascent.accepted, ascent.fresh, ascent.copies
            )
        })
    }

    /// The broker owns it: what the gateway learns from PUBACK or PUBREC.
    pub(super) fn owned(&mut self, message: MsgNo) {
        self.ascents.entry(message).or_default().owned = true;
    }

    /// The broker does not take it.
    pub(super) fn refused(&mut self, message: MsgNo) {
        self.ascents.entry(message).or_default().refused += 1;
    }

    fn is_owned(&self, message: MsgNo) -> bool {
        self.ascents.get(&message).is_some_and(|ascent| ascent.owned)
    }

    fn acknowledgeable(
        &mut self,
        sensor: usize,
        msg_id: u16,
        qos: i8,
        any_session: bool,
    ) -> Verdict {
        let contract = &self.contracts[sensor];
        let Some((message, epoch)) = contract.up.get(&msg_id) else {
            return Err("acknowledges a message id that the sensor never used".into());
        };
        if self.ledger.get(*message).qos != qos {
            return Err(format!("message {message} does not have QoS {qos}"));
        }
        // In front of the CONNACK comes what waited for the disk.
        let waited = self.stored.is_some() && contract.wiped;
        if *epoch != contract.sure_epoch && !any_session && !waited {
            return Err(format!("acknowledges message {message} of the session before"));
        }
        let message = *message;
        let stored = self.ascents.get(&message).is_some_and(|ascent| ascent.stored);
        if stored || self.is_owned(message) {
            return Ok(());
        }
        // What it has taken over it cannot give back when the broker refuses it for good.
        let refused =
            self.stored.is_some() && self.ledger.get(message).topic.name.starts_with(FORBIDDEN);
        if !refused && !self.keeps_for_broker(message) {
            return Err(format!("message {message} is not acknowledged by the broker"));
        }
        self.ascents.entry(message).or_default().stored = true;
        Ok(())
    }

    pub(super) fn puback_sent(&mut self, sensor: usize, msg_id: u16, code: ReturnCode) -> Verdict {
        if code == ReturnCode::ACCEPTED {
            return self.acknowledgeable(sensor, msg_id, 1, false);
        }
        let message = self.contracts[sensor].up.get(&msg_id).map(|(message, _)| *message);
        let forbidden = message
            .is_some_and(|message| self.ledger.get(message).topic.name.starts_with(FORBIDDEN));
        if self.strict && !forbidden {
            return Err("a refusal on a calm day".into());
        }
        Ok(())
    }

    pub(super) fn pubrec_sent(&mut self, sensor: usize, msg_id: u16) -> Verdict {
        self.acknowledgeable(sensor, msg_id, 2, false)?;
        self.knows_publication(sensor, msg_id)
    }

    pub(super) fn pubcomp_sent(&mut self, sensor: usize, msg_id: u16) -> Verdict {
        // A PUBREL for nothing is answered too, so that the sensor gets to its end (§24.16 of
        // common practice).
        self.acknowledgeable(sensor, msg_id, 2, true)?;
        self.has_finished(sensor, msg_id)
    }

    /// A sensor crossed a message off its list.
    pub(super) fn promised(&mut self, sensor: usize, message: MsgNo) -> Verdict {
        let ascent = self.ascents.entry(message).or_default();
        ascent.acknowledged = true;
        if ascent.stored || (ascent.owned && ascent.accepted > 0) {
            return Ok(());
        }
        Err(format!("sensor {sensor} takes message {message} for safe, the broker has not got it"))
    }
}
