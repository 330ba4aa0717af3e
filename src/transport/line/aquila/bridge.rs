//! The bridge's end of the line, for tools that play one.

use super::super::station::{Each, Outbox, Port, Station, To, Unsendable};
use super::{ACK, CONFIG, ENTER, LARGEST, LEAVE, NACK, PACKET, PAIR, is_device};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::aquila::{Decoder, encode};

/// Octets before a packet from the gateway: length, type, radius, address.
const HEAD: usize = 5;
/// How well it says that it hears everybody: −50 dBm, in the place of LQI, too.
const HEARD: u8 = 0xCE;

/// A bridge that sends everything at once and without loss. It takes any network and pairs nobody.
///
/// [`To::One`] is the device that a packet comes from; what is taken comes with the address of the
/// device it is for, 00FF for all.
#[derive(Debug)]
pub struct AquilaBridge {
    max_packet: usize,
    decoder: Decoder,
}

impl AquilaBridge {
    /// For packets of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        // CONFIG is longer than the shortest packets.
        Self { max_packet, decoder: Decoder::new(max_packet.saturating_add(HEAD).max(32)) }
    }
}

/// ACK, NACK, or what else has nothing but a type.
fn say(kind: u8, out: &mut Outbox) {
    encode(&[0, 0, 2, kind], &mut out.octets);
}

impl Station for AquilaBridge {
    fn opened(&mut self, _: Time, out: &mut Outbox) {
        self.decoder.reset();
        say(ACK, out);
        say(CONFIG, out);
    }

    fn feed(&mut self, _: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        self.decoder.feed(octets, &mut |frame| match *frame {
            [_, CONFIG, ..] => {}
            [_, PAIR, ENTER | LEAVE] => say(ACK, out),
            [_, PACKET, _, low, high, ref packet @ ..] => {
                say(ACK, out);
                if let Some(address) = Address::new(&[high, low]) {
                    each(&address, Signal::default(), packet);
                }
            }
            _ => say(NACK, out),
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
        let &[high, low] = from.octets() else { return Err(Unsendable::BadAddress) };
        if !is_device(u16::from_be_bytes([high, low])) {
            return Err(Unsendable::BadAddress);
        }
        let length = u8::try_from(HEAD + packet.len()).unwrap_or(u8::MAX);
        let head = [HEARD, HEARD, length, PACKET, 1, low, high];
        encode(&[&head[..], packet].concat(), &mut out.octets);
        Ok(())
    }

    fn largest(&self) -> usize {
        self.max_packet.min(LARGEST)
    }

    fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }
}
