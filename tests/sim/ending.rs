//! How a world ends: the faults stop, everything must come to rest, and then it must work.

use crate::oracle::Verdict;
use crate::sensor::{Doing, Phase};
use crate::topics;
use crate::world::World;
use mqtt_sn_gateway::time::Time;
use std::time::Duration;

/// Everything must have come to rest this long after the faults stopped, milliseconds.
const PATIENCE: u64 = 20 * 60 * 1_000;
/// The same with devices that leave REGISTER unanswered: each such message takes minutes.
const PATIENCE_WITH_STACKS: u64 = 6 * 3_600 * 1_000;

impl World {
    /// A whole life: trouble, healing, convergence, probes, farewell.
    ///
    /// # Errors
    /// At the first broken promise.
    pub fn live(&mut self) -> Verdict {
        self.run_for(self.plan.duration)?;
        self.heal();
        self.converge()?;
        self.oracle.settled(usize::MAX)?;
        if self.subscriptions_match().is_err() {
            // A gateway that has just come back finds out how this broker treats overlapping filters
            // before it asks for any, and has a few seconds for that.
            self.run_for(10_000)?;
            self.subscriptions_match()?;
        }
        self.probe()?;
        self.farewell()
    }

    /// All faults stop; sensors do nothing new.
    pub fn heal(&mut self) {
        let now = self.clock.now();
        self.trace.line(now, || "the world heals".into());
        self.lively = false;
        self.network.heal();
        if let Some(lines) = &mut self.lines {
            lines.heal();
        }
        self.heal_machine();
        self.broker.heal();
        self.plan.broker.latency = (0, 5);
        self.tcp.stalled_until = self.tcp.stalled_until.min(now);
        for sensor in 0..self.sensors.len() {
            self.sensors[sensor].come_home(now);
            self.clock.after(6_000, crate::world::Event::Wake(sensor));
        }
        if !self.oracle.is_strict() {
            self.oracle.forgive_retained();
        }
    }

    /// Waits until nobody waits for anything.
    fn converge(&mut self) -> Verdict {
        let stacks = self.plan.people.stacks > 0;
        let patience = if stacks { PATIENCE_WITH_STACKS } else { PATIENCE };
        let end = self.clock.now().0 + patience;
        loop {
            self.run_for(10_000)?;
            let Err(reason) = self.at_rest() else { return Ok(()) };
            if self.clock.now().0 >= end {
                return Err(format!("no rest {} s after the healing: {reason}", patience / 1_000));
            }
        }
    }

    fn at_rest(&self) -> Verdict {
        if !self.machine.alive {
            return Err("the gateway is not there".into());
        }
        let unsettled = self.sensors.iter().find(|sensor| !sensor.is_settled());
        if let Some(sensor) = unsettled {
            return Err(sensor.describe());
        }
        let gone = (0..self.sensors.len()).find(|sensor| !self.oracle.is_up(*sensor));
        if let Some(sensor) = gone {
            return Err(format!("sensor {sensor} thinks that it is connected, and is not"));
        }
        if !self.broker.is_connected() {
            return Err("the gateway is not connected to the broker".into());
        }
        let idle = self.broker.session().is_some_and(|session| session.is_idle());
        if !idle || !self.tcp.to_broker.is_empty() || !self.tcp.to_gateway.is_empty() {
            return Err("messages are in flight between gateway and broker".into());
        }
        self.states_are_told()?;
        self.oracle.settled(usize::MAX)
    }

    /// Subscriptions are made again, one message of each QoS goes to every topic.
    fn probe(&mut self) -> Verdict {
        let now = self.clock.now();
        self.trace.line(now, || "sensors refresh their subscriptions".into());
        for sensor in 0..self.sensors.len() {
            self.with_sensor(sensor, |one, io| one.refresh(io))?;
        }
        self.converge()?;
        // Half of the sleepers get the probes in their sleep.
        for sensor in 0..self.sensors.len() {
            if self.sensors[sensor].habits.sleeps && self.rng.chance(500) {
                self.do_it(sensor, Doing::Sleep)?;
            }
        }
        self.run_for(5_000)?;
        self.trace.line(self.clock.now(), || "probes".into());
        let perfect = self.oracle.ledger.len();
        for topic in topics::all(self.sensors.len()) {
            for qos in 0..3 {
                self.outside(topic.clone(), qos, false)?;
            }
            self.run_for(200)?;
        }
        self.converge()?;
        self.run_for(30_000)?;
        // The gateway may be about to say how it is doing.
        self.converge()?;
        self.oracle.settled(perfect)?;
        self.subscriptions_match()
    }

    /// The broker has the subscriptions that the sensors have, no more and no less.
    fn subscriptions_match(&self) -> Verdict {
        let at_broker = self.broker.session().map(|session| session.subscriptions.as_slice());
        self.oracle.subscriptions_match(self.clock.now(), at_broker.unwrap_or_default())
    }

    /// Those with a will vanish, the others say goodbye. The wills come, and clean sessions leave
    /// nothing behind.
    fn farewell(&mut self) -> Verdict {
        let now = self.clock.now();
        self.trace.line(now, || "farewell".into());
        for sensor in 0..self.sensors.len() {
            let vanish = self.oracle.has_will(sensor);
            self.with_sensor(sensor, |one, io| one.retire(io, vanish))?;
        }
        let longest = self.oracle.longest_patience().max(Duration::from_secs(250));
        self.run_for(longest.as_millis() as u64)?;
        self.oracle.wills_done(self.clock.now())?;
        if self.sensors.iter().any(|sensor| sensor.phase != Phase::Off { until: Time(u64::MAX) }) {
            return Err("a sensor came back from its retirement".into());
        }
        self.subscriptions_match()?;
        self.nothing_left()
    }

    /// Whoever left a persistent session never comes back: it expires, and with it the last octet.
    fn nothing_left(&mut self) -> Verdict {
        self.states_are_told()?;
        let kept = self.kept_sessions();
        self.trace.line(self.clock.now(), || "the last sessions expire".into());
        self.run_for(self.plan.rules.expiry.as_millis() as u64 + 60_000)?;
        self.states_are_told()?;
        self.are_not_told_of(&kept)?;
        let gateway = self.engine.gateway();
        self.oracle.disk_is_empty()?;
        let (residue, stats) = (gateway.residue(), gateway.stats());
        if residue != [0; 5] {
            return Err(format!(
                "left behind: {residue:?} (clients, filters, requests, messages, topic names)"
            ));
        }
        // Devices that have a connection, and no others.
        let there = self.lines.as_ref().map_or(0, |lines| lines.connected());
        if gateway.known_devices() != there {
            let known = gateway.known_devices();
            return Err(format!("{known} devices are known, {there} have a connection"));
        }
        let gauges =
            [stats.clients, stats.connected, stats.asleep, stats.buffered, stats.buffered_bytes];
        if gauges != [0; 5] || stats.lined_up > 0 {
            return Err(format!(
                "gauges at the end: {gauges:?} (clients, connected, asleep, buffered, octets), {} in line",
                stats.lined_up
            ));
        }
        Ok(())
    }
}
