//! What the core wants done. Bytes live in one arena that is reused, so that a message costs no
//! allocation.

use alloc::vec::Vec;
#[cfg(feature = "mqtt")]
use core::time::Duration;

use super::notice::{Notice, Place};
use super::peer::{Address, LinkId, PeerRef};
use super::slots::ClientKey;
use super::template::Template;
use super::upstream::{Delivery, LineId, MqttQos, Token};
use crate::codec::Message;
use crate::store::record::Record;

/// A run of bytes in the arena of [`Effects`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// Length in octets.
    #[must_use]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One thing to be done, in order.
#[derive(Clone, Copy, Debug)]
pub enum Effect {
    /// Send a datagram to a device.
    Send {
        /// The link.
        link: LinkId,
        /// Address on the link.
        to: Address,
        /// The datagram.
        bytes: Span,
        /// The client that it is for, if it is for one.
        client: Option<ClientKey>,
    },
    /// As [`Effect::Send`], once everything that was recorded so far is written: the datagram promises
    /// that. Whoever keeps no records sends it at once.
    Promise {
        /// The link.
        link: LinkId,
        /// Address on the link.
        to: Address,
        /// The datagram.
        bytes: Span,
        /// The client that it is for, if it is for one.
        client: Option<ClientKey>,
        /// What to send if it cannot be written.
        otherwise: Otherwise,
    },
    /// The device there begins anew: what waits to be sent to it is of no use any more.
    Recall {
        /// The link.
        link: LinkId,
        /// Address on the link.
        to: Address,
        /// How datagrams for it begin, if it is behind a forwarder; empty otherwise.
        head: Span,
    },
    /// Nothing: it has been dealt with.
    Done,
    /// Send a datagram to everybody on a link.
    Broadcast {
        /// The link.
        link: LinkId,
        /// Hops, 0 is the whole network.
        radius: u8,
        /// The datagram.
        bytes: Span,
    },
    /// Publish at the broker. At QoS 0 nothing comes back.
    Publish {
        /// By which connection.
        line: LineId,
        /// Comes back with the outcome.
        token: Token,
        /// QoS.
        qos: MqttQos,
        /// Retain.
        retain: bool,
        /// Topic name, UTF-8.
        topic: Span,
        /// Payload.
        payload: Span,
        /// Slot of the client, `u32::MAX` without one. What one client publishes stays in order.
        origin: u32,
        /// Nobody has it but the gateway, so it is to be kept from the start.
        keep: bool,
        /// How strongly its packet was received, dBm, if the link can tell.
        rssi: Option<i16>,
    },
    /// The client asks again for the acknowledgement of a publication: the broker is slow. It is to be
    /// kept, so that the client can have it.
    Keep {
        /// By which connection.
        line: LineId,
        /// Of the publication.
        token: Token,
    },
    /// Subscribe at the broker.
    Subscribe {
        /// By which connection.
        line: LineId,
        /// Comes back with the outcome.
        token: Token,
        /// Filter, UTF-8.
        filter: Span,
        /// Requested QoS.
        qos: MqttQos,
        /// MQTT 5 subscription identifier, 1..=268,435,455.
        id: u32,
        /// Whether retained messages are wanted (MQTT 5 retain handling; 3.1.1 always sends them).
        retained: bool,
    },
    /// Unsubscribe at the broker.
    Unsubscribe {
        /// By which connection.
        line: LineId,
        /// Comes back.
        token: Token,
        /// Filter, UTF-8.
        filter: Span,
    },
    /// A client's own connection is to be made, or made anew, with what
    /// [`Gateway::line_setup`](super::Gateway::line_setup) says.
    Open {
        /// The connection.
        line: LineId,
    },
    /// A client's own connection is to be closed, once what was taken over from the client is delivered.
    Close {
        /// The connection.
        line: LineId,
        /// Without a word, so that the broker publishes the will.
        abort: bool,
    },
    /// The client is forgotten, and its connection with it.
    Forget {
        /// The connection.
        line: LineId,
    },
    /// The message from the broker has reached whom it had to reach: acknowledge it.
    Acknowledge {
        /// As it came in the message.
        delivery: Delivery,
        /// Somebody has it only in the records: not before these are written.
        wait: bool,
    },
}

/// What becomes of a promise that cannot be kept, because nothing can be written.
#[derive(Clone, Copy, Debug)]
pub enum Otherwise {
    /// It is made all the same: its like is expected of a gateway that keeps nothing, too.
    Same,
    /// Nothing is sent.
    Nothing,
    /// This datagram takes its place.
    Instead(Span),
}

/// The queue of effects of one or more inputs. Whoever drives the core works through
/// [`Effects::items`] and then calls [`Effects::clear`].
#[derive(Debug, Default)]
pub struct Effects {
    arena: Vec<u8>,
    items: Vec<Effect>,
    notices: Vec<Notice>,
    /// Notices that there was no room for.
    unsaid: u32,
    /// What has changed, as records.
    records: Vec<u8>,
    sent: [u64; 32],
}

