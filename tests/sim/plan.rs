//! What a world is made of, drawn from its seed.

use mqtt_sn_gateway::mqtt::Version;

use crate::rng::Rng;
use crate::wire::Level;

/// The kinds of trouble; each is a test of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weather {
    /// No faults: everything must arrive, at QoS 0 too.
    Calm,
    /// A lossy radio: loss, duplication, reordering, mangled datagrams, reboots.
    Lossy,
    /// The broker restarts, forgets, stalls, loses the connection at any byte; some radio loss.
    BrokerTrouble,
}

/// What the radio does to a datagram; chances in permille.
#[derive(Clone, Debug)]
pub struct RadioPlan {
    pub loss: u64,
    pub duplication: u64,
    /// Cut short or padded, so that its Length is wrong: the gateway must drop it.
    pub mangling: u64,
    /// Milliseconds.
    pub delay: (u64, u64),
}

/// How the broker behaves.
#[derive(Clone, Debug)]
pub struct BrokerPlan {
    /// Highest level it speaks.
    pub level: Level,
    /// Hangs up on a level that it does not speak, instead of saying so.
    pub hangs_up: bool,
    /// One PUBLISH for each matching subscription, instead of one for all.
    pub copies: bool,
    /// Its own in-flight window.
    pub window: usize,
    /// Receive Maximum in its CONNACK (MQTT 5).
    pub receive_maximum: Option<u16>,
    /// Milliseconds of TCP latency.
    pub latency: (u64, u64),
    /// Milliseconds between two troubles; 0 is never.
    pub trouble_every: u64,
    /// Permille of PUBACK and PUBREC that say "quota exceeded" (MQTT 5).
    pub quota: u64,
}

/// A world.
#[derive(Clone, Debug)]
pub struct Plan {
    pub weather: Weather,
    pub sensors: usize,
    /// Milliseconds of traffic before the world heals.
    pub duration: u64,
    /// Milliseconds between two doings of a sensor, on average.
    pub pace: u64,
    pub radio: RadioPlan,
    pub broker: BrokerPlan,
    pub version: Version,
    pub topic_prefix: &'static str,
    /// Sensors reboot, vanish and say goodbye.
    pub comings_and_goings: bool,
}

impl Plan {
    /// The plan of `seed`.
    pub fn draw(rng: &mut Rng, weather: Weather) -> Self {
        let calm = weather == Weather::Calm;
        let radio = match weather {
            Weather::Calm => {
                RadioPlan { loss: 0, duplication: 0, mangling: 0, delay: (1, rng.between(1, 40)) }
            }
            Weather::Lossy => RadioPlan {
                loss: rng.below(300),
                duplication: rng.below(200),
                mangling: rng.below(30),
                delay: (1, rng.pick(&[5, 50, 500, 3_000])),
            },
            Weather::BrokerTrouble => RadioPlan {
                loss: rng.pick(&[0, 0, 50, 150]),
                duplication: rng.pick(&[0, 0, 50]),
                mangling: 0,
                delay: (1, rng.pick(&[5, 50, 500])),
            },
        };
        let trouble = weather == Weather::BrokerTrouble;
        let broker = BrokerPlan {
            level: rng.pick(&[Level::V4, Level::V5]),
            hangs_up: rng.chance(500),
            copies: rng.chance(400),
            window: rng.pick(&[1, 5, 20]),
            receive_maximum: rng.pick(&[None, None, Some(1), Some(5)]),
            latency: (0, rng.pick(&[0, 5, 50, if trouble { 2_000 } else { 100 }])),
            trouble_every: if trouble { rng.between(5_000, 90_000) } else { 0 },
            quota: if trouble && rng.chance(300) { 50 } else { 0 },
        };
        let version = rng.pick(match broker.level {
            Level::V4 => &[Version::V311, Version::Auto],
            Level::V5 => &[Version::V5, Version::Auto],
        });
        let crowd = rng.pick(&[3, 8, 20]);
        Self {
            weather,
            sensors: rng.between(1, crowd) as usize,
            duration: rng.between(60, 400) * 1_000,
            pace: rng.between(2, 12) * 1_000,
            radio,
            broker,
            version,
            topic_prefix: rng.pick(&["", "", "site/"]),
            comings_and_goings: !calm || rng.chance(300),
        }
    }
}
