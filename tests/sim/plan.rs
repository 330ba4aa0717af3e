//! What a world is made of, drawn from its seed.

use std::time::Duration;

use mqtt_sn_gateway::core::{Settings, Takeover};
use mqtt_sn_gateway::mqtt::Version;

use crate::disk::DiskPlan;
use crate::rng::Rng;
use crate::slow::SlowPlan;
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
    /// Sleepers on a radio without faults: everything must arrive, at QoS 0 too.
    Naps,
    /// Sleepers on a lossy radio.
    NapsLossy,
    /// Sleeps of minutes to hours, over days; sessions expire, buffers are small.
    Days,
    /// Addresses change, are given to others, sit behind forwarders; liars are about.
    Roaming,
    /// The habits of client stacks in the field.
    Stacks,
    /// All of it at once, and a broker in trouble.
    Everything,
    /// The gateway's process or its machine ends now and then; the radio has no faults.
    Crashes,
    /// Power cuts, a lossy radio and a broker in trouble.
    PowerCuts,
    /// The gateway's disk is full, read-only, slow, or full of errors for a while.
    DiskTrouble,
    /// Links take longer to send than the gateway to answer, stand still now and then, and are gone.
    SlowLinks,
    /// The same, and the gateway's lives end.
    SlowCrashes,
    /// Devices have connections of their own, which come and go.
    Devices,
    /// The same, and the gateway's lives end.
    DevicesCrashes,
}

