//! Frames that begin with 7E, which is escaped within: a length of two octets, a body, and a sum, all
//! of them escaped. So Digi's API mode 2 has them. What is taken apart here are those of others, in
//! which the length counts the sum.

use super::Discarded;

pub(super) const START: u8 = 0x7E;
pub(super) const ESCAPE: u8 = 0x7D;
/// What is escaped: by ESCAPE before it, and this bit turned.
pub(super) const BIT: u8 = 0x20;

fn is_escaped(octet: u8) -> bool {
    matches!(octet, START | ESCAPE | 0x11 | 0x13)
}

/// What makes the sum of a body and itself FF.
pub(super) fn sum(body: &[u8]) -> u8 {
    !body.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet))
}

/// Appends a frame with this body, whose length counts the sum.
pub(super) fn encode(body: &[u8], out: &mut Vec<u8>) {
    put(u16::try_from(body.len() + 1).unwrap_or(u16::MAX), body, out);
}

/// Appends a frame with this body and a length that counts what it does.
pub(super) fn put(length: u16, body: &[u8], out: &mut Vec<u8>) {
    out.push(START);
    for octet in length.to_be_bytes().iter().chain(body).chain(&[sum(body)]) {
        if is_escaped(*octet) {
            out.extend_from_slice(&[ESCAPE, octet ^ BIT]);
        } else {
            out.push(*octet);
        }
    }
}

/// Takes frames apart.
#[derive(Debug)]
pub(super) struct Decoder {
    shortest: usize,
    longest: usize,
    /// Body so far.
    body: Vec<u8>,
    state: State,
    escape: bool,
    /// The last octet was outside of frames: the next one belongs to the same damage.
    lost: bool,
    /// Octets of this frame, as they came, that are not yet counted as thrown away.
    raw: u64,
    discarded: Discarded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Outside,
    /// Before the length.
    Length,
    /// After its first octet, which is this one.
    LengthLow(u8),
    /// Before or within a body of so many octets, or before its sum.
    Body(usize),
}

impl Decoder {
    /// For bodies of so many octets.
    pub(super) fn new(shortest: usize, longest: usize) -> Self {
        Self {
            shortest,
            longest,
            body: Vec::new(),
            state: State::Outside,
            escape: false,
            lost: false,
            raw: 0,
            discarded: Discarded::default(),
        }
    }

    /// Takes what has come and gives each body that is whole to `each`, with the octets of its frame.
    pub(super) fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(&[u8], u64)) {
        for octet in octets {
            self.take(*octet, each);
        }
    }

    /// Forgets a frame that has begun.
    pub(super) fn reset(&mut self) {
        self.give_up();
        self.lost = false;
    }

    /// What was thrown away so far.
    pub(super) fn discarded(&self) -> Discarded {
        self.discarded
    }

    fn take(&mut self, octet: u8, each: &mut dyn FnMut(&[u8], u64)) {
        if octet == START {
            if self.state != State::Outside {
                self.discarded.cut_off += 1;
            }
            self.give_up();
            self.raw = 1;
            self.state = State::Length;
            self.lost = false;
            return;
        }
        self.raw += 1;
        if self.state == State::Outside {
            self.discarded.damaged += u64::from(!self.lost);
            self.give_up();
            self.lost = true;
            return;
        }
        if octet == ESCAPE && !self.escape {
            self.escape = true;
            return;
        }
        let value = if self.escape { octet ^ BIT } else { octet };
        if self.escape && !is_escaped(value) {
            self.damaged();
            return;
        }
        self.escape = false;
        self.value(value, each);
    }

    /// Takes an octet of a frame, as it was before it was escaped.
    fn value(&mut self, value: u8, each: &mut dyn FnMut(&[u8], u64)) {
        match self.state {
            State::Outside => {}
            State::Length => self.state = State::LengthLow(value),
            State::LengthLow(high) => {
                let length = usize::from(u16::from_be_bytes([high, value]));
                match length.checked_sub(1) {
                    Some(body) if body > self.longest => {
                        self.discarded.overlong += 1;
                        self.give_up();
                        self.lost = true;
                    }
                    Some(body) if body >= self.shortest => self.state = State::Body(body),
                    _ => self.damaged(),
                }
            }
            State::Body(length) if self.body.len() < length => self.body.push(value),
            State::Body(_) => {
                if value == sum(&self.body) {
                    each(&self.body, self.raw);
                    self.raw = 0;
                    self.give_up();
                } else {
                    self.damaged();
                }
            }
        }
    }

    /// What follows is skipped until a frame begins.
    fn damaged(&mut self) {
        self.discarded.damaged += 1;
        self.give_up();
        self.lost = true;
    }

    fn give_up(&mut self) {
        self.discarded.octets += self.raw;
        self.raw = 0;
        self.body.clear();
        self.escape = false;
        self.state = State::Outside;
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> u64 {
        self.raw
    }
}
