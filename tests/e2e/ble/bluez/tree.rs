//! What BlueZ shows on the bus: objects with interfaces and properties.

use std::collections::{BTreeMap, BTreeSet};

use zbus::message::Message;
use zbus::zvariant::{ObjectPath, Value};

pub type Properties = BTreeMap<&'static str, Value<'static>>;
pub type Interfaces = BTreeMap<&'static str, Properties>;

pub const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// All objects, by path.
#[derive(Default)]
pub struct Tree(BTreeMap<String, Interfaces>);

impl Tree {
    /// Adds an object with one interface.
    pub fn add<const COUNT: usize>(
        &mut self,
        path: String,
        interface: &'static str,
        properties: [(&'static str, Value<'static>); COUNT],
    ) -> &mut Properties {
        self.0.entry(path).or_default().entry(interface).or_insert(properties.into())
    }

    pub fn properties(&self, path: &str, interface: &str) -> Option<&Properties> {
        self.0.get(path)?.get(interface)
    }

    /// What `GetManagedObjects` answers.
    pub fn objects(&self) -> BTreeMap<ObjectPath<'_>, &Interfaces> {
        self.0.iter().map(|(path, interfaces)| (object(path), interfaces)).collect()
    }

    /// What `Introspect` answers; nothing if there is neither an object nor one below.
    pub fn introspect(&self, path: &str) -> Option<String> {
        let root = if path == "/" { "" } else { path };
        let below = |other: &str| {
            let rest = other.strip_prefix(root)?.strip_prefix('/')?;
            rest.split('/').next().map(str::to_owned)
        };
        let nodes: BTreeSet<String> = self.0.keys().filter_map(|other| below(other)).collect();
        let own = self.0.get(path);
        if own.is_none() && nodes.is_empty() && path != "/" {
            return None;
        }
        let mut xml = String::from("<node>");
        for interface in own.into_iter().flat_map(BTreeMap::keys) {
            xml += &format!("<interface name=\"{interface}\"></interface>");
        }
        for node in nodes {
            xml += &format!("<node name=\"{node}\"/>");
        }
        Some(xml + "</node>")
    }

    /// The signals that tell of the way from `before` to this: what is new first, and what is gone
    /// at the end.
    pub fn changes_since(&self, before: &Self) -> Vec<Message> {
        let mut signals = Vec::new();
        for (path, interfaces) in &self.0 {
            let Some(old) = before.0.get(path) else {
                signals.push(signal("/", MANAGER, "InterfacesAdded", &(object(path), interfaces)));
                continue;
            };
            for (interface, properties) in interfaces {
                let old = &old[interface];
                let changed: BTreeMap<_, _> = properties
                    .iter()
                    .filter(|(name, value)| old.get(*name) != Some(value))
                    .collect();
                let gone: Vec<_> =
                    old.keys().filter(|name| !properties.contains_key(*name)).collect();
                if !changed.is_empty() || !gone.is_empty() {
                    let body = (interface, changed, gone);
                    signals.push(signal(path, PROPERTIES, "PropertiesChanged", &body));
                }
            }
        }
        for (path, interfaces) in before.0.iter().rev() {
            if !self.0.contains_key(path) {
                let names: Vec<_> = interfaces.keys().collect();
                signals.push(signal("/", MANAGER, "InterfacesRemoved", &(object(path), names)));
            }
        }
        signals
    }
}

/// A signal from BlueZ.
pub fn signal<B>(path: &str, interface: &str, name: &str, body: &B) -> Message
where
    B: zbus::export::serde::Serialize + zbus::zvariant::DynamicType,
{
    Message::signal(path, interface, name).unwrap().build(body).unwrap()
}

pub fn object(path: &str) -> ObjectPath<'_> {
    ObjectPath::try_from(path).unwrap()
}
