//! Clients with a connection to the broker of their own (MQTT-SN 1.2 §22).

mod admission;
mod leaving;
mod messages;
mod wills;

use mqtt_sn_gateway::core::Settings;
use mqtt_sn_gateway::core::upstream::{LineId, LineSetup, MqttQos, WillSetup};

use crate::harness::*;

/// Transparent mode, beside a connected main connection.
fn transparent() -> World {
    with(settings())
}

fn with(settings: Settings) -> World {
    World::with(Settings { transparent: true, ..settings })
}

/// What the connection of a client says that is there.
fn setup(id: &str, clean: bool, will: Option<WillSetup>) -> LineSetup {
    LineSetup { client_id: id.into(), clean, will, login: None, wanted: true }
}

/// The will that [`World::says_will`] says, at QoS 1.
fn will(message: &str) -> WillSetup {
    let payload = message.as_bytes().into();
    WillSetup { topic: "lwt".into(), payload, qos: MqttQos::One, retain: false }
}

impl World {
    /// The device connects by a connection of its own, which the broker accepts.
    #[track_caller]
    fn join(&mut self, node: &Device, id: &str, clean: bool) -> LineId {
        self.exchange(node, connect(id, clean, 60), &[]);
        let (line, said) = self.opens();
        assert_eq!(said, setup(id, clean, None));
        self.accept(line, false);
        self.expect(node, &[connack(OK)]);
        line
    }

    /// The will dialogue, up to the moment when it is the broker's turn.
    #[track_caller]
    fn says_will(&mut self, node: &Device, id: &str, clean: bool, message: &str) {
        use mqtt_sn_gateway::codec::{Message, Qos};
        self.exchange(node, connect_with_will(id, clean, 60), &[Message::WillTopicReq]);
        self.exchange(node, will_topic("lwt", Qos::One, false), &[Message::WillMsgReq]);
        self.send(node, will_msg(message));
    }

    /// The same, accepted.
    #[track_caller]
    fn join_with_will(&mut self, node: &Device, id: &str, clean: bool, message: &str) -> LineId {
        self.says_will(node, id, clean, message);
        self.silence(node);
        let (line, said) = self.opens();
        assert_eq!(said, setup(id, clean, Some(will(message))));
        self.accept(line, false);
        self.expect(node, &[connack(OK)]);
        line
    }
}
