//! The objects that BlueZ shows, with all that btleplug wants of them.

use zbus::zvariant::Value;

use super::state::{Adapter, Device, Link, State, Subscriptions};
use super::tree::{Tree, object};

pub const ADAPTER: &str = "org.bluez.Adapter1";
pub const DEVICE: &str = "org.bluez.Device1";
pub const SERVICE: &str = "org.bluez.GattService1";
pub const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";
pub const DESCRIPTOR: &str = "org.bluez.GattDescriptor1";

impl State {
    pub fn describe(&self) -> Tree {
        let mut tree = Tree::default();
        for (name, adapter) in self.adapters.iter().filter(|(_, adapter)| adapter.plugged) {
            adapter.describe(&mut tree, name);
        }
        for device in self.devices.iter().filter(|device| device.shown) {
            device.describe(&mut tree);
        }
        tree
    }
}

impl Adapter {
    fn describe(&self, tree: &mut Tree, name: &str) {
        let properties = [
            ("Address", Value::from(self.address)),
            ("AddressType", "public".into()),
            ("Alias", "rig".into()),
            ("Discovering", (!self.discoverers.is_empty()).into()),
            // btleplug parses it.
            ("Modalias", "usb:v1D6Bp0246d0542".into()),
            ("Name", "rig".into()),
            ("Powered", self.powered.into()),
            ("UUIDs", Vec::<String>::new().into()),
        ];
        tree.add(format!("/org/bluez/{name}"), ADAPTER, properties);
    }
}

impl Device {
    pub fn path(&self) -> String {
        let address = self.peripheral.address.replace(':', "_");
        format!("/org/bluez/{}/dev_{address}", self.peripheral.adapter)
    }

    /// Paths of all characteristics, as long as they are there, with their services' and their own
    /// places.
    pub fn characteristics(&self) -> Vec<(String, usize, usize)> {
        let services = self.peripheral.services.iter().enumerate();
        let all = services.flat_map(|(service, described)| {
            (0..described.characteristics.len()).map(move |one| {
                let path =
                    format!("{}/char{:04x}", self.service_path(service), handle(service, one));
                (path, service, one)
            })
        });
        all.collect()
    }

    /// The path of a characteristic.
    pub fn characteristic_path(&self, uuid: &str) -> Option<String> {
        let found = self.characteristics().into_iter().find(|(_, service, one)| {
            self.peripheral.services[*service].characteristics[*one].uuid == uuid
        });
        found.map(|(path, _, _)| path)
    }

    fn service_path(&self, service: usize) -> String {
        format!("{}/service{:04x}", self.path(), 1 + service * 0x20)
    }

    fn describe(&self, tree: &mut Tree) {
        let it = &self.peripheral;
        let subscriptions = match &self.link {
            Link::Up(up) => Some(up),
            Link::Down | Link::Wanted(_) => None,
        };
        let resolved = subscriptions.filter(|up| up.resolved);
        let mut uuids = it.advertised.clone();
        if resolved.is_some() {
            uuids.extend(it.services.iter().map(|service| service.uuid.clone()));
            uuids.sort_unstable();
            uuids.dedup();
        }
        let name = it.name.as_ref().filter(|_| self.heard > it.nameless);
        let properties = [
            ("Adapter", object(&format!("/org/bluez/{}", it.adapter)).into_owned().into()),
            ("Address", Value::from(it.address.clone())),
            ("AddressType", "random".into()),
            ("Alias", name.cloned().unwrap_or_else(|| it.address.replace(':', "-")).into()),
            ("Blocked", false.into()),
            ("Connected", subscriptions.is_some().into()),
            ("LegacyPairing", false.into()),
            ("Paired", false.into()),
            ("ServicesResolved", resolved.is_some().into()),
            ("Trusted", false.into()),
            ("UUIDs", uuids.into()),
        ];
        let properties = tree.add(self.path(), DEVICE, properties);
        if let Some(name) = name {
            properties.insert("Name", name.clone().into());
        }
        if let Some(rssi) = self.rssi {
            properties.insert("RSSI", rssi.into());
        }
        if let Some(up) = resolved {
            self.describe_services(tree, up);
        }
    }

    fn describe_services(&self, tree: &mut Tree, up: &Subscriptions) {
        let it = &self.peripheral;
        for (place, service) in it.services.iter().enumerate() {
            let properties = [
                ("Device", object(&self.path()).into_owned().into()),
                ("Primary", true.into()),
                ("UUID", Value::from(service.uuid.clone())),
            ];
            tree.add(self.service_path(place), SERVICE, properties);
        }
        for (path, service, one) in self.characteristics() {
            let described = &it.services[service].characteristics[one];
            let flags: Vec<String> =
                described.flags.iter().map(|flag| (*flag).to_owned()).collect();
            let notifying = up.notified.iter().any(|(other, _)| *other == path);
            let properties = [
                ("Flags", Value::from(flags)),
                ("Notifying", notifying.into()),
                ("Service", object(&self.service_path(service)).into_owned().into()),
                ("UUID", described.uuid.clone().into()),
            ];
            let properties = tree.add(path.clone(), CHARACTERISTIC, properties);
            if let Some(mtu) = it.mtu {
                properties.insert("MTU", mtu.into());
            }
            if described.flags.iter().any(|flag| matches!(*flag, "notify" | "indicate")) {
                let properties = [
                    ("Characteristic", object(&path).into_owned().into()),
                    ("UUID", Value::from("00002902-0000-1000-8000-00805f9b34fb")),
                ];
                let handle = handle(service, one) + 2;
                tree.add(format!("{path}/desc{handle:04x}"), DESCRIPTOR, properties);
            }
        }
    }
}

/// The handle of a characteristic's declaration; its value and its descriptor follow.
fn handle(service: usize, characteristic: usize) -> usize {
    2 + service * 0x20 + characteristic * 3
}
