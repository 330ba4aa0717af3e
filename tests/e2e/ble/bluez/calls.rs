//! Calls of methods, answered as BlueZ does.

use std::collections::HashMap;

use zbus::message::Message;
use zbus::zvariant::OwnedValue;

use super::describe::{ADAPTER, CHARACTERISTIC, DEVICE};
use super::peripheral::{Write, take};
use super::state::{Event, Link, State};
use super::tree::{MANAGER, PROPERTIES};

type Options = HashMap<String, OwnedValue>;

/// The longest value that there is.
const LONGEST_VALUE: usize = 512;

impl State {
    /// A call, with the client that it comes from.
    pub fn call(&mut self, call: &Message) {
        let header = call.header();
        let text = |part: Option<String>| part.unwrap_or_default();
        let path = text(header.path().map(ToString::to_string));
        let interface = text(header.interface().map(ToString::to_string));
        let member = text(header.member().map(ToString::to_string));
        let client = text(header.sender().map(ToString::to_string));
        self.announce();
        let known = match interface.as_str() {
            PROPERTIES => self.property_call(call, &path, &member),
            MANAGER if path == "/" => {
                let body = Message::method_return(&header).unwrap();
                let answer = body.build(&self.announced.objects()).unwrap();
                self.outbox.push(answer);
                true
            }
            "org.freedesktop.DBus.Introspectable" => self.introspect(call, &path),
            _ if self.announced.properties(&path, &interface).is_none() => false,
            ADAPTER => self.adapter_call(call, &path, &member, &client),
            DEVICE => self.device_call(call, &path, &member),
            CHARACTERISTIC => self.characteristic_call(call, &path, &member, &client),
            _ => false,
        };
        if !known {
            let text = format!(
                "Method \"{member}\" with signature \"{}\" on interface \"{interface}\" doesn't exist\n",
                call.body().signature()
            );
            let name = "org.freedesktop.DBus.Error.UnknownMethod";
            self.outbox.push(Message::error(&header, name).unwrap().build(&text).unwrap());
        }
    }

    fn introspect(&mut self, call: &Message, path: &str) -> bool {
        let Some(xml) = self.announced.introspect(path) else { return false };
        self.answer(call, &xml);
        true
    }

    fn property_call(&mut self, call: &Message, path: &str, member: &str) -> bool {
        let body = call.body();
        match member {
            "GetAll" => {
                let interface: String = body.deserialize().unwrap();
                let Some(found) = self.announced.properties(path, &interface) else { return false };
                let answer = Message::method_return(&call.header()).unwrap().build(found).unwrap();
                self.outbox.push(answer);
            }
            "Get" => {
                let (interface, name): (String, String) = body.deserialize().unwrap();
                let Some(found) = self.announced.properties(path, &interface) else { return false };
                let Some(value) = found.get(&*name).cloned() else { return false };
                self.answer(call, &value);
            }
            "Set" => {
                let (_, name, value): (String, String, OwnedValue) = body.deserialize().unwrap();
                let Some(adapter) = self.adapter_at(path) else { return false };
                assert_eq!(name, "Powered", "a property that nobody has to set");
                let powered = bool::try_from(value).unwrap();
                if powered && self.adapters[adapter].blocked {
                    self.refuse(call, "Failed", "Failed");
                } else {
                    self.set_powered(adapter, powered);
                    self.answer(call, &());
                }
            }
            _ => return false,
        }
        true
    }

