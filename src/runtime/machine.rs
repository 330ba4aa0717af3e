//! What the loop drives.

use bytes::BytesMut;

use crate::core::upstream::{LineId, Login};
use crate::core::{Address, DeviceRoom, Effects, LinkId, Signal};
use crate::engine::{Engine, Wish};
use crate::store::commit::{Commit, Outcome};
use crate::time::Time;
use crate::upstream::Accepted;

/// The pure part of the gateway as the loop sees it: bytes and time in, bytes and a deadline out.
pub trait Machine {
    /// Why the connection to the broker has to be closed.
    type Error: ConnectionEnd;

    /// A datagram from a device.
    fn datagram(&mut self, now: Time, link: LinkId, from: &Address, signal: Signal, bytes: &[u8]);

    /// Octets of messages that a link has room for now, all that [`Self::outgoing`] had for it included;
    /// no limit if `None`. To be told in each turn, but for links that never had a limit.
    fn link_room(&mut self, now: Time, link: LinkId, octets: Option<u32>);

    /// The longest packet that a link carries, octets, as it has found out itself.
    fn link_largest(&mut self, link: LinkId, octets: usize);

    /// What a device has room for now that has a connection of its own, all that [`Self::outgoing`] had
    /// for it included; `None` if it has no connection any longer. To be told whenever there is more, and
    /// now and then.
    fn device_room(&mut self, now: Time, link: LinkId, device: &Address, room: Option<DeviceRoom>);

    /// The connection to the broker is open.
    fn broker_open(&mut self, now: Time, line: LineId);

    /// Bytes from the broker; takes whole packets away from the front.
    ///
    /// # Errors
    /// If the connection has to be closed; [`Self::broker_closed`] follows.
    fn broker_input(
        &mut self,
        now: Time,
        line: LineId,
        input: &mut BytesMut,
    ) -> Result<(), Self::Error>;

    /// Bytes for the broker; what was written is taken away from the front. `None` if there is no such
    /// connection.
    fn broker_output(&mut self, line: LineId) -> Option<&mut BytesMut>;

    /// It was the broker that ended the connection; [`Self::broker_closed`] follows.
    fn broker_hung_up(&mut self, line: LineId);

    /// Another connection will take the place of the present one: leaves a goodbye that is not one of
    /// the gateway's in [`Self::broker_output`]. [`Self::broker_closed`] and [`Self::broker_open`]
    /// follow.
    fn broker_leave(&mut self, now: Time, line: LineId);

    /// The connection to the broker is gone.
    fn broker_closed(&mut self, now: Time, line: LineId);

    /// The time given by [`Self::next_timeout`] has come.
    fn timeout(&mut self, now: Time);

    /// A connection that has to be closed for what [`Self::timeout`] found; [`Self::broker_closed`]
    /// follows.
    fn take_ended(&mut self) -> Option<(LineId, Self::Error)>;

    /// A connection of a single client could not be made.
    fn broker_unreachable(&mut self, now: Time, line: LineId);

    /// What is to be done next about connections of single clients.
    fn take_wish(&mut self) -> Option<Wish>;

    /// A connection of a single client that has bytes for the broker.
    fn take_speaking(&mut self) -> Option<LineId>;

    /// Number of the rule of the client whose connection it is.
    fn line_rule(&self, line: LineId) -> u16;

    /// Whose connection it is, as a log line names it.
    fn line_name(&self, line: LineId) -> Option<String>;

    /// When [`Self::timeout`] wants to be called.
    fn next_timeout(&self) -> Option<Time>;

    /// What is to be written now. Called only while no commit is under way; each one is followed by
    /// [`Self::committed`]. [`Self::next_timeout`] covers the time at which there will be one. After
    /// [`Self::shutdown`] whatever is left to write is to be written now.
    fn commit(&mut self, now: Time) -> Option<Commit>;

    /// What became of it.
    fn committed(&mut self, now: Time, outcome: Outcome);

    /// Datagrams to be transmitted.
    fn outgoing(&self) -> &Effects;

    /// They were transmitted.
    fn clear(&mut self);

    /// Goes by other settings from now on.
    fn reconfigure(&mut self, now: Time, settings: crate::core::Settings, login: Login);

    /// The program ends: says goodbye to the broker, if it is there.
    fn shutdown(&mut self, now: Time);

    /// What was handled so far, in a line for the log.
    fn summary(&self) -> String;

    /// The gateway proper, for those who want to look at it; other machines have none.
    fn engine(&mut self) -> Option<&mut Engine> {
        None
    }

    /// What the broker agreed to, once it has accepted the session on this connection.
    fn broker_accepted(&self, line: LineId) -> Option<Accepted>;
}

/// An end of a connection that the session decided on.
pub trait ConnectionEnd: std::error::Error + 'static {
    /// The next connection need not wait: this one did what it was for.
    fn reconnect_at_once(&self) -> bool;

    /// In words for the log where the connection is that of a single client.
    fn of_client(&self) -> String {
        self.to_string()
    }
}
