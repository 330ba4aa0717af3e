//! The loop's end of a capture: encodes what it is shown into a buffer, and never waits.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::oneshot;
use tracing::{info, warn};

use super::pcapng::{self, Direction, Head};
use super::report::Report;
use super::wrap::{Network, Wrapping};
use super::writer::{self, Counts, ROOM, Shared, micros};
use super::{Choice, Setup};
use crate::codec::split_forwarder;
use crate::core::{Address, LinkId, Signal, glob_matches};
use crate::transport::hex::lower_hex;
use crate::transport::udp::Shown;

/// Seen by whoever opens a file without knowing what it needs.
const HINT_UDP: &str = "MQTT-SN packets of all links; Wireshark: Analyze > Decode As > UDP port 1883 is \
    MQTT-SN, or the option -d udp.port==1883,mqttsn. Payloads are included.";
const HINT_PDU: &str =
    "MQTT-SN packets of all links, for Wireshark 4.2 or newer. Payloads are included.";

/// A link, as a capture describes it.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Its name, as in the log.
    pub name: String,
    /// `udp`, `serial` or `ble`.
    pub kind: &'static str,
    /// How its devices are called.
    pub network: Network,
}

/// A packet as it went over a link.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// The link.
    pub link: LinkId,
    /// The device; everybody if `None`.
    pub device: Option<&'a Address>,
    /// From the device, not to it.
    pub received: bool,
    /// How well it was heard.
    pub signal: Signal,
    /// Its octets, those of a forwarder included.
    pub octets: &'a [u8],
    /// Whose it is, as far as known.
    pub client: Option<&'a str>,
}

/// A running capture.
#[derive(Debug)]
pub struct Recorder {
    wires: Vec<Wire>,
    /// Numbers of their interfaces; none where a link is not wanted.
    interfaces: Vec<Option<u32>>,
    choice: Choice,
    counts: Vec<Counts>,
    /// Whole blocks of this turn.
    pending: Vec<u8>,
    /// Octets that there is room for until they are handed over.
    room: usize,
    /// Octets in all.
    octets: u64,
    /// No more is taken.
    ending: bool,
    /// Something was left out since the last time that something was handed over, or ever.
    dropping: bool,
    warned: bool,
    shared: Arc<Shared>,
    done: Option<oneshot::Receiver<()>>,
    name: String,
    file: Option<PathBuf>,
    started: SystemTime,
}

impl Recorder {
    /// Begins, and says so in the log. `wires` are all links, in the order of their numbers.
    ///
    /// # Errors
    /// If the system has no room for another thread.
    pub fn start(setup: Setup, wires: Vec<Wire>) -> io::Result<Self> {
        let Setup { sink, choice } = setup;
        let (name, file, path) = (sink.name.clone(), sink.kept.as_ref(), sink.path());
        let file = file.map(|kept| kept.path().to_owned());
        let mut heads = Vec::new();
        let hint = match choice.wrapping {
            Wrapping::Udp => HINT_UDP,
            Wrapping::Pdu => HINT_PDU,
        };
        pcapng::section(&mut heads, hint);
        let mut next = 0;
        let interfaces = wires.iter().map(|wire| {
            let wanted = choice.link.as_ref().is_none_or(|link| glob_matches(link, &wire.name));
            wanted.then(|| {
                let link_type = choice.wrapping.link_type();
                pcapng::interface(&mut heads, link_type, &wire.name, wire.kind);
                next += 1;
                next - 1
            })
        });
        let interfaces: Vec<Option<u32>> = interfaces.collect();
        let (octets, room) = (heads.len(), ROOM.saturating_sub(heads.len()));
        // Before the thread looks: its time may be over at once.
        let shared = Arc::new(Shared::new(heads, next as usize));
        let done = Some(writer::start(sink, Arc::clone(&shared), choice.time)?);
        info!("capturing to {path}, payloads included");
        if next == 0 {
            let link = choice.link.as_deref().unwrap_or_default();
            warn!("no link has a name like {link:?}: nothing will be captured");
        }
        Ok(Self {
            wires,
            interfaces,
            counts: vec![Counts::default(); next as usize],
            octets: octets as u64,
            pending: Vec::new(),
            room,
            ending: false,
            dropping: false,
            warned: false,
            shared,
            done,
            name,
            file,
            started: SystemTime::now(),
            choice,
        })
    }

    /// Whether packets of this client are captured.
    fn wants(&self, client: Option<&str>) -> bool {
        match (&self.choice.client, client) {
            (None, _) => true,
            (Some(pattern), Some(client)) => glob_matches(pattern, client),
            (Some(_), None) => false,
        }
    }

