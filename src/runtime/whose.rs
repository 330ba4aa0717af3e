//! Whose a packet is, where no address tells.

use std::ops::Range;

use crate::codec::{Message, decode, msg_type, peek};

/// The client that a CONNECT names: whoever it comes from, it is about that one.
#[inline]
pub(super) fn named(packet: &[u8]) -> Option<&str> {
    if !matches!(peek(packet), Some((msg_type::CONNECT, _))) {
        return None;
    }
    let Message::Connect(connect) = decode(packet).ok()?.message else { return None };
    std::str::from_utf8(connect.client_id).ok().filter(|id| !id.is_empty())
}

/// To whom the answers of this turn go that are for no client yet, or never will be: those who have sent a
/// CONNECT.
#[derive(Debug, Default)]
pub(super) struct Callers(Vec<(Range<usize>, Box<str>)>);

impl Callers {
    /// These effects came of a packet that names a client.
    pub(super) fn add(&mut self, effects: Range<usize>, packet: &[u8]) {
        if !effects.is_empty()
            && let Some(id) = named(packet)
        {
            self.0.push((effects, id.into()));
        }
    }

    /// Who has called for an effect.
    pub(super) fn of(&self, effect: usize) -> Option<&str> {
        let after = self.0.partition_point(|(range, _)| range.end <= effect);
        let (range, id) = self.0.get(after)?;
        range.contains(&effect).then_some(id)
    }

    /// The effects are carried out.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_names_its_client_and_nothing_else_does() {
        let connect = b"\x0A\x04\x04\x01\x00\x3Cdev1";
        assert_eq!(named(connect), Some("dev1"));
        for other in
            [&b"\x02\x16"[..], b"\x0A\x04\x04\x01\x00\x3Cdev", b"\x07\x04\x04\x01\x00\x3C\xFF"]
        {
            assert_eq!(named(other), None);
        }
        let mut callers = Callers::default();
        callers.add(2..2, connect);
        callers.add(3..5, connect);
        callers.add(5..7, b"\x02\x16");
        callers.add(7..8, connect);
        let of = |effect| callers.of(effect);
        assert_eq!(
            [2, 3, 4, 5, 7, 8].map(of),
            [None, Some("dev1"), Some("dev1"), None, Some("dev1"), None]
        );
    }
}
