//! Devices that answer nothing. Others do not notice, and when they are well they are served again. It
//! takes the gateway some seconds to give up waiting, so these tests do several things at once.

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::{Place, Sensor, client_id, nus};
use crate::rig::received;

#[test]
fn devices_hang_when_they_are_written_to_and_others_do_not_notice() {
    let place = Place::new("");
    let (mut stuck, mut dropped, mut well) = (place.sensor(1), place.sensor(2), place.sensor(3));
    for device in [&mut stuck, &mut dropped, &mut well] {
        device.subscribe_to("down", Qos::One);
    }
    stuck.faults(|faults| faults.hanging_writes = 1);
    dropped.faults(|faults| faults.hanging_writes = 1);
    place.publish("down", "first", 1);
    assert_eq!(well.receive(), received("down", "first", Qos::One));
    // Of one the link goes meanwhile: that ends the waiting at once.
    dropped.drop_link();
    dropped.wait_for_link();
    assert_eq!(dropped.receive(), received("down", "first", Qos::One));
    assert_eq!(stuck.record().links, 1, "it is still waited for");
    for number in 0..20 {
        let data = format!("message {number}");
        place.publish("down", &data, 1);
        assert_eq!(well.receive(), received("down", &data, Qos::One));
        assert_eq!(dropped.receive(), received("down", &data, Qos::One));
    }
    stuck.wait_for("a link again", |record| record.links == 2);
    assert_eq!(stuck.receive(), received("down", "first", Qos::One));
    for number in 0..20 {
        assert_eq!(stuck.receive(), received("down", &format!("message {number}"), Qos::One));
    }
    assert!(!stuck.dismissed && !dropped.dismissed && !well.dismissed);
    assert_eq!(well.record().links, 1);
    place.stop();
}

#[test]
fn connecting_hangs_and_others_do_not_notice() {
    let place = Place::new("");
    let mut well = place.sensor(1);
    let mut stuck = Sensor::quiet(&place.bluez, nus(2));
    stuck.faults(|faults| faults.hanging_connects = 1);
    stuck.come_back();
    stuck.wait_for("the first try", |record| record.attempts == 1);
    let topic = well.register("up").unwrap();
    for _ in 0..20 {
        assert_eq!(well.publish(topic, Qos::One, "well"), ReturnCode::ACCEPTED);
    }
    // A new one waits until the gateway has given up.
    let mut new = Sensor::linked(&place.bluez, nus(3));
    assert_eq!(new.connect(&client_id(3)), ReturnCode::ACCEPTED);
    stuck.wait_for_link();
    assert_eq!(stuck.connect(&client_id(2)), ReturnCode::ACCEPTED);
    for device in [&mut well, &mut new, &mut stuck] {
        device.ping();
        assert_eq!(device.record().links, 1);
    }
    place.stop();
}

/// The library would wait for services of a device whose link has gone.
#[test]
fn a_link_goes_before_the_services_are_known() {
    let place = Place::new("");
    let mut well = place.sensor(1);
    let mut weak = Sensor::quiet(&place.bluez, nus(2));
    weak.faults(|faults| faults.broken_connects = 1);
    weak.come_back();
    weak.wait_for("a broken link", |record| record.links == 1);
    well.ping();
    weak.wait_for_link();
    assert_eq!(weak.connect(&client_id(2)), ReturnCode::ACCEPTED);
    assert_eq!((weak.record().links, well.record().links), (2, 1));
    place.stop();
}

/// The end of the gateway does not wait for anybody, and leaves nothing under way.
#[test]
fn the_gateway_ends_while_devices_hang() {
    let mut place = Place::new("");
    let mut mute = place.sensor(1);
    mute.subscribe_to("down", Qos::One);
    mute.faults(|faults| faults.hanging_writes = 1);
    place.publish("down", "nobody hears it", 1);
    let dead = Sensor::quiet(&place.bluez, nus(2));
    dead.faults(|faults| faults.hanging_connects = 1);
    dead.come_back();
    dead.wait_for("a try", |record| record.attempts == 1);
    assert_eq!(place.gateway.terminate(), 0);
    assert!(dead.is_left_alone() && mute.is_left_alone());
}

/// Of a device that is away, and may come back, nobody else is kept waiting: not even if there is but
/// one connection.
#[test]
fn a_device_that_is_lost_leaves_its_connection_to_others() {
    let place = Place::new("max_connections = 1");
    let lost = place.sensor(1);
    lost.leave();
    lost.wait_for("a try without a sign of it", |record| record.attempts == 2);
    let mut other = place.sensor(2);
    other.ping();
    place.stop();
}
