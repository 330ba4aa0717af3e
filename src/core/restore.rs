//! Going on from an [`Image`]: the gateway was gone for a while, and nobody shall notice.
//!
//! Nothing is known of the time in between, so it is not held against anybody: whoever was connected
//! or asleep counts as heard of now. Only sessions that nobody was using age by the calendar.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::HashMap;

use super::client::{
    Client, ConnectPrint, Form, Inbound, Nap, Outbound, OutboundStage, Publication, Queued,
    REPETITION, State, Subscription, Will,
};
use super::effects::Effects;
use super::gateway::{Cx, Gateway};
use super::hashing::Hashing;
use super::lines::{Line, LineState};
use super::names;
use super::notice::Revoked;
use super::peer::{LinkId, PeerRef};
use super::policy::NO_RULE;
use super::recording::topic_of;
use super::slots::Handle;
use super::topics::TopicRef;
use super::upstream::{LineId, MqttQos};
use crate::store::image::{
    ClientImage, Image, LineImage, MessageImage, PeerImage, Standings, Table, WillImage,
};
use crate::store::record::{Record, Standing};
use crate::time::Time;

/// Message ids towards a client go on so far from the last one recorded, which may be long ago: an
/// acknowledgement that is still under way must not hit another message.
const MSG_ID_STEP: u16 = 0x4000;
/// The same for subscription identifiers: one may have been given out that was never written.
const FILTER_ID_STEP: u32 = 1_000;

/// Milliseconds since 1970.
const YEAR_2020: u64 = 1_577_836_800_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// Client records.
    pub clients: usize,
    /// Messages that wait for clients.
    pub waiting: usize,
    /// Publications for the broker.
    pub spooled: usize,
}

/// What is shared while clients are put together.
struct Parts {
    messages: Table<u64, MessageImage>,
    /// Those that somebody waits for.
    kept: HashMap<u64, Handle, Hashing>,
    /// What is known of the connections, by their numbers.
    lines: BTreeMap<u32, LineImage>,
    /// New numbers of the links.
    links: Vec<(u16, LinkId)>,
}

