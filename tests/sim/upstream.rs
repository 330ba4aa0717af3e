//! The world's side of the connection between gateway and broker, and the broker's troubles.

use mqtt_sn_gateway::core::upstream::LineId;
use mqtt_sn_gateway::time::Time;

use crate::oracle::Verdict;
use crate::tcp::Item;
use crate::trace::show_packet;
use crate::wire::{Level, decode};
use crate::world::{Event, World};

impl World {
    /// The gateway opens a connection.
    pub(crate) fn open(&mut self) -> Verdict {
        let now = self.clock.now();
        if self.tcp.open || !self.machine.alive {
            return Ok(());
        }
        self.trace.line(now, || "connection to the broker opens".into());
        self.tcp.open = true;
        self.tcp.to_broker.clear();
        self.tcp.to_gateway.clear();
        self.tcp.said.clear();
        self.tcp.heard.clear();
        self.tcp.input.clear();
        self.broker.open();
        self.engine.broker_open(now, LineId::MAIN);
        self.drain(None)
    }

    /// Whatever has travelled far enough arrives.
    pub(crate) fn pipes(&mut self) -> Verdict {
        let now = self.clock.now();
        if now < self.tcp.stalled_until {
            self.clock.at(self.tcp.stalled_until, Event::Pipes);
            return Ok(());
        }
        while let Some(item) = self.tcp.to_broker.pop(now) {
            match item {
                Item::Bytes(bytes) => self.broker_reads(&bytes)?,
                Item::Close => self.broker_sees_close(),
            }
        }
        while let Some(item) = self.tcp.to_gateway.pop(now) {
            match item {
                Item::Bytes(bytes) => self.gateway_reads(&bytes)?,
                Item::Close => self.gateway_sees_close()?,
            }
        }
        Ok(())
    }

    fn broker_sees_close(&mut self) {
        self.broker.lost();
    }

    pub(crate) fn broker_reads(&mut self, bytes: &[u8]) -> Verdict {
        let now = self.clock.now();
        let before = self.broker.session().is_some();
        let verdict = self.broker.input(bytes);
        verdict.map_err(|error| format!("the gateway breaks MQTT: {error}"))?;
        for accepted in std::mem::take(&mut self.broker.accepted) {
            let message = self.oracle.ledger.identify(&accepted.publish.payload);
            self.oracle.accepts(&accepted)?;
            if let Some(message) = message {
                self.oracle.distributed(now, message);
            }
        }
        if before && self.broker.session().is_none() {
            self.oracle.broker_forgot();
        }
        self.flush_broker();
        Ok(())
    }

    /// What the broker has to say goes on its way.
    pub(crate) fn flush_broker(&mut self) {
        let now = self.clock.now();
        let bytes = std::mem::take(&mut self.broker.output);
        if !self.tcp.open {
            return;
        }
        let latency = self.latency();
        if !bytes.is_empty() {
            let at = self.tcp.to_gateway.push(now, latency, Item::Bytes(bytes));
            self.clock.at(at, Event::Pipes);
        }
        if std::mem::take(&mut self.broker.hang_up) {
            let at = self.tcp.to_gateway.push(now, latency, Item::Close);
            self.clock.at(at, Event::Pipes);
            self.broker.lost();
        }
    }

    fn gateway_reads(&mut self, bytes: &[u8]) -> Verdict {
        let now = self.clock.now();
        if !self.tcp.open {
            return Ok(());
        }
        self.tcp.heard.extend_from_slice(bytes);
        // A broker that refuses MQTT 5 answers in the words of 3.1.1.
        let level = if self.plan.broker.level == Level::V4 { Level::V4 } else { self.tcp.level };
        while let Some(packet) = decode(&mut self.tcp.heard, level)? {
            self.trace.line(now, || format!("broker ▸ gateway {}", show_packet(&packet)));
            self.oracle.packet_down(now, &packet);
        }
        self.tcp.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.tcp.input);
        let result = self.engine.broker_input(now, LineId::MAIN, &mut input);
        self.tcp.input = input;
        self.drain(None)?;
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.gave_up(&error.to_string()),
        }
    }

    /// The session wants to be rid of the connection. It must have a reason.
    pub(crate) fn gave_up(&mut self, error: &str) -> Verdict {
        let now = self.clock.now();
        self.trace.line(now, || format!("the session gives up the connection: {error}"));
        let wiping = self.tcp.level == Level::V4 && self.tcp.clean;
        let slow = now.0 < self.tcp.last_trouble.0 + 120_000;
        if self.oracle.is_connected() && !wiping && !slow {
            return Err(format!("the session gave up a healthy connection: {error}"));
        }
        self.drain(None)?;
        if self.tcp.open {
            let at = self.tcp.to_broker.push(now, 0, Item::Close);
            self.clock.at(at, Event::Pipes);
        }
        self.hang_up_gateway()
    }

    fn gateway_sees_close(&mut self) -> Verdict {
        if !self.tcp.open {
            return Ok(());
        }
        self.trace.line(self.clock.now(), || "the broker closes the connection".into());
        self.broker.lost();
        self.hang_up_gateway()
    }

    /// The gateway's end is closed; it opens another one a little later.
    fn hang_up_gateway(&mut self) -> Verdict {
        let now = self.clock.now();
        self.tcp.open = false;
        self.tcp.to_gateway.clear();
        self.oracle.broker_closed();
        self.engine.broker_closed(now, LineId::MAIN);
        let pause = self.rng.between(100, if self.lively { 15_000 } else { 1_000 });
        let at = self.tcp.to_broker.last().0.max(now.0).max(self.tcp.stalled_until.0) + pause;
        self.clock.at(Time(at), Event::Open);
        self.drain(None)
    }

    /// One of the broker's bad moments.
    pub(crate) fn trouble(&mut self) -> Verdict {
        let now = self.clock.now();
        let every = self.plan.broker.trouble_every;
        self.clock.after(self.rng.between(1, 2 * every), Event::Trouble);
        let kind = self.rng.below(4);
        self.tcp.last_trouble = now;
        if kind == 0 {
            let until = now.0 + self.rng.between(1_000, 100_000);
            self.stall(Time(until));
            return Ok(());
        }
        self.cut(kind == 1)
    }

    /// Nothing passes between gateway and broker until then.
    pub(crate) fn stall(&mut self, until: Time) {
        self.trace.line(self.clock.now(), || format!("the connection stalls until {}", until.0));
        self.tcp.stalled_until = until;
        self.tcp.last_trouble = until;
    }

    /// The broker starts again, perhaps with nothing.
    pub(crate) fn cut(&mut self, forget: bool) -> Verdict {
        let now = self.clock.now();
        self.tcp.last_trouble = self.tcp.last_trouble.max(now);
        self.trace.line(now, || format!("the connection is cut, session forgotten: {forget}"));
        let reached_broker = self.tcp.to_broker.cut(&mut self.rng);
        let reached_gateway = self.tcp.to_gateway.cut(&mut self.rng);
        if self.tcp.open {
            self.broker_reads(&reached_broker)?;
            self.gateway_reads(&reached_gateway)?;
            self.drain(None)?;
        }
        if forget && self.broker.session().is_some() {
            self.oracle.broker_forgot();
        }
        self.broker.crash(forget);
        if self.tcp.open {
            self.tcp.to_broker.clear();
            self.hang_up_gateway()?;
        }
        Ok(())
    }
}
