//! The broker is stopped, killed and started again under traffic.

use std::thread;

use crate::chance::{self, Chance};
use crate::ledger::Owed;
use crate::rig::{Upstream, with_mosquitto};
use crate::storm::{Plan, Storm};

with_mosquitto!(a_broker_that_remembers, a_broker_that_forgets, both_at_once);

/// Stopped with SIGTERM: only then mosquitto writes down everything that it has acknowledged. (With
/// `autosave_interval 1` it does so after each turn of its loop, and acknowledges before.)
fn a_broker_that_remembers(upstream: Upstream) {
    let seed = chance::seed(3);
    let plan = Plan { upstream, broker: "", connection: "", listening: false, seed };
    let mut storm = Storm::begin(&plan);
    storm.settle_in();
    let mut chance = Chance::new(seed);
    let rounds = chance::number("SURVIVE_KILLS", 80) / 8;
    for _ in 0..rounds {
        thread::sleep(chance.millis(20, 400));
        storm.ledger.event(None, "the broker stops");
        storm.broker.stop();
        thread::sleep(chance.millis(0, 300));
        storm.broker.restart();
    }
    storm.end(&format!("broker stopped {rounds} times, {upstream:?}"), Owed::Everything);
}

/// Killed with SIGKILL, and without a file to remember by. It loses what it has acknowledged and
/// not yet delivered, so the accounts are those of the connection between it and the gateway.
fn a_broker_that_forgets(upstream: Upstream) {
    let seed = chance::seed(4);
    let broker = "persistence false";
    let plan = Plan { upstream, broker, connection: "", listening: true, seed };
    let mut storm = Storm::begin(&plan);
    storm.settle_in();
    let mut chance = Chance::new(seed);
    let rounds = chance::number("SURVIVE_KILLS", 80) / 8;
    for _ in 0..rounds {
        thread::sleep(chance.millis(20, 400));
        storm.ledger.event(None, "the broker is killed");
        storm.broker.kill();
        thread::sleep(chance.millis(0, 300));
        storm.broker.restart();
    }
    storm.end(&format!("forgetful broker killed {rounds} times, {upstream:?}"), Owed::ByTheGateway);
}

/// Broker and gateway die in turns, sometimes both.
fn both_at_once(upstream: Upstream) {
    let seed = chance::seed(5);
    let plan = Plan { upstream, broker: "", connection: "", listening: false, seed };
    let mut storm = Storm::begin(&plan);
    storm.settle_in();
    let mut chance = Chance::new(seed);
    let rounds = chance::number("SURVIVE_KILLS", 80) / 8;
    for _ in 0..rounds {
        thread::sleep(chance.millis(20, 300));
        storm.ledger.event(None, "the broker stops");
        storm.broker.stop();
        if chance.one_in(2) {
            thread::sleep(chance.millis(0, 50));
            storm.kill_gateway();
        }
        storm.broker.restart();
        if chance.one_in(2) {
            thread::sleep(chance.millis(0, 100));
            storm.kill_gateway();
        }
    }
    storm.end(&format!("both down {rounds} times, {upstream:?}"), Owed::Everything);
}
