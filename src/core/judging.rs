//! Rules and the sessions under them: who may connect, what a session may do, and what becomes of it
//! when the rules change.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::client::{Client, ExchangeStage, Form, State};
use super::gateway::{Cx, Gateway};
use super::names;
use super::notice::{Notice, Revoked, Subject};
use super::peer::{LinkId, PeerRef};
use super::policy::Policy;
use super::slots::Handle;
use super::stats::Denial;
use super::upstream::MqttQos;
use crate::codec::{Message, ReturnCode};
use crate::store::record::Record;

/// What a rule has against something, and in words.
pub(crate) type Objection = (Denial, &'static str);

const TOO_LONG: Objection =
    (Denial::Prefix, "with topic_prefix in front the topic is longer than MQTT allows");

impl Policy {
    /// What it has against a publication or a will; `qos` as the client said it.
    #[inline]
    pub(crate) fn against_publishing(
        &self,
        id: &str,
        topic: &str,
        qos: MqttQos,
    ) -> Option<Objection> {
        if !self.may_publish(id, topic) {
            return Some((Denial::Publish, "its rule does not let it publish there"));
        }
        if qos > self.max_qos {
            return Some((Denial::Qos, "its rule allows no QoS as high as that"));
        }
        self.outgrown(id, topic).then_some(TOO_LONG)
    }

    /// What it has against a subscription; otherwise the filter as the broker knows it.
    pub(crate) fn wire_filter<'a>(
        &self,
        id: &str,
        filter: &'a str,
    ) -> Result<Cow<'a, str>, Objection> {
        if !self.may_subscribe(id, filter) {
            let why = "its rule does not let it subscribe to all of this";
            return Err((Denial::Subscribe, why));
        }
        if self.outgrown(id, filter) {
            return Err(TOO_LONG);
        }
        let wire = self.prefix.join(id, filter);
        let usable = match &wire {
            Cow::Borrowed(_) => true,
            Cow::Owned(wire) => names::is_filter(wire) && !names::is_shared(wire),
        };
        if usable {
            Ok(wire)
        } else {
            Err((Denial::Prefix, "with topic_prefix in front it is no filter that can be used"))
        }
    }

    /// What it has against giving a topic an id.
    pub(crate) fn against_naming(&self, id: &str, topic: &str) -> Option<Objection> {
        if self.outgrown(id, topic) {
            return Some(TOO_LONG);
        }
        let useless = !self.may_publish(id, topic) && !self.may_subscribe(id, topic);
        let why = "its rule lets it neither publish nor subscribe to this topic";
        useless.then_some((Denial::Register, why))
    }
}

impl Gateway {
    /// Name of a link.
    pub(crate) fn link_name(&self, link: LinkId) -> Option<&str> {
        self.settings.links.get(usize::from(link.0)).map(|link| &*link.name)
    }

    /// The rule for a client at a place; if it may not connect, says so and tells it, at a limited
    /// rate.
    pub(crate) fn admit(&mut self, cx: &mut Cx<'_>, peer: PeerRef<'_>, id: &str) -> Option<u16> {
        let denied = match self.policies.judge(&self.settings, id, self.link_name(peer.link)) {
            Ok(rule) => return Some(rule),
            Err(denied) => denied,
        };
        let code = ReturnCode::NOT_SUPPORTED;
        cx.fx.notice(|fx| Notice::Refused {
            client: fx.store(&[]),
            at: fx.place(peer),
            operation: "CONNECT",
            subject: Subject::Text(fx.store(id.as_bytes())),
            code,
            why: denied.why,
            rule: fx.store(denied.origin.as_bytes()),
        });
        self.count_denial(Denial::Client);
        if self.strangers.allow(cx.now, peer.hash_with(&self.hasher)) {
            peer.send(None, &Message::ConnAck { code }, cx.fx);
        }
        None
    }

    /// The rule for a client at a place; `None` if it may not connect there.
    pub(crate) fn rule_at(&self, peer: PeerRef<'_>, id: &str) -> Option<u16> {
        self.policies.judge(&self.settings, id, self.link_name(peer.link)).ok()
    }

    pub(crate) fn count_denial(&mut self, denial: Denial) {
        if let Some(counter) = self.stats.denied.get_mut(denial as usize) {
            *counter += 1;
        }
    }

