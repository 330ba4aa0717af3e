//! The subscriptions that the broker is asked for on behalf of the clients: one SUBSCRIBE at a time
//! per filter, a few at a time in all, made again when the broker lost them.

use core::time::Duration;

use crate::core::client::ExchangeStage;
use crate::core::effects::Effect;
use crate::core::flow::CopyMode;
use crate::core::flow::publish_up::code_of;
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::lines::Line;
use crate::core::notice::Notice;
use crate::core::slots::Handle;
use crate::core::upstream::{LineId, MqttQos, Refusal, Token};
use crate::store::record::Record;
use crate::time::Time;

/// Most SUBSCRIBEs to the broker at once.
const MAX_ASKING: u32 = 64;
/// Most filters remembered that the broker should forget.
const MAX_STALE: usize = 10_000;
/// How long the broker is left alone after it refused a renewal by congestion.
const AGAIN: Duration = Duration::from_secs(10);

impl Gateway {
    /// Has the broker asked for a filter, now or when its turn comes.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>, line: LineId, handle: Handle) {
        let Line { broker, filters, .. } = self.lines.at_mut(line);
        let Some(filter) = filters.get_mut(handle) else { return };
        if !filter.asking && !core::mem::replace(&mut filter.queued, true) {
            broker.asks.push_back(handle);
        }
        // Filters may come and go in any number before the broker is asked.
        if broker.asks.len() > 2 * filters.len() + 64 {
            broker.asks.retain(|handle| filters.get(*handle).is_some());
        }
        self.run_asks(cx, line);
    }

    pub(crate) fn run_asks(&mut self, cx: &mut Cx<'_>, line: LineId) {
        loop {
            let broker = &self.lines.at(line).broker;
            if !broker.connected || broker.asking >= MAX_ASKING || broker.asks.is_empty() {
                return;
            }
            if !self.copies_are_known(cx, line) {
                return;
            }
            let Line { broker, filters, .. } = self.lines.at_mut(line);
            let Some(handle) = broker.asks.pop_front() else { return };
            let Some(filter) = filters.get_mut(handle) else { continue };
            filter.queued = false;
            if filter.asking || filter.subscribers.is_empty() {
                continue;
            }
            // Shared, at the highest QoS, whatever the clients asked for: where filters overlap, brokers
            // send copies at the QoS of one filter or the other, and a client could get less than it was
            // granted. The gateway brings it down to each client's own.
            let qos = match filter.subscribers.first().filter(|_| line.is_own()) {
                Some(only) => {
                    // It may ask for more than it has.
                    let waiting = self.clients.get(only.client).into_iter();
                    let wanted =
                        waiting.flat_map(|client| &client.busy.exchanges).filter_map(|exchange| {
                            match exchange.stage {
                                ExchangeStage::Waiting { filter, requested, .. }
                                    if filter == handle =>
                                {
                                    Some(requested)
                                }
                                _ => None,
                            }
                        });
                    wanted.fold(only.granted, MqttQos::max).min(broker.maximum_qos)
                }
                None => broker.maximum_qos,
            };
            let request = self.requests.insert(Request::Subscribe { line, filter: handle });
            let retained = filter.is_awaited();
            let text = cx.fx.store(filter.text.as_bytes());
            // The broker need not say what a message is for that comes by a connection of one's own.
            let (token, id) = (Token(request.to_bits()), if line.is_own() { 0 } else { filter.id });
            cx.fx.push(Effect::Subscribe { line, token, filter: text, qos, id, retained });
            broker.asking += 1;
            broker.open += 1;
            filters.start_asking(handle, cx.now);
        }
    }

    /// SUBACK of the broker.
    pub(crate) fn on_subscribed(
        &mut self,
        cx: &mut Cx<'_>,
        token: Token,
        outcome: Result<MqttQos, Refusal>,
    ) {
        let (line, handle) = match self.requests.remove(Handle::from_bits(token.0)) {
            Some(Request::Subscribe { line, filter }) => (line, filter),
            Some(Request::Probe { line }) => return self.on_probe_subscribed(cx, line),
            _ => return,
        };
        let Some(Line { broker, filters, .. }) = self.lines.get_mut(line) else { return };
        broker.asking = broker.asking.saturating_sub(1);
        broker.open = broker.open.saturating_sub(1);
        let ids = broker.ids;
        if let Some(filter) = filters.get_mut(handle) {
            let clients = filter.answered(cx.now);
            // What the broker granted before holds, whatever it says to more.
            let outcome = outcome.or_else(|refusal| filter.granted.ok_or(refusal));
            filter.granted = outcome.ok();
            filter.asked = outcome.is_ok();
            filter.marked = ids;
            if line.is_own() {
                // Retained messages are for nobody else.
                filters.forget_asks(handle);
            }
            self.note_filter(cx, line, handle);
            for client in clients {
                let told = self.answer_waiting(cx, client, handle, outcome.map_err(code_of));
                if told && outcome.is_err() {
                    self.remove_subscription(cx, client, handle);
                }
            }
            if let Err(refusal) = outcome {
                self.subscription_lost(cx, line, handle, refusal);
            }
            let filter = self.lines.get(line).and_then(|line| line.filters.get(handle));
            if filter.is_some_and(|filter| filter.is_awaited()) {
                self.ask(cx, line, handle);
            }
        }
        if self.lines.get(line).is_some() {
            self.run_asks(cx, line);
        }
    }

    /// Clients that have been granted a subscription are left without it: the broker lost it and
    /// does not take it again, or was away when they asked.
    fn subscription_lost(
        &mut self,
        cx: &mut Cx<'_>,
        line: LineId,
        handle: Handle,
        refusal: Refusal,
    ) {
        let filter = self.lines.get(line).and_then(|line| line.filters.get(handle));
        let Some(filter) = filter else { return };
        // Whoever waits for the next SUBSCRIBE will be told.
        if filter.subscribers.len() <= filter.newcomers() {
            return;
        }
        let text = &filter.text;
        cx.fx.notice(|fx| Notice::SubscriptionLost { filter: fx.store(text.as_bytes()) });
        if refusal == Refusal::Congestion {
            // Once for all filters of a connection.
            if self.again.iter().all(|(_, other)| *other != line) {
                self.again.push_back((cx.now.after(AGAIN), line));
            }
        }
    }

    /// When lost subscriptions are asked for again.
    pub(crate) fn again_deadline(&self) -> Option<Time> {
        self.again.front().map(|(at, _)| *at)
    }

    /// Asks for the subscriptions that met congestion, when their time has come.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx<'_>) {
        while self.again.front().is_some_and(|(at, _)| *at <= cx.now) {
            let Some((_, line)) = self.again.pop_front() else { return };
            if self.lines.get(line).is_some() {
                self.queue_missing(line);
                self.run_asks(cx, line);
            }
        }
    }

    /// Queues every filter that the broker does not know (or not by its identifier), or that somebody
    /// new waits for.
    fn queue_missing(&mut self, line: LineId) {
        let Line { broker, filters, .. } = self.lines.at_mut(line);
        let ids = broker.ids;
        let handles: alloc::vec::Vec<Handle> = filters.handles().collect();
        for handle in handles {
            let Some(filter) = filters.get_mut(handle) else { continue };
            let missing = filter.granted.is_none() || filter.is_awaited() || ids && !filter.marked;
            if missing && !filter.asking && !core::mem::replace(&mut filter.queued, true) {
                broker.asks.push_back(handle);
            }
        }
    }

    /// A client needs a filter, where it stood at `place`, no longer; the last one takes it away at
    /// the broker too.
    pub(crate) fn leave_filter(
        &mut self,
        cx: &mut Cx<'_>,
        client: Handle,
        handle: Handle,
        place: u32,
    ) {
        let line = self.line_of(client);
        let Some(filter) = self.lines.at_mut(line).filters.get_mut(handle) else { return };
        let moved = filter.leave(client, place);
        if !filter.subscribers.is_empty() {
            let moved = moved.and_then(|moved| self.clients.get_mut(moved));
            let subscriptions = moved.map(|client| client.subscriptions.iter_mut());
            if let Some(its) = subscriptions.and_then(|mut its| its.find(|s| s.filter == handle)) {
                its.place = place;
            }
            return;
        }
        let Line { broker, filters, .. } = self.lines.at_mut(line);
        let Some(filter) = filters.remove(handle) else { return };
        if !filter.asked {
            // Unless the broker is still to be told that an earlier one has ended.
            if !broker.stale.contains(&filter.text) {
                self.note_line(cx, line, &Record::FilterOver { text: &filter.text });
            }
            return;
        }
        if broker.connected {
            self.unsubscribe(cx, line, filter.text);
        } else if broker.stale.len() < MAX_STALE {
            broker.stale.push(filter.text);
        }
    }

    /// Records what the broker knows of a filter.
    pub(crate) fn note_filter(&self, cx: &mut Cx<'_>, line: LineId, handle: Handle) {
        if let Some(filter) = self.lines.at(line).filters.get(handle) {
            self.note_line(cx, line, &filter.record());
        }
    }

    /// UNSUBACK of the broker.
    pub(crate) fn on_unsubscribed(&mut self, cx: &mut Cx<'_>, token: Token) {
        let request = self.requests.remove(Handle::from_bits(token.0));
        let (Some(Request::Unsubscribe { line, .. }) | Some(Request::Probe { line })) = &request
        else {
            return;
        };
        let Some(known) = self.lines.get_mut(*line) else { return };
        known.broker.open = known.broker.open.saturating_sub(1);
        if let Some(Request::Unsubscribe { line, filter }) = request
            && known.filters.find(&filter).is_none()
        {
            self.note_line(cx, line, &Record::FilterOver { text: &filter });
        }
    }

    /// The session could not even ask for the end of a subscription: another time.
    pub(crate) fn on_unsubscribe_refused(&mut self, token: Token) {
        if let Some(Request::Unsubscribe { line, filter }) =
            self.requests.remove(Handle::from_bits(token.0))
            && let Some(Line { broker, .. }) = self.lines.get_mut(line)
        {
            broker.open = broker.open.saturating_sub(1);
            if broker.stale.len() < MAX_STALE {
                broker.stale.push(filter);
            }
        }
    }

    /// A client gives up a filter that nobody here knows. What the broker has kept for it by its own
    /// connection may be from before the gateway knew it.
    pub(crate) fn forget_at_broker(&mut self, cx: &mut Cx<'_>, line: LineId, filter: &str) {
        let Some(Line { broker, .. }) = self.lines.get_mut(line).filter(|_| line.is_own()) else {
            return;
        };
        if broker.connected {
            self.unsubscribe(cx, line, filter.into());
        } else if broker.stale.len() < MAX_STALE && !broker.stale.iter().any(|f| **f == *filter) {
            broker.stale.push(filter.into());
        }
    }

    fn unsubscribe(&mut self, cx: &mut Cx<'_>, line: LineId, filter: alloc::boxed::Box<str>) {
        let text = cx.fx.store(filter.as_bytes());
        let request = self.requests.insert(Request::Unsubscribe { line, filter });
        let token = Token(request.to_bits());
        self.lines.at_mut(line).broker.open += 1;
        cx.fx.push(Effect::Unsubscribe { line, token, filter: text });
    }

    pub(crate) fn on_broker_connected(
        &mut self,
        cx: &mut Cx<'_>,
        line: LineId,
        session_present: bool,
    ) {
        let Line { broker, filters, copies, .. } = self.lines.at_mut(line);
        filters.connected();
        copies.go_on(cx.now);
        if !broker.ids {
            // Without identifiers a copy that got lost would make the next message look like it.
            copies.clear();
        }
        // With them they are still awaited if the session seems to be lost: it may be the old one in truth.
        if !line.is_own() && (!session_present || broker.ids || broker.copies == CopyMode::Marked) {
            // Perhaps another broker of the list, or another version.
            broker.copies = CopyMode::Unknown;
        }
        let stale = core::mem::take(&mut broker.stale);
        if !session_present {
            let handles: alloc::vec::Vec<Handle> = filters.handles().collect();
            for handle in handles {
                let Some(filter) = filters.get_mut(handle) else { continue };
                filter.granted = None;
                // What asking again brings is for nobody but those who still wait.
                filter.forget_answered();
            }
            self.note_line(cx, line, &Record::FiltersLost);
        }
        self.queue_missing(line);
        self.copies_are_known(cx, line);
        // Also if the session seems to be lost: it may be the old one in truth.
        for text in stale {
            let filters = &mut self.lines.at_mut(line).filters;
            match filters.find(&text) {
                // Somebody wants it again. Until the broker is asked it may have the one from before.
                Some(handle) => {
                    if let Some(filter) = filters.get_mut(handle) {
                        filter.asked = true;
                    }
                }
                None => self.unsubscribe(cx, line, text),
            }
        }
        self.run_asks(cx, line);
        if line == LineId::MAIN {
            self.advertise(cx);
        }
    }

    /// Clients of a connection that wait for the broker to take a subscription.
    fn waiting_at(&self, line: LineId) -> alloc::vec::Vec<Handle> {
        let waits = |handle: &Handle| {
            self.clients
                .get(*handle)
                .is_some_and(|client| client.waiting > 0 && client.line == line)
        };
        match line.slot() {
            Some(slot) => self.clients.handle_at(slot).filter(waits).into_iter().collect(),
            None => self.clients.iter().map(|(handle, _)| handle).filter(waits).collect(),
        }
    }

    /// The broker is gone: whoever waits for it to take a subscription hears from the gateway, which
    /// asks it when it is back.
    fn answer_for_broker(&mut self, cx: &mut Cx<'_>, line: LineId) {
        for handle in self.waiting_at(line) {
            while self.may_promise(handle)
                && let Some(client) = self.clients.get(handle)
                && let Some(filter) = client.busy.exchanges.iter().find_map(|e| match e.stage {
                    ExchangeStage::Waiting { filter, .. } => Some(filter),
                    _ => None,
                })
                && self.answer_waiting(cx, handle, filter, Ok(MqttQos::Two))
            {}
        }
    }

    /// SUBSCRIBEs and UNSUBSCRIBEs that were not answered have to be made again.
    pub(crate) fn on_broker_disconnected(&mut self, cx: &mut Cx<'_>, line: LineId) {
        let Line { broker, copies, .. } = self.lines.at_mut(line);
        copies.pause(cx.now);
        broker.asking = 0;
        let open = core::mem::take(&mut broker.open);
        if matches!(broker.copies, CopyMode::Probing { .. }) {
            broker.copies = CopyMode::Unknown;
        }
        self.again.retain(|(_, other)| *other != line);
        if open > 0 {
            self.forget_open(line);
        }
        if self.settings.durable {
            self.answer_for_broker(cx, line);
        }
        // Deliveries were held back for SUBACKs that cannot come now.
        for client in self.waiting_at(line) {
            self.pump(cx, client);
        }
    }

    fn forget_open(&mut self, line: LineId) {
        self.forget_probe(line);
        let open: alloc::vec::Vec<Handle> = self
            .requests
            .iter()
            .filter(|(_, request)| match request {
                Request::Subscribe { line: by, .. } | Request::Unsubscribe { line: by, .. } => {
                    *by == line
                }
                _ => false,
            })
            .map(|(handle, _)| handle)
            .collect();
        let Line { broker, filters, .. } = self.lines.at_mut(line);
        for request in open {
            match self.requests.remove(request) {
                Some(Request::Subscribe { filter, .. }) => {
                    let Some(filter) = filters.get_mut(filter) else { continue };
                    // The broker may or may not have taken it; asking again settles that.
                    filter.asking = false;
                }
                Some(Request::Unsubscribe { filter, .. }) if broker.stale.len() < MAX_STALE => {
                    broker.stale.push(filter);
                }
                _ => {}
            }
        }
    }
}
