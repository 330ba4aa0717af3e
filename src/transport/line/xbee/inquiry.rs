//! What a module is asked when its line has been opened: first its mode, again and again, then the
//! rest, one after the other.

use std::fmt::Write as _;
use std::time::Duration;

use crate::time::Time;
use crate::transport::framing::xbee::{Mode, ToModule, encode};

/// In this order: what is needed for sending comes first.
const QUESTIONS: [[u8; 2]; 9] =
    [*b"AP", *b"AO", *b"VR", *b"NP", *b"HV", *b"SH", *b"SL", *b"ID", *b"CH"];
/// How often a question is asked, but for the first.
const TRIES: u32 = 2;
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(1);
/// The same for the first question, which a module that is just starting does not answer: the first
/// pause, doubled with every try up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// With the first question unanswered so often, after 3.75 s, something is wrong.
const SILENT: u32 = 5;
/// With so many unanswered, after 0.75 s, it is not just slow.
const UNANSWERED: u32 = 3;
/// From [`SILENT`] on the question is asked so often at once. A module in mode 1 may take it for the rest of
/// a frame that was cut off when the gateway was killed.
const AT_ONCE: usize = 16;
/// Payload of 802.15.4 modules that do not know NP, octets.
const LEGACY_PAYLOAD: usize = 100;
/// No module carries less, octets.
const SMALLEST_PAYLOAD: u64 = 32;

/// What has come of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// It goes on, or there is nothing to ask.
    Nothing,
    /// The module has been silent for too long.
    Silent,
    /// The module has been asked everything.
    Done,
}

/// The questions and their answers.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    answers: [Answer; QUESTIONS.len()],
    /// Which is asked; none if there is no time for it.
    next: usize,
    /// Only the first one is asked.
    only_mode: bool,
    tries: u32,
    at: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Answer {
    #[default]
    None,
    /// The module does not know it.
    Refused,
    Is(u64),
}

impl Inquiry {
    /// Everything is to be asked at this time, or the mode alone.
    pub(super) fn begin(&mut self, at: Time, only_mode: bool) {
        let waits = self.at.is_some() && self.next == 0;
        self.only_mode = only_mode && (self.at.is_none() || self.only_mode);
        if !waits {
            (self.next, self.tries, self.at) = (0, 0, Some(at));
        }
    }

    /// Nothing is known of the module any more, and it is asked at this time.
    pub(super) fn restart(&mut self, at: Time) {
        *self = Self::default();
        self.begin(at, false);
    }

    /// Whether it has not answered for a while.
    pub(super) fn is_unanswered(&self) -> bool {
        self.next == 0 && self.tries >= UNANSWERED
    }

    /// Somebody is there: what is due later is due at this time.
    pub(super) fn hurry(&mut self, at: Time) {
        self.at = self.at.map(|due| due.min(at));
    }

