//! Core and MQTT session joined: bytes from devices and from the broker in, datagrams and bytes for
//! the broker out. Still pure; the runtime and the simulator drive the same thing.

mod commits;
mod durable;
mod held;

use bytes::BytesMut;

pub use commits::Written;
use durable::Durable;

use crate::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use crate::core::{self, Address, Effect, Effects, Gateway, LinkId};
use crate::mqtt::{self, ConnectionError, Publication, Session, Taken, Will};
use crate::time::Time;

/// Token of what is published without anybody waiting for the outcome at QoS 1.
const NOBODY: Token = Token(0);

/// The gateway proper, all of it but the IO.
///
/// Feed it with datagrams, with what the broker sends and with time. After each batch write what
/// [`Self::commit`] gives, transmit [`Self::outgoing`], call [`Self::clear`], and write
/// [`Self::broker_output`].
#[derive(Debug)]
pub struct Engine {
    gateway: Gateway,
    session: Session,
    effects: Effects,
    /// Effects before this one have been handed to the session.
    handled: usize,
    status: Option<Status>,
    durable: Option<Box<Durable>>,
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
    pub fn new(mut core: core::Settings, mut mqtt: mqtt::Settings, seed: u64, now: Time) -> Self {
        core.durable = false;
        mqtt.spool = None;
        Self::with(core, mqtt, seed, now)
    }

    fn with(core: core::Settings, mqtt: mqtt::Settings, seed: u64, now: Time) -> Self {
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
            durable: None,
        }
    }

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
            if let Some(durable) = &mut self.durable {
                let said = std::mem::take(&mut durable.said);
                let said = if said.is_empty() { "{\"state\":\"ok\"}".to_owned() } else { said };
                self.tell_store(now, said);
            }
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
        let (gateway, effects) = (&mut self.gateway, &mut self.effects);
        self.session.try_again(now, &mut |event| gateway.handle_upstream(now, event, effects));
        let result = self.session.handle_timeout(now);
        self.hand_over(now);
        result
    }

    /// Goes by other settings of the core from now on, see [`Gateway::reconfigure`].
    pub fn reconfigure(&mut self, now: Time, settings: core::Settings) {
        self.gateway.reconfigure(now, settings, &mut self.effects);
        self.hand_over(now);
    }

    /// When [`Self::timeout`] wants to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let commit = self.durable.as_ref().and_then(|durable| durable.commits.deadline());
        let others = [self.gateway.next_timeout(), self.session.next_timeout(), commit];
        others.into_iter().flatten().min()
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
        // Without a connection the broker has published the will.
        if let Some(status) = self.status.as_ref().filter(|_| self.session.is_connected()) {
            // At QoS 0: there is nobody to wait for the acknowledgement.
            let offline = &status.offline;
            let _ = self.session.publish(now, NOBODY, &status.topic, offline, MqttQos::Zero, true);
        }
        self.session.disconnect();
        if let Some(durable) = &mut self.durable {
            durable.commits.stop();
        }
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
            let position = self.handled;
            self.handled += 1;
            match effect {
                Effect::Promise { .. } | Effect::Send { .. } => {
                    self.promise(now, position, effect);
                    continue;
                }
                Effect::Recall { link, to, head } => {
                    if let Some(durable) = &mut self.durable {
                        durable.promises.recall(link, &to, self.effects.bytes(head));
                    }
                    continue;
                }
                Effect::Keep { token } => {
                    let (gateway, effects) = (&mut self.gateway, &mut self.effects);
                    let events = &mut |event: UpstreamEvent<'_>| {
                        gateway.handle_upstream(now, event, effects);
                    };
                    self.session.keep(token, events);
                    continue;
                }
                Effect::Publish { .. } if !self.session.is_connected() => {
                    // What is too old makes room for what is new.
                    let (gateway, effects) = (&mut self.gateway, &mut self.effects);
                    let events = &mut |event: UpstreamEvent<'_>| {
                        gateway.handle_upstream(now, event, effects);
                    };
                    self.session.expire(now, events);
                }
                _ => {}
            }
            let Some((token, refusal)) = self.submit(now, effect) else { continue };
            if let (Err(Refusal::Congestion), Effect::Unsubscribe { .. }) = (refusal, effect) {
                self.gateway.unsubscribe_refused(token);
                continue;
            }
            let event = match (refusal, effect) {
                (outcome, Effect::Publish { .. }) => UpstreamEvent::Published { token, outcome },
                (Err(refusal), Effect::Subscribe { .. }) => {
                    UpstreamEvent::Subscribed { token, outcome: Err(refusal) }
                }
                (_, _) => UpstreamEvent::Unsubscribed { token },
            };
            self.gateway.handle_upstream(now, event, &mut self.effects);
        }
        self.settle(now);
    }

    /// Gives one effect to the session. Returns what is already known of its outcome.
    fn submit(&mut self, now: Time, effect: Effect) -> Option<(Token, Result<(), Refusal>)> {
        let (session, effects) = (&mut self.session, &self.effects);
        // Spans were cut out of valid UTF-8; if one were not, nothing would be sent under it.
        let text = |span| std::str::from_utf8(effects.bytes(span)).unwrap_or("");
        let (token, result) = match effect {
            Effect::Send { .. }
            | Effect::Promise { .. }
            | Effect::Broadcast { .. }
            | Effect::Keep { .. }
            | Effect::Recall { .. }
            | Effect::Done => return None,
            Effect::Acknowledge { delivery, wait } => {
                let delivery: DeliveryId = delivery;
                session.acknowledge(now, delivery, wait);
                return None;
            }
            Effect::Publish { token, qos, retain, topic, payload, origin, keep } => {
                let (topic, payload) = (text(topic), effects.bytes(payload));
                let failing = self.durable.as_ref().is_some_and(|d| d.commits.is_failing());
                let publication = Publication { token, topic, payload, qos, retain, origin, keep };
                let result = if failing && qos > MqttQos::Zero && !keep && !session.is_connected() {
                    // It would go into the spool.
                    Err(Refusal::Congestion)
                } else {
                    session.take(now, publication)
                };
                if let (Ok(Taken::Kept), true) = (result, token != NOBODY) {
                    let event = UpstreamEvent::Kept { token };
                    self.gateway.handle_upstream(now, event, &mut self.effects);
                    return None;
                }
                let result = result.map(|_| ());
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
