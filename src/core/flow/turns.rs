//! Slow links: messages go to them only as fast as they can send.
//!
//! A link says how many octets of messages it still takes. When that is used up, the messages of each
//! client wait where they wait for its answers, in its queue, and the client lines up at the link. When
//! the link has room again, those in the line get one message each, in turn. Answers do not wait.
//!
//! Where each device has a connection of its own, the same goes for each of them. One without a
//! connection takes nothing, and PUBREL is not sent to it either: whatever is in flight waits until it
//! is back.

use core::time::Duration;

use super::publish_down::TOO_LONG;
use crate::core::client::Queued;
use crate::core::effects::Effects;
use crate::core::gateway::{Cx, Gateway};
use crate::core::peer::{Address, LinkId, Peer, PeerRef};
use crate::core::rooms::DeviceRoom;
use crate::core::signal::Signal;
use crate::core::slots::Handle;
use crate::core::stats::Limit;
use crate::time::Time;

impl Gateway {
    /// A link takes so many octets of messages from now on, forwarders' headers included; the last
    /// packet may be longer than what is left. `None` is no limit, as at the start for links without
    /// [pacing](crate::core::LinkSettings::pacing). Whoever has waited for room is sent something, in turn;
    /// gives whether there was anybody. Means nothing where the devices say it.
    pub fn set_link_room(
        &mut self,
        now: Time,
        link: LinkId,
        octets: Option<u32>,
        fx: &mut Effects,
    ) -> bool {
        let awaited = self.rooms.set_credit(link, octets);
        if awaited {
            self.serve(&mut Cx::new(now, fx), PeerRef { link, address: &[], node: None });
        }
        awaited
    }

    /// The device at this address of a link with [`Pacing::Device`](crate::core::Pacing::Device) takes so
    /// much from now on, for itself and for those that it forwards to; `None`: it is not there. Whoever has
    /// waited for room is sent something, in turn; gives whether there was anybody. Means nothing on other
    /// links.
    pub fn set_device_room(
        &mut self,
        now: Time,
        link: LinkId,
        device: &Address,
        room: Option<DeviceRoom>,
        fx: &mut Effects,
    ) -> bool {
        let address = device.octets();
        let awaited = self.rooms.set_device(link, address, room);
        if awaited {
            self.serve(&mut Cx::new(now, fx), PeerRef { link, address, node: None });
        }
        awaited
    }

    /// A link has found out how long a packet it can carry at most, octets. The lesser of that and of
    /// [`LinkSettings::max_packet`](crate::core::LinkSettings::max_packet) counts.
    pub fn set_link_largest(&mut self, link: LinkId, octets: usize) {
        self.rooms.set_largest(link, octets);
    }

    /// How the last packet of a client was heard; `None` if there is no such client.
    #[must_use]
    pub fn signal_of(&self, client_id: &str) -> Option<Signal> {
        let client = self.client_named(client_id).and_then(|handle| self.clients.get(handle));
        client.map(|client| client.signal)
    }

    /// Everybody in the line of a link, or of a device, has a message, then everybody who has more has
    /// another one, until there is no room left.
    fn serve(&mut self, cx: &mut Cx<'_>, place: PeerRef<'_>) {
        while self.rooms.is_open(place)
            && let Some(handle) = self.rooms.next(place)
        {
            let Some(client) = self.clients.get_mut(handle) else { continue };
            client.lined_up = false;
            let listens = client.state.listens() && client.busy.paused_until.is_none();
            let waits = client.outbound_mut().is_some_and(|it| core::mem::take(&mut it.waits));
            match (waits, listens) {
                (false, _) => self.pump_some(cx, handle, 1),
                (true, true) => {
                    self.transmit_late(cx, handle);
                    self.pump_some(cx, handle, 0);
                }
                // It is started again when the client listens again.
                (true, false) => {}
            }
        }
    }

    /// Sends what is in flight and has waited for room.
    fn transmit_late(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let deadline = self.retry_at(cx.now, handle);
        let Some(client) = self.clients.get_mut(handle) else { return };
        let Some(outbound) = client.outbound_mut() else { return };
        let first = outbound.tries == 0;
        outbound.tries = outbound.tries.saturating_add(1);
        outbound.deadline = deadline;
        if first {
            outbound.began = cx.now;
            self.transmit(cx, handle);
        } else {
            self.repeat(cx, handle);
        }
        self.rearm(handle);
    }

