//! Adapters, devices and what becomes of them with time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use zbus::message::Message;

use super::firmware::Firmware;
use super::peripheral::{Faults, Peripheral, Record, Timing, Write, take};
use super::tree::{PROPERTIES, Tree, signal};

/// Unused MTU of a device whose BlueZ does not tell it: the least there is.
const LEAST_MTU: u16 = 23;

/// A Bluetooth adapter.
#[derive(Default)]
pub struct Adapter {
    pub address: &'static str,
    pub plugged: bool,
    pub powered: bool,
    /// It cannot be powered on, as with a switch on the machine.
    pub blocked: bool,
    /// Filters that clients have set.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Clients that discover.
    pub discoverers: BTreeSet<String>,
    /// Calls of StartDiscovery that succeeded.
    pub discoveries: usize,
}

/// The link of a device.
#[derive(Debug, Default)]
pub enum Link {
    #[default]
    Down,
    /// Connect waits for its answer.
    Wanted(Message),
    Up(Subscriptions),
}

/// What an established link has.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// The services are known.
    pub resolved: bool,
    /// Clients, by paths of characteristics.
    pub notified: BTreeSet<(String, String)>,
    /// Write requests under way, by paths of characteristics; without their calls if they are never
    /// answered.
    pub written: BTreeMap<String, Option<Message>>,
}

/// A device.
pub struct Device {
    pub peripheral: Peripheral,
    pub firmware: Firmware,
    pub faults: Faults,
    pub record: Record,
    pub link: Link,
    /// It sends adverts, if nobody is connected with it.
    pub on_air: bool,
    /// BlueZ shows it.
    pub shown: bool,
    /// Adverts heard since it is shown.
    pub heard: u32,
    last_heard: Option<Instant>,
    /// The signal of its last advert, dBm, as long as an adapter looks for devices.
    pub rssi: Option<i16>,
    /// Counts links, so that what is planned for one does not hit the next.
    epoch: u64,
}

/// Something that happens later.
pub enum Event {
    Adverts,
    Linked(usize, u64),
    Resolved(usize, u64),
    /// With the call of Disconnect.
    Dropped(usize, u64, Message),
    /// With the path of the characteristic.
    Written(usize, u64, String),
    Powered(&'static str),
}

/// Everything.
#[derive(Default)]
pub struct State {
    pub timing: Timing,
    pub adapters: BTreeMap<&'static str, Adapter>,
    pub devices: Vec<Device>,
    /// Most devices that were connected at once.
    pub most_linked: usize,
    agenda: BTreeMap<(Instant, u64), Event>,
    planned: u64,
    pub announced: Tree,
    /// For the bus.
    pub outbox: Vec<Message>,
}

impl State {
    /// Adds an adapter that is powered.
    pub fn add_adapter(&mut self, name: &'static str, address: &'static str) {
        let adapter = Adapter { address, plugged: true, powered: true, ..Adapter::default() };
        self.adapters.insert(name, adapter);
    }

    /// Adds a device that is on the air.
    pub fn add_device(&mut self, peripheral: Peripheral, firmware: Firmware) -> usize {
        self.devices.push(Device {
            peripheral,
            firmware,
            faults: Faults::default(),
            record: Record::default(),
            link: Link::Down,
            on_air: true,
            shown: false,
            heard: 0,
            last_heard: None,
            rssi: None,
            epoch: 0,
        });
        self.devices.len() - 1
    }

    /// Begins as bluetoothd does after its start.
    pub fn begin(&mut self) {
        self.plan(Duration::ZERO, Event::Adverts);
    }

    /// The end of bluetoothd: nothing is left of what it knew.
    pub fn end(&mut self) {
        for adapter in self.adapters.values_mut() {
            adapter.discoverers.clear();
            adapter.filters.clear();
        }
        for id in 0..self.devices.len() {
            self.drop_link(id);
            self.devices[id].shown = false;
        }
        self.agenda.clear();
        self.outbox.clear();
        self.announced = Tree::default();
    }

    pub fn plan(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.agenda.insert((Instant::now() + after, self.planned), event);
    }

