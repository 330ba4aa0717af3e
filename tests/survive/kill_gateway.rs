//! kill -9 of the real gateway, again and again, at any moment: while it starts, while it reads its
//! state, in the middle of exchanges. No device may notice more than a datagram lost.

use std::thread;

use crate::chance::{self, Chance};
use crate::ledger::Owed;
use crate::rig::{Upstream, with_mosquitto};
use crate::storm::{Plan, Storm};

with_mosquitto!(killed_again_and_again);

fn killed_again_and_again(upstream: Upstream) {
    let seed = chance::seed(1);
    let kills = chance::number("SURVIVE_KILLS", 100);
    let plan = Plan { upstream, broker: "", connection: "", listening: true, seed };
    let mut storm = Storm::begin(&plan);
    let mut chance = Chance::new(seed);
    for kill in 1..=kills {
        // Some die before they have said a word. Now and then one lives until everybody has got
        // somewhere, or a slow machine would get nowhere.
        let age = if chance.one_in(5) { (0, 20) } else { (20, 150) };
        thread::sleep(chance.millis(age.0, age.1));
        if kill % 8 == 0 {
            storm.wait_for_progress();
        }
        storm.kill_gateway();
    }
    storm.end(&format!("{kills} times kill -9, {upstream:?}"), Owed::Everything);
}

/// Killed while the broker is away too: what waits for it waits in the journal alone.
#[test]
fn killed_while_the_broker_is_away() {
    let seed = chance::seed(2);
    let plan =
        Plan { upstream: Upstream::Mqtt5, broker: "", connection: "", listening: false, seed };
    let mut storm = Storm::begin(&plan);
    storm.settle_in();
    let mut chance = Chance::new(seed);
    let rounds = chance::number("SURVIVE_KILLS", 60).div_ceil(10);
    for _ in 0..rounds {
        thread::sleep(chance.millis(50, 200));
        storm.ledger.event(None, "the broker stops");
        storm.broker.stop();
        for _ in 0..5 {
            thread::sleep(chance.millis(10, 100));
            storm.kill_gateway();
        }
        storm.broker.restart();
        storm.gateway.wait_for_broker(1);
        thread::sleep(chance.millis(50, 200));
        storm.kill_gateway();
    }
    storm.end(&format!("{} times kill -9, broker away", rounds * 6), Owed::Everything);
}
