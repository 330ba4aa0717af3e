//! `check --serial`: opens a device, asks what sits there, listens, and says what it found.

mod adapter;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::line::{Plan, Tell, Wire, open_port};
use crate::cli::link::block_on;
use crate::cli::{Failure, print};
use crate::codec::decode;
use crate::config::{self, Config};
use crate::core::{Address, Signal};
use crate::transport::framing::{Framing, guess};
use crate::transport::hex::hex;
use crate::transport::line::{End, NoteKind};
use crate::transport::serial::How;

/// Speeds that are tried on a device that nobody has described, most usual first.
const SPEEDS: [u32; 6] = [57_600, 115_200, 9_600, 38_400, 19_200, 230_400];
/// Framings whose other end answers when it is asked.
const ANSWERING: [Framing; 2] = [Framing::Hub, Framing::Xbee];
/// Senders that are listed.
const SENDERS: usize = 16;

/// What the arguments say.
pub(super) struct Wanted {
    pub(super) framing: Option<Framing>,
    pub(super) baud: Option<u32>,
    pub(super) listen: Duration,
}

/// What was heard with one speed and one framing.
#[derive(Default)]
struct Heard {
    /// What the line says of whoever sits there.
    found: Vec<String>,
    troubles: Vec<String>,
    /// Packets by sender, with the last signal.
    senders: BTreeMap<Vec<u8>, (u64, Signal)>,
    others: u64,
    sample: Vec<u8>,
    octets: u64,
    gone: bool,
}

impl Heard {
    fn packets(&self) -> u64 {
        self.others + self.senders.values().map(|(count, _)| count).sum::<u64>()
    }

    /// Something there speaks this framing.
    fn is_it(&self) -> bool {
        !self.found.is_empty() || self.packets() > 0
    }
}

/// Checks a device and prints what it is.
///
/// # Errors
/// It cannot be opened, or does not speak what was expected.
pub(super) fn check(device: &str, wanted: Wanted, config: &Config) -> Result<(), Failure> {
    let known = config.serial.iter().find(|link| &*link.device == device);
    let mut settings = match known {
        Some(link) => link.clone(),
        None => config::SerialLink::new(device),
    };
    print(&format!("{device}\n{}", adapter::describe(device)))?;
    if let Some(framing) = wanted.framing {
        settings.line.framing = framing;
    }
    if let Some(baud) = wanted.baud {
        settings.line.baud = baud;
    }
    let is_said = known.is_some() || wanted.framing.is_some();
    block_on(async {
        if is_said {
            let heard = listen(device, &settings, wanted.listen).await?;
            return tell(device, &settings, &heard, known.is_some());
        }
        let speeds = wanted.baud.map_or_else(|| SPEEDS.to_vec(), |baud| vec![baud]);
        search(device, settings, &speeds, wanted.listen).await
    })
}

/// Tries speeds and framings until something answers or is understood.
async fn search(
    device: &str,
    mut settings: config::SerialLink,
    speeds: &[u32],
    time: Duration,
) -> Result<(), Failure> {
    let mut garbage = 0;
    for baud in speeds {
        settings.line.baud = *baud;
        eprintln!("trying {baud} baud …");
        let mut sample = Vec::new();
        for framing in ANSWERING {
            settings.line.framing = framing;
            let heard = listen(device, &settings, time / ANSWERING.len() as u32).await?;
            if heard.is_it() {
                return tell(device, &settings, &heard, false);
            }
            sample.extend_from_slice(&heard.sample);
        }
        if let Some(found) = guess(&sample) {
            settings.line.framing = found.framing;
            let heard = listen(device, &settings, time).await?;
            return tell(device, &settings, &heard, false);
        }
        garbage += sample.len();
    }
    let text = if garbage == 0 {
        "Nothing answers, and nothing was heard. Devices that sleep are silent for long: --listen 5m \
         with --baud waits for one. A radio module in transparent mode is silent too; an XBee has to be \
         in API mode (AP=1 or 2)."
    } else {
        "Something is heard, but at no speed that was tried it makes sense. --baud tries another one; \
         see the manual of what sits there."
    };
    print(text)?;
    Err(Failure::silent())
}