/// Most notices kept until the next [`Effects::clear`]; a flood of events is told by counters.
const MAX_NOTICES: usize = 256;

/// Capacity beyond which [`Effects::clear`] gives memory back.
const KEEP_BYTES: usize = 256 * 1024;

impl Effects {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The effects so far, oldest first.
    #[must_use]
    pub fn items(&self) -> &[Effect] {
        &self.items
    }

    /// What is worth telling, oldest first.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Notices that there was no room for.
    #[must_use]
    pub fn unsaid(&self) -> u32 {
        self.unsaid
    }

    /// The bytes of a span of this queue; empty for a span of another one.
    #[must_use]
    pub fn bytes(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        self.arena.get(start..start.saturating_add(span.len())).unwrap_or(&[])
    }

    /// Forgets everything, keeping the memory for the next round.
    pub fn clear(&mut self) {
        self.items.clear();
        self.arena.clear();
        self.notices.clear();
        self.unsaid = 0;
        if self.arena.capacity() > KEEP_BYTES {
            self.arena = Vec::new();
            self.items = Vec::new();
            self.notices = Vec::new();
        }
    }

    /// Queues a datagram.
    #[cfg(feature = "mqtt")]
    pub(crate) fn send(
        &mut self,
        link: LinkId,
        to: Address,
        bytes: &[u8],
        client: Option<ClientKey>,
    ) {
        let bytes = self.store(bytes);
        self.push(Effect::Send { link, to, bytes, client });
    }

    /// Tells that nothing can be written any longer.
    #[cfg(feature = "mqtt")]
    pub(crate) fn note_store_failed(&mut self, kind: &'static str, error: &str) {
        self.notice(|fx| Notice::StoreFailed { kind, error: fx.store(error.as_bytes()) });
    }

    /// Tells that everything is written again.
    #[cfg(feature = "mqtt")]
    pub(crate) fn note_store_recovered(&mut self, after: Duration) {
        self.notice(|_| Notice::StoreRecovered { after });
    }

    /// Takes out what has changed, as [records](crate::store::record), and leaves room for more.
    pub fn drain_records(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.records);
        if self.records.capacity() > KEEP_BYTES {
            self.records = Vec::new();
        }
    }

    /// Whether [`Self::drain_records`] would give anything.
    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.records.is_empty()
    }

    /// Notes a change.
    pub(crate) fn record(&mut self, record: &Record<'_>) {
        record.put(&mut self.records);
    }

    /// Notes changes.
    pub(crate) fn record_all(&mut self, records: &mut Vec<u8>) {
        self.records.append(records);
    }

    /// Replaces an effect that has not been carried out yet.
    #[cfg(feature = "mqtt")]
    pub(crate) fn replace(&mut self, position: usize, effect: Effect) {
        if let Some(old) = self.items.get_mut(position) {
            *old = effect;
        }
    }

    /// Copies bytes into the arena.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Span {
        self.store_with(|arena| arena.extend_from_slice(bytes))
    }

    /// Copies two strings into the arena, as one.
    pub(crate) fn store_joined(&mut self, first: &str, second: &str) -> Span {
        self.store_with(|arena| {
            arena.extend_from_slice(first.as_bytes());
            arena.extend_from_slice(second.as_bytes());
        })
    }

    /// Copies a topic with its prefix into the arena.
    pub(crate) fn store_prefixed(&mut self, prefix: &Template, id: &str, topic: &str) -> Span {
        self.store_with(|arena| {
            prefix.write(id, arena);
            arena.extend_from_slice(topic.as_bytes());
        })
    }

    /// Appends to the arena whatever `write` appends.
    pub(crate) fn store_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.arena.len();
        write(&mut self.arena);
        let len = self.arena.len().saturating_sub(start);
        // The arena is drained every batch; a batch is far below 4 GiB.
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(len).unwrap_or(0),
        }
    }

    /// Queues an effect.
    pub(crate) fn push(&mut self, effect: Effect) {
        self.items.push(effect);
    }

    /// Adds a notice, unless too many wait already.
    pub(crate) fn notice(&mut self, make: impl FnOnce(&mut Self) -> Notice) {
        if self.notices.len() < MAX_NOTICES {
            let notice = make(self);
            self.notices.push(notice);
        } else {
            self.unsaid = self.unsaid.saturating_add(1);
        }
    }

    /// A peer as notices name it.
    pub(crate) fn place(&mut self, peer: PeerRef<'_>) -> Place {
        let node = self.store(peer.node.unwrap_or(&[]));
        Place { link: peer.link, address: peer.address(), node }
    }

    /// Counts a message sent to a device.
    pub(crate) fn count_sent(&mut self, message: &Message<'_>) {
        if let Some(counter) = self.sent.get_mut(usize::from(message.type_code())) {
            *counter += 1;
        }
    }

    /// Messages sent to devices since start, by type.
    #[must_use]
    pub fn sent(&self) -> &[u64; 32] {
        &self.sent
    }
}
