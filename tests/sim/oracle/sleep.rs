//! Sleepers (MQTT-SN 1.2 §6.14): nothing outside the window, everything in it, PINGRESP last.

use std::time::Duration;

use mqtt_sn_gateway::codec::Message;
use mqtt_sn_gateway::core::Takeover;
use mqtt_sn_gateway::time::Time;

use super::contract::{Contract, Link, Parting};
use super::{Oracle, Place, SLACK, Verdict};
use crate::ledger::MsgNo;
use crate::topics::{self, Form};

/// What comes this long after PINGREQ waits for the next one.
const WINDOW: Duration = Duration::from_secs(60);

/// A datagram that wants an answer at once.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    sensor: usize,
    place: Place,
    kind: Kind,
    /// Datagrams to the place since.
    answers: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// DISCONNECT with a duration. `sure`: the gateway must know the client.
    Sleep { sure: bool },
    /// PINGREQ of whom the gateway must know.
    Ping { sure: bool },
    /// PINGREQ with the id of somebody who is not here; but who may have come here, if whoever was here
    /// is lost already.
    Foreign { comes: Option<usize> },
}

impl Contract {
    /// The gateway must have lost it.
    fn is_overdue(&self, now: Time) -> bool {
        (self.link == Link::Up || self.sleeps()) && self.surely_gone(now)
    }

    /// A window ends by itself when the sensor does not answer.
    pub fn window_is_open(&self, now: Time) -> Verdict {
        let tries = self.rules.retry * (u32::from(self.rules.retries) + 1);
        let silence = now.since(self.last_heard);
        if silence <= tries + SLACK {
            return Ok(());
        }
        Err(format!("sent to a sleeper that has not answered for {silence:?}"))
    }
}

impl Oracle {
    /// DISCONNECT, with a duration or 0.
    pub(super) fn disconnect_arrives(
        &mut self,
        now: Time,
        sensor: usize,
        from: Place,
        seconds: u16,
    ) {
        let contract = &mut self.contracts[sensor];
        if self.stored.is_some() && (contract.link != Link::Down || contract.parting.is_some()) {
            let will = contract.will.filter(|_| seconds == 0);
            let before = contract.parting.take();
            let copies = before.map_or(0, |parting| parting.copies) + 1;
            let will = will.or(before.and_then(|parting| parting.will));
            contract.parting = Some(Parting { will, copies });
        }
        // Without a will to be asked for, it is connected from its CONNECT on, and the CONNACK waits for
        // the disk.
        let accepted = self.stored.is_some()
            && matches!(contract.link, Link::Connecting { .. })
            && contract.connect.as_ref().is_some_and(|connect| !connect.will);
        if seconds == 0 || !(contract.link == Link::Up || contract.sleeps() || accepted) {
            self.will_dismissed(sensor);
            return self.ends(now, sensor);
        }
        let kind = Kind::Sleep { sure: !contract.doubtful };
        contract.link = Link::Asleep;
        contract.sleep = Duration::from_secs(seconds.into());
        contract.asleep_since = now;
        contract.abandon_exchanges();
        self.step = Some(Step { sensor, place: from, kind, answers: 0 });
    }

    /// PINGREQ, with or without a client id.
    pub(super) fn ping_arrives(&mut self, now: Time, from: Place, client_id: &[u8]) {
        let here = self.bound.get(&from).copied();
        let here = here.filter(|sensor| self.contracts[*sensor].address == Some(from));
        let here = here.filter(|sensor| self.contracts[*sensor].link != Link::Down);
        let named = if client_id.is_empty() { here } else { self.named(client_id) };
        let moves = self.rules.takeover != Takeover::Never;
        let sensor = match (here, named) {
            (Some(here), Some(named)) if here == named => here,
            (here, Some(named))
                if moves
                    && self.contracts[named].sleeps()
                    && here.is_none_or(|here| self.contracts[here].is_overdue(now)) =>
            {
                self.comes_to(from, named);
                named
            }
            // Somebody is named who is not here; whoever is here changes nothing by that.
            (here, named) => {
                let sensor = here.or(self.bound.get(&from).copied());
                let mut comes = None;
                if let Some(here) = here {
                    self.heard(now, here);
                    let lost = moves && self.contracts[here].doubtful;
                    comes = named.filter(|named| lost && self.contracts[*named].sleeps());
                }
                if let Some(sensor) = sensor {
                    let (place, kind) = (from, Kind::Foreign { comes });
                    self.step = Some(Step { sensor, place, kind, answers: 0 });
                }
                return;
            }
        };
        self.wakes(now, sensor, from);
    }

    /// A sleeper is at a place now, and whoever was there is not.
    fn comes_to(&mut self, place: Place, sensor: usize) {
        let former = self.bound.insert(place, sensor);
        if let Some(former) = former.filter(|f| self.contracts[*f].address == Some(place)) {
            self.contracts[former].address = None;
        }
        let contract = &mut self.contracts[sensor];
        contract.previous_address = contract.address.replace(place);
    }

