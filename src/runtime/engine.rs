//! The real machine.

use bytes::BytesMut;

use super::machine::{ConnectionEnd, Machine};
use super::summary;
use crate::core::upstream::{LineId, Login};
use crate::core::{Address, DeviceRoom, Effects, LinkId, Signal};
use crate::engine::{Engine, Wish};
use crate::mqtt::{ConnectionError, Version};
use crate::store::commit::{Commit, Outcome};
use crate::time::Time;
use crate::upstream::Accepted;

impl Machine for Engine {
    type Error = ConnectionError;

    fn datagram(&mut self, now: Time, link: LinkId, from: &Address, signal: Signal, bytes: &[u8]) {
        self.datagram(now, link, from, signal, bytes);
    }

    fn link_room(&mut self, now: Time, link: LinkId, octets: Option<u32>) {
        self.link_room(now, link, octets);
    }

    fn link_largest(&mut self, link: LinkId, octets: usize) {
        self.link_largest(link, octets);
    }

    fn device_room(&mut self, now: Time, link: LinkId, device: &Address, room: Option<DeviceRoom>) {
        self.device_room(now, link, device, room);
    }

    fn broker_open(&mut self, now: Time, line: LineId) {
        self.broker_open(now, line);
    }

    fn broker_input(
        &mut self,
        now: Time,
        line: LineId,
        input: &mut BytesMut,
    ) -> Result<(), ConnectionError> {
        self.broker_input(now, line, input)
    }

    fn broker_output(&mut self, line: LineId) -> Option<&mut BytesMut> {
        self.broker_output(line)
    }

    fn broker_hung_up(&mut self, line: LineId) {
        self.broker_hung_up(line);
    }

    fn broker_leave(&mut self, _: Time, line: LineId) {
        self.broker_leave(line);
    }

    fn broker_closed(&mut self, now: Time, line: LineId) {
        self.broker_closed(now, line);
    }

    fn timeout(&mut self, now: Time) {
        self.timeout(now);
    }

    fn take_ended(&mut self) -> Option<(LineId, ConnectionError)> {
        self.take_ended()
    }

    fn broker_unreachable(&mut self, now: Time, line: LineId) {
        self.broker_unreachable(now, line);
    }

    fn take_wish(&mut self) -> Option<Wish> {
        self.take_wish()
    }

    fn take_speaking(&mut self) -> Option<LineId> {
        self.take_speaking()
    }

    fn line_rule(&self, line: LineId) -> u16 {
        self.gateway().line_rule(line)
    }

    fn line_name(&self, line: LineId) -> Option<String> {
        let setup = self.gateway().line_setup(line)?;
        // As in other lines about clients: quoted, so that it cannot forge a line.
        Some(format!("{:?}", setup.client_id))
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

    fn reconfigure(&mut self, now: Time, settings: crate::core::Settings, login: Login) {
        self.reconfigure(now, settings);
        self.set_login(login);
    }

    fn shutdown(&mut self, now: Time) {
        self.shutdown(now);
    }

    fn summary(&self) -> String {
        summary::summary(self)
    }

    fn engine(&mut self) -> Option<&mut Engine> {
        Some(self)
    }

    fn broker_accepted(&self, line: LineId) -> Option<Accepted> {
        let (version, resumed) = self.session_of(line)?.accepted()?;
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

    fn of_client(&self) -> String {
        self.of_client()
    }
}
