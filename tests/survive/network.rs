//! The network between gateway and broker fails in all the ways that a network has.

use std::thread;

use crate::chance::{self, Chance};
use crate::ledger::Owed;
use crate::proxy::{Cut, Network};
use crate::rig::{Upstream, with_mosquitto};
use crate::storm::{Plan, Storm};

with_mosquitto!(a_network_that_fails);

fn a_network_that_fails(upstream: Upstream) {
    let seed = chance::seed(6);
    // A stalled connection is noticed by its keep-alive, and one that is being made by its timeout.
    let connection = "keep_alive = \"1s\"\nconnect_timeout = \"500ms\"";
    let plan = Plan { upstream, broker: "", connection, listening: true, seed };
    let storm = Storm::begin(&plan);
    storm.settle_in();
    let mut chance = Chance::new(seed);
    let rounds = chance::number("SURVIVE_KILLS", 150) / 10;
    let mut counts = [0; 5];
    for round in 0..rounds {
        storm.wait_for_progress();
        thread::sleep(chance.millis(0, 200));
        // Each kind comes, whatever the dice say.
        let way = (round % 5) as usize;
        counts[way] += 1;
        match way {
            0 => storm.proxy.cut(Cut::Close),
            1 => storm.proxy.cut(Cut::Reset),
            2 => {
                storm.proxy.set(Network::Closed);
                storm.proxy.cut(Cut::Reset);
                thread::sleep(chance.millis(50, 400));
                storm.proxy.set(Network::Whole);
            }
            3 => {
                // Half-open until the gateway gives up, and the next connection too.
                let before = storm.proxy.accepted();
                storm.proxy.set(Network::Stalled);
                crate::storm::wait("another connection", || storm.proxy.accepted() > before + 1);
                // What the dead connections still hold never arrives.
                storm.proxy.cut(Cut::Reset);
                storm.proxy.set(Network::Whole);
            }
            _ => {
                // A pause that nobody gives up for.
                storm.proxy.set(Network::Stalled);
                thread::sleep(chance.millis(50, 400));
                storm.proxy.set(Network::Whole);
            }
        }
    }
    let [closed, reset, away, half_open, paused] = counts;
    storm.end(
        &format!(
            "network: {closed} times closed, {reset} reset, {away} away, {half_open} half-open, \
             {paused} paused, {upstream:?}"
        ),
        Owed::Everything,
    );
}