    /// When something is to happen.
    pub fn next(&self) -> Option<Instant> {
        self.agenda.keys().next().map(|(when, _)| *when)
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now
        {
            let event = entry.remove();
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Adverts => {
                for id in 0..self.devices.len() {
                    self.advertise(id);
                }
                self.plan(self.timing.adverts, Event::Adverts);
            }
            Event::Linked(id, epoch) if self.devices[id].epoch == epoch => self.link(id),
            Event::Resolved(id, epoch) if self.devices[id].epoch == epoch => {
                if take(&mut self.devices[id].faults.broken_connects) {
                    self.drop_link(id);
                } else if let Link::Up(up) = &mut self.devices[id].link {
                    up.resolved = true;
                }
            }
            Event::Dropped(id, epoch, call) => {
                if self.devices[id].epoch == epoch {
                    self.drop_link(id);
                }
                self.answer(&call, &());
            }
            Event::Written(id, epoch, path) if self.devices[id].epoch == epoch => {
                if let Link::Up(up) = &mut self.devices[id].link
                    && let Some(Some(call)) = up.written.remove(&path)
                {
                    self.answer(&call, &());
                }
            }
            Event::Powered(name) => {
                let adapter = self.adapters.get_mut(name).unwrap();
                adapter.powered = adapter.plugged && !adapter.blocked;
            }
            Event::Linked(..) | Event::Resolved(..) | Event::Written(..) => {}
        }
    }

    fn advertise(&mut self, id: usize) {
        let device = &mut self.devices[id];
        let adapter = &self.adapters[device.peripheral.adapter];
        let looking = !adapter.discoverers.is_empty();
        let wanted = |client: &String| {
            let filter = adapter.filters.get(client).map_or(&[][..], |filter| filter);
            filter.is_empty()
                || filter.iter().any(|uuid| device.peripheral.advertised.contains(uuid))
        };
        let heard = device.on_air && looking && adapter.powered && adapter.plugged;
        let down = matches!(device.link, Link::Down);
        if heard && down && (device.shown || adapter.discoverers.iter().any(wanted)) {
            if !device.shown {
                device.heard = 0;
            } else {
                // It changes a little each time, or there would be no signal of it.
                device.rssi = Some(if device.rssi == Some(-60) { -61 } else { -60 });
            }
            device.shown = true;
            device.heard += 1;
            device.last_heard = Some(Instant::now());
        } else if let Some(memory) = self.timing.memory
            && down
            && device.last_heard.is_none_or(|last| last.elapsed() > memory)
        {
            device.shown = false;
        }
    }

    /// Begins to connect; the device must be on the air for more.
    pub fn want_link(&mut self, id: usize, call: Message) {
        let device = &mut self.devices[id];
        device.epoch += 1;
        device.link = Link::Wanted(call);
        if !take(&mut device.faults.hanging_connects) {
            let event = Event::Linked(id, device.epoch);
            self.plan(self.timing.connect, event);
        }
    }

    fn link(&mut self, id: usize) {
        let device = &mut self.devices[id];
        if !device.on_air || !matches!(device.link, Link::Wanted(_)) {
            return;
        }
        let Link::Wanted(call) = std::mem::take(&mut device.link) else { return };
        if take(&mut device.faults.failing_connects) {
            self.refuse(&call, "Failed", "le-connection-abort-by-local");
            return;
        }
        device.link = Link::Up(Subscriptions::default());
        device.record.links += 1;
        let event = Event::Resolved(id, device.epoch);
        let up = self.devices.iter().filter(|device| device.is_linked()).count();
        self.most_linked = self.most_linked.max(up);
        self.plan(self.timing.discovery, event);
        self.answer(&call, &());
    }

    /// Puts a device on the air or takes it off; a link that there is stays.
    pub fn set_on_air(&mut self, id: usize, on_air: bool) {
        let device = &mut self.devices[id];
        device.on_air = on_air;
        let event = Event::Linked(id, device.epoch);
        if on_air && matches!(device.link, Link::Wanted(_)) {
            self.plan(self.timing.connect, event);
        }
    }

    /// The link goes, whoever wanted it.
    pub fn drop_link(&mut self, id: usize) {
        let device = &mut self.devices[id];
        device.epoch += 1;
        device.firmware.forget();
        match std::mem::take(&mut device.link) {
            Link::Down => {}
            Link::Wanted(call) => self.refuse(&call, "Failed", "le-connection-abort-by-local"),
            Link::Up(up) => {
                for call in up.written.into_values().flatten() {
                    self.refuse(&call, "Failed", "Operation failed with ATT error: 0x0e");
                }
            }
        }
    }

    /// BlueZ forgets a device; it shows it again when it hears it.
    pub fn forget(&mut self, id: usize) {
        self.drop_link(id);
        self.devices[id].shown = false;
    }

