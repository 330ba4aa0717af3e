//! The header of a forwarder (MQTT-SN 1.2 §5.5), by which several devices share a line.

use super::decode::hex;
use crate::codec::{Encapsulation, MAX_NODE_ID_LEN, split_forwarder};

/// Length, MsgType and Ctrl.
const HEADER_LEN: usize = 3;

/// The header in front of a device's packets, to everybody in its own network only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Header(Vec<u8>);

impl Header {
    /// For a node id of at most 252 octets.
    pub(super) fn new(node_id: &[u8]) -> Option<Self> {
        let header = Encapsulation { radius: 0, node_id };
        let mut octets = vec![0; header.encoded_len()];
        header.encode(&mut octets).ok().map(|_| Self(octets))
    }

    /// A packet behind it.
    pub(super) fn wrap(&self, packet: &[u8]) -> Vec<u8> {
        [&self.0, packet].concat()
    }

    /// The packet in one that has come, if it is for this node.
    pub(super) fn unwrap<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let (node_id, inner) = split(packet)?;
        (self.0.get(HEADER_LEN..) == Some(node_id)).then_some(inner)
    }
}

/// Node id, and what is behind the header; `None` if there is none.
pub(super) fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, inner) = split_forwarder(packet)?;
    Some((header.get(HEADER_LEN..)?, inner))
}

/// A node id: octets in hex behind `0x`, or a text that stands for its own.
pub(super) fn node_id(text: &str) -> Result<Header, String> {
    let node_id = match text.strip_prefix("0x") {
        Some(digits) => hex::parse(digits)?,
        None => text.as_bytes().to_vec(),
    };
    if node_id.is_empty() {
        return Err("it cannot be empty".to_owned());
    }
    Header::new(&node_id).ok_or_else(|| format!("at most {MAX_NODE_ID_LEN} octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_the_node_is_taken_out() {
        let header = node_id("0xC00B").unwrap();
        let packet = header.wrap(&[2, 0x16]);
        assert_eq!(packet, [5, 0xFE, 0, 0xC0, 0x0B, 2, 0x16]);
        assert_eq!(header.unwrap(&packet), Some(&[2, 0x16][..]));
        assert_eq!(header.unwrap(&[5, 0xFE, 3, 0xC0, 0x0B, 2, 0x17]), Some(&[2, 0x17][..]));
        for other in
            [&[2, 0x16][..], &[4, 0xFE, 0, 0xC0, 2, 0x16], &[9, 0xFE, 0, 0xC0], &[2, 0xFE], &[]]
        {
            assert_eq!(header.unwrap(other), None, "{other:?}");
        }
    }

    #[test]
    fn nodes_are_hex_or_text() {
        assert_eq!(node_id("attic").unwrap().0, b"\x08\xFE\0attic");
        assert_eq!(node_id("0x0102"), node_id("0x01:02"));
        for text in ["", "0x", "0x123", "0xg0", &"x".repeat(253)] {
            assert!(node_id(text).is_err(), "{text}");
        }
        assert!(node_id(&"x".repeat(252)).is_ok());
    }
}
