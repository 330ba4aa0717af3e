//! Many devices with RadioHead at the other end of the line, for tools that play them.

use super::super::Settings;
use super::super::station::{Each, Outbox, Port, Station, To, Unsendable};
use super::{ACK, ACK_PAYLOAD, BROADCAST, LARGEST};
use crate::core::{Address, Signal};
use crate::time::Time;
use crate::transport::framing::Discarded;
use crate::transport::framing::rh_serial::{Decoder, Header, encode};

/// Devices in whose name datagrams are sent and acknowledged. What is not acknowledged to them they do
/// not repeat: MQTT-SN does.
///
/// [`To::One`] is the device that a packet comes from; what is taken comes with the address of the
/// device it is for, FF for all.
#[derive(Debug)]
pub struct RhDevices {
    /// Address of the gateway.
    gateway: u8,
    reliable: bool,
    max_packet: usize,
    decoder: Decoder,
    /// Last id that was used, and last id that was heard, by device.
    used: [u8; 256],
    heard: [Option<u8>; 256],
    /// Octets of frames that were whole and of no use.
    ignored: u64,
}

impl RhDevices {
    /// Who talk to the gateway with this address.
    #[must_use]
    pub fn new(settings: &Settings, gateway: u8) -> Self {
        let max_packet = settings.max_packet.min(LARGEST);
        Self {
            gateway,
            reliable: settings.rh_serial.reliable,
            max_packet,
            decoder: Decoder::new(max_packet),
            used: [0; 256],
            heard: [None; 256],
            ignored: 0,
        }
    }
}

impl Station for RhDevices {
    fn opened(&mut self, _: Time, _: &mut Outbox) {
        self.decoder.reset();
    }

    fn feed(&mut self, _: Time, _: Port, octets: &[u8], out: &mut Outbox, each: &mut Each<'_>) {
        let Self { gateway, reliable, decoder, heard, ignored, .. } = self;
        decoder.feed(octets, &mut |header, payload| {
            let Header { to, from, id, flags } = header;
            let address = Address::new(&[to]).filter(|_| from == *gateway && flags & ACK == 0);
            let (Some(address), Some(last)) = (address, heard.get_mut(usize::from(to))) else {
                if flags & ACK == 0 {
                    *ignored += header.encoded_len(payload) as u64;
                }
                return;
            };
            let again = to != BROADCAST && last.replace(id) == Some(id);
            if *reliable && to != BROADCAST {
                let ack = Header { to: from, from: to, id, flags: ACK };
                encode(ack, ACK_PAYLOAD, &mut out.octets);
            }
            if !again {
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
        if packet.len() > self.max_packet {
            return Err(Unsendable::TooLong);
        }
        let To::One(address) = to else { return Err(Unsendable::BadAddress) };
        let from = match *address.octets() {
            [from] if from != BROADCAST && from != self.gateway => from,
            _ => return Err(Unsendable::BadAddress),
        };
        let Some(id) = self.used.get_mut(usize::from(from)) else {
            return Err(Unsendable::BadAddress);
        };
        *id = id.checked_add(1).unwrap_or(1);
        encode(Header { to: self.gateway, from, id: *id, flags: 0 }, packet, &mut out.octets);
        Ok(())
    }

    fn largest(&self) -> usize {
        self.max_packet
    }

    fn discarded(&self) -> Discarded {
        let discarded = self.decoder.discarded();
        Discarded { octets: discarded.octets + self.ignored, ..discarded }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::bench::settings;
    use super::super::{RhSerial, RhSettings};
    use super::*;
    use crate::transport::framing::Framing;

    const PINGREQ: [u8; 2] = [2, 0x16];
    const PINGRESP: [u8; 2] = [2, 0x17];

    /// A gateway's end against it, with acknowledgements and without.
    #[test]
    fn both_ends_understand_each_other() {
        for reliable in [false, true] {
            let mut settings = settings(Framing::RhSerial, 60);
            settings.rh_serial = RhSettings { address: 1, reliable };
            let mut gateway = RhSerial::new(&settings, 7);
            let mut devices = RhDevices::new(&settings, 1);
            let (mut to_devices, mut to_gateway) = (Outbox::default(), Outbox::default());
            let (mut up, mut down) = (Vec::new(), Vec::new());
            for address in [2, 9, 254] {
                let address = Address::new(&[address]).unwrap();
                for _ in 0..3 {
                    let to = To::One(&address);
                    devices.send(Time(0), to, &PINGREQ, &mut to_gateway).unwrap();
                    let octets = std::mem::take(&mut to_gateway.octets);
                    gateway.feed(
                        Time(0),
                        Port::Main,
                        &octets,
                        &mut to_devices,
                        &mut |from, _, packet| {
                            up.push((*from, packet.to_vec()));
                        },
                    );
                    gateway.send(Time(0), to, &PINGRESP, &mut to_devices).unwrap();
                    // Twice, as if its acknowledgement was late.
                    let octets = std::mem::take(&mut to_devices.octets).repeat(2);
                    devices.feed(
                        Time(0),
                        Port::Main,
                        &octets,
                        &mut to_gateway,
                        &mut |to, _, packet| {
                            down.push((*to, packet.to_vec()));
                        },
                    );
                    let octets = std::mem::take(&mut to_gateway.octets);
                    gateway.feed(Time(0), Port::Main, &octets, &mut to_devices, &mut |_, _, _| {
                        panic!("acknowledgements");
                    });
                    assert!(gateway.takes(to));
                    assert_eq!((up.pop(), up.len()), (Some((address, PINGREQ.to_vec())), 0));
                    assert_eq!((down.pop(), down.len()), (Some((address, PINGRESP.to_vec())), 0));
                }
            }
            gateway.send(Time(0), To::All, &PINGREQ, &mut to_devices).unwrap();
            let octets = std::mem::take(&mut to_devices.octets);
            devices.feed(Time(0), Port::Main, &octets, &mut to_gateway, &mut |to, _, _| {
                down.push((*to, Vec::new()));
            });
            assert_eq!(down, [(Address::new(&[BROADCAST]).unwrap(), Vec::new())]);
            let delivered = if reliable { 9 } else { 0 };
            assert_eq!(gateway.outcomes().delivered, delivered);
            assert_eq!(devices.discarded(), Discarded::default());
            for wrong in [&[][..], &[1], &[BROADCAST], &[0, 9]] {
                let address = Address::new(wrong).unwrap();
                let sent = devices.send(Time(0), To::One(&address), &PINGREQ, &mut to_gateway);
                assert_eq!(sent, Err(Unsendable::BadAddress), "{wrong:?}");
            }
        }
    }
}
