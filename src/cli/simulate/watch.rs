//! Whether the gateway knows for certain that a device sleeps, judged by what went over the wire.
//!
//! A PINGREQ that was repeated, or copied on the way, may open a second window after the device has
//! gone back to sleep; what the gateway sends then is no fault. So a device counts as asleep only
//! after an exchange that leaves no doubt, and only until something else of it goes out.

use crate::codec::Message;

/// Watches one device.
#[derive(Debug, Default)]
pub(super) struct SleepWatch {
    /// PINGREQs with a client id since the device last woke to collect.
    pings: u32,
    last: Last,
    asleep: bool,
}

/// What the device sent last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Last {
    #[default]
    Other,
    /// DISCONNECT with a duration.
    Sleep,
}

impl SleepWatch {
    /// The device wakes to collect.
    pub(super) fn wakes(&mut self) {
        self.pings = 0;
    }

    /// A datagram has left.
    pub(super) fn sent(&mut self, message: &Message<'_>) {
        self.asleep = false;
        self.last = match message {
            Message::Disconnect { duration: Some(1..) } => Last::Sleep,
            // These change nothing. PUBREC is answered, be it ever so late.
            Message::RegAck { .. } | Message::PubAck { .. } | Message::PubComp { .. } => self.last,
            _ => Last::Other,
        };
        match message {
            Message::PingReq { client_id: [_, ..] } => self.pings = self.pings.saturating_add(1),
            // Any window that was open is over, or there is more than one.
            Message::Connect(_) => self.pings = u32::MAX,
            _ => {}
        }
    }

    /// A datagram has arrived; false if the gateway should not have sent it.
    pub(super) fn arrived(&mut self, message: &Message<'_>) -> bool {
        match message {
            Message::Disconnect { .. } => self.asleep |= self.last == Last::Sleep,
            Message::PingResp => self.asleep |= self.pings == 1 && self.last != Last::Sleep,
            Message::Publish(_) | Message::Register { .. } | Message::PubRel { .. } => {
                return !self.asleep;
            }
            _ => {}
        }
        true
    }

    /// The gateway knows that the device sleeps.
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Connect, ReturnCode};

    const WAKE: Message<'static> = Message::PingReq { client_id: b"me" };
    const SLEEP: Message<'static> = Message::Disconnect { duration: Some(9) };
    const ANSWER: Message<'static> = Message::Disconnect { duration: None };
    const REGISTER: Message<'static> = Message::Register { topic_id: 1, msg_id: 1, topic: b"t" };
    const REGACK: Message<'static> =
        Message::RegAck { topic_id: 1, msg_id: 1, code: ReturnCode::ACCEPTED };

    fn asleep() -> SleepWatch {
        let mut watch = SleepWatch::default();
        watch.sent(&SLEEP);
        assert!(watch.arrived(&REGISTER), "it crossed the DISCONNECT");
        assert!(watch.arrived(&ANSWER));
        watch
    }

    #[test]
    fn a_sleeper_is_left_alone_until_it_wakes() {
        let mut watch = asleep();
        assert!(watch.is_asleep());
        assert!(!watch.arrived(&REGISTER));
        watch.wakes();
        watch.sent(&WAKE);
        assert!(watch.arrived(&REGISTER));
        watch.sent(&REGACK);
        assert!(watch.arrived(&Message::PingResp));
        assert!(!watch.arrived(&REGISTER));
        let connect = Connect {
            will: false,
            clean_session: false,
            protocol_id: 1,
            duration: 1,
            client_id: b"me",
        };
        watch.sent(&Message::Connect(connect));
        assert!(watch.arrived(&REGISTER));
    }

    #[test]
    fn where_there_is_doubt_nothing_is_said() {
        let mut watch = asleep();
        watch.wakes();
        watch.sent(&WAKE);
        watch.sent(&WAKE);
        assert!(watch.arrived(&Message::PingResp));
        assert!(watch.arrived(&REGISTER), "of the second window");
        let mut watch = asleep();
        watch.sent(&REGACK);
        assert!(watch.arrived(&REGISTER), "a late acknowledgement may have its answer");
        // A plain DISCONNECT while connected puts nobody to sleep.
        let mut watch = SleepWatch::default();
        assert!(watch.arrived(&ANSWER));
        assert!(watch.arrived(&REGISTER));
    }
}
