//! How fast a line may be written to: as fast as it carries, as its radio carries, and no more of the
//! time than the law allows.
//!
//! Without it everything would wait in the system's buffer, where an answer cannot overtake.

use std::time::Duration;

use super::airtime::{Ability, Air};
use crate::time::Time;
use crate::transport::framing::BITS_PER_OCTET;

/// How far ahead of the line what is written may be: enough to bridge the loop's other work.
const AHEAD: u64 = 30_000;
const BITS: u64 = BITS_PER_OCTET as u64;
const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// Hundredths of a percent.
const ALWAYS: u64 = 10_000;

/// The pace of a line. Times within are microseconds.
#[derive(Debug)]
pub(super) struct Pace {
    baud: u64,
    /// What has been written will be on the line until then.
    line_until: u64,
    air: Air,
    /// What has been sent will be on the air until then.
    air_until: u64,
    duty: Option<Duty>,
}

/// A limit on the time that a radio is on the air, of any hour.
///
/// A tenth of it, or what the longest packet takes, can be used in one go, and the rest comes in
/// evenly: so no hour has more, and answers never wait for an hour.
#[derive(Debug)]
struct Duty {
    /// Hundredths of a percent.
    share: u16,
    burst: u64,
    /// Comes in during an hour.
    hourly: u64,
    left: u64,
    reckoned: u64,
}

impl Pace {
    /// For a line with so many bits a second.
    pub(super) fn new(baud: u32) -> Self {
        Self {
            baud: u64::from(baud.max(1)),
            line_until: 0,
            air: Air::default(),
            air_until: 0,
            duty: None,
        }
    }

    /// What the radio can do and may, with packets of at most `longest` octets.
    pub(super) fn set_air(&mut self, ability: Ability, longest: usize) {
        let Ability { air, duty_cycle } = ability;
        self.air = air;
        let duty = duty_cycle.map(|share| Duty::new(share, micros(air.time(longest))));
        // What was used is not given back.
        self.duty = duty.map(|duty| match &self.duty {
            Some(old) => Duty { left: old.left.min(duty.burst), reckoned: old.reckoned, ..duty },
            None => duty,
        });
    }

    /// When a packet of so many octets may be written, `now` or later.
    pub(super) fn next(&self, now: Time, packet: usize) -> Time {
        let line = self.line_until.saturating_sub(AHEAD);
        let air = self.air_until.saturating_sub(AHEAD);
        let needed = micros(self.air.time(packet));
        let allowed = self.duty.as_ref().map_or(0, |duty| duty.when(clock(now), needed));
        now.max(Time(line.max(air).max(allowed).div_ceil(1_000)))
    }

    /// So many octets go on the line.
    pub(super) fn write(&mut self, now: Time, octets: usize) {
        let takes = (octets as u64).saturating_mul(BITS * SECOND) / self.baud;
        self.line_until = self.line_until.max(clock(now)).saturating_add(takes);
    }

    /// A packet of so many octets goes on the air.
    pub(super) fn send(&mut self, now: Time, packet: usize) {
        let takes = micros(self.air.time(packet));
        self.air_until = self.air_until.max(clock(now)).saturating_add(takes);
        if let Some(duty) = &mut self.duty {
            duty.left = duty.at(clock(now)).saturating_sub(takes);
            duty.reckoned = clock(now);
        }
    }

    /// Octets a second of packets that get through in the long run, at least 1.
    pub(super) fn octets_per_second(&self) -> u64 {
        /// A packet of usual length, octets.
        const USUAL: usize = 32;
        let line = self.baud / BITS;
        let air = micros(self.air.time(USUAL));
        let air = (USUAL as u64 * SECOND).checked_div(air).unwrap_or(u64::MAX);
        let share = self.duty.as_ref().map_or(ALWAYS, |duty| u64::from(duty.share));
        line.min(air.saturating_mul(share) / ALWAYS).max(1)
    }
}

