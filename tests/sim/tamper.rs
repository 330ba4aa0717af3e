//! Sabotage at the gateway's boundary, to see that the judge notices.

use mqtt_sn_gateway::store::commit::Commit;

/// A datagram of the gateway and the address it goes to.
pub type Datagram = ([u8; 2], Vec<u8>);

/// Something that meddles with datagrams. The judge believes what it sees behind it.
pub trait Tamper {
    /// A datagram is about to reach the gateway; false keeps it away. What is pushed to `forged`
    /// leaves as if the gateway had sent it.
    fn incoming(&mut self, from: [u8; 2], bytes: &[u8], forged: &mut Vec<Datagram>) -> bool {
        let _ = (from, bytes, forged);
        true
    }

    /// What the gateway gets instead of a datagram from `from`.
    fn replaced(&mut self, from: [u8; 2], bytes: &[u8]) -> Option<Vec<u8>> {
        let _ = (from, bytes);
        None
    }

    /// What the gateway gets besides, and nobody has sent.
    fn injected(&mut self) -> Vec<Datagram> {
        Vec::new()
    }

    /// The gateway is told that a commit is written before it is.
    fn promises_early(&self) -> bool {
        false
    }

    /// The gateway is told that a commit is written, and it never is.
    fn loses(&mut self, commit: &Commit) -> bool {
        let _ = commit;
        false
    }

    /// What is written of a commit.
    fn rewritten(&mut self, commit: &mut Commit) {
        let _ = commit;
    }

    /// What the gateway is told of the room that a link has.
    fn room(&self, octets: u32) -> u32 {
        octets
    }

    /// Whether the gateway is told that a device has a connection.
    fn there(&self, there: bool) -> bool {
        there
    }

    /// The disk says that it has synced and has not.
    fn lies_about_syncs(&self) -> bool {
        false
    }

    /// Datagrams that the gateway sends.
    fn outgoing(&mut self, datagrams: &mut Vec<Datagram>) {
        let _ = datagrams;
    }
}

/// Hands off.
pub struct Honest;

impl Tamper for Honest {}
