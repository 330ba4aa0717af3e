//! What the messages say: who sent them, where to, and which one it is, in readable text.
//!
//! ```text
//! 1f2e3d4c 000017 001 1 00000042 0000001234567 qrstuvwxyzabc…
//! run      device slot QoS number microseconds  a filling that belongs to the number
//! ```

use std::io::Write;

use crate::codec::Qos;

/// Shortest message, octets: everything but the filling.
pub(super) const SHORTEST: usize = 45;

/// Most devices that have room in it.
pub(super) const MOST_DEVICES: usize = 999_999;

/// What a message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Label {
    /// Which run of the program it belongs to.
    pub(super) run: u32,
    /// Who published it.
    pub(super) device: usize,
    /// Which of its topics it was published to.
    pub(super) slot: usize,
    /// At which QoS.
    pub(super) qos: Qos,
    /// Counted by device, slot and QoS.
    pub(super) number: u32,
    /// When, in microseconds since the run began.
    pub(super) sent: u64,
}

impl Label {
    /// The message, `size` octets long.
    pub(super) fn write(&self, size: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(size);
        // Writing to memory does not fail.
        let _ = write!(
            payload,
            "{:08x} {:06} {:03} {} {:08} {:013} ",
            self.run,
            self.device,
            self.slot,
            qos_index(self.qos),
            self.number,
            self.sent
        );
        let filling = filling(self.number).take(size.saturating_sub(payload.len()));
        payload.extend(filling);
        payload
    }

    /// What a message says, if it is one of ours and complete.
    pub(super) fn read(payload: &[u8], size: usize) -> Option<Self> {
        let label = Self::read_head(payload)?;
        let rest = payload.get(SHORTEST..)?;
        let whole = payload.len() == size
            && rest.iter().copied().eq(filling(label.number).take(rest.len()));
        whole.then_some(label)
    }

    /// The same, whatever follows.
    pub(super) fn read_head(payload: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(payload.get(..SHORTEST)?).ok()?;
        let mut fields = head.strip_suffix(' ')?.split(' ');
        let mut field = |length: usize| fields.next().filter(|field| field.len() == length);
        let label = Self {
            run: u32::from_str_radix(field(8)?, 16).ok()?,
            device: field(6)?.parse().ok()?,
            slot: field(3)?.parse().ok()?,
            qos: qos_from_index(field(1)?.parse().ok()?)?,
            number: field(8)?.parse().ok()?,
            sent: field(13)?.parse().ok()?,
        };
        Some(label)
    }
}

fn filling(number: u32) -> impl Iterator<Item = u8> {
    (0..26_u8).cycle().skip((number % 26) as usize).map(|letter| b'a' + letter)
}

/// QoS 0, 1 or 2 as an index.
pub(super) fn qos_index(qos: Qos) -> usize {
    match qos {
        Qos::MinusOne | Qos::Zero => 0,
        Qos::One => 1,
        Qos::Two => 2,
    }
}

fn qos_from_index(index: usize) -> Option<Qos> {
    [Qos::Zero, Qos::One, Qos::Two].get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label =
        Label { run: 0x1f2e, device: 17, slot: 1, qos: Qos::Two, number: 42, sent: 1_234_567 };

    #[test]
    fn what_is_written_is_read() {
        for size in [SHORTEST, SHORTEST + 1, 64, 1_000] {
            let payload = LABEL.write(size);
            assert_eq!(payload.len(), size);
            assert_eq!(Label::read(&payload, size), Some(LABEL));
        }
        assert_eq!(
            String::from_utf8(LABEL.write(50)).unwrap(),
            "00001f2e 000017 001 2 00000042 0000001234567 qrstu"
        );
    }

    #[test]
    fn what_was_changed_on_the_way_is_noticed() {
        let payload = LABEL.write(64);
        assert_eq!(Label::read(&payload, 63), None);
        assert_eq!(Label::read(&payload[..63], 64), None);
        for index in 0..64 {
            let mut changed = payload.clone();
            changed[index] ^= 0x40;
            assert_ne!(Label::read(&changed, 64), Some(LABEL), "{index}");
        }
        assert_eq!(Label::read(b"", 0), None);
        assert_eq!(Label::read_head(&payload[..SHORTEST]), Some(LABEL));
    }
}
