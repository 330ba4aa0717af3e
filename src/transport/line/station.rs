//! What sits at the other end of a line: a device, a radio module, a hub. Each framing has a station
//! that knows how to talk to it.

use std::fmt;

use super::airtime::Ability;
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;

/// Which device of a link: a pair of modems has one for each direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// The one from which devices are heard, and to which everything is written if it is the only one.
    Main,
    /// `send_device`: what is written goes there, and it answers.
    Send,
}

/// Whom a packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum To<'a> {
    /// One device, by the address that came with a packet of it.
    One(&'a Address),
    /// Everybody.
    All,
}

/// Takes a packet, with where it came from and how it was heard.
pub type Each<'a> = dyn FnMut(&Address, Signal, &[u8]) + 'a;

/// Speaks with what sits at the other end of a line. Pure: fed with octets and the time.
///
/// It remembers what is bounded by the protocol: frames under way, and for a bounded number of devices
/// how to reach them. It never queues packets: [`Station::is_ready`] says whether it takes another.
pub trait Station: fmt::Debug + Send {
    /// The line has been opened: what was under way is over, and whoever sits there may have been
    /// restarted by it. Whatever is to be said first goes to `out`.
    fn opened(&mut self, now: Time, out: &mut Outbox);

    /// Takes what has come and gives each packet to `each`, none of them longer than the settings'
    /// `max_packet`, which also bounds what is kept of one that is not whole yet. Answers that the protocol of the line wants
    /// go to `out`.
    fn feed(&mut self, now: Time, port: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>);

    /// Whether it takes another packet now. It may change with whatever comes in, and with time.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether it takes another packet for this receiver, if [`Self::is_ready`]: one that cannot be
    /// reached is passed over, so that others need not wait for it.
    fn takes(&self, to: To<'_>) -> bool {
        let _ = to;
        true
    }

    /// Puts a packet on the line, as whole frames. Called only while [`Self::is_ready`] and it
    /// [`Self::takes`] packets for this receiver.
    ///
    /// # Errors
    /// If the packet cannot be sent at all; it is dropped and counted.
    fn send(
        &mut self,
        now: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable>;

    /// When [`Self::timeout`] wants to be called.
    fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// The time given by [`Self::next_timeout`] has come.
    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// Octets of the longest packet that can be sent, as far as it is known by now.
    fn largest(&self) -> usize {
        usize::MAX
    }

    /// What the radio has said that it can and may do.
    fn ability(&self) -> Ability {
        Ability::default()
    }

    /// What has come in and was thrown away.
    fn discarded(&self) -> Discarded;

    /// What the radio has said about what was sent.
    fn outcomes(&self) -> Outcomes {
        Outcomes::default()
    }
}

/// Why a packet cannot be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsendable {
    /// It is longer than [`Station::largest`].
    TooLong,
    /// This is no address of the line.
    BadAddress,
}

/// What became of packets that were sent, where the protocol of the line tells.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcomes {
    /// Packets that the radio has sent, or that arrived.
    pub delivered: u64,
    /// Packets that it could not deliver.
    pub failed: u64,
    /// Packets of which it said nothing in time.
    pub unanswered: u64,
    /// Packets that the station sent again of its own accord.
    pub repeated: u64,
}

/// What a station leaves to be done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Whole frames for the line, in order.
    pub octets: Vec<u8>,
    notes: Vec<Note>,
    unreachable: Vec<Address>,
}

/// Most notes between two rounds; a flood is told by counters.
const MAX_NOTES: usize = 16;

impl Outbox {
    /// Something that the operator wants to know.
    pub fn note(&mut self, kind: NoteKind, text: impl Into<String>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(Note { kind, text: text.into() });
        }
    }

    /// A device does not get what it is sent: what waits for it would take the radio's time from
    /// others, and fill the queue. It is dropped, as if it had been lost on the air.
    pub fn is_unreachable(&mut self, device: Address) {
        self.unreachable.push(device);
    }

    pub(super) fn take_unreachable(&mut self) -> Option<Address> {
        self.unreachable.pop()
    }

    /// Whether there are notes.
    pub fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Takes the notes out.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// Something that the operator wants to know, without the name of the line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// Which.
    pub kind: NoteKind,
    /// In words, as the rest of a sentence after "serial /dev/…: ".
    pub text: String,
}

/// What kind of note; the log has a limit for each.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NoteKind {
    /// What sits there, and what it is set to. Info.
    Found,
    /// A packet could not be delivered. Debug: radios lose packets.
    Undelivered,
    /// It does not do what it should. Warn.
    Trouble,
}
