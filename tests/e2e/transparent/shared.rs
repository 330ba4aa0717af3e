//! Several connections that clients share.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::wait_for_mosquitto;
use crate::rig::{Device, Rig, Upstream, keep_for, publish_lines, with_mosquitto};

with_mosquitto!(
    clients_are_spread_over_three_connections_and_each_gets_its_own,
    what_is_in_the_spools_outlives_a_smaller_number,
);

fn clients_are_spread_over_three_connections_and_each_gets_its_own(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "connections = 3", "");
    for id in ["e2e", "e2e-2", "e2e-3"] {
        wait_for_mosquitto(&mut rig, &format!(" as {id} ("));
    }
    rig.gateway.wait_for_broker(3);
    let world = rig.listener(&["readings/#"]);
    let ids: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
    let mut devices: Vec<Device> = ids.iter().map(|id| rig.device(id)).collect();
    for (device, id) in devices.iter_mut().zip(&ids) {
        device.subscribe_to("all/#", Qos::One);
        device.subscribe_to("all/+/x", Qos::Two);
        device.subscribe_to(&format!("all/{id}/x"), Qos::One);
    }
    for id in &ids {
        rig.publish(&format!("all/{id}/x"), id, 2);
    }
    rig.publish("all/end", "end", 1);
    for (device, id) in devices.iter_mut().zip(&ids) {
        let all: Vec<String> =
            device.receive_until("end").into_iter().map(|received| received.payload).collect();
        assert_eq!(all, ids, "each once, for {id}");
    }
    let mut topics = Vec::new();
    for (device, id) in devices.iter_mut().zip(&ids) {
        topics.push(device.register(&format!("readings/{id}")).unwrap());
    }
    for number in 0..20 {
        for (device, topic) in devices.iter_mut().zip(&topics) {
            let qos = if number % 2 == 0 { Qos::One } else { Qos::Two };
            assert_eq!(device.publish(*topic, qos, &number.to_string()), ReturnCode::ACCEPTED);
        }
    }
    let all = world.take(12 * 20);
    let wanted: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for id in &ids {
        let topic = format!("readings/{id}");
        let its = all.iter().filter(|heard| heard.topic == topic);
        assert_eq!(its.map(|heard| heard.payload.clone()).collect::<Vec<_>>(), wanted);
    }
    rig.stop();
}

fn what_is_in_the_spools_outlives_a_smaller_number(upstream: Upstream) {
    let mut rig = Rig::start(upstream, "connections = 3", "");
    rig.gateway.wait_for_broker(3);
    keep_for(rig.broker(), "audience", "readings/#");
    let ids: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
    let mut devices: Vec<Device> = ids.iter().map(|id| rig.device(id)).collect();
    let topics: Vec<_> = devices
        .iter_mut()
        .zip(&ids)
        .map(|(device, id)| device.register(&format!("readings/{id}")).unwrap())
        .collect();
    rig.mosquitto().stop();
    for number in 0..5 {
        for (device, topic) in devices.iter_mut().zip(&topics) {
            let reading = number.to_string();
            assert_eq!(device.publish(*topic, Qos::One, &reading), ReturnCode::ACCEPTED);
        }
    }
    assert_eq!(rig.gateway.terminate(), 0);
    let path = rig.gateway.directory().join("gateway.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("connections = 3"));
    std::fs::write(&path, text.replace("connections = 3", "connections = 1")).unwrap();
    rig.mosquitto().restart();
    rig.gateway.restart_and_wait();
    let world =
        crate::rig::Listener::with(rig.broker(), &["readings/#"], &["-c", "-i", "audience"]);
    let all = world.take(9 * 5);
    let wanted: Vec<String> = (0..5).map(|number| number.to_string()).collect();
    for id in &ids {
        let topic = format!("readings/{id}");
        let its = all.iter().filter(|heard| heard.topic == topic);
        assert_eq!(its.map(|heard| heard.payload.clone()).collect::<Vec<_>>(), wanted, "{id}");
    }
    publish_lines(rig.broker(), "readings/end", &["end".to_owned()], 1);
    assert_eq!(world.until("end").len(), 9 * 5, "and nothing twice");
    rig.stop();
}