    /// The gateway answers a PINGREQ from a place whose owner it may have lost: not with a DISCONNECT,
    /// so it has, and the PINGREQ was that of a sleeper who comes there.
    pub(super) fn ping_is_answered(&mut self, now: Time, to: Place, message: &Message<'_>) {
        let late = self.coming.remove(&to);
        let Some(Step {
            sensor: former, place, kind: Kind::Foreign { comes: Some(sensor) }, ..
        }) = self.step.filter(|step| step.place == to).or(late)
        else {
            return;
        };
        if matches!(message, Message::Disconnect { .. }) {
            return;
        }
        // It was not the former owner who was heard.
        self.contracts[former].last_heard = self.contracts[former].heard_before;
        self.comes_to(place, sensor);
        self.wakes(now, sensor, place);
    }

    fn wakes(&mut self, now: Time, sensor: usize, from: Place) {
        self.heard(now, sensor);
        let contract = &mut self.contracts[sensor];
        let sure = !contract.doubtful;
        match contract.link {
            Link::Asleep => {
                contract.link = Link::Awake;
                contract.window = (now, now);
                contract.more_pings = 0;
            }
            Link::Awake => {
                contract.window.1 = now;
                contract.more_pings += u32::from(self.stored.is_some());
            }
            _ => {}
        }
        let sure = sure && (contract.link == Link::Up || contract.sleeps());
        let kind = Kind::Ping { sure };
        self.step = Some(Step { sensor, place: from, kind, answers: 0 });
    }

    /// The gateway has answered the datagram that it got, or not.
    ///
    /// # Errors
    /// When it should have.
    pub fn step_ends(&mut self, now: Time) -> Verdict {
        let Some(step) = self.step.take() else { return Ok(()) };
        let unclear = matches!(step.kind, Kind::Foreign { comes: Some(_) });
        if unclear && step.answers == 0 && self.stored.is_some() {
            // Where it is may have to be written down before it gets anything.
            self.coming.insert(step.place, step);
        }
        let owed = matches!(step.kind, Kind::Sleep { sure: true } | Kind::Ping { sure: true });
        if owed && step.answers == 0 {
            let what =
                if matches!(step.kind, Kind::Ping { .. }) { "PINGREQ" } else { "DISCONNECT" };
            let contract = &self.contracts[step.sensor];
            // What a sleeper collects waits for room on its link, and PINGRESP comes last.
            let collects = contract.link == Link::Awake && !contract.backlog.is_empty();
            if self.disk_trouble() || (self.slow && collects) {
                return Ok(());
            }
            if self.stored.is_some() {
                // It may have to be written down first.
                self.contracts[step.sensor].owed_answer = Some((now, what));
                return Ok(());
            }
            return Err(format!("to sensor {}: {what} is not answered", step.sensor));
        }
        Ok(())
    }

    /// What only had to be written down has been answered.
    pub(super) fn answers_are_prompt(&mut self, now: Time) -> Verdict {
        if self.disk_trouble() {
            // What cannot be written is not promised, and may stay unsaid.
            self.contracts.iter_mut().for_each(|contract| contract.owed_answer = None);
        }
        for contract in &self.contracts {
            if let Some((since, what)) = contract.owed_answer
                && now.since(since) > self.prompt
            {
                return Err(format!("to sensor {}: {what} is not answered", contract.number));
            }
        }
        Ok(())
    }

    /// DISCONNECT from the gateway: the answer to one, or the news that there is no session.
    pub(super) fn disconnect_sent(&mut self, now: Time, sensor: usize, to: Place) -> Verdict {
        let kind = self.step.filter(|step| step.place == to).map(|step| step.kind);
        let contract = &mut self.contracts[sensor];
        if let Some(parting) = &mut contract.parting
            && matches!(contract.link, Link::Asleep | Link::Awake | Link::Down)
        {
            parting.copies -= 1;
            if parting.copies == 0 {
                contract.parting = None;
            }
            // A PINGREQ may have come while the answer waited for the disk: its window is open.
            if contract.link != Link::Awake {
                contract.abandon_exchanges();
            }
            let asleep = contract.sleeps();
            if contract.doubtful {
                // It may be the news that there is no session.
                return Ok(());
            }
            return if asleep { self.has_sleep(sensor) } else { self.has_left(sensor) };
        }
        contract.parting = None;
        if self.stored.is_some() && matches!(contract.link, Link::Connecting { .. }) {
            // The answer to what came in front of its CONNECT had to wait.
            return Ok(());
        }
        let contract = &self.contracts[sensor];
        match kind {
            Some(Kind::Foreign { .. }) => return Ok(()),
            Some(Kind::Sleep { .. }) if contract.link == Link::Asleep => return Ok(()),
            _ => {}
        }
        if contract.address != Some(to) {
            // It is somewhere else by now.
            return Ok(());
        }
        if contract.living(now) || contract.dozing(now) {
            return Err("the gateway must know this client".into());
        }
        self.ends(now, sensor);
        // That it is gone comes out only now.
        self.contracts[sensor].gone_since = self.contracts[sensor].heard_before;
        Ok(())
    }

