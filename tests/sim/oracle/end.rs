//! What must hold once all faults have stopped and everybody had time.

use mqtt_sn_gateway::time::Time;

use std::time::Duration;

use super::contract::Contract;
use super::{Oracle, Verdict};
use crate::broker::Subscription;
use crate::ledger::{MsgNo, Origin};
use crate::plan::Weather;
use crate::topics::FORBIDDEN;

impl Oracle {
    /// Sensors that still wait for a message that they must get.
    pub fn waiting(&self) -> Vec<(MsgNo, usize)> {
        let all = self.descents.iter().flat_map(|(message, descent)| {
            let waiting = descent.expected.iter().filter(|(_, expected)| !expected.acked);
            let waiting = waiting.filter(|(sensor, _)| !self.contracts[**sensor].is_clogged());
            waiting.map(move |(sensor, _)| (*message, *sensor))
        });
        all.collect()
    }

    /// Nothing is owed any more. Messages from number `perfect` on were made after the world was
    /// healed: for those QoS 0 counts too.
    ///
    /// # Errors
    /// What is still owed.
    pub fn settled(&self, perfect: MsgNo) -> Verdict {
        if let Some((message, sensor)) = self.waiting().first() {
            let app = self.ledger.get(*message);
            let subs = self.contracts[*sensor].covering(&app.topic.name);
            return Err(format!("sensor {sensor} never got message {message}: {app:?}: {subs:?}"));
        }
        for (message, descent) in &self.descents {
            let strict = self.strict || *message >= perfect;
            let sent = |sensor: usize| descent.sent.get(&sensor).copied().unwrap_or_default();
            let mut owed = descent.expected_unacknowledged.iter();
            let clogged = |sensor: usize| self.contracts[sensor].is_clogged();
            let missed = owed.find(|s| sent(**s).0 == 0 && !clogged(**s));
            if let (true, Some(sensor)) = (strict, missed) {
                return Err(format!("message {message} at QoS 0 was not sent to sensor {sensor}"));
            }
            let owed = descent.retained_due.iter();
            let mut owed = owed.filter(|(sensor, (_, before))| {
                let (live, kept) = sent(**sensor);
                let contract = &self.contracts[**sensor];
                let topic = &self.ledger.get(*message).topic.name;
                let payload = self.ledger.get(*message).payload.len();
                live + kept <= *before
                    && contract.has_use_for(topic, payload)
                    && !contract.is_clogged()
            });
            if let (false, Some((sensor, (filter, _)))) = (self.skips("retained"), owed.next()) {
                return Err(format!(
                    "retained message {message} was not sent to sensor {sensor}, which subscribed \
                     to {filter:?}"
                ));
            }
        }
        for (message, ascent) in &self.ascents {
            let app = self.ledger.get(*message);
            let forbidden = app.topic.name.starts_with(FORBIDDEN);
            if ascent.is_missing() && !forbidden {
                return Err(format!(
                    "message {message} was acknowledged and has not come to the broker"
                ));
            }
            let strict = self.strict && app.qos <= 0 && !forbidden;
            if strict && ascent.accepted < ascent.due {
                return Err(format!(
                    "message {message} at QoS {} arrived {} times and went up {} times",
                    app.qos, ascent.due, ascent.accepted
                ));
            }
        }
        Ok(())
    }

    /// Debts of retained messages from before are forgiven: subscriptions and the broker's
    /// connection came and went.
    pub fn forgive_retained(&mut self) {
        for descent in self.descents.values_mut() {
            descent.retained_due.clear();
        }
    }

    /// Whether the broker has accepted the connection.
    pub fn is_connected(&self) -> bool {
        self.upstream.connected
    }

    /// Whether retained messages are owed to new subscribers at this moment of the world.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// The broker has exactly the subscriptions that the sensors have.
    ///
    /// # Errors
    /// The difference.
    pub fn subscriptions_match(&self, now: Time, at_broker: &[Subscription]) -> Verdict {
        for contract in self.contracts.iter().filter(|contract| contract.living(now)) {
            for (filter, sub) in contract.subs.iter().filter(|(_, sub)| sub.must) {
                let wire = format!("{}{filter}", self.prefix);
                if !at_broker.iter().any(|other| other.filter == wire && other.qos >= sub.sure) {
                    return Err(format!(
                        "sensor {} is subscribed to {filter:?} at QoS {}, the gateway is not",
                        contract.number, sub.qos
                    ));
                }
            }
        }
        // The gateway may ask the broker about itself.
        let foreign = at_broker.iter().filter(|sub| !sub.filter.contains("mqtt-sn-gateway/"));
        for other in foreign {
            let wanted = self.contracts.iter().any(|contract| {
                let mut filters = contract.subs.iter().filter(|(_, sub)| sub.may || sub.kept);
                let kept = !contract.surely_gone(now) || !contract.clean;
                kept && filters
                    .any(|(filter, _)| format!("{}{filter}", self.prefix) == other.filter)
            });
            if !wanted && !self.upstream.orphans.contains(&other.filter) {
                return Err(format!("nobody wants {:?}, the gateway keeps it", other.filter));
            }
        }
        Ok(())
    }

    /// The longest silence that the gateway may bear from anybody.
    pub fn longest_patience(&self) -> Duration {
        self.contracts.iter().map(Contract::most_silence).max().unwrap_or_default()
    }

    /// Every will of a lost sensor was published.
    ///
    /// # Errors
    /// The first that was not.
    pub fn wills_done(&mut self, now: Time) -> Verdict {
        for sensor in 0..self.contracts.len() {
            self.note_silence(now, sensor);
        }
        for (message, will) in &self.wills {
            // At QoS 0 it may have met a broker that was away.
            let owed = self.ledger.get(*message).qos > 0 || self.weather == Weather::Calm;
            if will.overdue && owed && !will.published {
                let origin = self.ledger.get(*message).origin;
                debug_assert!(matches!(origin, Origin::Will(_)));
                return Err(format!("will {message} of {origin:?} was not published"));
            }
        }
        Ok(())
    }
}
