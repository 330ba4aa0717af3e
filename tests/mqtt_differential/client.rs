//! What our session does, and what must hold for it.

use super::*;

impl World {
    pub(super) fn client_publishes(&mut self) {
        let (topic, qos, token) = (self.below(3), self.qos(), self.tokens);
        self.tokens += 1;
        let mut payload = token.to_be_bytes().to_vec();
        payload.resize(8 + self.below(200), 0);
        let result =
            self.session.publish(self.now, Token(token), TOPICS[topic], &payload, qos, false);
        if result.is_ok() {
            let outcome = None;
            let published = Published {
                topic,
                qos,
                outcome,
                received: false,
                taken: 0,
                taken_ever: false,
                refused: false,
            };
            self.published.insert(token, published);
        } else {
            assert_eq!(result, Err(Refusal::Congestion));
        }
    }

    pub(super) fn client_subscribes(&mut self) {
        let token = Token(self.tokens);
        self.tokens += 1;
        let result = if self.chance(50) {
            self.session.subscribe(self.now, token, "a/#", MqttQos::Two, 1, true)
        } else {
            self.session.unsubscribe(self.now, token, "a/#")
        };
        assert_eq!(result.is_ok(), self.session.is_connected());
        if result.is_ok() {
            self.subscriptions.insert(token.0);
        }
    }

    pub(super) fn client_acknowledges(&mut self) {
        if !self.deliveries.is_empty() {
            let chosen = self.below(self.deliveries.len());
            let (delivery, number) = self.deliveries.swap_remove(chosen);
            self.sent[number as usize].outstanding = false;
            self.session.acknowledge(self.now, delivery, false);
        }
    }

    pub(super) fn client_output(&mut self) {
        let output = self.session.output();
        let bytes = output.split();
        assert!(self.connected || bytes.is_empty());
        let mut rest = &bytes[..];
        while let Some((first, body, length)) = frame(rest) {
            self.watch_client(first, body);
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "half a packet in the output");
        self.to_server.extend_from_slice(&bytes);
    }

    /// Packet ids and DUP as the other side sees them.
    pub(super) fn watch_client(&mut self, first: u8, body: &[u8]) {
        match first >> 4 {
            3 if first & 6 != 0 => {
                let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                let id = u16::from_be_bytes([body[topic], body[topic + 1]]);
                let payload = topic + 2 + usize::from(self.version == Version::V5);
                let token = u64::from_be_bytes(body[payload..payload + 8].try_into().unwrap());
                let before = self.busy.insert(id, OnWire::Publish(token));
                if first & 8 == 0 {
                    assert_eq!(before, None, "packet id {id} is used while it is busy");
                } else {
                    assert_eq!(before, Some(OnWire::Publish(token)), "DUP on a new message");
                }
            }
            6 => {
                let id = u16::from_be_bytes([body[0], body[1]]);
                let order = self.pubrecs.get(&id).copied();
                if let (Some(order), false) = (order, self.pubrels.contains(&id)) {
                    let mut before = self.pubrels.iter().filter_map(|id| self.pubrecs.get(id));
                    assert!(before.all(|&before| before < order), "the order of PUBREL");
                    self.pubrels.push(id);
                }
            }
            8 | 10 => {
                let id = u16::from_be_bytes([body[0], body[1]]);
                let before = self.busy.insert(id, OnWire::Subscription);
                assert_eq!(before, None, "packet id {id} is used while it is busy");
            }
            _ => {}
        }
    }

    /// What the server's packets free.
    pub(super) fn watch_server(&mut self, first: u8, body: &[u8]) {
        let id = || u16::from_be_bytes([body[0], body[1]]);
        let failed = body.len() > 2 && body[2] >= 0x80;
        match first >> 4 {
            2 if body[0] & 1 == 0 => {
                self.busy.clear();
                self.pubrecs.clear();
            }
            7 => {
                self.busy.remove(&id());
                self.pubrecs.remove(&id());
                self.pubrels.retain(|&other| other != id());
            }
            4 | 9 | 11 => drop(self.busy.remove(&id())),
            5 if failed => drop(self.busy.remove(&id())),
            5 if self.busy.contains_key(&id()) => {
                self.clock += 1;
                self.pubrecs.entry(id()).or_insert(self.clock);
            }
            _ => {}
        }
    }

    pub(super) fn deliver_to_client(&mut self) {
        let length = self.below(self.to_client.len() + 1);
        let bytes = self.to_client.split_to(length);
        self.seen.extend_from_slice(&bytes);
        while let Some((first, body, length)) = frame(&self.seen) {
            let (first, body) = (first, body.to_vec());
            self.watch_server(first, &body);
            self.seen.advance(length);
        }
        self.input.extend_from_slice(&bytes);
        let mut events = Vec::new();
        let mut input = std::mem::take(&mut self.input);
        let result =
            self.session.handle_input(self.now, &mut input, &mut |event| events.extend(own(event)));
        self.input = input;
        assert_eq!(result, Ok(()));
        for event in events {
            self.client_event(event);
        }
    }

    pub(super) fn client_event(&mut self, event: Event) {
        match event {
            Event::Connected { present } => {
                // A CONNECT without an answer casts doubt on a session that is present: the core is
                // told to subscribe again. The session itself goes by what the broker says.
                assert!(!present || self.keep_session);
                let resumed = self.session.accepted().map(|(_, resumed)| resumed);
                assert_eq!(resumed, Some(self.keep_session));
                if !self.keep_session {
                    // What was not acknowledged is repeated, and may be taken twice.
                    for published in self.published.values_mut() {
                        published.taken = 0;
                    }
                }
            }
            Event::Disconnected => panic!("Disconnected comes from closed()"),
            Event::Received(token) => {
                let published = self.published.get_mut(&token).unwrap();
                assert_eq!((published.qos, published.outcome), (MqttQos::Two, None));
                assert!(!std::mem::replace(&mut published.received, true), "Received twice");
            }
            Event::Published(token, outcome) => {
                let published = self.published.get_mut(&token).unwrap();
                assert_eq!(published.outcome.replace(outcome), None, "{token} ended twice");
                assert_ne!(published.qos, MqttQos::Zero);
                match outcome {
                    Ok(()) => assert!(published.taken_ever, "{token} was acknowledged unseen"),
                    Err(_) => assert!(published.refused),
                }
                if published.qos == MqttQos::Two && outcome.is_ok() {
                    assert!(published.received);
                }
            }
            Event::Answered(token) => assert!(self.subscriptions.remove(&token)),
            Event::Message { delivery, number, qos } => {
                let sent = &mut self.sent[number as usize];
                assert_eq!(sent.qos, qos);
                assert!(!sent.outstanding, "message {number} again before its acknowledgement");
                sent.reported += 1;
                assert!(sent.reported == 1 || qos == MqttQos::One, "message {number} twice");
                if sent.reported == 1 && qos != MqttQos::Zero {
                    let last = self.last_reported.insert((sent.topic, qos), number);
                    assert!(last.is_none_or(|last| last < number), "order of {last:?}, {number}");
                }
                if let Some(delivery) = delivery {
                    sent.outstanding = true;
                    self.deliveries.push((delivery, number));
                }
            }
        }
    }
}