    /// When [`Self::timeout`] wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Time> {
        self.at
    }

    /// Asks what is due.
    pub(super) fn timeout(&mut self, now: Time, mode: Option<Mode>, out: &mut Vec<u8>) -> Progress {
        if self.at.is_none_or(|at| at > now) {
            return Progress::Nothing;
        }
        if self.next > 0 && self.tries >= TRIES {
            self.tries = 0;
            self.next += 1;
        }
        let Some(command) = QUESTIONS.get(self.next) else {
            self.at = None;
            return Progress::Done;
        };
        self.tries = self.tries.saturating_add(1);
        let mut data = Vec::new();
        ToModule::Command { id: 1, command: *command, value: &[] }.write(&mut data);
        let times = if self.next == 0 && self.tries > SILENT { AT_ONCE } else { 1 };
        for _ in 0..times {
            // The first question is the same octets in both modes.
            encode(mode.unwrap_or(Mode::Plain), &data, out);
        }
        let pause = match self.next {
            0 => PAUSE_MIN.saturating_mul(1 << (self.tries - 1).min(10)).min(PAUSE_MAX),
            _ => ANSWER,
        };
        self.at = Some(now.after(pause));
        if self.next > 0 || self.tries != SILENT {
            return Progress::Nothing;
        }
        // Whoever answers then may be another one.
        self.only_mode = false;
        Progress::Silent
    }

    /// The module has answered.
    pub(super) fn answer(
        &mut self,
        now: Time,
        command: [u8; 2],
        status: u8,
        value: &[u8],
    ) -> Progress {
        if self.at.is_none() || QUESTIONS.get(self.next) != Some(&command) {
            return Progress::Nothing;
        }
        let answer = match number(value) {
            _ if status != 0 => Answer::Refused,
            Some(number) => Answer::Is(number),
            None => Answer::None,
        };
        let is_mode = matches!(answer, Answer::Is(mode) if Mode::from_number(mode).is_some());
        if self.next == 0 && !is_mode {
            return Progress::Nothing;
        }
        if let Some(place) = self.answers.get_mut(self.next) {
            *place = answer;
        }
        self.tries = 0;
        self.next += 1;
        if self.only_mode || self.next >= QUESTIONS.len() {
            self.at = None;
            return if self.only_mode { Progress::Nothing } else { Progress::Done };
        }
        self.at = Some(now);
        Progress::Nothing
    }

    /// Octets of the longest packet that the radio carries.
    pub(super) fn largest(&self) -> usize {
        match self.find(*b"NP") {
            Answer::Is(octets) if octets >= SMALLEST_PAYLOAD => {
                usize::try_from(octets).unwrap_or(usize::MAX)
            }
            Answer::Refused if self.is_legacy() => LEGACY_PAYLOAD,
            _ => usize::MAX,
        }
    }

    /// Whether it is known which kind of frames the module understands, or will not be known.
    pub(super) fn is_manner_known(&self) -> bool {
        let next = QUESTIONS.get(self.next);
        let is_past = next.is_none_or(|next| !matches!(next, b"AP" | b"AO" | b"VR"));
        is_past || self.at.is_none() || self.find(*b"VR") != Answer::None
    }

    /// Whether it is an 802.15.4 module that speaks in legacy frames.
    pub(super) fn is_legacy(&self) -> bool {
        /// First digit of the version of 802.15.4 firmware of S2C and XBee 3.
        const LATER_802_15_4: u64 = 2;
        match self.find(*b"AO") {
            Answer::Refused => true,
            Answer::Is(2) => {
                matches!(self.find(*b"VR"), Answer::Is(version) if version >> 12 == LATER_802_15_4)
            }
            _ => false,
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        let mut text = "XBee".to_owned();
        let mut add = |before: &str, number: Option<u64>, hex: bool, width: usize| {
            // Writing to a String does not fail.
            let _ = match number {
                Some(number) if hex => write!(text, "{before}{number:0width$X}"),
                Some(number) => write!(text, "{before}{number}"),
                None => Ok(()),
            };
        };
        let long = self.is(*b"SH").zip(self.is(*b"SL"));
        add(" ", long.map(|(high, low)| high << 32 | low), true, 16);
        add(", firmware ", self.is(*b"VR"), true, 4);
        add(", hardware ", self.is(*b"HV"), true, 4);
        add(", API mode ", self.is(*b"AP"), false, 0);
        add(", network ", self.is(*b"ID"), true, 0);
        add(", channel ", self.is(*b"CH"), true, 2);
        let largest = self.largest();
        let largest = (largest != usize::MAX).then_some(largest as u64);
        add(", largest payload ", largest, false, 0);
        text
    }

    fn find(&self, command: [u8; 2]) -> Answer {
        let all = QUESTIONS.iter().zip(&self.answers);
        let mut found = all.filter(|(question, _)| **question == command);
        found.next().map_or(Answer::None, |(_, answer)| *answer)
    }

    fn is(&self, command: [u8; 2]) -> Option<u64> {
        match self.find(command) {
            Answer::Is(number) => Some(number),
            Answer::None | Answer::Refused => None,
        }
    }
}

/// A parameter of up to eight octets.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 8 {
        return None;
    }
    Some(value.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
}
