//! `decode`: packets in words, from hex or from a capture.

mod fields;
mod frame;
pub(super) mod hex;
mod line;
mod pcap;

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, explain};
use crate::capture::is_made_up;
use crate::codec;
use line::{Stray, Which};
use pcap::Remarks;

/// Explain MQTT-SN packets given in hex, those in a capture file, or what was on a serial line
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mqtt-sn-gateway decode 0b0c000011000032312e35
  mqtt-sn-gateway decode -v '0B 0C 20 00 11 00 02 32 31 2E 35'
  mqtt-sn-gateway decode < packets.txt      one packet a line, # for comments
  mqtt-sn-gateway decode --port 10000 radio.pcapng
  tcpdump -w - udp port 1883 | mqtt-sn-gateway decode
  mqtt-sn-gateway run --capture - | mqtt-sn-gateway decode
  mqtt-sn-gateway decode --framing slip C0 02 16 C0 C0 02 17 C0
  mqtt-sn-gateway decode --framing auto log.txt    what was on a serial line, in hex
  mqtt-sn-gateway decode --framing cobs --raw octets.bin
  timeout 9 cat /dev/ttyUSB1 | mqtt-sn-gateway decode --raw    what comes in 9 seconds

Spaces, colons and 0x in hex do not matter. Captures are pcap or pcapng with Ethernet, Linux \
cooked, raw IP or loopback frames; what is not UDP from or to one of the ports is passed over. What a \
capture of the gateway (run --capture) says of a packet stands behind it: link, address, client.

With --framing an input is what was on a serial line, in one direction: lines and spaces in hex \
do not matter, and # begins a comment. Each frame is on a line of its own, behind the number of \
octets before it and the number of its own. What is no frame is shown, too. --framing auto tries \
all, and says which one fits best.

The exit code is 1 if a packet was malformed, a line had noise, or the input could not be read.")]
pub struct Arguments {
    /// Packets in hex, or files with packets: text or captures. Without any, standard input
    #[arg(value_name = "HEX|FILE")]
    inputs: Vec<String>,

    /// Show every field with its offset and octets
    #[arg(short, long)]
    verbose: bool,

    /// What was on a serial line, with this framing; auto: whichever fits
    #[arg(long, value_name = "FRAMING", value_parser = line::which())]
    framing: Option<Which>,

    /// Files and standard input have the octets of a serial line themselves, not hex
    #[arg(long)]
    raw: bool,

    /// In captures, look at datagrams from or to this port; may be given several times
    #[arg(long, value_name = "PORT", default_values_t = [1883])]
    port: Vec<u16>,
}

/// Longest line of text that is read, octets: a packet of 65,535 octets with room to spare.
const LONGEST_LINE: u64 = 512 * 1024;

/// Runs the command.
///
/// # Errors
/// A packet is malformed, or the input cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let stdout = io::stdout().lock();
    let out = io::BufWriter::new(stdout);
    let mut decoder = Decoder { out, arguments, bad: 0, stray: Stray::default() };
    let on_line = arguments.raw || arguments.framing.is_some();
    let outcome = if on_line { decoder.line_inputs() } else { decoder.inputs() };
    let outcome = outcome.and_then(|()| Ok(decoder.out.flush()?));
    match outcome {
        Ok(()) if decoder.bad == 0 => Ok(()),
        Ok(()) => {
            if let Some(hint) = decoder.stray.hint() {
                eprintln!("{hint}");
            }
            Err(Failure::silent())
        }
        // Whoever read our output has seen enough.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Trouble::Output(error)) => Err(Failure::run(format!("cannot write: {error}"))),
        Err(Trouble::Input(text)) => Err(Failure::run(text)),
    }
}

