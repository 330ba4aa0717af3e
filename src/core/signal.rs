//! What a radio says about a packet.

/// How well a packet was heard, as far as its link can tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signal {
    /// Received signal strength, dBm.
    pub rssi: Option<i16>,
    /// Link quality, in the radio's own measure; more is better.
    pub lqi: Option<u8>,
}

const _: () = assert!(size_of::<Signal>() == 6);