    fn adapter_at(&self, path: &str) -> Option<&'static str> {
        let name = path.strip_prefix("/org/bluez/")?;
        self.adapters.iter().find(|(key, one)| **key == name && one.plugged).map(|(key, _)| *key)
    }

    fn adapter_call(&mut self, call: &Message, path: &str, member: &str, client: &str) -> bool {
        let Some(name) = self.adapter_at(path) else { return false };
        let adapter = self.adapters.get_mut(name).unwrap();
        match member {
            "SetDiscoveryFilter" => {
                let mut options: Options = call.body().deserialize().unwrap();
                let uuids = options.remove("UUIDs").map(|uuids| Vec::try_from(uuids).unwrap());
                adapter.filters.insert(client.to_owned(), uuids.unwrap_or_default());
                self.answer(call, &());
            }
            "StartDiscovery" if !adapter.powered => {
                self.refuse(call, "NotReady", "Resource Not Ready");
            }
            "StartDiscovery" => {
                if adapter.discoverers.insert(client.to_owned()) {
                    adapter.discoveries += 1;
                    self.answer(call, &());
                } else {
                    self.refuse(call, "InProgress", "Operation already in progress");
                }
            }
            "StopDiscovery" => {
                if adapter.discoverers.remove(client) {
                    self.answer(call, &());
                } else {
                    self.refuse(call, "Failed", "No discovery started");
                }
            }
            "RemoveDevice" => {
                let device: zbus::zvariant::OwnedObjectPath = call.body().deserialize().unwrap();
                match self.device_at(device.as_str()) {
                    Some(id) => {
                        self.forget(id);
                        self.answer(call, &());
                    }
                    None => self.refuse(call, "DoesNotExist", "Does Not Exist"),
                }
            }
            _ => return false,
        }
        true
    }

    fn device_at(&self, path: &str) -> Option<usize> {
        self.devices.iter().position(|device| device.shown && device.path() == path)
    }

    fn device_call(&mut self, call: &Message, path: &str, member: &str) -> bool {
        let Some(id) = self.device_at(path) else { return false };
        let device = &mut self.devices[id];
        let powered = self.adapters[device.peripheral.adapter].powered;
        match (member, &device.link) {
            ("Connect", link) => {
                device.record.attempts += 1;
                match link {
                    _ if !powered => self.refuse(call, "NotReady", "Resource Not Ready"),
                    Link::Down => self.want_link(id, call.clone()),
                    Link::Wanted(_) => {
                        self.refuse(call, "InProgress", "Operation already in progress");
                    }
                    // A link is up already, also if another client wanted it.
                    Link::Up(_) => self.answer(call, &()),
                }
            }
            ("Disconnect", link) => {
                device.record.disconnects += 1;
                match link {
                    Link::Down => self.refuse(call, "NotConnected", "Not Connected"),
                    Link::Wanted(_) => {
                        self.drop_link(id);
                        self.answer(call, &());
                    }
                    Link::Up(_) => {
                        let event = Event::Dropped(id, device.epoch(), call.clone());
                        self.plan(self.timing.disconnect, event);
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn characteristic_call(
        &mut self,
        call: &Message,
        path: &str,
        member: &str,
        client: &str,
    ) -> bool {
        let found = self.devices.iter().enumerate().find_map(|(id, device)| {
            let all = device.characteristics().into_iter();
            let mut fitting = all.filter(|(other, _, _)| other == path);
            fitting.next().map(|(_, service, one)| (id, service, one))
        });
        let Some((id, service, one)) = found else { return false };
        let device = &mut self.devices[id];
        let described = &device.peripheral.services[service].characteristics[one];
        let can = |flag: &str| described.flags.contains(&flag);
        let Link::Up(up) = &mut device.link else { return false };
        match member {
            "StartNotify" if !can("notify") && !can("indicate") => {
                self.refuse(call, "NotSupported", "Operation is not supported");
            }
            "StartNotify" if take(&mut device.faults.failing_subscriptions) => {
                self.refuse(call, "Failed", "Operation failed with ATT error: 0x0e");
            }
            "StartNotify" => {
                up.notified.insert((path.to_owned(), client.to_owned()));
                device.record.subscriptions += 1;
                self.answer(call, &());
            }
            "StopNotify" => {
                if up.notified.remove(&(path.to_owned(), client.to_owned())) {
                    self.answer(call, &());
                } else {
                    self.refuse(call, "Failed", "No notify session started");
                }
            }
            "WriteValue" => {
                let (octets, mut options): (Vec<u8>, Options) = call.body().deserialize().unwrap();
                let kind = options.remove("type").map(|kind| String::try_from(kind).unwrap());
                let command = kind.as_deref() == Some("command");
                let possible = if command { can("write-without-response") } else { can("write") };
                let receives = described.uuid == device.peripheral.roles().receive;
                let fits = octets.len() <= if command { device.room() } else { LONGEST_VALUE };
                let device = &mut self.devices[id];
                let Link::Up(up) = &mut device.link else { return false };
                if !possible {
                    self.refuse(call, "NotSupported", "Operation is not supported");
                } else if !fits {
                    self.refuse(call, "InvalidArguments", "Invalid value length");
                } else if up.written.contains_key(path) {
                    self.refuse(call, "InProgress", "In Progress");
                } else if take(&mut device.faults.failing_writes) {
                    self.refuse(call, "Failed", "Operation failed with ATT error: 0x0e");
                } else if take(&mut device.faults.hanging_writes) {
                    if !command {
                        up.written.insert(path.to_owned(), None);
                    }
                } else {
                    if command {
                        self.answer(call, &());
                    } else {
                        up.written.insert(path.to_owned(), Some(call.clone()));
                        let event = Event::Written(id, device.epoch(), path.to_owned());
                        self.plan(self.timing.write, event);
                    }
                    if receives {
                        self.written(id, Write { octets, command });
                    }
                }
            }
            _ => return false,
        }
        true
    }
}
