//! Who is connected, who shall be next, and who gives up the connection for another. Pure: fed with what
//! happens and the time.
//!
//! Devices wait in the order in which they were heard. One that was connected and fell silent is tried a
//! few times without having been heard, in case its advertisements are missed. If there are more
//! devices than connections, one that sleeps gives up its own, then one that has had it for long
//! enough.

use std::collections::HashMap;
use std::time::Duration;

use super::settings::Mac;
use crate::time::Time;

/// Connections that are being made at once with devices that were heard: the scan pauses for them.
const SIGHTED: usize = 1;
/// The same with devices that were not heard.
const BLIND: usize = 2;
/// Tries without a sign of the device, after which it is waited for.
const BLIND_TRIES: u32 = 6;
/// The pause after a failure, which doubles with each, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a device that sleeps has been quiet before its connection is taken: what was written
/// to it has arrived.
const RESTED: Duration = Duration::from_millis(500);
/// How long any other has.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked for a connection to take.
const LOOK: Duration = Duration::from_millis(500);
/// Devices that are remembered. Addresses change, and strangers can make up any number.
const MOST: usize = 1_024;

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Connect to this device, which was heard.
    Connect(Mac),
    /// Try to connect to it, though it was not heard.
    Try(Mac),
    /// Disconnect it: others wait.
    Release(Mac),
}

/// What a connected device is doing: how long it has been quiet, and whether it sleeps.
pub(super) type Activity = (Duration, bool);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// It is waited for.
    Away,
    /// It shall be connected; since when.
    Waiting(Time),
    /// A connection is being made; whether it had been heard.
    Connecting(bool),
    Connected(Time),
    /// It is being disconnected.
    Leaving,
}

#[derive(Clone, Copy, Debug)]
struct Device {
    phase: Phase,
    /// It has been heard since it was last tried.
    heard: bool,
    last_heard: Time,
    /// Failures in a row.
    failures: u32,
    not_before: Time,
}

/// The devices of one adapter that may connect.
#[derive(Debug)]
pub(super) struct Roster {
    slots: usize,
    slot_time: Duration,
    devices: HashMap<Mac, Device>,
}

impl Roster {
    pub(super) fn new(slots: usize, slot_time: Duration) -> Self {
        Self { slots, slot_time, devices: HashMap::new() }
    }

    /// A device was heard, and may connect.
    pub(super) fn heard(&mut self, now: Time, device: Mac) {
        if !self.devices.contains_key(&device) && self.devices.len() >= MOST && !self.forget_one() {
            return;
        }
        let device = self.devices.entry(device).or_insert(Device {
            phase: Phase::Away,
            heard: false,
            last_heard: now,
            failures: 0,
            not_before: now,
        });
        device.last_heard = now;
        match device.phase {
            Phase::Away => {
                device.phase = Phase::Waiting(now);
                device.heard = true;
            }
            Phase::Waiting(_) => {
                // It is there after all.
                if !device.heard && device.failures == 0 {
                    device.not_before = now;
                }
                device.heard = true;
            }
            // What is connected may still advertise, and what has just been is heard again later.
            Phase::Connecting(_) | Phase::Connected(_) | Phase::Leaving => {}
        }
    }

    /// It is connected.
    pub(super) fn connected(&mut self, now: Time, device: Mac) {
        if let Some(device) = self.devices.get_mut(&device) {
            device.failures = 0;
            if matches!(device.phase, Phase::Connecting(_)) {
                device.phase = Phase::Connected(now);
            }
        }
    }

    /// Connecting has failed.
    pub(super) fn failed(&mut self, now: Time, device: Mac) {
        let Some(device) = self.devices.get_mut(&device) else { return };
        let doublings = device.failures.min(6);
        device.failures = device.failures.saturating_add(1);
        device.not_before = now.after((PAUSE_MIN * 2_u32.pow(doublings)).min(PAUSE_MAX));
        device.heard = false;
        device.phase =
            if device.failures < BLIND_TRIES { Phase::Waiting(now) } else { Phase::Away };
    }

    /// Its connection has ended, whoever has ended it. One that sleeps is waited for.
    pub(super) fn ended(&mut self, now: Time, device: Mac, sleeps: bool) {
        let Some(device) = self.devices.get_mut(&device) else { return };
        // A controller reports each device once in a scan, and this one was there again before it was
        // known that the connection had ended.
        let heard = matches!(device.phase, Phase::Connected(since) if device.last_heard > since);
        device.heard = heard;
        device.not_before = now.after(PAUSE_MIN);
        device.phase = if sleeps && !heard { Phase::Away } else { Phase::Waiting(now) };
    }

