//! Devices with Bluetooth LE, without a radio: a bus of each test's own, and on it a stand-in for
//! BlueZ with devices that do as they are told.

mod bluez;
mod bus;
mod capture;
mod check;
mod comings;
mod crowd;
mod everyday;
mod hangs;
mod rig;
mod sensor;
mod storm;
mod trouble;
mod wear;
mod who;

use std::net::SocketAddr;

use mqtt_sn_gateway::codec::ReturnCode;

use crate::rig::{Gateway, Listener, configuration, mosquitto, publish};
use crate::support::mosquitto::Mosquitto;
use bluez::{Bluez, Peripheral};
use bus::Bus;
use sensor::Sensor;

/// A gateway with a link by Bluetooth only, and everything around it. Dropped from the first to the
/// last.
struct Place {
    gateway: Gateway,
    bluez: Bluez,
    bus: Bus,
    _mosquitto: Mosquitto,
    broker: SocketAddr,
}

impl Place {
    /// Lines of the `[[ble]]`.
    #[track_caller]
    fn new(lines: &str) -> Self {
        let bus = Bus::new();
        let bluez = Bluez::on(&bus);
        Self::with(bus, bluez, &format!("[[ble]]\n{lines}\n"))
    }

    /// Whole tables.
    #[track_caller]
    fn with(bus: Bus, bluez: Bluez, tables: &str) -> Self {
        let mosquitto = mosquitto("");
        let broker = mosquitto.address();
        // What is written while a link goes is lost, and comes again soon.
        let rest = format!("{tables}\n[sessions]\nretry_interval = \"1s\"\nretry_count = 100\n");
        let text = configuration(&format!("mqtt://{broker}"), "", &rest);
        let text = text.replace("[[udp]]\nlisten = \"127.0.0.1:0\"\n", "");
        let environment = vec![("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), bus.address())];
        let gateway = Gateway::start_with(tempfile::tempdir().unwrap(), &text, environment);
        gateway.wait_for_broker(1);
        Self { gateway, bluez, bus, _mosquitto: mosquitto, broker }
    }

    /// A device with Nordic's service, connected by Bluetooth and by MQTT-SN.
    #[track_caller]
    fn sensor(&self, number: u8) -> Sensor {
        let mut sensor = Sensor::linked(&self.bluez, nus(number));
        assert_eq!(sensor.connect(&client_id(number)), ReturnCode::ACCEPTED);
        sensor
    }

    #[track_caller]
    fn listener(&self, filters: &[&str]) -> Listener {
        Listener::start(self.broker, filters)
    }

    /// A message from the world.
    #[track_caller]
    fn publish(&self, topic: &str, payload: &str, qos: u8) {
        publish(self.broker, topic, payload, qos);
    }

    /// SIGTERM, and nothing to complain about.
    #[track_caller]
    fn stop(mut self) {
        assert_eq!(self.gateway.terminate(), 0, "exit code after SIGTERM");
        self.gateway.log.wait_for_end();
        assert_eq!(self.gateway.log.count("panicked"), 0);
    }
}

fn address(number: u8) -> String {
    format!("F0:11:22:33:44:{number:02X}")
}

fn nus(number: u8) -> Peripheral {
    Peripheral::nus(&address(number))
}

fn client_id(number: u8) -> String {
    format!("sensor-{number}")
}
