//! Frames of RadioHead's RH_Serial: `DLE STX`, four octets of header and the payload with every DLE
//! doubled, `DLE ETX`, and the FCS, most significant octet first and not stuffed.
//!
//! The FCS is the CRC-16/MCRF4XX of header and payload as they were before stuffing, and of the `DLE
//! ETX` behind them.

use super::Discarded;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const DLE: u8 = 0x10;
/// Octets of a header.
const HEADER: usize = 4;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Whom it is for.
    pub to: u8,
    /// Who has sent it.
    pub from: u8,
    /// Which of the sender's frames it is.
    pub id: u8,
    /// The upper four bits are RadioHead's own.
    pub flags: u8,
}

impl Header {
    /// Octets of a frame on the line.
    #[must_use]
    pub fn encoded_len(self, payload: &[u8]) -> usize {
        let Self { to, from, id, flags } = self;
        let doubled = |octets: &[u8]| octets.iter().filter(|octet| **octet == DLE).count();
        let stuffing = doubled(&[to, from, id, flags]) + doubled(payload);
        HEADER + payload.len() + stuffing + 6
    }
}

/// Appends a frame.
pub fn encode(header: Header, payload: &[u8], out: &mut Vec<u8>) {
    let Header { to, from, id, flags } = header;
    let mut fcs = Mcrf4xx::START;
    out.extend_from_slice(&[DLE, STX]);
    for octet in [to, from, id, flags].iter().chain(payload) {
        if *octet == DLE {
            out.push(DLE);
        }
        out.push(*octet);
        fcs.add(*octet);
    }
    for octet in [DLE, ETX] {
        out.push(octet);
        fcs.add(octet);
    }
    out.extend_from_slice(&fcs.value().to_be_bytes());
}

/// Takes frames apart.
#[derive(Debug)]
pub struct Decoder {
    max_packet: usize,
    /// Header and payload so far.
    frame: Vec<u8>,
    fcs: Mcrf4xx,
    state: State,
    /// The frame is too long and of no use.
    skip: bool,
    /// The last octet was outside of frames: the next one belongs to the same damage.
    lost: bool,
    /// Octets of this frame, as they came, that are not yet counted as thrown away.
    raw: u64,
    discarded: Discarded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Between frames.
    Outside,
    /// Between frames, after a DLE.
    Begin,
    Inside,
    /// In a frame, after a DLE.
    Escape,
    /// Before the FCS.
    Fcs,
    /// After its first octet, which is this one.
    FcsLow(u8),
}

impl Decoder {
    /// For payloads of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self {
            max_packet,
            frame: Vec::new(),
            fcs: Mcrf4xx::START,
            state: State::Outside,
            skip: false,
            lost: false,
            raw: 0,
            discarded: Discarded::default(),
        }
    }

    /// Takes what has come and gives each frame that is whole to `each`, with its payload.
    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Header, &[u8])) {
        for octet in octets {
            self.take(*octet, each);
        }
    }

    /// Forgets a frame that has begun.
    pub fn reset(&mut self) {
        self.throw_away();
        self.state = State::Outside;
        self.lost = false;
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.discarded
    }

    fn take(&mut self, octet: u8, each: &mut dyn FnMut(Header, &[u8])) {
        self.raw += 1;
        match (self.state, octet) {
            (State::Outside | State::Begin, DLE) => {
                // Of two in a row the second may be the one that counts.
                if self.state == State::Begin {
                    self.noise(1);
                }
                self.state = State::Begin;
            }
            (State::Begin, STX) => self.begin(),
            (State::Outside | State::Begin, _) => {
                self.state = State::Outside;
                self.noise(self.raw);
            }
            (State::Inside, DLE) => self.state = State::Escape,
            (State::Inside, other) => self.push(other),
            (State::Escape, DLE) => {
                self.state = State::Inside;
                self.push(DLE);
            }
            (State::Escape, ETX) => {
                self.fcs.add(DLE);
                self.fcs.add(ETX);
                self.state = State::Fcs;
            }
            // The end of the one that had begun was lost.
            (State::Escape, STX) => {
                if !self.skip {
                    self.discarded.cut_off += 1;
                }
                self.discarded.octets += self.raw - 2;
                self.raw = 2;
                self.begin();
            }
            (State::Escape, _) => self.damaged(),
            (State::Fcs, high) => self.state = State::FcsLow(high),
            (State::FcsLow(high), low) => self.end([high, low], each),
        }
    }

    fn begin(&mut self) {
        self.frame.clear();
        self.fcs = Mcrf4xx::START;
        self.skip = false;
        self.lost = false;
        self.state = State::Inside;
    }

    fn push(&mut self, octet: u8) {
        if self.skip {
            self.throw_away();
            return;
        }
        if self.frame.len() >= self.max_packet.saturating_add(HEADER) {
            self.discarded.overlong += 1;
            self.skip = true;
            self.throw_away();
            return;
        }
        self.frame.push(octet);
        self.fcs.add(octet);
    }

    fn end(&mut self, fcs: [u8; 2], each: &mut dyn FnMut(Header, &[u8])) {
        if self.skip {
            self.throw_away();
            self.state = State::Outside;
            return;
        }
        match *self.frame.as_slice() {
            [to, from, id, flags, ref payload @ ..]
                if self.fcs.value() == u16::from_be_bytes(fcs) =>
            {
                each(Header { to, from, id, flags }, payload);
                self.raw = 0;
                self.state = State::Outside;
            }
            _ => {
                // If this end was none, another frame may begin in what was taken for its FCS.
                self.raw -= 2;
                self.damaged();
                for octet in fcs {
                    self.take(octet, each);
                }
            }
        }
    }

    fn damaged(&mut self) {
        if !self.skip {
            self.discarded.damaged += 1;
        }
        self.throw_away();
        self.state = State::Outside;
        self.lost = true;
    }

    /// Octets that no frame begins with, of which one run is one damage.
    fn noise(&mut self, octets: u64) {
        self.discarded.damaged += u64::from(!self.lost);
        self.discarded.octets += octets;
        self.raw -= octets;
        self.lost = true;
    }

    fn throw_away(&mut self) {
        self.discarded.octets += self.raw;
        self.raw = 0;
    }
}

/// CRC-16/MCRF4XX, of octets that come one by one: least significant bit first.
#[derive(Clone, Copy, Debug)]
struct Mcrf4xx(u16);

impl Mcrf4xx {
    const START: Self = Self(0xFFFF);

    fn add(&mut self, octet: u8) {
        self.0 = (0..8).fold(self.0 ^ u16::from(octet), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x8408 }
        });
    }

    fn value(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests;
