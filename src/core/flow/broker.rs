//! The subscriptions that the broker is asked for on behalf of the clients: one SUBSCRIBE at a time
//! per filter, a few at a time in all, made again when the broker lost them.

use crate::core::effects::Effect;
use crate::core::flow::CopyMode;
use crate::core::flow::publish_up::code_of;
use crate::core::gateway::{Cx, Gateway, Request};
use crate::core::notice::Notice;
use crate::core::slots::Handle;
use crate::core::upstream::{MqttQos, Refusal, Token};

/// Most SUBSCRIBEs to the broker at once.
const MAX_ASKING: u32 = 64;
/// Most filters remembered that the broker should forget.
const MAX_STALE: usize = 10_000;

impl Gateway {
    /// Has the broker asked for a filter, now or when its turn comes.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(filter) = self.filters.get_mut(handle) else { return };
        if filter.asking.is_none() && !core::mem::replace(&mut filter.queued, true) {
            self.broker.asks.push_back(handle);
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
            if filter.asking.is_some() || filter.subscribers.is_empty() {
                continue;
            }
            // At the highest QoS, whatever the clients asked for: where filters overlap, brokers send
            // copies at the QoS of one filter or the other, and a client could get less than it was
            // granted. The gateway brings it down to each client's own.
            let qos = self.broker.maximum_qos;
            let request = self.requests.insert(Request::Subscribe { filter: handle });
            filter.asking = Some((request, qos));
            let retained = !filter.next.is_empty();
            let prefix = self.settings.topic_prefix.as_bytes();
            let text = cx.fx.store_with(|arena| {
                arena.extend_from_slice(prefix);
                arena.extend_from_slice(filter.text.as_bytes());
            });
            let (token, id) = (Token(request.to_bits()), filter.id);
            cx.fx.push(Effect::Subscribe { token, filter: text, qos, id, retained });
            self.broker.asking += 1;
            self.filters.start_round(handle, cx.now);
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
            filter.asking = None;
            let clients = filter.round_answered(cx.now);
            if let Ok(granted) = outcome {
                filter.granted = Some(granted);
            }
            let lost = outcome.is_err() && filter.granted.is_none() && clients.is_empty();
            if lost {
                let text = filter.text.clone();
                cx.fx.notice(|fx| Notice::SubscriptionLost { filter: fx.store(text.as_bytes()) });
            }
            for client in clients {
                self.answer_waiting(cx, client, handle, outcome.map_err(code_of));
                let refused = outcome.is_err()
                    && self.filters.get(handle).is_some_and(|filter| filter.granted.is_none());
                if refused {
                    self.remove_subscription(cx, client, handle);
                }
            }
            if self.filters.get(handle).is_some_and(|filter| !filter.next.is_empty()) {
                self.ask(cx, handle);
            }
        }
        self.run_asks(cx);
    }

    /// A client needs a filter no longer; the last one takes it away at the broker too.
    pub(crate) fn leave_filter(&mut self, cx: &mut Cx<'_>, client: Handle, handle: Handle) {
        let Some(filter) = self.filters.get_mut(handle) else { return };
        if let Some(position) = filter.subscribers.iter().position(|s| s.client == client) {
            filter.subscribers.swap_remove(position);
        }
        filter.next.retain(|other| *other != client);
        if !filter.subscribers.is_empty() {
            return;
        }
        let Some(filter) = self.filters.remove(handle) else { return };
        if filter.granted.is_none() && filter.asking.is_none() {
            return;
        }
        if self.broker.connected {
            self.unsubscribe(cx, filter.text);
        } else if self.broker.stale.len() < MAX_STALE {
            self.broker.stale.push(filter.text);
        }
    }

    fn unsubscribe(&mut self, cx: &mut Cx<'_>, filter: alloc::boxed::Box<str>) {
        let prefix = self.settings.topic_prefix.as_bytes();
        let text = cx.fx.store_with(|arena| {
            arena.extend_from_slice(prefix);
            arena.extend_from_slice(filter.as_bytes());
        });
        let request = self.requests.insert(Request::Unsubscribe { filter });
        cx.fx.push(Effect::Unsubscribe { token: Token(request.to_bits()), filter: text });
    }

    pub(crate) fn on_broker_connected(&mut self, cx: &mut Cx<'_>, session_present: bool) {
        self.copies.clear();
        if !session_present || self.broker.ids {
            // Perhaps another broker of the list, or another version.
            self.broker.copies = CopyMode::Unknown;
        }
        let stale = core::mem::take(&mut self.broker.stale);
        let handles: alloc::vec::Vec<Handle> = self.filters.handles().collect();
        for handle in handles {
            let Some(filter) = self.filters.get_mut(handle) else { continue };
            if !session_present {
                filter.granted = None;
                // What asking again brings is for nobody.
                filter.rounds.clear();
            }
            let ask = filter.granted.is_none() || !filter.next.is_empty();
            if ask && !core::mem::replace(&mut filter.queued, true) {
                self.broker.asks.push_back(handle);
            }
        }
        if session_present {
            for filter in stale {
                if self.filters.find(&filter).is_none() {
                    self.unsubscribe(cx, filter);
                }
            }
        }
        self.run_asks(cx);
        self.advertise(cx);
    }

    /// SUBSCRIBEs and UNSUBSCRIBEs that were not answered have to be made again.
    pub(crate) fn on_broker_disconnected(&mut self, cx: &mut Cx<'_>) {
        self.broker.asking = 0;
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
                    filter.asking = None;
                    // The broker may or may not have taken it; asking again settles it.
                    filter.round_failed();
                }
                Some(Request::Unsubscribe { filter }) if self.broker.stale.len() < MAX_STALE => {
                    self.broker.stale.push(filter);
                }
                _ => {}
            }
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
