//! Every application message of a world. Its number is in its payload, so that whoever meets it
//! anywhere knows which one it is.

use crate::topics::Topic;

/// Number of an application message.
pub type MsgNo = usize;

/// Who made a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A sensor published it.
    Sensor(usize),
    /// It is a sensor's will.
    Will(usize),
    /// Another client of the broker published it.
    Outside,
}

/// An application message.
#[derive(Clone, Debug)]
pub struct AppMessage {
    pub origin: Origin,
    pub topic: Topic,
    /// −1, 0, 1, 2.
    pub qos: i8,
    pub retain: bool,
    pub payload: Vec<u8>,
}

/// All of them.
#[derive(Default)]
pub struct Ledger {
    messages: Vec<AppMessage>,
}

impl Ledger {
    /// A new message with `filler` more octets than it needs.
    pub fn create(
        &mut self,
        origin: Origin,
        topic: Topic,
        qos: i8,
        retain: bool,
        filler: usize,
    ) -> MsgNo {
        let number = self.messages.len();
        let mut payload = format!("#{number}#").into_bytes();
        payload.resize(payload.len() + filler, b'x');
        self.messages.push(AppMessage { origin, topic, qos, retain, payload });
        number
    }

    /// The message `number`.
    pub fn get(&self, number: MsgNo) -> &AppMessage {
        &self.messages[number]
    }

    /// Which message this payload is; `None` if it is none of ours, whole and unchanged.
    pub fn identify(&self, payload: &[u8]) -> Option<MsgNo> {
        let rest = payload.strip_prefix(b"#")?;
        let end = rest.iter().position(|octet| *octet == b'#')?;
        let number: MsgNo = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        (self.messages.get(number)?.payload == payload).then_some(number)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }
}
