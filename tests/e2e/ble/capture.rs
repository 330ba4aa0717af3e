//! What no sniffer on the machine hears, for Wireshark.

use super::{Bluez, Bus, Place};
use crate::admin::http::{address, request};
use crate::capture::tshark;

#[test]
fn what_goes_over_bluetooth_is_in_a_capture() {
    let bus = Bus::new();
    let bluez = Bluez::on(&bus);
    let place = Place::with(bus, bluez, "[[ble]]\n\n[admin]\nlisten = \"127.0.0.1:0\"\n");
    let admin = address(&place.gateway);
    let ask = |method: &str| {
        let answer = request(admin, method, "/api/v1/capture", "X-Requested-With: test\r\n", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let file = ask("POST")["file"].as_str().expect("a name").to_owned();
    let mut sensor = place.sensor(1);
    sensor.ping();
    sensor.disconnect();
    assert_eq!(ask("DELETE")["active"], false);

    let file = place.gateway.state().join("captures").join(file);
    let mut seen = tshark(&file);
    seen.retain(|seen| !seen.comment.ends_with("to everybody"));
    let types: Vec<_> = seen.iter().map(|seen| (seen.inbound, seen.types[0])).collect();
    let both = |[out, back]: [u8; 2]| [(true, out), (false, back)];
    assert_eq!(types, [[4, 5], [0x16, 0x17], [0x18, 0x18]].map(both).concat());
    for seen in seen {
        assert!(seen.interface.starts_with("ble"), "{seen:?}");
        let heard = if seen.inbound { ", RSSI -6" } else { "" };
        let begin = format!("{}, address F0:11:22:33:44:01{heard}", seen.interface);
        assert!(seen.comment.starts_with(&begin), "{seen:?}");
        assert!(seen.comment.ends_with(", client \"sensor-1\""), "{seen:?}");
    }
    place.stop();
}
