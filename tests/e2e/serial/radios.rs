//! What holds for every radio with addresses.

use std::net::SocketAddr;

use mqtt_sn_gateway::codec::{Qos, ReturnCode};

use super::logged;
use super::radio::{Modem, Radio};
use crate::rig::{Device, Gateway, Heard, Listener, heard, publish, received};

/// What has gone up, in order.
pub struct Up {
    listener: Listener,
    heard: Vec<Heard>,
}

impl Up {
    pub fn new(broker: SocketAddr) -> Self {
        Self { listener: Listener::start(broker, &["up/#"]), heard: Vec::new() }
    }

    /// The device publishes, and it arrives once.
    #[track_caller]
    pub fn publish(&mut self, device: &mut Device, name: &str, data: &str, qos: (Qos, u8)) {
        let topic = device.register(name).unwrap();
        assert_eq!(device.publish(topic, qos.0, data), ReturnCode::ACCEPTED);
        self.heard.push(heard(name, data, qos.1));
        assert_eq!(self.listener.take(self.heard.len()), self.heard);
    }
}

/// Everything that devices do, three of them at once, with octets that framings have to mind.
pub fn a_whole_day<M: Modem>(
    radio: &Radio<M>,
    addresses: [u8; 3],
    gateway: &Gateway,
    broker: SocketAddr,
) {
    let mut up = Up::new(broker);
    let special = "\u{10}\u{2}\u{3}~}\u{11}\u{13}ÀÛÜÝ";
    let mut devices: Vec<Device> = addresses
        .iter()
        .map(|address| Device::connected(radio.device(*address), &format!("device-{address}")))
        .collect();
    for (device, address) in devices.iter_mut().zip(addresses) {
        for qos in [(Qos::Zero, 0), (Qos::One, 1), (Qos::Two, 2)] {
            let data = format!("{special}{}", qos.1);
            up.publish(device, &format!("up/{address}"), &data, qos);
        }
        device.subscribe_to(&format!("to/{address}"), Qos::Two);
        device.subscribe_to("all", Qos::One);
    }
    // At once, and each has its own.
    for (round, number) in [(0, 0), (1, 1), (2, 2)] {
        for address in addresses {
            publish(
                broker,
                &format!("to/{address}"),
                &format!("{special}{address} {round}"),
                number,
            );
        }
    }
    publish(broker, "all", "for all", 1);
    for (device, address) in devices.iter_mut().zip(addresses) {
        let mut data: Vec<String> = (0..4).map(|_| device.receive().payload.to_string()).collect();
        data.sort();
        let mut expected: Vec<String> =
            (0..3).map(|round| format!("{special}{address} {round}")).collect();
        expected.push("for all".to_owned());
        expected.sort();
        assert_eq!(data, expected);
    }
    // A sleeper, while another one is awake.
    let [sleeper, other, _] = devices.as_mut_slice() else { panic!("three") };
    sleeper.sleep(600);
    let (id, to) = (format!("device-{}", addresses[0]), format!("to/{}", addresses[0]));
    publish(broker, &to, "while it slept", 1);
    publish(broker, &to, "and more", 2);
    publish(broker, &format!("to/{}", addresses[1]), "meanwhile", 1);
    assert_eq!(&*other.receive().payload, "meanwhile");
    let mut collected = Vec::new();
    while collected.len() < 2 {
        collected.extend(sleeper.collect(&id));
    }
    let payloads: Vec<&str> = collected.iter().map(|message| &*message.payload).collect();
    assert_eq!(payloads, ["while it slept", "and more"]);
    for address in addresses {
        let from = format!("{address:02X} on serial {}, keep-alive", radio.path(0).display());
        assert_eq!(logged(gateway, &from), 1, "{from}");
    }
    assert_eq!(logged(gateway, "not MQTT-SN"), 0);
}

/// A radio that is restarted in the middle of traffic, and one that is unplugged: nobody has to
/// connect again, nothing is lost, and nothing comes twice.
pub fn restarts<M: Modem>(radio: &Radio<M>, address: u8, gateway: &Gateway, broker: SocketAddr) {
    let mut up = Up::new(broker);
    let mut device = Device::connected(radio.device(address), "steady");
    device.subscribe_to("down", Qos::Two);
    let mut exchange = |data: &str| {
        assert_eq!(device.receive(), received("down", data, Qos::Two));
        up.publish(&mut device, "up", data, (Qos::One, 1));
    };
    for round in 1..=2 {
        let data = format!("restarted {round}");
        publish(broker, "down", &data, 2);
        radio.with(|modem, doing| modem.start(doing));
        exchange(&data);

        radio.unplug();
        gateway.log.wait("the line to be gone", |lines| {
            let gone = lines.iter().filter(|line| line.contains("the device is gone")).count();
            (gone >= round).then_some(())
        });
        let data = format!("unplugged {round}");
        publish(broker, "down", &data, 2);
        radio.plug();
        exchange(&data);
    }
    assert!(!device.dismissed);
    assert_eq!(logged(gateway, "\"steady\" connected"), 1);
}

/// A radio that fails with some packets: they are sent again by MQTT-SN, and the operator can read how
/// many failed.
pub fn losses<M: Modem>(radio: &Radio<M>, gateway: &mut Gateway, broker: SocketAddr) {
    let mut up = Up::new(broker);
    let mut device = Device::connected(radio.device(5), "device");
    device.subscribe_to("down", Qos::One);
    for number in 0..4 {
        let data = number.to_string();
        publish(broker, "down", &data, 1);
        assert_eq!(device.receive(), received("down", &data, Qos::One));
        up.publish(&mut device, "up", &data, (Qos::Two, 2));
    }
    assert_eq!(gateway.terminate(), 0);
    gateway.log.wait_for_end();
    assert_eq!(logged(gateway, "and failed with 0,"), 0);
    assert_eq!(logged(gateway, "the radio delivered"), 1);
}
