//! The modem's end of the line, for tools that play one.

use super::super::station::{Each, Outbox, Port, Station, To, Unsendable};
use super::LARGEST;
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::loralink::{FromModem, HostDecoder, PACKET, SENT, ToModem};

/// How well it says that it hears everybody: dBm, and dB.
const HEARD: (i16, i16) = (-50, 9);

/// A modem that sends everything at once and without loss.
///
/// [`To::One`] is the device that a packet comes from; what is taken comes with the address of the
/// device it is for, FF for all.
#[derive(Debug)]
pub struct LoraModem {
    max_packet: usize,
    decoder: HostDecoder,
}

impl LoraModem {
    /// For packets of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self { max_packet, decoder: HostDecoder::new(max_packet) }
    }
}

fn say(source: u8, kind: u8, payload: &[u8], out: &mut Outbox) {
    let (rssi, snr) = HEARD;
    FromModem { source, rssi, snr, kind, payload }.encode(&mut out.octets);
}

impl Station for LoraModem {
    fn opened(&mut self, _: Time, _: &mut Outbox) {
        self.decoder.reset();
    }

    fn feed(&mut self, _: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        self.decoder.feed(octets, &mut |ToModem { destination, kind, payload }| {
            if kind != PACKET {
                return;
            }
            say(destination, SENT, &[], out);
            if let Some(address) = Address::new(&[destination]) {
                each(&address, Signal::default(), payload);
            }
        });
    }

    fn send(
        &mut self,
        _: Time,
        to: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        if packet.len() > self.largest() {
            return Err(Unsendable::TooLong);
        }
        let To::One(from) = to else { return Err(Unsendable::BadAddress) };
        let &[from @ 1..=254] = from.octets() else { return Err(Unsendable::BadAddress) };
        say(from, PACKET, packet, out);
        Ok(())
    }

    fn largest(&self) -> usize {
        self.max_packet.min(LARGEST)
    }

    fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }
}
