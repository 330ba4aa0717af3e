//! A hundred thousand clients: they can be looked at, and devices are served meanwhile. What it takes is printed
//! for people: `cargo test --release --test e2e admin::crowd -- --nocapture`

use std::time::{Duration, Instant};

use mqtt_sn_gateway::codec::{PublishTopic, Qos};

use super::http::get;
use super::start;
use crate::rig::connect_crowd;

const CLIENTS: u32 = 100_000;

#[test]
fn looking_at_a_hundred_thousand_clients() {
    let (rig, admin) = start(&format!("[sessions]\nmax_clients = {}\n", CLIENTS + 10));
    connect_crowd(rig.gateway.link(), 0..CLIENTS);
    let mut device = rig.device("probe");
    for (what, path) in [
        ("scrape", "/metrics"),
        ("a page of 100", "/api/v1/clients"),
        ("a filter that fits one", "/api/v1/clients?q=client-099999"),
        ("a filter that fits none", "/api/v1/clients?state=asleep"),
        ("one client", "/api/v1/clients/client-050000"),
    ] {
        let mut times: Vec<Duration> = Vec::new();
        // Meanwhile a device is served; how long it waits shows what the loop is kept from.
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let asked = std::thread::spawn(move || {
                let start = Instant::now();
                assert_eq!(get(admin, path).status, 200);
                start.elapsed()
            });
            while !asked.is_finished() {
                let start = Instant::now();
                device.publish(PublishTopic::Short(*b"ab"), Qos::Zero, "x");
                device.ping();
                longest = longest.max(start.elapsed());
            }
            times.push(asked.join().unwrap());
        }
        times.sort();
        println!(
            "{what:24} median {:?}, longest {:?}; a ping beside it at most {longest:?}",
            times[10], times[19]
        );
    }
}
