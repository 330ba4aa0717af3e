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
use crate::core::judging::Objection;
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
    /// With prefix.
    wire: String,
    /// The topic, without prefix, if there is but one.
    exact: Option<String>,
    form: Form,
    id: AckId,
}

/// Why a subscription is refused.
enum Refused {
    With(ReturnCode, &'static str),
    /// The client's rule is against this filter.
    By(String, Objection),
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
        let requested = requested.min(profile.max_qos).min(self.policy_of(handle).max_qos);
        if !self.may_promise(handle) {
            let code = ReturnCode::CONGESTION;
            let why = "the state directory cannot be written to";
            return self.refuse_subscribe(cx, handle, subscribe, code, why);
        }
        match self.add_subscription(cx, handle, subscribe, requested) {
            Err(Refused::With(code, why)) => {
                self.refuse_subscribe(cx, handle, subscribe, code, why);
            }
            Err(Refused::By(filter, objection)) => {
                self.tell_denial(cx, handle, "SUBSCRIBE", &filter, objection);
                let (qos, topic_id, code) = (Qos::Zero, 0, ReturnCode::NOT_SUPPORTED);
                self.send(cx, handle, &Message::SubAck { qos, topic_id, msg_id, code });
            }
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
    ) -> Result<Wanted, Refused> {
        let unsupported = |why| Refused::With(ReturnCode::NOT_SUPPORTED, why);
        let exact = |filter: &str| (!names::has_wildcard(filter)).then(|| filter.into());
        match topic {
            SubscribeTopic::Reserved => Err(unsupported("topic id type 11 is reserved")),
            SubscribeTopic::Predefined(id) => {
                let client = self.clients.get(handle);
                let topic = client.and_then(|client| self.predefined_topic(client, id));
                let topic = topic.ok_or(Refused::With(
                    ReturnCode::INVALID_TOPIC_ID,
                    "the predefined topic id is not configured under [topics]",
                ))?;
                let filter = self.topics.name(topic);
                let (form, id) = (Form::Predefined(id), AckId::Other(id));
                Ok(Wanted {
                    wire: self.wanted_wire(handle, filter)?,
                    exact: exact(filter),
                    form,
                    id,
                })
            }
            SubscribeTopic::Short(name) => {
                let filter = names::topic_filter(&name)
                    .ok_or(unsupported("not a valid two-character topic"))?;
                let (form, id) = (Form::Short, AckId::Other(u16::from_be_bytes(name)));
                Ok(Wanted {
                    wire: self.wanted_wire(handle, filter)?,
                    exact: exact(filter),
                    form,
                    id,
                })
            }
            SubscribeTopic::Name(name) => {
                let filter =
                    names::topic_filter(name).ok_or(unsupported("not a valid topic filter"))?;
                if filter.split('/').count() > MAX_LEVELS {
                    return Err(unsupported("more than 64 topic levels"));
                }
                if names::is_shared(filter) {
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
                let wire = self.wanted_wire(handle, filter)?;
                let id = if wildcard {
                    AckId::Other(0)
                } else {
                    let id = self.topic_id(cx, handle, filter);
                    let full = Refused::With(ReturnCode::CONGESTION, self.topics_are_full(handle));
                    let (id, position) = id.ok_or(full)?;
                    AckId::Normal { id, position }
                };
                Ok(Wanted { wire, exact: exact(filter), form: Form::Name, id })
            }
        }
    }

    /// A filter as the broker knows it, if the client may have it.
    fn wanted_wire(&self, handle: Handle, filter: &str) -> Result<String, Refused> {
        let gone = Refused::With(ReturnCode::NOT_SUPPORTED, "not connected");
        let client = self.clients.get(handle).ok_or(gone)?;
        let wire = self.policy(client).wire_filter(&client.id, filter);
        wire.map(String::from).map_err(|objection| Refused::By(filter.into(), objection))
    }

    fn add_subscription(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        subscribe: &Subscribe<'_>,
        requested: MqttQos,
    ) -> Result<(Handle, AckId), Refused> {
        let wanted = self.wanted(cx, handle, subscribe.topic)?;
        let line = self.line_of(handle);
        let known = self.lines.at(line).filters.find(&wanted.wire);
        let gone = || Refused::With(ReturnCode::NOT_SUPPORTED, "not connected");
        let policy = self.policy_of(handle);
        let (most, own) = (policy.max_subscriptions, policy.own_max_subscriptions);
        let client = self.clients.get_mut(handle).ok_or_else(gone)?;
        if client.waiting >= MAX_WAITING {
            self.limit_reached(cx, Some(handle), Limit::InFlight);
            let why = "too many SUBSCRIBEs wait for the broker";
            return Err(Refused::With(ReturnCode::CONGESTION, why));
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
        if client.subscriptions.len() >= most as usize {
            self.limit_reached(cx, Some(handle), Limit::Subscriptions);
            let why = if own {
                "max_subscriptions of its [[client]] is reached"
            } else {
                "sessions.max_subscriptions_per_client is reached"
            };
            return Err(Refused::With(ReturnCode::CONGESTION, why));
        }
        let exact = wanted.exact.map(|name| self.topics.take(&name));
        let filter = self.lines.at_mut(line).filters.find_or_add(&wanted.wire);
        if known.is_none() {
            self.note_filter(cx, line, filter);
        }
        let Some(client) = self.clients.get_mut(handle) else { return Err(gone()) };
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
                let text = self.lines.at(line).filters.get(filter);
                let text = String::from(text.map_or("", |f| self.local(handle, &f.text)));
                let why = "the broker refused the subscription, or is not taking any";
                self.tell_refusal(cx, handle, "SUBSCRIBE", About::Text(text.as_bytes()), code, why);
            }
        }
        told
    }

    /// From now on the client gets what matches the filter at this QoS.
    pub(crate) fn grant(&mut self, cx: &mut Cx<'_>, filter: Handle, client: Handle, qos: MqttQos) {
        let Some(place) = self.place_in(filter, client) else { return };
        let line = self.line_of(client);
        if let Some(filter) = self.lines.at_mut(line).filters.get_mut(filter)
            && let Some(me) = filter.subscribers.get_mut(place as usize)
        {
            me.granted = qos;
        }
        self.note_subscription(cx, filter, client);
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
            SubscribeTopic::Predefined(id) => self
                .clients
                .get(handle)
                .and_then(|client| self.predefined_topic(client, id))
                .map(|topic| self.topics.name(topic)),
            SubscribeTopic::Reserved => None,
        };
        let line = self.line_of(handle);
        if let Some(text) = filter {
            let wire = String::from(self.wire(handle, text));
            match self.lines.at(line).filters.find(&wire) {
                Some(filter) => self.remove_subscription(cx, handle, filter),
                None => self.forget_at_broker(cx, line, &wire),
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
        let wire = String::from(self.wire(handle, name));
        self.lines.at_mut(line).filters.matches(&wire, &mut matched);
        let Some(client) = self.clients.get(handle) else { return false };
        client.subscriptions.iter().any(|subscription| matched.contains(&subscription.filter))
    }

    /// Takes one subscription of a client away.
    pub(crate) fn remove_subscription(&mut self, cx: &mut Cx<'_>, handle: Handle, filter: Handle) {
        let line = self.line_of(handle);
        let Some(gone) = self.lines.at(line).filters.get(filter) else { return };
        let local = String::from(self.local(handle, &gone.text));
        self.take_subscription(cx, handle, filter, &local);
    }

    /// The same, where the filter without prefix is known.
    pub(crate) fn take_subscription(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        filter: Handle,
        local: &str,
    ) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(position) = client.subscriptions.iter().position(|s| s.filter == filter) else {
            return;
        };
        let subscription = client.subscriptions.swap_remove(position);
        self.note(cx, &Record::Unsubscription { slot: handle.slot, filter: local });
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