impl Gateway {
    /// Goes on from an image. To be called once, before anything else.
    pub fn restore(&mut self, now: Time, image: &mut Image, fx: &mut Effects) -> Restored {
        let cx = &mut Cx::new(now, fx);
        let mut parts = Parts {
            messages: core::mem::take(&mut image.messages),
            kept: HashMap::with_hasher(self.hasher),
            links: self.links_of(image),
            lines: BTreeMap::new(),
        };
        self.restore_filters(image);
        parts.lines = core::mem::take(&mut image.lines);
        let mut clients: Vec<(u32, ClientImage)> =
            core::mem::take(&mut image.clients).into_iter().collect();
        clients.sort_unstable_by_key(|(slot, _)| *slot);
        let mut offset = 0;
        for (slot, client) in clients {
            match self.restore_client(cx, slot, client, &mut parts) {
                Some(handle) => {
                    let client = self.clients.get(handle);
                    offset = client.map_or(offset, |client| client.topics.offset().max(offset));
                }
                None => self.note(cx, &Record::ClientGone { slot }),
            }
        }
        self.clients.close_gaps();
        self.next_offset = self.fresh_offset(now, offset);
        for handle in parts.kept.values() {
            // The clients hold them now.
            self.release_message(cx, *handle, false);
        }
        image.lines = parts.lines;
        self.forget_unused_filters();
        let handles: Vec<Handle> = self.clients.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            self.rearm(handle);
            self.pump(cx, handle);
        }
        Restored { clients: self.clients.len(), waiting: self.buffered, spooled: 0 }
    }

    /// Whether the links of an image have the numbers that they have here.
    #[must_use]
    pub fn has_links(&self, image: &Image) -> bool {
        let here = self.settings.links.iter().map(|link| &link.name);
        image.links.len() == self.settings.links.len() && image.links.values().eq(here)
    }

    /// Where the topic ids of new clients begin. Of clients that are gone nobody knows which ids they
    /// had, and they may not know that they are gone: so far away from the others, and from where
    /// another start would begin, that their ids are unlikely to mean something.
    fn fresh_offset(&self, now: Time, highest: u16) -> u16 {
        let most = u16::try_from(self.policies.most_topics).unwrap_or(u16::MAX);
        let room = (u16::MAX - self.first_topic_id).saturating_sub(most);
        let next = self.wrapped(highest.wrapping_add(super::flow::ID_STEP));
        let chance = self.hasher.hash_one(now.0) % u64::from(room).max(1);
        let offset = u16::try_from(chance).unwrap_or(0).max(next);
        self.wrapped(offset)
    }

    /// Links are found by their names.
    fn links_of(&self, image: &Image) -> Vec<(u16, LinkId)> {
        let find = |name: &str| self.settings.links.iter().position(|link| &*link.name == name);
        let links = image.links.iter().filter_map(|(number, name)| {
            let found = u16::try_from(find(name)?).ok()?;
            Some((*number, LinkId(found)))
        });
        links.collect()
    }

    fn restore_filters(&mut self, image: &mut Image) {
        self.restore_line(LineId::MAIN, &mut image.main);
        for (number, image) in &mut image.lines {
            let line = LineId::from_number(*number);
            if !line.is_own() {
                self.restore_line(line, image);
            }
        }
    }

    fn restore_line(&mut self, line: LineId, image: &mut LineImage) {
        // A connection that there is not any more has taken its subscriptions with it.
        let Some(Line { filters, .. }) = self.lines.get_mut(line) else { return };
        let mut known: Vec<_> = core::mem::take(&mut image.filters).into_iter().collect();
        known.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (text, filter) in known {
            if names::is_filter(&text) {
                filters.restore(&text, filter);
            }
        }
        filters.skip_ids(FILTER_ID_STEP);
    }

    /// Filters that nobody uses: the broker may know them.
    fn forget_unused_filters(&mut self) {
        let lines: Vec<LineId> = self.lines.ids().collect();
        for line in lines {
            let Line { broker, filters, .. } = self.lines.at_mut(line);
            let handles: Vec<Handle> = filters.handles().collect();
            for handle in handles {
                let unused = filters.get(handle).is_some_and(|f| f.subscribers.is_empty());
                if unused && let Some(filter) = filters.remove(handle) {
                    broker.stale.push(filter.text);
                }
            }
        }
    }

    fn restore_client(
        &mut self,
        cx: &mut Cx<'_>,
        slot: u32,
        image: ClientImage,
        parts: &mut Parts,
    ) -> Option<Handle> {
        let it = image.client.clone()?;
        let known = self.client_named(&image.id).is_some();
        let gone = matches!(it.standing, Standing::Gone | Standing::Connecting);
        let link = it.peer.as_ref().and_then(|peer| {
            let (_, link) = parts.links.iter().find(|(number, _)| *number == peer.link)?;
            self.link_name(*link)
        });
        let judged = self.policies.judge(&self.settings, &image.id, link);
        let line = self.line_for(&image.id, judged.as_ref().map_or(NO_RULE, |rule| *rule), slot);
        let owed = parts.lines.get(&line.number()).filter(|_| line.is_own());
        let owed = owed.is_some_and(|line| !line.requests.is_empty());
        if known || image.id.is_empty() || (gone && it.clean && !owed) {
            return None;
        }
        let rule = match judged {
            Ok(rule) => rule,
            Err(denied) => {
                let (why, origin) = (denied.why, Box::<str>::from(denied.origin));
                self.tell_expelled(cx, &image.id, why, &origin);
                self.forget_id_in_public(&image.id);
                return None;
            }
        };
        let print =
            ConnectPrint { will: it.announced_will, clean: it.clean, duration: it.keep_alive };
        let mut client = Client::new(&image.id, print, cx.now);
        client.topics.begin_at(it.offset.wrapping_sub(self.first_topic_id));
        client.line = line;
        client.rule = rule;
        client.profile = self.policies.get(client.rule).profile;
        client.predefined = self.predefined.of_rule(client.rule);
        client.reuses_ids = it.reuses_ids;
        client.next_msg_id = it.msg_id.wrapping_add(MSG_ID_STEP);
        client.connected_at = Time(it.connected.min(cx.now.0));
        client.last_heard = if gone { calendar(it.heard, cx.now) } else { cx.now };
        client.nap = Nap { since: cx.now, duration: it.sleep, ..Nap::default() };
        client.will = restored_will(&it);
        // Only a goodbye gives the place up.
        client.public.set_lost(gone && it.peer.is_some());
        client.public.set_shown(self.settings.tell_states);
        client.public.set_described(self.settings.home_prefix.is_some());
        let handle = self.clients.insert_at(slot, client)?;
        self.index_client(handle);
        if line.is_own() {
            self.lines.add(slot);
            if let Some(image) = parts.lines.get_mut(&line.number()) {
                self.restore_line(line, image);
            }
        }
        self.restore_place(handle, &it, parts);
        self.set_state(
            handle,
            match it.standing {
                Standing::Active => State::Active,
                Standing::Asleep => State::Asleep,
                Standing::Gone | Standing::Connecting => State::Gone,
            },
        );
        for topic in &image.topics {
            let Some(name) = names::topic_name(topic.name.as_bytes()) else { break };
            let topic_ref = self.topics.take(name);
            let client = self.clients.get_mut(handle)?;
            let position = client.topics.push(topic_ref);
            if let Some(entry) = client.topics.get_mut(position) {
                entry.confirmed = topic.confirmed;
                entry.refused = topic.refused;
                entry.normal_only = topic.normal_only;
            }
        }
        self.restore_subscriptions(cx, handle, &image);
        self.restore_publications(cx.now, handle, &image);
        self.restore_queue(cx.now, handle, &image, parts);
        self.judge_session(cx, handle);
        if line.is_own() {
            let client = self.clients.get(handle)?;
            let told = super::flow::told(client);
            let line = self.lines.at_mut(line);
            line.told = (!gone).then_some(told);
            line.accepted = !gone;
            line.state = match (gone, owed) {
                (false, _) => LineState::Open,
                (true, true) => LineState::Closing,
                (true, false) => LineState::Shut,
            };
        }
        if self.clients.get(handle).is_some_and(|client| gone && !owed && client.is_blank()) {
            self.remove_client(cx, handle);
            return None;
        }
        Some(handle)
    }

    /// Binds a client to its address, if the link is still there and nobody else has the address.
    fn restore_place(&mut self, handle: Handle, it: &Standings, parts: &Parts) {
        let Some(PeerImage { link, address, node }) = &it.peer else { return };
        let link = parts.links.iter().find(|(number, _)| number == link);
        let Some((_, link)) = link else { return };
        if address.len() > super::peer::Address::MAX {
            return;
        }
        let peer = PeerRef { link: *link, address, node: node.as_deref() };
        let usable = it.bound && !matches!(it.standing, Standing::Gone | Standing::Connecting);
        if usable && self.client_at(peer).is_none() {
            self.bind(handle, peer);
        } else if let Some(client) = self.clients.get_mut(handle) {
            client.peer = Some(peer.to_peer());
        }
    }

    fn restore_subscriptions(&mut self, cx: &mut Cx<'_>, handle: Handle, image: &ClientImage) {
        for subscription in &image.subscriptions {
            let text = &*subscription.filter;
            if names::topic_filter(text.as_bytes()).is_none() {
                continue;
            }
            let Some(client) = self.clients.get(handle) else { return };
            let wire = match self.policy(client).wire_filter(&client.id, text) {
                Ok(wire) => Box::<str>::from(wire),
                Err((_, why)) => {
                    self.revoke(cx, handle, Revoked::Subscription, text, why);
                    self.note(cx, &Record::Unsubscription { slot: handle.slot, filter: text });
                    continue;
                }
            };
            let exact = (!names::has_wildcard(text)).then(|| self.topics.take(text));
            // Of a predefined id that is not configured any longer the name remains.
            let form = match Form::from_bits(subscription.form) {
                Some(Form::Predefined(id)) if self.predefined_id(handle, id) == exact => {
                    Form::Predefined(id)
                }
                Some(Form::Short) => Form::Short,
                _ => Form::Name,
            };
            let line = self.line_of(handle);
            let filters = &mut self.lines.at_mut(line).filters;
            let filter = filters.find_or_add(&wire);
            let place = filters.get_mut(filter).map(|f| f.join(handle, subscription.granted));
            let (Some(place), Some(client)) = (place, self.clients.get_mut(handle)) else { return };
            let subscription = Subscription { filter, place, form, exact };
            super::tight::push(&mut client.subscriptions, subscription);
        }
    }

    fn predefined_id(&self, handle: Handle, id: u16) -> Option<TopicRef> {
        self.predefined.topic(self.clients.get(handle)?.predefined, id)
    }

    /// The gateway has them, so that what they wait for is the client alone.
    fn restore_publications(&mut self, now: Time, handle: Handle, image: &ClientImage) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        for (msg_id, publication) in &image.publications {
            let at = Time(publication.at.min(now.0));
            if publication.done && now.since(at) >= REPETITION {
                continue;
            }
            let stage = if publication.done {
                Inbound::Done(crate::codec::ReturnCode::ACCEPTED)
            } else {
                Inbound::Received { completed: true, released: false }
            };
            client.busy.publications.push(Publication {
                msg_id: *msg_id,
                topic: topic_of(publication.topic),
                qos: MqttQos::Two,
                stage,
                hash: publication.hash,
                request: None,
                unmarked: 0,
                muted: false,
                recorded: true,
                at,
            });
        }
    }

    fn restore_queue(&mut self, now: Time, handle: Handle, image: &ClientImage, parts: &mut Parts) {
        let mut queue = VecDeque::new();
        let mut outbound = None;
        let mut bytes = 0_usize;
        for (serial, queued) in &image.queue {
            let kept = match parts.kept.get(serial) {
                Some(kept) => *kept,
                None => {
                    let Some(message) = parts.messages.remove(serial) else { continue };
                    let topic = self.topics.take(&message.topic);
                    let kept = self.messages.restore(topic, message.payload, *serial);
                    self.messages.set_expiry(kept, message.expires.map(Time));
                    parts.kept.insert(*serial, kept);
                    kept
                }
            };
            self.messages.share(kept, false);
            let size = self.messages.get(kept).map_or(0, |message| {
                self.topics.name(message.topic).len().saturating_add(message.payload.len())
            });
            bytes = bytes.saturating_add(size);
            self.buffered += 1;
            self.buffered_bytes = self.buffered_bytes.saturating_add(size);
            let (qos, retain) = (queued.qos, queued.retain);
            let queued = Queued { message: kept, qos, retain, held: false, recorded: true };
            match image.outbound.filter(|outbound| outbound.message == *serial) {
                Some(under_way) => outbound = Some((queued, under_way)),
                None => queue.push_back(queued),
            }
        }
        let Some(client) = self.clients.get_mut(handle) else { return };
        if queue.is_empty() && outbound.is_none() {
            return;
        }
        client.busy.queue = queue;
        client.busy.queued_bytes = bytes;
        client.busy.outbound = outbound.map(|(queued, under_way)| {
            let released = under_way.released;
            Box::new(Outbound {
                queued,
                msg_id: under_way.msg_id,
                stage: if released { OutboundStage::Release } else { OutboundStage::Publish },
                // It may have been.
                sent: true,
                tries: 0,
                waits: false,
                corrections: 0,
                unanswered: 0,
                began: now,
                deadline: now,
            })
        });
    }
}

/// When something happened. Small machines have no clock of their own and begin in 1970: what they
/// did before somebody told them the time was not decades ago.
fn calendar(at: u64, now: Time) -> Time {
    let unset = at < YEAR_2020 && now.0 >= YEAR_2020;
    if unset { now } else { Time(at).min(now) }
}

fn restored_will(it: &Standings) -> Option<Box<Will>> {
    let WillImage { topic, message, qos, retain } = it.will.clone()?;
    names::topic_name(topic.as_bytes())?;
    Some(Box::new(Will { topic, message, qos, retain }))
}