impl Duty {
    fn new(duty_cycle: u16, longest: u64) -> Self {
        let share = u64::from(duty_cycle) * (HOUR / ALWAYS);
        // Never less than a trickle, or a radio whose longest packet takes all would be silent.
        let burst = (share / 10).max(longest);
        let hourly = share.saturating_sub(burst).max(share / 10).max(1);
        Self { share: duty_cycle, burst, hourly, left: burst, reckoned: 0 }
    }

    fn at(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.reckoned).min(HOUR);
        self.left.saturating_add(passed.saturating_mul(self.hourly) / HOUR).min(self.burst)
    }

    /// When so much may be used.
    fn when(&self, now: u64, needed: u64) -> u64 {
        let missing = needed.min(self.burst).saturating_sub(self.at(now));
        if missing == 0 {
            return 0;
        }
        now.saturating_add(missing.saturating_mul(HOUR).div_ceil(self.hourly))
    }
}

fn clock(now: Time) -> u64 {
    now.0.saturating_mul(1_000)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::airtime::Lora;
    use super::*;

    fn rate(octets: u32) -> Air {
        Air { rate: Some(octets), lora: None }
    }

    #[test]
    fn a_line_is_kept_full_and_not_more() {
        let mut pace = Pace::new(57_600);
        let (mut now, mut written) = (Time(5_000), 0);
        while now < Time(15_000) {
            now = pace.next(now, 100);
            pace.write(now, 100);
            written += 100;
        }
        // Ten seconds at 5,760 octets a second, and what is ahead.
        assert!((57_600..=57_600 + 173 + 200).contains(&written), "{written}");
        assert_eq!(pace.octets_per_second(), 5_760);
    }

    #[test]
    fn a_slower_radio_sets_the_pace() {
        let mut pace = Pace::new(115_200);
        pace.set_air(Ability { air: rate(100), duty_cycle: None }, 64);
        let (mut now, mut sent) = (Time(0), 0);
        while now < Time(60_000) {
            now = pace.next(now, 50);
            pace.write(now, 60);
            pace.send(now, 50);
            sent += 50;
        }
        assert!((6_000..6_150).contains(&sent), "{sent}");
        assert_eq!(pace.octets_per_second(), 100);
    }

    /// Whatever is asked for, no hour has more than its share, and it is used.
    #[test]
    fn no_hour_has_more_than_its_share() {
        let lora = Air { rate: None, lora: Lora::parse("SF12").ok() };
        for (duty_cycle, longest) in [(100, 51), (10, 51), (1_000, 20)] {
            let mut pace = Pace::new(115_200);
            pace.set_air(Ability { air: lora, duty_cycle: Some(duty_cycle) }, longest);
            let mut sent: Vec<(u64, u64)> = Vec::new();
            let mut now = Time(7);
            let mut turn = 0;
            while now < Time(6 * 3_600_000) {
                turn += 1;
                let packet = if turn % 3 == 0 { longest } else { 10 };
                now = pace.next(now, packet);
                pace.send(now, packet);
                sent.push((clock(now), micros(lora.time(packet))));
            }
            let share = u64::from(duty_cycle) * 360_000;
            for (begin, _) in &sent {
                let hour = *begin..*begin + HOUR;
                let used: u64 =
                    sent.iter().filter(|(at, _)| hour.contains(at)).map(|(_, takes)| takes).sum();
                assert!(used <= share, "{duty_cycle} {used}");
            }
            let used: u64 = sent.iter().map(|(_, takes)| takes).sum();
            assert!(used > share * 5 / 6, "{duty_cycle}: {used}");
        }
    }

    #[test]
    fn what_was_used_is_not_given_back() {
        let mut pace = Pace::new(115_200);
        let ability = Ability { air: rate(10), duty_cycle: Some(100) };
        pace.set_air(ability, 20);
        pace.send(Time(0), 36);
        let next = pace.next(Time(0), 20);
        assert!(next > Time(100_000), "{next:?}");
        pace.set_air(ability, 20);
        assert_eq!(pace.next(Time(0), 20), next);
    }
}
