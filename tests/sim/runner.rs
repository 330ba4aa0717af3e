//! Many seeds over all processors; one line to run a failing one again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::oracle::Verdict;
use crate::plan::Weather;
use crate::tamper::{Honest, Tamper};
use crate::world::World;

fn name(weather: Weather) -> &'static str {
    let row = Weather::ALL.iter().find(|(known, _)| *known == weather);
    row.map_or("lossy", |(_, name)| name)
}

pub(crate) fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Lives one seed through; a panic of the gateway is a verdict too.
pub fn live(seed: u64, weather: Weather, tamper: Box<dyn Tamper>) -> Verdict {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, weather, tamper);
        let verdict = world.live();
        verdict.map_err(|error| format!("{}{error} [at {}]", world.tail(), world.now()))
    }));
    lived.unwrap_or_else(|_| Err("panicked".into()))
}

/// Seeds 0 to `SIM_SEEDS` or `count`, from `SIM_FIRST` on.
pub fn seeds(weather: Weather, count: u64) {
    let first = variable("SIM_FIRST").unwrap_or(0);
    let end = first + variable("SIM_SEEDS").unwrap_or(count);
    let next = AtomicU64::new(first);
    let failures: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(error) = live(seed, weather, Box::new(Honest)) {
                        failures.lock().expect("no thread panics").push((seed, error));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no thread panics");
    failures.sort();
    for (seed, error) in failures.iter().take(200) {
        println!("{error}\n→ {}", again(*seed, weather));
    }
    let total = failures.len();
    assert!(
        total == 0,
        "{total} of {} seeds failed: {}",
        end - first,
        again(failures[0].0, weather)
    );
}

fn again(seed: u64, weather: Weather) -> String {
    format!(
        "SIM_SEED={seed} SIM_WEATHER={} cargo test --test sim -- one_seed --nocapture",
        name(weather)
    )
}

/// `SIM_SEED` in `SIM_WEATHER`.
pub fn one() {
    let Some(seed) = variable("SIM_SEED") else { return };
    let named = std::env::var("SIM_WEATHER").unwrap_or_default();
    let row = Weather::ALL.iter().find(|(_, known)| *known == named);
    let weather = row.map_or(Weather::Lossy, |(known, _)| *known);
    if let Err(error) = live(seed, weather, Box::new(Honest)) {
        panic!("{error}\n  {}", again(seed, weather));
    }
}
