//! Listening to a module whose mode has to be found out.
//!
//! A mode is believed if both decoders have heard the same answer to AT AP: it is the same octets in
//! both modes. One decoder alone could be deceived by the payload of a packet, which is no frame in
//! the module's own mode but may look like one in the other.

use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::xbee::{Decoder, FromModule, Mode, Sender, write_answer};

/// Finds frames in the module's mode, as soon as that is known.
#[derive(Debug)]
pub(super) struct Hearing {
    mode: Option<Mode>,
    plain: Ear,
    escaped: Ear,
    /// What was thrown away while the mode was known.
    discarded: Discarded,
}

/// One mode's decoder, and what it has heard while the mode is not known.
#[derive(Debug)]
struct Ear {
    decoder: Decoder,
    answer: Option<Mode>,
    /// Octets of frames that nobody was given.
    unused: u64,
    /// Such frames.
    frames: u64,
}

impl Ear {
    fn new(mode: Mode, max_packet: usize, baud: u32) -> Self {
        let decoder = Decoder::new(mode, Sender::Module, max_packet, baud);
        Self { decoder, answer: None, unused: 0, frames: 0 }
    }

    /// Listens for the answer to AT AP.
    fn listen(&mut self, now: Time, octet: u8) {
        let Self { decoder, answer, unused, frames } = self;
        decoder.feed(now, &[octet], &mut |frame| match mode_in(frame) {
            Some(mode) => *answer = Some(mode),
            None => {
                *unused += frame.len() as u64;
                *frames += 1;
            }
        });
    }

    fn discarded(&self) -> Discarded {
        let discarded = self.decoder.discarded();
        Discarded { octets: discarded.octets + self.unused, ..discarded }
    }

    /// Begins anew.
    fn reset(&mut self) {
        self.decoder.reset();
        self.begin();
    }

    /// What was heard so far is accounted for.
    fn begin(&mut self) {
        self.decoder.take_discarded();
        (self.answer, self.unused, self.frames) = (None, 0, 0);
    }
}

impl Hearing {
    pub(super) fn new(max_packet: usize, baud: u32) -> Self {
        Self {
            mode: None,
            plain: Ear::new(Mode::Plain, max_packet, baud),
            escaped: Ear::new(Mode::Escaped, max_packet, baud),
            discarded: Discarded::default(),
        }
    }

    /// The module's mode.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Frames that came since the mode is not known, in whichever mode.
    pub(super) fn frames(&self) -> u64 {
        self.plain.frames + self.escaped.frames
    }

    /// The module may have another mode now, and a frame that has begun is over.
    pub(super) fn forget(&mut self) {
        match self.mode.take() {
            Some(mode) => {
                let decoder = &mut self.ear(mode).decoder;
                decoder.reset();
                let discarded = decoder.take_discarded();
                self.discarded = sum(self.discarded, discarded);
            }
            None => {
                self.plain.decoder.reset();
                self.escaped.decoder.reset();
                self.discarded = self.discarded();
            }
        }
        self.plain.reset();
        self.escaped.reset();
    }

    /// Gives each frame to `each`; while the mode is not known, none but the answer that tells it.
    pub(super) fn feed(&mut self, now: Time, octets: &[u8], each: &mut dyn FnMut(&[u8])) {
        let mut rest = octets;
        while self.mode.is_none()
            && let Some((octet, others)) = rest.split_first()
        {
            rest = others;
            self.plain.listen(now, *octet);
            self.escaped.listen(now, *octet);
            if let Some(mode) = self.plain.answer
                && self.escaped.answer == Some(mode)
            {
                self.learn(mode);
                let mut answer = Vec::new();
                write_answer(1, *b"AP", 0, &[mode.number()], &mut answer);
                each(&answer);
            }
        }
        let Some(mode) = self.mode else { return };
        let mut told = mode;
        let decoder = &mut self.ear(mode).decoder;
        decoder.feed(now, rest, &mut |frame| {
            told = mode_in(frame).unwrap_or(told);
            each(frame);
        });
        let discarded = decoder.take_discarded();
        self.discarded = sum(self.discarded, discarded);
        if told != mode {
            self.forget();
            self.mode = Some(told);
        }
    }

    /// What was thrown away. While the mode is not known, at least so much, whatever it is.
    pub(super) fn discarded(&self) -> Discarded {
        if self.mode.is_some() {
            return self.discarded;
        }
        let (one, other) = (self.plain.discarded(), self.escaped.discarded());
        let least = Discarded {
            octets: one.octets.min(other.octets),
            damaged: one.damaged.min(other.damaged),
            overlong: one.overlong.min(other.overlong),
            cut_off: one.cut_off.min(other.cut_off),
        };
        sum(self.discarded, least)
    }

    fn learn(&mut self, mode: Mode) {
        let (ear, other) = match mode {
            Mode::Plain => (&mut self.plain, &mut self.escaped),
            Mode::Escaped => (&mut self.escaped, &mut self.plain),
        };
        self.discarded = sum(self.discarded, ear.discarded());
        // The decoder goes on where it is.
        ear.begin();
        other.reset();
        self.mode = Some(mode);
    }

    fn ear(&mut self, mode: Mode) -> &mut Ear {
        match mode {
            Mode::Plain => &mut self.plain,
            Mode::Escaped => &mut self.escaped,
        }
    }
}

/// The mode that a frame tells, if it is the answer to AT AP.
fn mode_in(frame: &[u8]) -> Option<Mode> {
    match FromModule::parse(frame)? {
        FromModule::Answer { command, status: 0, value: &[number] } if command == *b"AP" => {
            Mode::from_number(number.into())
        }
        _ => None,
    }
}

fn sum(one: Discarded, other: Discarded) -> Discarded {
    Discarded {
        octets: one.octets + other.octets,
        damaged: one.damaged + other.damaged,
        overlong: one.overlong + other.overlong,
        cut_off: one.cut_off + other.cut_off,
    }
}
