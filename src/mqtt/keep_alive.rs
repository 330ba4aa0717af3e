//! When to send PINGREQ and when to give the broker up (MQTT 3.1.1 §3.1.2.10).

use std::time::Duration;

use crate::time::Time;

/// A broker across a slow network may need so long to answer a ping.
const ANSWER: Duration = Duration::from_secs(5);

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    Nothing,
    Ping,
    GiveUp,
}

/// Watches both directions of a connection.
///
/// A ping is due some time before the keep-alive is over in which nothing was sent, as MQTT asks, or
/// nothing received, so that there is time for an answer: a peer that is gone, even one that nobody
/// has told us of, is noticed within one keep-alive, also while we keep sending.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeepAlive {
    /// Zero: no keep-alive.
    interval: Duration,
    sent: Time,
    received: Time,
    /// When the PINGREQ was sent that nobody has answered.
    ping: Option<Time>,
}

impl KeepAlive {
    pub(super) fn new(interval: Duration, now: Time) -> Self {
        Self { interval, sent: now, received: now, ping: None }
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.sent = now;
    }

    pub(super) fn received(&mut self, now: Time) {
        self.received = now;
    }

    pub(super) fn pinged(&mut self, now: Time) {
        self.sent = now;
        // The first one that nobody has answered is the one that counts.
        self.ping.get_or_insert(now);
    }

    pub(super) fn answered(&mut self) {
        self.ping = None;
    }

    /// How long the broker may be silent. Of a keep-alive of a few seconds not all of it can be spent
    /// on waiting for an answer.
    pub(super) fn tolerance(&self) -> Duration {
        self.interval.max(self.ping_after() + self.answer_time())
    }

    /// How long the broker may take to answer a ping.
    fn answer_time(&self) -> Duration {
        (self.interval / 4).max(self.interval.min(ANSWER))
    }

    /// How long after the last sign a ping is due.
    fn ping_after(&self) -> Duration {
        self.interval.saturating_sub(self.answer_time()).max(self.interval / 2)
    }

    pub(super) fn due(&self, now: Time) -> Due {
        if self.interval.is_zero() {
            Due::Nothing
        } else if self.give_up_at().is_some_and(|at| at <= now) {
            Due::GiveUp
        } else if self.ping_at() <= now {
            Due::Ping
        } else {
            Due::Nothing
        }
    }

    /// When [`Self::due`] changes next.
    pub(super) fn next(&self) -> Option<Time> {
        if self.interval.is_zero() {
            return None;
        }
        Some(self.give_up_at().map_or(self.ping_at(), |at| at.min(self.ping_at())))
    }

    fn ping_at(&self) -> Time {
        let since = if self.ping.is_some() { self.sent } else { self.sent.min(self.received) };
        since.after(self.ping_after())
    }

    /// Not before the ping has had its time: a caller that comes late (a suspended machine) must not
    /// take its own silence for the broker's.
    fn give_up_at(&self) -> Option<Time> {
        let ping = self.ping?;
        Some(self.received.after(self.interval).max(ping.after(self.answer_time())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    fn idle() -> KeepAlive {
        KeepAlive::new(KEEP_ALIVE, Time(0))
    }

    #[test]
    fn an_idle_connection_is_pinged_and_a_dead_one_given_up_within_the_keep_alive() {
        let mut watch = idle();
        assert_eq!(watch.next(), Some(Time(5_000)));
        assert_eq!(watch.due(Time(4_999)), Due::Nothing);
        assert_eq!(watch.due(Time(5_000)), Due::Ping);
        watch.pinged(Time(5_000));
        assert_eq!(watch.next(), Some(Time(10_000)));
        assert_eq!(watch.due(Time(9_999)), Due::Nothing);
        assert_eq!(watch.due(Time(10_000)), Due::GiveUp);
        watch.received(Time(9_000));
        watch.answered();
        assert_eq!(watch.next(), Some(Time(10_000)));
        assert_eq!(watch.due(Time(10_000)), Due::Ping);
    }

    #[test]
    fn the_usual_keep_alive_leaves_a_quarter_for_the_answer_and_a_short_one_more() {
        let minute = KeepAlive::new(Duration::from_secs(60), Time(0));
        assert_eq!(minute.next(), Some(Time(45_000)));
        assert_eq!(minute.tolerance(), Duration::from_secs(60));
        let mut short = KeepAlive::new(Duration::from_secs(2), Time(0));
        assert_eq!(short.next(), Some(Time(1_000)));
        short.pinged(Time(1_000));
        assert_eq!(short.due(Time(2_999)), Due::Ping);
        assert_eq!(short.due(Time(3_000)), Due::GiveUp);
        assert_eq!(short.tolerance(), Duration::from_secs(3));
    }

    #[test]
    fn a_dead_peer_is_noticed_while_we_keep_sending() {
        let mut watch = idle();
        for second in 1..=5 {
            watch.sent(Time(second * 1_000));
        }
        assert_eq!(watch.due(Time(5_000)), Due::Ping);
        watch.pinged(Time(5_000));
        watch.sent(Time(9_000));
        assert_eq!(watch.due(Time(10_000)), Due::GiveUp);
    }

    #[test]
    fn a_peer_that_sends_is_alive_but_is_pinged_all_the_same() {
        let mut watch = idle();
        watch.received(Time(4_000));
        assert_eq!(watch.due(Time(5_000)), Due::Ping);
        watch.pinged(Time(5_000));
        // It never answers the ping, but goes on sending.
        for second in 6..60 {
            watch.received(Time(second * 1_000));
            assert_ne!(watch.due(Time(second * 1_000)), Due::GiveUp);
            if watch.due(Time(second * 1_000)) == Due::Ping {
                watch.pinged(Time(second * 1_000));
            }
        }
        assert_eq!(watch.due(Time(59_000 + 10_000)), Due::GiveUp);
    }

    #[test]
    fn a_caller_that_slept_pings_before_it_gives_up() {
        let mut watch = idle();
        assert_eq!(watch.due(Time(1_000_000)), Due::Ping);
        watch.pinged(Time(1_000_000));
        assert_eq!(watch.due(Time(1_004_999)), Due::Nothing);
        assert_eq!(watch.due(Time(1_005_000)), Due::GiveUp);
    }

    #[test]
    fn zero_turns_it_off() {
        let watch = KeepAlive::new(Duration::ZERO, Time(0));
        assert_eq!((watch.next(), watch.due(Time(u64::MAX))), (None, Due::Nothing));
    }
}
