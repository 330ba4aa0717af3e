//! Whether a device has nothing more to say for now, as its packets tell.

use crate::codec::{msg_type, peek, split_forwarder};

/// What a device has announced, and where it stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Nap {
    /// It has gone to sleep and has not connected since (MQTT-SN 1.2 §6.14).
    announced: bool,
    resting: bool,
}

impl Nap {
    /// Asleep, and everything that it was to be told has been sent: it does not need its connection.
    pub(super) fn is_resting(self) -> bool {
        self.resting
    }

    /// It has gone to sleep, or said goodbye: if its connection ends now, that was to be expected.
    pub(super) fn is_announced(self) -> bool {
        self.announced
    }

    /// The device has sent this.
    pub(super) fn heard(&mut self, packet: &[u8]) {
        self.resting = false;
        match own(packet) {
            Some(msg_type::CONNECT) => self.announced = false,
            // Without a duration it is a goodbye, after which it does not need the connection either.
            Some(msg_type::DISCONNECT) => self.announced = true,
            _ => {}
        }
    }

    /// The device was sent this.
    pub(super) fn sent(&mut self, packet: &[u8]) {
        if self.announced
            && let Some(msg_type::DISCONNECT | msg_type::PINGRESP) = own(packet)
        {
            self.resting = true;
        }
    }
}

/// MsgType of a packet of the device itself: behind a forwarder there may be many, who do not sleep
/// together.
fn own(packet: &[u8]) -> Option<u8> {
    let (msg_type, _) = peek(packet).filter(|_| split_forwarder(packet).is_none())?;
    Some(msg_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_rests_from_the_end_of_what_it_was_told_to_its_next_word() {
        let mut nap = Nap::default();
        // An answered ping of a device that is awake means nothing.
        nap.heard(&[2, 0x16]);
        nap.sent(&[2, 0x17]);
        assert!(!nap.is_resting());
        nap.heard(&[4, 0x18, 0, 60]);
        assert!(!nap.is_resting(), "it waits for the answer");
        nap.sent(&[2, 0x18]);
        assert!(nap.is_resting());
        nap.heard(&[8, 0x16, b's', b'e', b'n', b's', b'o', b'r']);
        nap.sent(&[7, 0x0C, 0, 0, 1, 0, 0]);
        assert!(!nap.is_resting(), "it collects what waits");
        nap.sent(&[2, 0x17]);
        assert!(nap.is_resting());
        nap.heard(&[7, 0x04, 0, 1, 0, 60, b'x']);
        nap.sent(&[3, 0x05, 0]);
        nap.heard(&[2, 0x16]);
        nap.sent(&[2, 0x17]);
        assert!(!nap.is_resting(), "it has connected");
        // One of those behind a forwarder.
        nap.heard(&[4, 0xFE, 0, 7, 4, 0x18, 0, 60]);
        nap.sent(&[4, 0xFE, 0, 7, 2, 0x18]);
        assert!(!nap.is_resting());
    }
}
