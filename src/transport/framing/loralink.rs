//! Frames of the LoRa modems that Paho's gateway calls LoRaLink: escaped as in Digi's API mode 2,
//! with a different head in each direction. The length counts everything behind it, the sum too.

use super::{Discarded, escaped};

/// An MQTT-SN packet.
pub const PACKET: u8 = 0x40;
/// The modem has sent the frame.
pub const SENT: u8 = 0x80;
/// It has not: the channel was never free.
pub const NO_FREE_CHANNEL: u8 = 0x81;
/// It has not, and does not know why.
pub const SEND_TIMEOUT: u8 = 0x82;

/// Octets before the payload of a frame from the modem.
const HEAD: usize = 6;

/// A frame from the modem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FromModem<'a> {
    /// Which device has sent the payload.
    pub source: u8,
    /// Strength, dBm.
    pub rssi: i16,
    /// Signal to noise ratio, dB.
    pub snr: i16,
    /// Type.
    pub kind: u8,
    /// What the type says.
    pub payload: &'a [u8],
}

/// A frame for the modem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ToModem<'a> {
    /// For which device the payload is.
    pub destination: u8,
    /// Type.
    pub kind: u8,
    /// What the type says.
    pub payload: &'a [u8],
}

impl<'a> FromModem<'a> {
    /// Appends it as it goes on the line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (rssi, snr) = (self.rssi.to_be_bytes(), self.snr.to_be_bytes());
        let body = [&[self.source][..], &rssi, &snr, &[self.kind], self.payload].concat();
        escaped::encode(&body, out);
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, payload) = body.split_first_chunk::<HEAD>()?;
        let [source, rssi_high, rssi_low, snr_high, snr_low, kind] = *head;
        let rssi = i16::from_be_bytes([rssi_high, rssi_low]);
        let snr = i16::from_be_bytes([snr_high, snr_low]);
        Some(Self { source, rssi, snr, kind, payload })
    }
}

impl<'a> ToModem<'a> {
    /// Appends it as it goes on the line.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body = [&[self.destination, self.kind], self.payload].concat();
        escaped::encode(&body, out);
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (&[destination, kind], payload) = body.split_first_chunk()?;
        Some(Self { destination, kind, payload })
    }
}

/// Takes what a modem writes apart.
#[derive(Debug)]
pub struct Decoder(escaped::Decoder);

impl Decoder {
    /// For payloads of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self(escaped::Decoder::new(HEAD, max_packet.saturating_add(HEAD)))
    }

    /// Takes what has come and gives each frame that is whole to `each`, with its octets on the line.
    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(FromModem<'_>, u64)) {
        self.0.feed(octets, &mut |body, raw| {
            if let Some(frame) = FromModem::parse(body) {
                each(frame, raw);
            }
        });
    }

    /// Forgets a frame that has begun.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

/// Takes what a host writes apart, for the modem's end.
#[derive(Debug)]
pub struct HostDecoder(escaped::Decoder);

impl HostDecoder {
    /// For payloads of at most `max_packet` octets.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self(escaped::Decoder::new(2, max_packet.saturating_add(2)))
    }

    /// Takes what has come and gives each frame that is whole to `each`.
    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(ToModem<'_>)) {
        self.0.feed(octets, &mut |body, _| {
            if let Some(frame) = ToModem::parse(body) {
                each(frame);
            }
        });
    }

    /// Forgets a frame that has begun.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.0.discarded()
    }
}

#[cfg(test)]
mod tests;
