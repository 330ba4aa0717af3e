//! What the end of the gateway's life changes: nothing that it promised, and otherwise little.
//! Where it had received something and had not answered yet, it may or may not have written it
//! down, and the judge does not know which.

use mqtt_sn_gateway::store::image::Image;
use mqtt_sn_gateway::store::record::Standing;
use mqtt_sn_gateway::time::Time;

use super::contract::Link;
use super::{Oracle, Verdict};

impl Oracle {
    /// The gateway's life ends.
    pub fn crashed(&mut self, now: Time) {
        self.crashes += 1;
        self.step = None;
        self.coming.clear();
        self.broker_closed();
        self.abandon_filters();
        for sensor in 0..self.contracts.len() {
            self.note_silence(now, sensor);
            // What is sent at QoS 0, and what was retained, may be lost.
            self.forgive_unacknowledged(sensor);
            let contract = &mut self.contracts[sensor];
            if contract.link != Link::Down
                && now.since(contract.last_heard) >= contract.least_silence()
            {
                contract.doubt(contract.last_heard.after(contract.least_silence()));
            }
            contract.abandon_exchanges();
            contract.answers_are_lost();
            // What was sent and not acknowledged comes again, from the start.
            contract.order.clear();
            contract.owed_answer = None;
        }
        // What it had not acknowledged to the broker, the broker has to send again.
        let mut depends = Vec::new();
        for (message, descent) in &self.descents {
            let waiting = descent.expected.iter().filter(|(_, expected)| !expected.acked);
            let unkept = waiting.filter(|(sensor, _)| !self.keeps_for(**sensor, *message));
            depends.extend(unkept.map(|(sensor, _)| (*message, *sensor)));
        }
        for (message, sensor) in depends {
            let descent = self.descents.get_mut(&message);
            if let Some(expected) = descent.and_then(|descent| descent.expected.get_mut(&sensor)) {
                expected.up_to_broker = true;
            }
        }
        // Unless it has forgotten that already, with the session that they came in. None of it was
        // acknowledged: what is, is on the disk.
        let losses = self.upstream.losses;
        for descent in self.descents.values_mut() {
            descent.expected.retain(|_, expected| {
                expected.acked || !expected.up_to_broker || expected.losses == losses
            });
        }
    }

    /// The broker forgot what it would have had to send again.
    pub(super) fn forgive_forgotten(&mut self) {
        for descent in self.descents.values_mut() {
            descent.expected.retain(|_, expected| expected.acked || !expected.up_to_broker);
        }
    }

    /// A new life begins with what it found.
    ///
    /// # Errors
    /// When that is not what was written.
    pub fn restarted(&mut self, now: Time, image: Option<Image>) -> Verdict {
        self.found(image)?;
        self.upstream.forget_unwritten();
        for (packet_id, message, qos) in self.requests_on_disk() {
            self.upstream.may_repeat(packet_id, message, qos);
        }
        for sensor in 0..self.contracts.len() {
            let standing = self.standing(sensor);
            let connects = standing.is_none_or(|(_, will)| will == self.contracts[sensor].new_will);
            self.go_on(sensor, standing.map(|(standing, _)| standing), connects);
            if let Some(will) = standing.and_then(|(_, will)| will)
                && self.contracts[sensor].new_will == Some(will)
            {
                // The will of a CONNECT that was written down and not answered.
                self.contracts[sensor].surely_wiped = self.contracts[sensor].wiped;
                self.will_in_doubt(sensor);
                self.will_established(now, sensor, false);
            }
            let under_way = self.under_way(sensor);
            let contract = &mut self.contracts[sensor];
            if let Some(exchange) = under_way.and_then(|id| contract.down.get_mut(&id)) {
                // Its end was not written down.
                (exchange.done, exchange.sends) = (false, 0);
            }
            if contract.link != Link::Down {
                // Everybody counts as heard of.
                contract.heard_before = std::mem::replace(&mut contract.last_heard, now);
            }
            contract.hesitated = now;
        }
        Ok(())
    }

    /// How the gateway sees the connection of a sensor in its new life. `connects`: the will on the disk
    /// may be that of the CONNECT that was under way.
    fn go_on(&mut self, sensor: usize, standing: Option<Standing>, connects: bool) {
        let contract = &mut self.contracts[sensor];
        let parting = contract.parting.take();
        match contract.link {
            Link::Connecting { .. } if contract.slept && standing == Some(Standing::Asleep) => {
                // Its CONNECT was not written down: for the new life it sleeps on, and the next one
                // may be that of a sleeper, who keeps what it has.
                contract.link = Link::Asleep;
                contract.kept_on_wake = false;
                contract.doubt(contract.last_heard);
            }
            Link::Connecting { was_up } => {
                // Whether its CONNECT was written down or not, it has not been answered.
                let active = standing == Some(Standing::Active);
                let was_up = was_up || active;
                contract.link = Link::Connecting { was_up };
                let willed = contract.connect.as_ref().is_some_and(|connect| connect.will);
                if active && willed && (!connects || contract.new_will.is_none()) {
                    // It was not: the session before goes on, and what it is sent may be left unanswered.
                    contract.wiped = contract.surely_wiped;
                }
                // If it was written down, the CONNECT that comes again is not that of a sleeper.
                contract.kept_on_wake = false;
                contract.doubt(contract.last_heard);
            }
            Link::Awake => contract.link = Link::Asleep,
            Link::Asleep | Link::Down if parting.is_some() => {
                // Its DISCONNECT has not been answered.
                if standing == Some(Standing::Active) {
                    contract.link = Link::Up;
                    contract.doubt(contract.last_heard);
                }
                if let Some(will) = parting.and_then(|parting| parting.will) {
                    self.will_comes_back(sensor, will);
                }
            }
            // That it was lost, or had to make room, was not written down.
            Link::Down if standing == Some(Standing::Active) => {
                contract.link = Link::Up;
                contract.doubt(contract.last_heard);
            }
            Link::Down if standing == Some(Standing::Asleep) => {
                contract.link = Link::Asleep;
                contract.doubt(contract.last_heard);
            }
            _ => {}
        }
    }
}
