//! The gateway at the other end of a serial line.

use std::collections::VecDeque;

use super::super::Failure;
use super::super::line::{Place, Plan, Tell, Wire};

/// One device on a line.
pub(super) struct Serial {
    wire: Wire,
    place: Place,
    inbox: VecDeque<Vec<u8>>,
}

impl Serial {
    /// Opens the line.
    pub(super) fn open(plan: Plan, place: Place, verbose: bool) -> Result<Self, Failure> {
        let tell = if verbose { Tell::All } else { Tell::Trouble };
        Ok(Self { wire: Wire::open(plan, tell)?, place, inbox: VecDeque::new() })
    }

    /// The next packet for this device.
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(packet) = self.inbox.pop_front() {
                return Ok(packet);
            }
            let Self { wire, place, inbox } = self;
            wire.receive(&mut |address, _, packet| {
                if place.hears(address) {
                    inbox.push_back(packet.to_vec());
                }
            })
            .await?;
        }
    }

    pub(super) fn send(&mut self, packet: &[u8]) -> Result<(), Failure> {
        self.wire.push(self.place.address(), packet)
    }

    /// Waits until everything is written.
    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        self.wire.flush().await
    }

    pub(super) fn name(&self) -> String {
        self.wire.name()
    }

    /// Why there may be no answer.
    pub(super) fn silence(&self) -> String {
        self.wire.silence()
    }
}
