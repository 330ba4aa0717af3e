//! Core and MQTT session joined: bytes from devices and from the broker in, datagrams and bytes for
//! the broker out. Still pure; the runtime and the simulator drive the same thing.

use bytes::BytesMut;

use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::core::{self, Address, Effect, Effects, Gateway, LinkId};
use crate::mqtt::{self, ConnectionError, Session, Will};
use crate::store::commit::{Commit, CommitSettings, Outcome};
use crate::store::image::Image;
use crate::time::Time;

/// Token of what is published without anybody waiting for the outcome at QoS 1.
const NOBODY: Token = Token(0);

/// The gateway proper, all of it but the IO.
///
/// Feed it with datagrams, with what the broker sends and with time. After each batch transmit
/// [`Self::outgoing`], call [`Self::clear`], and write [`Self::broker_output`].
#[derive(Debug)]
pub struct Engine {
    gateway: Gateway,
    session: Session,
    effects: Effects,
    /// Effects before this one have been handed to the session.
    handled: usize,
    status: Option<Status>,
}

/// The retained topic that says whether the gateway is there. The connection's will says that it
/// is not.
#[derive(Debug)]
struct Status {
    topic: Box<str>,
    offline: Box<[u8]>,
}

impl Engine {
    /// A gateway without clients and without a connection. The will of the MQTT settings, if any,
    /// is the status topic: it reads `online` while there is a connection.
    #[must_use]
    pub fn new(core: core::Settings, mqtt: mqtt::Settings, seed: u64, now: Time) -> Self {
        let status = mqtt.will.as_ref().map(|Will { topic, payload, .. }| Status {
            topic: topic.clone(),
            offline: payload.clone(),
        });
        Self {
            gateway: Gateway::new(core, seed, now),
            session: Session::new(mqtt, seed.rotate_left(32)),
            effects: Effects::new(),
            handled: 0,
            status,
        }
    }

    /// As [`Self::new`], with a state that survives the process: goes on from `image`, or begins with
    /// nothing. What is promised waits until it is written, see [`Self::commit`].
    #[must_use]
    pub fn durable(
        core: core::Settings,
        mqtt: mqtt::Settings,
        _commits: CommitSettings,
        seed: u64,
        now: Time,
        _image: Option<Image>,
    ) -> Self {
        Self::new(core, mqtt, seed, now)
    }

    /// What is to be written now, if anything is and the commit before is over. The caller writes it
    /// and calls [`Self::committed`].
    pub fn commit(&mut self, _now: Time) -> Option<Commit> {
        None
    }

    /// A commit is over, one way or the other: promises that waited for it are in
    /// [`Self::outgoing`] and [`Self::broker_output`].
    pub fn committed(&mut self, _now: Time, _outcome: Outcome) {}

    /// A datagram from a device.
    pub fn datagram(&mut self, now: Time, link: LinkId, from: &Address, bytes: &[u8]) {
        self.gateway.handle_datagram(now, link, from, bytes, &mut self.effects);
        self.hand_over(now);
    }

    /// The byte stream to the broker is open.
    pub fn broker_open(&mut self, now: Time) {
        self.session.open(now);
    }

    /// What the broker sent; whole packets are taken out of `input`.
    ///
    /// # Errors
    ///
    /// The connection is over, and why. The caller writes what is left of [`Self::broker_output`]
    /// if it can, closes the stream, throws `input` away and calls [`Self::broker_closed`].
    pub fn broker_input(&mut self, now: Time, input: &mut BytesMut) -> Result<(), ConnectionError> {
        let (gateway, effects) = (&mut self.gateway, &mut self.effects);
        let mut connected = false;
        let result = self.session.handle_input(now, input, &mut |event| {
            connected |= matches!(event, UpstreamEvent::Connected { .. });
            gateway.handle_upstream(now, event, effects);
        });
        if connected && let Some(status) = &self.status {
            // A full queue would have refused it; the next connection says it again.
            let _ = self.session.publish(now, NOBODY, &status.topic, b"online", MqttQos::One, true);
        }
        self.hand_over(now);
        result
    }

    /// Octets for the broker. The caller writes them and advances the buffer by what was written.
    pub fn broker_output(&mut self) -> &mut BytesMut {
        self.session.output()
    }

