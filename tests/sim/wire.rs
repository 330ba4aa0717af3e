//! MQTT bytes, 3.1.1 and 5, as a broker reads and writes them: a reading of the standard that
//! shares no code with the session under test, and that is strict where a broker may be.

/// Protocol level of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// The four acknowledgements of a publication, by their names in the standard.
#[allow(clippy::enum_variant_names)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ack {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// PUBLISH.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    /// 0 at QoS 0.
    pub id: u16,
    pub payload: Vec<u8>,
    /// Subscription identifiers (MQTT 5).
    pub sub_ids: Vec<u32>,
}

/// Will of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Will {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
}

/// CONNECT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Connect {
    pub level: Level,
    pub clean: bool,
    pub client_id: String,
    pub will: Option<Will>,
    /// Receive Maximum (MQTT 5), 65,535 otherwise.
    pub receive_maximum: u16,
    /// Session Expiry Interval (MQTT 5), seconds.
    pub session_expiry: u32,
}

/// What the broker model understands of MQTT.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    Connect(Connect),
    ConnAck { present: bool, code: u8, receive_maximum: Option<u16> },
    Publish(Publish),
    Ack { kind: Ack, id: u16, code: u8 },
    Subscribe { id: u16, filters: Vec<(String, u8)>, sub_id: Option<u32> },
    SubAck { id: u16, codes: Vec<u8> },
    Unsubscribe { id: u16, filters: Vec<String> },
    UnsubAck { id: u16, codes: Vec<u8> },
    PingReq,
    PingResp,
    Disconnect { code: u8 },
}

type Read<T> = Result<T, String>;

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        if self.0.len() < count {
            return Err("packet ends too early".into());
        }
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Read<u16> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Read<u32> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    fn varint(&mut self) -> Read<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("variable byte integer too long".into())
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn string(&mut self) -> Read<String> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| "string is not UTF-8")?;
        if text.contains('\0') {
            return Err("string holds U+0000".into());
        }
        Ok(text.to_owned())
    }

    fn id(&mut self) -> Read<u16> {
        match self.u16()? {
            0 => Err("packet id 0".into()),
            id => Ok(id),
        }
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// The properties that matter to the model.
#[derive(Default)]
struct Properties {
    receive_maximum: Option<u16>,
    session_expiry: u32,
    sub_ids: Vec<u32>,
}

fn properties(cursor: &mut Cursor<'_>, level: Level) -> Read<Properties> {
    let mut found = Properties::default();
    if level == Level::V4 {
        return Ok(found);
    }
    let len = cursor.varint()? as usize;
    let mut inner = Cursor(cursor.take(len)?);
    while !inner.0.is_empty() {
        match inner.varint()? {
            0x0B => found.sub_ids.push(inner.varint()?),
            0x11 => found.session_expiry = inner.u32()?,
            0x21 => found.receive_maximum = Some(inner.u16()?),
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => drop(inner.u8()?),
            0x13 | 0x22 | 0x23 => drop(inner.u16()?),
            0x02 | 0x18 | 0x27 => drop(inner.u32()?),
            0x26 => drop((inner.string()?, inner.string()?)),
            0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => drop(inner.string()?),
            0x09 | 0x16 => drop(inner.bytes()?),
            other => return Err(format!("unknown property {other:#04x}")),
        }
    }
    Ok(found)
}

/// Takes one whole packet off the front of `input`; `None` if it is not all there yet. `level` is
/// that of the connection so far (a CONNECT says its own).
pub fn decode(input: &mut Vec<u8>, level: Level) -> Read<Option<Packet>> {
    let mut head = Cursor(input);
    let Ok(first) = head.u8() else { return Ok(None) };
    let len = match head.varint() {
        Ok(len) => len as usize,
        Err(_) if input.len() < 5 => return Ok(None),
        Err(error) => return Err(error),
    };
    if head.0.len() < len {
        return Ok(None);
    }
    let start = input.len() - head.0.len();
    let body: Vec<u8> = input.drain(..start + len).skip(start).collect();
    let mut cursor = Cursor(&body);
    let packet = parse(first, &mut cursor, level)
        .map_err(|error| format!("{error} in packet {first:#04x} {body:02x?}"))?;
    if !cursor.0.is_empty() {
        return Err(format!("{} octets too many in packet {first:#04x}", cursor.0.len()));
    }
    Ok(Some(packet))
}

fn parse(first: u8, c: &mut Cursor<'_>, level: Level) -> Read<Packet> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let wanted = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags != wanted {
        return Err(format!("flags {flags:#x}"));
    }
    Ok(match kind {
        1 => Packet::Connect(connect(c)?),
        2 => {
            let present = c.u8()? & 1 == 1;
            let code = c.u8()?;
            let receive_maximum = properties(c, level)?.receive_maximum;
            Packet::ConnAck { present, code, receive_maximum }
        }
        3 => Packet::Publish(publish(c, flags, level)?),
        4 => ack(c, Ack::PubAck, level)?,
        5 => ack(c, Ack::PubRec, level)?,
        6 => ack(c, Ack::PubRel, level)?,
        7 => ack(c, Ack::PubComp, level)?,
        8 => {
            let id = c.id()?;
            let sub_id = properties(c, level)?.sub_ids.first().copied();
            let mut filters = Vec::new();
            while !c.0.is_empty() {
                filters.push((c.string()?, c.u8()?));
            }
            if filters.is_empty() {
                return Err("no filter".into());
            }
            Packet::Subscribe { id, filters, sub_id }
        }
        9 => {
            let id = c.id()?;
            properties(c, level)?;
            Packet::SubAck { id, codes: c.rest().to_vec() }
        }
        10 => {
            let id = c.id()?;
            properties(c, level)?;
            let mut filters = Vec::new();
            while !c.0.is_empty() {
                filters.push(c.string()?);
            }
            if filters.is_empty() {
                return Err("no filter".into());
            }
            Packet::Unsubscribe { id, filters }
        }
        11 => {
            let id = c.id()?;
            properties(c, level)?;
            Packet::UnsubAck { id, codes: c.rest().to_vec() }
        }
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => {
            let code = if c.0.is_empty() { 0 } else { c.u8()? };
            if !c.0.is_empty() {
                properties(c, level)?;
            }
            Packet::Disconnect { code }
        }
        other => return Err(format!("packet type {other}")),
    })
}

