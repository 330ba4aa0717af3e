//! The subscriptions that the broker is asked for on behalf of the clients: one SUBSCRIBE at a time
//! per filter, a few at a time in all, made again when the broker lost them.

use core::time::Duration;

use crate::core::client::ExchangeStage;
use crate::core::effects::Effect;
use crate::core::flow::CopyMode;
use crate::core::flow::publish_up::code_of;
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::notice::Notice;
use crate::core::slots::Handle;
use crate::core::upstream::{MqttQos, Refusal, Token};
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
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(filter) = self.filters.get_mut(handle) else { return };
        if !filter.asking && !core::mem::replace(&mut filter.queued, true) {
            self.broker.asks.push_back(handle);
        }
        // Filters may come and go in any number before the broker is asked.
        if self.broker.asks.len() > 2 * self.filters.len() + 64 {
            let filters = &self.filters;
            self.broker.asks.retain(|handle| filters.get(*handle).is_some());
        }
        self.run_asks(cx);
    }

    pub(crate) fn run_asks(&mut self, cx: &mut Cx<'_>) {
        while self.broker.connected && self.broker.asking < MAX_ASKING {
            if self.broker.asks.is_empty() || !self.copies_are_known(cx) {
                return;
            }
            let Some(handle) = self.broker.asks.pop_front() else { return };
            let Some(filter) = self.filters.get_mut(handle) else { continue };
            filter.queued = false;
            if filter.asking || filter.subscribers.is_empty() {
                continue;
            }
            // At the highest QoS, whatever the clients asked for: where filters overlap, brokers send
            // copies at the QoS of one filter or the other, and a client could get less than it was
            // granted. The gateway brings it down to each client's own.
            let qos = self.broker.maximum_qos;
            let request = self.requests.insert(Request::Subscribe { filter: handle });
            let retained = filter.is_awaited();
            let text = cx.fx.store_joined(&self.settings.topic_prefix, &filter.text);
            let (token, id) = (Token(request.to_bits()), filter.id);
            cx.fx.push(Effect::Subscribe { token, filter: text, qos, id, retained });
            self.broker.asking += 1;
            self.filters.start_asking(handle, cx.now);
        }
    }

    /// SUBACK of the broker.
    pub(crate) fn on_subscribed(
        &mut self,
        cx: &mut Cx<'_>,
        token: Token,
        outcome: Result<MqttQos, Refusal>,
    ) {
        let handle = match self.requests.remove(Handle::from_bits(token.0)) {
            Some(Request::Subscribe { filter }) => filter,
            Some(Request::Probe) => return self.on_probe_subscribed(cx),
            _ => return,
        };
        self.broker.asking = self.broker.asking.saturating_sub(1);
        if let Some(filter) = self.filters.get_mut(handle) {
            let clients = filter.answered(cx.now);
            // What the broker granted before holds, whatever it says to more.
            let outcome = outcome.or_else(|refusal| filter.granted.ok_or(refusal));
            filter.granted = outcome.ok();
            filter.asked = outcome.is_ok();
            filter.marked = self.broker.ids;
            self.note_filter(cx, handle);
            for client in clients {
                let told = self.answer_waiting(cx, client, handle, outcome.map_err(code_of));
                if told && outcome.is_err() {
                    self.remove_subscription(cx, client, handle);
                }
            }
            if let Err(refusal) = outcome {
                self.subscription_lost(cx, handle, refusal);
            }
            if self.filters.get(handle).is_some_and(|filter| filter.is_awaited()) {
                self.ask(cx, handle);
            }
        }
        self.run_asks(cx);
    }

    /// Clients that have been granted a subscription are left without it: the broker lost it and
    /// does not take it again, or was away when they asked.
    fn subscription_lost(&mut self, cx: &mut Cx<'_>, handle: Handle, refusal: Refusal) {
        let Some(filter) = self.filters.get(handle) else { return };
        // Whoever waits for the next SUBSCRIBE will be told.
        if filter.subscribers.len() <= filter.newcomers() {
            return;
        }
        let text = &filter.text;
        cx.fx.notice(|fx| Notice::SubscriptionLost { filter: fx.store(text.as_bytes()) });
        if refusal == Refusal::Congestion {
            self.broker.again_at = Some(cx.now.after(AGAIN));
        }
    }

    /// When lost subscriptions are asked for again.
    pub(crate) fn again_deadline(&self) -> Option<Time> {
        self.broker.again_at
    }

    /// Asks for the subscriptions that met congestion, when their time has come.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx<'_>) {
        if self.broker.again_at.is_none_or(|at| at > cx.now) {
            return;
        }
        self.broker.again_at = None;
        self.queue_missing();
        self.run_asks(cx);
    }

    /// Queues every filter that the broker does not know (or not by its identifier), or that somebody
    /// new waits for.
    fn queue_missing(&mut self) {
        let ids = self.broker.ids;
        let handles: alloc::vec::Vec<Handle> = self.filters.handles().collect();
        for handle in handles {
            let Some(filter) = self.filters.get_mut(handle) else { continue };
            let missing = filter.granted.is_none() || filter.is_awaited() || ids && !filter.marked;
            if missing && !filter.asking && !core::mem::replace(&mut filter.queued, true) {
                self.broker.asks.push_back(handle);
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
        let Some(filter) = self.filters.get_mut(handle) else { return };
        let moved = filter.leave(client, place);
        if !filter.subscribers.is_empty() {
            let moved = moved.and_then(|moved| self.clients.get_mut(moved));
            let subscriptions = moved.map(|client| client.subscriptions.iter_mut());
            if let Some(its) = subscriptions.and_then(|mut its| its.find(|s| s.filter == handle)) {
                its.place = place;
            }
            return;
        }
        let Some(filter) = self.filters.remove(handle) else { return };
        if !filter.asked {
            // Unless the broker is still to be told that an earlier one has ended.
            if !self.broker.stale.contains(&filter.text) {
                self.note(cx, &Record::FilterOver { text: &filter.text });
            }
            return;
        }
        if self.broker.connected {
            self.unsubscribe(cx, filter.text);
        } else if self.broker.stale.len() < MAX_STALE {
            self.broker.stale.push(filter.text);
        }
    }

    /// Records what the broker knows of a filter.
    pub(crate) fn note_filter(&self, cx: &mut Cx<'_>, handle: Handle) {
        if let Some(filter) = self.filters.get(handle) {
            self.note(cx, &filter.record());
        }
    }

    /// UNSUBACK of the broker.
    pub(crate) fn on_unsubscribed(&mut self, cx: &mut Cx<'_>, token: Token) {
        let request = self.requests.remove(Handle::from_bits(token.0));
        if let Some(Request::Unsubscribe { filter }) = request
            && self.filters.find(&filter).is_none()
        {
            self.note(cx, &Record::FilterOver { text: &filter });
        }
    }

    /// The session could not even ask for the end of a subscription: another time.
    pub(crate) fn on_unsubscribe_refused(&mut self, token: Token) {
        if let Some(Request::Unsubscribe { filter }) =
            self.requests.remove(Handle::from_bits(token.0))
            && self.broker.stale.len() < MAX_STALE
        {
            self.broker.stale.push(filter);
        }
    }

    fn unsubscribe(&mut self, cx: &mut Cx<'_>, filter: alloc::boxed::Box<str>) {
        let text = cx.fx.store_joined(&self.settings.topic_prefix, &filter);
        let request = self.requests.insert(Request::Unsubscribe { filter });
        cx.fx.push(Effect::Unsubscribe { token: Token(request.to_bits()), filter: text });
    }

    pub(crate) fn on_broker_connected(&mut self, cx: &mut Cx<'_>, session_present: bool) {
        self.filters.connected();
        self.copies.go_on(cx.now);
        if !self.broker.ids {
            // Without identifiers a copy that got lost would make the next message look like it.
            self.copies.clear();
        }
        // With them they are still awaited if the session seems to be lost: it may be the old one in truth.
        if !session_present || self.broker.ids || self.broker.copies == CopyMode::Marked {
            // Perhaps another broker of the list, or another version.
            self.broker.copies = CopyMode::Unknown;
        }
        let stale = core::mem::take(&mut self.broker.stale);
        if !session_present {
            self.note(cx, &Record::FiltersLost);
            let handles: alloc::vec::Vec<Handle> = self.filters.handles().collect();
            for handle in handles {
                let Some(filter) = self.filters.get_mut(handle) else { continue };
                filter.granted = None;
                // What asking again brings is for nobody but those who still wait.
                filter.forget_answered();
            }
        }
        self.queue_missing();
        self.copies_are_known(cx);
        // Also if the session seems to be lost: it may be the old one in truth.
        for text in stale {
            match self.filters.find(&text) {
                // Somebody wants it again. Until the broker is asked it may have the one from before.
                Some(handle) => {
                    if let Some(filter) = self.filters.get_mut(handle) {
                        filter.asked = true;
                    }
                }
                None => self.unsubscribe(cx, text),
            }
        }
        self.run_asks(cx);
        self.advertise(cx);
    }

    /// The broker is gone: whoever waits for it to take a subscription hears from the gateway, which
    /// asks it when it is back.
    fn answer_for_broker(&mut self, cx: &mut Cx<'_>) {
        let waiting: alloc::vec::Vec<Handle> =
            self.clients.iter().filter(|(_, c)| c.waiting > 0).map(|(handle, _)| handle).collect();
        for handle in waiting {
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
    pub(crate) fn on_broker_disconnected(&mut self, cx: &mut Cx<'_>) {
        self.broker.asking = 0;
        self.broker.again_at = None;
        self.copies.pause(cx.now);
        self.forget_probe();
        let open: alloc::vec::Vec<Handle> = self
            .requests
            .iter()
            .filter(|(_, request)| {
                matches!(request, Request::Subscribe { .. } | Request::Unsubscribe { .. })
            })
            .map(|(handle, _)| handle)
            .collect();
        for request in open {
            match self.requests.remove(request) {
                Some(Request::Subscribe { filter }) => {
                    let Some(filter) = self.filters.get_mut(filter) else { continue };
                    // The broker may or may not have taken it; asking again settles that.
                    filter.asking = false;
                }
                Some(Request::Unsubscribe { filter }) if self.broker.stale.len() < MAX_STALE => {
                    self.broker.stale.push(filter);
                }
                _ => {}
            }
        }
        if self.settings.durable {
            self.answer_for_broker(cx);
        }
        // Deliveries were held back for SUBACKs that cannot come now.
        let waiting: alloc::vec::Vec<Handle> = self
            .clients
            .iter()
            .filter(|(_, client)| client.waiting > 0)
            .map(|(handle, _)| handle)
            .collect();
        for client in waiting {
            self.pump(cx, client);
        }
    }
}
