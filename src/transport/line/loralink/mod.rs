//! LoRa modems as Paho's gateway has them (LoRaLink): one, or one that receives and one that sends.
//!
//! ```text
//! packet for 5   →
//!                ←   sent | no free channel | transmit timeout
//! ```
//!
//! One packet is under way. What the modem says of it has no number: an answer that comes after we
//! have given up counts for the next packet.

mod modem;

use std::time::Duration;

pub use modem::LoraModem;

use super::station::{Each, NoteKind, Outbox, Outcomes, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::loralink::{
    Decoder, FromModem, NO_FREE_CHANNEL, PACKET, SEND_TIMEOUT, SENT, ToModem,
};

/// Everybody.
const BROADCAST: u8 = 0xFF;
/// Most octets of a packet: 255 on the air, with PAN id, addresses, type and integrity code.
const LARGEST: usize = 246;
/// How long the modem may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Packets in a row of which the modem says nothing, after which something must be wrong.
const SILENT: u32 = 3;

/// Speaks with one modem, or with two.
#[derive(Debug)]
pub struct LoraLink {
    max_packet: usize,
    main: Decoder,
    send: Decoder,
    under_way: Option<UnderWay>,
    /// Packets in a row of which the modem has said nothing.
    silent: u32,
    told: bool,
    outcomes: Outcomes,
    /// Octets of frames that were whole and of no use.
    ignored: u64,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    to: u8,
    until: Time,
}

impl LoraLink {
    /// For packets of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self {
            max_packet,
            main: Decoder::new(max_packet),
            send: Decoder::new(max_packet),
            under_way: None,
            silent: 0,
            told: false,
            outcomes: Outcomes::default(),
            ignored: 0,
        }
    }

    /// Takes a frame of so many octets.
    fn take(&mut self, frame: FromModem<'_>, raw: u64, out: &mut Outbox, each: &mut Each<'_>) {
        let FromModem { source, rssi, kind, payload, .. } = frame;
        match kind {
            PACKET if (1..=254).contains(&source) => {
                let signal = Signal { rssi: Some(rssi), lqi: None };
                if let Some(address) = Address::new(&[source]) {
                    each(&address, signal, payload);
                }
            }
            SENT => self.answered(None, out),
            NO_FREE_CHANNEL => self.answered(Some("no free channel (81)"), out),
            SEND_TIMEOUT => self.answered(Some("it was not sent in time (82)"), out),
            // A device without an address, questions for the time, settings, a reset.
            _ => self.ignored += raw,
        }
    }

    /// The modem has sent what is under way, or says why not.
    fn answered(&mut self, why_not: Option<&str>, out: &mut Outbox) {
        self.silent = 0;
        let Some(UnderWay { to, .. }) = self.under_way.take() else { return };
        match why_not {
            None => self.outcomes.delivered += 1,
            Some(why) => {
                self.outcomes.failed += 1;
                out.note(NoteKind::Undelivered, format!("to {to:02X}: {why}"));
            }
        }
    }
}

impl Station for LoraLink {
    fn opened(&mut self, _: Time, _: &mut Outbox) {
        self.main.reset();
        self.send.reset();
        self.outcomes.unanswered += u64::from(self.under_way.take().is_some());
        self.silent = 0;
        self.told = false;
    }

    fn feed(&mut self, _: Time, port: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let unused = Decoder::new(0);
        match port {
            Port::Main => {
                let mut decoder = std::mem::replace(&mut self.main, unused);
                decoder.feed(octets, &mut |frame, raw| self.take(frame, raw, out, each));
                self.main = decoder;
            }
            Port::Send => {
                let mut decoder = std::mem::replace(&mut self.send, unused);
                decoder.feed(octets, &mut |frame, raw| self.take(frame, raw, out, each));
                self.send = decoder;
            }
        }
    }

    fn is_ready(&self) -> bool {
        self.under_way.is_none()
    }

    fn send(
        &mut self,
        now: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        if packet.len() > self.largest() {
            return Err(Unsendable::TooLong);
        }
        let to = match to {
            To::All => BROADCAST,
            To::One(address) => match *address.octets() {
                [to @ 1..=254] => to,
                _ => return Err(Unsendable::BadAddress),
            },
        };
        ToModem { destination: to, kind: PACKET, payload: packet }.encode(&mut out.octets);
        self.under_way = Some(UnderWay { to, until: now.after(PATIENCE) });
        Ok(())
    }

    fn next_timeout(&self) -> Option<Time> {
        self.under_way.map(|under_way| under_way.until)
    }

    fn timeout(&mut self, now: Time, out: &mut Outbox) {
        let Some(UnderWay { to, .. }) = self.under_way.take_if(|sent| sent.until <= now) else {
            return;
        };
        self.outcomes.unanswered += 1;
        self.silent += 1;
        let text = format!("to {to:02X}: the modem said nothing in {} s", PATIENCE.as_secs());
        out.note(NoteKind::Undelivered, text);
        if self.silent >= SILENT && !self.told {
            self.told = true;
            out.note(NoteKind::Trouble, SILENCE);
        }
    }

    fn largest(&self) -> usize {
        self.max_packet.min(LARGEST)
    }

    fn discarded(&self) -> Discarded {
        let (main, send) = (self.main.discarded(), self.send.discarded());
        Discarded {
            octets: main.octets + send.octets + self.ignored,
            damaged: main.damaged + send.damaged,
            overlong: main.overlong + send.overlong,
            cut_off: main.cut_off + send.cut_off,
        }
    }

    fn outcomes(&self) -> Outcomes {
        self.outcomes
    }
}

/// The modem says nothing.
const SILENCE: &str = "the modem has said nothing of the last packets. Is `baud` right (modems come \
    with 115200), and `send_device` the one that sends? If it is, switch the modem off and on";

#[cfg(test)]
mod tests;