fn connect(c: &mut Cursor<'_>) -> Read<Connect> {
    if c.string()? != "MQTT" {
        return Err("protocol name".into());
    }
    let level = match c.u8()? {
        4 => Level::V4,
        5 => Level::V5,
        other => return Err(format!("protocol level {other}")),
    };
    let flags = c.u8()?;
    if flags & 1 != 0 {
        return Err("reserved connect flag".into());
    }
    let _keep_alive = c.u16()?;
    let props = properties(c, level)?;
    let client_id = c.string()?;
    let mut will = None;
    if flags & 4 != 0 {
        properties(c, level)?;
        let topic = c.string()?;
        let payload = c.bytes()?.to_vec();
        will = Some(Will { topic, payload, qos: flags >> 3 & 3, retain: flags & 0x20 != 0 });
    }
    if flags & 0x80 != 0 {
        c.string()?;
    }
    if flags & 0x40 != 0 {
        c.bytes()?;
    }
    let receive_maximum = props.receive_maximum.unwrap_or(u16::MAX);
    let session_expiry = props.session_expiry;
    Ok(Connect { level, clean: flags & 2 != 0, client_id, will, receive_maximum, session_expiry })
}

fn publish(c: &mut Cursor<'_>, flags: u8, level: Level) -> Read<Publish> {
    let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if qos == 3 || dup && qos == 0 {
        return Err("illegal PUBLISH flags".into());
    }
    let topic = c.string()?;
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(format!("topic name {topic:?}"));
    }
    let id = if qos == 0 { 0 } else { c.id()? };
    let sub_ids = properties(c, level)?.sub_ids;
    Ok(Publish { dup, qos, retain, topic, id, payload: c.rest().to_vec(), sub_ids })
}

fn ack(c: &mut Cursor<'_>, kind: Ack, level: Level) -> Read<Packet> {
    let id = c.id()?;
    let mut code = 0;
    if level == Level::V5 && !c.0.is_empty() {
        code = c.u8()?;
        if !c.0.is_empty() {
            properties(c, level)?;
        }
    }
    Ok(Packet::Ack { kind, id, code })
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends what a broker sends.
///
/// # Panics
/// On packets that only clients send.
pub fn encode(packet: &Packet, level: Level, out: &mut Vec<u8>) {
    let v5 = level == Level::V5;
    let mut body = Vec::new();
    let first = match packet {
        Packet::ConnAck { present, code, receive_maximum } => {
            body.extend([u8::from(*present), *code]);
            match (v5, receive_maximum) {
                (true, Some(max)) => {
                    body.extend([3, 0x21]);
                    body.extend(max.to_be_bytes());
                }
                (true, None) => body.push(0),
                (false, _) => {}
            }
            0x20
        }
        Packet::Publish(p) => {
            put_text(&mut body, &p.topic);
            if p.qos > 0 {
                body.extend(p.id.to_be_bytes());
            }
            if v5 {
                let mut ids = Vec::new();
                for id in &p.sub_ids {
                    ids.push(0x0B);
                    put_varint(&mut ids, *id);
                }
                put_varint(&mut body, ids.len() as u32);
                body.extend(ids);
            }
            body.extend_from_slice(&p.payload);
            0x30 | u8::from(p.dup) << 3 | p.qos << 1 | u8::from(p.retain)
        }
        Packet::Ack { kind, id, code } => {
            body.extend(id.to_be_bytes());
            if v5 && *code != 0 {
                body.push(*code);
            }
            match kind {
                Ack::PubAck => 0x40,
                Ack::PubRec => 0x50,
                Ack::PubRel => 0x62,
                Ack::PubComp => 0x70,
            }
        }
        Packet::SubAck { id, codes } | Packet::UnsubAck { id, codes } => {
            body.extend(id.to_be_bytes());
            let sub = matches!(packet, Packet::SubAck { .. });
            if v5 {
                body.push(0);
            }
            if v5 || sub {
                body.extend_from_slice(codes);
            }
            if sub { 0x90 } else { 0xB0 }
        }
        Packet::PingResp => 0xD0,
        other => panic!("a broker does not send {other:?}"),
    };
    out.push(first);
    put_varint(out, body.len() as u32);
    out.extend(body);
}

/// Whether an MQTT filter covers a topic name.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}
