//! The core alone, in this process: no sockets, no clock, a broker that grants and accepts everything
//! at once. For what cannot be seen from outside: octets on the heap, and nanoseconds without a
//! kernel.

use std::alloc::System;
use std::time::Duration;

use mqtt_sn_gateway::core::upstream::{LineId, MqttQos, Token, UpstreamEvent};
use mqtt_sn_gateway::core::{
    Address, Effect, Effects, Gateway, LinkId, LinkSettings, Settings, Signal,
};
use mqtt_sn_gateway::time::Time;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::Failure;

/// Counts what is allocated. The relay runs with it too; it allocates nothing per message.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is on the heap at one moment.
#[derive(Clone, Copy)]
pub struct Heap {
    /// Octets asked for.
    pub octets: isize,
    /// Allocations.
    pub count: isize,
}

impl Heap {
    pub fn now() -> Self {
        let stats = HEAP.stats();
        let difference = |up: usize, down: usize| up.wrapping_sub(down).cast_signed();
        Self {
            octets: difference(stats.bytes_allocated, stats.bytes_deallocated),
            count: difference(stats.allocations, stats.deallocations),
        }
    }

    /// Octets more than at `before`, per each of `clients`.
    pub fn octets_each(self, before: Self, clients: usize) -> f64 {
        (self.octets - before.octets) as f64 / clients as f64
    }

    /// Allocations more than at `before`, per each of `clients`.
    pub fn count_each(self, before: Self, clients: usize) -> f64 {
        (self.count - before.count) as f64 / clients as f64
    }
}

/// What the broker owes an answer.
enum Owed {
    Published(Token, MqttQos),
    Subscribed(Token, MqttQos),
    Unsubscribed(Token),
}

/// A gateway, its time and its broker.
pub struct Inside {
    gateway: Gateway,
    now: Time,
    effects: Effects,
    owed: Vec<Owed>,
    /// The datagram that was sent last, and how many there were.
    last: Vec<u8>,
    sent: u64,
}

impl Inside {
    /// A gateway with room for `clients`, connected to its broker over MQTT 5.
    pub fn new(clients: usize) -> Self {
        let settings = Settings {
            max_clients: u32::try_from(clients).unwrap_or(u32::MAX),
            links: vec![LinkSettings::default()],
            advertise_interval: Duration::ZERO,
            ..Settings::default()
        };
        let now = Time(1_000_000);
        let mut inside = Self {
            gateway: Gateway::new(settings, 7, now),
            now,
            effects: Effects::new(),
            owed: Vec::new(),
            last: Vec::new(),
            sent: 0,
        };
        inside.upstream(UpstreamEvent::Connected {
            session_present: false,
            subscription_ids: true,
            maximum_qos: MqttQos::Two,
        });
        inside
    }

    /// A datagram of the device with this number.
    pub fn datagram(&mut self, device: usize, octets: &[u8]) {
        let number = device.to_be_bytes();
        if let Some(address) = Address::new(&number) {
            let (now, signal, effects) = (self.now, Signal::default(), &mut self.effects);
            self.gateway.handle_datagram(now, LinkId(0), &address, signal, octets, effects);
        }
        self.settle();
    }

    /// A request. The last datagram that is sent meanwhile has to be of type `kind`.
    pub fn ask(&mut self, device: usize, request: &[u8], kind: u8) -> Result<(), Failure> {
        let before = self.sent;
        self.datagram(device, request);
        match self.last.get(1..) {
            Some([first, ..]) if self.sent > before && *first == kind => Ok(()),
            _ => Err(format!(
                "device {device} sent {request:02x?}, got {} datagrams, the last is {:02x?} and not \
                 of type {kind:#04x}",
                self.sent - before,
                self.last
            )
            .into()),
        }
    }

    /// Lets time pass as a runtime does: from one timer to the next.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.gateway.next_timeout().filter(|at| *at <= end) {
            self.now = at.max(Time(self.now.0 + 1)).min(end);
            self.gateway.handle_timeout(self.now, &mut self.effects);
            self.settle();
            if self.now == end {
                return;
            }
        }
        self.now = end;
    }

    /// Client records that there are.
    pub fn clients(&self) -> u64 {
        self.gateway.stats().clients
    }

    /// Datagrams sent to devices so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    fn upstream(&mut self, event: UpstreamEvent<'_>) {
        self.gateway.handle_upstream(self.now, LineId::MAIN, event, &mut self.effects);
        self.settle();
    }

    /// Takes the effects, and has the broker answer until it owes nothing.
    fn settle(&mut self) {
        loop {
            for effect in self.effects.items() {
                match *effect {
                    Effect::Send { bytes, .. } | Effect::Promise { bytes, .. } => {
                        self.last.clear();
                        self.last.extend_from_slice(self.effects.bytes(bytes));
                        self.sent += 1;
                    }
                    Effect::Publish { token, qos, .. } if qos != MqttQos::Zero => {
                        self.owed.push(Owed::Published(token, qos));
                    }
                    Effect::Subscribe { token, qos, .. } => {
                        self.owed.push(Owed::Subscribed(token, qos));
                    }
                    Effect::Unsubscribe { token, .. } => {
                        self.owed.push(Owed::Unsubscribed(token));
                    }
                    Effect::Publish { .. }
                    | Effect::Broadcast { .. }
                    | Effect::Acknowledge { .. }
                    | Effect::Keep { .. }
                    | Effect::Recall { .. }
                    | Effect::Open { .. }
                    | Effect::Close { .. }
                    | Effect::Forget { .. }
                    | Effect::Done => {}
                }
            }
            self.effects.clear();
            if self.owed.is_empty() {
                return;
            }
            let (gateway, now, effects) = (&mut self.gateway, self.now, &mut self.effects);
            for owed in self.owed.drain(..) {
                let event = match owed {
                    Owed::Published(token, qos) => {
                        if qos == MqttQos::Two {
                            gateway.handle_upstream(
                                now,
                                LineId::MAIN,
                                UpstreamEvent::Received { token },
                                effects,
                            );
                        }
                        UpstreamEvent::Published { token, outcome: Ok(()) }
                    }
                    Owed::Subscribed(token, qos) => {
                        UpstreamEvent::Subscribed { token, outcome: Ok(qos) }
                    }
                    Owed::Unsubscribed(token) => UpstreamEvent::Unsubscribed { token },
                };
                gateway.handle_upstream(now, LineId::MAIN, event, effects);
            }
        }
    }
}