impl Weather {
    /// All of them, with the names they have in `SIM_WEATHER`.
    pub const ALL: [(Weather, &'static str); 16] = [
        (Weather::Calm, "calm"),
        (Weather::Lossy, "lossy"),
        (Weather::BrokerTrouble, "broker"),
        (Weather::Naps, "naps"),
        (Weather::NapsLossy, "naps-lossy"),
        (Weather::Days, "days"),
        (Weather::Roaming, "roaming"),
        (Weather::Stacks, "stacks"),
        (Weather::Everything, "everything"),
        (Weather::Crashes, "crashes"),
        (Weather::PowerCuts, "power-cuts"),
        (Weather::DiskTrouble, "disk-trouble"),
        (Weather::SlowLinks, "slow-links"),
        (Weather::SlowCrashes, "slow-crashes"),
        (Weather::Devices, "devices"),
        (Weather::DevicesCrashes, "devices-crashes"),
    ];

    /// The radio has no faults.
    pub fn is_calm(self) -> bool {
        matches!(self, Weather::Calm | Weather::Naps)
    }

    /// One of the first three: every sensor stays awake, by the book, at its address.
    pub fn is_plain(self) -> bool {
        matches!(self, Weather::Calm | Weather::Lossy | Weather::BrokerTrouble)
    }

    /// Addresses change.
    pub fn is_roaming(self) -> bool {
        matches!(self, Weather::Roaming | Weather::Everything)
    }

    /// The gateway's lives end without a warning.
    pub fn has_crashes(self) -> bool {
        matches!(
            self,
            Weather::Crashes | Weather::PowerCuts | Weather::SlowCrashes | Weather::DevicesCrashes
        )
    }

    /// What the gateway sends waits for a radio that is busy.
    pub fn has_slow_links(self) -> bool {
        matches!(self, Weather::SlowLinks | Weather::SlowCrashes) || self.has_connections()
    }

    /// Devices have connections of their own.
    pub fn has_connections(self) -> bool {
        matches!(self, Weather::Devices | Weather::DevicesCrashes)
    }

    fn has_broker_trouble(self) -> bool {
        matches!(self, Weather::BrokerTrouble | Weather::Everything | Weather::PowerCuts)
    }
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

/// Which kinds of sensors there are, in permille of all, and how they live.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Sleep (MQTT-SN 1.2 §6.14).
    pub sleepers: u64,
    /// Shortest and longest sleep that they announce, seconds.
    pub sleep: (u64, u64),
    /// Get another address now and then.
    pub roamers: u64,
    /// Sit behind a forwarder.
    pub forwarded: u64,
    /// Have a second link.
    pub two_links: u64,
    /// Behave like a stack of the field, with its profile.
    pub stacks: u64,
    /// An address that somebody left may be given to somebody else.
    pub reuse: bool,
    /// Hostile peers, a number.
    pub liars: usize,
}

impl People {
    fn draw(rng: &mut Rng, weather: Weather) -> Self {
        if weather.is_plain() {
            return Self::default();
        }
        let minutes = (rng.pick(&[20, 40, 60]), rng.pick(&[90, 180, 300]));
        match weather {
            Weather::Calm | Weather::Lossy | Weather::BrokerTrouble => Self::default(),
            Weather::Naps | Weather::NapsLossy => {
                Self { sleepers: rng.pick(&[300, 700, 1_000]), sleep: minutes, ..Self::default() }
            }
            Weather::Days => {
                let long = rng.pick(&[900, 3_600, 4 * 3_600, 18 * 3_600]);
                Self { sleepers: 800, sleep: (120, long), ..Self::default() }
            }
            Weather::Roaming => Self {
                sleepers: 400,
                sleep: minutes,
                roamers: rng.pick(&[300, 800]),
                forwarded: rng.pick(&[0, 300]),
                two_links: rng.pick(&[0, 300]),
                reuse: rng.chance(600),
                liars: rng.below(4) as usize,
                ..Self::default()
            },
            Weather::Stacks => {
                Self { sleepers: 200, sleep: minutes, stacks: 800, ..Self::default() }
            }
            Weather::Crashes
            | Weather::PowerCuts
            | Weather::DiskTrouble
            | Weather::SlowCrashes
            | Weather::DevicesCrashes => {
                Self { sleepers: rng.pick(&[0, 400, 800]), sleep: minutes, ..Self::default() }
            }
            Weather::SlowLinks | Weather::Devices => Self {
                sleepers: rng.pick(&[0, 400, 1_000]),
                sleep: minutes,
                roamers: rng.pick(&[0, 300]),
                forwarded: rng.pick(&[0, 300]),
                two_links: rng.pick(&[0, 500]),
                stacks: rng.pick(&[0, 400]),
                ..Self::default()
            },
            Weather::Everything => Self {
                sleepers: 400,
                sleep: minutes,
                roamers: 300,
                forwarded: 200,
                two_links: 100,
                stacks: rng.pick(&[0, 400]),
                reuse: rng.chance(500),
                liars: rng.below(3) as usize,
            },
        }
    }
}

/// What the gateway is told in its configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    pub retry: Duration,
    pub retries: u8,
    pub keep_alive_permille: u32,
    pub sleep_permille: u32,
    pub takeover: Takeover,
    pub keep_on_wake: bool,
    pub queue_qos0: bool,
    pub most_messages: u32,
    pub most_bytes: usize,
    pub most_bytes_total: usize,
    pub expiry: Duration,
}

impl Rules {
    /// Less may wait for a sensor than there may be at once.
    pub fn is_narrow(&self) -> bool {
        let usual = Self::usual();
        self.most_messages < usual.most_messages || self.most_bytes_total < usual.most_bytes_total
    }

    fn usual() -> Self {
        let usual = Settings::default();
        Self {
            retry: usual.retry_interval,
            retries: usual.retry_count,
            keep_alive_permille: usual.keep_alive_tolerance_permille,
            sleep_permille: usual.sleep_tolerance_permille,
            takeover: usual.takeover,
            keep_on_wake: usual.keep_session_on_wake,
            queue_qos0: usual.queue_qos0_messages,
            most_messages: usual.max_buffered_messages,
            most_bytes: usual.max_buffered_bytes,
            most_bytes_total: usual.max_buffered_bytes_total,
            expiry: usual.session_expiry,
        }
    }

