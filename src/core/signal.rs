//! How well a packet was heard.

/// What a radio says about a packet that it has received. Links without a radio say nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signal {
    /// Strength, dBm.
    pub rssi: Option<i16>,
    /// Quality, in the radio's own measure; more is better.
    pub lqi: Option<u8>,
}