    /// A request from a sleeper: it listens for the answer.
    pub(super) fn request_is_due(&mut self, now: Time, sensor: usize, message: &Message<'_>) {
        let msg_id = match message {
            Message::Publish(publish) => publish.msg_id,
            Message::Subscribe(subscribe) => subscribe.msg_id,
            Message::Register { msg_id, .. }
            | Message::Unsubscribe { msg_id, .. }
            | Message::PubRel { msg_id } => *msg_id,
            _ => return,
        };
        self.contracts[sensor].asked.insert(msg_id, now);
    }

    /// Answers go to a sleeper only for what it asked in its sleep.
    pub(super) fn is_awaited(
        &mut self,
        _now: Time,
        sensor: usize,
        message: &Message<'_>,
    ) -> Verdict {
        if let Some(step) = self.step.as_mut().filter(|step| step.sensor == sensor) {
            step.answers += 1;
        }
        self.contracts[sensor].owed_answer = None;
        let contract = &self.contracts[sensor];
        // What had to be written down first may come until the goodnight is answered.
        if contract.link != Link::Asleep || contract.parting.is_some() {
            return Ok(());
        }
        let msg_id = match message {
            Message::PubAck { msg_id, .. }
            | Message::PubRec { msg_id }
            | Message::PubComp { msg_id }
            | Message::SubAck { msg_id, .. }
            | Message::UnsubAck { msg_id }
            | Message::RegAck { msg_id, .. } => *msg_id,
            _ => return Ok(()),
        };
        let asked = contract.asked.get(&msg_id);
        if msg_id == 0 || asked.is_some_and(|at| *at >= contract.asleep_since) {
            return Ok(());
        }
        Err("an answer from before its sleep".into())
    }

    /// PINGRESP: the end of a window.
    pub(super) fn pingresp_sent(&mut self, now: Time, sensor: usize) -> Verdict {
        let contract = &mut self.contracts[sensor];
        // Only those with a session get one: whatever doubt there was, it is gone.
        let doubtful = std::mem::take(&mut contract.doubtful);
        match contract.link {
            // The answer to one may have waited behind a promise while another came.
            Link::Asleep if contract.more_pings > 0 => {
                contract.more_pings -= 1;
                return Ok(());
            }
            Link::Asleep => return Err("PINGRESP outside the window".into()),
            Link::Awake => {}
            _ => {
                // What it has not answered for too long may still end the connection.
                contract.tire(now);
                return Ok(());
            }
        }
        contract.link = Link::Asleep;
        // Doubt about the past says nothing about what waits.
        if doubtful {
            return Ok(());
        }
        let opened = contract.window.0;
        let asked = contract.open_exchanges();
        // PUBREL that nobody could write down is kept back until the next window.
        let kept_back = contract.down.values().filter(|e| e.open && e.qos == 2 && e.acked).count();
        if asked > 0 && !(asked == kept_back && self.had_disk_trouble(opened)) {
            return Err("PINGRESP with a message in flight".into());
        }
        for (message, descent) in &self.descents {
            let waits = descent.expected.get(&sensor);
            let waits = waits.is_some_and(|expected| {
                !expected.acked && !expected.up_to_broker && expected.at <= opened
            });
            let sent = descent.sent.get(&sensor).is_some_and(|(live, _)| *live > 0);
            let owed = descent.owed_asleep.get(&sensor).is_some_and(|at| *at <= opened && !sent);
            if (waits || owed) && !self.is_stopped_by_disk(sensor, *message) {
                return Err(format!(
                    "PINGRESP while message {message} waits: {:?}",
                    self.ledger.get(*message)
                ));
            }
        }
        Ok(())
    }

    /// Whether a message for a sleeper may stay where it is because nothing can be written, or could
    /// not in this window: it is at QoS 2, or takes a topic id that a session which lasts would have to
    /// remember; or something like that is in front of it.
    fn is_stopped_by_disk(&self, sensor: usize, message: MsgNo) -> bool {
        let contract = &self.contracts[sensor];
        if !self.had_disk_trouble(contract.window.0) {
            return false;
        }
        // PUBREL of the one before it could not be written down.
        let before = self.under_way(sensor).and_then(|msg_id| contract.down.get(&msg_id));
        if before.is_some_and(|exchange| exchange.acked && !exchange.done) {
            return true;
        }
        let place = contract.backlog.iter().position(|(other, _)| *other == message);
        let ahead = place.map_or(contract.backlog.len(), |place| place + 1);
        contract.backlog.iter().take(ahead).any(|(other, _)| {
            let name = &self.ledger.get(*other).topic.name;
            // As it came: it waits also when the sensor has unsubscribed since.
            let qos = self.descents.get(other).map_or(0, |descent| descent.due_to(sensor));
            let registers = topics::Topic::new(name).form == Form::Name && !contract.knows(name);
            qos == 2 || (registers && !contract.clean)
        })
    }

    /// Whether a message that the gateway got just now may go out in this window.
    pub(super) fn in_window(&self, sensor: usize, fed: Time) -> Verdict {
        let contract = &self.contracts[sensor];
        if contract.link == Link::Awake && fed > contract.window.1.after(WINDOW + SLACK) {
            return Err("it came too late for this window".into());
        }
        Ok(())
    }
}
