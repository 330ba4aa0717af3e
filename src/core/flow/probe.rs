//! Does this MQTT 3.1.1 broker send one copy of a message, or one for each subscription that
//! matches? The specification leaves it open (§3.3.5), brokers do either, and nothing in a message
//! tells. So, before the first filter that may overlap with another is subscribed to, the broker is
//! asked to show it:
//!
//! ```text
//! SUBSCRIBE mqtt-sn-gateway/<name>/probe/+  ──▶
//! SUBSCRIBE mqtt-sn-gateway/<name>/probe/#  ──▶
//!                                           ◀──  SUBACK, SUBACK
//! PUBLISH   mqtt-sn-gateway/<name>/probe/x  ──▶
//!                                           ◀──  one copy, or two
//! UNSUBSCRIBE, UNSUBSCRIBE                  ──▶
//! ```
//!
//! MQTT 5 brokers say with each copy what it is for and are not asked.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::core::effects::{Effect, Span};
use crate::core::flow::Incoming;
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::lines::Line;
use crate::core::slots::Handle;
use crate::core::upstream::{LineId, MqttQos, Token};
use crate::time::Time;

/// How long the broker has for everything up to the first copy.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after the first copy the second may come.
const SETTLE: Duration = Duration::from_millis(500);

/// The two filters, below the gateway's own topics, and the topic that matches both.
const FILTERS: [&str; 2] = ["+", "#"];
const TOPIC: &str = "x";

/// What is known of the copies that a broker makes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum CopyMode {
    /// Nothing yet.
    #[default]
    Unknown,
    /// The probe is under way.
    Probing {
        /// SUBACKs outstanding.
        subacks: u8,
        /// Copies received.
        copies: u8,
        /// When it ends.
        until: Time,
    },
    /// MQTT 5: each copy says what it is for.
    Marked,
    /// One copy for all.
    Single,
    /// One copy for each subscription, unmarked.
    PerSubscription,
}

impl Line {
    /// When the probe ends.
    pub(crate) fn probe_deadline(&self) -> Option<Time> {
        match self.broker.copies {
            CopyMode::Probing { until, .. } => Some(until),
            _ => None,
        }
    }
}

/// Each connection has topics of its own for it.
fn topic(line: LineId, name: &str) -> String {
    match line.number() {
        0 => format!("probe/{name}"),
        number => format!("probe-{}/{name}", number + 1),
    }
}

impl Gateway {
    /// Whether filters may be asked for. If how the broker treats overlapping ones has to be found
    /// out first, starts to.
    pub(crate) fn copies_are_known(&mut self, cx: &mut Cx<'_>, line: LineId) -> bool {
        let known = self.lines.at_mut(line);
        match known.broker.copies {
            CopyMode::Marked | CopyMode::Single | CopyMode::PerSubscription => return true,
            CopyMode::Probing { .. } => return false,
            CopyMode::Unknown => {}
        }
        if known.broker.ids {
            known.broker.copies = CopyMode::Marked;
            return true;
        }
        // Without wildcards, and with a single filter, nothing overlaps.
        if known.filters.len() < 2 || !known.filters.any_wildcard() {
            return true;
        }
        let until = cx.now.after(PATIENCE);
        known.broker.copies = CopyMode::Probing { subacks: 2, copies: 0, until };
        known.broker.open += 2;
        for filter in FILTERS {
            let token = Token(self.requests.insert(Request::Probe { line }).to_bits());
            let filter = self.own_name(cx, &topic(line, filter));
            let qos = MqttQos::Zero;
            cx.fx.push(Effect::Subscribe { line, token, filter, qos, id: 0, retained: false });
        }
        false
    }

    /// A SUBACK of the probe: after the second one, the message.
    pub(crate) fn on_probe_subscribed(&mut self, cx: &mut Cx<'_>, line: LineId) {
        let broker = &mut self.lines.at_mut(line).broker;
        broker.open = broker.open.saturating_sub(1);
        let CopyMode::Probing { subacks, copies, until } = broker.copies else { return };
        let subacks = subacks.saturating_sub(1);
        broker.copies = CopyMode::Probing { subacks, copies, until };
        if subacks == 0 {
            let topic = self.own_name(cx, &topic(line, TOPIC));
            let payload = cx.fx.store(b"how many copies?");
            let qos = MqttQos::Zero;
            let (token, retain, origin, keep) = (Token(0), false, u32::MAX, false);
            let rssi = None;
            let it =
                Effect::Publish { line, token, qos, retain, topic, payload, origin, keep, rssi };
            cx.fx.push(it);
        }
    }

    /// Counts the probe's copies; other messages are none of its business.
    pub(crate) fn is_probe(&mut self, cx: &Cx<'_>, message: &Incoming<'_>) -> bool {
        let line = message.line;
        let broker = &mut self.lines.at_mut(line).broker;
        let CopyMode::Probing { subacks: 0, copies, until } = broker.copies else {
            return false;
        };
        let name = message.topic.strip_prefix(&*self.own_topics);
        if name.is_none_or(|name| name != topic(line, TOPIC)) {
            return false;
        }
        let copies = copies.saturating_add(1);
        // After the second there is nothing to wait for.
        let until = if copies > 1 { cx.now } else { until.min(cx.now.after(SETTLE)) };
        broker.copies = CopyMode::Probing { subacks: 0, copies, until };
        true
    }

    /// Ends the probes whose time has come. A broker that showed nothing (it may forbid these
    /// topics) is taken for one that sends a single copy: a copy too many is better than one too
    /// few.
    pub(crate) fn end_probes(&mut self, cx: &mut Cx<'_>) {
        for line in self.lines.shared_ids() {
            let broker = &mut self.lines.at_mut(line).broker;
            let CopyMode::Probing { copies, until, .. } = broker.copies else { continue };
            if until > cx.now {
                continue;
            }
            broker.copies = if copies > 1 { CopyMode::PerSubscription } else { CopyMode::Single };
            broker.open += 2;
            for filter in FILTERS {
                let token = Token(self.requests.insert(Request::Probe { line }).to_bits());
                let filter = self.own_name(cx, &topic(line, filter));
                cx.fx.push(Effect::Unsubscribe { line, token, filter });
            }
            self.run_asks(cx, line);
        }
    }

    /// The connection is gone: whatever was under way starts anew with the next.
    pub(crate) fn forget_probe(&mut self, line: LineId) {
        let probes: alloc::vec::Vec<Handle> = self
            .requests
            .iter()
            .filter(|(_, request)| matches!(request, Request::Probe { line: by } if *by == line))
            .map(|(handle, _)| handle)
            .collect();
        for probe in probes {
            self.requests.remove(probe);
        }
    }

    fn own_name(&self, cx: &mut Cx<'_>, name: &str) -> Span {
        cx.fx.store_joined(&self.own_topics, name)
    }
}