/// Speaks on the line for a while as the gateway would, but for packets: none are sent.
async fn listen(
    device: &str,
    settings: &config::SerialLink,
    time: Duration,
) -> Result<Heard, Failure> {
    let how = How { baud: settings.line.baud, flow_control: settings.flow_control };
    let (device, line) = (device.to_owned(), settings.line.clone());
    let plan = Plan { device, settings: line, how, end: End::Host, peer: None };
    let port = open_port(&plan)?;
    sleep(settings.open_delay).await;
    let mut wire = Wire::on(port, plan, Tell::Nothing);
    let mut heard = Heard::default();
    let mut take = |from: &Address, signal, packet: &[u8]| heard.take(from, signal, packet);
    // It ends before the time is over only if the device goes away.
    let gone = async { while wire.receive(&mut take).await.is_ok() {} };
    heard.gone = tokio::time::timeout(time, gone).await.is_ok();
    for note in wire.take_notes() {
        match note.kind {
            NoteKind::Found => heard.found.push(note.text),
            NoteKind::Trouble => heard.troubles.push(note.text),
            NoteKind::Undelivered => {}
        }
    }
    let (sample, octets) = wire.heard();
    (heard.sample, heard.octets) = (sample.to_vec(), octets);
    Ok(heard)
}

impl Heard {
    fn take(&mut self, from: &Address, signal: Signal, packet: &[u8]) {
        if decode(packet).is_err() {
            return;
        }
        let known = self.senders.len() < SENDERS;
        match self.senders.get_mut(from.octets()) {
            Some((count, last)) => (*count, *last) = (*count + 1, signal),
            None if known => {
                self.senders.insert(from.octets().to_vec(), (1, signal));
            }
            None => self.others += 1,
        }
    }
}

/// Says what was heard, and what follows from it.
fn tell(
    device: &str,
    settings: &config::SerialLink,
    heard: &Heard,
    is_configured: bool,
) -> Result<(), Failure> {
    let (framing, baud) = (settings.line.framing, settings.line.baud);
    let mut text = format!("{baud} baud, framing {framing}\n");
    for line in &heard.found {
        let _ = writeln!(text, "  {line}");
    }
    let packets = heard.packets();
    if packets > 0 {
        let _ = writeln!(text, "  {packets} MQTT-SN packets heard:");
        for (address, (count, signal)) in &heard.senders {
            let _ = write!(text, "    {count} from {}", sender(address));
            let _ = match signal.rssi {
                Some(rssi) => writeln!(text, ", {rssi} dBm"),
                None => writeln!(text),
            };
        }
        if heard.others > 0 {
            let _ = writeln!(text, "    {} from others", heard.others);
        }
    }
    for line in &heard.troubles {
        let _ = writeln!(text, "  {line}");
    }
    if heard.gone {
        text.push_str("  The device went away meanwhile.\n");
    }
    let fits = heard.is_it();
    let found = if fits { None } else { guess(&heard.sample) };
    match found {
        _ if fits => {}
        Some(found) if found.framing != framing => {
            let _ = writeln!(
                text,
                "  {} octets heard, which are no {framing}: they look like framing {}.",
                heard.octets, found.framing
            );
        }
        _ if heard.octets > 0 => {
            let _ = writeln!(
                text,
                "  {} octets heard that make no sense: another speed, or another framing. Without \
                 --framing and --baud, for a device that is not in gateway.toml, they are searched for.",
                heard.octets
            );
        }
        _ => text.push_str(
            "  Nothing heard. Devices that sleep are silent for long; --listen 5m waits for one.\n",
        ),
    }
    if fits && !is_configured {
        let _ = write!(
            text,
            "In gateway.toml:\n\n  [[serial]]\n  device = \"{}\"\n  baud = {baud}\n  framing = \
             \"{framing}\"\n",
            adapter::lasting_name(device)
        );
    }
    print(text.trim_end())?;
    // Silence is no contradiction where nobody was asked.
    let is_wrong = heard.gone || found.is_some() || !heard.troubles.is_empty();
    let is_silent = !fits && (heard.octets > 0 || ANSWERING.contains(&framing));
    if is_wrong || is_silent { Err(Failure::silent()) } else { Ok(()) }
}

fn sender(address: &[u8]) -> String {
    if address.is_empty() {
        return "the other end".to_owned();
    }
    hex(address)
}
