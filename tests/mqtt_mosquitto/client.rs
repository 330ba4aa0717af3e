//! A session with a socket.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use mqtt_sn_gateway::core::upstream::{DeliveryId, MqttQos, Refusal, Token, UpstreamEvent};
use mqtt_sn_gateway::mqtt::{ConnectionError, Session, Settings, Version};
use mqtt_sn_gateway::time::Time;

use crate::support::mosquitto::Mosquitto;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    pub delivery: Option<DeliveryId>,
    pub topic: String,
    pub payload: String,
    pub qos: MqttQos,
    pub retain: bool,
    pub ids: Vec<u32>,
}

/// A session with a socket and what came out of it.
pub struct Client {
    pub session: Session,
    pub address: SocketAddr,
    pub stream: Option<TcpStream>,
    pub input: BytesMut,
    pub began: Instant,
    /// Acknowledge messages as they come.
    pub acknowledge: bool,
    pub connected: Vec<bool>,
    pub messages: Vec<Message>,
    pub outcomes: BTreeMap<u64, Result<(), Refusal>>,
    pub granted: BTreeMap<u64, Result<MqttQos, Refusal>>,
}

impl Client {
    pub fn new(broker: &Mosquitto, settings: Settings) -> Self {
        Self {
            session: Session::new(settings, 1),
            address: broker.address(),
            stream: None,
            input: BytesMut::new(),
            began: Instant::now(),
            acknowledge: true,
            connected: Vec::new(),
            messages: Vec::new(),
            outcomes: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    /// A client that is connected.
    pub fn connected(broker: &Mosquitto, id: &str, version: Version) -> Self {
        let settings = Settings { client_id: id.into(), version, ..Settings::default() };
        let mut client = Self::new(broker, settings);
        client.connect().unwrap();
        client
    }

    pub fn now(&self) -> Time {
        Time::default().after(self.began.elapsed())
    }

    /// Connects, again at once where that is asked for; other errors are for the caller.
    pub fn connect(&mut self) -> Result<(), ConnectionError> {
        loop {
            let stream = TcpStream::connect(self.address).expect("the broker listens");
            stream.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
            stream.set_nodelay(true).expect("no delay");
            self.stream = Some(stream);
            self.session.open(self.now());
            let result = self.until(|client| client.session.is_connected());
            match result {
                Err(error) if error.reopen_at_once() => {}
                other => return other,
            }
        }
    }

    /// Runs until something holds, or the connection ends.
    pub fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), ConnectionError> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "no patience left, {:?}", self.session.stats());
            self.turn()?;
        }
        Ok(())
    }

    /// Runs for a while; for what must not happen.
    pub fn for_a_while(&mut self) {
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            self.turn().unwrap();
        }
    }

    /// One turn: write, read, take in. A lost connection is an error with an empty text.
    pub fn turn(&mut self) -> Result<(), ConnectionError> {
        let result = self.try_turn();
        if result.is_err() {
            self.flush();
            self.drop_connection();
        }
        result
    }

    fn try_turn(&mut self) -> Result<(), ConnectionError> {
        let lost = || ConnectionError::Protocol("".into());
        // What cannot be written shows when reading.
        self.flush();
        let mut buffer = [0; 16 * 1024];
        let stream = self.stream.as_mut().ok_or_else(lost)?;
        match stream.read(&mut buffer) {
            Ok(0) => {
                self.session.peer_closed();
                return Err(lost());
            }
            Ok(length) => self.input.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => {
                self.session.peer_closed();
                return Err(lost());
            }
        }
        let now = self.now();
        self.session.handle_timeout(now)?;
        let mut input = std::mem::take(&mut self.input);
        let mut arrived = Vec::new();
        let (connected, outcomes, granted) =
            (&mut self.connected, &mut self.outcomes, &mut self.granted);
        let result = self.session.handle_input(now, &mut input, &mut |event| match event {
            UpstreamEvent::Refused { .. } | UpstreamEvent::Closed => {
                unreachable!("a session does not say that")
            }
            UpstreamEvent::Connected { session_present, .. } => connected.push(session_present),
            UpstreamEvent::Published { token, outcome } => {
                assert_eq!(outcomes.insert(token.0, outcome), None, "{token:?} ended twice");
            }
            UpstreamEvent::Subscribed { token, outcome } => {
                granted.insert(token.0, outcome);
            }
            UpstreamEvent::Unsubscribed { token } => {
                granted.insert(token.0, Ok(MqttQos::Zero));
            }
            UpstreamEvent::Message { delivery, topic, payload, qos, retain, subscription_ids } => {
                arrived.push(Message {
                    delivery,
                    topic: topic.into(),
                    payload: String::from_utf8_lossy(payload).into(),
                    qos,
                    retain,
                    ids: subscription_ids.into(),
                });
            }
            UpstreamEvent::Received { .. } | UpstreamEvent::Disconnected => {}
            UpstreamEvent::Kept { .. } | UpstreamEvent::Wasted { .. } => {
                unreachable!("there is no spool")
            }
        });
        self.input = input;
        for message in arrived {
            if let (Some(delivery), true) = (message.delivery, self.acknowledge) {
                self.session.acknowledge(now, delivery, false);
            }
            self.messages.push(message);
        }
        self.flush();
        result
    }

    pub fn flush(&mut self) -> bool {
        let output = self.session.output();
        let length = output.len();
        let written = match &mut self.stream {
            Some(stream) => stream.write_all(output).is_ok(),
            None => length == 0,
        };
        output.advance(length);
        written
    }

    /// The connection goes without a DISCONNECT.
    pub fn drop_connection(&mut self) {
        self.stream = None;
        self.input.clear();
        let outcomes = &mut self.outcomes;
        self.session.closed(Time::default().after(self.began.elapsed()), &mut |event| {
            if let UpstreamEvent::Published { token, outcome } = event {
                assert_eq!(outcomes.insert(token.0, outcome), None, "{token:?} ended twice");
            }
        });
    }

    pub fn leave(&mut self) {
        self.session.disconnect();
        self.flush();
        self.drop_connection();
    }

    pub fn publish(&mut self, token: u64, topic: &str, qos: MqttQos, retain: bool) {
        let payload = token.to_string();
        let now = self.now();
        self.session.publish(now, Token(token), topic, payload.as_bytes(), qos, retain).unwrap();
    }

    pub fn subscribe(&mut self, token: u64, filter: &str, qos: MqttQos, id: u32, retained: bool) {
        let now = self.now();
        self.session.subscribe(now, Token(token), filter, qos, id, retained).unwrap();
        self.until(|client| client.granted.contains_key(&token)).unwrap();
        assert_eq!(self.granted[&token], Ok(qos));
    }

    pub fn payloads(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message.payload.as_str()).collect()
    }
}
