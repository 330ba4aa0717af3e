//! The other side: `mqtt-protocol-core` and an application on it.

use super::*;

/// Builds a packet of the version that is spoken.
macro_rules! packet {
    ($world:expr, $name:ident $(. $call:ident ( $value:expr ))*) => {
        match $world.version {
            Version::V311 => Packet::from(v3_1_1::$name::builder()$(.$call($value))*.build().unwrap()),
            _ => Packet::from(v5_0::$name::builder()$(.$call($value))*.build().unwrap()),
        }
    };
}

impl World {
    pub(super) fn server_publishes(&mut self) {
        if !self.connected || !self.session.is_connected() {
            return;
        }
        let (topic, qos, number) = (self.below(3), self.qos(), self.sent.len() as u64);
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + self.below(200), 0);
        let id = (qos != MqttQos::Zero).then(|| self.server.acquire_packet_id().unwrap());
        let level = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][qos as usize];
        let name = TOPICS[topic];
        let packet = match self.version {
            Version::V311 => {
                let packet = v3_1_1::Publish::builder().topic_name(name).unwrap().qos(level);
                packet.packet_id(id).payload(payload).build().unwrap().into()
            }
            _ => {
                let packet = v5_0::Publish::builder().topic_name(name).unwrap().qos(level);
                packet.packet_id(id).payload(payload).build().unwrap().into()
            }
        };
        let session = self.epoch;
        self.sent.push(Sent { topic, qos, session, reported: 0, outstanding: false });
        self.server_sends(packet);
    }

    pub(super) fn server_sends(&mut self, packet: Packet) {
        let events = self.server.send(packet);
        self.server_events(events);
    }

    pub(super) fn server_answers(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let chosen = self.below(self.due.len());
        let due = self.due.remove(chosen);
        let packet = match due {
            Due::Puback(id, false) => packet!(self, Puback.packet_id(id)),
            Due::Puback(id, true) => {
                packet!(self, Puback.packet_id(id).reason_code(PubackReasonCode::QuotaExceeded))
            }
            Due::Pubrec(id) => packet!(self, Pubrec.packet_id(id)),
            Due::Pubcomp(id) => packet!(self, Pubcomp.packet_id(id)),
            Due::Suback(id) => match self.version {
                Version::V311 => {
                    let codes = vec![SubackReturnCode::SuccessMaximumQos1];
                    v3_1_1::Suback::builder()
                        .packet_id(id)
                        .return_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
                _ => {
                    let codes = vec![SubackReasonCode::GrantedQos1];
                    v5_0::Suback::builder()
                        .packet_id(id)
                        .reason_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
            },
            Due::Unsuback(id) => match self.version {
                Version::V311 => v3_1_1::Unsuback::builder().packet_id(id).build().unwrap().into(),
                _ => {
                    let codes = vec![UnsubackReasonCode::Success];
                    v5_0::Unsuback::builder()
                        .packet_id(id)
                        .reason_codes(codes)
                        .build()
                        .unwrap()
                        .into()
                }
            },
        };
        self.server_sends(packet);
    }

    pub(super) fn deliver_to_server(&mut self) {
        let mut length = 0;
        let mut packets = self.below(10);
        while let (Some((.., one)), 1..) = (frame(&self.to_server[length..]), packets) {
            length += one;
            packets -= 1;
        }
        // Whole packets: the other implementation keeps half of one beyond the end of a connection.
        let bytes = self.to_server.split_to(length);
        let mut cursor = mqtt::common::Cursor::new(&bytes[..]);
        while (cursor.position() as usize) < bytes.len() {
            let events = self.server.recv(&mut cursor);
            self.server_events(events);
        }
    }

    pub(super) fn server_events(&mut self, events: Vec<mqtt::connection::Event>) {
        for event in events {
            match event {
                mqtt::connection::Event::RequestSendPacket { packet, .. } => {
                    self.to_client.extend_from_slice(&packet.to_continuous_buffer());
                }
                mqtt::connection::Event::NotifyPacketReceived(packet) => self.server_packet(packet),
                mqtt::connection::Event::NotifyError(error) => panic!("the server says {error:?}"),
                mqtt::connection::Event::RequestClose => panic!("the server closes the connection"),
                _ => {}
            }
        }
    }

    pub(super) fn server_packet(&mut self, packet: Packet) {
        match packet {
            Packet::V3_1_1Connect(_) => {
                let connack = v3_1_1::Connack::builder()
                    .session_present(self.keep_session)
                    .return_code(ConnectReturnCode::Accepted);
                self.server_sends(connack.build().unwrap().into());
            }
            Packet::V5_0Connect(_) => {
                let maximum = 1 + self.below(20) as u16;
                let maximum = mqtt::packet::ReceiveMaximum::new(maximum).unwrap();
                let connack = v5_0::Connack::builder()
                    .session_present(self.keep_session)
                    .reason_code(ConnectReasonCode::Success)
                    .props(vec![maximum.into()]);
                self.server_sends(connack.build().unwrap().into());
            }
            Packet::V3_1_1Publish(p) => {
                self.server_takes(p.qos(), p.packet_id(), p.payload().as_slice(), p.topic_name());
            }
            Packet::V5_0Publish(p) => {
                self.server_takes(p.qos(), p.packet_id(), p.payload().as_slice(), p.topic_name());
            }
            Packet::V3_1_1Pubrec(p) => {
                let packet = packet!(self, Pubrel.packet_id(p.packet_id()));
                self.server_sends(packet);
            }
            Packet::V5_0Pubrec(p) => {
                let packet = packet!(self, Pubrel.packet_id(p.packet_id()));
                self.server_sends(packet);
            }
            Packet::V3_1_1Pubrel(p) => self.due.push(Due::Pubcomp(p.packet_id())),
            Packet::V5_0Pubrel(p) => self.due.push(Due::Pubcomp(p.packet_id())),
            Packet::V3_1_1Subscribe(p) => self.due.push(Due::Suback(p.packet_id())),
            Packet::V5_0Subscribe(p) => self.due.push(Due::Suback(p.packet_id())),
            Packet::V3_1_1Unsubscribe(p) => self.due.push(Due::Unsuback(p.packet_id())),
            Packet::V5_0Unsubscribe(p) => self.due.push(Due::Unsuback(p.packet_id())),
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => {
                let packet = packet!(self, Pingresp);
                self.server_sends(packet);
            }
            _ => {}
        }
    }

    pub(super) fn server_takes(&mut self, qos: Qos, id: Option<u16>, payload: &[u8], topic: &str) {
        let token = u64::from_be_bytes(payload[..8].try_into().unwrap());
        let refuse = self.version == Version::V5 && !self.settling && self.chance(10);
        let published = self.published.get_mut(&token).unwrap();
        assert_eq!(qos as u8, published.qos as u8);
        assert_eq!(topic, TOPICS[published.topic]);
        if !published.taken_ever && !published.refused {
            let last = self.last_taken.insert((published.topic, published.qos), token);
            assert!(last.is_none_or(|last| last < token), "order of {last:?} and {token}");
        }
        if qos != Qos::AtMostOnce && refuse {
            published.refused = true;
        } else {
            published.taken += 1;
            published.taken_ever = true;
            let once = qos != Qos::AtLeastOnce;
            assert!(!once || published.taken == 1, "{token} is taken twice at {qos:?}");
        }
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.due.push(Due::Puback(id.unwrap(), refuse)),
            // At once: until its PUBREC the server answers repetitions itself, with success.
            Qos::ExactlyOnce if refuse => {
                let refusal = v5_0::Pubrec::builder()
                    .packet_id(id.unwrap())
                    .reason_code(PubrecReasonCode::NotAuthorized);
                self.server_sends(refusal.build().unwrap().into());
            }
            Qos::ExactlyOnce => self.due.push(Due::Pubrec(id.unwrap())),
        }
    }
}