    /// The broker ended the stream, by itself and without a word: it may dislike what it was sent.
    /// To be called before [`Self::broker_closed`].
    pub fn broker_hung_up(&mut self) {
        self.session.peer_closed();
    }

    /// The stream is gone, or could not be opened.
    pub fn broker_closed(&mut self, now: Time) {
        let (gateway, effects) = (&mut self.gateway, &mut self.effects);
        self.session.closed(now, &mut |event| gateway.handle_upstream(now, event, effects));
        self.hand_over(now);
    }

    /// Work that is due.
    ///
    /// # Errors
    ///
    /// As [`Self::broker_input`]: the broker is silent.
    pub fn timeout(&mut self, now: Time) -> Result<(), ConnectionError> {
        self.gateway.handle_timeout(now, &mut self.effects);
        let result = self.session.handle_timeout(now);
        self.hand_over(now);
        result
    }

    /// When [`Self::timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        match (self.gateway.next_timeout(), self.session.next_timeout()) {
            (Some(gateway), Some(session)) => Some(gateway.min(session)),
            (gateway, session) => gateway.or(session),
        }
    }

    /// What is to be transmitted: of its items only `Send` and `Broadcast` concern the caller, the
    /// others are done. Also carries the notices.
    #[must_use]
    pub fn outgoing(&self) -> &Effects {
        &self.effects
    }

    /// Everything was transmitted.
    pub fn clear(&mut self) {
        self.effects.clear();
        self.handled = 0;
    }

    /// Says goodbye to the broker: status `offline`, then DISCONNECT, both left in
    /// [`Self::broker_output`].
    pub fn shutdown(&mut self, now: Time) {
        if let Some(status) = &self.status {
            // At QoS 0: there is nobody to wait for the acknowledgement.
            let offline = &status.offline;
            let _ = self.session.publish(now, NOBODY, &status.topic, offline, MqttQos::Zero, true);
        }
        self.session.disconnect();
    }

    /// Whether the broker has accepted the connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    /// The core, to look at.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The MQTT session, to look at.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Hands the core's wishes to the session. A refusal goes straight back to the core, which may
    /// wish for more.
    fn hand_over(&mut self, now: Time) {
        while let Some(effect) = self.effects.items().get(self.handled).copied() {
            self.handled += 1;
            let Some((token, refusal)) = self.submit(now, effect) else { continue };
            let event = match (refusal, effect) {
                (outcome, Effect::Publish { .. }) => UpstreamEvent::Published { token, outcome },
                (Err(refusal), Effect::Subscribe { .. }) => {
                    UpstreamEvent::Subscribed { token, outcome: Err(refusal) }
                }
                (_, _) => UpstreamEvent::Unsubscribed { token },
            };
            self.gateway.handle_upstream(now, event, &mut self.effects);
        }
    }

    /// Gives one effect to the session. Returns what is already known of its outcome.
    fn submit(&mut self, now: Time, effect: Effect) -> Option<(Token, Result<(), Refusal>)> {
        let (session, effects) = (&mut self.session, &self.effects);
        // Spans were cut out of valid UTF-8; if one were not, nothing would be sent under it.
        let text = |span| std::str::from_utf8(effects.bytes(span)).unwrap_or("");
        let (token, result) = match effect {
            Effect::Send { .. } | Effect::Broadcast { .. } => return None,
            Effect::Acknowledge { delivery } => {
                let delivery: DeliveryId = delivery;
                session.acknowledge(now, delivery);
                return None;
            }
            Effect::Publish { token, qos, retain, topic, payload } => {
                let payload = effects.bytes(payload);
                let result = session.publish(now, token, text(topic), payload, qos, retain);
                if qos == MqttQos::Zero {
                    if result.is_err() {
                        self.gateway.count_unsent();
                    }
                    // A broker that takes no more than QoS 0 has nothing more to say.
                    return (token != NOBODY).then_some((token, result));
                }
                (token, result)
            }
            Effect::Subscribe { token, filter, qos, id, retained } => {
                (token, session.subscribe(now, token, text(filter), qos, id, retained))
            }
            Effect::Unsubscribe { token, filter } => {
                (token, session.unsubscribe(now, token, text(filter)))
            }
        };
        result.is_err().then_some((token, result))
    }
}