    fn draw(rng: &mut Rng, weather: Weather) -> Self {
        let usual = Self::usual();
        if weather.is_plain() {
            return usual;
        }
        let days = weather == Weather::Days;
        let small = !weather.is_calm() && rng.chance(250);
        let roaming = weather.is_roaming();
        let policies = [Takeover::Always, Takeover::AsleepOrLost, Takeover::Never];
        let hour = 3_600;
        Self {
            retry: Duration::from_secs(rng.pick(&[5, 10, 10, 15])),
            retries: rng.pick(&[2, 3, 3, 5]),
            keep_alive_permille: rng.pick(&[1_100, 1_500, 2_000]),
            sleep_permille: rng.pick(&[1_000, 1_100, 1_500, 2_000]),
            takeover: if roaming { rng.pick(&policies) } else { usual.takeover },
            keep_on_wake: rng.chance(800),
            queue_qos0: rng.chance(300),
            most_messages: if small { rng.between(2, 12) as u32 } else { usual.most_messages },
            most_bytes: if small { rng.pick(&[1_000, 4_000, 65_536]) } else { usual.most_bytes },
            most_bytes_total: if small && rng.chance(300) { 8_000 } else { usual.most_bytes_total },
            expiry: Duration::from_secs(if days {
                rng.pick(&[hour, 6 * hour, 7 * 24 * hour])
            } else {
                7 * 24 * hour
            }),
        }
    }
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
    pub people: People,
    pub rules: Rules,
    pub disk: DiskPlan,
    /// Links are slow.
    pub slow: Option<SlowPlan>,
    /// The gateway says how it and its clients are.
    pub tells: bool,
}

impl Plan {
    /// Whether a sensor whose address changed finds its way back into its session, or can begin
    /// another one.
    pub fn may_move(&self, clean: bool) -> bool {
        clean || self.rules.takeover != Takeover::Never
    }

    /// The plan of `seed`.
    pub fn draw(rng: &mut Rng, weather: Weather) -> Self {
        let calm = weather.is_calm();
        let radio = match weather {
            Weather::Calm | Weather::Naps | Weather::Crashes | Weather::DiskTrouble => {
                RadioPlan { loss: 0, duplication: 0, mangling: 0, delay: (1, rng.between(1, 40)) }
            }
            Weather::Lossy | Weather::NapsLossy | Weather::PowerCuts => RadioPlan {
                loss: rng.below(300),
                duplication: rng.below(200),
                mangling: rng.below(30),
                delay: (1, rng.pick(&[5, 50, 500, 3_000])),
            },
            _ => RadioPlan {
                loss: rng.pick(&[0, 0, 50, 150]),
                duplication: rng.pick(&[0, 0, 50]),
                mangling: 0,
                delay: (1, rng.pick(&[5, 50, 500])),
            },
        };
        let trouble =
            weather.has_broker_trouble() || (weather == Weather::DiskTrouble && rng.chance(500));
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
        let sensors = rng.between(1, crowd) as usize;
        let (mut duration, mut pace) = (rng.between(60, 400) * 1_000, rng.between(2, 12) * 1_000);
        let prefix = rng.pick(&["", "", "site/"]);
        let comings_and_goings = !calm || rng.chance(300);
        let people = People::draw(rng, weather);
        if !weather.is_plain() {
            // Long enough for some naps each.
            let naps = rng.between(6, 14);
            duration = duration.max(people.sleep.1.max(60) * naps * 500);
            pace = pace.max(duration / rng.between(40, 90));
        }
        Self {
            weather,
            sensors,
            duration,
            pace,
            radio,
            broker,
            version,
            topic_prefix: prefix,
            comings_and_goings,
            people,
            rules: Rules::draw(rng, weather),
            disk: DiskPlan::steady(false),
            slow: None,
            tells: false,
        }
    }
}