    /// What is to be done next, which then is under way.
    pub(super) fn next(
        &mut self,
        now: Time,
        activity: &dyn Fn(Mac) -> Option<Activity>,
    ) -> Option<Step> {
        let next = self.waiting(now)?;
        if self.taken() < self.slots {
            let device = self.devices.get_mut(&next)?;
            let heard = std::mem::take(&mut device.heard);
            device.phase = Phase::Connecting(heard);
            return Some(if heard { Step::Connect(next) } else { Step::Try(next) });
        }
        // For a device that may not be there nobody is sent away, and not two for one.
        let is_there = self.devices.get(&next).is_some_and(|device| device.heard);
        if !is_there || self.count(|phase| phase == Phase::Leaving) > 0 {
            return None;
        }
        let victim = self.victim(now, activity)?;
        self.devices.get_mut(&victim)?.phase = Phase::Leaving;
        Some(Step::Release(victim))
    }

    /// When [`Self::next`] may have something to do though nothing has happened.
    pub(super) fn next_timeout(&self, now: Time) -> Option<Time> {
        if self.taken() >= self.slots {
            let waits = |device: &Device| device.heard && matches!(device.phase, Phase::Waiting(_));
            return self.devices.values().any(waits).then(|| now.after(LOOK));
        }
        let open = self.open();
        let waiting = self.devices.values();
        let waiting = waiting
            .filter(|device| open(device.heard) && matches!(device.phase, Phase::Waiting(_)));
        waiting.map(|device| device.not_before).min()
    }

    /// Who is connected, or nearly.
    fn taken(&self) -> usize {
        self.count(|phase| !matches!(phase, Phase::Away | Phase::Waiting(_)))
    }

    fn count(&self, is: impl Fn(Phase) -> bool) -> usize {
        self.devices.values().filter(|device| is(device.phase)).count()
    }

    /// Whether one more connection may be made, to a device that was heard or was not.
    fn open(&self) -> impl Fn(bool) -> bool + use<> {
        let sighted = self.count(|phase| phase == Phase::Connecting(true)) < SIGHTED;
        let blind = self.count(|phase| phase == Phase::Connecting(false)) < BLIND;
        move |heard| if heard { sighted } else { blind }
    }

    /// Whether the scan shall pause: it would make a connection take as long as to the next report of
    /// the device, which may be ten seconds.
    pub(super) fn is_connecting(&self) -> bool {
        self.count(|phase| phase == Phase::Connecting(true)) > 0
    }

    /// The device that has waited longest, of those that were heard if there are any.
    fn waiting(&self, now: Time) -> Option<Mac> {
        let open = self.open();
        let waiting = self.devices.iter().filter_map(|(mac, device)| match device.phase {
            Phase::Waiting(since) if device.not_before <= now && open(device.heard) => {
                Some((!device.heard, since, *mac))
            }
            _ => None,
        });
        waiting.min().map(|(_, _, mac)| mac)
    }

    fn victim(&self, now: Time, activity: &dyn Fn(Mac) -> Option<Activity>) -> Option<Mac> {
        let connected = self.devices.iter().filter_map(|(mac, device)| match device.phase {
            // It may not be there; another one is.
            Phase::Connecting(false) => Some((0, Time(0), *mac)),
            Phase::Connected(since) => {
                let (quiet, sleeps) = activity(*mac)?;
                let age = now.since(since);
                let rank = if sleeps && quiet >= RESTED {
                    0
                } else if age >= self.slot_time && quiet >= QUIET {
                    1
                } else if age >= self.slot_time * 2 {
                    // It is never quiet.
                    2
                } else {
                    return None;
                };
                Some((rank, since, *mac))
            }
            _ => None,
        });
        connected.min().map(|(_, _, mac)| mac)
    }

    /// Makes room for another device. Gives whether there is some.
    fn forget_one(&mut self) -> bool {
        let away = self
            .devices
            .iter()
            .filter(|(_, device)| matches!(device.phase, Phase::Away | Phase::Waiting(_)));
        let oldest = away.min_by_key(|(mac, device)| (device.last_heard, **mac));
        let Some(mac) = oldest.map(|(mac, _)| *mac) else { return false };
        self.devices.remove(&mac).is_some()
    }

