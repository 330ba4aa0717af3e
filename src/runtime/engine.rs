//! The real machine.

use bytes::BytesMut;

use super::machine::{ConnectionEnd, Machine};
use super::summary;
use crate::core::{Address, Effects, LinkId};
use crate::engine::Engine;
use crate::mqtt::{ConnectionError, Version};
use crate::store::commit::{Commit, Outcome};
use crate::time::Time;
use crate::upstream::Accepted;

impl Machine for Engine {
    type Error = ConnectionError;

    fn datagram(&mut self, now: Time, link: LinkId, from: &Address, bytes: &[u8]) {
        self.datagram(now, link, from, bytes);
    }

    fn broker_open(&mut self, now: Time) {
        self.broker_open(now);
    }

    fn broker_input(&mut self, now: Time, input: &mut BytesMut) -> Result<(), ConnectionError> {
        self.broker_input(now, input)
    }

    fn broker_output(&mut self) -> &mut BytesMut {
        self.broker_output()
    }

    fn broker_hung_up(&mut self) {
        self.broker_hung_up();
    }

    fn broker_closed(&mut self, now: Time) {
        self.broker_closed(now);
    }

    fn timeout(&mut self, now: Time) -> Result<(), ConnectionError> {
        self.timeout(now)
    }

    fn next_timeout(&self) -> Option<Time> {
        self.next_timeout()
    }

    fn commit(&mut self, now: Time) -> Option<Commit> {
        self.commit(now)
    }

    fn committed(&mut self, now: Time, outcome: Outcome) {
        self.committed(now, outcome);
    }

    fn outgoing(&self) -> &Effects {
        self.outgoing()
    }

    fn clear(&mut self) {
        self.clear();
    }

    fn reconfigure(&mut self, now: Time, settings: crate::core::Settings) {
        self.reconfigure(now, settings);
    }

    fn shutdown(&mut self, now: Time) {
        self.shutdown(now);
    }

    fn summary(&self) -> String {
        summary::summary(self)
    }

    fn broker_accepted(&self) -> Option<Accepted> {
        let (version, resumed) = self.session().accepted()?;
        let version = match version {
            Version::V5 => "MQTT 5",
            Version::V311 | Version::Auto => "MQTT 3.1.1",
        };
        Some(Accepted { version, resumed })
    }
}

impl ConnectionEnd for ConnectionError {
    fn reconnect_at_once(&self) -> bool {
        self.reopen_at_once()
    }
}
