//! Frames with escapes: mode 2.
//!
//! Whatever is wrong within a frame, the next 7E begins another one. No silence ends one: a module
//! that is held by flow control may go on later.

use super::{Discarded, ESCAPE, FLIP, Head, START, Sender, checksum, head};

/// Takes frames apart.
#[derive(Debug)]
pub(super) struct Decoder {
    from: Sender,
    pub(super) longest: usize,
    /// Length, data and checksum, without escapes.
    pub(super) frame: Vec<u8>,
    state: State,
    /// Octets of this frame on the line.
    pub(super) raw: u64,
    pub(super) discarded: Discarded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Between frames.
    Between,
    /// Between frames, and in a run of octets that is already counted as damage.
    Lost,
    /// In a frame.
    Within,
    /// In a frame, and the last octet was an escape.
    Escape,
}

impl Decoder {
    pub(super) fn new(from: Sender, longest: usize) -> Self {
        Self {
            from,
            longest,
            frame: Vec::new(),
            state: State::Between,
            raw: 0,
            discarded: Discarded::default(),
        }
    }

    pub(super) fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        for octet in octets {
            match (self.state, *octet) {
                (State::Within | State::Escape, START) => {
                    self.discarded.cut_off += 1;
                    self.throw_away(State::Within);
                    self.raw = 1;
                }
                (_, START) => {
                    self.state = State::Within;
                    self.raw = 1;
                }
                (State::Between | State::Lost, _) => {
                    self.discarded.damaged += u64::from(self.state == State::Between);
                    self.discarded.octets += 1;
                    self.state = State::Lost;
                }
                (State::Within, ESCAPE) => {
                    self.raw += 1;
                    self.state = State::Escape;
                }
                (State::Within, other) => self.push(other, each),
                (State::Escape, other) => self.push(other ^ FLIP, each),
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.throw_away(State::Between);
    }

    fn push(&mut self, octet: u8, each: &mut dyn FnMut(&[u8])) {
        self.raw += 1;
        self.state = State::Within;
        self.frame.push(octet);
        match head(&self.frame, self.from, self.longest) {
            Head::Open => {}
            Head::Noise => {
                self.discarded.damaged += 1;
                self.throw_away(State::Lost);
            }
            Head::Data(length) => {
                let (Some(data), Some(sum)) =
                    (self.frame.get(2..length + 2), self.frame.get(length + 2))
                else {
                    return;
                };
                if checksum(data) == *sum {
                    each(data);
                    self.raw = 0;
                } else {
                    self.discarded.damaged += 1;
                }
                self.throw_away(State::Between);
            }
        }
    }

    /// Forgets what has come of this frame.
    fn throw_away(&mut self, then: State) {
        self.discarded.octets += self.raw;
        self.raw = 0;
        self.frame.clear();
        self.state = then;
    }
}