    /// Sends what is in flight once more, or has it wait for room.
    pub(crate) fn repeat(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        self.transmit(cx, handle);
        let outbound = self.clients.get(handle).and_then(|c| c.busy.outbound.as_deref());
        if !outbound.is_some_and(|outbound| outbound.waits) {
            self.stats.retransmissions += 1;
        }
    }

    /// Whether the link of a client, or its device, takes one more message.
    #[inline]
    pub(crate) fn has_room(&self, handle: Handle) -> bool {
        self.rooms.is_empty()
            || self.peer_of(handle).is_none_or(|peer| self.rooms.is_open(peer.as_ref()))
    }

    /// Whether there is a connection to the device of a client, as far as its link has any.
    #[inline]
    pub(crate) fn is_there(&self, handle: Handle) -> bool {
        self.rooms.is_empty()
            || self.peer_of(handle).is_none_or(|peer| self.rooms.is_there(peer.as_ref()))
    }

    /// A message of so many octets, without forwarder header, was sent to a client.
    #[inline]
    pub(crate) fn spend(&mut self, handle: Handle, octets: usize) {
        if self.rooms.is_empty() {
            return;
        }
        if let Some(peer) = self.clients.get(handle).and_then(|client| client.place()) {
            self.rooms.spend(peer.as_ref(), octets.saturating_add(peer.overhead()));
        }
    }

    /// Whether a link does not carry a message of so many octets, as it may have before.
    #[inline]
    pub(crate) fn is_outgrown(&self, handle: Handle, octets: usize) -> bool {
        let peer = self.peer_of(handle).filter(|_| !self.rooms.is_empty());
        peer.is_some_and(|peer| {
            octets.saturating_add(peer.overhead()) > self.rooms.largest(peer.as_ref())
        })
    }

    /// Gives up the message in flight, which has become too long for the link.
    pub(crate) fn give_up_long(&mut self, cx: &mut Cx<'_>, handle: Handle, queued: Queued) {
        self.limit_reached(cx, Some(handle), Limit::PacketSize);
        self.give_up(cx, handle, queued, TOO_LONG);
    }

    #[inline]
    fn peer_of(&self, handle: Handle) -> Option<&Peer> {
        self.clients.get(handle).and_then(|client| client.place())
    }

    /// What is in flight does not go out for want of room. That is no try that could be left unanswered.
    pub(crate) fn hold_back(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        if let Some(outbound) = self.clients.get_mut(handle).and_then(|c| c.outbound_mut())
            && !core::mem::replace(&mut outbound.waits, true)
        {
            outbound.tries = outbound.tries.saturating_sub(1);
        }
        self.line_up(cx, handle);
    }

    /// The next message of a client waits for its turn at the link, or at its device.
    pub(crate) fn line_up(&mut self, cx: &mut Cx<'_>, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if client.lined_up {
            return;
        }
        let Some(peer) = client.place() else { return };
        self.rooms.line_up(peer.as_ref(), handle);
        client.lined_up = true;
        let own = client.line.is_own();
        self.stats.held_back += 1;
        if !own {
            // A few such would use up the broker's window and stop everybody.
            self.stop_holding(cx, handle, true);
        }
        self.rearm(handle);
    }

    /// The client is not at its address any longer, so it has no turn there.
    pub(crate) fn leave_line(&mut self, handle: Handle) {
        let Some(client) = self.clients.get_mut(handle) else { return };
        if !core::mem::take(&mut client.lined_up) {
            return;
        }
        if let Some(outbound) = client.outbound_mut() {
            outbound.waits = false;
        }
        if let Some(peer) = client.place() {
            self.rooms.leave(peer.as_ref(), handle);
        }
    }

    /// How long a client that is awake and silent is believed to be there: as long as it is when it leaves
    /// a message without an answer.
    pub(crate) fn patience(&self, handle: Handle) -> Duration {
        let tries = u32::from(self.policy_of(handle).retry_count).saturating_add(1);
        self.retry_interval(handle).saturating_mul(tries)
    }
}
