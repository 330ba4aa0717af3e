//! Whether a world's gateway has a disk, and what becomes of the two.

use std::time::Duration;

use mqtt_sn_gateway::store::commit::{CommitSettings, SyncMode};

use super::{Ailment, Crash, Fate};
use crate::plan::Weather;
use crate::rng::Rng;

/// A disk's life; durations in milliseconds.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// The gateway's state survives the process.
    pub durable: bool,
    pub commits: CommitSettings,
    /// What a commit takes.
    pub latency: (u64, u64),
    /// Publications at QoS 0 are kept while the broker is away.
    pub keeps_qos0: bool,
    /// Between two crashes on average; 0 is never.
    pub crash_every: u64,
    /// Crashes may be power cuts, and not just the end of the process.
    pub power_cuts: bool,
    /// Between a crash and the next start.
    pub pause: (u64, u64),
    /// Between two ailments on average; 0 is never.
    pub ailment_every: u64,
}

impl DiskPlan {
    /// Calm days: a quick disk without faults, if there is one.
    pub fn steady(durable: bool) -> Self {
        Self {
            durable,
            commits: CommitSettings::default(),
            latency: (0, 3),
            keeps_qos0: false,
            crash_every: 0,
            power_cuts: false,
            pause: (100, 1_000),
            ailment_every: 0,
        }
    }

    /// The plan of a seed. `duration` is how long the world lives before it heals.
    pub fn draw(rng: &mut Rng, weather: Weather, duration: u64) -> Self {
        let fragile = weather.has_crashes() || weather == Weather::DiskTrouble;
        if (!fragile && !rng.chance(500)) || std::env::var_os("SIM_NO_DISK").is_some() {
            return Self::steady(false);
        }
        // What is written without syncs need not survive a power cut.
        let power_cuts =
            weather == Weather::PowerCuts || (weather == Weather::Crashes && rng.chance(500));
        let modes = [SyncMode::Batch, SyncMode::Batch, SyncMode::Always, SyncMode::Off];
        let sync = rng.pick(if power_cuts { &modes[..3] } else { &modes });
        let time = Duration::from_millis(rng.pick(&[0, 20, 20, 200]));
        let records = rng.pick(&[1, 8, 64]);
        // Most worlds are too small for a journal that is replaced only when it is large.
        let usual = CommitSettings::default();
        let small = rng.pick(&[0, 2_000, 20_000, usual.small]);
        let part = rng.pick(&[200, 2_000, usual.part]);
        let commits = CommitSettings { sync, records, time, small, part };
        // One slow thing at a time.
        let slowest = if fragile && !weather.has_slow_links() { 4_000 } else { 300 };
        let slow: &[u64] = &[0, 3, 20, 300, slowest];
        let crashes = if weather.has_crashes() { rng.between(2, 12) } else { 0 };
        let ailments = if weather == Weather::DiskTrouble { rng.between(2, 6) } else { 0 };
        Self {
            durable: true,
            commits,
            latency: (0, rng.pick(slow)),
            keeps_qos0: rng.chance(200),
            crash_every: duration.checked_div(crashes).unwrap_or(0),
            power_cuts,
            pause: (50, rng.pick(&[300, 5_000, 60_000])),
            ailment_every: duration.checked_div(ailments).unwrap_or(0),
        }
    }

    /// How the next life ends.
    pub fn draw_crash(&self, rng: &mut Rng) -> Crash {
        if self.power_cuts && rng.chance(700) {
            return Crash::PowerCut(rng.pick(&[Fate::Lost, Fate::Kept, Fate::Torn, Fate::Torn]));
        }
        Crash::Kill
    }

    /// What ails the disk next.
    pub fn draw_ailment(rng: &mut Rng) -> Ailment {
        match rng.below(4) {
            0 => Ailment::ReadOnly,
            1 => Ailment::Errors(rng.pick(&[100, 500, 1_000])),
            _ => Ailment::Full(rng.below(3_000) as usize),
        }
    }
}
