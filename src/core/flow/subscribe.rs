//! SUBSCRIBE and UNSUBSCRIBE (MQTT-SN 1.2 §6.9).
//!
//! ```text
//! client                         gateway                       broker
//! SUBSCRIBE                ──▶            SUBSCRIBE      ──▶   unless it knows the filter
//!                                                        ◀──   SUBACK
//!                          ◀──   SUBACK
//! UNSUBSCRIBE              ──▶
//!                          ◀──   UNSUBACK  UNSUBSCRIBE   ──▶   when nobody else needs it
//! ```

use alloc::string::String;
use core::hash::BuildHasher;

use crate::codec::{Message, PublishTopic, Qos, ReturnCode, Subscribe, SubscribeTopic};
use crate::core::client::{AckId, Exchange, ExchangeStage, Form, REPETITION, State, Subscription};
use crate::core::filter::MAX_LEVELS;
use crate::core::flow::About;
use crate::core::gateway::{Cx, Gateway};
use crate::core::lines::Line;
use crate::core::names;
use crate::core::profile::Profile;
use crate::core::recording::Else;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::core::tight;
use crate::core::upstream::MqttQos;
use crate::store::record::Record;

/// Answered exchanges remembered per client: those who subscribe to much at once must not have it all
/// done again by datagrams that the network doubled.
const MAX_REMEMBERED: usize = 16;
/// SUBSCRIBEs of one client that wait for the broker; some stacks send all of theirs at once.
const MAX_WAITING: u8 = 32;

/// A subscription as the client put it.
struct Wanted {
    filter: String,
    form: Form,
    id: AckId,
}

