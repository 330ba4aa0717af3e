//! All troubles at once, by chance; when they are over, nothing is lost and nobody is left out.

use std::thread::JoinHandle;
use std::time::Duration;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::{Place, Sensor, client_id, nus};

#[path = "../../support/random.rs"]
mod random;
use random::Random;

const DEVICES: u8 = 4;
/// Messages each way.
const MESSAGES: usize = 30;
const TROUBLES: usize = 40;

/// A device that speaks and listens until it has had everything; what it got, and it back.
fn lives(mut device: Sensor, number: u8) -> JoinHandle<(Vec<String>, Sensor)> {
    std::thread::spawn(move || {
        let topic = device.register(&format!("up/{number}")).unwrap();
        let mut got = Vec::new();
        for message in 0..MESSAGES {
            let data = message.to_string();
            assert_eq!(device.publish(topic, Qos::One, &data), ReturnCode::ACCEPTED);
            got.extend(device.inbox());
            std::thread::sleep(Duration::from_millis(100));
        }
        let last = (MESSAGES - 1).to_string();
        while got.last().is_none_or(|message| message.payload != last) {
            got.push(device.receive());
        }
        (got.into_iter().map(|message| message.payload).collect(), device)
    })
}

/// Each of them, in this order; what came again does not count.
fn assert_complete(mut got: Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    got.retain(|data| seen.insert(data.clone()));
    assert_eq!(got, (0..MESSAGES).map(|number| number.to_string()).collect::<Vec<_>>());
}

fn storm(seed: u64) {
    let place = Place::new("");
    let listener = place.listener(&["up/#"]);
    let devices: Vec<Sensor> = (0..DEVICES)
        .map(|number| {
            let mut device = Sensor::linked(&place.bluez, nus(number).with_mtu(40));
            // It outlives its keep-alive.
            assert_eq!(device.connect_with(&client_id(number), true, 600), ReturnCode::ACCEPTED);
            device.subscribe_to("down", Qos::One);
            device
        })
        .collect();
    let ids: Vec<usize> = devices.iter().map(Sensor::id).collect();
    let lives: Vec<_> = (0..).zip(devices).map(|(number, it)| lives(it, number)).collect();

    let mut random = Random(seed);
    for trouble in 0..TROUBLES {
        if trouble < MESSAGES {
            place.publish("down", &trouble.to_string(), 1);
        }
        let id = ids[random.below(ids.len())];
        let kind = random.below(20);
        place.bluez.with(move |state| {
            let faults = &mut state.devices[id].faults;
            match kind {
                0..=1 => faults.failing_connects += 1,
                2..=3 => faults.failing_writes += 1,
                4 => faults.failing_subscriptions += 1,
                5..=9 => state.drop_link(id),
                10..=11 => {
                    state.set_on_air(id, false);
                    state.drop_link(id);
                }
                12..=15 => state.set_on_air(id, true),
                16 => state.forget(id),
                _ => {}
            }
        });
        match kind {
            17 => {
                place.bluez.with(|state| state.set_powered("hci0", false));
                std::thread::sleep(Duration::from_millis(50));
                place.bluez.with(|state| state.set_powered("hci0", true));
            }
            18 => {
                place.bluez.with(|state| state.unplug("hci0"));
                std::thread::sleep(Duration::from_millis(50));
                place.bluez.with(|state| state.plug("hci0"));
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    place.bluez.with(|state| {
        for id in 0..state.devices.len() {
            state.devices[id].faults = super::bluez::Faults::default();
            state.set_on_air(id, true);
        }
    });
    for life in lives {
        let (got, device) = life.join().unwrap();
        assert_complete(got);
        assert!(!device.dismissed);
    }
    for number in 0..DEVICES {
        let topic = format!("up/{number}");
        let up = listener.wait("everything that the devices said", |heard| {
            let of_it = heard.iter().filter(|heard| heard.topic == topic);
            let data: Vec<_> = of_it.map(|heard| heard.payload.clone()).collect();
            data.contains(&(MESSAGES - 1).to_string()).then_some(data)
        });
        assert_complete(up);
    }
    place.stop();
}

#[test]
fn a_storm() {
    storm(1);
}

#[test]
fn another_storm() {
    storm(2);
}
