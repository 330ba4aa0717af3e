//! A line with one device at its other end, or one forwarder, and nothing in between: packets in
//! frames, without an address.

use super::station::{Each, Outbox, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::{Decoder, Discarded, Packing};

/// Speaks one of the framings that have nothing but packets.
#[derive(Debug)]
pub(super) struct Plain {
    packing: Packing,
    decoder: Decoder,
    /// Whoever sits there has no address.
    nobody: Address,
}

impl Plain {
    pub(super) fn new(packing: Packing, max_packet: usize, baud: u32) -> Self {
        let decoder = Decoder::new(packing, max_packet, baud);
        Self { packing, decoder, nobody: Address::NONE }
    }
}

impl Station for Plain {
    fn opened(&mut self, _: Time, _: &mut Outbox) {
        self.decoder.reset();
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], _: &mut Outbox, each: &mut Each<'_>) {
        self.decoder.feed(now, octets, &mut |packet| each(&self.nobody, Signal::default(), packet));
    }

    fn send(
        &mut self,
        _: Time,
        _: To<'_>,
        packet: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Unsendable> {
        self.packing.encode(packet, &mut out.octets);
        Ok(())
    }

    fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }
}