/// What stops the command.
enum Trouble {
    Output(io::Error),
    Input(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

struct Decoder<'a, W> {
    out: W,
    arguments: &'a Arguments,
    /// Packets that were malformed, and lines that were no packets.
    bad: u64,
    stray: Stray,
}

impl<W: Write> Decoder<'_, W> {
    fn inputs(&mut self) -> Result<(), Trouble> {
        let inputs = &self.arguments.inputs;
        if inputs.is_empty() {
            return self.stdin();
        }
        // `decode 02 16` without quotes is one packet.
        let octet = |input: &String| matches!(hex::parse(input), Ok(octets) if octets.len() == 1);
        if inputs.len() > 1 && inputs.iter().all(octet) {
            return Ok(self.text(&inputs.join(" "))?);
        }
        for input in inputs {
            if input == "-" {
                self.stdin()?;
            } else if hex::looks_like(input) {
                self.text(input)?;
            } else {
                self.file(&PathBuf::from(input))?;
            }
        }
        Ok(())
    }

    fn stdin(&mut self) -> Result<(), Trouble> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            eprintln!("One packet in hex a line; Ctrl-D ends.");
        }
        self.stream("standard input", stdin.lock())
    }

    fn file(&mut self, path: &Path) -> Result<(), Trouble> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| {
            Trouble::Input(format!(
                "cannot open {name}: {error} (it is not hex, so taken for a file)"
            ))
        })?;
        self.stream(&name, BufReader::new(file))
    }

    /// Text or a capture: the first four octets tell.
    fn stream(&mut self, name: &str, mut input: impl BufRead) -> Result<(), Trouble> {
        let unreadable = |error: io::Error| Trouble::Input(format!("{name}: {error}"));
        let mut magic = Vec::new();
        input.by_ref().take(4).read_to_end(&mut magic).map_err(unreadable)?;
        if let Ok(magic) = magic.as_slice().try_into()
            && pcap::is_capture(magic)
        {
            return self.capture(name, pcap::Reader::new(magic, input).map_err(unreadable)?);
        }
        let mut input = magic.as_slice().chain(input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            match count.map_err(unreadable)? as u64 {
                0 => return Ok(()),
                LONGEST_LINE if line.last() != Some(&b'\n') => {
                    return Err(Trouble::Input(format!(
                        "{name}: a line is longer than {LONGEST_LINE} bytes"
                    )));
                }
                _ => {
                    Stray::keep(&mut self.stray.input, &line);
                    self.text(String::from_utf8_lossy(&line).trim_end())?;
                }
            }
            // Somebody may be typing, or a program waiting for the answer.
            self.out.flush()?;
        }
    }

    /// A line of text: a packet, a comment, both or nothing.
    fn text(&mut self, line: &str) -> io::Result<()> {
        let (packet, comment) = match line.split_once('#') {
            Some((packet, comment)) => (packet, Some(comment)),
            None => (line, None),
        };
        let comment = comment.map(|comment| printable(&format!("#{comment}")));
        if packet.trim().is_empty() {
            return writeln!(self.out, "{}", comment.unwrap_or_default());
        }
        let comment = comment.map(|comment| format!("  {comment}")).unwrap_or_default();
        match hex::parse(packet.trim()) {
            Ok(octets) => {
                Stray::keep(&mut self.stray.given, &octets);
                self.stray.packets |= codec::decode(&octets).is_ok();
                self.packet("", &octets, &comment)
            }
            Err(reason) => {
                self.bad += 1;
                writeln!(self.out, "not a packet: {reason}{comment}")
            }
        }
    }

    fn packet(&mut self, before: &str, octets: &[u8], after: &str) -> io::Result<()> {
        match codec::decode(octets) {
            Ok(packet) => {
                let long = octets.first() == Some(&1) && octets.len() < 256;
                let long = if long { " (long form)" } else { "" };
                writeln!(self.out, "{before}{}{long}{after}", explain::packet(&packet))?;
            }
            Err(error) => {
                self.bad += 1;
                writeln!(self.out, "{before}malformed: {error}{after}")?;
            }
        }
        if self.arguments.verbose {
            for field in fields::fields(octets) {
                writeln!(self.out, "{}", field.line())?;
            }
        }
        Ok(())
    }

    fn capture(&mut self, name: &str, mut reader: pcap::Reader<impl Read>) -> Result<(), Trouble> {
        let mut first = None;
        let mut number = 0_u64;
        let mut unknown: Option<u16> = None;
        let mut passed_over = PassedOver::default();
        loop {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    passed_over.tell(name, &self.arguments.port);
                    return Ok(());
                }
                Err(error) => {
                    return Err(Trouble::Input(format!("{name}: after frame {number}: {error}")));
                }
            };
            number += 1;
            let (datagram, sure) = match frame::parse(record.link_type, &record.frame) {
                frame::Content::Udp(datagram) => (datagram, false),
                frame::Content::MqttSn(datagram) => (datagram, true),
                frame::Content::Other => continue,
                frame::Content::UnknownLink(link) => {
                    if unknown.replace(link) != Some(link) {
                        eprintln!(
                            "{name}: frame {number} has link type {link}, which is passed over; {}",
                            frame::UNDERSTOOD
                        );
                    }
                    continue;
                }
            };
            let ports = &self.arguments.port;
            let (from, to) = (datagram.from.port(), datagram.to.port());
            if !sure && !ports.contains(&from) && !ports.contains(&to) {
                passed_over.datagrams += 1;
                passed_over.example = to;
                continue;
            }
            passed_over.found = true;
            let time = record
                .nanos
                .map_or_else(|| "-".to_owned(), |now| seconds(now, *first.get_or_insert(now)));
            let (before, after) = (before(&record.remarks, &datagram), after(&record.remarks));
            let before = format!("{number:>6} {time:>12}  {before}");
            if datagram.cut {
                writeln!(self.out, "{before}only a part of the datagram was captured{after}")?;
                continue;
            }
            self.packet(&before, datagram.payload, &after)?;
            // It may come from something that still runs.
            self.out.flush()?;
        }
    }
}

