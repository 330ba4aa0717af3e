//! Simulation: the real core and the real MQTT session between model sensors on a model radio and
//! a model broker, all in one thread and from one seed. A judge watches every datagram and every
//! packet for broken promises.
//!
//! ```text
//! cargo test --test sim                                  some hundred seeds of each weather
//! SIM_SEEDS=10000 cargo test --test sim seeds_lossy      more of them
//! SIM_SEED=1234 SIM_WEATHER=lossy cargo test --test sim -- one_seed --nocapture
//! SIM_TRACE=1 …                                          with every frame, both ways
//! SIM_SKIP=retained,granted-qos …                        looking past checks that fail for a known reason
//! ```

mod broker;
mod clock;
mod day;
mod devices;
mod disk;
mod ending;
mod ledger;
mod liars;
mod machine;
mod network;
mod oracle;
mod places;
mod plan;
mod rng;
mod runner;
mod sabotage;
mod sensor;
mod slow;
mod stacks;
mod tamper;
mod tcp;
mod told;
mod topics;
mod trace;
mod upstream;
mod wire;
mod world;

use plan::Weather;

#[test]
fn seeds_calm() {
    runner::seeds(Weather::Calm, 300);
}

#[test]
fn seeds_lossy() {
    runner::seeds(Weather::Lossy, 400);
}

#[test]
fn seeds_broker_trouble() {
    runner::seeds(Weather::BrokerTrouble, 400);
}

#[test]
fn seeds_naps() {
    runner::seeds(Weather::Naps, 200);
}

#[test]
fn seeds_naps_lossy() {
    runner::seeds(Weather::NapsLossy, 200);
}

#[test]
fn seeds_days() {
    runner::seeds(Weather::Days, 200);
}

#[test]
fn seeds_roaming() {
    runner::seeds(Weather::Roaming, 200);
}

#[test]
fn seeds_stacks() {
    runner::seeds(Weather::Stacks, 200);
}

#[test]
fn seeds_everything() {
    runner::seeds(Weather::Everything, 200);
}

#[test]
fn seeds_crashes() {
    runner::seeds(Weather::Crashes, 400);
}

#[test]
fn seeds_power_cuts() {
    runner::seeds(Weather::PowerCuts, 400);
}

#[test]
fn seeds_disk_trouble() {
    runner::seeds(Weather::DiskTrouble, 200);
}

#[test]
fn seeds_slow_links() {
    runner::seeds(Weather::SlowLinks, 400);
}

#[test]
fn seeds_slow_crashes() {
    runner::seeds(Weather::SlowCrashes, 400);
}

#[test]
fn seeds_devices() {
    runner::seeds(Weather::Devices, 300);
}

#[test]
fn seeds_devices_crashes() {
    runner::seeds(Weather::DevicesCrashes, 300);
}

/// The seed that `SIM_SEED` names, alone; nothing without it.
#[test]
fn one_seed() {
    runner::one();
}