    /// Takes a packet, if it is wanted and there is room. [`Self::hand_over`] follows before the loop
    /// sleeps.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        let link = usize::from(packet.link.0);
        let (Some(Some(interface)), Some(wire)) = (self.interfaces.get(link), self.wires.get(link))
        else {
            return;
        };
        if self.ending || !self.wants(packet.client) {
            return;
        }
        let start = self.pending.len();
        let direction = if packet.received { Direction::In } else { Direction::Out };
        let micros = micros(SystemTime::now());
        let head = Head { interface: *interface, micros, direction };
        let (device, gateway) = wire.network.ends(packet.device);
        let (from, to) = if packet.received { (device, gateway) } else { (gateway, device) };
        pcapng::packet(
            &mut self.pending,
            &head,
            |out| self.choice.wrapping.put(out, from, to, packet.octets),
            |out| comment(out, wire, packet),
        );
        let Some(counts) = self.counts.get_mut(*interface as usize) else { return };
        let octets = (self.pending.len() - start) as u64;
        if self.pending.len() > self.room {
            self.pending.truncate(start);
            counts.dropped += 1;
            self.dropping = true;
            return;
        }
        let reserved = self.counts.len() as u64 * pcapng::STATISTICS_LEN;
        if self.choice.max_bytes.is_some_and(|most| self.octets + octets + reserved > most) {
            self.pending.truncate(start);
            self.end("it has reached its largest size");
            return;
        }
        if let Some(counts) = self.counts.get_mut(*interface as usize) {
            counts.packets += 1;
        }
        self.octets += octets;
    }

    /// Gives the thread what was taken.
    pub fn hand_over(&mut self) {
        if self.pending.is_empty() && !self.dropping {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        // Its time is over, or it cannot be written.
        if state.end.is_some() || state.ended.is_some() {
            self.counts.clone_from(&state.counts);
            self.close();
            return;
        }
        if state.waiting.is_empty() {
            std::mem::swap(&mut state.waiting, &mut self.pending);
        } else {
            state.waiting.append(&mut self.pending);
        }
        state.counts.clone_from(&self.counts);
        self.room = ROOM.saturating_sub(state.waiting.len());
        drop(state);
        shared.tell();
        if std::mem::take(&mut self.dropping) && !std::mem::replace(&mut self.warned, true) {
            warn!(
                "the capture to {} is not written as fast as packets come: some will be missing in it",
                self.name
            );
        }
    }

    /// Takes no more packets. What was taken is still written.
    pub fn end(&mut self, why: &str) {
        if self.ending {
            return;
        }
        self.hand_over();
        self.close();
        self.shared.lock().end.get_or_insert_with(|| why.to_owned());
        self.shared.tell();
    }

    fn close(&mut self) {
        self.ending = true;
        self.pending = Vec::new();
    }

    /// Whether it takes packets.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.ending
    }

    /// Comes to an end when everything is written, or nothing can be.
    pub fn done(&mut self) -> Option<oneshot::Receiver<()>> {
        self.done.take()
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = self.shared.lock();
        let (packets, dropped) = self.counts.iter().fold((0, 0), |(packets, dropped), count| {
            (packets + count.packets, dropped + count.dropped)
        });
        Report {
            active: state.ended.is_none(),
            name: self.name.clone(),
            file: self.file.clone(),
            started: self.started,
            packets,
            bytes: if state.ended.is_some() { state.written } else { self.octets },
            written: state.written,
            dropped,
            choice: self.choice.clone(),
            stopped_because: state.ended.clone().or_else(|| state.end.clone()),
        }
    }
}

/// What the wrapping cannot say.
fn comment(out: &mut Vec<u8>, wire: &Wire, packet: &Packet<'_>) {
    let mut separator = "";
    let mut part = |name: &str, value: &dyn Display| {
        // A buffer takes everything.
        let _ = write!(out, "{separator}{name}{value}");
        separator = ", ";
    };
    part("", &wire.name);
    match packet.device {
        None => part("", &"to everybody"),
        Some(device) if device.octets().is_empty() => {}
        Some(device) => part("address ", &Shown(device)),
    }
    // A header is three octets and the node.
    if let Some(node) = split_forwarder(packet.octets).and_then(|(head, _)| head.get(3..)) {
        part("node ", &lower_hex(node));
    }
    if let Some(rssi) = packet.signal.rssi {
        part("RSSI ", &format_args!("{rssi} dBm"));
    }
    if let Some(lqi) = packet.signal.lqi {
        part("LQI ", &lqi);
    }
    if let Some(client) = packet.client {
        // Quoted, as everywhere.
        part("client ", &format_args!("{client:?}"));
    }
}
