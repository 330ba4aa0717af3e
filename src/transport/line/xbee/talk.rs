//! Frames to and fro: packets, what became of them, and what the module says of itself.

use std::time::Duration;

use super::devices::{self, Devices};
use super::inquiry::{Inquiry, Progress};
use super::window::{Slot, Window};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::xbee::words::{self, Fault};
use crate::transport::framing::xbee::{
    BROADCAST, Endpoints, FromModule, Manner, NO_SHORT, Node, ToModule,
};
use crate::transport::hex::hex;
use crate::transport::line::station::{Each, NoteKind, Outbox, Outcomes, To, Unsendable};

/// After so many packets in a row that a node did not get, what else waits for it is dropped.
const GIVE_UP: u32 = 2;
/// How long after it has restarted a module is asked again.
const RESTART: Duration = Duration::from_millis(100);
/// A module that says nothing about packets may be in another mode by now; it is asked so often.
const DOUBT: Duration = Duration::from_secs(10);
/// Profile of Digi, and the cluster of serial data in it. Others are for samples and services.
pub(super) const DIGI: u16 = 0xC105;
pub(super) const SERIAL_DATA: u16 = 0x0011;
/// Letters of a node's name that are shown.
const NAME: usize = 20;

/// What is said, and what is known of who says it.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) max_packet: usize,
    pub(super) baud: u32,
    pub(super) inquiry: Inquiry,
    pub(super) devices: Devices,
    pub(super) window: Window,
    /// A frame under construction.
    pub(super) frame: Vec<u8>,
    pub(super) outcomes: Outcomes,
    /// Frames that were whole, and of no use.
    pub(super) unused: Discarded,
    /// Types of such frames that the log knows of.
    told_types: [u64; 4],
    /// What the log knows of the module.
    told_module: String,
    /// The log knows that the module does not answer, or how it is.
    pub(super) told_trouble: bool,
    doubted: Option<Time>,
}

impl Talk {
    pub(super) fn new(max_packet: usize, baud: u32) -> Self {
        Self {
            max_packet,
            baud,
            inquiry: Inquiry::default(),
            devices: Devices::default(),
            window: Window::default(),
            frame: Vec::new(),
            outcomes: Outcomes::default(),
            unused: Discarded::default(),
            told_types: [0; 4],
            told_module: String::new(),
            told_trouble: false,
            doubted: None,
        }
    }

    /// Takes a frame.
    pub(super) fn take(&mut self, now: Time, data: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        match FromModule::parse(data) {
            Some(FromModule::Received { from, manner, rssi, payload }) if is_for_us(manner) => {
                self.receive(data, from, manner, rssi, payload, each);
            }
            Some(FromModule::Status { id, short, delivery }) => {
                if let Some(slot) = self.window.end(id) {
                    self.has_status(slot, short, delivery, out);
                }
            }
            Some(FromModule::Answer { command, status, value }) => {
                let progress = self.inquiry.answer(now, command, status, value);
                self.tell(progress, out);
            }
            Some(FromModule::ModemStatus(status)) => self.has_modem_status(now, status, out),
            Some(FromModule::Introduced { node, name }) => {
                let Some(address) = devices::address(node) else { return };
                self.devices.is_at(address, node.short);
                let text =
                    format!("{} has introduced itself as \"{}\"", name_of(&address), clean(name));
                out.note(NoteKind::Found, text);
            }
            // Nobody here has asked another module.
            Some(FromModule::Received { .. } | FromModule::RemoteAnswer { .. }) | None => {
                self.skip(data, out);
            }
        }
    }

    fn receive(
        &mut self,
        data: &[u8],
        from: Node,
        manner: Manner,
        rssi: Option<i16>,
        payload: &[u8],
        each: &mut Each<'_>,
    ) {
        let Some(address) = devices::address(from) else {
            self.unused.damaged += 1;
            self.unused.octets += data.len() as u64;
            return;
        };
        if payload.len() > self.max_packet {
            self.unused.overlong += 1;
            self.unused.octets += data.len() as u64;
            return;
        }
        self.devices.heard(address, from, manner);
        each(&address, Signal { rssi, lqi: None }, payload);
    }

    /// A frame that is not for us.
    fn skip(&mut self, data: &[u8], out: &mut Outbox) {
        self.unused.octets += data.len() as u64;
        let Some(kind) = data.first() else { return };
        let (word, bit) = (usize::from(kind / 64), 1 << (kind % 64));
        let Some(told) = self.told_types.get_mut(word).filter(|told| **told & bit == 0) else {
            return;
        };
        *told |= bit;
        let text = format!(
            "the module sends frames of type {kind:02X} ({}) that carry no packets; they are skipped",
            words::frame_type(*kind)
        );
        out.note(NoteKind::Found, text);
    }

