//! What was on a serial line, frame by frame.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{Decoder, Trouble, hex, pcap};
use crate::cli::explain;
use crate::codec::MAX_MESSAGE_LEN;
use crate::transport::framing::{Fault, Frame, Framing, Piece, What, guess, pieces};

/// Longest capture that is read, octets: as hex it may be three times as long.
const LONGEST_CAPTURE: usize = 16 * 1024 * 1024;

/// Octets of a capture by which its framing is guessed.
const SAMPLE: usize = 64 * 1024;

/// Octets of noise that are shown.
const NOISE: usize = 16;

/// `auto`, or a framing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Auto,
    This(Framing),
}

pub(super) fn which() -> impl TypedValueParser<Value = Which> {
    let words = Framing::WORDS.iter().map(|(word, _)| *word);
    PossibleValuesParser::new(words.chain(["auto"])).map(|found| {
        let framing = Framing::WORDS.iter().find(|(word, _)| *word == found);
        framing.map_or(Which::Auto, |(_, framing)| Which::This(*framing))
    })
}

/// What came that might have been on a serial line, if none of it is a packet by itself.
#[derive(Default)]
pub(super) struct Stray {
    /// Octets that were given in hex.
    pub(super) given: Vec<u8>,
    /// The input itself.
    pub(super) input: Vec<u8>,
    /// There were packets.
    pub(super) packets: bool,
}

impl Stray {
    /// Keeps the first ones.
    pub(super) fn keep(kept: &mut Vec<u8>, octets: &[u8]) {
        let room = SAMPLE.saturating_sub(kept.len());
        kept.extend_from_slice(octets.get(..room).unwrap_or(octets));
    }

    /// With which arguments it would have been understood.
    pub(super) fn hint(&self) -> Option<String> {
        if self.packets {
            return None;
        }
        let (found, raw) = match guess(&self.given) {
            Some(found) => (found, ""),
            None => (guess(&self.input)?, "--raw "),
        };
        Some(format!(
            "this is not a packet a line, but looks like what is on a serial line: try {raw}--framing \
             {} ({} % of the octets fit)",
            found.framing, found.percent
        ))
    }
}

impl<W: Write> Decoder<'_, W> {
    /// Takes each input for what was on a line.
    pub(super) fn line_inputs(&mut self) -> Result<(), Trouble> {
        let inputs = &self.arguments.inputs;
        let raw = self.arguments.raw;
        if inputs.is_empty() {
            return self.line_stdin();
        }
        if !raw && inputs.iter().all(|input| hex::looks_like(input)) {
            let octets = text("the arguments", inputs.join(" ").as_bytes())?;
            return self.line("the arguments", &octets);
        }
        for input in inputs {
            if input == "-" {
                self.line_stdin()?;
            } else {
                let file = File::open(Path::new(input))
                    .map_err(|error| Trouble::Input(format!("cannot open {input}: {error}")))?;
                self.line_input(input, BufReader::new(file))?;
            }
        }
        Ok(())
    }

    fn line_stdin(&mut self) -> Result<(), Trouble> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            eprintln!("What was on the line, in hex; Ctrl-D ends.");
        }
        self.line_input("standard input", stdin.lock())
    }

    fn line_input(&mut self, name: &str, input: impl Read) -> Result<(), Trouble> {
        let most = LONGEST_CAPTURE * if self.arguments.raw { 1 } else { 3 };
        let mut octets = Vec::new();
        let read = input.take(most as u64 + 1).read_to_end(&mut octets);
        read.map_err(|error| Trouble::Input(format!("{name}: {error}")))?;
        if octets.len() > most {
            return Err(Trouble::Input(format!("{name}: more than {most} octets")));
        }
        if octets.first_chunk().is_some_and(|magic| pcap::is_capture(*magic)) {
            return Err(Trouble::Input(format!(
                "{name}: this is a capture of a network, not of a serial line: leave out --framing \
                 and --raw"
            )));
        }
        if !self.arguments.raw {
            octets = text(name, &octets)?;
        }
        self.line(name, &octets)
    }

    /// One capture.
    fn line(&mut self, name: &str, octets: &[u8]) -> Result<(), Trouble> {
        if octets.is_empty() {
            return Err(Trouble::Input(format!("{name}: nothing was on the line")));
        }
        let framing = match self.arguments.framing {
            Some(Which::This(framing)) => framing,
            Some(Which::Auto) | None => {
                let Some(found) = guess(octets.get(..SAMPLE).unwrap_or(octets)) else {
                    return Err(Trouble::Input(format!(
                        "{name}: no framing fits at least half of the octets; is the speed of the \
                         line right, and are the octets of one direction only? --framing names one"
                    )));
                };
                eprintln!(
                    "{name}: framing {} fits {} % of the octets",
                    found.framing, found.percent
                );
                found.framing
            }
        };
        let mut outcome = Ok(());
        pieces(framing, MAX_MESSAGE_LEN, octets, &mut |piece| {
            if outcome.is_ok() {
                outcome = self.piece(&piece, octets);
            }
        });
        Ok(outcome?)
    }

    fn piece(&mut self, piece: &Piece, octets: &[u8]) -> io::Result<()> {
        let Piece { at, length, what } = piece;
        let before = format!("{at:>6} {length:>5}  ");
        let own = octets.get(*at..at.saturating_add(*length)).unwrap_or(&[]);
        let words = match what {
            What::Frame(Frame { says, packet: Some(packet) }) => {
                let colon = if says.is_empty() { "" } else { ": " };
                return self.packet(&format!("{before}{says}{colon}"), packet, "");
            }
            What::Frame(Frame { says, packet: None }) => says.clone(),
            What::Unreadable(why) => format!("not understood: {why}: {}", shown(own)),
            What::Noise(Fault::Damaged) => format!("noise, or a damaged frame: {}", shown(own)),
            What::Noise(Fault::Overlong) => format!("longer than any packet: {}", shown(own)),
            What::Noise(Fault::CutOff) => format!("cut off by another frame: {}", shown(own)),
            What::Rest => format!("no whole frame: {}", shown(own)),
        };
        self.bad += u64::from(matches!(what, What::Unreadable(_) | What::Noise(_)));
        writeln!(self.out, "{before}{words}")
    }
}

/// Octets in hex, with comments, on as many lines as there are.
fn text(name: &str, text: &[u8]) -> Result<Vec<u8>, Trouble> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before));
    let mut octets = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let found = hex::parse(line.trim()).map_err(|why| {
            Trouble::Input(format!(
                "{name}: line {number}: {why}; if these are the octets themselves, add --raw"
            ))
        })?;
        octets.extend_from_slice(&found);
    }
    Ok(octets)
}

/// The first octets of noise.
fn shown(octets: &[u8]) -> String {
    let more = if octets.len() > NOISE { " …" } else { "" };
    format!("{}{more}", explain::hex(octets.get(..NOISE).unwrap_or(octets)))
}