impl Gateway {
    pub(crate) fn on_subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        subscribe: &Subscribe<'_>,
    ) {
        let msg_id = subscribe.msg_id;
        let hash = self.hasher.hash_one((subscribe.topic, subscribe.qos, "subscribe"));
        if self.repeated(cx, handle, msg_id, hash) {
            return;
        }
        let Some(requested) = MqttQos::from_sn(subscribe.qos) else {
            let (code, why) = (ReturnCode::NOT_SUPPORTED, "QoS 3 is not a QoS");
            return self.refuse_subscribe(cx, handle, subscribe, code, why);
        };
        let profile = self.clients.get(handle).map_or(&Profile::STANDARD, |c| c.profile());
        let requested = requested.min(profile.max_qos);
        if !self.may_promise(handle) {
            let code = ReturnCode::CONGESTION;
            let why = "the state directory cannot be written to";
            return self.refuse_subscribe(cx, handle, subscribe, code, why);
        }
        match self.add_subscription(cx, handle, subscribe, requested) {
            Err((code, why)) => self.refuse_subscribe(cx, handle, subscribe, code, why),
            Ok((filter, id)) => {
                let line = self.line_of(handle);
                let Line { broker, filters, .. } = self.lines.at(line);
                let granted = filters.get(filter).and_then(|filter| filter.granted);
                // While the broker is away the gateway answers for it, and asks it later.
                let at_once = granted.is_some_and(|granted| granted >= requested)
                    || (self.settings.durable && !broker.connected);
                let stage = if at_once {
                    let code = ReturnCode::ACCEPTED;
                    ExchangeStage::Subscribed { qos: requested, id, code }
                } else {
                    ExchangeStage::Waiting { filter, requested, id }
                };
                let Some(client) = self.clients.get_mut(handle) else { return };
                client.waiting = client.waiting.saturating_add(u8::from(!at_once));
                let exchange = Exchange { msg_id, hash, at: cx.now, stage, muted: false };
                tight::push(&mut client.busy.exchanges, exchange);
                if at_once {
                    self.grant(cx, filter, handle, requested);
                    self.acknowledge_subscription(cx, handle, msg_id);
                }
                // Also when the broker knows the filter: the retained messages are for this client.
                if let Some(place) = self.place_in(filter, handle) {
                    self.lines.at_mut(line).filters.add_to_next(cx.now, filter, place);
                }
                self.ask(cx, line, filter);
            }
        }
    }

    /// What the client asked for, checked.
    fn wanted(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        topic: SubscribeTopic<'_>,
    ) -> Result<Wanted, (ReturnCode, &'static str)> {
        let unsupported = |why| (ReturnCode::NOT_SUPPORTED, why);
        match topic {
            SubscribeTopic::Reserved => Err(unsupported("topic id type 11 is reserved")),
            SubscribeTopic::Predefined(id) => {
                let topic = self.predefined.get(&id);
                let topic = topic.ok_or((
                    ReturnCode::INVALID_TOPIC_ID,
                    "the predefined topic id is not configured under [topics]",
                ))?;
                let filter = self.topics.name(*topic).into();
                Ok(Wanted { filter, form: Form::Predefined(id), id: AckId::Other(id) })
            }
            SubscribeTopic::Short(name) => {
                let filter = names::topic_filter(&name)
                    .ok_or(unsupported("not a valid two-character topic"))?;
                let id = AckId::Other(u16::from_be_bytes(name));
                Ok(Wanted { filter: filter.into(), form: Form::Short, id })
            }
            SubscribeTopic::Name(name) => {
                let filter =
                    names::topic_filter(name).ok_or(unsupported("not a valid topic filter"))?;
                if filter.split('/').count() > MAX_LEVELS {
                    return Err(unsupported("more than 64 topic levels"));
                }
                // Without a second level too: mosquitto closes the connection over it.
                if filter.split('/').next() == Some("$share") {
                    return Err(unsupported("shared subscriptions are not available"));
                }
                let wildcard = names::has_wildcard(filter);
                let profile = self.clients.get(handle).map_or(&Profile::STANDARD, |c| c.profile());
                if wildcard && !profile.answers_register {
                    return Err(unsupported(
                        "this kind of client takes no REGISTER (see its profile), so it could not \
                         be told the topics that a wildcard matches: let it subscribe to each",
                    ));
                }
                let id = if wildcard {
                    AckId::Other(0)
                } else {
                    let full = "sessions.max_topics_per_client is reached";
                    let id = self.topic_id(cx, handle, filter);
                    let (id, position) = id.ok_or((ReturnCode::CONGESTION, full))?;
                    AckId::Normal { id, position }
                };
                Ok(Wanted { filter: filter.into(), form: Form::Name, id })
            }
        }
    }

    fn add_subscription(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        subscribe: &Subscribe<'_>,
        requested: MqttQos,
    ) -> Result<(Handle, AckId), (ReturnCode, &'static str)> {
        let wanted = self.wanted(cx, handle, subscribe.topic)?;
        let line = self.line_of(handle);
        let known = self.lines.at(line).filters.find(&wanted.filter);
        let gone = (ReturnCode::NOT_SUPPORTED, "not connected");
        let client = self.clients.get_mut(handle).ok_or(gone)?;
        if client.waiting >= MAX_WAITING {
            self.limit_reached(cx, Some(handle), Limit::InFlight);
            return Err((ReturnCode::CONGESTION, "too many SUBSCRIBEs wait for the broker"));
        }
        let mine = known
            .and_then(|filter| client.subscriptions.iter_mut().find(|mine| mine.filter == filter));
        if let (Some(mine), Some(filter)) = (mine, known) {
            mine.form = wanted.form;
            let place = mine.place as usize;
            if let Some(filter) = self.lines.at_mut(line).filters.get_mut(filter)
                && let Some(me) = filter.subscribers.get_mut(place)
            {
                me.granted = me.granted.min(requested);
            }
            return Ok((filter, wanted.id));
        }
        if client.subscriptions.len() >= self.settings.max_subscriptions_per_client as usize {
            self.limit_reached(cx, Some(handle), Limit::Subscriptions);
            let why = "sessions.max_subscriptions_per_client is reached";
            return Err((ReturnCode::CONGESTION, why));
        }
        let exact =
            (!names::has_wildcard(&wanted.filter)).then(|| self.topics.take(&wanted.filter));
        let filter = self.lines.at_mut(line).filters.find_or_add(&wanted.filter);
        if known.is_none() {
            self.note_filter(cx, line, filter);
        }
        let Some(client) = self.clients.get_mut(handle) else { return Err(gone) };
        let place = self.lines.at_mut(line).filters.get_mut(filter);
        let place = place.map_or(0, |filter| filter.join(handle, requested));
        let subscription = Subscription { filter, place, form: wanted.form, exact };
        tight::push(&mut client.subscriptions, subscription);
        Ok((filter, wanted.id))
    }

    fn refuse_subscribe(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        subscribe: &Subscribe<'_>,
        code: ReturnCode,
        why: &'static str,
    ) {
        let about = match &subscribe.topic {
            SubscribeTopic::Name(name) => About::Text(name),
            SubscribeTopic::Predefined(id) => About::Topic(PublishTopic::Predefined(*id)),
            SubscribeTopic::Short(name) => About::Text(name),
            SubscribeTopic::Reserved => About::Nothing,
        };
        self.tell_refusal(cx, handle, "SUBSCRIBE", about, code, why);
        let refusal =
            Message::SubAck { qos: Qos::Zero, topic_id: 0, msg_id: subscribe.msg_id, code };
        self.send(cx, handle, &refusal);
    }

    /// Answers a repetition of an open or lately answered exchange.
    fn repeated(&mut self, cx: &mut Cx<'_>, handle: Handle, msg_id: u16, hash: u64) -> bool {
        let Some(client) = self.clients.get_mut(handle) else { return true };
        let Some(position) = client.busy.exchanges.iter().position(|e| e.msg_id == msg_id) else {
            return false;
        };
        let Some(known) = client.exchanges_mut().get_mut(position) else { return false };
        let open = matches!(known.stage, ExchangeStage::Waiting { .. });
        if known.hash == hash && (open || cx.now.since(known.at) < REPETITION) {
            known.at = cx.now;
            known.muted = false;
            self.stats.duplicates += 1;
            match known.stage {
                ExchangeStage::Waiting { .. } => {}
                ExchangeStage::Subscribed { .. } => {
                    self.acknowledge_subscription(cx, handle, msg_id);
                }
                ExchangeStage::Unsubscribed => {
                    self.promise(cx, handle, &Message::UnsubAck { msg_id }, Else::Same);
                }
            }
            return true;
        }
        client.busy.exchanges.remove(position);
        if open {
            client.waiting = client.waiting.saturating_sub(1);
        }
        false
    }

    /// SUBACK of an answered exchange.
    fn acknowledge_subscription(&mut self, cx: &mut Cx<'_>, handle: Handle, msg_id: u16) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(exchange) = client.busy.exchanges.iter().find(|e| e.msg_id == msg_id) else {
            return;
        };
        if exchange.muted || !(client.state == State::Active || client.state.sleeps()) {
            // It asks again once it is there.
            return self.forget_answered(handle);
        }
        let ExchangeStage::Subscribed { qos, id, code } = exchange.stage else { return };
        let topic_id = match id {
            AckId::Normal { id, position } => {
                self.set_confirmed(cx, handle, position);
                id
            }
            AckId::Other(id) => id,
        };
        let qos = qos.to_sn();
        let answer = Message::SubAck { qos, topic_id, msg_id, code };
        if code == ReturnCode::ACCEPTED {
            let (qos, topic_id, code) = (Qos::Zero, 0, ReturnCode::CONGESTION);
            let refusal = Message::SubAck { qos, topic_id, msg_id, code };
            self.promise_or_refuse(cx, handle, &answer, refusal);
        } else {
            self.send(cx, handle, &answer);
        }
        self.forget_answered(handle);
        self.pump(cx, handle);
    }

    /// The broker answered for `filter`: so do we, if the client waits for it. Gives whether it did.
    pub(crate) fn answer_waiting(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        filter: Handle,
        outcome: Result<MqttQos, ReturnCode>,
    ) -> bool {
        let mut told = false;
        while let Some(client) = self.clients.get_mut(handle) {
            let waiting = client.exchanges_mut().iter_mut().find(
                |e| matches!(e.stage, ExchangeStage::Waiting { filter: mine, .. } if mine == filter),
            );
            let Some(exchange) = waiting else { break };
            let ExchangeStage::Waiting { id, requested, .. } = exchange.stage else { break };
            told = true;
            let msg_id = exchange.msg_id;
            exchange.at = cx.now;
            exchange.stage = match outcome {
                Ok(granted) => ExchangeStage::Subscribed {
                    qos: requested.min(granted),
                    id,
                    code: ReturnCode::ACCEPTED,
                },
                Err(code) => {
                    ExchangeStage::Subscribed { qos: MqttQos::Zero, id: AckId::Other(0), code }
                }
            };
            client.waiting = client.waiting.saturating_sub(1);
            if let Ok(granted) = outcome {
                self.grant(cx, filter, handle, requested.min(granted));
            }
            self.acknowledge_subscription(cx, handle, msg_id);
            if let Err(code) = outcome {
                // Worth another try later, so not to be answered from memory.
                if let Some(client) = self.clients.get_mut(handle) {
                    client.busy.exchanges.retain(|e| e.msg_id != msg_id);
                }
                let line = self.line_of(handle);
                let text = self.lines.at(line).filters.get(filter).map(|f| String::from(&*f.text));
                let text = text.unwrap_or_default();
                let why = "the broker refused the subscription, or is not taking any";
                self.tell_refusal(cx, handle, "SUBSCRIBE", About::Text(text.as_bytes()), code, why);
            }
        }
        told
    }

    /// From now on the client gets what matches the filter at this QoS.
    fn grant(&mut self, cx: &mut Cx<'_>, filter: Handle, client: Handle, qos: MqttQos) {
        let Some(place) = self.place_in(filter, client) else { return };
        let line = self.line_of(client);
        if let Some(filter) = self.lines.at_mut(line).filters.get_mut(filter)
            && let Some(me) = filter.subscribers.get_mut(place as usize)
        {
            me.granted = qos;
        }
        let mine = self.clients.get(client).map(|client| &client.subscriptions);
        let mine = mine.and_then(|mine| mine.iter().find(|mine| mine.filter == filter));
        if let (Some(mine), Some(filter)) = (mine, self.lines.at(line).filters.get(filter)) {
            let (slot, form) = (client.slot, mine.form.to_bits());
            let record = Record::Subscription { slot, filter: &filter.text, form, granted: qos };
            self.note(cx, &record);
        }
    }

    /// Where a client stands among those of a filter, if it is one of them.
    pub(crate) fn place_in(&self, filter: Handle, client: Handle) -> Option<u32> {
        let mine = &self.clients.get(client)?.subscriptions;
        mine.iter().find(|subscription| subscription.filter == filter).map(|s| s.place)
    }

    /// Keeps the last few answered exchanges.
    fn forget_answered(&mut self, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let is_open = |e: &Exchange| matches!(e.stage, ExchangeStage::Waiting { .. });
        while client.busy.exchanges.iter().filter(|e| !is_open(e)).count() > MAX_REMEMBERED {
            match client.busy.exchanges.iter().position(|e| !is_open(e)) {
                Some(oldest) => client.busy.exchanges.remove(oldest),
                None => return,
            };
        }
    }

    /// UNSUBSCRIBE. UNSUBACK cannot say no, and there is nothing to say no to.
    pub(crate) fn on_unsubscribe(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        msg_id: u16,
        topic: SubscribeTopic<'_>,
    ) {
        let hash = self.hasher.hash_one((topic, "unsubscribe"));
        if self.repeated(cx, handle, msg_id, hash) {
            return;
        }
        let short;
        let filter = match topic {
            SubscribeTopic::Name(name) => names::topic_filter(name),
            SubscribeTopic::Short(name) => {
                short = name;
                names::topic_filter(&short)
            }
            SubscribeTopic::Predefined(id) => {
                self.predefined.get(&id).map(|topic| self.topics.name(*topic))
            }
            SubscribeTopic::Reserved => None,
        };
        let line = self.line_of(handle);
        if let Some(text) = filter {
            match self.lines.at(line).filters.find(text) {
                Some(filter) => self.remove_subscription(cx, handle, filter),
                None => {
                    let text = String::from(text);
                    self.forget_at_broker(cx, line, &text);
                }
            }
        }
        if let Some(client) = self.clients.get_mut(handle) {
            let stage = ExchangeStage::Unsubscribed;
            let exchange = Exchange { msg_id, hash, at: cx.now, stage, muted: false };
            tight::push(&mut client.busy.exchanges, exchange);
        }
        self.promise(cx, handle, &Message::UnsubAck { msg_id }, Else::Same);
        self.forget_answered(handle);
        self.pump(cx, handle);
    }

    /// Whether a message under `name` may have gone to the client.
    pub(crate) fn is_subscribed(&mut self, handle: Handle, name: &str) -> bool {
        let mut matched = alloc::vec::Vec::new();
        let line = self.line_of(handle);
        self.lines.at_mut(line).filters.matches(name, &mut matched);
        let Some(client) = self.clients.get(handle) else { return false };
        client.subscriptions.iter().any(|subscription| matched.contains(&subscription.filter))
    }

    /// Takes one subscription of a client away.
    pub(crate) fn remove_subscription(&mut self, cx: &mut Cx<'_>, handle: Handle, filter: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(position) = client.subscriptions.iter().position(|s| s.filter == filter) else {
            return;
        };
        let subscription = client.subscriptions.swap_remove(position);
        let line = client.line;
        if let Some(gone) = self.lines.at(line).filters.get(filter) {
            let (slot, filter) = (handle.slot, &*gone.text);
            self.note(cx, &Record::Unsubscription { slot, filter });
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        let open = client.busy.exchanges.len();
        if let Some(busy) = client.busy.get_mut() {
            busy.exchanges.retain(
                |e| !matches!(e.stage, ExchangeStage::Waiting { filter: mine, .. } if mine == filter),
            );
        }
        let ended = open.saturating_sub(client.busy.exchanges.len());
        client.waiting = client.waiting.saturating_sub(u8::try_from(ended).unwrap_or(u8::MAX));
        if let Some(topic) = subscription.exact {
            self.topics.release(topic);
        }
        self.leave_filter(cx, handle, filter, subscription.place);
    }

    /// Takes all subscriptions of a client away.
    pub(crate) fn drop_subscriptions(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        while let Some(subscription) =
            self.clients.get(handle).and_then(|client| client.subscriptions.last())
        {
            let filter = subscription.filter;
            self.remove_subscription(cx, handle, filter);
        }
    }
}