    /// Writes the frame for a packet.
    pub(super) fn write(&mut self, now: Time, to: To<'_>, packet: &[u8]) -> Result<(), Unsendable> {
        let own = if self.inquiry.is_legacy() { Manner::Legacy } else { Manner::Usual };
        let (address, node, manner) = match to {
            To::All => (None, Node { long: BROADCAST, short: NO_SHORT }, own),
            To::One(address) => {
                let node = devices::node(address).ok_or(Unsendable::BadAddress)?;
                let (short, manner) = self.devices.find(*address);
                let short = if node.short == NO_SHORT { short } else { node.short };
                let manner = match manner {
                    Some(Manner::Explicit(endpoints)) => Manner::Explicit(endpoints.swapped()),
                    Some(manner) => manner,
                    None => own,
                };
                (Some(*address), Node { short, ..node }, manner)
            }
        };
        let is_doubtful = address.is_some_and(|address| self.devices.is_doubtful(&address));
        let id = self.window.begin(now, address, packet.len(), is_doubtful);
        self.frame.clear();
        ToModule::Transmit { id, to: node, manner, payload: packet }.write(&mut self.frame);
        Ok(())
    }

    /// The module has said what became of a packet.
    fn has_status(&mut self, slot: Slot, short: u16, delivery: u8, out: &mut Outbox) {
        let (fault, words) = words::delivery(delivery);
        if fault == Fault::None {
            self.outcomes.delivered += 1;
            if let Some(address) = slot.to {
                self.devices.arrived(address);
                self.devices.is_at(address, short);
            }
            return;
        }
        self.outcomes.failed += 1;
        let kind = if fault == Fault::Setup { NoteKind::Trouble } else { NoteKind::Undelivered };
        let text = format!(
            "{} octets to {}: {words} ({delivery:02X})",
            slot.octets,
            receiver(slot.to.as_ref())
        );
        out.note(kind, text);
        if fault == Fault::Node {
            self.has_failed(slot, out);
        }
    }

    fn has_failed(&mut self, slot: Slot, out: &mut Outbox) {
        if let Some(address) = slot.to
            && self.devices.failed(address) >= GIVE_UP
        {
            out.is_unreachable(address);
        }
    }

    fn has_modem_status(&mut self, now: Time, status: u8, out: &mut Outbox) {
        let words = words::modem_status(status);
        let (kind, what_to_do) = match status {
            0x01 => (NoteKind::Trouble, ". If that happens again, look at its power supply"),
            0x03 => (
                NoteKind::Trouble,
                ". It looks for it again; if it does not come back, see whether the coordinator runs",
            ),
            0x0D => (NoteKind::Trouble, ". It will not send; look at its power supply"),
            0x80.. => (NoteKind::Trouble, ". If that happens again, update its firmware"),
            _ => (NoteKind::Found, ""),
        };
        out.note(kind, format!("the module reports that {words} ({status:02X}){what_to_do}"));
        // It may have other settings now, and another network.
        match status {
            0x00 | 0x01 => {
                self.restarted();
                self.inquiry.begin(now.after(RESTART), false);
            }
            0x02 | 0x06 => self.inquiry.begin(now.after(RESTART), false),
            _ => {}
        }
    }

    /// What was under way is over.
    pub(super) fn restarted(&mut self) {
        self.outcomes.unanswered += self.window.clear();
    }

    /// Gives up packets of which the module has said nothing.
    pub(super) fn expire(&mut self, now: Time, out: &mut Outbox) {
        while let Some(slot) = self.window.expire(now) {
            self.outcomes.unanswered += 1;
            let to = receiver(slot.to.as_ref());
            let text = format!(
                "{} octets to {to}: the module has not said what became of them",
                slot.octets
            );
            out.note(NoteKind::Undelivered, text);
            self.has_failed(slot, out);
            if self.doubted.is_none_or(|doubted| now.since(doubted) >= DOUBT) {
                self.doubted = Some(now);
                self.inquiry.begin(now, true);
            }
        }
    }

    pub(super) fn tell(&mut self, progress: Progress, out: &mut Outbox) {
        match progress {
            Progress::Nothing => {}
            Progress::Done => {
                let news = std::mem::take(&mut self.told_trouble);
                let text = self.inquiry.describe();
                if news || text != self.told_module {
                    out.note(NoteKind::Found, &*text);
                    self.told_module = text;
                }
            }
            Progress::Silent if self.told_trouble => {}
            Progress::Silent => {
                self.told_trouble = true;
                let text = format!(
                    "the module answers no AT command: probably it is in transparent mode (AP=0), or \
                     its rate (BD) is not {} baud; set AP=2 and BD with XCTU and write them to the \
                     module, or `baud` under [[serial]]. It is asked again until it answers",
                    self.baud
                );
                out.note(NoteKind::Trouble, text);
            }
        }
    }
}

/// Whether a frame is from an application; other packets are for the network itself.
fn is_for_us(manner: Manner) -> bool {
    match manner {
        Manner::Explicit(Endpoints { destination, cluster, profile, .. }) => {
            destination != 0 && (profile != DIGI || cluster == SERIAL_DATA)
        }
        Manner::Usual | Manner::Legacy => true,
    }
}

fn receiver(address: Option<&Address>) -> String {
    address.map_or_else(|| "everybody".to_owned(), name_of)
}

fn name_of(address: &Address) -> String {
    hex(address.octets())
}

/// A name without what could spoil the log.
fn clean(name: &[u8]) -> String {
    let octets = name.iter().take(NAME);
    octets.map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '?' }).collect()
}