    /// Counts and tells that the rule of a client is in the way of what it asked for.
    pub(crate) fn tell_denial(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        operation: &'static str,
        about: &str,
        (denial, why): Objection,
    ) {
        self.count_denial(denial);
        let Some(client) = self.clients.get(handle) else { return };
        let Some(peer) = client.peer.as_ref() else { return };
        let about = about.as_bytes();
        cx.fx.notice(|fx| Notice::Refused {
            client: fx.store(client.id.as_bytes()),
            at: fx.place(peer.as_ref()),
            operation,
            subject: Subject::Text(fx.store(about.get(..256).unwrap_or(about))),
            code: ReturnCode::NOT_SUPPORTED,
            why,
            rule: fx.store(self.policy(client).origin.as_bytes()),
        });
    }

    /// A filter as its client knows it, without prefix.
    pub(crate) fn local<'a>(&self, handle: Handle, wire: &'a str) -> &'a str {
        let client = self.clients.get(handle);
        let prefix = client.map_or(0, |client| self.policy(client).prefix.len(&client.id));
        wire.get(prefix..).unwrap_or("")
    }

    /// A topic or filter of a client as the broker knows it.
    pub(crate) fn wire<'a>(&self, handle: Handle, name: &'a str) -> Cow<'a, str> {
        match self.clients.get(handle) {
            Some(client) => self.policy(client).prefix.join(&client.id, name),
            None => Cow::Borrowed(name),
        }
    }

    /// Whether `name` is, with its prefix, one of the gateway's own topics.
    pub(crate) fn leads_to_own_topic(&self, handle: Handle, name: &str) -> bool {
        self.is_own_topic(self.wire(handle, name).as_bytes())
    }

    /// Has a session go by a rule, which may put something else in front of its topics than before.
    pub(crate) fn adopt(&mut self, cx: &mut Cx<'_>, handle: Handle, rule: u16) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        let former = core::mem::replace(&mut client.rule, rule);
        if former == rule {
            return;
        }
        let Some(client) = self.clients.get(handle) else { return };
        let former = self.policies.get(former).prefix.expand(&client.id);
        self.change_prefix(cx, handle, &former);
        self.judge_session(cx, handle);
    }

    /// The client has another prefix than `former` now: its subscriptions are made anew.
    pub(crate) fn change_prefix(&mut self, cx: &mut Cx<'_>, handle: Handle, former: &str) {
        let Some(client) = self.clients.get(handle) else { return };
        if self.policy(client).prefix.join(&client.id, "") == former {
            return;
        }
        let filters: Vec<Handle> = client.subscriptions.iter().map(|s| s.filter).collect();
        for old in filters {
            self.move_subscription(cx, handle, old, former.len());
        }
    }

    fn move_subscription(&mut self, cx: &mut Cx<'_>, handle: Handle, old: Handle, former: usize) {
        let Some(client) = self.clients.get(handle) else { return };
        let line = client.line;
        let Some(filter) = self.lines.at(line).filters.get(old) else { return };
        let Some(position) = client.subscriptions.iter().position(|s| s.filter == old) else {
            return;
        };
        let Some(place) = client.subscriptions.get(position).map(|mine| mine.place) else { return };
        let granted = filter.subscribers.get(place as usize).map_or(MqttQos::Zero, |me| me.granted);
        let local = String::from(filter.text.get(former..).unwrap_or(""));
        let wire = match self.policy(client).wire_filter(&client.id, &local) {
            Ok(wire) => String::from(wire),
            Err((_, why)) => {
                self.revoke(cx, handle, Revoked::Subscription, &local, why);
                return self.take_subscription(cx, handle, old, &local);
            }
        };
        self.leave_filter(cx, handle, old, place);
        let filters = &mut self.lines.at_mut(line).filters;
        let known = filters.find(&wire).is_some();
        let filter = filters.find_or_add(&wire);
        if !known {
            self.note_filter(cx, line, filter);
        }
        let place = self.lines.at_mut(line).filters.get_mut(filter);
        let place = place.map_or(0, |f| f.join(handle, granted));
        let Some(client) = self.clients.get_mut(handle) else { return };
        if let Some(mine) = client.subscriptions.get_mut(position) {
            mine.filter = filter;
            mine.place = place;
        }
        for exchange in client.exchanges_mut() {
            if let ExchangeStage::Waiting { filter: waits, .. } = &mut exchange.stage
                && *waits == old
            {
                *waits = filter;
            }
        }
        self.lines.at_mut(line).filters.add_to_next(cx.now, filter, place);
        self.ask(cx, line, filter);
    }

    /// What a session has that its rule does not allow is taken away.
    pub(crate) fn judge_session(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.judge_subscriptions(cx, handle);
        let Some(client) = self.clients.get(handle) else { return };
        let policy = self.policy(client);
        let refused = client.will.as_deref().and_then(|will| {
            let objection = policy.against_publishing(&client.id, &will.topic, will.qos);
            let own = self.leads_to_own_topic(handle, &will.topic);
            let why = objection.map(|(_, why)| why).or(own.then_some(OWN_TOPIC));
            why.map(|why| (will.topic.clone(), why))
        });
        if let Some((topic, why)) = refused {
            self.revoke(cx, handle, Revoked::Will, &topic, why);
            if let Some(client) = self.clients.get_mut(handle) {
                client.will = None;
            }
            self.mark(handle);
        }
        self.judge_messages(cx, handle);
    }

    fn judge_subscriptions(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let max_qos = self.policy(client).max_qos;
        let filters: Vec<Handle> = client.subscriptions.iter().map(|s| s.filter).collect();
        for filter in filters {
            let Some(client) = self.clients.get(handle) else { return };
            let Some(place) = self.place_in(filter, handle) else { continue };
            let Some(it) = self.lines.at(client.line).filters.get(filter) else { continue };
            let local = self.local(handle, &it.text);
            let objection = self.policy(client).wire_filter(&client.id, local).err();
            let granted = it.subscribers.get(place as usize).map(|me| me.granted);
            let local = String::from(local);
            if let Some((_, why)) = objection {
                self.revoke(cx, handle, Revoked::Subscription, &local, why);
                self.take_subscription(cx, handle, filter, &local);
            } else if granted.is_some_and(|granted| granted > max_qos) {
                self.grant(cx, filter, handle, max_qos);
            }
        }
    }

    /// Messages that wait: those that the client may not read any longer are given up.
    fn judge_messages(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let policy = self.policy(client);
        let max_qos = policy.max_qos;
        if client.busy.queue.is_empty() && client.busy.outbound.is_none() {
            return;
        }
        let forbidden = |message: Handle| {
            let message = self.messages.get(message);
            message.is_some_and(|m| !policy.may_subscribe(&client.id, self.topics.name(m.topic)))
        };
        let positions: Vec<usize> = (client.busy.queue.iter().enumerate().rev())
            .filter(|(_, queued)| forbidden(queued.message))
            .map(|(position, _)| position)
            .collect();
        // What may have been sent has to be seen through.
        let outbound = client.busy.outbound.as_deref().filter(|outbound| !outbound.sent);
        let outbound = outbound.is_some_and(|outbound| forbidden(outbound.queued.message));
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(busy) = client.busy.get_mut() else { return };
        let mut gone: Vec<_> =
            positions.into_iter().filter_map(|position| busy.queue.remove(position)).collect();
        for queued in &mut busy.queue {
            queued.qos = queued.qos.min(max_qos);
        }
        if outbound && let Some(outbound) = busy.outbound.take() {
            gone.push(outbound.queued);
        }
        for queued in gone {
            let topic = self.messages.get(queued.message).map(|message| message.topic);
            let name = String::from(topic.map_or("", |topic| self.topics.name(topic)));
            let why = "its rule does not let it read this topic";
            self.stats.abandoned += 1;
            self.revoke(cx, handle, Revoked::Message, &name, why);
            self.leave_queue(cx, handle, queued);
        }
        if outbound {
            self.pump(cx, handle);
        }
    }

    /// Subscriptions that a client made by predefined ids which mean something else to it by now go on
    /// by name.
    pub(crate) fn check_forms(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get(handle) else { return };
        let stale: Vec<Handle> = (client.subscriptions.iter())
            .filter(|mine| match mine.form {
                Form::Predefined(id) => self.predefined_topic(client, id) != mine.exact,
                Form::Name | Form::Short => false,
            })
            .map(|mine| mine.filter)
            .collect();
        for filter in stale {
            let client = self.clients.get_mut(handle);
            let mine = client
                .and_then(|client| client.subscriptions.iter_mut().find(|s| s.filter == filter));
            if let Some(mine) = mine {
                mine.form = Form::Name;
            }
            self.note_subscription(cx, filter, handle);
        }
    }

    /// The topic of a predefined id as a client understands it: as it did when it connected, else, for an
    /// id that was not there then, as it is now.
    #[inline]
    pub(crate) fn predefined_topic(
        &self,
        client: &Client,
        id: u16,
    ) -> Option<super::topics::TopicRef> {
        let known = self.predefined.topic(client.predefined, id);
        known.or_else(|| self.predefined.topic(self.predefined.of_rule(client.rule), id))
    }

    /// Counts and tells what a session loses.
    pub(crate) fn revoke(
        &mut self,
        cx: &mut Cx<'_>,
        handle: Handle,
        what: Revoked,
        subject: &str,
        why: &'static str,
    ) {
        self.count_denial(Denial::Possession);
        let Some(client) = self.clients.get(handle) else { return };
        let origin = &self.policy(client).origin;
        cx.fx.notice(|fx| Notice::Revoked {
            client: fx.store(client.id.as_bytes()),
            what,
            subject: fx.store(subject.as_bytes()),
            why,
            rule: fx.store(origin.as_bytes()),
        });
    }

    /// Tells that a session ends because its client is not allowed any longer.
    pub(crate) fn tell_expelled(
        &mut self,
        cx: &mut Cx<'_>,
        id: &str,
        why: &'static str,
        origin: &str,
    ) {
        self.count_denial(Denial::Session);
        cx.fx.notice(|fx| Notice::Revoked {
            client: fx.store(id.as_bytes()),
            what: Revoked::Session,
            subject: fx.store(&[]),
            why,
            rule: fx.store(origin.as_bytes()),
        });
    }

    /// Ends the session of a client that is not allowed any longer. Its will is not published: nothing
    /// that it asked for is done any more.
    pub(crate) fn expel(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        match self.clients.get(handle).map(|client| client.state) {
            Some(State::Active | State::Awake) => {
                self.send(cx, handle, &Message::Disconnect { duration: None });
            }
            Some(State::Connecting) => {
                let code = ReturnCode::NOT_SUPPORTED;
                self.send(cx, handle, &Message::ConnAck { code });
            }
            // A sleeper is told when it asks.
            Some(State::Asleep | State::Gone) => {}
            None => return,
        }
        self.end_session(cx, handle);
    }

    /// The client and all that it has is gone, as soon as its own connection, if it has one, is done.
    pub(crate) fn end_session(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.forget_in_public(handle);
        self.set_state(handle, State::Gone);
        self.unbind(handle);
        if let Some(client) = self.clients.get_mut(handle)
            && let Some(busy) = client.busy.get_mut()
        {
            busy.dialogue = None;
            busy.paused_until = None;
        }
        self.close_line(cx, handle, false);
        self.clear_session(cx, handle);
        if self.is_closing(handle) {
            // It goes when that is over.
            return self.rearm(handle);
        }
        self.remove_client(cx, handle);
    }

    /// Records how a client is subscribed to a filter.
    pub(crate) fn note_subscription(&self, cx: &mut Cx<'_>, filter: Handle, client: Handle) {
        let mine = self.clients.get(client).map(|client| &client.subscriptions);
        let mine = mine.and_then(|mine| mine.iter().find(|mine| mine.filter == filter));
        let line = self.line_of(client);
        if let (Some(mine), Some(filter)) = (mine, self.lines.at(line).filters.get(filter))
            && let Some(me) = filter.subscribers.get(mine.place as usize)
        {
            let (slot, form, granted) = (client.slot, mine.form.to_bits(), me.granted);
            let filter = self.local(client, &filter.text);
            self.note(cx, &Record::Subscription { slot, filter, form, granted });
        }
    }
}

/// Why nobody may publish to the gateway's own topics.
pub(crate) const OWN_TOPIC: &str = "the gateway's own topics are closed to devices";
