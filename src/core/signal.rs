//! What a radio says about a packet.

/// How well a packet was heard, as far as its link can tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Signal {
    /// Received signal strength, dBm.
    pub rssi: Option<i8>,
    /// Link quality, 0 (worst) to 255 (best).
    pub lqi: Option<u8>,
}

const _: () = assert!(size_of::<Signal>() == 4);