/// Which way a datagram went, and from where to where; radios have no addresses that would tell anybody
/// anything, and comments for that.
fn before(remarks: &Remarks, datagram: &frame::Udp<'_>) -> String {
    let way = match remarks.inbound {
        Some(true) => "in   ",
        Some(false) => "out  ",
        None => "",
    };
    let (from, to) = (datagram.from, datagram.to);
    if is_made_up(from.ip()) || is_made_up(to.ip()) {
        return way.to_owned();
    }
    format!("{way}{from} → {to}  ")
}

/// The interface and the comment, which may begin with it.
fn after(remarks: &Remarks) -> String {
    let comment = remarks.comment.as_deref().unwrap_or("");
    let interface = remarks.interface.as_deref().unwrap_or("");
    let text = match (interface.is_empty(), comment.is_empty()) {
        (true, true) => return String::new(),
        (false, true) => printable(interface),
        (false, false) if !comment.starts_with(interface) => {
            printable(&format!("{interface}: {comment}"))
        }
        (_, false) => printable(comment),
    };
    format!("  # {text}")
}

/// UDP datagrams of a capture that are from and to other ports.
#[derive(Default)]
struct PassedOver {
    datagrams: u64,
    /// Where one of them went.
    example: u16,
    /// There were others, which were shown.
    found: bool,
}

impl PassedOver {
    /// Who sees nothing shall know why.
    fn tell(&self, name: &str, ports: &[u16]) {
        if self.found {
            return;
        }
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let ports = ports.join(", ");
        match self.datagrams {
            0 => eprintln!("{name}: no UDP datagrams in this capture"),
            count => eprintln!(
                "{name}: none of its {count} UDP datagrams is from or to port {ports}; --port names \
                 another (one of them went to port {})",
                self.example
            ),
        }
    }
}

/// Time since the first packet, seconds with six places.
fn seconds(now: u64, first: u64) -> String {
    let (sign, nanos) = if now < first { ("-", first - now) } else { ("", now - first) };
    format!("{sign}{}.{:06}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1_000)
}

/// Text without control characters, which a terminal might obey.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}
