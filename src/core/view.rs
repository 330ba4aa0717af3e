//! Clients and topics as an operator sees them: read only, and in parts, so that a hundred thousand of
//! them can be looked through without a pause.

use alloc::vec::Vec;
use core::time::Duration;

use super::client::{Client, Form, OutboundStage, State};
use super::gateway::Gateway;
use super::peer::{Address, LinkId};
use super::signal::Signal;
use super::slots::{ClientKey, Handle};
use super::upstream::MqttQos;
use crate::time::Time;

/// How a client stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientState {
    /// In the will dialogue.
    Connecting,
    /// Connected.
    Active,
    /// Asleep.
    Asleep,
    /// Awake to collect what waits for it.
    Awake,
    /// Disconnected or lost; the session is kept.
    Gone,
}

impl ClientState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Connecting, Self::Active, Self::Asleep, Self::Awake, Self::Gone];

    /// In one word.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Asleep => "asleep",
            Self::Awake => "awake",
            Self::Gone => "gone",
        }
    }
}

/// One client.
#[derive(Clone, Copy, Debug)]
pub struct ClientView<'a> {
    gateway: &'a Gateway,
    handle: Handle,
    client: &'a Client,
}

/// What was sent to a client and is not answered yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InFlight {
    /// The packet.
    pub packet: &'static str,
    /// What answers it.
    pub answer: &'static str,
    /// How often it was sent.
    pub tries: u8,
    /// It has not gone out yet: the link, or the device's own connection, has no room.
    pub waits_for_room: bool,
}

/// A subscription of a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SubscriptionView<'a> {
    /// The filter as the client named it, without prefix.
    pub filter: &'a str,
    /// What it was granted.
    pub qos: MqttQos,
    /// The predefined id by which it named the topic, if it did.
    pub predefined: Option<u16>,
}

/// A topic of which a client has an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicView<'a> {
    /// The id.
    pub id: u16,
    /// The topic, without prefix.
    pub name: &'a str,
    /// The client is known to know it.
    pub confirmed: bool,
}

impl<'a> ClientView<'a> {
    /// Client id.
    #[must_use]
    pub fn id(&self) -> &'a str {
        &self.client.id
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> ClientState {
        match self.client.state {
            State::Connecting => ClientState::Connecting,
            State::Active => ClientState::Active,
            State::Asleep => ClientState::Asleep,
            State::Awake => ClientState::Awake,
            State::Gone => ClientState::Gone,
        }
    }