    pub fn set_powered(&mut self, name: &str, powered: bool) {
        let adapter = self.adapters.get_mut(name).unwrap();
        adapter.powered = powered;
        if !powered {
            adapter.discoverers.clear();
            for id in self.devices_at(name) {
                self.drop_link(id);
            }
        }
    }

    /// Whether it cannot be powered on.
    pub fn set_blocked(&mut self, name: &str, blocked: bool) {
        self.adapters.get_mut(name).unwrap().blocked = blocked;
    }

    /// Pulls the adapter out of the machine.
    pub fn unplug(&mut self, name: &str) {
        self.set_powered(name, false);
        for id in self.devices_at(name) {
            self.devices[id].shown = false;
        }
        let adapter = self.adapters.get_mut(name).unwrap();
        adapter.plugged = false;
        adapter.filters.clear();
    }

    /// Puts it in; BlueZ powers it on a little later.
    pub fn plug(&mut self, name: &'static str) {
        self.adapters.get_mut(name).unwrap().plugged = true;
        self.plan(Duration::from_millis(20), Event::Powered(name));
    }

    fn devices_at(&self, name: &str) -> Vec<usize> {
        let at = |id: &usize| self.devices[*id].peripheral.adapter == name;
        (0..self.devices.len()).filter(at).collect()
    }

    /// A client has left the bus.
    pub fn forget_client(&mut self, client: &str) {
        for adapter in self.adapters.values_mut() {
            adapter.discoverers.remove(client);
            adapter.filters.remove(client);
        }
        for device in &mut self.devices {
            if let Link::Up(up) = &mut device.link {
                up.notified.retain(|(_, other)| other != client);
            }
        }
    }

    /// The device sends octets, in pieces that fit; lost if nobody is subscribed.
    pub fn notify(&mut self, id: usize, octets: &[u8]) {
        let Some(path) = self.sending_path(id) else { return };
        for piece in octets.chunks(self.devices[id].room()) {
            let changed = BTreeMap::from([("Value", zbus::zvariant::Value::from(piece.to_vec()))]);
            let body = ("org.bluez.GattCharacteristic1", changed, Vec::<&str>::new());
            let message = signal(&path, PROPERTIES, "PropertiesChanged", &body);
            self.announce();
            self.outbox.push(message);
        }
    }

    /// A sensor sends a packet; lost without a link, as on the air.
    pub fn packet(&mut self, id: usize, from: std::net::SocketAddr, packet: Vec<u8>) {
        let Firmware::Sensor(bridge) = &mut self.devices[id].firmware else { return };
        for notification in bridge.send(from, packet) {
            self.notify(id, &notification);
        }
    }

    /// The path of the characteristic that sends, if somebody is subscribed to it.
    pub fn sending_path(&self, id: usize) -> Option<String> {
        let device = &self.devices[id];
        let Link::Up(up) = &device.link else { return None };
        let path = device.characteristic_path(&device.peripheral.roles().send)?;
        up.notified.iter().any(|(other, _)| *other == path).then_some(path)
    }

    /// Something was written to the characteristic that receives.
    pub fn written(&mut self, id: usize, write: Write) {
        let answer = self.devices[id].firmware.hear(&write.octets);
        self.devices[id].record.writes.push(write);
        self.notify(id, &answer);
    }

    /// Signals of what has changed.
    pub fn announce(&mut self) {
        // A strength is told only as long as somebody looks for devices.
        for device in &mut self.devices {
            if self.adapters[device.peripheral.adapter].discoverers.is_empty() {
                device.rssi = None;
            }
        }
        let tree = self.describe();
        self.outbox.extend(tree.changes_since(&self.announced));
        self.announced = tree;
    }

    /// Answers a call, after the signals of what it has changed.
    pub fn answer<B>(&mut self, call: &Message, body: &B)
    where
        B: zbus::export::serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.announce();
        self.outbox.push(Message::method_return(&call.header()).unwrap().build(body).unwrap());
    }

    /// Answers a call with an error of BlueZ.
    pub fn refuse(&mut self, call: &Message, error: &str, text: &str) {
        self.announce();
        let name = format!("org.bluez.Error.{error}");
        let message = Message::error(&call.header(), name).unwrap().build(&text).unwrap();
        self.outbox.push(message);
    }
}

impl Device {
    /// How much fits into one notification or one write.
    pub fn room(&self) -> usize {
        usize::from(self.peripheral.mtu.unwrap_or(LEAST_MTU)) - 3
    }

    pub fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}