    /// Whether this device is still remembered.
    pub(super) fn knows(&self, device: Mac) -> bool {
        self.devices.contains_key(&device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_secs(30);

    fn mac(number: u16) -> Mac {
        let [high, low] = number.to_be_bytes();
        Mac([0xF0, 0, 0, 0, high, low])
    }

    fn at(seconds: u64) -> Time {
        Time(seconds * 1_000)
    }

    fn busy(_: Mac) -> Option<Activity> {
        Some((Duration::ZERO, false))
    }

    fn quiet(_: Mac) -> Option<Activity> {
        Some((QUIET, false))
    }

    /// Connects whoever is next, and says who that was.
    fn connect(roster: &mut Roster, now: Time) -> Mac {
        let Some(Step::Connect(mac) | Step::Try(mac)) = roster.next(now, &busy) else {
            panic!("nobody at {now:?}")
        };
        roster.connected(now, mac);
        mac
    }

    #[test]
    fn those_that_are_heard_are_connected_one_by_one() {
        let mut roster = Roster::new(8, SLOT);
        assert_eq!(roster.next(at(0), &busy), None);
        assert_eq!(roster.next_timeout(at(0)), None);
        for number in [2, 1, 3] {
            roster.heard(at(u64::from(number == 3)), mac(number));
        }
        assert_eq!(roster.next_timeout(at(1)), Some(at(0)));
        assert_eq!(roster.next(at(1), &busy), Some(Step::Connect(mac(1))));
        assert_eq!(roster.next(at(1), &busy), None, "one at a time");
        assert_eq!(roster.next_timeout(at(1)), None);
        roster.connected(at(2), mac(1));
        roster.heard(at(2), mac(1));
        assert_eq!(connect(&mut roster, at(2)), mac(2));
        assert_eq!(connect(&mut roster, at(2)), mac(3));
        assert_eq!(roster.next(at(100), &quiet), None);
    }

    #[test]
    fn failures_are_repeated_more_and_more_seldom_until_the_device_is_heard() {
        let mut roster = Roster::new(8, SLOT);
        roster.heard(at(0), mac(1));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for number in 0..BLIND_TRIES {
            let step = if number == 0 { Step::Connect(mac(1)) } else { Step::Try(mac(1)) };
            assert_eq!(roster.next(now, &busy), Some(step));
            assert_eq!(roster.is_connecting(), number == 0);
            roster.failed(now, mac(1));
            assert_eq!(roster.next(now, &busy), None);
            if let Some(next) = roster.next_timeout(now) {
                pauses.push(next.since(now).as_secs());
                now = next;
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
        assert_eq!(roster.next(at(10_000), &busy), None, "it is not there");
        roster.heard(at(10_000), mac(1));
        assert_eq!(connect(&mut roster, at(10_000)), mac(1));
        // As before the failures.
        roster.ended(at(10_001), mac(1), false);
        assert_eq!(roster.next_timeout(at(10_001)), Some(at(10_002)));
    }

    #[test]
    fn a_device_that_is_heard_again_does_not_wait_and_goes_before_those_that_are_not() {
        let mut roster = Roster::new(8, SLOT);
        for number in 1..=2 {
            roster.heard(at(0), mac(number));
            connect(&mut roster, at(0));
        }
        roster.ended(at(5), mac(1), false);
        roster.ended(at(6), mac(2), false);
        roster.heard(at(6), mac(2));
        assert_eq!(connect(&mut roster, at(6)), mac(2));
        assert_eq!(connect(&mut roster, at(6)), mac(1), "once blindly");
        // Devices that are away hold up nobody who was heard.
        for number in 3..=5 {
            roster.heard(at(6), mac(number));
            connect(&mut roster, at(6));
            roster.ended(at(6), mac(number), false);
        }
        let mut steps = || roster.next(at(7), &busy);
        let three = [steps(), steps(), steps()];
        assert!(matches!(three, [Some(Step::Try(_)), Some(Step::Try(_)), None]), "{three:?}");
        roster.heard(at(7), mac(6));
        assert_eq!(connect(&mut roster, at(7)), mac(6));
        // One that sleeps is waited for.
        roster.ended(at(7), mac(1), true);
        assert_eq!((roster.next(at(1_000), &busy), roster.next_timeout(at(7))), (None, None));
        roster.heard(at(1_000), mac(1));
        assert_eq!(roster.next_timeout(at(1_000)), Some(at(8)));
        assert_eq!(connect(&mut roster, at(1_000)), mac(1));
    }

    #[test]
    fn sleepers_give_up_their_connection_first_then_whoever_has_had_it_longest() {
        let mut roster = Roster::new(2, SLOT);
        for number in 1..=2 {
            roster.heard(at(u64::from(number)), mac(number));
            connect(&mut roster, at(u64::from(number)));
        }
        assert_eq!(roster.next(at(100), &quiet), None, "nobody waits");
        roster.heard(at(3), mac(3));
        assert_eq!(roster.next(at(3), &quiet), None);
        assert_eq!(roster.next_timeout(at(3)), Some(at(3).after(LOOK)));
        let second_sleeps = |which: Mac| Some((RESTED, which == mac(2)));
        let mut other = Roster { devices: roster.devices.clone(), ..Roster::new(2, SLOT) };
        assert_eq!(other.next(at(3), &second_sleeps), Some(Step::Release(mac(2))));

        assert_eq!(roster.next(at(30), &quiet), None);
        assert_eq!(roster.next(at(31), &busy), None, "in the middle of something");
        assert_eq!(roster.next(at(31), &quiet), Some(Step::Release(mac(1))));
        assert_eq!(roster.next(at(40), &quiet), None, "one is on its way out");
        roster.ended(at(33), mac(1), false);
        assert_eq!(connect(&mut roster, at(33)), mac(3));
        // The one that left waits at the end, and is not tried while nothing is free.
        roster.heard(at(34), mac(1));
        roster.heard(at(33), mac(4));
        assert_eq!(roster.next(at(61), &busy), None);
        assert_eq!(roster.next(at(62), &busy), Some(Step::Release(mac(2))), "long enough for all");
        roster.ended(at(62), mac(2), false);
        assert_eq!(connect(&mut roster, at(62)), mac(1));
    }

    #[test]
    fn a_device_that_is_heard_before_its_end_is_known_does_not_wait() {
        let mut roster = Roster::new(8, SLOT);
        roster.heard(at(1), mac(1));
        connect(&mut roster, at(1));
        roster.heard(at(9), mac(1));
        roster.ended(at(9), mac(1), true);
        assert_eq!(roster.next(at(10), &busy), Some(Step::Connect(mac(1))));
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut roster = Roster::new(3, SLOT);
        let mut turns: HashMap<Mac, u32> = HashMap::new();
        let mut connected: Vec<Mac> = Vec::new();
        for second in 0..3_600 {
            let now = at(second);
            for number in 0..10 {
                roster.heard(now, mac(number));
            }
            match roster.next(now, &quiet) {
                Some(Step::Connect(device) | Step::Try(device)) => {
                    roster.connected(now, device);
                    connected.push(device);
                    *turns.entry(device).or_default() += 1;
                }
                Some(Step::Release(device)) => {
                    roster.ended(now, device, false);
                    connected.retain(|other| *other != device);
                }
                None => {}
            }
            assert!(connected.len() <= 3);
        }
        let (least, most) = (turns.values().min().unwrap(), turns.values().max().unwrap());
        assert!(turns.len() == 10 && most - least <= 1, "{turns:?}");
    }

    #[test]
    fn a_device_that_is_tried_blindly_gives_up_its_place_to_one_that_is_there() {
        let mut roster = Roster::new(1, SLOT);
        roster.heard(at(0), mac(1));
        connect(&mut roster, at(0));
        roster.ended(at(1), mac(1), false);
        assert_eq!(roster.next(at(2), &busy), Some(Step::Try(mac(1))));
        assert_eq!(roster.next(at(2), &busy), None);
        roster.heard(at(2), mac(2));
        assert_eq!(roster.next(at(2), &busy), Some(Step::Release(mac(1))));
        assert_eq!(roster.next(at(2), &busy), None, "it is on its way out");
        roster.failed(at(2), mac(1));
        assert_eq!(connect(&mut roster, at(2)), mac(2));
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut roster = Roster::new(1, SLOT);
        roster.heard(at(0), mac(0));
        connect(&mut roster, at(0));
        for number in 1..5_000 {
            roster.heard(at(number.into()), mac(number));
        }
        assert_eq!(roster.devices.len(), MOST);
        assert!(roster.knows(mac(0)) && roster.knows(mac(4_999)) && !roster.knows(mac(1)));
    }
}
