//! A line with one device at its other end, or one forwarder, and nothing in between: packets in
//! frames, without an address.

use super::station::{Each, Outbox, Port, Station, To, Unsendable};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::{Decoder, Discarded, Framing};

/// Speaks one of the framings that have nothing but packets.
#[derive(Debug)]
pub(super) struct Plain {
    framing: Framing,
    decoder: Decoder,
    /// Whoever sits there has no address.
    nobody: Address,
}

impl Plain {
    pub(super) fn new(framing: Framing, max_packet: usize, baud: u32) -> Self {
        let decoder = Decoder::new(framing, max_packet, baud);
        Self { framing, decoder, nobody: Address::NONE }
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
        self.framing.encode(packet, &mut out.octets);
        Ok(())
    }

    fn discarded(&self) -> Discarded {
        self.decoder.discarded()
    }
}