    /// Its link, if it did not say goodbye.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        self.client.peer.as_ref().map(|peer| peer.link())
    }

    /// Where it is on its link, or was last, and the node behind its forwarder, if there is one.
    #[must_use]
    pub fn place(&self) -> Option<(Address, Option<&'a [u8]>)> {
        let peer = self.client.peer.as_ref()?.as_ref();
        Some((peer.address(), peer.node))
    }

    /// How its last packet was heard.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.client.signal
    }

    /// When it connected last.
    #[must_use]
    pub fn connected_at(&self) -> Time {
        self.client.connected_at
    }

    /// The last sign of it.
    #[must_use]
    pub fn last_heard(&self) -> Time {
        self.client.last_heard
    }

    /// Its keep-alive; zero if it wants none.
    #[must_use]
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.client.print.duration.into())
    }

    /// When it will be up again, as it has announced.
    #[must_use]
    pub fn sleeps_until(&self) -> Option<Time> {
        self.client.wakes_at()
    }

    /// How long it may be silent, or stay asleep, until it counts as lost; `None` if for ever, and while
    /// it is neither connected nor asleep.
    #[must_use]
    pub fn allowed_silence(&self) -> Option<Duration> {
        let settings = &self.gateway.settings;
        let allowed = match self.client.state {
            State::Active => {
                let tolerance = settings.keep_alive_tolerance_permille;
                self.client.allowed_silence(tolerance, settings.session_expiry)
            }
            State::Asleep => self.client.allowed_sleep(settings.sleep_tolerance_permille),
            State::Connecting | State::Awake | State::Gone => return None,
        };
        (!allowed.is_zero()).then_some(allowed)
    }

    /// What was sent to it last and is not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> Option<InFlight> {
        let outbound = self.client.busy.outbound.as_deref()?;
        let (packet, answer) = match outbound.stage {
            OutboundStage::Register { .. } => ("REGISTER", "REGACK"),
            OutboundStage::Publish if outbound.queued.qos == MqttQos::Two => ("PUBLISH", "PUBREC"),
            OutboundStage::Publish => ("PUBLISH", "PUBACK"),
            OutboundStage::Release => ("PUBREL", "PUBCOMP"),
        };
        Some(InFlight { packet, answer, tries: outbound.tries, waits_for_room: outbound.waits })
    }

    /// It has asked for a pause.
    #[must_use]
    pub fn is_paused(&self, now: Time) -> bool {
        self.client.busy.paused_until.is_some_and(|until| until > now)
    }

    /// The session ends with the connection.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.client.print.clean
    }

    /// Name of its stack's profile.
    #[must_use]
    pub fn profile(&self) -> &'static str {
        self.client.profile().name
    }

    /// It has a connection to the broker of its own.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.client.line.is_own()
    }

    /// Where the rule for it was written; nothing without one.
    #[must_use]
    pub fn rule(&self) -> &'a str {
        &self.gateway.policy(self.client).origin
    }

    /// Messages that wait for it, the one in flight included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.client.busy.queue.len() + usize::from(self.client.busy.outbound.is_some())
    }

    /// Octets of those that wait, the one in flight not included.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.client.busy.queued_bytes
    }

    /// Number of its subscriptions.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.client.subscriptions.len()
    }

    /// Number of its normal topic ids.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.client.topics.len()
    }

    /// The topic of its will.
    #[must_use]
    pub fn will_topic(&self) -> Option<&'a str> {
        self.client.will.as_deref().map(|will| &*will.topic)
    }

    /// Its subscriptions.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionView<'a>> {
        let Self { gateway, handle, client } = *self;
        let filters = &gateway.lines.at(client.line).filters;
        client.subscriptions.iter().filter_map(move |mine| {
            let filter = filters.get(mine.filter)?;
            let granted = filter.subscribers.get(mine.place as usize)?.granted;
            let predefined = match mine.form {
                Form::Predefined(id) => Some(id),
                Form::Name | Form::Short => None,
            };
            let filter = gateway.local(handle, &filter.text);
            Some(SubscriptionView { filter, qos: granted, predefined })
        })
    }

    /// Its normal topic ids.
    pub fn topics(&self) -> impl Iterator<Item = TopicView<'a>> {
        let Self { gateway, client, .. } = *self;
        client.topics.iter().enumerate().map(move |(position, entry)| TopicView {
            id: gateway.id_at(&client.topics, position).unwrap_or(0),
            name: gateway.topics.name(entry.topic),
            confirmed: entry.confirmed,
        })
    }
}

impl Gateway {
    /// The client with this id.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<ClientView<'_>> {
        self.view(self.client_named(id)?)
    }

    /// The client that this names, while its record lives.
    #[must_use]
    pub fn client_of(&self, key: ClientKey) -> Option<ClientView<'_>> {
        self.view(key.0)
    }

    fn view(&self, handle: Handle) -> Option<ClientView<'_>> {
        let client = self.clients.get(handle)?;
        Some(ClientView { gateway: self, handle, client })
    }

    /// The clients in at most `many` places from the place `from` on, each with its place. Clients come
    /// and go; one that stays keeps its place.
    pub fn clients(
        &self,
        from: u32,
        many: u32,
    ) -> impl Iterator<Item = (u32, ClientView<'_>)> + use<'_> {
        let end = from.saturating_add(many).min(self.clients.places());
        (from..end).filter_map(|place| {
            let view = self.view(self.clients.handle_at(place)?)?;
            Some((place, view))
        })
    }

    /// Number of places: beyond them there are no clients.
    #[must_use]
    pub fn client_places(&self) -> u32 {
        self.clients.places()
    }

    /// Topic names in at most `many` places from the place `from` on, without those that are not in use,
    /// and how many times each is held: by topic ids, subscriptions and waiting messages. With the place
    /// to go on from, if there are more.
    #[must_use]
    pub fn topic_names(&self, from: u32, many: u32) -> (Vec<(&str, u32)>, Option<u32>) {
        let end = from.saturating_add(many);
        let names = (from..end.min(self.topics.places())).filter_map(|place| self.topics.at(place));
        (names.collect(), (end < self.topics.places()).then_some(end))
    }

    /// Predefined topic ids of everybody, as the settings have them.
    pub fn predefined_topics(&self) -> impl Iterator<Item = (u16, &str)> {
        self.settings.predefined.iter().map(|(id, name)| (*id, &**name))
    }
}
