//! The packets of the broker's side, by hand: nothing here is shared with the gateway.

/// What the gateway says to the broker. Packet ids are the first field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    Connect { client: String, clean: bool, will: bool },
    Publish(Publish),
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Subscribe { id: u16, filter: String, qos: u8, identifier: Option<u32>, retained: bool },
    Unsubscribe { id: u16, filter: String },
    Disconnect,
}

/// A message, either way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    /// Packet id; 0 at QoS 0.
    pub id: u16,
    pub payload: Vec<u8>,
    /// MQTT 5 subscription identifiers.
    pub identifiers: Vec<u32>,
    /// MQTT 5 message expiry, seconds.
    pub expiry: Option<u32>,
    /// MQTT 5 user properties of what the gateway says.
    pub user: Vec<(String, String)>,
}

/// Cuts fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(length);
        self.0 = rest;
        head
    }

    fn octet(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("two octets"))
    }

    fn varint(&mut self) -> usize {
        let mut value = 0;
        for position in 0..4 {
            let octet = self.octet();
            value |= usize::from(octet & 0x7F) << (7 * position);
            if octet & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn text(&mut self) -> String {
        let length = self.short();
        String::from_utf8(self.take(length.into()).to_vec()).expect("UTF-8")
    }

    /// MQTT 5 properties; nothing in 3.1.1.
    fn properties(&mut self, five: bool) -> Self {
        let length = if five { self.varint() } else { 0 };
        Reader(self.take(length))
    }
}

/// Takes a whole packet away from the front of `stream`.
pub fn take(stream: &mut Vec<u8>, five: bool) -> Option<Packet> {
    let mut reader = Reader(stream.get(1..)?);
    // Every length is complete: the gateway writes whole packets.
    let length = reader.varint();
    let first = stream[0];
    let body = reader.take(length).to_vec();
    let used = stream.len() - reader.0.len();
    stream.drain(..used);
    Some(decode(first, &body, five))
}

fn decode(first: u8, body: &[u8], five: bool) -> Packet {
    let mut reader = Reader(body);
    match first {
        0x10 => {
            assert_eq!(reader.text(), "MQTT");
            assert_eq!(reader.octet(), if five { 5 } else { 4 });
            let flags = reader.octet();
            reader.short();
            reader.properties(five);
            let client = reader.text();
            Packet::Connect { client, clean: flags & 2 != 0, will: flags & 4 != 0 }
        }
        0x30..0x40 => {
            let qos = first >> 1 & 3;
            let topic = reader.text();
            let id = if qos > 0 { reader.short() } else { 0 };
            let mut properties = reader.properties(five);
            let mut user = Vec::new();
            while !properties.0.is_empty() {
                assert_eq!(properties.octet(), 0x26, "user property");
                user.push((properties.text(), properties.text()));
            }
            let (dup, retain) = (first & 8 != 0, first & 1 != 0);
            let (payload, identifiers) = (reader.0.to_vec(), Vec::new());
            let expiry = None;
            Packet::Publish(Publish {
                dup,
                qos,
                retain,
                topic,
                id,
                payload,
                identifiers,
                expiry,
                user,
            })
        }
        0x40 => Packet::Puback(reader.short()),
        0x50 => Packet::Pubrec(reader.short()),
        0x62 => Packet::Pubrel(reader.short()),
        0x70 => Packet::Pubcomp(reader.short()),
        0x82 => {
            let id = reader.short();
            let mut properties = reader.properties(five);
            let marked = !properties.0.is_empty() && properties.octet() == 0x0B;
            let identifier = marked.then(|| properties.varint() as u32);
            let filter = reader.text();
            let options = reader.octet();
            let (qos, retained) = (options & 3, options & 0x30 != 0x20);
            Packet::Subscribe { id, filter, qos, identifier, retained }
        }
        0xA2 => {
            let id = reader.short();
            assert!(reader.properties(five).0.is_empty());
            Packet::Unsubscribe { id, filter: reader.text() }
        }
        0xE0 => Packet::Disconnect,
        other => panic!("the gateway sent a packet that begins with {other:#04x}"),
    }
}

/// A packet of the broker.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    varint(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// CONNACK that accepts. `maximum_qos`: what the broker takes in a publication (MQTT 5).
pub fn connack(five: bool, present: bool, maximum_qos: u8) -> Vec<u8> {
    match (five, maximum_qos) {
        (false, _) => packet(0x20, &[present.into(), 0]),
        (true, 2..) => packet(0x20, &[present.into(), 0, 0]),
        (true, qos) => packet(0x20, &[present.into(), 0, 2, 0x24, qos]),
    }
}

pub fn publish(five: bool, publish: &Publish) -> Vec<u8> {
    let mut body = (publish.topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(publish.topic.as_bytes());
    if publish.qos > 0 {
        body.extend_from_slice(&publish.id.to_be_bytes());
    }
    if five {
        let mut properties = Vec::new();
        if let Some(seconds) = publish.expiry {
            properties.push(0x02);
            properties.extend_from_slice(&seconds.to_be_bytes());
        }
        for identifier in &publish.identifiers {
            properties.push(0x0B);
            varint(&mut properties, *identifier as usize);
        }
        varint(&mut body, properties.len());
        body.extend_from_slice(&properties);
    }
    body.extend_from_slice(&publish.payload);
    let flags = u8::from(publish.dup) << 3 | publish.qos << 1 | u8::from(publish.retain);
    packet(0x30 | flags, &body)
}

fn acknowledgement(first: u8, id: u16, reason: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    // Success may be left out in MQTT 5, and has to be in 3.1.1.
    let body = [high, low, reason];
    packet(first, if reason == 0 { &body[..2] } else { &body })
}

pub fn puback(id: u16) -> Vec<u8> {
    acknowledgement(0x40, id, 0)
}

pub fn pubrec(id: u16) -> Vec<u8> {
    acknowledgement(0x50, id, 0)
}

pub fn pubrel(id: u16) -> Vec<u8> {
    acknowledgement(0x62, id, 0)
}

pub fn pubcomp(id: u16) -> Vec<u8> {
    acknowledgement(0x70, id, 0)
}

/// MQTT 5 PUBACK that refuses.
pub fn refusing_puback(id: u16) -> Vec<u8> {
    acknowledgement(0x40, id, 0x87)
}

/// MQTT 5 PUBREC that refuses.
pub fn refusing_pubrec(id: u16) -> Vec<u8> {
    acknowledgement(0x50, id, 0x87)
}

pub fn suback(five: bool, id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    if five { packet(0x90, &[high, low, 0, code]) } else { packet(0x90, &[high, low, code]) }
}

pub fn unsuback(five: bool, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    if five { packet(0xB0, &[high, low, 0, 0]) } else { packet(0xB0, &[high, low]) }
}
