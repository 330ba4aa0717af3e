//! The other end: a module with a network behind it, as a station. It plays what an XBee does towards
//! its host, so that devices can be played on its line.

use super::devices;
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::xbee::{
    BROADCAST, Decoder, Manner, Mode, NO_LONG, Node, Sender, ToModule, encode, write_answer,
    write_modem_status, write_received, write_status,
};
use crate::transport::line::station::{Each, Outbox, Port, Station, To, Unsendable};

/// Its own 64-bit address.
const OWN: u64 = 0x0013_A200_0000_0001;
/// How strongly it hears everybody, dBm.
const RSSI: i16 = -40;
/// Longest payload, octets: that of an S2C in a Zigbee network.
const PAYLOAD: u16 = 84;
/// Status of a command that it does not know, of a packet that is too large, and of what was done.
const UNKNOWN_COMMAND: u8 = 2;
const TOO_LARGE: u8 = 0x74;
const DONE: u8 = 0;
/// Modem status of a module that was switched on.
const RESET: u8 = 0;

/// A Zigbee module whose nodes are all within reach.
///
/// What its host sends comes out with the address of the node that it is for; 000000000000FFFF is
/// everybody. What is sent by a node, which may have any address of 8 or 2 octets, goes to the host.
#[derive(Debug)]
pub struct Module {
    mode: Mode,
    decoder: Decoder,
    max_packet: usize,
    /// A frame under construction.
    frame: Vec<u8>,
    /// Frames that were whole, and of no use.
    unused: Discarded,
}

impl Module {
    /// In this mode, for packets of at most `max_packet` octets, on a line with so many bits a second.
    #[must_use]
    pub fn new(mode: Mode, max_packet: usize, baud: u32) -> Self {
        Self {
            mode,
            decoder: Decoder::new(mode, Sender::Host, max_packet, baud),
            max_packet,
            frame: Vec::new(),
            unused: Discarded::default(),
        }
    }
}

impl Station for Module {
    fn opened(&mut self, _: Time, out: &mut Outbox) {
        self.decoder.reset();
        self.frame.clear();
        write_modem_status(RESET, &mut self.frame);
        encode(self.mode, &self.frame, &mut out.octets);
    }

    fn feed(&mut self, now: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let Self { mode, decoder, max_packet, frame, unused } = self;
        decoder.feed(now, octets, &mut |data| {
            frame.clear();
            match ToModule::parse(data) {
                Some(ToModule::Transmit { id, to, manner, payload }) => {
                    let too_large = payload.len() > PAYLOAD.into();
                    if let Some(address) = receiver(to)
                        && !too_large
                        && payload.len() <= *max_packet
                    {
                        each(&address, Signal::default(), payload);
                    }
                    if id != 0 {
                        let delivery = if too_large { TOO_LARGE } else { DONE };
                        write_status(id, manner, to.short, delivery, frame);
                    }
                }
                // There is no other module.
                Some(ToModule::Command { id: 0, .. } | ToModule::RemoteCommand { .. }) => {}
                Some(ToModule::Command { id, command, .. }) => answer(id, command, *mode, frame),
                None => unused.octets += data.len() as u64,
            }
            if !frame.is_empty() {
                encode(*mode, frame, &mut out.octets);
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
        let node = devices::node(from).ok_or(Unsendable::BadAddress)?;
        let manner = if node.long == NO_LONG { Manner::Legacy } else { Manner::Usual };
        self.frame.clear();
        write_received(node, manner, RSSI, packet, &mut self.frame);
        encode(self.mode, &self.frame, &mut out.octets);
        Ok(())
    }

    fn largest(&self) -> usize {
        PAYLOAD.into()
    }

    fn discarded(&self) -> Discarded {
        let discarded = self.decoder.discarded();
        Discarded { octets: discarded.octets + self.unused.octets, ..discarded }
    }
}

/// Tells a parameter.
fn answer(id: u8, command: [u8; 2], mode: Mode, frame: &mut Vec<u8>) {
    let own = OWN.to_be_bytes();
    let (high, low) = own.split_at(4);
    let (status, value): (u8, &[u8]) = match &command {
        b"AP" => (DONE, &[mode.number()]),
        b"NP" => (DONE, &PAYLOAD.to_be_bytes()),
        b"AO" => (DONE, &[0]),
        b"SH" => (DONE, high),
        b"SL" => (DONE, low),
        b"VR" => (DONE, &[0x40, 0x60]),
        b"HV" => (DONE, &[0x2E, 0x4E]),
        b"ID" => (DONE, &[0, 0, 0, 0, 0, 0, 0x12, 0x34]),
        b"CH" => (DONE, &[0x0C]),
        _ => (UNKNOWN_COMMAND, &[]),
    };
    write_answer(id, command, status, value, frame);
}

/// Whom a packet is for, as an address of the core.
fn receiver(to: Node) -> Option<Address> {
    match to {
        Node { long: BROADCAST, .. } => Address::new(&BROADCAST.to_be_bytes()),
        _ => devices::address(to),
    }
}
